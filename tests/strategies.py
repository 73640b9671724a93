"""Hypothesis strategies: calls of a loss with any options, of any dtype, with a layout of its own for every array."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

import ndloss.functional as F
from calls import quiet
from cases import CASE, LossCase
from layouts import LAYOUTS, changed
from outcomes import SCALAR_UPSTREAM, with_upstream
from samples import REDUCTIONS, Array, Sample, positive_weights
from ulp import info_of

# About 2,000 calls of all losses together; NDLOSS_HYPOTHESIS=deep makes ten times as many.
settings.register_profile("ci", max_examples=200, derandomize=True, deadline=None, print_blob=True)
settings.register_profile("deep", settings.get_profile("ci"), max_examples=2000)
# Calls of all losses together.
settings.register_profile("any ci", settings.get_profile("ci"), max_examples=2000)
settings.register_profile("any deep", settings.get_profile("ci"), max_examples=20_000)
ANY_PROFILE = settings.get_profile("any " + os.environ.get("NDLOSS_HYPOTHESIS", "ci"))
PROFILE = settings.get_profile(os.environ.get("NDLOSS_HYPOTHESIS", "ci"))

DTYPES_DRAWN = ("float16", "float32", "float64")
THREADS_DRAWN = (None, 1, 2)
MOST_ARRAYS = 8
ROWS_DRAWN = (0, 1, 2, 33, 300)


@dataclass(frozen=True)
class LaidOut:
    """A call with a layout for each of its arrays, and the same call with plain ones."""

    plain: Sample
    given: Sample
    layouts: tuple[str, ...]
    dtype: str
    threads: int | None
    rows: int | None  # None: a sample of the case table

    def __str__(self) -> str:
        options = {name: "array" if isinstance(v, np.ndarray) else v for name, v in self.plain.kwargs.items()}
        return f"{self.plain}; {self.dtype}, {self.rows} rows, {self.threads} threads, {options}, {self.layouts}"


@functools.cache
def combinations(name: str) -> tuple[dict[str, str], ...]:
    return tuple(CASE[name].combinations())


def choices_of(case: LossCase, rng: np.random.Generator) -> dict[str, str]:
    """
    An allowed combination of the case table. The axis with most choices is drawn first, or those that few combinations
    have would be rare.
    """
    left = list(combinations(case.name))
    for axis in sorted(case.axes, key=lambda axis: -len(case.axes[axis])):
        found = rng.choice(sorted({combination[axis] for combination in left}))
        left = [combination for combination in left if combination[axis] == found]
    return left[0]


@st.composite
def laid_out_calls(draw: st.DrawFn, case: LossCase) -> LaidOut:
    """
    Hypothesis draws dtype, threads and rows. The rest comes from a generator seeded by all that, because Hypothesis
    likes to draw the same things again and again.
    """
    dtype, threads = draw(st.sampled_from(DTYPES_DRAWN)), draw(st.sampled_from(THREADS_DRAWN))
    rows = None if case.batch is None else draw(st.sampled_from((None, None, None, *ROWS_DRAWN)))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(list(repr((dtype, threads, rows, seed)).encode()))
    layouts = tuple(map(str, rng.choice(list(LAYOUTS), MOST_ARRAYS)))
    if case.batch is None or rows is None:
        sample = case.draw(rng, dtype, choices_of(case, rng))
    else:
        batch, reduction = case.batch(rng, dtype, rows), str(rng.choice(REDUCTIONS))
        some = {name: v for name, v in batch.kwargs.items() if rng.random() < 0.7}
        sample = with_upstream(case, Sample({}, batch.args, some, None))
        upstream = sample.grad_output if reduction == "none" else SCALAR_UPSTREAM
        sample = Sample({}, sample.args, {**some, "reduction": reduction}, upstream)
    used: list[str] = []

    def one(array: Any) -> Any:
        used.append(layouts[len(used)])
        return LAYOUTS[used[-1]](array)

    given = changed(sample, one)
    return LaidOut(sample, given, tuple(used), dtype, threads, rows)


# ---- every array with a dtype of its own ----

HAS_ML_DTYPES = importlib.util.find_spec("ml_dtypes") is not None
NUMBERS_DRAWN = ("float64", "float32", "float16", *(("bfloat16", "float8_e4m3fn", "float8_e5m2") if HAS_ML_DTYPES else ()))
ANY_ROWS = (1, 33, 300)
STRETCHED_SHARE = 0.15
# Their operands belong together row by row: none of them can be replaced by its first row alone.
JOINED = ("ctc_loss",)
# How often a loss gets what every loss can be given.
SELECTED_SHARE, AXIS_SHARE, OUT_SHARE = 0.3, 0.5, 0.5
WRITABLE = tuple(name for name in LAYOUTS if name not in ("read-only", "memory-mapped"))
# Losses that take `axis`, and where it is without it; all others have it last.
AXIS_TAKEN = (
    "cross_entropy", "nll_loss", "multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss",
    "cosine_embedding_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss",
)  # fmt: skip
AXIS_SECOND = ("cross_entropy", "nll_loss")


@dataclass(frozen=True)
class AnyCall:
    """The same numbers three times: any dtypes in any layouts; those dtypes contiguous; float64, contiguous."""

    name: str
    given: Sample
    contiguous: Sample
    wide: Sample
    dtypes: tuple[str, ...]  # of the arrays, those of the options first
    layouts: tuple[str, ...]
    stretched: tuple[bool, ...]  # whether one row stands for all by a stride of 0
    threads: int | None
    rows: int | None
    axis: int | None  # of all but `wide`, which has its axis where torch has it
    out: str | None  # the layout of the arrays that results are to go to

    @property
    def case(self) -> LossCase:
        return CASE[self.name]

    def __str__(self) -> str:
        options = {name: "array" if isinstance(v, np.ndarray) else v for name, v in self.wide.kwargs.items()}
        arrays = list(zip(self.dtypes, self.layouts, self.stretched, strict=True))
        more = f"axis {self.axis}, out {self.out}"
        return f"{self.name}: {self.wide}; {self.rows} rows, {self.threads} threads, {options}, {arrays}, {more}"

    def on_its_axis(self, array: Array) -> Array:
        """What belongs to an operand of `wide`, as it lies beside the operand of the same call with an axis."""
        if self.axis is None or array.ndim < 2 or array.ndim != self.wide.args[0].ndim:
            return array
        return np.moveaxis(array, usual_axis(self.name), self.axis)


def usual_axis(name: str) -> int:
    return 1 if name in AXIS_SECOND else -1


def with_selection(case: LossCase, rng: np.random.Generator, sample: Sample) -> Sample:
    """Often with weights, often with a mask, of the loss's shape; one element is kept at least."""
    reduction = {"reduction": "none"}
    with quiet():
        shape = np.shape(getattr(F, case.name)(*sample.args, **{**sample.kwargs, **reduction}))
    chosen: dict[str, Array] = {}
    if rng.random() < SELECTED_SHARE:
        chosen["sample_weight"] = positive_weights(rng, shape, "float32")
    if rng.random() < SELECTED_SHARE:
        mask = np.asarray(rng.random(shape) < 0.7)
        mask.flat[: min(1, mask.size)] = True
        chosen["mask"] = mask
    return Sample(sample.choices, sample.args, {**sample.kwargs, **chosen}, sample.grad_output)


