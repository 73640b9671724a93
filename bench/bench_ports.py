"""What the instructions of every loss cost this core at least, and how near its `mean` comes to that and to the memory.

    python bench/bench_ports.py --out results     # three minutes; ports.json, ports.md

One thread, float32. README.md beside this file says what the port limit is and what it is not. x86 and Linux alone.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from limits import Limits
from machine import caches, cores, describe
from ours import levels, ndloss
from port_rates import Clock, measure
from ports import Mix, Rates, bounds
from results import parser, table, write
from steps import Steps
from timing import Contestant, race, race_small
from workloads import Spec, Workload, chosen

NEAR = 1.25
FACTS = ("instructions a cycle, at most", "kinds on the same pipes")
COUNTED = 1 << 14  # elements: a step through one instruction takes microseconds
INTRODUCTION = (
    "Nanoseconds per element of the `mean`, float32, one thread. The port limit is what the instructions of our own kernel cost",
    "this core at least, each kind at the rate measured for it: a kernel with needless instructions has a limit that is too kind,",
    "and one that waits for its own results stays above it, for the limit knows no latencies. `bound by` names what takes longest,",
    "with `memory;` before it where reading the same bytes takes longer still. The ratio is the time over the larger of the port",
    "limit and the streaming read, first with the operands in the L2 cache, where what a call costs by itself is left out, then",
    "in memory. The length of a cycle is measured beside each time.",
)
LEVELS = {"avx2": (256,), "avx512": (256, 512)}  # the widths of vectors that a level uses


@dataclass(frozen=True)
class Timed:
    """Nanoseconds an element, of a loss and of what reads the same bytes, and those of a cycle beside them."""

    loss: float
    read: float
    cycle: float

    def ratio(self, cycles: float) -> float:
        """The time over the larger of a number of cycles and the reading."""
        return self.loss / max(cycles * self.cycle, self.read)

    def __str__(self) -> str:
        return f"{self.loss:.3f} of {self.read:.3f}"


@dataclass(frozen=True)
class Bound:
    """The mean of one loss at one level."""

    workload: str
    level: str
    instructions: float
    ports: Mapping[str, float]  # the cycles at least, by what takes them
    unknown: float  # instructions of no known kind: they count where all do
    cache: Timed
    memory: Timed

    @property
    def cycles(self) -> float:
        return max(self.ports.values())

    @property
    def bound_by(self) -> str:
        return max(self.ports, key=self.ports.__getitem__)

    @property
    def port_limit(self) -> float:
        return self.cycles * self.memory.cycle

    @property
    def cache_ratio(self) -> float:
        return self.cache.ratio(self.cycles)

    @property
    def memory_ratio(self) -> float:
        return self.memory.ratio(self.cycles)

    def __str__(self) -> str:
        head = f"{self.workload:36} {self.level:7} {self.instructions:6.2f} instructions, {self.port_limit:.3f} ns, {self.bound_by}"
        return f"{head}; cache {self.cache}, {self.cache_ratio:.2f} x; memory {self.memory}, {self.memory_ratio:.2f} x"


def main() -> int:
    options = _options()
    if platform.machine() != "x86_64" or sys.platform != "linux":
        print("ports are counted on x86 and Linux alone", file=sys.stderr)
        return 2
    os.sched_setaffinity(0, cores()[:1])
    warnings.simplefilter("ignore")  # kl_div's about its mean
    asked = [level for level in levels(options.isa or ["all"]) if level in LEVELS]
    if not asked:
        print("no level with AVX2 is here", file=sys.stderr)
        return 2
    widths = sorted({bits for level in asked for bits in LEVELS[level]})
    rates = measure(widths, 2 if options.quick else 20, 1e-4 if options.quick else 2e-3)
    facts = describe(ours=True) | _facts(rates)
    found: list[Bound] = []
    for bound in _bounds(options.losses, asked, rates, quick=options.quick):
        print(bound, flush=True)
        found.append(bound)
    write(options, "ports", "Ports", facts, found, body(found))
    return 0


def _options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--losses", nargs="+", default=[], metavar="WORD", help="workloads whose name contains one of these")
    options.add_argument("--isa", nargs="+", default=[], metavar="LEVEL", choices=LEVELS, help="default: those that are there")
    return options.parse_args()


def _bounds(losses: list[str], asked: Sequence[str], rates: Rates, *, quick: bool) -> Iterator[Bound]:
    import ndloss as nl

    steps = Steps(Path(nl._core.__file__))
    limits, clock = Limits(), Clock()
    for spec in chosen(losses):
        mixes = _counted(spec, steps, asked)
        cache = _in_cache(spec, limits, clock, asked, quick=quick)
        memory = _in_memory(spec, limits, clock, asked, quick=quick)
        for level in asked:
            mix = mixes[level]
            ports = bounds(mix, rates)
            yield Bound(spec.name, level, mix.instructions, ports, mix.kinds.get("unknown", 0.0), cache[level], memory[level])


def cut(spec: Spec, elements: int) -> Spec:
    """The same workload with about so many elements, at least one row: rows as long, and as many labels."""
    shape = list(spec.shape)
    axis = 1 if spec.loss == "ctc_loss" else 0
    if len(shape) > 2 and axis == 0 and prod(shape[1:]) > elements:
        shape[0], axis = 1, 2
    shape[axis] = max(1, elements * shape[axis] // prod(shape))
    return replace(spec, shape=tuple(shape))


def two_sizes(spec: Spec, elements: int) -> tuple[Workload, Workload]:
    """A workload of about so many elements, and one of a quarter: what a call costs by itself is no part of their difference."""
    large = cut(spec, elements)
    small = cut(spec, max(prod(large.shape) // 4, 1))
    if small == large:
        large = cut(spec, 2 * prod(large.shape))
    return large.make("float32", quick=False), small.make("float32", quick=False)


def bound(row: Mapping[str, Any]) -> Bound:
    """A row as JSON keeps it."""
    return Bound(**{**row, "cache": Timed(**row["cache"]), "memory": Timed(**row["memory"])})


def _calls(workload: Workload, asked: Sequence[str]) -> dict[str, Contestant]:
    return dict(zip(asked, ndloss(workload, "value", 1, asked), strict=True))


def _counted(spec: Spec, steps: Steps, asked: Sequence[str]) -> dict[str, Mix]:
    """The instructions of an element."""
    large, small = two_sizes(spec, COUNTED)
    found = {}
    for level in asked:
        mixes = []
        for workload in (large, small):
            contestant = _calls(workload, [level])[level]
            contestant.prepare()
            mixes.append(Mix.of(steps.read(steps.of(contestant.call))))
        found[level] = mixes[0].per_element(mixes[1], large.elements - small.elements)
    return found


def _in_cache(spec: Spec, limits: Limits, clock: Clock, asked: Sequence[str], *, quick: bool) -> dict[str, Timed]:
    """Times at each level where the operands take a quarter of the second cache."""
    one = cut(spec, 1).make("float32", quick=False)
    pair = two_sizes(spec, caches().get("L2", 1 << 20) // 4 * one.elements // one.bytes_read)
    ours = [_calls(workload, asked) for workload in pair]
    streams = [limits.contestants(workload, "value", 1) for workload in pair]
    cycles = Contestant("clock", clock)
    for contestants, kernels in zip(ours, streams, strict=True):
        race_small([*contestants.values(), *kernels, cycles], 2 if quick else 25, max(2, (1 << 20) // pair[0].elements))
    more = pair[0].elements - pair[1].elements
    large, small = min(zip(*streams, strict=True), key=lambda sizes: sizes[0].best)
    read, cycle = 1e9 * (large.best - small.best) / more, 1e9 * cycles.best / clock.cycles
    return {level: Timed(1e9 * (ours[0][level].best - ours[1][level].best) / more, read, cycle) for level in asked}


def _in_memory(spec: Spec, limits: Limits, clock: Clock, asked: Sequence[str], *, quick: bool) -> dict[str, Timed]:
    """The same where they are in no cache, as `bench_losses.py` measures it."""
    workload = spec.make("float32", quick=quick)
    ours = _calls(workload, asked)
    streams = limits.contestants(workload, "value", 1)
    cycles = Contestant("clock", clock)
    race([*streams, *ours.values(), cycles], 2 if quick else 3, 0.03, limits.evict)
    each = 1e9 / workload.elements
    read, cycle = each * min(kernel.best for kernel in streams), 1e9 * cycles.best / clock.cycles
    return {level: Timed(each * contestant.best, read, cycle) for level, contestant in ours.items()}


def _facts(rates: Rates) -> dict[str, str]:
    """What the core runs in a cycle, and what shares its pipes."""
    by_rate: dict[str, list[str]] = {}
    for kind, rate in rates.alone.items():
        by_rate.setdefault(f"{rate:.2g}", []).append(kind)
    alone = "; ".join(f"{rate} {_names(kinds)}" for rate, kinds in sorted(by_rate.items(), key=lambda item: -float(item[0])))
    families = [_names(family) for family in rates.families()]
    shared = "; ".join(names for names in families if "," in names)
    return dict(zip(FACTS, (f"{rates.issue:.2g} of all kinds; {alone}", shared), strict=True))


def _names(kinds: Iterable[str]) -> str:
    """Kinds with their width only where the other is not among them."""
    widths: dict[str, list[str]] = {}
    for kind in sorted(kinds):
        found = re.fullmatch(r"(.*?)( \d+)?", kind)
        widths.setdefault(found[1] if found else kind, []).append(kind)
    return ", ".join(name if len(some) > 1 else some[0] for name, some in widths.items())


def body(rows: Sequence[Bound]) -> list[str]:
    """Return the table, the farthest from what bounds it first."""
    head = ["workload", "level", "instructions", "bound by", "port limit", "L2", "read", "ratio", "memory", "read", "ratio"]
    cells = []
    for row in sorted(rows, key=lambda row: -row.memory_ratio):
        what = row.bound_by if row.port_limit > row.memory.read else f"memory; {row.bound_by}"
        times = [row.port_limit]
        times += [row.cache.loss, row.cache.read, row.cache_ratio, row.memory.loss, row.memory.read, row.memory_ratio]
        cells.append([row.workload, row.level, f"{row.instructions:.2f}", what, *(f"{time:.3g}" for time in times)])
    return [*INTRODUCTION, "", *table(head, cells, left=2)]


if __name__ == "__main__":
    sys.exit(main())
