"""How to draw the arguments of the losses of vectors: see `samples`."""

from __future__ import annotations

from typing import Any

import numpy as np

import reference_vectors
from reference import wide
from samples import Array, Choices, Sample, Shape, _other, option, upstream

LABELLED_SHAPES: dict[str, tuple[Shape, Shape, Shape]] = {
    "(D)": ((5,), (5,), ()),
    "(N,D)": ((4, 3), (4, 3), (4,)),
    "(N,24)": ((2, 24), (2, 24), (2,)),
    "(N,D) x (1,D)": ((3, 4), (1, 4), (3,)),
    "(N,D), one label": ((3, 2), (3, 2), (1,)),
    "(1,D), labels": ((1, 2), (1, 2), (3,)),
}
TRIPLE_SHAPES: dict[str, tuple[Shape, Shape, Shape]] = {
    "(D)": ((5,), (5,), (5,)),
    "(N,D)": ((4, 3), (4, 3), (4, 3)),
    "(N,41)": ((2, 41), (2, 41), (2, 41)),
    "(N,d,D)": ((2, 3, 4), (2, 3, 4), (2, 3, 4)),
    "(N,D) x (1,D)": ((3, 4), (1, 4), (3, 4)),
    "(N,d,D) x (N,1,D) x (1,d,D)": ((2, 3, 4), (2, 1, 4), (1, 3, 4)),
    "(N,D) x (N,1)": ((3, 4), (3, 4), (3, 1)),
    "(N,1) x (N,1) x (N,D)": ((3, 1), (3, 1), (3, 4)),
}
NORMS = {"default": 2.0, "1": 1.0, "inf": np.inf, "3": 3.0, "1.5": 1.5, "0.5": 0.5, "-1": -1.0, "-inf": -np.inf, "0": 0.0}


def vectors(rng: np.random.Generator, shapes: tuple[Shape, ...], dtype: str, kind: str) -> list[Array]:
    """Vectors with some ties, one of them of another kind."""
    found = [rng.normal(0, 3, shape) for shape in shapes]
    if len({shape[-1:] for shape in shapes}) == 1 and shapes[0] == shapes[1]:
        tie = rng.random(shapes[0]) < 0.1
        found[1] = np.where(tie, found[0], found[1])
    arrays = [a.astype(dtype) for a in found]
    match kind.split():
        case ["other", "float", name]:
            arrays[int(name[-1:] == "2" or name == "positive")] = found[1].astype(_other(dtype))
        case ["int64", name]:
            k = 2 if name == "negative" else 1
            arrays[k] = np.asarray(rng.integers(-9, 10, shapes[k]))
    return arrays


