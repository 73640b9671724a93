"""Losses of rows of classes: results go where `out` says, in the dtype asked for; second derivatives come with the first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
import reference
from calls import bits
from layouts import LAYOUTS
from outcomes import isa
from reference import WIDE, Wide, wide
from tolerances import DIFFERENCE_QUOTIENT, STEP, assert_within
from weighted_rows import CLASSES, LOSSES, REDUCTIONS, ROWS, Array, Loss, Rows, drawn, value_and_grads

# ---- where results go, and in which type ----


@pytest.mark.parametrize("classes", [5, 10, 300, 5000, 70_001, 300_007])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_a_gradient_may_take_the_place_of_an_operand(loss: Loss, classes: int) -> None:
    few = classes > CLASSES[1]
    if loss.targets == "label sets" and classes > 5000:
        pytest.skip("slow to draw")
    for dtype in ("float32", "float64"):
        call = drawn(loss, classes, dtype, rows=3 if few else ROWS)
        names = ("input", "target") if loss.targets == "probabilities" else ("input",)
        value, grads = value_and_grads(loss, call, "mean")
        for places in ({"input": "input"}, {"target": "target"}, {"input": "target"}, {"target": "input"}):
            if not {*places, *places.values()} <= set(names):
                continue
            for several in (False, True):
                copies = {"input": call.input.copy(), "target": call.target.copy()}
                wanted = names if several else tuple(places)
                out = tuple(copies[places[name]] if name in places else None for name in wanted)
                function = nl.value_and_grad(getattr(F, loss.name), wanted)
                got, results = function(*copies.values(), **call.kwargs, **call.selection, out=out)
                assert bits(got) == bits(value), (places, several)
                for name, result, place in zip(wanted, results, out, strict=True):
                    assert place is None or result is place
                    assert bits(result) == bits(grads[names.index(name)]), (places, several, name)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_an_in_place_gradient_is_right_in_every_layout(loss: Loss, layout: str) -> None:
    for classes in (10, 300):
        call = drawn(loss, classes, "float32")
        place = LAYOUTS[layout](call.input)
        value, (grad, *_) = value_and_grads(loss, call, "mean")
        call.input = place
        compute = nl.value_and_grad(getattr(F, loss.name))
        if not place.flags.writeable:
            with pytest.raises(ValueError, match="read-only"):
                compute(place, call.target, **call.kwargs, **call.selection, out=place)
            continue
        got, result = compute(place, call.target, **call.kwargs, **call.selection, out=place)
        assert result is place
        assert bits(got) == bits(value)
        assert np.array_equal(result, grad)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_of_maps_are_those_of_their_rows(name: str, dtype: str, weighted: bool, rng: np.random.Generator) -> None:
    samples, classes, size = 3, 5, (60, 71)  # planes end within blocks of rows
    maps = rng.standard_normal((samples, classes, *size)).astype(dtype)
    target = rng.integers(0, classes, (samples, *size))
    target[0, :2] = -100
    weight = rng.random(classes, np.float32) if weighted else None
    compute = nl.value_and_grad(getattr(F, name))
    rows = np.ascontiguousarray(np.moveaxis(maps, 1, -1)).reshape(-1, classes)
    value, by_row = compute(rows, target.reshape(-1), weight)
    expected = np.moveaxis(by_row.reshape(samples, *size, classes), -1, 1)
    wide = np.full((samples, classes, size[0], 2 * size[1]), 7, maps.dtype)
    copy = maps.copy()
    for given, out in ((maps, None), (copy, copy), (maps, wide[..., ::2]), (maps, wide[..., 1::2])):
        got, grad = compute(given, target, weight, out=out)
        assert bits(got) == bits(value)
        assert np.array_equal(grad, expected)
    assert np.array_equal(wide[..., ::2], wide[..., 1::2])


def test_out_that_overlaps_otherwise_is_filled_in_the_end(rng: np.random.Generator) -> None:
    memory = rng.normal(size=300).astype(np.float32)
    y = rng.integers(0, 10, 20)
    for start in (1, 10, 50):
        copy = memory.copy()
        x, out = copy[:200].reshape(20, 10), copy[start : start + 200].reshape(20, 10)
        wanted = nl.grad(F.cross_entropy)(x.copy(), y)
        assert np.array_equal(nl.grad(F.cross_entropy)(x, y, out=out), wanted)
    square = rng.normal(size=(8, 8)).astype(np.float32)
    wanted = nl.grad(F.cross_entropy)(square.T.copy(), y[:8] % 8)
    assert np.array_equal(nl.grad(F.cross_entropy)(square.T, y[:8] % 8, out=square), wanted)


def test_out_takes_the_unreduced_loss(rng: np.random.Generator) -> None:
    for loss in LOSSES:
        call = drawn(loss, 10, "float32")
        wanted = loss(call.input, call.target, **call.kwargs, **call.selection, reduction="none")
        places = np.empty(ROWS, np.float32), np.empty(ROWS, np.float64), np.empty(2 * ROWS, np.float32)[::2]
        for out in (*places, call.sample_weight):
            got = loss(call.input, call.target, **call.kwargs, **call.selection, reduction="none", out=out)
            assert got is out
            assert np.array_equal(got, wanted)
    x, y = np.zeros((4, 3), np.float32), np.zeros(4, np.int64)
    with pytest.raises(ValueError, match="shape"):
        F.cross_entropy(x, y, reduction="none", out=np.empty(3, np.float32))
    with pytest.raises(TypeError, match="same-kind"):
        F.cross_entropy(x, y, reduction="none", out=np.empty(4, np.int64))


def test_dtype_is_that_of_results(rng: np.random.Generator) -> None:
    for loss in LOSSES:
        call = drawn(loss, 10, "float16", rows=ROWS)
        doubled = {k: v.astype(np.float64) if k == "weight" else v for k, v in call.kwargs.items()}
        wide_call = Rows(call.input.astype(np.float64), call.target, call.sample_weight, call.mask, doubled)
        if loss.targets == "probabilities":
            wide_call.target = call.target.astype(np.float64)
        value, grads = value_and_grads(loss, call, "mean", dtype=np.float64)
        wanted, wide_grads = value_and_grads(loss, wide_call, "mean")
        assert bits(value) == bits(wanted)
        assert list(map(bits, grads)) == list(map(bits, wide_grads))
        narrow = loss(wide_call.input, wide_call.target, **wide_call.kwargs, **call.selection, dtype="float32")
        assert narrow.dtype == np.float32
        assert narrow == np.float32(wanted)


# ---- second derivatives ----


def hessian(loss: Loss, call: Rows, reduction: str) -> Wide:
    """The diagonal in closed form."""
    x, y = wide(call.input), call.target
    rows, classes = x.shape
    w = wide(call.kwargs["weight"]) if loss.weighted else np.ones(classes, WIDE)
    s = wide(call.sample_weight)
    keep = call.mask.copy()
    eps = WIDE(call.kwargs.get("label_smoothing", 0.0))
    labels = np.where(keep, y, 0) if loss.targets == "labels" else np.zeros(rows, int)
    if loss.is_likelihood:
        keep &= labels != call.kwargs.get("ignore_index", -100)
    result = np.zeros_like(x)
    d = w[labels] if loss.is_likelihood else np.ones(rows, WIDE)
    for r in np.flatnonzero(keep):
        if loss.name == "cross_entropy":
            if loss.targets == "labels":
                a = (1 - eps) * w[labels[r]] + eps / classes * w.sum()
            else:
                a = (w * ((1 - eps) * wide(y[r]) + eps / classes)).sum()
            e = np.exp(x[r] - x[r].max())
            others = np.array([e[:c].sum() + e[c + 1 :].sum() for c in range(classes)])
            result[r] = s[r] * a * (e / e.sum()) * (others / e.sum())
        elif loss.name == "multi_margin_loss" and call.kwargs.get("p") == 2:
            z = wide(np.asarray(call.kwargs["margin"], call.input.dtype)) - x[r, labels[r]] + x[r]
            curve = np.where((z > 0) & (np.arange(classes) != labels[r]), WIDE(2), WIDE(0))
            curve[labels[r]] = curve.sum()
            result[r] = s[r] * w[labels[r]] / classes * curve
    return result / (s * d)[keep].sum() if reduction == "mean" else result


def gradient_and_hessian(loss: Loss, call: Rows, reduction: str, **more: Any) -> tuple[Array, Array]:
    options = {**call.kwargs, "reduction": reduction, **call.selection, **more}
    result: tuple[Array, Array] = nl.grad_hess(getattr(F, loss.name))(call.input, call.target, **options)
    return result


@pytest.mark.parametrize("level", nl.available_isas())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_second_derivatives_have_their_closed_form(loss: Loss, dtype: str, level: str) -> None:
    for classes in (10, 300, 5000):
        if classes == 5000 and (level == "baseline" or loss.targets == "label sets"):
            continue
        call = drawn(loss, classes, dtype, rows=ROWS if classes < 5000 else 3)
        for reduction in REDUCTIONS:
            with isa(level):
                grad, hess = gradient_and_hessian(loss, call, reduction)
                _, (wanted, *_) = value_and_grads(loss, call, reduction)
            assert bits(grad) == bits(wanted)
            truth = reference.exactly(hessian(loss, call, reduction))
            assert_within(hess, truth, "gradient, 2 weights", (loss, classes, reduction))
            assert not hess[~call.mask].any()


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_second_derivatives_are_slopes_of_the_gradient(loss: Loss) -> None:
    call = drawn(loss, 7, "float64", rows=9)
    _, hess = gradient_and_hessian(loss, call, "sum")
    for c in range(7):
        ends = []
        for step in (STEP, -STEP):
            moved = Rows(call.input.copy(), call.target, call.sample_weight, call.mask, call.kwargs)
            moved.input[:, c] += step
            ends.append(value_and_grads(loss, moved, "sum")[1][0][:, c])
        slope = (ends[0] - ends[1]) / (2 * STEP)
        np.testing.assert_allclose(hess[:, c], slope, rtol=20 * DIFFERENCE_QUOTIENT, atol=20 * DIFFERENCE_QUOTIENT)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("classes", [10, 300, 70_001, 300_007])
def test_the_curvature_of_a_dominant_class_keeps_its_digits(classes: int, dtype: str) -> None:
    x = np.zeros((1, classes), dtype)
    x[0, 4] = 45.0
    others = WIDE(classes - 1) * np.exp(WIDE(-45))
    p, q = 1 / (1 + others), np.exp(WIDE(-45)) / (1 + others)
    truth = np.full((1, classes), q * (1 - q), WIDE)
    truth[0, 4] = p * others / (1 + others)
    for y in (4, 5):
        _, hess = nl.grad_hess(F.cross_entropy)(x, [y])
        assert_within(hess, reference.exactly(truth), "gradient", (classes, y))


@pytest.mark.parametrize("classes", [10, 300, 5000, 70_001])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_both_derivatives_go_where_they_are_told(loss: Loss, classes: int) -> None:
    if loss.name.startswith("multi") and classes > 5000:
        pytest.skip("slow to draw")
    call = drawn(loss, classes, "float32", rows=ROWS if classes < 5000 else 2)
    wanted = gradient_and_hessian(loss, call, "mean")
    for second_in_place in (False, True):
        copy = Rows(call.input.copy(), call.target, call.sample_weight, call.mask, call.kwargs)
        other = np.empty(call.input.shape[::-1], np.float64).T
        out = (other, copy.input) if second_in_place else (copy.input, other)
        got = gradient_and_hessian(loss, copy, "mean", out=out)
        assert all(a is b for a, b in zip(got, out, strict=True))
        # A wider array holds what is rounded without it.
        assert all(np.array_equal(a.astype(b.dtype), b) for a, b in zip(got, wanted, strict=True))
    options = {**call.kwargs, **call.selection}
    ((first,), (second,)) = nl.grad_hess(getattr(F, loss.name), ("input",))(call.input, call.target, **options)
    assert [bits(first), bits(second)] == list(map(bits, wanted))


def test_arguments_the_loss_is_linear_in_have_no_second_derivative() -> None:
    x = np.zeros((2, 3))
    with pytest.raises(TypeError, match="target"):
        nl.grad_hess(F.cross_entropy, "target")(x, x)
    with pytest.raises(TypeError, match="weight"):
        nl.grad_hess(F.cross_entropy, "weight")(x, x, np.ones(3))
