"""The oracle of losses and distances of vectors: see `reference`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from reference import WIDE, Answer, Bounded, Wide, gradient, reduced, result_dtype, sum_to_shape, wide

# torch writes 1e-12 in float32 and uses that number in float64 too.
EMBEDDING_EPS = WIDE(np.float32(1e-12))

# d(x, y) over the last axis, and its derivatives by either, broadcast: each with the magnitudes of its terms.
Distance = Callable[[Wide, Wide], tuple[Bounded, Bounded, Bounded]]


def p_norm(p: float, eps: float) -> Distance:
    def distance(x: Wide, y: Wide) -> tuple[Bounded, Bounded, Bounded]:
        v = x - y + WIDE(eps)
        size = np.abs(v)
        order = WIDE(p)
        if p == 0:
            norm, slope = (v != 0).sum(-1, keepdims=True).astype(WIDE), np.zeros_like(v)
        elif np.isinf(p):
            extreme = np.max if p > 0 else np.min
            norm = extreme(size, axis=-1, keepdims=True) if v.shape[-1] else np.zeros((*v.shape[:-1], 1), WIDE)
            tied = size == norm
            slope = np.where(tied, np.sign(v), 0) / np.maximum(tied.sum(-1, keepdims=True), 1)
        else:
            total = (size**order).sum(-1, keepdims=True)
            norm = np.sqrt(total) if p == 2 else total if p == 1 else total ** (1 / order)
            slope = np.sign(v) * (size / norm) ** (order - 1)
            slope = np.where((norm == 0) | (v == 0), np.where(np.isnan(norm) & (p != 1), norm, 0), slope)
            if p == 1:
                slope = np.where(np.isnan(v), 0, np.sign(v))
        # x - y and eps may cancel. A power multiplies the relative errors of v and of the norm by its exponent.
        cancelled = np.where(v == 0, 1, (np.abs(x - y) + abs(eps)) / np.where(v == 0, 1, size))
        power = 0 if p in (0, 1) or np.isinf(p) else 1 if p == 2 else 1 + abs(p - 1)
        scale = np.abs(slope) * (np.maximum(1, power * cancelled) if power else 1)
        value = norm[..., 0]
        return Bounded(value, np.abs(value)), Bounded(slope, scale), Bounded(-slope, scale)

    return distance


def cosine(x: Wide, y: Wide, n_x: Wide, n_y: Wide, m_x: Wide, m_y: Wide) -> tuple[Bounded, Bounded, Bounded]:
    """n: what the vectors are divided by; m: what the derivative of the norm divides by."""
    with np.errstate(all="ignore"):
        value = (x * y).sum(-1, keepdims=True) / (n_x * n_y)
        size = np.abs(x * y).sum(-1, keepdims=True) / (n_x * n_y)

        def slope(a: Wide, b: Wide, n: Wide, m: Wide) -> Bounded:
            inverse = np.where(m == 0, 0, 1 / np.where(m == 0, 1, m))
            parts = b / (n_x * n_y), value * a / n * inverse
            return Bounded(parts[0] - parts[1], np.abs(parts[0]) + size * np.abs(a) / n * inverse)

        return Bounded(value[..., 0], size[..., 0]), slope(x, y, n_x, m_x), slope(y, x, n_y, m_y)


def similarity(eps: float) -> Distance:
    def distance(x: Wide, y: Wide) -> tuple[Bounded, Bounded, Bounded]:
        m_x, m_y = (np.sqrt((a * a).sum(-1, keepdims=True)) for a in (x, y))
        return cosine(x, y, np.maximum(m_x, WIDE(eps)), np.maximum(m_y, WIDE(eps)), m_x, m_y)

    return distance


def cosine_distance(x: Wide, y: Wide) -> tuple[Bounded, Bounded, Bounded]:
    found = similarity(1e-8)(x, y)
    value, dx, dy = found
    return Bounded(1 - value.value, 1 + value.scale), Bounded(-dx.value, dx.scale), Bounded(-dy.value, dy.scale)


def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, *, margin: float = 0.0, reduction: str = "mean", grad_output: Any = None
) -> Answer:
    x, y, label = wide(input1), wide(input2), wide(target)
    with np.errstate(all="ignore"):
        both = np.broadcast_shapes(x.shape, y.shape)
        a, b = np.broadcast_to(x, both), np.broadcast_to(y, both)
        n_x, n_y = (np.sqrt((v * v).sum(-1, keepdims=True) + EMBEDDING_EPS) for v in (a, b))
        cos, dx, dy = cosine(a, b, n_x, n_y, n_x, n_y)
        beyond = cos.value - WIDE(margin)
        hinge = np.where(beyond < 0, 0, beyond)
        value = np.where(label == 1, 1 - cos.value, np.where(label == -1, hinge, 0))
        size = np.where(label == 1, 1 + cos.scale, np.where((label == -1) & (hinge != 0), cos.scale + abs(margin), 0))
        terms = Bounded(np.asarray(value), np.asarray(size))
        by_cosine = np.where(label == 1, -1, np.where((label == -1) & (beyond >= 0), 1, 0))
        total, u = reduced(terms, reduction, terms.value.size, grad_output)
        factor = np.asarray(u * by_cosine)[..., None]
        grads = {"input1": gradient(factor, dx, x.shape), "input2": gradient(factor, dy, y.shape)}
    return Answer(total, grads, result_dtype(input1, input2))


def _triplet(
    vectors: tuple[Any, Any, Any], distance: Distance, margin: float, swap: bool, reduction: str, grad_output: Any
) -> Answer:
    names = ("anchor", "positive", "negative")
    wides = tuple(wide(v) for v in vectors)
    with np.errstate(all="ignore"):

        def of(i: int, j: int) -> tuple[Bounded, Bounded, Bounded]:
            a, b = (v if v.ndim else v[None] for v in (wides[i], wides[j]))
            shape = np.broadcast_shapes(a.shape, b.shape)
            return distance(np.broadcast_to(a, shape), np.broadcast_to(b, shape))

        found = {(0, 1): of(0, 1), (0, 2): of(0, 2)} | ({(1, 2): of(1, 2)} if swap else {})
        positive, negative = found[0, 1][0], found[0, 2][0]
        nearest, share = negative.value, WIDE(1)
        size = negative.scale
        if swap:
            other = found[1, 2][0]
            nearest = np.minimum(negative.value, other.value)
            share = np.where(negative.value < other.value, WIDE(1), np.where(negative.value == other.value, WIDE(0.5), WIDE(0)))
            size = np.maximum(negative.scale, other.scale)
        excess = WIDE(margin) + positive.value - nearest
        value = np.where(excess < 0, 0, excess)
        scale = np.where(value == 0, 0, abs(margin) + positive.scale + size)
        total, u = reduced(Bounded(np.asarray(value), np.asarray(scale)), reduction, value.size, grad_output)
        on = np.asarray(u * (excess >= 0))
        factors = {(0, 1): on, (0, 2): -on * share, (1, 2): -on * (1 - share)}
        grads = {}
        for k, name in enumerate(names):
            shape = np.shape(vectors[k])
            value_of, scale_of = np.zeros(shape, WIDE), np.zeros(shape, WIDE)
            for pair, parts in found.items():
                if k in pair:
                    slope = parts[1 + pair.index(k)]
                    factor = np.asarray(factors[pair])[..., None]
                    value_of = value_of + sum_to_shape(factor * slope.value, shape)
                    scale_of = scale_of + sum_to_shape(np.abs(factor) * slope.scale, shape)
            grads[name] = Bounded(value_of, scale_of)
    return Answer(total, grads, result_dtype(*vectors))


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
    grad_output: Any = None,
) -> Answer:
    return _triplet((anchor, positive, negative), p_norm(p, eps), margin, swap, reduction, grad_output)


def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Any = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
    grad_output: Any = None,
) -> Answer:
    named: dict[str, Distance] = {
        "euclidean": p_norm(2, 1e-6),
        "cosine": cosine_distance,
        "l1": p_norm(1, 1e-6),
    }
    chosen = distance_function or "euclidean"
    return _triplet((anchor, positive, negative), named[chosen], margin, swap, reduction, grad_output)


def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False, *, grad_output: Any = None
) -> Answer:
    return _distance(x1, x2, -1, p_norm(p, eps), keepdim, grad_output)


def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8, *, grad_output: Any = None) -> Answer:
    return _distance(x1, x2, dim, similarity(eps), False, grad_output)


def _distance(x1: Any, x2: Any, dim: int, distance: Distance, keepdim: bool, grad_output: Any) -> Answer:
    x, y = wide(x1), wide(x2)
    with np.errstate(all="ignore"):
        shape = np.broadcast_shapes(x.shape, y.shape)
        found = distance(*(np.moveaxis(np.broadcast_to(v, shape or (1,)), dim, -1) for v in (x, y)))
        value = found[0]
        if keepdim and shape:
            value = Bounded(np.expand_dims(value.value, dim), np.expand_dims(value.scale, dim))
        u = np.broadcast_to(wide(1.0 if grad_output is None else grad_output), value.value.shape).reshape(found[0].value.shape)
        grads = {}
        for name, operand, slope in (("x1", x, found[1]), ("x2", y, found[2])):
            moved = Bounded(*(np.moveaxis(u[..., None] * part, -1, dim) for part in (slope.value, slope.scale)))
            grads[name] = Bounded(sum_to_shape(moved.value, operand.shape), sum_to_shape(np.abs(moved.scale), operand.shape))
    return Answer(value, grads, result_dtype(x1, x2))
