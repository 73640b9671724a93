"""How to draw the arguments of sequence losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from samples import INDEX_DTYPES, REDUCTIONS, Array, Choices, Sample, Shape, upstream

FRAMES, CLASSES, LABELS = 9, 4, 3
SHAPES: dict[str, Shape] = {"(T,C)": (FRAMES, 1, CLASSES), "(T,N,C)": (FRAMES, 5, CLASSES)}
BLANKS = {"first": 0, "last": CLASSES - 1}

CTC_AXES = {
    "shape": tuple(SHAPES),
    "log_probs": ("normalized", "any"),
    "layout": ("padded", "concatenated"),
    "labels": INDEX_DTYPES,
    "lengths": ("full", "shorter", "tuples", "too short"),
    "blank": tuple(BLANKS),
    "zero_infinity": ("no", "yes"),
    "reduction": REDUCTIONS,
}


def ctc_allowed(choices: Choices) -> bool:
    """int64 labels meet every option, the other dtypes each layout and reduction."""
    if choices["labels"] == "int64":
        return True
    return (
        choices["shape"] == "(T,N,C)"
        and choices["log_probs"] == "normalized"
        and choices["lengths"] == "shorter"
        and choices["blank"] == "last"
        and choices["zero_infinity"] == "no"
    )


def log_softmax(x: Array) -> Array:
    wide = x.astype(np.longdouble)
    return np.asarray(wide - np.logaddexp.reduce(wide, axis=-1, keepdims=True)).astype(x.dtype)


def labels_without(rng: np.random.Generator, shape: Shape, blank: int, classes: int) -> Array:
    """Labels that are not the blank: with it, torch forgets one of two states of the last frame (D22)."""
    drawn = rng.integers(0, classes - 1, shape)
    return np.asarray(drawn + (drawn >= blank))


def draw_ctc(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    shape, reduction = SHAPES[choices["shape"]], choices["reduction"]
    samples, blank = shape[1], BLANKS[choices["blank"]]
    x = rng.normal(0, 4, shape)
    x = (log_softmax(x) if choices["log_probs"] == "normalized" else x).astype(dtype)
    y = labels_without(rng, (samples, LABELS), blank, 3 if choices["labels"] == "bool" else CLASSES)
    inputs, lengths = np.full(samples, FRAMES), np.full(samples, LABELS)
    if choices["lengths"] != "full":
        inputs = rng.integers(2 * LABELS, FRAMES + 1, samples)
        lengths = rng.integers(0, LABELS + 1, samples)
    if choices["lengths"] == "too short":
        inputs[0], lengths[0] = LABELS - 1, LABELS
    if choices["layout"] == "concatenated":
        y = np.concatenate([row[:length] for row, length in zip(y, lengths, strict=True)])
    y = y.astype(choices["labels"])
    args: tuple[Any, ...] = (x, y, inputs, lengths)
    if choices["shape"] == "(T,C)":
        args = (x[:, 0], y, inputs.reshape(()), lengths.reshape(()))
    if choices["lengths"] == "tuples":
        args = (*args[:2], tuple(inputs.tolist()), tuple(lengths.tolist()))
    kwargs: dict[str, Any] = {"reduction": reduction, "blank": blank}
    if choices["zero_infinity"] == "yes":
        kwargs["zero_infinity"] = True
    return Sample(choices, args, kwargs, upstream(rng, args[0].shape[1:-1], reduction, x))


def batch_ctc(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    x = log_softmax(rng.normal(0, 2, (7, n, 5))).astype(dtype)
    y = rng.integers(1, 5, (n, 3))
    return Sample({}, (x, y, rng.integers(5, 8, n), rng.integers(0, 4, n)), {"zero_infinity": True}, None)
