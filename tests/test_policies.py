"""
Policy: options that a call and a constructor take alike, the axis of classes and features, strict shapes, targets that
do not count.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from every_class import (
    ANSWERS,
    BINARY,
    BITS,
    CALLS,
    CLASSED,
    CLASSES,
    CTC,
    LOG_PROBS,
    PROBABILITIES,
    REGRESSION,
    ROWS,
    SETS,
    TRANSCRIPTS,
    VECTORS,
    Call,
    X,
    Y,
    Z,
    draw,
    each,
)


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
    maps, labels = draw(5, 2, 4, 5, 3), np.random.default_rng(6).integers(0, 3, (2, 4, 5))
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
    shares = np.abs(draw(7, 5, CLASSES))
    logits = draw(8, 5, CLASSES)
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
    maps, bits = draw(9, 2, 3, 4, 5), draw(10, 2, 3, 4, 5) > 0
    last = (np.moveaxis(maps, 1, -1), np.moveaxis(bits, 1, -1))
    for weight, weight_last in (
        (np.array([0.5, 1.0, 2.0]), np.array([0.5, 1.0, 2.0])),
        (np.abs(draw(11, 3, 1, 5)), np.moveaxis(np.abs(draw(11, 3, 1, 5)), 0, -1)),
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
    maps, bits = draw(9, 2, 3, 4), draw(10, 2, 3, 4) > 0
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
