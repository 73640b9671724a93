"""What is true of distances and of the losses of vectors alone: callables, dimensions, lengths, extremes."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
import reference_vectors as oracle
from calls import bits
from layouts import LAYOUTS
from outcomes import isa
from samples import FLOATS, Array
from tolerances import assert_within

NORMS = (2.0, 1.0, 3.0, 1.5, 0.5, -1.0, np.inf, -np.inf, 0.0)
LENGTHS = (1, 2, 7, 15, 16, 17, 23, 24, 25, 31, 32, 33, 100, 257, 5000)
SHAPES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((), ()),
    ((4,), (4,)),
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((3, 4), (3, 1)),
    ((2, 3, 4), (3, 4)),
    ((2, 1, 4), (1, 3, 4)),
    ((0, 3), (0, 3)),
)
VECTORS = ("anchor", "positive", "negative")


def pair(rng: np.random.Generator, shapes: tuple[tuple[int, ...], tuple[int, ...]], dtype: str) -> tuple[Array, Array]:
    x, y = (np.asarray(rng.normal(0, 3, shape)).astype(dtype) for shape in shapes)
    return x, y


def squared(x: Array, y: Array) -> tuple[Array, Array, Array]:
    d = x - y
    return (d * d).sum(-1), 2 * d, -2 * d


def squared_alone(x: Array, y: Array) -> Any:
    return squared(x, y)[0]


@pytest.mark.core
@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_pairwise_distance_is_the_oracles(p: float, dtype: str, rng: np.random.Generator) -> None:
    for shapes, keepdim in itertools.product(SHAPES, (False, True)):
        x, y = pair(rng, shapes, dtype)
        expected = oracle.pairwise_distance(x, y, p, keepdim=keepdim)
        upstream = rng.normal(size=expected.value.value.shape).astype(dtype)
        expected = oracle.pairwise_distance(x, y, p, keepdim=keepdim, grad_output=upstream)
        found, grads = nl.value_and_grad(F.pairwise_distance, argnums=("x1", "x2"))(x, y, p, keepdim=keepdim, grad_output=upstream)
        assert found.dtype == dtype
        assert bits(found) == bits(F.pairwise_distance(x, y, p, 1e-6, keepdim))
        assert_within(found, expected.value, "unreduced", f"{shapes}")
        for name, grad in zip(("x1", "x2"), grads, strict=True):
            assert_within(grad, expected.grads[name], "gradient", f"d {name} {shapes}")


@pytest.mark.core
@pytest.mark.parametrize("dtype", FLOATS)
def test_cosine_similarity_is_the_oracles(dtype: str, rng: np.random.Generator) -> None:
    for shapes in (*SHAPES, ((2, 5, 3, 4), (5, 1, 4)), ((2, 70, 3), (2, 70, 3))):
        x, y = pair(rng, shapes, dtype)
        for dim in range(-max(1, max(x.ndim, y.ndim)), max(1, max(x.ndim, y.ndim))):
            expected = oracle.cosine_similarity(x, y, dim)
            upstream = rng.normal(size=expected.value.value.shape).astype(dtype)
            expected = oracle.cosine_similarity(x, y, dim, grad_output=upstream)
            found, grads = nl.value_and_grad(F.cosine_similarity, argnums=(0, 1))(x, y, dim, grad_output=upstream)
            assert bits(found) == bits(F.cosine_similarity(x, y, dim))
            assert_within(found, expected.value, "unreduced", f"{shapes}, {dim}")
            for name, grad in zip(("x1", "x2"), grads, strict=True):
                assert_within(grad, expected.grads[name], "gradient", f"d {name} {shapes}, {dim}")


@pytest.mark.parametrize("dtype", FLOATS)
def test_distances_are_torchs(dtype: str, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    rtol = 1e-4 if dtype == "float32" else 1e-9
    for shapes in SHAPES:
        x, y = pair(rng, shapes, dtype)
        a, b = (torch.from_numpy(v.copy()).requires_grad_(True) for v in (x, y))
        calls: list[tuple[Any, Any]] = [
            (
                torch.nn.functional.pairwise_distance(a, b, p, keepdim=True),
                nl.value_and_grad(F.pairwise_distance, argnums=(0, 1))(x, y, p, 1e-6, True),
            )
            for p in NORMS
            if p
        ]
        calls += [
            (
                torch.nn.functional.cosine_similarity(a, b, dim=dim),
                nl.value_and_grad(F.cosine_similarity, argnums=(0, 1))(x, y, dim),
            )
            for dim in {-1, 0}
        ]
        for theirs, (value, grads) in calls:
            np.testing.assert_allclose(value, theirs.detach().numpy(), rtol=rtol, atol=rtol)
            slopes = torch.autograd.grad(theirs.sum(), [a, b])
            for grad, slope in zip(grads, slopes, strict=True):
                np.testing.assert_allclose(grad, slope.numpy(), rtol=10 * rtol, atol=10 * rtol)


def test_the_bound_of_cosine_similarity_is_not_seen_by_its_gradient() -> None:
    x, y = np.array([[1e-9, 0, 0], [0, 0, 0]]), np.array([[2.0, 0, 1.0], [0, 0, 1.0]])
    value, (dx, dy) = nl.value_and_grad(F.cosine_similarity, argnums=(0, 1))(x, y)
    np.testing.assert_allclose(value, [0.08944271909999159, 0])
    np.testing.assert_allclose(dx, [[80498447.18999243, 0, 44721359.549995795], [0, 0, 1e8]])
    np.testing.assert_allclose(dy, [[0.008944271909999156, 0, -0.01788854381999832], [0, 0, 0]])


@pytest.mark.core
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("length", LENGTHS)
def test_vectors_of_any_length(length: int, dtype: str, rng: np.random.Generator) -> None:
    """Kernels change their ways with the length; rows fill a tile, or do not."""
    for rows in (1, 5, 33):
        args = tuple(rng.normal(0, 3, (rows, length)).astype(dtype) for _ in range(3))
        for p, swap in itertools.product((2.0, 1.0, 3.0, np.inf), (False, True)):
            expected = oracle.triplet_margin_loss(*args, p=p, swap=swap, margin=2.0, reduction="sum")
            found, grads = nl.value_and_grad(F.triplet_margin_loss, argnums=VECTORS)(
                *args, p=p, swap=swap, margin=2.0, reduction="sum"
            )
            assert_within(found, expected.value, "few", f"p {p}, swap {swap}")
            for name, grad in zip(VECTORS, grads, strict=True):
                assert_within(grad, expected.grads[name], "gradient", f"d {name}, p {p}, swap {swap}")
        label = rng.choice([1, -1], rows)
        expected = oracle.cosine_embedding_loss(*args[:2], label, margin=-0.5, reduction="none")
        found, grads = nl.value_and_grad(F.cosine_embedding_loss, argnums=(0, 1))(*args[:2], label, margin=-0.5, reduction="none")
        assert_within(found, expected.value, "unreduced")
        for name, grad in zip(("input1", "input2"), grads, strict=True):
            assert_within(grad, expected.grads[name], "gradient", f"d {name}")


def everything(args: tuple[Array, ...], **options: Any) -> list[Any]:
    found: list[Any] = []
    for p in (2.0, 1.0, 3.0, np.inf):
        both = nl.value_and_grad(F.triplet_margin_loss, argnums=VECTORS)
        found += [*map(bits, (lambda v, g: (v, *g))(*both(*args, p=p, swap=True, **options)))]
    label = np.where(np.arange(len(args[0])) % 3 == 0, -1, 1)
    value, grads = nl.value_and_grad(F.cosine_embedding_loss, argnums=(0, 1))(*args[:2], label, **options)
    return [*found, bits(value), *map(bits, grads)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("length", [3, 16, 24, 130, 20_000])
def test_bits_depend_on_neither_threads_nor_level(length: int, dtype: str, rng: np.random.Generator) -> None:
    rows = 400_000 // length + 1
    args = tuple(rng.normal(0, 3, (rows, length)).astype(dtype) for _ in range(3))
    levels = [name for name in nl.available_isas() if name != "baseline"]
    results = []
    for level in levels:
        with isa(level):
            results += [everything(args, num_threads=n) for n in (1, 2, 3)]
    assert all(result == results[0] for result in results)


@pytest.mark.core
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bits_do_not_depend_on_the_layout(layout: str, rng: np.random.Generator) -> None:
    for dtype, length in itertools.product(FLOATS, (5, 40)):
        args = tuple(rng.normal(0, 3, (37, length)).astype(dtype) for _ in range(3))
        assert everything(tuple(LAYOUTS[layout](a) for a in args)) == everything(args)


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_a_callable_with_derivatives_has_gradients(reduction: str, swap: bool, rng: np.random.Generator) -> None:
    args = tuple(rng.normal(0, 1, shape) for shape in ((5, 4), (1, 4), (5, 4)))
    criterion = nl.TripletMarginWithDistanceLoss(distance_function=squared, margin=2.0, swap=swap, reduction=reduction)
    value, grads = criterion.value_and_grad(*args, argnums=VECTORS)
    d_ap, d_an, d_pn = (squared(args[i], args[j])[0] for i, j in ((0, 1), (0, 2), (1, 2)))
    losses = np.maximum(0, 2.0 + d_ap - (np.minimum(d_an, d_pn) if swap else d_an))
    expected = {"none": losses, "mean": losses.mean(), "sum": losses.sum()}[reduction]
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    assert bits(value) == bits(criterion(*args))
    h = 1e-6
    for k, grad in enumerate(grads):
        assert grad.shape == args[k].shape
        for index in np.ndindex(grad.shape):
            moved = [[*args], [*args]]
            for sign, one in zip((1, -1), moved, strict=True):
                one[k] = args[k].copy()
                one[k][index] += sign * h
            up, down = (np.sum(criterion(*one)) for one in moved)
            np.testing.assert_allclose(grad[index], (up - down) / (2 * h), atol=1e-7)


def test_a_callable_without_derivatives_has_values_and_streams(rng: np.random.Generator) -> None:
    args = tuple(rng.normal(0, 1, (50, 4)) for _ in range(3))
    criterion = nl.TripletMarginWithDistanceLoss(distance_function=squared_alone, swap=True)
    both = nl.TripletMarginWithDistanceLoss(distance_function=squared, swap=True)
    assert bits(criterion(*args)) == bits(both(*args))
    with pytest.raises(TypeError, match="dd/da"):
        criterion.value_and_grad(*args)
    stream = pickle.loads(pickle.dumps(criterion)).accumulator()
    for chunk in (slice(0, 7), slice(7, 50)):
        stream.update(*(a[chunk] for a in args))
    assert bits(stream.compute()) == bits(criterion(*args))
    assert stream.count == 50


def test_what_a_callable_must_return() -> None:
    args = (np.ones((2, 3)),) * 3
    for bad, exception in ((lambda x, y: (x, y), ValueError), (lambda x, y: None, TypeError), (lambda x, y: "d", TypeError)):
        with pytest.raises(exception, match=r"^triplet_margin_with_distance_loss: "):
            F.triplet_margin_with_distance_loss(*args, distance_function=bad)


def test_named_distances_are_those_of_triplet_margin_loss(rng: np.random.Generator) -> None:
    args = tuple(rng.normal(0, 1, (50, 4)).astype(np.float32) for _ in range(3))
    for name, p in (("euclidean", 2.0), ("l1", 1.0)):
        found = nl.value_and_grad(F.triplet_margin_with_distance_loss, argnums=(0, 1, 2))(*args, distance_function=name)
        expected = nl.value_and_grad(F.triplet_margin_loss, argnums=(0, 1, 2))(*args, p=p)
        assert bits(found[0]) == bits(expected[0])
        assert [*map(bits, found[1])] == [*map(bits, expected[1])]


def test_powers_are_relative_to_the_largest_component() -> None:
    """torch's 1e200 cubed is inf, its 1e-150 cubed 0."""
    for size in (1e200, 1e-150):
        x = np.array([[size, 0.0, -size]])
        np.testing.assert_allclose(F.pairwise_distance(x, 0 * x, 3.0, 0.0), [size * 2 ** (1 / 3)], rtol=1e-15)
        np.testing.assert_allclose(F.pairwise_distance(x, 0 * x, -2.0, 0.0), [0])


