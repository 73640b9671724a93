"""ndloss against torch 2.13: recorded samples and rows, and every option combination live where torch is installed."""

from __future__ import annotations

import inspect
from collections import Counter
from typing import Any

import numpy as np
import pytest

import golden_store
import ndloss as nl
import ndloss.functional as F
from calls import bits, drawn, quiet, value, value_and_grad
from cases import CASE, CASES, LOSSES, LossCase
from edge_rows import EDGE_ROWS, EdgeRow
from reference import Bounded
from samples import FLOATS, Sample
from tolerances import SEEDS, Judge, assert_within, beside_torch, magnitude

RECORDED = golden_store.load(golden_store.FOLDER / "rows.npz")
OUTCOMES: dict[str, Any] = RECORDED["outcomes"]
SIGNATURES: dict[str, Any] = RECORDED["signatures"]


def judged(numbers: Any, oracle: Bounded, size: float) -> Bounded:
    """torch's numbers in the place of the oracle's, judged in ULP of the terms and of what torch subtracts."""
    return beside_torch(Bounded(np.asarray(numbers).astype(np.longdouble), oracle.scale), size)


def compare(judge: Judge, case: LossCase, sample: Sample, torch_value: Any, torch_grads: dict[str, Any]) -> None:
    answer = case.answer(sample, grad_output=sample.grad_output)
    size = magnitude(sample.args, sample.kwargs)
    upstream = size * max(1.0, float(np.max(np.abs(sample.grad_output), initial=0)))
    names = tuple(torch_grads)
    found, grads = value_and_grad(case, sample, names)
    for one in (found, value(case, sample)):
        judge.compare(one, judged(torch_value, answer.value, size), "torch", sample)
    assert len(grads) == len(names)
    for name, grad in zip(names, grads, strict=True):
        expected = judged(torch_grads[name], answer.grads[name], upstream)
        # torch was given one dtype throughout: its gradient of a float64 weight beside float32 data is in float32.
        coarsest = min((torch_grads[name].dtype, found.dtype), key=lambda d: np.finfo(d).nmant)
        judge.compare(grad, expected, "torch", ("d " + name, sample), coarsest)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_recorded_samples_agree(case: LossCase, dtype: str, compared: Counter[str]) -> None:
    golden = golden_store.load(golden_store.FOLDER / f"{case.name}.npz")
    with Judge() as judge:
        for record in golden["samples"][dtype]:
            sample = Sample(record["choices"], tuple(record["args"]), record["kwargs"], record["grad_output"])
            compare(judge, case, sample, record["value"], record["grads"])
            compared["ndloss against recorded torch, value and gradients"] += 1


@pytest.mark.parametrize("row", [row for row in EDGE_ROWS if not row.differs], ids=str)
def test_recorded_rows_agree(row: EdgeRow, compared: Counter[str]) -> None:
    for dtype in row.dtypes:
        for reduction in row.reductions:
            outcome = OUTCOMES[str(row)][f"{dtype} {reduction}"]
            args, kwargs = row.call(reduction, dtype)
            recorded = np.array(outcome["value"], dtype).reshape(outcome["shape"])
            expected = judged(recorded, CASE[row.name].reference(*args, **kwargs).value, magnitude(args, kwargs))
            assert_within(getattr(F, row.name)(*args, **kwargs), expected, "torch")
            compared["ndloss against recorded torch, edge rows"] += 1


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_live_samples_agree(case: LossCase, dtype: str, seed: int, compared: Counter[str]) -> None:
    pytest.importorskip("torch")
    import torch_oracle

    with Judge() as judge:
        for sample in case.samples(np.random.default_rng([seed, 20]), dtype):
            compare(judge, case, sample, *torch_oracle.sample_call(case, sample))
            compared["ndloss against live torch, value and gradients"] += 1


def parameters(callable_: Any) -> list[list[Any]]:
    found = inspect.signature(callable_).parameters.values()
    positional = [p for p in found if p.kind is p.POSITIONAL_OR_KEYWORD]
    return [[p.name] if p.default is p.empty else [p.name, p.default] for p in positional]


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_begin_as_in_torch(name: str) -> None:
    """Names, order and defaults; arguments of ours come after, or are keyword-only."""
    ours = parameters(getattr(F, name, None) or getattr(nl, name))
    assert ours[: len(SIGNATURES[name])] == SIGNATURES[name]


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_every_argument_of_torch_may_be_positional(case: LossCase) -> None:
    for sample, _ in drawn(case.name, "float32"):
        defaults = dict(SIGNATURES[case.name][len(case.operands) :])
        positional = [sample.kwargs.get(name, default) for name, default in defaults.items()]
        by_name = {name: option for name, option in sample.kwargs.items() if name not in defaults}
        with quiet():
            found = getattr(F, case.name)(*sample.args, *positional, **by_name)
        assert bits(found) == bits(value(case, sample)), str(sample)


@pytest.mark.parametrize("case", [case for case in CASES if case.bare], ids=str)
def test_classes_have_the_attributes_and_the_text_of_torch(case: LossCase) -> None:
    criterion = getattr(nl, case.class_name)()
    for name, default in SIGNATURES.get(case.class_name, []):
        if name not in ("size_average", "reduce"):
            assert getattr(criterion, name) == default
    shown = "dim=None" if case.constructor == ("dim",) else ""
    assert repr(criterion) == f"{case.class_name}({shown})"
