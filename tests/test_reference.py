"""The oracle against 400-digit arithmetic and against torch: recorded, and live where torch is installed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import exact
import golden_store
import reference
from cases import CASE, CASES, LossCase
from edge_rows import BROADCAST_MEAN, EDGE_ROWS, ERROR_ROWS, WARNING_ROWS, EdgeRow, ErrorRow, WarningRow
from reference import ORACLE_ULP, Bounded
from rows.row import arguments
from samples import FLOATS, Sample
from tolerances import SEEDS, ULP, Judge, assert_printed, assert_within, beside_torch, excess, magnitude
from ulp import ulp

GOLDEN = golden_store.load(golden_store.FOLDER / "rows.npz")
OUTCOMES: dict[str, Any] = GOLDEN["outcomes"]

# Where torch is merely less accurate: it agrees to an ULP of the largest logit, not to one of the result.
ACCURACY_ONLY = ("D8", "D20")


def true_ulp(found: npt.NDArray[np.longdouble], exactly: Any, scale: npt.ArrayLike) -> float:
    """Distance in float64 ULP between two numbers neither of which is rounded to float64."""
    error = np.abs(found - np.asarray(exactly, np.longdouble))
    return float(np.max(error / ulp(np.maximum(np.abs(found), scale), np.float64)))


def assert_oracle(expected: Bounded, exactly: Any) -> None:
    assert true_ulp(expected.value, exactly, expected.scale) <= ULP["oracle"]["float64"] + ORACLE_ULP


RNG = np.random.default_rng(7)
TAILS = [0.0, 17.0, -17.0, 20.0, -20.0, 36.0, -36.0, 40.0, -40.0, 100.0, -100.0, 200.0, -200.0, 1e-8, -1e-8]
LOGITS = np.array([*RNG.normal(0, 5, 60), *RNG.normal(0, 60, 40), *TAILS])
TARGETS = np.array([*RNG.random(100), *RNG.choice([0.0, 1.0, 0.5], 15)])
POS_WEIGHTS = RNG.integers(8, 256, 115) / 64
PROBABILITIES = np.array([*RNG.random(100), 0, 1, 0.5, 1e-43, 3.7e-44, 1e-300, 1 - 1e-13, 1 - 2.0**-53, 1e-12, *RNG.random(6) ** 9])


@pytest.mark.parametrize(
    ("name", "operands", "arguments_"),
    [
        ("mse_loss", (LOGITS, TARGETS), ("input", "target")),
        ("binary_cross_entropy", (PROBABILITIES, TARGETS), ("input", "target")),
        ("binary_cross_entropy_with_logits", (LOGITS, TARGETS), ("input", "target")),
        ("sigmoid", (LOGITS,), ("input",)),
        ("logsigmoid", (LOGITS,), ("input",)),
    ],
)
def test_elementwise_oracle_is_right(name: str, operands: tuple[Any, ...], arguments_: tuple[str, ...]) -> None:
    kwargs = {"reduction": "none"} if CASE[name].is_loss else {}
    answer = CASE[name].reference(*operands, **kwargs)
    assert_oracle(answer.value, [exact.value(name, *numbers) for numbers in zip(*operands, strict=True)])
    # The closed form of BCE's gradient is clamped near 0 and 1: there it is no derivative, and torch is its only judge.
    inside = (operands[0] > 1e-6) & (operands[0] < 0.999) if name == "binary_cross_entropy" else np.ones(operands[0].shape, bool)
    for position, argument in enumerate(arguments_):
        slopes = [exact.derivative(name, position, *numbers) for numbers in np.transpose(operands)[inside]]
        slope = answer.grads[argument]
        assert_oracle(Bounded(slope.value[inside], slope.scale[inside]), slopes)


def test_pos_weight_oracle_is_right() -> None:
    name, operands = "binary_cross_entropy_with_logits", (LOGITS, TARGETS, POS_WEIGHTS)
    answer = reference.binary_cross_entropy_with_logits(LOGITS, TARGETS, pos_weight=POS_WEIGHTS, reduction="none")
    assert_oracle(answer.value, [exact.value(name, *numbers) for numbers in zip(*operands, strict=True)])
    for position, argument in enumerate(("input", "target")):
        slopes = [exact.derivative(name, position, *numbers) for numbers in zip(*operands, strict=True)]
        assert_oracle(answer.grads[argument], slopes)


def test_multilabel_oracle_is_right() -> None:
    answer = reference.multilabel_soft_margin_loss(LOGITS[:, None], TARGETS[:, None], reduction="none")
    pairs = list(zip(LOGITS, TARGETS, strict=True))
    assert_oracle(answer.value, [exact.value("multilabel_soft_margin_loss", x, y) for x, y in pairs])
    slopes = [[exact.derivative("multilabel_soft_margin_loss", 0, x, y)] for x, y in pairs]
    assert_oracle(answer.grads["input"], slopes)


@pytest.mark.parametrize("spread", [0.1, 5.0, 40.0])
def test_rowwise_oracle_is_right(spread: float) -> None:
    for row, shares in zip(RNG.normal(0, spread, (5, 6)), RNG.random((5, 6)), strict=True):
        assert_oracle(reference.softmax(row, 0).value, exact.softmax(row))
        assert_oracle(reference.log_softmax(row, 0).value, exact.log_softmax(row))
        answer = reference.cross_entropy(row, shares, reduction="none")
        loss, slopes = exact.cross_entropy(row, shares)
        assert_oracle(answer.value, loss)
        assert_oracle(answer.grads["input"], slopes)


def compare(judge: Judge, case: LossCase, sample: Sample, found: Any, grads: dict[str, Any]) -> None:
    """torch's numbers for a sample of the case table are the oracle's."""
    answer = case.answer(sample, grad_output=sample.grad_output)
    size = magnitude(sample.args, sample.kwargs)
    upstream = size * max(1.0, float(np.max(np.abs(sample.grad_output), initial=0)))
    assert set(grads) == set(answer.grads)
    judge.compare(found, beside_torch(answer.value, size), "torch", sample)
    for name, grad in grads.items():
        judge.compare(grad, beside_torch(answer.grads[name], upstream), "torch", ("d " + name, sample), answer.dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_golden_samples_agree(case: LossCase, dtype: str, compared: Counter[str]) -> None:
    golden = golden_store.load(golden_store.FOLDER / f"{case.name}.npz")
    assert golden["torch"].startswith("2.13.0")
    with Judge() as judge:
        for record in golden["samples"][dtype]:
            sample = Sample(record["choices"], tuple(record["args"]), record["kwargs"], record["grad_output"])
            compare(judge, case, sample, record["value"], record["grads"])
            compared["oracle against recorded torch"] += 1


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_live_samples_agree(case: LossCase, dtype: str, compared: Counter[str]) -> None:
    pytest.importorskip("torch")
    import torch_oracle

    with Judge() as judge:
        for sample in case.samples(np.random.default_rng(SEEDS[0]), dtype):
            compare(judge, case, sample, *torch_oracle.sample_call(case, sample))
            compared["oracle against live torch"] += 1


@pytest.mark.parametrize("row", EDGE_ROWS, ids=str)
def test_edge_rows_hold_for_the_oracle(row: EdgeRow) -> None:
    for dtype in row.dtypes:
        for reduction in row.reductions:
            args, kwargs = row.call(reduction, dtype)
            answer = CASE[row.name].reference(*args, **kwargs)
            assert answer.dtype == dtype
            if reduction in row.expected:
                assert_printed(answer.value.value, row.expected[reduction], row.digits, dtype)
            for (key, argument), slope in row.grads.items():
                if key == reduction:
                    assert_printed(answer.grads[argument].value, slope, row.digits, dtype)


def torch_agrees(row: EdgeRow, dtype: str, reduction: str) -> bool:
    """Whether torch's recorded answer to the call is the oracle's, in value, dtype and gradients."""
    outcome = OUTCOMES[str(row)][f"{dtype} {reduction}"]
    if "exception" in outcome or outcome["dtype"] != dtype:
        return False
    args, kwargs = row.call(reduction, dtype)
    answer = CASE[row.name].reference(*args, **kwargs)
    size = magnitude(args, kwargs)
    value = np.array(outcome["value"], dtype).reshape(outcome["shape"])
    if value.shape != answer.value.value.shape or excess(value, beside_torch(answer.value, size), "torch") > 1:
        return False
    for argument, recorded in outcome.get("grads", {}).items():
        if isinstance(recorded, str):  # torch cannot differentiate what it computed: (C,) with a target of one element
            continue
        slope = answer.grads[argument]
        if excess(np.array(recorded, dtype).reshape(slope.value.shape), beside_torch(slope, size), "torch") > 1:
            return False
    return True


@pytest.mark.parametrize("row", EDGE_ROWS, ids=str)
def test_torch_answers_edge_rows_alike_unless_the_row_says_otherwise(row: EdgeRow) -> None:
    alike = {f"{dtype} {reduction}": torch_agrees(row, dtype, reduction) for dtype in row.dtypes for reduction in row.reductions}
    if not row.differs or row.differs in ACCURACY_ONLY:
        assert all(alike.values()), alike
    else:
        assert not all(alike.values()), f"{row.differs}: torch does the same"


@pytest.mark.parametrize("row", [row for row in EDGE_ROWS if row.differs in ACCURACY_ONLY], ids=str)
def test_torch_loses_accuracy_where_the_row_says_so(row: EdgeRow) -> None:
    reduction = row.reductions[0]
    for dtype in row.dtypes:
        args, kwargs = row.call(reduction, dtype)
        recorded = np.array(OUTCOMES[str(row)][f"{dtype} {reduction}"]["value"], dtype)
        assert excess(recorded, CASE[row.name].reference(*args, **kwargs).value, "unreduced") > 1


@pytest.mark.parametrize("row", WARNING_ROWS, ids=str)
def test_torch_warns_alike(row: WarningRow) -> None:
    recorded = OUTCOMES[str(row)]["warnings"]
    assert [category for category, _ in recorded] == [row.torch_category]
    if row.category != "BroadcastWarning":  # ours names shapes as NumPy writes them
        assert all(fragment in recorded[0][1] for fragment in row.fragments)


@pytest.mark.parametrize("row", [row for row in WARNING_ROWS if row.same is not None], ids=str)
def test_torch_warns_about_the_same_value(row: WarningRow) -> None:
    args, kwargs = row.call("float32")
    silent = {key: value for key, value in kwargs.items() if key not in ("size_average", "reduce")} | dict(row.same or {})
    recorded = np.array(OUTCOMES[str(row)]["value"], np.float32)
    assert_within(recorded, beside_torch(CASE[row.name].reference(*args, **silent).value, 1.0), "torch")


@pytest.mark.parametrize("row", ERROR_ROWS, ids=str)
def test_torch_refuses_alike_unless_the_row_says_otherwise(row: ErrorRow) -> None:
    assert ("exception" in OUTCOMES[str(row)]) != bool(row.differs)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("args", "kwargs", "mean"), BROADCAST_MEAN)
def test_broadcast_means_hold_for_the_oracle(args: tuple[Any, ...], kwargs: dict[str, Any], mean: float, dtype: str) -> None:
    called, options = arguments(args, kwargs, dtype)
    assert_printed(reference.mse_loss(*called, **options).value.value, mean, 6, dtype)


def test_rows_are_told_apart_by_their_text() -> None:
    rows = [*EDGE_ROWS, *WARNING_ROWS, *ERROR_ROWS]
    assert len({str(row) for row in rows}) == len(rows) == len(OUTCOMES)