def test_a_pair_of_equal_dtypes_decides_the_dtype_of_an_embedding_loss() -> None:
    """As in torch: the target is a label."""
    x = np.ones((2, 3), np.float32)
    assert F.cosine_embedding_loss(x, x, np.ones(2, np.float64)).dtype == np.float32
    assert F.cosine_embedding_loss(x, x.astype(np.float64), np.ones(2, np.float32)).dtype == np.float64


@pytest.mark.parametrize(
    ("function", "args", "exception", "fragment"),
    [
        (F.pairwise_distance, (np.ones((2, 3)), np.ones((2, 4))), ValueError, "x1 (2, 3)"),
        (F.cosine_similarity, (np.ones((2, 3)), np.ones((2, 4))), ValueError, "x2 (2, 4)"),
        (F.cosine_similarity, (np.ones(3), np.ones(3)), IndexError, "dim"),
        (F.cosine_similarity, (np.ones((2, 3)), np.ones((2, 3)), 1.5), TypeError, "dim"),
        (F.pairwise_distance, (np.ones(3), np.ones(3), "x"), TypeError, "p must be"),
        (F.pairwise_distance, (np.ones(3, complex), np.ones(3)), TypeError, "x1"),
    ],
)
def test_distances_refuse(function: Any, args: tuple[Any, ...], exception: type[Exception], fragment: str) -> None:
    for callable_ in (function, nl.value_and_grad(function)):
        with pytest.raises(exception) as caught:
            callable_(*args)
        assert str(caught.value).startswith(f"{function.__name__}: ")
        assert fragment in str(caught.value)
