"""How to draw the arguments of the losses that make their own logits."""

from __future__ import annotations

import numpy as np

from samples import CLASS_SHAPES, CLASS_WEIGHTS, IGNORED, INDEX_DTYPES, Choices, Sample, classes_allowed, draw_classes, option

FEATURES = 5
# By the shape of the logits, as for cross entropy.
LINEAR_SHAPES = {name: CLASS_SHAPES[name] for name in ("(C)", "(N,C)", "(N,C,d1)", "(N,C,d1,d2)")}
LINEAR_AXES = {
    "shape": tuple(LINEAR_SHAPES),
    "target": (*INDEX_DTYPES, "probabilities", "other float probabilities"),
    "weight": CLASS_WEIGHTS,
    "ignore_index": tuple(IGNORED),
    "linear_bias": ("none", "given"),
    "label_smoothing": ("0", "0.1"),
}


def linear_allowed(choices: Choices) -> bool:
    return classes_allowed(choices) and (choices["target"] in ("int64", "probabilities") or choices["linear_bias"] == "given")


def draw_linear(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    shape = LINEAR_SHAPES[choices["shape"]]
    drawn = draw_classes(rng, dtype, choices, np.zeros(shape, dtype))
    lead, outer = shape[: len(shape) > 1], shape[len(shape) > 1 :]
    x = rng.normal(0, 3, (*lead, FEATURES)).astype(dtype)
    w = rng.normal(0, 0.5, (*outer, FEATURES)).astype(dtype)
    b = rng.normal(0, 1, outer).astype(dtype) if choices["linear_bias"] == "given" else None
    return Sample(choices, (x, w, drawn.args[1]), {**drawn.kwargs, **option("linear_bias", b)}, drawn.grad_output)
