"""
Policy: options that a call and a constructor take alike, the axis of classes and features, strict shapes, targets that
do not count; and how the losses of vectors and sequences, whose rows are reduced apart, take weights, masks and `out`.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F

ROWS, CLASSES, FRAMES = 6, 4, 7
MASK = np.array([True, True, False, True, False, True])
WEIGHTS = np.array([0.5, 2.0, 1.0, 0.0, 3.0, 1.25])


def _draw(seed: int, *shape: int) -> Any:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


X, Y, Z = (_draw(seed, ROWS, CLASSES) for seed in range(3))
LABELS = np.array([0, 3, 1, 2, 2, 0])
ANSWERS = np.array([1, -1, 1, 1, -1, -1])
SETS = np.array([[0, -1, -1, -1], [3, 1, -1, -1], [2, -1, 0, 0], [-1, -1, -1, -1], [1, 2, 3, -1], [0, 3, -1, -1]])
BITS = (Y > 0).astype(np.float32)
PROBABILITIES = 1 / (1 + np.exp(-X))
LOG_PROBS = F.log_softmax(_draw(3, FRAMES, ROWS, CLASSES), 2)
TRANSCRIPTS = np.array([[1, 2, 3], [2, 2, 1], [3, 1, 1], [1, 3, 2], [2, 1, 3], [3, 3, 3]])
CTC = (TRANSCRIPTS, [7, 7, 6, 5, 7, 6], [3, 2, 1, 3, 0, 2])


def squared(x: Any, y: Any) -> Any:
    d = x - y
    return (d * d).sum(-1), 2 * d, -2 * d


@dataclass(frozen=True)
class Call:
    """A class, and what it is called with."""

    name: str
    args: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)
    made_of: tuple[Any, ...] = ()

    def __call__(self, **options: Any) -> Any:
        """The criterion."""
        return getattr(nl, self.name)(*self.made_of, **self.options, **options)

    def __str__(self) -> str:
        return "-".join((self.name, *map(str, self.options)))


REGRESSION = tuple(Call(name, (X, Y)) for name in ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss", "PoissonNLLLoss"))
BINARY = (
    Call("BCELoss", (PROBABILITIES, BITS)),
    Call("BCEWithLogitsLoss", (X, BITS)),
    Call("MultiLabelSoftMarginLoss", (X, BITS)),
    Call("SoftMarginLoss", (X, np.sign(Y))),
    Call("HingeEmbeddingLoss", (X, np.sign(Y))),
)
OTHERS = (
    Call("KLDivLoss", (X, PROBABILITIES), {"reduction": "batchmean"}),
    Call("GaussianNLLLoss", (X, Y, PROBABILITIES)),
    Call("MarginRankingLoss", (X, Y, np.sign(Z))),
)
CLASSED = (
    Call("CrossEntropyLoss", (X, LABELS)),
    Call("NLLLoss", (X, LABELS)),
    Call("MultiMarginLoss", (X, LABELS)),
    Call("MultiLabelMarginLoss", (X, SETS)),
)
VECTORS = (
    Call("CosineEmbeddingLoss", (X, Y, ANSWERS)),
    Call("TripletMarginLoss", (X, Y, Z)),
    Call("TripletMarginLoss", (X, Y, Z), {"swap": True}),
    Call("TripletMarginWithDistanceLoss", (X, Y, Z)),
    Call("TripletMarginWithDistanceLoss", (X, Y, Z), {"distance_function": squared}),
)
SEQUENCES = (Call("CTCLoss", (LOG_PROBS, *CTC)),)
LINEAR = (Call("LinearCrossEntropyLoss", (X, LABELS), {"rng": 0}, (CLASSES, CLASSES)),)
CALLS = (*REGRESSION, *BINARY, *OTHERS, *CLASSED, *VECTORS, *SEQUENCES, *LINEAR)
APART = (*VECTORS, *SEQUENCES)  # reduced by another call
each = pytest.mark.parametrize("call", CALLS, ids=str)
each_apart = pytest.mark.parametrize("call", APART, ids=str)


def test_every_class_is_called_here() -> None:
    classes = {n for n in nl.__all__ if isinstance(getattr(nl, n), type) and issubclass(getattr(nl, n), nl.Loss)} - {"Loss"}
    assert {call.name for call in CALLS} == classes


# ---- policy of a constructor ----


@each
def test_policy_is_part_of_equality_and_pickling(call: Call) -> None:
    made = call(empty="zero", validate=False)
    assert made == call(empty="zero", validate=False)
    assert made != call()
    assert made != call(empty="raise", validate=False)
    # A callable of this module has no name that pickle finds.
    if "distance_function" not in call.options:
        assert pickle.loads(pickle.dumps(made)) == made
        assert pickle.loads(pickle.dumps(made)).policy == {"empty": "zero", "validate": False}


@each
def test_a_representation_names_the_policy_that_was_given(call: Call) -> None:
    assert "empty" not in repr(call())
    assert "empty='zero'" in repr(call(empty="zero"))
    if call.name != "LinearCrossEntropyLoss":
        assert "dtype='float64'" in repr(call(dtype=np.float64))


@each
def test_constructors_check_their_policy(call: Call) -> None:
    for wrong in ({"empty": "never"}, {"validate": 1}, {"broadcast": None}, {"surprise": True}, {"sample_weight": [1.0]}):
        with pytest.raises((ValueError, TypeError), match=call.name):
            call(**wrong)
    with pytest.raises((ValueError, TypeError), match=call.name):
        call(dtype="int32")


@each
def test_the_same_dtype_is_the_same_policy(call: Call) -> None:
    if call.name != "LinearCrossEntropyLoss":
        assert call(dtype="float64") == call(dtype=np.float64) == call(dtype=np.dtype(">f8"))


@each
def test_a_criterion_hands_its_policy_on_and_a_call_goes_before_it(call: Call) -> None:
    nothing = {"mask": np.zeros((), bool)}
    with pytest.raises(ValueError, match="empty='raise'"):
        call(empty="raise")(*call.args, **nothing)
    assert call(empty="raise")(*call.args, **nothing, empty="zero") == 0
    assert np.isnan(call(empty="zero")(*call.args, **nothing, empty="nan"))
    if call.name != "LinearCrossEntropyLoss":
        assert call(dtype="float16")(*call.args).dtype == np.float16
        assert call(dtype="float16")(*call.args, dtype="float64").dtype == np.float64


@each
def test_gradients_have_the_dtype_that_is_asked_for(call: Call) -> None:
    value, grad = call().value_and_grad(*call.args, dtype=np.float64)
    assert value.dtype == grad.dtype == np.float64
    _, usual = call().value_and_grad(*call.args)
    np.testing.assert_allclose(grad, usual, rtol=1e-5, atol=1e-6)


@each
def test_an_accumulator_honours_the_policy(call: Call) -> None:
    assert call(empty="zero").accumulator().compute() == 0
    with pytest.raises(ValueError, match="empty='raise'"):
        call(empty="raise").accumulator().compute()
    if call.name != "LinearCrossEntropyLoss":
        acc = call(dtype=np.float64).accumulator()
        acc.update(*call.args)
        assert acc.compute().dtype == np.float64


@each
def test_an_unreduced_loss_has_no_divisor(call: Call) -> None:
    with pytest.raises(ValueError, match="return_divisor"):
        getattr(nl, call.name)(*call.made_of, **{**call.options, "reduction": "none"})(*call.args, return_divisor=True)


# ---- axis ----

MOVED: tuple[tuple[Call, int, Callable[[Any], Any]], ...] = tuple(
    (call, 0, np.transpose) for call in (*CLASSED, *VECTORS, BINARY[2])
)


def moved(call: Call, change: Callable[[Any], Any]) -> tuple[Any, ...]:
    return tuple(change(array) if np.ndim(array) > 1 else array for array in call.args)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize(("call", "axis", "change"), MOVED, ids=lambda item: str(item) if isinstance(item, Call) else "")
def test_an_axis_may_lie_anywhere(call: Call, axis: int, change: Callable[[Any], Any], reduction: str) -> None:
    usual, other = call(reduction=reduction), call(reduction=reduction, axis=axis)
    args = moved(call, change)
    for same in (other, call(reduction=reduction, axis=axis - 2)):
        value, grad = same.value_and_grad(*args)
        expected, wanted = usual.value_and_grad(*call.args)
        np.testing.assert_array_equal(value, expected)
        np.testing.assert_array_equal(grad, change(wanted))
        out = np.full_like(args[0], np.nan)
        assert same.grad(*args, out=out) is out
        np.testing.assert_array_equal(out, grad)
    np.testing.assert_array_equal(usual(*args, axis=axis), expected)
    assert other != usual
    with pytest.raises(np.exceptions.AxisError, match="axis"):
        usual(*args, axis=2)
    with pytest.raises(TypeError, match="axis"):
        usual(*args, axis=0.5)


@pytest.mark.parametrize("function", [F.cross_entropy, F.nll_loss])
def test_channels_may_come_last(function: Any) -> None:
    maps, labels = _draw(5, 2, 4, 5, 3), np.random.default_rng(6).integers(0, 3, (2, 4, 5))
    first = np.moveaxis(maps, -1, 1)
    for options in ({}, {"weight": [0.5, 1.0, 2.0]}, {"reduction": "none"}):
        value, grad = nl.value_and_grad(function)(maps, labels, axis=-1, **options)
        expected, wanted = nl.value_and_grad(function)(first, labels, **options)
        np.testing.assert_array_equal(value, expected)
        np.testing.assert_array_equal(np.moveaxis(grad, -1, 1), wanted)
    bad = labels.copy()
    bad[1, 2, 3] = 9
    with pytest.raises(IndexError, match=r"target\[1, 2, 3\] is 9"):
        function(maps, bad, axis=-1)


def test_the_shape_of_the_target_decides_on_any_axis() -> None:
    shares = np.abs(_draw(7, 5, CLASSES))
    logits = _draw(8, 5, CLASSES)
    assert F.cross_entropy(logits.T, shares.T, axis=0) == F.cross_entropy(logits, shares)
    with pytest.raises(TypeError, match=r"target\.argmax\(0\)"):
        F.cross_entropy(logits.T, np.ones((CLASSES, 5), int), axis=0)
    with pytest.raises(ValueError, match=r"target must have shape \(5,\)"):
        F.cross_entropy(logits.T, np.zeros(CLASSES, int), axis=0)


def test_a_bad_label_is_named_where_it_stands_on_another_axis() -> None:
    sets = SETS.copy()
    sets[2, 3] = 7
    with pytest.raises(IndexError, match=r"target\[3, 2\] is 7"):
        F.multilabel_margin_loss(X.T, sets.T, axis=0)


def test_multilabel_weights_lie_along_the_classes() -> None:
    maps, bits = _draw(9, 2, 3, 4, 5), _draw(10, 2, 3, 4, 5) > 0
    last = (np.moveaxis(maps, 1, -1), np.moveaxis(bits, 1, -1))
    for weight, weight_last in (
        (np.array([0.5, 1.0, 2.0]), np.array([0.5, 1.0, 2.0])),
        (np.abs(_draw(11, 3, 1, 5)), np.moveaxis(np.abs(_draw(11, 3, 1, 5)), 0, -1)),
    ):
        names = ("input", "target", "weight")
        value, grads = nl.MultiLabelSoftMarginLoss(weight, axis=1).value_and_grad(maps, bits, argnums=names)
        expected, wanted = nl.MultiLabelSoftMarginLoss(weight_last).value_and_grad(*last, argnums=names)
        assert value == expected
        np.testing.assert_array_equal(np.moveaxis(grads[0], 1, -1), wanted[0])
        np.testing.assert_array_equal(np.moveaxis(grads[1], 1, -1), wanted[1])
        assert grads[2].shape == weight.shape
        np.testing.assert_array_equal(np.sort(grads[2], axis=None), np.sort(wanted[2], axis=None))


def test_multilabel_second_derivatives_on_any_axis() -> None:
    maps, bits = _draw(9, 2, 3, 4), _draw(10, 2, 3, 4) > 0
    out = (np.empty_like(maps), np.empty_like(maps))
    grad, hess = nl.MultiLabelSoftMarginLoss(axis=1).grad_hess(maps, bits, out=out)
    wanted = nl.MultiLabelSoftMarginLoss().grad_hess(np.moveaxis(maps, 1, -1), np.moveaxis(bits, 1, -1))
    assert grad is out[0]
    assert hess is out[1]
    for found, expected in zip((grad, hess), wanted, strict=True):
        np.testing.assert_array_equal(np.moveaxis(found, 1, -1), expected)


# ---- strict shapes ----

BROADCAST = (
    *((call.name, (X, Y[:1])) for call in REGRESSION),
    ("KLDivLoss", (X, PROBABILITIES[:1])),
    ("GaussianNLLLoss", (X, Y[:1], PROBABILITIES)),
    ("MarginRankingLoss", (X, Y[:1], np.sign(Z))),
    ("MarginRankingLoss", (X, Y, np.sign(Z[:1]))),
    ("HingeEmbeddingLoss", (X, np.sign(Y[:1]))),
    ("SoftMarginLoss", (X, np.sign(Y[:1]))),
    ("MultiLabelSoftMarginLoss", (X, BITS[:1])),
    ("CosineEmbeddingLoss", (X, Y[:1], ANSWERS)),
    ("CosineEmbeddingLoss", (X, Y, ANSWERS[:1])),
    ("TripletMarginLoss", (X, Y[:1], Z)),
    ("TripletMarginWithDistanceLoss", (X, Y, Z[:, :1])),
)


@pytest.mark.parametrize(("name", "args"), BROADCAST, ids=[name for name, _ in BROADCAST])
def test_strict_shapes_refuse_what_is_broadcast_otherwise(name: str, args: tuple[Any, ...]) -> None:
    cls = getattr(nl, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isfinite(cls()(*args))
    with warnings.catch_warnings():
        warnings.simplefilter("error", nl.BroadcastWarning)
        warnings.filterwarnings("ignore", "reduction: 'mean' divides the total loss")
        with pytest.raises(ValueError, match=r"\(6,(?: 4)?\).*\((?:1|6)(?:, 4|, 1|,)?\)"):
            cls(broadcast=False)(*args)


@each
def test_strict_shapes_take_what_is_of_one_shape(call: Call) -> None:
    np.testing.assert_array_equal(call(broadcast=False)(*call.args), call()(*call.args))


def test_distances_are_strict_where_it_is_asked_for() -> None:
    for function in (F.pairwise_distance, F.cosine_similarity):
        assert function(X, Y[:1]).shape == (ROWS,)
        with pytest.raises(ValueError, match=r"x1 \(6, 4\) and x2 \(1, 4\)"):
            function(X, Y[:1], broadcast=False)


# ---- targets that do not count ----


@pytest.mark.parametrize("ignored", [-1, 255, 7.5])
@pytest.mark.parametrize("call", BINARY, ids=str)
def test_an_ignored_target_takes_no_part(call: Call, ignored: float) -> None:
    x, y = call.args
    away = np.zeros(x.shape, bool)
    away[1, 2] = away[4, 0] = away[5, 3] = True
    marked, spoilt = np.where(away, np.float32(ignored), np.where(y == ignored, 0, y)), np.where(away, np.nan, x)
    clean = np.where(away, np.float32(0), marked)
    criterion = call(ignore_index=ignored)
    value, divisor = criterion(spoilt, marked, return_divisor=True)
    alone = getattr(nl, call.name)(reduction="sum")
    if call.name == "MultiLabelSoftMarginLoss":
        kept = F.binary_cross_entropy_with_logits(x, clean, reduction="none")[~away]
        assert divisor == pytest.approx(np.sum(~away) / CLASSES)
        np.testing.assert_allclose(value, kept.mean(), rtol=1e-6)
    else:
        assert divisor == np.sum(~away)
        np.testing.assert_allclose(value, alone(x[~away], clean[~away]) / divisor, rtol=1e-6)
    grad = criterion.grad(spoilt, marked)
    assert (grad[away] == 0).all()
    assert np.isfinite(grad).all()
    acc = criterion.accumulator()
    for part in (slice(0, 2), slice(2, None)):
        acc.update(spoilt[part], marked[part])
    np.testing.assert_allclose(acc.compute(), value, rtol=1e-6)
    assert criterion == call(ignore_index=float(ignored))
    assert criterion != call()


@pytest.mark.parametrize("call", BINARY, ids=str)
def test_the_target_to_ignore_is_a_number(call: Call) -> None:
    with pytest.raises(ValueError, match=r"ignore_index .*nan"):
        call(ignore_index=np.nan)
    with pytest.raises(TypeError, match="ignore_index"):
        call(ignore_index="none")


# ---- values that are not checked ----


def test_without_validation_numbers_are_computed_with() -> None:
    beyond = np.array([0.5, 1.5])
    with pytest.raises(ValueError, match="outside"):
        F.binary_cross_entropy(beyond, [1.0, 0.0])
    assert F.binary_cross_entropy(beyond, [1.0, 0.0], validate=False, reduction="none")[0] == pytest.approx(np.log(2))
    assert nl.BCELoss(validate=False)([0.5], [2.0]) == pytest.approx(np.log(2))
    with pytest.raises(ValueError, match="outside"):
        F.gaussian_nll_loss([1.0], [2.0], np.array([-1.0]))
    # A negative variance is below eps, and eps is used.
    assert F.gaussian_nll_loss([1.0], [2.0], np.array([-1.0]), validate=False) == F.gaussian_nll_loss([1.0], [2.0], np.array([0.0]))


def test_without_validation_bounds_are_still_checked() -> None:
    for function in (F.cross_entropy, F.nll_loss, F.multi_margin_loss):
        with pytest.raises(IndexError, match=r"target\[1\] is 9"):
            function(X, np.array([0, 9, 1, 2, 2, 0]), validate=False)
    with pytest.raises(IndexError, match="is 9"):
        F.ctc_loss(LOG_PROBS, np.full_like(TRANSCRIPTS, 9), *CTC[1:], validate=False)


# ---- weights, masks and outputs of losses that are reduced apart ----


def unreduced(call: Call) -> Any:
    """One loss a row, and what each is divided by for a mean of its own."""
    losses = call(reduction="none")(*call.args, dtype=np.float64)
    return losses / np.maximum(CTC[2], 1) if call.name == "CTCLoss" else losses


def spoilt(call: Call) -> tuple[Any, ...]:
    """The arguments with NaN and wrong labels under the mask."""
    args = []
    for array in call.args:
        copy = np.array(array)
        if call.name == "CTCLoss" and copy.ndim == 3:
            copy[:, ~MASK] = np.nan
        else:
            copy[~MASK] = np.nan if copy.dtype.kind == "f" else -77
        args.append(copy)
    return tuple(args)


def selected(grad: Any, rows: Any, call: Call) -> Any:
    return grad[:, rows] if call.name == "CTCLoss" else grad[rows]


@each_apart
@pytest.mark.parametrize("options", [("sample_weight",), ("mask",), ("sample_weight", "mask")], ids="+".join)
def test_rows_are_reduced_by_weight_and_mask(call: Call, options: tuple[str, ...]) -> None:
    given = {name: {"sample_weight": WEIGHTS, "mask": MASK}[name] for name in options}
    args = spoilt(call) if "mask" in options else call.args
    weights = WEIGHTS * MASK if len(options) == 2 else given[options[0]].astype(float)
    losses = unreduced(call)
    value, divisor = call()(*args, **given, return_divisor=True)
    assert divisor == weights.sum()
    np.testing.assert_allclose(value, (losses * weights).sum() / weights.sum(), rtol=2e-7)
    plain = call(reduction="none")(*call.args, dtype=np.float64)
    np.testing.assert_allclose(call(reduction="sum")(*args, **given), (plain * weights).sum(), rtol=2e-7)
    np.testing.assert_allclose(call(reduction="none")(*args, **given), plain * weights, rtol=2e-7)


@each_apart
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_gradients_of_rows_by_weight_and_mask(call: Call, reduction: str) -> None:
    given = {"sample_weight": WEIGHTS, "mask": MASK}
    g = 0.5 if reduction != "none" else np.linspace(-1, 1, ROWS)
    upstream = g * WEIGHTS * MASK
    if reduction == "mean":
        upstream = upstream / (WEIGHTS * MASK).sum()
        if call.name == "CTCLoss":
            upstream = upstream / np.maximum(CTC[2], 1)
    names = ("log_probs",) if call.name == "CTCLoss" else ("input1", "input2") if "Cosine" in call.name else (0, 1, 2)
    value, grads = call(reduction=reduction).value_and_grad(*spoilt(call), **given, argnums=names, grad_output=g)
    np.testing.assert_array_equal(value, call(reduction=reduction)(*spoilt(call), **given))
    _, wanted = call(reduction="none").value_and_grad(*call.args, argnums=names, grad_output=upstream, dtype=np.float64)
    for grad, expected in zip(grads, wanted, strict=True):
        assert (selected(grad, ~MASK, call) == 0).all()
        kept = selected(grad, MASK, call)
        np.testing.assert_allclose(kept, selected(expected, MASK, call), rtol=1e-5, atol=1e-7)


@each_apart
def test_a_weight_of_zero_is_no_mask(call: Call) -> None:
    weights = MASK.astype(float)
    assert np.isnan(call()(*[a if np.asarray(a).dtype.kind != "f" else b for a, b in zip(call.args, spoilt(call), strict=True)],
                           sample_weight=weights))  # fmt: skip


@each_apart
def test_rows_are_masked_in_streams(call: Call) -> None:
    acc = call().accumulator()
    acc.update(*spoilt(call), mask=MASK)
    acc.update(*call.args)
    acc.update(*call.args, sample_weight=WEIGHTS)
    losses = unreduced(call)
    total = losses[MASK].sum() + losses.sum() + (losses * WEIGHTS).sum()
    np.testing.assert_allclose(acc.compute(), total / (MASK.sum() + ROWS + WEIGHTS.sum()), rtol=2e-7)
    assert acc.count == MASK.sum() + 2 * ROWS


@each_apart
def test_results_go_where_they_are_wanted(call: Call) -> None:
    unreduced_criterion = call(reduction="none")
    out = np.empty(ROWS, np.float32)
    for given in ({}, {"sample_weight": WEIGHTS}, {"mask": MASK}):
        assert unreduced_criterion(*call.args, **given, out=out) is out
        np.testing.assert_array_equal(out, unreduced_criterion(*call.args, **given))
        wanted = call().grad(*call.args, **given)
        for like in (call.args[0], np.asfortranarray(call.args[0]), call.args[0].astype(np.float64)):
            target = np.full_like(like, np.nan)
            assert call().grad(*call.args, **given, out=target) is target
            np.testing.assert_allclose(target, wanted, rtol=1e-6)
        over = call.args[0].copy()
        assert call().grad(over, *call.args[1:], **given, out=over) is over
        np.testing.assert_array_equal(over, wanted)


@each_apart
def test_an_output_must_fit(call: Call) -> None:
    x = call.args[0]
    read_only = np.empty_like(x)
    read_only.flags.writeable = False
    for out, kind in (
        (np.empty((2, 3)), ValueError),
        (read_only, ValueError),
        (np.empty(x.shape, int), TypeError),
        ([0.0], TypeError),
    ):
        with pytest.raises(kind, match="out"):
            call().grad(*call.args, out=out)


@pytest.mark.parametrize("call", VECTORS, ids=str)
def test_gradients_may_take_the_place_of_all_their_vectors(call: Call) -> None:
    names = (0, 1) if "Cosine" in call.name else (0, 1, 2)
    wanted = call().grad(*call.args, argnums=names)
    arrays = tuple(array.copy() for array in call.args[: len(names)])
    found = call().grad(*arrays, *call.args[len(names) :], argnums=names, out=arrays)
    for grad, array, expected in zip(found, arrays, wanted, strict=True):
        assert grad is array
        np.testing.assert_array_equal(grad, expected)


@each_apart
def test_weights_must_have_a_shape_of_rows(call: Call) -> None:
    for name, array in (("sample_weight", np.ones(ROWS + 1)), ("mask", np.ones((ROWS, 1), bool))):
        with pytest.raises(ValueError, match=rf"{name} must broadcast to the shape \(6,\)"):
            call()(*call.args, **{name: array})


@each_apart
def test_a_loss_without_a_closed_form_says_so(call: Call) -> None:
    with pytest.raises(TypeError, match="no diagonal Hessian in closed form"):
        call().grad_hess(*call.args)


def test_masked_vectors_that_are_broadcast() -> None:
    """One anchor of all rows: its gradient is the sum over those that are kept."""
    positive = Y.copy()
    positive[~MASK] = np.nan
    for criterion in (nl.TripletMarginLoss(), nl.TripletMarginWithDistanceLoss(distance_function=squared)):
        value, grad = criterion.value_and_grad(X[:1], positive, Z, mask=MASK)
        expected, wanted = criterion.value_and_grad(X[:1], Y[MASK], Z[MASK])
        np.testing.assert_allclose(value, expected, rtol=2e-7)
        np.testing.assert_allclose(grad, wanted, rtol=1e-5)


def test_transcripts_that_stand_one_after_the_other_may_be_masked() -> None:
    lengths = np.array(CTC[2])
    flat = np.concatenate([row[:n] for row, n in zip(TRANSCRIPTS, lengths, strict=True)])
    wrong = flat.copy()
    wrong[np.repeat(~MASK, lengths)] = 99
    criterion = nl.CTCLoss()
    assert criterion(LOG_PROBS, wrong, *CTC[1:], mask=MASK) == criterion(LOG_PROBS, *CTC, mask=MASK)
    wrong[-1] = 99
    with pytest.raises(IndexError, match=r"targets\[10\], label 1 of sample 5, is 99"):
        criterion(LOG_PROBS, wrong, *CTC[1:], mask=MASK)


def test_lengths_of_masked_samples_are_not_looked_at() -> None:
    inputs, labels = np.array(CTC[1]), np.array(CTC[2])
    inputs[~MASK], labels[~MASK] = 1000, -3
    criterion = nl.CTCLoss()
    assert criterion(LOG_PROBS, TRANSCRIPTS, inputs, labels, mask=MASK) == criterion(LOG_PROBS, *CTC, mask=MASK)
    with pytest.raises(ValueError, match="input_lengths"):
        criterion(LOG_PROBS, TRANSCRIPTS, inputs, labels)


def test_gradients_of_input_and_weight_go_where_out_says_the_input_itself_too() -> None:
    x, y, weight = np.array([1.0, 2.0, 3.0]), np.zeros(3), np.array([1.0, 2.0, 1.0])
    both = nl.value_and_grad(F.mse_loss, argnums=("input", "weight"))
    value, (by_input, by_weight) = both(x, y, weight=weight)
    place, out = x.copy(), np.empty(3)
    found, (first, second) = both(place, y, weight=weight, out=(place, out))
    assert found == value
    assert first is place
    assert second is out
    assert (place == by_input).all()
    assert (out == by_weight).all()
