"""
Losses of rows of classes with `sample_weight` and `mask`: what is masked takes no part, whatever it holds; what is kept counts
by its weight, in value, divisor and gradients. Results go where `out` says, second derivatives come with the first.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import ndloss as nl
import ndloss.functional as F
import reference
import reference_margins
from calls import bits
from layouts import LAYOUTS
from reference import WIDE, Answer, Bounded, Wide, wide
from samples import INDEX_DTYPES
from tolerances import DIFFERENCE_QUOTIENT, STEP, assert_within

Array = npt.NDArray[Any]

ROWS = 67
# Lanes across rows, lanes along them, segments of a row, segments in parallel.
CLASSES = (10, 300, 70_001, 300_007)
REDUCTIONS = ("none", "mean", "sum")


@dataclass(frozen=True)
class Loss:
    """One loss of rows with options: how its targets are drawn, and what a row's part of the divisor is."""

    name: str
    oracle: Callable[..., Answer]
    options: dict[str, Any] = field(default_factory=dict)
    weighted: bool = False
    targets: str = "labels"

    def __str__(self) -> str:
        words = [self.name, self.targets, *(f"{k}={v}" for k, v in self.options.items())]
        return "-".join([*words, "weight"] if self.weighted else words)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(F, self.name)(*args, **kwargs)

    @property
    def is_likelihood(self) -> bool:
        return self.targets == "labels" and self.name in ("cross_entropy", "nll_loss")


LOSSES = (
    Loss("cross_entropy", reference.cross_entropy, {"ignore_index": 2}),
    Loss("cross_entropy", reference.cross_entropy, {"label_smoothing": 0.2}, weighted=True),
    Loss("cross_entropy", reference.cross_entropy, {"label_smoothing": 0.1}, weighted=True, targets="probabilities"),
    Loss("cross_entropy", reference.cross_entropy, targets="probabilities"),
    Loss("nll_loss", reference.nll_loss, {"ignore_index": 1}, weighted=True),
    Loss("nll_loss", reference.nll_loss),
    Loss("multi_margin_loss", reference_margins.multi_margin_loss, weighted=True),
    Loss("multi_margin_loss", reference_margins.multi_margin_loss, {"p": 2, "margin": 0.7}),
    Loss("multilabel_margin_loss", reference_margins.multilabel_margin_loss, targets="label sets"),
)


@dataclass
class Rows:
    """A call: rows of scores and their targets, with weights and mask; what is masked is poison."""

    input: Array
    target: Array
    sample_weight: Array
    mask: Array
    kwargs: dict[str, Any]

    @property
    def selection(self) -> dict[str, Array]:
        return {"sample_weight": self.sample_weight, "mask": self.mask}


def drawn(loss: Loss, classes: int, dtype: str, seed: int = 0, rows: int = ROWS) -> Rows:
    rng = np.random.default_rng([seed, classes, LOSSES.index(loss)])
    x = (rng.normal(size=(rows, classes)) * 3).astype(dtype)
    if loss.name == "nll_loss":
        x = -np.abs(x)
    keep = rng.random(rows) < 0.7
    keep[:2] = True, False
    if loss.targets == "labels":
        y: Array = rng.integers(0, classes, rows)
        y[~keep] = rng.choice([-7, classes, 2**40], (~keep).sum())
    elif loss.targets == "probabilities":
        y = rng.dirichlet(np.full(min(classes, 50), 0.3), rows)
        y = np.pad(y, ((0, 0), (0, classes - y.shape[1]))).astype(dtype)
        y[~keep] = np.nan
    else:
        y = rng.integers(-1, classes, (rows, classes))
        y[:, min(6, classes - 1) :] = -1
        y[~keep] = classes
    x[~keep] = np.nan
    kwargs = dict(loss.options)
    if loss.weighted:
        kwargs["weight"] = rng.uniform(0.2, 2.0, classes).astype(dtype)
    return Rows(x, y, rng.uniform(0.1, 3.0, rows).astype(dtype), keep, kwargs)


