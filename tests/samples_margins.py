"""How to draw the arguments of the margin losses of class scores: see samples.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from reference_margins import label_set
from samples import (
    CLASS_WEIGHTS,
    INDEX_DTYPES,
    REDUCTIONS,
    Array,
    Choices,
    Sample,
    Shape,
    _other,
    _sprinkle,
    positive_weights,
    upstream,
    weights,
)

# One class, a few, and more than a lane holds.
MULTI_MARGIN_SHAPES: dict[str, tuple[Shape, Shape]] = {
    "()": ((), ()),
    "() x (1)": ((), (1,)),
    "(C)": ((4,), ()),
    "(C) x (1)": ((4,), (1,)),
    "(1,C) x ()": ((1, 4), ()),
    "(N,C)": ((6, 4), (6,)),
    "(N,C) long": ((2, 70), (2,)),
}
LABEL_SET_SHAPES: dict[str, tuple[Shape, Shape]] = {
    "()": ((), ()),
    "() x (1)": ((), (1,)),
    "(1) x ()": ((1,), ()),
    "(C)": ((5,), (5,)),
    "(N,C)": ((6, 5), (6, 5)),
    "(N,C) long": ((2, 70), (2, 70)),
}
MARGINS = {"1": 1.0, "0.5": 0.5, "-0.25": -0.25}
MULTI_MARGIN_AXES = {
    "shape": tuple(MULTI_MARGIN_SHAPES),
    "target": INDEX_DTYPES,
    "p": ("1", "2"),
    "margin": tuple(MARGINS),
    "weight": CLASS_WEIGHTS,
    "reduction": REDUCTIONS,
}
LABEL_SET_AXES = {"shape": tuple(LABEL_SET_SHAPES), "target": INDEX_DTYPES, "reduction": REDUCTIONS}


def scores(rng: np.random.Generator, shape: Shape, dtype: str) -> Array:
    """Many are multiples of 1/4, so that a difference often is exactly the margin."""
    fine = rng.normal(0, 4, shape)
    return _sprinkle(rng, np.where(rng.random(shape) < 0.15, np.round(fine * 4) / 4, fine), (0.0, -0.0, 300.0, -40.0), 0.05).astype(
        dtype
    )


def draw_multi_margin(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    shapes, reduction = MULTI_MARGIN_SHAPES[choices["shape"]], choices["reduction"]
    classes = shapes[0][-1] if shapes[0] else 1
    x = scores(rng, shapes[0], dtype)
    y = np.asarray(rng.integers(0, min(classes, 2 if choices["target"] == "bool" else classes), shapes[1])).astype(
        choices["target"]
    )
    kwargs: dict[str, Any] = {"p": int(choices["p"]), "margin": MARGINS[choices["margin"]], "reduction": reduction}
    if choices["weight"] != "none":
        kwargs["weight"] = weights(rng, (classes,), _other(dtype) if choices["weight"] == "other dtype" else dtype)
    return Sample(choices, (x, y), kwargs, upstream(rng, shapes[1], reduction, x))


def multi_margin_allowed(choices: Choices) -> bool:
    """int64 labels meet every option, the other dtypes rows of both kinds."""
    if choices["target"] == "int64":
        return True
    return choices["shape"].startswith("(N,C)") and choices["margin"] == "0.5" and choices["weight"] == "given"


def batch_multi_margin(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    kwargs = {"p": 2, "margin": 3.5, "weight": positive_weights(rng, (10,), dtype)}
    return Sample({}, (rng.normal(0, 4, (n, 10)).astype(dtype), rng.integers(0, 10, n)), kwargs, None)


def label_sets(rng: np.random.Generator, shape: Shape, kind: str) -> Array:
    """Rows of labels, some of them twice, then usually -1, then anything."""
    classes = shape[-1] if shape else 1
    y = rng.integers(0, min(classes, 2 if kind == "bool" else classes), shape)
    if kind != "bool" and not kind.startswith("uint"):
        ends = rng.integers(0, min(classes, 6) + 1, (*shape[:-1], 1) if shape else ())
        y = np.where(np.arange(classes).reshape(shape if len(shape) < 2 else (classes,)) == ends, -1, y)
    return np.asarray(y).astype(kind)


def draw_label_sets(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    shapes, reduction = LABEL_SET_SHAPES[choices["shape"]], choices["reduction"]
    x, y = scores(rng, shapes[0], dtype), label_sets(rng, shapes[1], choices["target"])
    return Sample(choices, (x, y), {"reduction": reduction}, upstream(rng, shapes[0][:-1], reduction, x))


def label_sets_allowed(choices: Choices) -> bool:
    """Without a -1 a long row has as many targets as classes, and torch adds thousands of terms one after the other."""
    return choices["shape"] != "(N,C) long" or np.issubdtype(choices["target"], np.signedinteger)


def batch_label_sets(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    y = label_sets(rng, (n, 10), "int64")
    y[:, 0] = rng.integers(0, 10, n)
    return Sample({}, (rng.normal(0, 4, (n, 10)).astype(dtype), y), {}, None)


def distance_to_tie(x: Array, sets: list[list[int]], margins: tuple[float, ...]) -> Array:
    """How far each score is from where some hinge begins, for any of the margins."""
    rows = np.atleast_2d(np.asarray(x, float))
    away = np.full(rows.shape, np.inf)
    for row, near, targets in zip(rows, away, sets, strict=True):
        others = np.array([c not in targets for c in range(row.size)], bool)
        for k in targets:
            z = np.min([np.abs(m - row[k] + row) for m in margins], axis=0)
            near[others] = np.minimum(near, z)[others]
            near[k] = min(near[k], z[others].min(initial=np.inf))
    return away.reshape(np.shape(x))


def multi_margin_ties(x: Array, y: Array) -> Array:
    return distance_to_tie(x, [[int(label)] for label in np.ravel(y)], tuple(MARGINS.values()))


def label_set_ties(x: Array, y: Array) -> Array:
    classes = x.shape[-1] if x.ndim else 1
    return distance_to_tie(x, [label_set(row) for row in y.astype(int).reshape(-1, classes).tolist()], (1.0,))
