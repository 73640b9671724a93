"""The gradient of a broadcast operand: the sum of what its copies have, the same whatever the slabs, the threads and the level."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from memory import excess_of
from ndloss import _broadcast

pytestmark = pytest.mark.filterwarnings("ignore::ndloss.BroadcastWarning")

Array = np.ndarray[Any, np.dtype[Any]]

# The shape of the loss, and that of an operand.
SHAPES = [
    ((7, 5), (5,)),
    ((7, 5), (1, 5)),
    ((7, 5), (7, 1)),
    ((7, 5), ()),
    ((300, 40), (1, 40)),
    ((40, 3000), (40, 1)),
    ((3, 20000), (3, 1)),
    ((9000, 7), (1, 7)),
    ((90000,), (1,)),
    ((2, 30, 4, 50), (2, 1, 4, 1)),
    ((3, 40, 500), (1, 40, 1)),
    ((2, 3000, 5), (2, 1, 5)),
    ((5, 40, 1, 30), (40, 1, 30)),
    ((1, 6), (6,)),
    ((0, 3), (1, 3)),
    ((4, 0), (4, 1)),
]


def drawn(shape: tuple[int, ...], own: tuple[int, ...], dtype: str) -> tuple[Array, Array]:
    random = np.random.default_rng(math.prod(shape) + len(own))
    return random.standard_normal(own).astype(dtype), random.standard_normal(shape).astype(dtype)


def summed(whole: Array, own: tuple[int, ...]) -> Array:
    """Rounded once from the exact sums."""
    aligned = (1,) * (whole.ndim - len(own)) + own
    kept = [d for d, extent in enumerate(aligned) if extent == whole.shape[d]]
    copies = [d for d in range(whole.ndim) if d not in kept]
    rows = whole.transpose(kept + copies).reshape(math.prod(own), -1)
    return np.array([math.fsum(row) for row in rows]).reshape(own).astype(whole.dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "own"), SHAPES)
def test_it_is_the_sum_over_the_copies(shape: tuple[int, ...], own: tuple[int, ...], dtype: str) -> None:
    x, y = drawn(shape, own, dtype)
    value, grads = nl.value_and_grad(F.mse_loss, argnums=(0, 1))(x, y, reduction="sum")
    whole_value, whole = nl.value_and_grad(F.mse_loss)(np.broadcast_to(x, shape).copy(), y, reduction="sum")
    assert value == whole_value
    assert np.array_equal(grads[0], summed(whole, own))
    assert np.array_equal(grads[1], -whole)


def cut_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slabs of one block, and passes for nearly every operand."""
    for name, size in {"SLAB": 1, "SHARED_SUMS": 3, "OWN_SUMS": 8}.items():
        monkeypatch.setattr(_broadcast, name, size)


def vectors(x: Array, y: Array) -> Any:
    return nl.value_and_grad(F.cosine_similarity, argnums=(0, 1))(x, y, dim=0 if x.ndim > 1 else -1)


def distances(x: Array, y: Array) -> Any:
    label = np.where(np.arange(math.prod(y.shape[:-1])).reshape(y.shape[:-1]) % 2, 1, -1)
    mask = label * (label > 0)
    return nl.value_and_grad(F.cosine_embedding_loss, argnums=(0, 1))(x, y, label, mask=mask.astype(bool))


def gaussian(x: Array, y: Array) -> Any:
    return nl.grad_hess(F.gaussian_nll_loss, argnums=(0, 1, 2))(x, y, abs(x) + 1)


def weights(x: Array, y: Array) -> Any:
    return nl.value_and_grad(F.mse_loss, argnums=(0, "weight"))(x, y, weight=abs(x))


CALLS: dict[str, Callable[[Array, Array], Any]] = {
    "mse_loss": lambda x, y: nl.value_and_grad(F.mse_loss, argnums=(0, 1))(x, y),
    "unreduced": lambda x, y: nl.value_and_grad(F.huber_loss, argnums=(0, 1))(x, y, reduction="none"),
    "gaussian_nll_loss": gaussian,
    "weight": weights,
    "vectors": vectors,
    "vectors under a mask": distances,
}


def flat(result: Any) -> list[Array]:
    return [one for part in result for one in flat(part)] if isinstance(result, tuple) else [result]


def results(call: Callable[[Array, Array], Any]) -> list[Array]:
    found = []
    for shape, own in SHAPES:
        vectorial = call in (vectors, distances)
        if len(shape) > 1 and 0 not in shape and not (vectorial and (len(own) < len(shape) or len(shape) > 2)):
            found += flat(call(*drawn(shape, own, "float32")))
    return found