def with_axis(case: LossCase, axis: int, sample: Sample) -> Sample:
    """The sample with its axis of classes or features moved; operands that are broadcast get as many dimensions first."""
    ndim = max(map(np.ndim, sample.args))

    def moved(array: Array) -> Array:
        if case.name == "multilabel_soft_margin_loss":
            array = array[(None,) * (ndim - array.ndim)]
        return np.moveaxis(array, usual_axis(case.name), axis) if array.ndim == ndim > 1 else array

    return with_moved(sample, moved, axis=axis)


def on_the_usual_axis(case: LossCase, axis: int, sample: Sample) -> Sample:
    ndim = max(map(np.ndim, sample.args))

    def moved(array: Array) -> Array:
        return np.moveaxis(array, axis, usual_axis(case.name)) if array.ndim == ndim > 1 else array

    return with_moved(sample, moved)


def with_moved(sample: Sample, moved: Callable[[Array], Array], **axis: int) -> Sample:
    """Operands, and weights of more than one dimension, with the axis moved; and with that option or without it."""
    kwargs = {name: v for name, v in sample.kwargs.items() if name != "axis"}
    if np.ndim(kwargs.get("weight")) > 1:
        kwargs["weight"] = moved(kwargs["weight"])
    return Sample(sample.choices, tuple(map(moved, sample.args)), {**kwargs, **axis}, sample.grad_output)