def expected(loss: Loss, call: Rows, reduction: str) -> Answer:
    """From the oracle's unreduced values of the kept rows alone."""
    keep = call.mask
    x, y = call.input[keep], call.target[keep]
    s = wide(call.sample_weight)[keep]
    terms = loss.oracle(x, y, reduction="none", **call.kwargs).value
    d = np.ones(len(s), WIDE)
    if loss.is_likelihood:
        d = (y != call.kwargs.get("ignore_index", -100)).astype(WIDE)
        if loss.weighted:
            d *= wide(call.kwargs["weight"])[y]
    factor = 1 / (s * d).sum() if reduction == "mean" else WIDE(1)
    slopes = loss.oracle(x, y, reduction="none", grad_output=s * factor, **call.kwargs).grads
    value, scale = s * terms.value * factor, np.abs(s * factor) * terms.scale
    answer = spread(Bounded(value, scale), keep) if reduction == "none" else Bounded(value.sum(), scale.sum())
    names = [name for name in ("input", "target") if name in slopes]
    return Answer(answer, {name: spread(slopes[name], keep) for name in names})


def spread(kept: Bounded, keep: Array) -> Bounded:
    """Zeros where rows are masked."""

    def among_zeros(numbers: Wide) -> Wide:
        result = np.zeros((len(keep), *numbers.shape[1:]), WIDE)
        result[keep] = numbers
        return result

    return Bounded(among_zeros(kept.value), among_zeros(kept.scale))


def value_and_grads(loss: Loss, call: Rows, reduction: str, **more: Any) -> tuple[Any, tuple[Array, ...]]:
    names = ("input", "target") if loss.targets == "probabilities" else ("input",)
    options = {**call.kwargs, "reduction": reduction, **call.selection, **more}
    result: tuple[Any, tuple[Array, ...]] = nl.value_and_grad(getattr(F, loss.name), names)(call.input, call.target, **options)
    return result


@contextmanager
def isa(name: str) -> Iterator[None]:
    before = nl.get_isa()
    nl.set_isa(name)
    try:
        assert nl.get_isa() == name
        yield
    finally:
        nl.set_isa(before)


# ---- weights and masks ----


@pytest.mark.parametrize("level", nl.available_isas())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_rows_are_selected_and_weighted(loss: Loss, dtype: str, level: str) -> None:
    for classes in CLASSES:
        if loss.name.startswith("multi") and classes > CLASSES[1]:
            continue
        call = drawn(loss, classes, dtype, rows=ROWS if classes <= CLASSES[1] else 3)
        for reduction in REDUCTIONS:
            answer = expected(loss, call, reduction)
            with isa(level):
                plain = loss(call.input, call.target, **call.kwargs, reduction=reduction, **call.selection)
                value, grads = value_and_grads(loss, call, reduction)
            kind = "unreduced, 1 weight" if reduction == "none" else "few"
            assert_within(plain, answer.value, kind, (loss, classes, reduction))
            assert bits(plain) == bits(value)
            for grad, name in zip(grads, answer.grads, strict=True):
                assert_within(grad, answer.grads[name], "gradient, 2 weights", (loss, classes, reduction, name))
                assert not grad[~call.mask].any()


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_threads_do_not_change_bits(loss: Loss) -> None:
    call = drawn(loss, 70, "float32", rows=3001)
    for reduction in REDUCTIONS:
        found = [value_and_grads(loss, call, reduction, num_threads=n) for n in (1, 3)]
        assert bits(found[0][0]) == bits(found[1][0])
        assert list(map(bits, found[0][1])) == list(map(bits, found[1][1]))


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_fma_levels_have_the_same_bits(loss: Loss) -> None:
    call = drawn(loss, 300, "float32")
    found = []
    for level in nl.available_isas():
        if level != "baseline":
            with isa(level):
                value, grads = value_and_grads(loss, call, "mean")
                found.append([bits(value), *map(bits, grads)])
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_layouts_of_weights_and_masks_do_not_matter(loss: Loss) -> None:
    call = drawn(loss, 10, "float32")
    wanted = value_and_grads(loss, call, "mean")
    for name, layout in LAYOUTS.items():
        changed = {key: layout(array) for key, array in call.selection.items()}
        value, grads = value_and_grads(loss, call, "mean", **changed)
        assert bits(value) == bits(wanted[0]), name
        assert list(map(bits, grads)) == list(map(bits, wanted[1])), name


