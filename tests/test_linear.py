"""`linear_cross_entropy` beyond the case table: chunks, their memory, what the class holds, streams."""

from __future__ import annotations

import copy
import itertools
import pickle
import tracemalloc
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import bits
from reference_linear import linear_cross_entropy as oracle
from samples import FLOATS, REDUCTIONS, Array
from tolerances import assert_within

NAMES = ("input", "linear_weight", "linear_bias")
MEBIBYTE = 2**20


def problem(rng: np.random.Generator, dtype: str, samples: int, features: int, *outer: int) -> tuple[Array, Array, Array, Array]:
    x = rng.normal(size=(samples, features)).astype(dtype)
    w = rng.normal(0, 0.3, (*outer, features)).astype(dtype)
    y = rng.integers(0, outer[0], (samples, *outer[1:]))
    return x, w, np.where(rng.random(y.shape) < 0.2, -100, y), rng.normal(size=outer).astype(dtype)


def everything(x: Array, w: Array, y: Array, **kwargs: Any) -> tuple[Any, tuple[Any, ...]]:
    both = nl.value_and_grad(F.linear_cross_entropy, argnums=NAMES if "linear_bias" in kwargs else NAMES[:2])
    value, grads = both(x, w, y, **kwargs)
    assert bits(value) == bits(F.linear_cross_entropy(x, w, y, **kwargs))
    return value, grads


@pytest.mark.core
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("outer", [(3,), (70,), (4, 3), (70, 2)], ids=str)
def test_any_chunk_gives_the_whole(outer: tuple[int, ...], dtype: str, reduction: str, rng: np.random.Generator) -> None:
    x, w, y, b = problem(rng, dtype, 45, 6, *outer)
    answer = oracle(x, w, y, linear_bias=b, reduction=reduction)
    for rows in (1, 2, 7, 32, 44, 45, 46, 1000):
        options = nl.LinearCrossEntropyOptions(batch_chunk_size=rows)
        value, grads = everything(x, w, y, linear_bias=b, reduction=reduction, options=options)
        assert_within(value, answer.value, "few", f"chunks of {rows}")
        for name, grad in zip(NAMES, grads, strict=True):
            assert_within(grad, answer.grads[name], "gradient", f"d {name}, chunks of {rows}")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("kind", ["labels", "smoothed labels", "probabilities"])
@pytest.mark.parametrize("classes", [20, 63, 64, 1000, 65_537, 262_145])
def test_gradients_in_the_place_of_the_logits_are_those_of_cross_entropy(
    classes: int, kind: str, dtype: str, rng: np.random.Generator
) -> None:
    """Every kernel: rows across lanes and along them, rows of several segments, one row in parallel."""
    x, w, y, _ = problem(rng, dtype, 5, 2, classes)
    target: Any = y if "labels" in kind else rng.dirichlet(np.ones(classes), 5).astype(dtype)
    kwargs = {"label_smoothing": 0.1} if "smoothed" in kind else {}
    logits = x @ w.T
    value, slopes = nl.value_and_grad(F.cross_entropy)(logits, target, **kwargs)
    found, (bias_slopes,) = nl.value_and_grad(F.linear_cross_entropy, argnums=("linear_bias",))(
        x, w, target, linear_bias=np.zeros(classes, dtype), **kwargs
    )
    assert bits(found) == bits(value)
    np.testing.assert_allclose(bias_slopes, slopes.sum(0), rtol=0, atol=8 * np.finfo(dtype).eps)


@pytest.mark.core
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_same_bits_for_any_number_of_our_threads(dtype: str, rng: np.random.Generator) -> None:
    x, w, y, b = problem(rng, dtype, 400, 8, 1000)
    one, other = (everything(x, w, y, linear_bias=b, num_threads=n) for n in (1, 3))
    assert bits(one[0]) == bits(other[0])
    assert list(map(bits, one[1])) == list(map(bits, other[1]))


