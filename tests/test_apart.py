"""Losses of vectors and sequences, whose rows are reduced apart: how they take weights, masks and `out`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from every_class import (
    CTC,
    LOG_PROBS,
    MASK,
    ROWS,
    TRANSCRIPTS,
    VECTORS,
    WEIGHTS,
    Call,
    X,
    Y,
    Z,
    each_apart,
    squared,
)


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
