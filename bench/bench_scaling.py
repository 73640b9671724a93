"""Time per element of the mean, from 2^6 to 2^28 elements, with one thread and with all cores, beside torch.

    python bench/bench_scaling.py --out results     # six minutes, 9 GiB; scaling.json, scaling.md, scaling.png
    python bench/bench_scaling.py --upper 24        # no further than 2^24 elements
    python bench/bench_scaling.py --quick

The sizes are the beginnings of one array, in the caches where they fit: the last call left them there. Calls shorter than the clock
is exact are timed in bursts. Every answer is compared with the float64 sums of `oracle.py` before it is timed.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import oracle
from chart import draw_scaling
from machine import available_memory, cores, describe
from ours import plain_call
from processes import answer, ask
from results import of_threads, parser, table, write
from rivals import torch_eager
from rows import Row
from timing import Contestant, race, race_small
from workloads import Spec, Workload

LOSSES = (
    ("l1_loss", ()),
    ("mse_loss", ()),
    ("binary_cross_entropy_with_logits", ()),
    ("binary_cross_entropy", ()),
    ("kl_div", ()),
    ("cross_entropy", (10,)),
    ("cross_entropy", (1000,)),
)
FIRST = 6
CLOSELY = range(12, 23)  # every power of two where threads set in and caches end, every fourth power elsewhere
BYTES = 32  # an element needs at most: two operands and what torch allocates
SHORT = 1 << 16  # elements: up to here calls are timed in bursts
BURST = 1 << 19  # elements of all calls of a burst
SLOW = 1.0  # seconds: such a call is timed once
TOLERANCE = 1e-4  # of torch's means, which are summed in float32


def main() -> int:
    options = parser(__doc__)
    options.add_argument("--upper", type=int, help="largest power of two of elements (28, or what the memory holds; quick: 16)")
    options.add_argument("--losses", nargs="+", default=[], metavar="WORD", help="losses whose name contains one of these")
    options.add_argument("--threads", nargs="+", type=int, default=sorted({1, len(cores())}))
    options.add_argument("--no-rivals", action="store_true", help="ndloss alone")
    chosen = options.parse_args()
    upper = chosen.upper or (16 if chosen.quick else 28)
    while BYTES << upper > available_memory():
        upper -= 1
    facts = describe(ours=True)
    rows: list[Row] = []
    failed = False
    for loss, classes in LOSSES:
        if chosen.losses and not any(word in _name(loss, classes) for word in chosen.losses):
            continue
        request = {
            "loss": loss,
            "classes": classes,
            "upper": upper,
            "threads": chosen.threads,
            "rivals": not chosen.no_rivals,
            "rounds": 2 if chosen.quick else 5,
        }
        found, finished = ask(__file__, request)
        rows += [Row(**row) for row in found]
        failed |= not finished
    write(chosen, "scaling", "Time per element by size", facts, rows, body(rows))
    if chosen.out is not None:
        draw_scaling(rows, chosen.out / "scaling.png")
    wrong = [row for row in rows if row.seconds is None]
    for row in wrong:
        print(row, file=sys.stderr)
    return 1 if failed or any(row.contestant.startswith("ndloss") for row in wrong) else 0


def measure(loss: str, classes: Sequence[int], upper: int, threads: list[int], rivals: bool, rounds: int) -> Iterator[Row]:
    """Yield the rows of one loss, from its smallest size to its largest."""
    width = classes[0] if classes else 1
    whole = Spec(_name(loss, classes), loss, ((1 << upper) // width, *classes)).make("float32", quick=False)
    sizes = [1 << power for power in range(FIRST, upper + 1) if power in CLOSELY or power % 2 == 0]
    total, before = 0.0, 0
    for count in [size // width for size in sizes if size >= width]:
        added = replace(whole, input=whole.input[before:count], target=whole.target[before:count])
        total += sum(float(part.sum()) for _, part in oracle.losses(added))
        before = count
        workload = replace(whole, input=whole.input[:count], target=whole.target[:count])
        yield from _one_size(workload, total / count, threads, rivals=rivals, rounds=rounds)


def _one_size(workload: Workload, expected: float, threads: list[int], *, rivals: bool, rounds: int) -> Iterator[Row]:
    right, slow = [], []
    for contestant, count in _contestants(workload, threads, rivals=rivals):
        contestant.prepare()
        start = time.perf_counter()
        off = abs(float(contestant.call()) / expected - 1)  # type: ignore[arg-type]
        if off > TOLERANCE:
            why = f"off by {off:.2g}"
            yield Row(workload.name, "value", "float32", count, contestant.name, why=why, elements=workload.elements)
            continue
        right.append((contestant, count))
        if time.perf_counter() - start > SLOW:
            slow.append(contestant)
    quick = [contestant for contestant, _ in right if contestant not in slow]
    if workload.elements <= SHORT:
        race_small(quick, rounds, calls=BURST // workload.elements)
    else:
        race(quick, rounds, budget=0.2)
    race(slow, rounds=1, budget=0)
    for contestant, count in right:
        yield Row(
            workload.name,
            "value",
            "float32",
            count,
            contestant.name,
            seconds=contestant.best,
            spread=contestant.spread,
            repeats=len(contestant.seconds),
            ns_per_element=1e9 * contestant.best / workload.elements,
            gb_per_s=1e-9 * workload.bytes_read / contestant.best,
            elements=workload.elements,
        )


def _contestants(workload: Workload, threads: list[int], *, rivals: bool) -> Iterator[tuple[Contestant, int]]:
    for count in threads:
        yield plain_call(workload, count), count
        if rivals and importlib.util.find_spec("torch") is not None:
            import torch

            yield Contestant("torch eager", torch_eager(workload, "value", count), partial(torch.set_num_threads, count)), count


def body(rows: Sequence[Row]) -> list[str]:
    """Return a table for each number of threads: a line for each size, a column for each loss."""
    lines = ["Nanoseconds per element of the input, least of the repeats: ndloss, then torch eager.", ""]
    workloads = list(dict.fromkeys(row.workload for row in rows))
    powers = sorted({_power(row) for row in rows})
    times = {(row.workload, row.contestant, row.threads, _power(row)): row.ns_per_element for row in rows}
    for threads in dict.fromkeys(row.threads for row in rows):
        found = [[f"2^{power}", *(_cell(times, workload, threads, power) for workload in workloads)] for power in powers]
        lines += [f"{of_threads(threads)}:", "", *table(["elements", *workloads], found), ""]
    return lines[:-1]


def _power(row: Row) -> int:
    """Of two, nearest to the number of elements: rows of 10 or 1000 classes do not fill one exactly."""
    return round(math.log2(row.elements))


def _cell(times: dict[tuple[str, str, int, int], float | None], workload: str, threads: int, power: int) -> str:
    found = [times.get((workload, name, threads, power)) for name in ("ndloss", "torch eager")]
    return " / ".join("-" if time is None else f"{time:.3g}" for time in found)


def _name(loss: str, classes: Sequence[int]) -> str:
    return f"{loss}, C = {classes[0]}" if classes else loss


if __name__ == "__main__" and not answer(measure):
    sys.exit(main())