def test_the_probabilities_and_class_weights_have_gradients_whatever_the_chunk(rng: np.random.Generator) -> None:
    x, w, _, b = problem(rng, "float64", 20, 4, 5)
    q, s = rng.dirichlet(np.ones(5), 20), rng.random(5)
    names = ("input", "linear_weight", "target", "linear_bias", "weight")
    both = nl.value_and_grad(F.linear_cross_entropy, argnums=names)
    answer = oracle(x, w, q, linear_bias=b, weight=s, label_smoothing=0.25)
    for rows in (1, 3, 20):
        options = nl.LinearCrossEntropyOptions(batch_chunk_size=rows)
        _, grads = both(x, w, q, linear_bias=b, weight=s, label_smoothing=0.25, options=options)
        for name, grad in zip(names, grads, strict=True):
            assert_within(grad, answer.grads[name], "gradient", f"d {name}")


@pytest.mark.parametrize("limit", [MEBIBYTE, 8 * MEBIBYTE, None])
def test_a_chunk_is_all_the_memory_that_a_call_needs(limit: int | None, rng: np.random.Generator) -> None:
    x, w, y, b = problem(rng, "float32", 1500, 8, 30_000)  # logits of 172 MiB
    options = None if limit is None else nl.LinearCrossEntropyOptions(chunk_bytes=limit)
    kwargs: dict[str, Any] = {"linear_bias": b, "options": options}
    allowed = (limit or 64 * MEBIBYTE) + MEBIBYTE // 4
    tracemalloc.start()
    try:
        F.linear_cross_entropy(x, w, y, **kwargs)
        assert tracemalloc.get_traced_memory()[1] <= allowed
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        nl.value_and_grad(F.linear_cross_entropy, argnums=NAMES)(x, w, y, **kwargs)
        results = x.nbytes + w.nbytes + b.nbytes
        assert tracemalloc.get_traced_memory()[1] - before - results <= allowed
    finally:
        tracemalloc.stop()


def test_a_chunk_holds_one_sample_at_least(rng: np.random.Generator) -> None:
    x, w, y, _ = problem(rng, "float64", 7, 3, 100)
    answer = oracle(x, w, y)
    value, grads = everything(x, w, y, options=nl.LinearCrossEntropyOptions(chunk_bytes=1))
    assert_within(value, answer.value, "few")
    assert_within(grads[1], answer.grads["linear_weight"], "gradient")


def test_ignored_samples_take_no_part_whatever_they_hold(rng: np.random.Generator) -> None:
    """D11, through the products: torch's gradient of the weight is NaN."""
    x, w, y, b = problem(rng, "float64", 30, 4, 6)
    x[y == -100] = np.nan
    clean = np.where(np.isnan(x), 0, x)
    for rows in (7, 30):
        options = nl.LinearCrossEntropyOptions(batch_chunk_size=rows)
        one, other = (everything(a, w, y, linear_bias=b, options=options) for a in (x, clean))
        assert bits(one[0]) == bits(other[0])
        assert list(map(bits, one[1])) == list(map(bits, other[1]))


@pytest.mark.parametrize("rows", [1, 4, 100])
@pytest.mark.parametrize("outer", [(6,), (6, 3)], ids=str)
def test_a_bad_label_is_named_where_it_stands_in_the_whole(outer: tuple[int, ...], rows: int, rng: np.random.Generator) -> None:
    x, w, y, _ = problem(rng, "float32", 50, 4, *outer)
    y[37] = 6
    y[49] = -3
    where = "37" if len(outer) == 1 else "37, 0"
    options = nl.LinearCrossEntropyOptions(batch_chunk_size=rows)
    for call in (F.linear_cross_entropy, nl.value_and_grad(F.linear_cross_entropy, argnums=NAMES[:2])):
        for reduction in REDUCTIONS:
            with pytest.raises(IndexError) as caught:
                call(x, w, y, options=options, reduction=reduction)
            text = f"linear_cross_entropy: target[{where}] is 6, outside [0, 6). Target 6 is out of bounds."
            assert str(caught.value) == text


