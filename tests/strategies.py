"""Hypothesis strategies: calls of a loss with any options, of any dtype, with a layout of its own for every array."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from cases import LossCase
from layouts import LAYOUTS, changed
from outcomes import SCALAR_UPSTREAM, with_upstream
from samples import REDUCTIONS, Sample

# About 2,000 calls of all losses together; NDLOSS_HYPOTHESIS=deep makes ten times as many.
settings.register_profile("ci", max_examples=200, derandomize=True, deadline=None, print_blob=True)
settings.register_profile("deep", settings.get_profile("ci"), max_examples=2000)
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


def choices_of(case: LossCase, rng: np.random.Generator) -> dict[str, str]:
    """
    An allowed combination of the case table. The axis with most choices is drawn first, or those that few combinations
    have would be rare.
    """
    left = list(case.combinations())
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
