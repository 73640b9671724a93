"""
Values of ndloss against the oracle: every option combination, large batches, half precision; and what kind of object
is returned.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

import numpy as np
import pytest

from calls import DTYPES, batch, bits, criterion, drawn, quiet, value
from cases import CASE, CASES, LOSSES, LossCase
from reference import Bounded
from samples import FLOATS, Sample
from tolerances import BATCHES, Judge, assert_within

PATTERNS = {"random": "many", "constant": "constants and ramps", "ramp": "constants and ramps"}


def patterned(case: LossCase, sample: Sample, pattern: str) -> Sample:
    """A batch whose rows are all the first one, or whose inputs rise evenly through the domain."""
    if pattern == "random":
        return sample
    x, *others = sample.args
    others = [np.broadcast_to(other[-1:], other.shape).copy() for other in others]
    if pattern == "constant":
        x = np.broadcast_to(x[:1], x.shape).copy()
    else:
        domain = next(iter(case.domain.values()))
        x = np.linspace(domain.low, domain.high, x.size).reshape(x.shape).astype(x.dtype)
    return Sample(sample.choices, (x, *others), sample.kwargs, None)


@functools.cache
def large(name: str, dtype: str, pattern: str, reduction: str, rows: int) -> tuple[Sample, Bounded]:
    sample = patterned(CASE[name], batch(name, dtype, reduction, rows)[0], pattern)
    return sample, CASE[name].answer(sample).value


@pytest.mark.core
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_option_combination_is_within_the_bound(case: LossCase, dtype: str, compared: Counter[str]) -> None:
    with Judge() as judge:
        for sample, answer in drawn(case.name, dtype):
            found = value(case, sample)
            assert found.dtype == answer.dtype, str(sample)
            kind = "unreduced" if sample.kwargs.get("reduction", "none") == "none" else "few"
            judge.compare(found, answer.value, kind, sample)
            compared["values against the oracle"] += 1


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reduced_values_are_scalars_and_unreduced_ones_arrays(case: LossCase) -> None:
    for sample, answer in drawn(case.name, "float32"):
        found = value(case, sample)
        if sample.kwargs.get("reduction", "none") != "none":
            assert isinstance(found, np.generic)
        elif answer.value.value.ndim:
            assert type(found) is np.ndarray
            assert found.dtype.isnative
            assert found.flags.c_contiguous
            assert found.flags.writeable
        else:
            assert isinstance(found, np.generic | np.ndarray)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_class_has_the_bits_of_the_function(case: LossCase) -> None:
    seen = 0
    for sample, _ in drawn(case.name, "float32"):
        called = criterion(case, sample)
        if called is not None:
            with quiet():
                assert bits(called(*sample.args)) == bits(value(case, sample)), str(sample)
            seen += 1
    assert seen


@pytest.mark.core
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_large_batches_are_within_the_bound(case: LossCase, dtype: str, pattern: str, compared: Counter[str]) -> None:
    for rows in BATCHES:
        for reduction in ("mean", "sum"):
            sample, expected = large(case.name, dtype, pattern, reduction, rows)
            assert_within(value(case, sample), expected, PATTERNS[pattern], f"{reduction} of {rows} rows")
            compared["large batches against the oracle"] += 1


def test_float16_batches_are_accumulated_wide() -> None:
    """D12: in torch the mean of 100,000 equal rows is NaN."""
    x, y = np.zeros((100_000, 10), np.float16), np.zeros(100_000, np.int64)
    for case, logits in ((CASE["cross_entropy"], x), (CASE["nll_loss"], x - np.float16(2.302585))):
        sample = Sample({}, (logits, y), {"reduction": "mean"}, None)
        assert_within(value(case, sample), case.answer(sample).value, "few")


def test_arguments_are_left_alone() -> None:
    for case in CASES:
        for sample, _ in drawn(case.name, "float32"):
            arrays: list[Any] = [a for a in (*sample.args, *sample.kwargs.values()) if isinstance(a, np.ndarray)]
            before = [a.tobytes() for a in arrays]
            value(case, sample)
            assert [a.tobytes() for a in arrays] == before
