"""
Losses of rows of classes with `sample_weight` and `mask`: what is masked takes no part, whatever it holds; what is kept counts
by its weight, in value, divisor and gradients.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import bits
from layouts import LAYOUTS
from outcomes import isa
from samples import INDEX_DTYPES
from tolerances import assert_within
from weighted_rows import CLASSES, LOSSES, REDUCTIONS, ROWS, Array, Loss, Rows, drawn, expected, value_and_grads

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