@pytest.mark.parametrize("dtype", ["bool", *INDEX_DTYPES])
def test_masks_of_every_integer_dtype(dtype: str) -> None:
    loss = LOSSES[0]
    call = drawn(loss, 10, "float32")
    wanted = loss(call.input, call.target, **call.kwargs, **call.selection)
    mask = call.mask.astype(dtype)
    weight = np.ones(ROWS, dtype)
    assert bits(loss(call.input, call.target, **call.kwargs, mask=mask, sample_weight=call.sample_weight)) == bits(wanted)
    alone = loss(call.input, call.target, **call.kwargs, mask=call.mask)
    assert bits(loss(call.input, call.target, **call.kwargs, mask=mask, sample_weight=weight)) == bits(alone)


@pytest.mark.parametrize("dtype", INDEX_DTYPES)
def test_labels_of_every_dtype_are_not_looked_at_under_a_mask(dtype: str) -> None:
    for loss in LOSSES:
        if loss.targets == "probabilities":
            continue
        call = drawn(loss, 10, "float32")
        if loss.targets == "label sets" and np.dtype(dtype).kind != "i":
            continue  # no -1 to pad with
        lowest, highest = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        call.target = call.target.clip(lowest, highest).astype(dtype)
        answer = expected(loss, call, "mean")
        got = loss(call.input, call.target, **call.kwargs, **call.selection)
        assert_within(got, answer.value, "few", (loss, dtype))


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss.targets != "probabilities"], ids=str)
def test_a_bad_label_that_is_kept_is_named(loss: Loss) -> None:
    call = drawn(loss, 10, "float32")
    row = int(np.flatnonzero(call.mask)[5])
    call.target[row] = 99
    place = f"target\\[{row}, 0\\]" if loss.targets == "label sets" else f"target\\[{row}\\]"
    for reduction in REDUCTIONS:
        with pytest.raises(IndexError, match=f"{place} is 99"):
            loss(call.input, call.target, **call.kwargs, reduction=reduction, **call.selection)
    with pytest.raises(IndexError, match=f"{place} is 99"):
        value_and_grads(loss, call, "mean", validate=False)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_inner_axes_are_weighted_row_by_row(loss: Loss) -> None:
    if loss.name.startswith("multi"):
        pytest.skip("rows of margin losses have no inner axes")
    call = drawn(loss, 10, "float32", rows=66)

    def inner(array: Array) -> Array:
        folded = array.reshape(2, 33, *array.shape[1:])
        return folded if array.ndim == 1 else np.ascontiguousarray(np.moveaxis(folded, -1, 1))

    folded = Rows(inner(call.input), inner(call.target), inner(call.sample_weight), inner(call.mask), call.kwargs)
    flat, shaped = (value_and_grads(loss, one, "mean") for one in (call, folded))
    assert bits(flat[0]) == bits(shaped[0])
    for a, b in zip(flat[1], shaped[1], strict=True):
        assert bits(inner(a)) == bits(b)


def test_weights_broadcast_to_the_loss_and_say_how_if_they_do_not() -> None:
    x, y = np.zeros((4, 3, 5), np.float32), np.zeros((4, 5), np.int64)
    s = np.array([1.0, 2.0, 3.0, 4.0])
    whole = F.cross_entropy(x, y, reduction="none", sample_weight=np.repeat(s[:, None], 5, 1))
    assert bits(F.cross_entropy(x, y, reduction="none", sample_weight=s[:, None])) == bits(whole)
    with pytest.raises(ValueError, match=r"sample_weight\[:, None\]"):
        F.cross_entropy(x, y, sample_weight=s)
    with pytest.raises(TypeError, match="mask must be bool"):
        F.cross_entropy(x, y, mask=s[:, None])


