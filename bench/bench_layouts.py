"""Arrays as they come: other dtypes, strides, axes and weights, by the time per byte read beside contiguous float32.

    python bench/bench_layouts.py --out results     # three minutes; layouts.json, layouts.md

A case and its base (the same loss and numbers in contiguous float32, class labels int64) take turns in one race. Bytes read are
those of the numbers a loss uses: of every second row, the rows that are used; of a broadcast weight, its few.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from machine import cores, describe
from processes import answer, ask
from results import of_threads, parser, table, write
from timing import Contestant, race
from workloads import Array, Spec

COLUMNS = 32  # of the elementwise losses' arrays
WITHIN = {2: 2.0**-7, 4: 1e-6}  # how far a mean may be from that of contiguous float32, by the bytes of its own dtype


@dataclass(frozen=True)
class Case:
    """One call on one kind of arrays."""

    what: str
    arguments: tuple[Array, ...]
    options: dict[str, Any]
    bytes_read: int


@dataclass(frozen=True)
class Timed:
    """A case with its time. Without one when the answer was wrong; `why` says so."""

    loss: str
    what: str
    threads: int
    bytes_read: int
    seconds: float | None = None
    spread: float | None = None
    gb_per_s: float | None = None
    ratio: float | None = None  # time per byte read over that of the base
    why: str = ""

    def __str__(self) -> str:
        head = f"{self.loss:36} {self.what:28} {self.threads}t"
        return f"{head} {self.why}" if self.ratio is None else f"{head} {self.gb_per_s:.1f} GB/s, {self.ratio:.2f} of the base"


def main() -> int:
    options = _options()
    found: list[Timed] = []
    failed = False
    for threads in options.threads:
        for name in MAKERS:
            if options.losses and not any(word in name for word in options.losses):
                continue
            request = {"name": name, "threads": threads, "quick": options.quick}
            rows, finished = ask(__file__, request, cores()[:threads])
            found += [Timed(**row) for row in rows]
            failed |= not finished
    write(options, "layouts", "Dtypes and layouts", describe(ours=True), found, body(found))
    return 1 if failed or any(row.seconds is None for row in found) else 0


def measure(name: str, threads: int, quick: bool) -> Iterator[Timed]:
    """Yield the base of one loss and every case, raced against it."""
    import ndloss.functional as F
    from limits import Limits

    loss, _, _ = name.partition(",")
    function = getattr(F, loss)
    limits = Limits()
    base = None
    for case in MAKERS[name](loss, 1 << 17 if quick else 1 << 24):
        base = base or case
        if case is base:
            continue
        mine = _contestant(case, function, threads)
        value: Any = mine.call()
        off = abs(float(value) / float(_unwound(case, function)) - 1)
        if off > WITHIN[value.dtype.itemsize]:
            yield Timed(name, case.what, threads, case.bytes_read, why=f"off by {off:.2g}")
            continue
        other = _contestant(base, function, threads)
        race([other, mine], rounds=2 if quick else 6, budget=0.1 if quick else 0.6, between=limits.evict)
        ratio = (mine.best / case.bytes_read) / (other.best / base.bytes_read)
        speed = 1e-9 * case.bytes_read / mine.best
        yield Timed(name, case.what, threads, case.bytes_read, mine.best, mine.spread, speed, ratio)


def _contestant(case: Case, function: Callable[..., Any], threads: int) -> Contestant:
    return Contestant(case.what, partial(function, *case.arguments, **case.options, num_threads=threads))


def _unwound(case: Case, function: Callable[..., Any]) -> Any:
    """The answer to the same numbers in contiguous float32 and int64."""

    def copy(value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            return value
        integers = value.dtype.kind in "iu" and value.ndim < case.arguments[0].ndim
        return np.ascontiguousarray(value, np.int64 if integers else np.float32)

    return function(*map(copy, case.arguments), **{name: copy(value) for name, value in case.options.items()})


def _elementwise(loss: str, elements: int) -> Iterator[Case]:
    rows = elements // COLUMNS
    workload = Spec(loss, loss, (rows, COLUMNS)).make("float32", quick=False)
    x, y = workload.input, workload.target
    yield _case("float32", x, y)
    for dtype in _halves():
        yield _case(f"{np.dtype(dtype)}", x.astype(dtype), y.astype(dtype))
    if loss == "binary_cross_entropy_with_logits":
        for dtype in (np.int64, np.int32, np.uint8, np.bool_):
            yield _case(f"target {np.dtype(dtype)}", x, y.astype(dtype))
    yield _case("every second row", _every_second_row(x), _every_second_row(y))
    yield _case("every second column", _every_second_column(x), _every_second_column(y))
    yield _case("transposed", np.ascontiguousarray(x.T).T, np.ascontiguousarray(y.T).T)
    weight = np.linspace(0.5, 1.5, COLUMNS, dtype=np.float32)
    yield _case("broadcast weight", x, y, weight=np.broadcast_to(weight, x.shape))
    yield _case("broadcast sample_weight", x, y, sample_weight=np.linspace(0.5, 1.5, rows, dtype=np.float32)[:, None])


def _classes(loss: str, elements: int, classes: int) -> Iterator[Case]:
    workload = Spec(loss, loss, (elements // classes, classes)).make("float32", quick=False)
    x, y = workload.input, workload.target
    yield _case("float32", x, y)
    for dtype in _halves():
        yield _case(f"{np.dtype(dtype)}", x.astype(dtype), y)
    for dtype in (np.int32, np.uint8) if classes <= 256 else (np.int32,):
        yield _case(f"target {np.dtype(dtype)}", x, y.astype(dtype))
    yield _case("every second row", _every_second_row(x), y)
    yield _case("transposed", np.ascontiguousarray(x.T).T, y)
    yield _case("class weight", x, y, weight=np.linspace(0.5, 1.5, classes, dtype=np.float32))


def _images(loss: str, elements: int) -> Iterator[Case]:
    """Segmentation: the base has the classes before the pixels, the case has them after."""
    side = 512 if elements > 1 << 20 else 64
    images = max(elements // (21 * side * side), 1)
    workload = Spec(loss, loss, (images, 21, side, side)).make("float32", quick=False)
    x, y = workload.input, workload.target
    yield _case("float32", x, y)
    last = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    yield _case("(N, H, W, C) by axis=-1", last, y, axis=-1)
    yield _case("(N, H, W, C) by moveaxis", np.moveaxis(last, -1, 1), y)
    for dtype in _halves():
        yield _case(f"{np.dtype(dtype)}", x.astype(dtype), y)
    yield _case("target uint8", x, y.astype(np.uint8))


MAKERS: dict[str, Callable[[str, int], Iterator[Case]]] = {
    "mse_loss": _elementwise,
    "binary_cross_entropy_with_logits": _elementwise,
    "cross_entropy, C = 10": partial(_classes, classes=10),
    "cross_entropy, C = 1000": partial(_classes, classes=1000),
    "cross_entropy, images": _images,
}


def _case(what: str, *arguments: Array, **options: Any) -> Case:
    """A case with the bytes of its numbers; those of a view are the ones it shows, a repeated one counts once."""
    arrays = [a for a in (*arguments, *options.values()) if isinstance(a, np.ndarray)]
    bytes_read = sum(a.itemsize * math.prod(n for n, step in zip(a.shape, a.strides, strict=True) if step) for a in arrays)
    return Case(what, arguments, options, bytes_read)


def _halves() -> list[Any]:
    if importlib.util.find_spec("ml_dtypes") is None:
        return [np.float16]
    import ml_dtypes

    return [np.float16, ml_dtypes.bfloat16]


def _every_second_row(x: Array) -> Array:
    wide = np.zeros((2 * len(x), *x.shape[1:]), x.dtype)
    wide[::2] = x
    return wide[::2]


def _every_second_column(x: Array) -> Array:
    wide = np.zeros((len(x), 2 * x.shape[1]), x.dtype)
    wide[:, ::2] = x
    return wide[:, ::2]


def body(rows: Sequence[Timed]) -> list[str]:
    counts = list(dict.fromkeys(row.threads for row in rows))
    cells = {(row.loss, row.what, row.threads): row for row in rows}
    found = []
    for loss, what in dict.fromkeys((row.loss, row.what) for row in rows):
        mine = [cells.get((loss, what, count)) for count in counts]
        found.append([loss, what, *("-" if row is None or row.ratio is None else f"{row.ratio:.2f}" for row in mine)])
    head = ["loss", "arrays", *map(of_threads, counts)]
    return ["Time per byte read, over that of contiguous float32.", "", *table(head, found, left=2)]


def _options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--losses", nargs="+", default=[], metavar="WORD", help="cases whose name contains one of these")
    options.add_argument("--threads", nargs="+", type=int, default=sorted({1, len(cores())}))
    return options.parse_args()


if __name__ == "__main__" and not answer(measure):
    sys.exit(main())