def test_layouts_and_dtypes_of_the_operands_do_not_matter(rng: np.random.Generator) -> None:
    x, w, y, b = problem(rng, "float32", 20, 4, 6)
    plain = everything(x, w, y, linear_bias=b)
    wide = np.repeat(x, 2, axis=1)[:, ::2]
    forms: list[tuple[Array, Array, Array]] = [
        (wide, np.asfortranarray(w), y[::-1][::-1]),
        (x.astype(">f4"), w.astype(">f4"), y.astype(">i4")),
        (x[::-1][::-1], w[:, ::-1][:, ::-1], y.astype(np.int16)),
    ]
    for form in forms:
        found = everything(*form, linear_bias=b)
        np.testing.assert_allclose(found[0], plain[0], rtol=1e-6)
        for grad, expected in zip(found[1], plain[1], strict=True):
            assert grad.dtype == np.float32
            np.testing.assert_allclose(grad, expected, rtol=1e-5, atol=1e-7)
    assert F.linear_cross_entropy(x.tolist(), w, y.tolist()).dtype == np.float32
    assert F.linear_cross_entropy(x, w.astype(np.float64), y).dtype == np.float64
    assert F.linear_cross_entropy(np.ones((2, 3), int), np.ones((4, 3), np.float64), [0, 1]).dtype == np.float64


# ---- the class ----


@pytest.mark.parametrize("outer", [(), (2,), (2, 3)], ids=str)
@pytest.mark.parametrize("bias", [False, True])
def test_parameters_are_drawn_as_torch_draws_those_of_linear(outer: tuple[int, ...], bias: bool) -> None:
    made = nl.LinearCrossEntropyLoss(16, 400, out_features=outer, bias=bias, rng=1)
    weight = made.linear.weight
    assert weight.shape == (400 * int(np.prod(outer)), 16)
    assert weight.dtype == np.float32
    assert made.linear_weight.shape == (400, *outer, 16)
    assert np.shares_memory(made.linear_weight, weight)
    assert 0.24 < weight.max() <= 0.25
    assert -0.25 <= weight.min() < -0.24
    assert abs(float(weight.std()) - 0.25 / 3**0.5) < 0.01
    if made.linear.bias is None:
        assert not bias
        assert made.linear_bias is None
    else:
        assert made.linear.bias.shape == (400 * int(np.prod(outer)),)
        assert made.linear_bias is not None
        assert made.linear_bias.shape == (400, *outer)
        assert 0.2 < float(np.abs(made.linear.bias).max()) <= 0.25
    same, other = (nl.LinearCrossEntropyLoss(16, 400, out_features=outer, bias=bias, rng=r) for r in (1, np.random.default_rng(2)))
    assert same == made
    assert other != made


def test_the_text_is_torchs() -> None:
    torch = pytest.importorskip("torch")
    given: list[dict[str, Any]] = [{}, {"bias": True, "out_features": (2, 3), "reduction": "sum", "ignore_index": 2}]
    for kwargs in given:
        assert repr(nl.LinearCrossEntropyLoss(3, 4, **kwargs)) == repr(torch.nn.LinearCrossEntropyLoss(3, 4, **kwargs))


def test_keywords_and_their_defaults_are_torchs() -> None:
    torch = pytest.importorskip("torch")
    import inspect

    for ours, theirs in (
        (F.linear_cross_entropy, torch.nn.functional.linear_cross_entropy),
        (nl.LinearCrossEntropyLoss.__init__, torch.nn.LinearCrossEntropyLoss.__init__),
    ):
        mine, its = (inspect.signature(f).parameters for f in (ours, theirs))
        for name, parameter in its.items():
            assert (mine[name].kind, mine[name].default) == (parameter.kind, parameter.default)