def test_a_weight_of_zero_is_no_mask() -> None:
    x, y = np.array([[np.nan, 0.0], [1.0, 2.0]], np.float32), np.array([0, 1])
    assert np.isnan(F.cross_entropy(x, y, sample_weight=[0.0, 1.0]))
    assert F.cross_entropy(x, y, mask=[False, True]) == F.cross_entropy(x[1:], y[1:])
    with pytest.raises(IndexError):
        F.cross_entropy(x, [7, 1], sample_weight=[0.0, 1.0])


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_nothing_kept_follows_the_policy(loss: Loss) -> None:
    call = drawn(loss, 10, "float32")
    nothing = np.zeros(ROWS, bool)

    def mean(**policy: Any) -> Any:
        return loss(call.input, call.target, **call.kwargs, mask=nothing, **policy)

    assert np.isnan(mean())
    assert mean(empty="zero") == 0
    assert mean(reduction="sum") == 0
    with pytest.raises(ValueError, match="empty='raise'"):
        mean(empty="raise")
    _, grads = value_and_grads(loss, call, "mean", mask=nothing)
    assert not any(grad.any() for grad in grads)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_the_divisor_is_the_weight_of_what_is_kept(loss: Loss) -> None:
    call = drawn(loss, 10, "float64")
    options = {**call.kwargs, **call.selection, "return_divisor": True}
    mean, divisor = loss(call.input, call.target, **options)
    total, again = loss(call.input, call.target, **options, reduction="sum")
    assert divisor == again
    assert mean == pytest.approx(total / divisor, rel=1e-15)
    s = call.sample_weight[call.mask]
    if loss.is_likelihood:
        y = call.target[call.mask]
        w = call.kwargs["weight"] if loss.weighted else np.ones(10)
        s = np.where(y == call.kwargs.get("ignore_index"), 0, s * w[y])
    assert divisor == pytest.approx(s.sum(), rel=1e-14)
    (value, beside), _ = nl.value_and_grad(getattr(F, loss.name))(call.input, call.target, **options)
    assert (value, beside) == (mean, divisor)
    with pytest.raises(ValueError, match="return_divisor"):
        loss(call.input, call.target, **options, reduction="none")


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_chunks_with_weights_join_a_stream(loss: Loss) -> None:
    call = drawn(loss, 10, "float64", rows=301)
    classes = {"cross_entropy": "CrossEntropyLoss", "nll_loss": "NLLLoss", "multi_margin_loss": "MultiMarginLoss"}
    criterion = getattr(nl, classes.get(loss.name, "MultiLabelMarginLoss"))(**call.kwargs)
    stream = criterion.accumulator()
    kept = call.mask.copy()
    for chunk in np.array_split(np.arange(301), 7):
        stream.update(call.input[chunk], call.target[chunk], **{k: v[chunk] for k, v in call.selection.items()})
    whole = criterion(call.input, call.target, **call.selection)
    assert stream.compute() == pytest.approx(whole, rel=3e-16)
    if loss.is_likelihood:
        kept &= call.target != call.kwargs.get("ignore_index", -100)
    assert stream.count == kept.sum()


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
        assert all(np.array_equal(a, b) for a, b in zip(got, wanted, strict=True))
    options = {**call.kwargs, **call.selection}
    ((first,), (second,)) = nl.grad_hess(getattr(F, loss.name), ("input",))(call.input, call.target, **options)
    assert [bits(first), bits(second)] == list(map(bits, wanted))


def test_arguments_the_loss_is_linear_in_have_no_second_derivative() -> None:
    x = np.zeros((2, 3))
    with pytest.raises(TypeError, match="target"):
        nl.grad_hess(F.cross_entropy, "target")(x, x)
    with pytest.raises(TypeError, match="weight"):
        nl.grad_hess(F.cross_entropy, "weight")(x, x, np.ones(3))