def named_dtype(name: str) -> np.dtype[Any]:
    return np.dtype(name if name.startswith("float") and "_" not in name else getattr(importlib.import_module("ml_dtypes"), name))


def narrowed(array: Array, dtype: np.dtype[Any]) -> Array:
    """Floating numbers in that dtype, none of them beyond its largest."""
    if array.dtype.kind != "f":
        return array
    largest = float(info_of(dtype).max)
    return np.asarray(np.clip(array.astype(np.float64), -largest, largest)).astype(dtype)


def widened(array: Array) -> Array:
    return array.astype(array.dtype if array.dtype.kind in "iub" else np.float64, order="C")


@st.composite
def any_calls(draw: st.DrawFn, names: tuple[str, ...]) -> AnyCall:
    """Hypothesis draws loss, threads and rows; the rest comes from a generator seeded by all that, as above."""
    case, threads = CASE[draw(st.sampled_from(names))], draw(st.sampled_from(THREADS_DRAWN))
    rows = None if case.batch is None else draw(st.sampled_from((None, None, None, *ANY_ROWS)))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(list(repr((case.name, threads, rows, seed)).encode()))
    if case.batch is None or rows is None:
        sample = case.draw(rng, "float32", choices_of(case, rng))
    else:
        batch, reduction = case.batch(rng, "float32", rows), str(rng.choice(REDUCTIONS))
        some = {name: v for name, v in batch.kwargs.items() if rng.random() < 0.7}
        sample = with_upstream(case, Sample({}, batch.args, some, None))
        upstream = sample.grad_output if reduction == "none" else SCALAR_UPSTREAM
        sample = Sample({}, sample.args, {**some, "reduction": reduction}, upstream)
    axis = out = None
    if case.is_loss:
        sample = with_selection(case, rng, sample)
        out = str(rng.choice(WRITABLE)) if rng.random() < OUT_SHARE else None
    if case.name in AXIS_TAKEN and np.ndim(sample.args[0]) > 0 and rng.random() < AXIS_SHARE:
        ndim = max(map(np.ndim, sample.args))
        axis = int(rng.integers(-ndim, ndim))
        sample = with_axis(case, axis, sample)
    dtypes: list[str] = []
    layouts: list[str] = []
    stretched: list[bool] = []

    def contiguous(array: Array) -> Array:
        name = str(rng.choice(NUMBERS_DRAWN)) if array.dtype.kind == "f" else array.dtype.name
        stretch = array.ndim > 0 and len(array) > 1 and case.name not in JOINED and rng.random() < STRETCHED_SHARE
        dtypes.append(name)
        stretched.append(bool(stretch))
        if stretch:
            array = np.broadcast_to(array[:1], array.shape)
        return np.array(narrowed(array, named_dtype(name)) if array.dtype.kind == "f" else array, order="C")

    def laid_out(array: Array) -> Array:
        layouts.append(str(rng.choice(list(LAYOUTS))))
        change = LAYOUTS[layouts[-1]]
        if stretched[len(layouts) - 1]:
            return np.broadcast_to(change(array[:1]), array.shape)
        return change(array)

    plain = changed(sample, contiguous)
    given = changed(plain, laid_out)
    wide = changed(plain if axis is None else on_the_usual_axis(case, axis, plain), widened)
    return AnyCall(case.name, given, plain, wide, tuple(dtypes), tuple(layouts), tuple(stretched), threads, rows, axis, out)