def test_copies_are_equal_and_hold_parameters_of_their_own() -> None:
    made = nl.LinearCrossEntropyLoss(3, 4, bias=True, weight=[1, 2, 3, 4], options=nl.LinearCrossEntropyOptions(7))
    for twin in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert twin == made
        twin.linear.weight += 1
        assert twin != made


@pytest.mark.parametrize("outer", [(), (2,)], ids=str)
def test_gradient_descent_on_the_parameters_lowers_the_loss(outer: tuple[int, ...], rng: np.random.Generator) -> None:
    criterion = nl.LinearCrossEntropyLoss(5, 3, out_features=outer, bias=True, rng=rng)
    x = rng.normal(size=(60, 5)).astype(np.float32)
    y = np.where(x[:, 0] > 0, 2, 0)
    y = np.broadcast_to(y[:, None], (60, 2)) if outer else y
    losses = []
    for _ in range(20):
        loss, (dw, db) = criterion.value_and_grad(x, y, argnums=("linear_weight", "linear_bias"))
        assert dw.shape == criterion.linear.weight.shape
        criterion.linear.weight -= dw
        criterion.linear.bias -= db
        losses.append(loss)
    assert losses[-1] < 0.5 * losses[0]


def test_positions_of_the_class_are_those_of_its_call(rng: np.random.Generator) -> None:
    criterion = nl.LinearCrossEntropyLoss(2, 3, rng=0)
    x, q = rng.normal(size=(4, 2)), rng.dirichlet(np.ones(3), 4)
    numbered, by_name = (criterion.grad(x, q, argnums=a) for a in ((0, 1), ("input", "target")))
    assert list(map(bits, numbered)) == list(map(bits, by_name))
    with pytest.raises(TypeError, match="target"):
        criterion.grad(x, np.zeros(4, int), argnums=1)


# ---- streams ----


@pytest.mark.core
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_streams_give_the_whole(dtype: str, reduction: str, rng: np.random.Generator) -> None:
    criterion = nl.LinearCrossEntropyLoss(6, 40, dtype=dtype, reduction=reduction, bias=True, weight=rng.random(40), rng=rng)
    x = rng.normal(size=(500, 6)).astype(dtype)
    y = np.where(rng.random(500) < 0.1, -100, rng.integers(0, 40, 500))
    expected = oracle(
        x, criterion.linear.weight, y, linear_bias=criterion.linear.bias, weight=criterion.weight, reduction=reduction
    ).value
    for _ in range(5):
        edges = [0, *sorted(map(int, rng.integers(0, 501, 6))), 500]
        parts = []
        whole = criterion.accumulator()
        for a, b in itertools.pairwise(edges):
            whole.update(x[a:b], y[a:b])
            parts.append(criterion.accumulator())
            parts[-1].update(x[a:b], y[a:b])
        joined = pickle.loads(pickle.dumps(criterion.accumulator()))
        for part in reversed(parts):
            joined.merge(part)
        for stream in (whole, joined):
            assert_within(stream.compute(), expected, "few")
            assert stream.count == np.count_nonzero(y >= 0)


def test_a_bad_chunk_leaves_the_stream_as_it_was(rng: np.random.Generator) -> None:
    criterion = nl.LinearCrossEntropyLoss(2, 3, rng=rng)
    stream = criterion.accumulator()
    assert np.isnan(stream.compute())
    stream.update(np.ones((3, 2)), [0, 1, 2])
    before = bits(stream.compute()), stream.count
    for x, y, error in (
        (np.ones((2, 2)), [0, 3], IndexError),
        (np.ones((2, 4)), [0, 1], ValueError),
        (np.ones((2, 2), complex), [0, 1], TypeError),
    ):
        with pytest.raises(error):
            stream.update(x, y)
        assert (bits(stream.compute()), stream.count) == before