# ---- linear cross entropy ----


def linear(reduction: str, rows: int = 50) -> tuple[Array, Array, Array, dict[str, Any], Array]:
    rng = np.random.default_rng(rows)
    x, w = rng.normal(size=(rows, 6)), rng.normal(size=(11, 6))
    keep = rng.random(rows) < 0.7
    y = rng.integers(0, 11, rows)
    x[~keep], y[~keep] = np.nan, 99
    return x, w, y, {"sample_weight": rng.uniform(0.1, 3, rows), "mask": keep, "reduction": reduction}, keep


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_linear_cross_entropy_selects_and_weights_its_rows(reduction: str) -> None:
    x, w, y, options, keep = linear(reduction)
    logits = x @ w.T
    value, slopes = nl.value_and_grad(F.cross_entropy)(logits, y, **options)
    for height in (None, 8):
        chunking = {"options": nl.LinearCrossEntropyOptions(batch_chunk_size=height)}
        got, (dx, dw) = nl.value_and_grad(F.linear_cross_entropy, ("input", "linear_weight"))(x, w, y, **options, **chunking)
        np.testing.assert_allclose(got, value, rtol=1e-14)
        np.testing.assert_allclose(dx, slopes @ w, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(dw, slopes[keep].T @ x[keep], rtol=1e-12, atol=1e-14)
        assert not dx[~keep].any()
        assert bits(F.linear_cross_entropy(x, w, y, **options, **chunking)) == bits(got)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_linear_cross_entropy_puts_results_where_it_is_told(dtype: str) -> None:
    x, w, y, options, _ = linear("none")
    x, w = x.astype(dtype), w.astype(dtype)
    wanted = F.linear_cross_entropy(x, w, y, **options)
    out = np.empty(2 * len(x))[::2]
    assert F.linear_cross_entropy(x, w, y, **options, out=out) is out
    assert np.array_equal(out, wanted)
    _, grads = nl.value_and_grad(F.linear_cross_entropy, ("input", "linear_weight"))(x, w, y, **options)
    for in_place in (False, True):
        a, b = x.copy(), w.copy()
        given = (a, b) if in_place else (np.empty_like(x), np.empty(w.shape))
        _, got = nl.value_and_grad(F.linear_cross_entropy, ("input", "linear_weight"))(a, b, y, **options, out=given)
        assert all(one is place for one, place in zip(got, given, strict=True))
        assert all(np.array_equal(one, grad) for one, grad in zip(got, grads, strict=True))


# ---- memory ----

MEASURED = """
import resource, sys
import numpy as np, ndloss as nl, ndloss.functional as F

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

what, target_dtype = sys.argv[1:]
n, c, h, w = 4, 16, 512, 512
x = np.zeros((n, h, w, c), np.float32)
x[...] = 1
if what != "contiguous":
    x = x.transpose(0, 3, 1, 2)
else:
    x = x.reshape(n, c, h, w)
y = np.ones((n, h, w), target_dtype)
m = np.ones((n, h, w), bool)
s = np.ones((n, 1, 1), np.float32)
g = np.ones((n, c, h, w), np.float32) if what == "gradient" else None
nl.grad(F.cross_entropy)(np.zeros((2, 2)), [0, 1])
before = peak()
if what == "gradient":
    nl.grad(F.cross_entropy)(x, y, mask=m, sample_weight=s, out=g)
else:
    F.cross_entropy(x, y, mask=m, sample_weight=s)
    F.nll_loss(x, y, mask=m, sample_weight=s)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts KiB on Linux alone")
@pytest.mark.parametrize("target_dtype", ["int64", "uint8", "int16"])
@pytest.mark.parametrize("what", ["contiguous", "transposed", "gradient"])
def test_no_temporary_of_full_size_is_made(what: str, target_dtype: str) -> None:
    command = [sys.executable, "-c", MEASURED, what, target_dtype]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(found.stdout) < 16 * 1024, found.stdout