def draw_cosine_embedding(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    shapes, reduction = LABELLED_SHAPES[choices["shape"]], choices["reduction"]
    x, y = vectors(rng, shapes[:2], dtype, choices["kinds"])
    kind = {"float": dtype, "other float": _other(dtype)}.get(choices["target"], choices["target"])
    label = np.asarray(rng.choice([1, -1, -1, 1, 0], shapes[2])).astype(kind)
    margin = None if choices["margin"] == "default" else float(choices["margin"])
    kwargs = {"reduction": reduction, **option("margin", margin)}
    rows = np.broadcast_shapes(np.broadcast_shapes(*shapes[:2])[:-1], shapes[2])
    return Sample(choices, (x, y, label), kwargs, upstream(rng, rows, reduction, x, y))


def batch_cosine_embedding(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    x, y = (rng.normal(0, 3, (n, 5)).astype(dtype) for _ in range(2))
    return Sample({}, (x, y, rng.choice([1, 1, 1, 1, 1, 1, 1, -1], n)), {"margin": -0.875}, None)


def triplet_allowed(choices: Choices) -> bool:
    """Other dtypes and margins with the common norms; float16 holds the sums of the others only roughly."""
    plain = choices["kinds"] == "float" and choices["margin"] == "default"
    return plain or (choices["p"] in ("default", "1", "3") and choices["eps"] == "default")


def draw_triplet(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    shapes, reduction = TRIPLE_SHAPES[choices["shape"]], choices["reduction"]
    args = vectors(rng, shapes, dtype, choices["kinds"])
    kwargs: dict[str, Any] = {"reduction": reduction}
    kwargs |= option("p", None if choices["p"] == "default" else NORMS[choices["p"]])
    kwargs |= option("margin", None if choices["margin"] == "default" else float(choices["margin"]))
    kwargs |= option("eps", None if choices["eps"] == "default" else float(choices["eps"]))
    kwargs |= option("swap", True if choices["swap"] == "yes" else None)
    rows = np.broadcast_shapes(*shapes)[:-1]
    return Sample(choices, tuple(args), kwargs, upstream(rng, rows, reduction, *args))


def batch_triplet(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    args = tuple(rng.normal(0, 3, (n, 6)).astype(dtype) for _ in range(3))
    return Sample({}, args, {"margin": 25.0, "swap": True}, None)


def draw_triplet_with_distance(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    shapes, reduction = TRIPLE_SHAPES[choices["shape"]], choices["reduction"]
    args = vectors(rng, shapes, dtype, "float")
    name = choices["distance_function"]
    kwargs: dict[str, Any] = {"reduction": reduction}
    kwargs |= option("distance_function", None if name == "default" else name)
    kwargs |= option("swap", True if choices["swap"] == "yes" else None)
    rows = np.broadcast_shapes(*shapes)[:-1]
    return Sample(choices, tuple(args), kwargs, upstream(rng, rows, reduction, *args))


def batch_triplet_with_distance(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    args = tuple(rng.normal(0, 3, (n, 6)).astype(dtype) for _ in range(3))
    return Sample({}, args, {"margin": 2.5, "distance_function": "cosine"}, None)


def _rowwise(away: Array, operand: Any, shape: Shape) -> Array:
    """The least distance of any row that an element of an operand takes part in."""
    spread = np.broadcast_to(away[..., None], (*away.shape, shape[-1]) if shape else away.shape)
    target = np.shape(operand)
    extra = spread.ndim - len(target)
    least = spread.min(axis=tuple(range(extra))) if extra else spread
    stretched = tuple(i for i, n in enumerate(target) if n == 1 and least.shape[i] != 1)
    return np.asarray(least.min(axis=stretched, keepdims=True) if stretched else least)


def kinks_of_cosine_embedding(sample: Sample) -> dict[str, Array]:
    x, y, label = (np.asarray(wide(a), float) for a in sample.args)
    cos = np.asarray((x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1)))
    away = np.broadcast_to(np.abs(cos - sample.kwargs.get("margin", 0.0)), np.broadcast_shapes(cos.shape, label.shape))
    # Beside 1e-12 a short vector is next to a kink: central differences keep away from it.
    short = np.minimum(np.abs(x).max(-1), np.abs(y).max(-1))
    away = np.where(np.broadcast_to(short, away.shape) < 0.25, 0, away)
    shape = np.broadcast_shapes(x.shape, y.shape)
    return {"input1": _rowwise(away, x, shape), "input2": _rowwise(away, y, shape)}


def kinks_of_triplet(sample: Sample) -> dict[str, Array]:
    """From the hinge, the swap, and whatever is not smooth in a norm: components of 0, and ties at p = inf."""
    a, p, n = (np.asarray(wide(v), float) for v in sample.args)
    kwargs = dict(sample.kwargs)
    order, eps = kwargs.get("p", 2.0), kwargs.get("eps", 1e-6)
    name = kwargs.get("distance_function")
    names = ("anchor", "positive", "negative")
    shape = np.broadcast_shapes(a.shape, p.shape, n.shape)

    def loss_of(**changes: Any) -> Any:
        reference = reference_vectors.triplet_margin_with_distance_loss if "distance_function" in kwargs else None
        function = reference or reference_vectors.triplet_margin_loss
        return function(a, p, n, **{**kwargs, "reduction": "none", "swap": False, **changes}).value.value

    big = 1e6
    excess = np.asarray(loss_of(margin=big), float) - big + kwargs.get("margin", 1.0)
    away = np.abs(excess)
    if kwargs.get("swap"):
        swapped = np.asarray(loss_of(margin=big, swap=True), float) - big + kwargs.get("margin", 1.0)
        away = np.minimum(away, np.abs(swapped))
        other = reference_vectors.p_norm(order, eps)(*np.broadcast_arrays(wide(p), wide(n)))[0].value
        direct = reference_vectors.p_norm(order, eps)(*np.broadcast_arrays(wide(a), wide(n)))[0].value
        if name in (None, "euclidean") and p.shape[-1] == n.shape[-1]:
            away = np.minimum(away, np.abs(np.asarray(other - direct, float)))
        elif name != "euclidean":
            away = np.minimum(away, np.abs(np.asarray(loss_of(margin=big, swap=True) - loss_of(margin=big), float)) + 1e-2)
    pairs = [(a, p), (a, n)] + ([(p, n)] if kwargs.get("swap") else [])
    for x, y in pairs:
        size = np.abs(x - y + eps)
        rough = np.full(size.shape[:-1], np.inf)
        if order == 1 or name == "l1":
            rough = size.min(-1)
        elif order < 2:
            rough = size.min(-1) / 50  # a steep derivative: far from 0
        if np.isinf(order) or order < 0:
            least_gap = np.diff(np.sort(size, -1), axis=-1)
            rough = np.minimum(size.min(-1), least_gap.min(-1) if size.shape[-1] > 1 else np.inf)
        if name == "cosine":
            rough = np.minimum(np.abs(x).max(-1), np.abs(y).max(-1)) - 0.25
        rough = np.minimum(rough, size.max(-1) - 0.25)
        away = np.minimum(away, np.broadcast_to(rough, away.shape) / 8)
    return {key: _rowwise(np.asarray(away), v, shape) for key, v in zip(names, sample.args, strict=True)}
