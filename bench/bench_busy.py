"""Calls while another program keeps a core busy, beside calls on an idle machine and beside torch.

    python bench/bench_busy.py --out results     # three minutes; busy.json, busy.md

A process that only counts is confined to the last core. Times are medians: the least of the repeats would be that of the luckiest
moment, when the system let the call have both cores.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from statistics import median

from machine import cores, describe
from ours import plain_call
from processes import answer, ask, confined
from results import parser, table, write
from rivals import torch_eager
from rows import Row
from timing import Contestant, race
from workloads import Spec, Workload

LOSSES = (("mse_loss", ()), ("binary_cross_entropy_with_logits", ()), ("cross_entropy", (10,)), ("cross_entropy", (1000,)))
POWERS = (14, 16, 18, 20, 22, 24, 25)
STATES = ("idle", "busy")


def main() -> int:
    options = _options()
    if len(cores()) < 2:
        print("there is no other core here", file=sys.stderr)
        return 2
    found: list[Row] = []
    failed = False
    for state in STATES:
        with busy_core() if state == "busy" else contextlib.nullcontext():
            for loss, classes in LOSSES:
                request = {"loss": loss, "classes": classes, "state": state, "quick": options.quick}
                rows, finished = ask(__file__, {**request, "rivals": not options.no_rivals, "threads": len(cores())})
                found += [Row(**row) for row in rows]
                failed |= not finished
    write(options, "busy", "Beside a busy core", describe(ours=True), found, body(found))
    return 1 if failed else 0


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """Keep the last core busy."""
    with confined(cores()[-1:]):
        process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.2)
        yield
    finally:
        process.kill()
        process.wait()


def measure(loss: str, classes: Sequence[int], state: str, threads: int, quick: bool, rivals: bool) -> Iterator[Row]:
    """Yield the rows of one loss in one state of the other core."""
    width = classes[0] if classes else 1
    name = f"{loss}, C = {width}" if classes else loss
    powers = [power for power in POWERS if power <= 20] if quick else POWERS
    whole = Spec(name, loss, ((1 << powers[-1]) // width, *classes)).make("float32", quick=False)
    for power in powers:
        count = (1 << power) // width
        workload = Workload(name, loss, whole.input[:count], whole.target[:count])
        contestants = list(_contestants(workload, threads, rivals=rivals))
        race([c for c, _ in contestants], rounds=2 if quick else 5, budget=0.1 if quick else 0.5)
        for contestant, used in contestants:
            middle = median(contestant.seconds)
            yield Row(
                name,
                state,
                "float32",
                used,
                contestant.name,
                seconds=middle,
                spread=contestant.spread,
                repeats=len(contestant.seconds),
                ns_per_element=1e9 * middle / workload.elements,
                elements=workload.elements,
            )


def _contestants(workload: Workload, threads: int, *, rivals: bool) -> Iterator[tuple[Contestant, int]]:
    for used in (1, threads):
        yield plain_call(workload, used), used
        if rivals and importlib.util.find_spec("torch") is not None:
            import torch

            yield Contestant("torch eager", torch_eager(workload, "value", used), partial(torch.set_num_threads, used)), used


def body(rows: Sequence[Row]) -> list[str]:
    cells = {(row.workload, row.elements, row.mode, row.contestant, row.threads): row.seconds for row in rows}
    who = list(dict.fromkeys((row.mode, row.contestant, row.threads) for row in rows))
    found = [
        [name, f"{size:,}", *("-" if (time := cells.get((name, size, *one))) is None else f"{1e3 * time:.3g}" for one in who)]
        for name, size in dict.fromkeys((row.workload, row.elements) for row in rows)
    ]
    head = ["loss", "elements", *(f"{state}: {name}, {threads}" for state, name, threads in who)]
    return [
        "Milliseconds, medians; the columns are states of the other core, and contestants with their threads.",
        "",
        *table(head, found),
    ]


def _options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--no-rivals", action="store_true", help="ndloss alone")
    return options.parse_args()


if __name__ == "__main__" and not answer(measure):
    sys.exit(main())
