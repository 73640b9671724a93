"""The memory of a call beyond its operands and results, every loss in every mode, beside torch.

    python bench/bench_memory.py --out results     # three minutes; memory.json, memory.md

Each contestant has a process of its own, which makes the operands, calls once on a small array (what is set up once is not of a
call), lets the system forget its peak, calls, and reads the new peak (Linux alone). What is counted is every page touched:
results, tapes, temporaries, the stacks of threads.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import peaks
from machine import cores, describe
from ours import levels, ndloss
from processes import answer, ask
from results import parser, table, write
from rivals import plain, torch_eager
from timing import Contestant
from workloads import MODES, SPECS, Workload

MIB = 2**20
SHAPES = ("cross_entropy",)  # losses whose shapes all count; of the others one does


@dataclass(frozen=True)
class Peak:
    """The memory of one call, in MiB. Without it when the call failed; `why` says so."""

    workload: str
    mode: str
    threads: int
    contestant: str
    operands: float
    results: float = 0.0
    beyond: float | None = None
    why: str = ""

    def __str__(self) -> str:
        head = f"{self.workload:36} {self.mode:14} {self.threads}t  {self.contestant:12}"
        return f"{head} {self.why}" if self.beyond is None else f"{head} {self.results:8.1f} MiB and {self.beyond:.1f}"


def main() -> int:
    options = _options()
    if not peaks.available():
        print("the peak of a process cannot be reset here", file=sys.stderr)
        return 2
    contestants = ["ndloss"]
    if not options.no_rivals and importlib.util.find_spec("torch") is not None:
        contestants.append("torch eager")
    found: list[Peak] = []
    failed = False
    for name in _chosen(options.losses):
        for contestant in contestants:
            request = {"name": name, "contestant": contestant, "threads": options.threads, "quick": options.quick}
            rows, finished = ask(__file__, request, environment=peaks.ALLOCATOR)
            found += [Peak(**row) for row in rows]
            failed |= not finished
    write(options, "memory", "Memory of a call", describe(ours=True), found, body(found))
    return 1 if failed or any(row.beyond is None and row.contestant == "ndloss" for row in found) else 0


def measure(name: str, contestant: str, threads: int, quick: bool) -> Iterator[Peak]:
    """Yield the peaks of one contestant on one workload."""
    warnings.simplefilter("ignore")
    (spec,) = [spec for spec in SPECS if spec.name == name]
    workload, small = spec.make("float32", quick=quick), spec.make("float32", quick=True)
    operands = workload.bytes_read / MIB
    for mode in MODES:
        try:
            _contestant(contestant, small, mode, threads).call()
            call = _contestant(contestant, workload, mode, threads).call
            gc.collect()
            before = peaks.resident()
            peaks.forget()
            result = call()
            beyond = peaks.peak() - before
            results = _size(plain(result))
            del result, call
        except Exception as error:
            yield Peak(name, mode, threads, contestant, operands, why=f"{type(error).__name__}: {str(error)[:200]}")
            continue
        yield Peak(name, mode, threads, contestant, operands, results / MIB, max(beyond - results, 0) / MIB)


def _contestant(name: str, workload: Workload, mode: str, threads: int) -> Contestant:
    if name == "ndloss":
        (ours,) = ndloss(workload, mode, threads, levels([]))
        return ours
    return Contestant(name, torch_eager(workload, mode, threads))


def _size(result: Any) -> int:
    return sum(map(_size, result)) if isinstance(result, tuple) else int(result.nbytes)


def _chosen(words: Sequence[str]) -> list[str]:
    first = {spec.loss: spec.name for spec in reversed(SPECS)}
    names = [spec.name for spec in SPECS if spec.name == first[spec.loss] or spec.loss in SHAPES]
    return [name for name in names if not words or any(word in name for word in words)]


def body(rows: Sequence[Peak]) -> list[str]:
    who = list(dict.fromkeys(row.contestant for row in rows))
    cells = {(row.workload, row.mode, row.contestant): "failed" if row.beyond is None else f"{row.beyond:.1f}" for row in rows}
    found = [
        [
            row.workload,
            row.mode,
            f"{row.operands:.0f}",
            f"{row.results:.1f}",
            *(cells[row.workload, row.mode, name] for name in who),
        ]
        for row in rows
        if row.contestant == who[0]
    ]
    return [
        "MiB of float32 operands, of the results, and of what a call touches beyond both.",
        "",
        *table(["loss", "mode", "operands", "results", *who], found, left=2),
    ]


def _options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--losses", nargs="+", default=[], metavar="WORD", help="workloads whose name contains one of these")
    options.add_argument("--threads", type=int, default=len(cores()))
    options.add_argument("--no-rivals", action="store_true", help="ndloss alone")
    return options.parse_args()


if __name__ == "__main__" and not answer(measure):
    sys.exit(main())
