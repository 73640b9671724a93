"""
How a test calls ndloss with a sample of the case table, and the samples themselves with the oracle's answers, drawn
once.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import ndloss as nl
import ndloss.functional as F
from cases import CASE, CASES, LossCase
from reference import Answer
from samples import Sample
from tolerances import BATCHES

DTYPES = ("float16", "float32", "float64")


@functools.cache
def drawn(name: str, dtype: str) -> tuple[tuple[Sample, Answer], ...]:
    """Every option combination of a case with what the oracle says, `grad_output` applied."""
    case = CASE[name]
    rng = np.random.default_rng([CASES.index(case), DTYPES.index(dtype)])
    return tuple((sample, case.answer(sample, grad_output=sample.grad_output)) for sample in case.samples(rng, dtype))


@functools.cache
def batch(name: str, dtype: str, reduction: str, rows: int = BATCHES[-1]) -> tuple[Sample, Answer]:
    """Many rows of random data, and what the oracle says to them."""
    case = CASE[name]
    assert case.batch is not None
    drawn = case.batch(np.random.default_rng([CASES.index(case), DTYPES.index(dtype), rows]), dtype, rows)
    sample = Sample(drawn.choices, drawn.args, {**drawn.kwargs, "reduction": reduction}, None)
    return sample, case.answer(sample)


@contextmanager
def quiet() -> Iterator[None]:
    """Broadcasting is meant here, and so is the mean of divergences."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nl.BroadcastWarning)
        warnings.filterwarnings("ignore", "reduction: 'mean' divides the total loss")
        yield


def value(case: LossCase, sample: Sample) -> Any:
    with quiet():
        return getattr(F, case.name)(*sample.args, **sample.kwargs)


def value_and_grad(case: LossCase, sample: Sample, argnums: Any, **changes: Any) -> tuple[Any, Any]:
    """The function form; `grad_output` is the sample's unless it is among `changes`."""
    keywords = {"grad_output": sample.grad_output, **sample.kwargs, **changes}
    with quiet():
        pair: tuple[Any, Any] = nl.value_and_grad(getattr(F, case.name), argnums=argnums)(*sample.args, **keywords)
    return pair


def criterion(case: LossCase, sample: Sample) -> Any:
    """The class form with the sample's options, None where the class does not take one of them."""
    if not set(sample.kwargs) <= set(case.constructor):
        return None
    return getattr(nl, case.class_name)(**sample.kwargs)


def bits(number: Any) -> tuple[str, tuple[int, ...], bytes]:
    """What equal results have in common; the sign and payload of a NaN mean nothing, they are the compiler's choice."""
    array = np.asarray(number)
    array = np.where(np.isnan(array), array.dtype.type(np.nan), array)
    return array.dtype.str, array.shape, array.tobytes()