def assert_same(ours: list[Array], theirs: list[Array]) -> None:
    assert len(ours) == len(theirs) > 0
    for one, other in zip(ours, theirs, strict=True):
        assert np.array_equal(one, other, equal_nan=True)


@pytest.mark.parametrize("what", CALLS)
def test_slabs_and_passes_do_not_change_bits(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = results(CALLS[what])
    cut_small(monkeypatch)
    assert_same(results(CALLS[what]), expected)


@pytest.mark.core
@pytest.mark.parametrize("threads", [2, 3, 7])
def test_threads_do_not_change_bits(threads: int) -> None:
    shapes = [
        ((40000, 37), (1, 37)),
        ((1300, 1000), (1, 1000)),
        ((1_500_000,), ()),
        ((40000, 37), (40000, 1)),
        ((3, 400000), (3, 1)),
    ]
    for shape, own in shapes:
        x, y = drawn(shape, own, "float32")
        one, several = (nl.value_and_grad(F.mse_loss)(x, y, num_threads=n) for n in (1, threads))
        assert_same(flat(one), flat(several))


def test_class_weights_in_slabs(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    for shape in ((700, 10), (60, 100), (20, 5, 6, 7), (3, 70, 11)):
        x = random.standard_normal(shape).astype(np.float32)
        target = abs(random.standard_normal(shape)).astype(np.float32)
        weight = np.linspace(0.5, 2, shape[1]).astype(np.float32)

        def call() -> Any:
            return nl.value_and_grad(F.cross_entropy, argnums=(0, 1, 2))(x, target, weight)  # noqa: B023

        with monkeypatch.context() as small:
            expected = flat(call())
            cut_small(small)
            assert_same(flat(call()), expected)
        slopes = nl.value_and_grad(F.cross_entropy, argnums=2)(x.astype(float), target, weight, reduction="sum")[1]
        log_probs = x - np.log(np.exp(x.astype(float)).sum(1, keepdims=True))
        axes = (0, *range(2, x.ndim))
        np.testing.assert_allclose(slopes, -(target * log_probs).sum(axes), rtol=1e-6)
        assert expected[3].shape == weight.shape


# ---- memory ----

SPARE_MIB = 16

PREPARATION = """
import warnings
import numpy as np
import ndloss as nl, ndloss.functional as F
warnings.simplefilter("ignore")

def filled(*shape, value=0.5):
    return np.full(shape, value, np.float16)

long, wide, tall = filled(16_000_000, 1), filled(2, 8_000_000), filled(2_000_000, 8)
"""

MEMORY = {
    "one row": "nl.value_and_grad(F.mse_loss, argnums=(0, 1))(tall[:1], tall)",
    "one long row": "nl.value_and_grad(F.mse_loss)(wide[:1], wide)",
    "one long row and the others": "nl.value_and_grad(F.mse_loss, argnums=(0, 1))(wide[:1], wide)",
    "a scalar": "nl.value_and_grad(F.mse_loss)(tall[0, 0], tall)",
    "a column": "nl.value_and_grad(F.mse_loss)(tall[:, :1], tall)",
    "var": "nl.value_and_grad(F.gaussian_nll_loss, argnums=(0, 1, 2))(tall, tall, tall[:, :1])",
    "var, twice": "nl.grad_hess(F.gaussian_nll_loss, argnums=(0, 1, 2))(tall, tall, tall[:, :1])",
    "a long var": "nl.value_and_grad(F.gaussian_nll_loss, argnums=2)(np.broadcast_to(long, (16_000_000, 2)), filled(1, 1), long)",
    "a weight": "nl.value_and_grad(F.mse_loss, argnums='weight')(tall[:1], tall, weight=tall[:1])",
    "unreduced": "nl.value_and_grad(F.mse_loss)(tall[:1], tall, reduction='none')",
    "class weights": "nl.value_and_grad(F.cross_entropy, argnums='weight')(tall, tall, filled(8))",
    "vectors": "nl.value_and_grad(F.pairwise_distance, argnums=(0, 1))(tall[:1], tall)",
    "vectors of another axis": "nl.value_and_grad(F.cosine_similarity, argnums=(0, 1))(tall.T[:, :1], tall.T, dim=0)",
}


@pytest.mark.parametrize("what", MEMORY)
def test_it_needs_no_memory_beside_the_results(what: str) -> None:
    assert excess_of(f"{PREPARATION}\ndef call():\n    return {MEMORY[what]}\n") < SPARE_MIB
