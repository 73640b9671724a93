"""The cost of a call: 640 elements, where the arithmetic takes less than the way to it.

    python bench/bench_small.py --out results     # two minutes; small.json, small.md

Every loss by its function and by its class, beside torch's function and class, what one writes in NumPy, and jax.jit. The
yardsticks are calls that do (almost) nothing: a bare call of pybind11, `numpy.add` and `numpy.mean` of the input.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

import oracle
from checking import CANCELLING
from machine import cores, describe
from processes import answer, ask
from results import parser, table, write
from rivals import jax_jit, numpy_scipy, plain
from rows import Row
from timing import Contestant, race_small
from workloads import SPECS, Spec, Workload

SHAPE = (64, 10)
CTC_SHAPE = (32, 2, 10)  # frames, samples, classes
YARDSTICKS = "yardsticks"
# ULP allowed: of ours the unreduced bound of a few elements and one; of others, and where terms cancel, what float32 sums may lose.
OURS, OTHERS = 4.0, 64.0


def main() -> int:
    options = _options()
    facts = describe(ours=True)
    request = {"losses": options.losses, "rounds": 2 if options.quick else 7, "calls": 100 if options.quick else 2000}
    found, finished = ask(__file__, {**request, "rivals": not options.no_rivals}, cores()[:1])
    rows = [Row(**row) for row in found]
    write(options, "small", "One call of 640 elements", facts, rows, body(rows))
    wrong = [row for row in rows if row.seconds is None]
    for row in wrong:
        print(row, file=sys.stderr)
    return 1 if not finished or any(row.contestant.startswith("ndloss") for row in wrong) else 0


def measure(losses: list[str], rounds: int, calls: int, rivals: bool) -> Iterator[Row]:
    """Yield the time of one call for each way to make it."""
    warnings.simplefilter("ignore")  # of the mean of divergences; ours and torch's both pay for it
    for name in dict.fromkeys(spec.loss for spec in SPECS):
        if losses and not any(word in name for word in losses):
            continue
        workload = Spec(name, name, CTC_SHAPE if name == "ctc_loss" else SHAPE).make("float32", quick=False)
        yield from _race(workload, rounds, calls, rivals=rivals)
    if not losses:
        yield from _yardsticks(rounds, calls)


def _race(workload: Workload, rounds: int, calls: int, *, rivals: bool) -> Iterator[Row]:
    expected = oracle.mean(workload, oracle.losses(workload))
    contestants = list(_contestants(workload, rivals=rivals))
    ulps = {c.name: oracle.ulp_of_value(plain(c.call()), expected, np.dtype(np.float32)) for c in contestants}
    right = [c for c in contestants if ulps[c.name] <= _bound(c, workload.loss)]
    race_small(right, rounds, calls)
    for c in contestants:
        if c in right:
            yield _row(workload.name, c, ulps[c.name])
        else:
            yield Row(workload.name, "call", "float32", 1, c.name, ulp=ulps[c.name], why=f"{ulps[c.name]:.3g} ULP off")


def _bound(contestant: Contestant, loss: str) -> float:
    return OURS if contestant.name.startswith("ndloss") and loss not in CANCELLING else OTHERS


def _contestants(workload: Workload, *, rivals: bool) -> Iterator[Contestant]:
    import ndloss as nl
    import ndloss.functional as F

    nl.set_num_threads(1)
    operands = workload.operands
    yield Contestant("ndloss function", partial(getattr(F, workload.loss), *operands))
    yield Contestant("ndloss class", partial(_class(nl, workload.loss), *operands))
    if not rivals:
        return
    if importlib.util.find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)
        tensors = [torch.from_numpy(operand) for operand in operands]
        yield Contestant("torch function", partial(getattr(torch.nn.functional, workload.loss), *tensors))
        yield Contestant("torch class", partial(_class(torch.nn, workload.loss), *tensors))
    for name, package, build in (("jax.jit", "jax", jax_jit), ("NumPy / SciPy", "numpy", numpy_scipy)):
        if importlib.util.find_spec(package) is not None:
            call = build(workload, "value", 1)
            if call is not None:
                yield Contestant(name, call)


def _class(module: Any, loss: str) -> Any:
    """The class of a loss, made without arguments: torch's names follow from those of the functions."""
    wanted = loss.replace("binary_cross_entropy", "bce").replace("_", "").removesuffix("loss") + "loss"
    return next(getattr(module, name) for name in dir(module) if name.lower() == wanted)()


def _yardsticks(rounds: int, calls: int) -> Iterator[Row]:
    from ndloss import _core

    x = np.ones(SHAPE, np.float32)
    contestants = [
        Contestant("bare pybind11 call", partial(_core.double_of_bits, 1)),
        Contestant("numpy.add", partial(np.add, x, x)),
        Contestant("numpy.mean", partial(np.mean, x)),
    ]
    race_small(contestants, rounds, calls)
    for contestant in contestants:
        yield _row(YARDSTICKS, contestant, None)


def _row(workload: str, contestant: Contestant, ulp: float | None) -> Row:
    best, spread, repeats = contestant.best, contestant.spread, len(contestant.seconds)
    return Row(workload, "call", "float32", 1, contestant.name, seconds=best, spread=spread, repeats=repeats, ulp=ulp)


def body(rows: Sequence[Row]) -> list[str]:
    lines = ["Microseconds of one call with one thread, least of the repeats, each the average over a burst.", ""]
    cells = {(row.workload, row.contestant): row.seconds for row in rows}
    names = list(dict.fromkeys(row.contestant for row in rows if row.workload != YARDSTICKS))
    found = [
        [workload, *("-" if (time := cells.get((workload, name))) is None else f"{1e6 * time:.2f}" for name in names)]
        for workload in dict.fromkeys(row.workload for row in rows if row.workload != YARDSTICKS)
    ]
    lines += table(["loss", *names], found)
    sticks = [f"{row.contestant} {1e6 * (row.seconds or 0):.2f}" for row in rows if row.workload == YARDSTICKS]
    return [*lines, "", f"Yardsticks, µs: {', '.join(sticks)}."] if sticks else lines


def _options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--losses", nargs="+", default=[], metavar="WORD", help="losses whose name contains one of these")
    options.add_argument("--no-rivals", action="store_true", help="ndloss alone")
    return options.parse_args()


if __name__ == "__main__" and not answer(measure):
    sys.exit(main())
