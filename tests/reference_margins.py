"""The oracle of the margin losses of class scores: see reference.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from reference import WIDE, Answer, Wide, exactly, gradient, reduced, result_dtype, times, wide


def narrowed(margin: float, dtype: np.dtype[Any]) -> Wide:
    """The margin in the type that the loss is computed in, as torch takes it."""
    return wide(np.asarray(margin, np.float64 if dtype.itemsize == 8 else np.float32))


def hinges(x: Wide, targets: list[int], margin: Wide, p: int) -> tuple[Wide, Wide]:
    """Sum of one row's hinges, every target against every class that is none, and its gradient."""
    loss, slope = WIDE(0), np.zeros(x.shape, WIDE)
    others = np.array([c not in targets for c in range(x.size)], bool)
    for k in targets:
        z = margin - x[k] + x
        violated = (z > 0) & others
        loss += np.where(violated, z**p, WIDE(0)).sum()
        rise = np.where(violated, WIDE(1) if p == 1 else 2 * z, WIDE(0))
        slope += rise
        slope[k] -= rise.sum()
    return loss, slope


def answered(
    input: Any, rows: list[tuple[Wide, Wide]], weights: Wide, shape: tuple[int, ...], reduction: str, grad_output: Any
) -> Answer:
    classes = wide(np.shape(input)[-1] if np.ndim(input) else 1)
    losses = np.array([loss for loss, _ in rows], WIDE).reshape(len(rows))
    slopes = np.array([slope for _, slope in rows], WIDE).reshape(np.shape(input))
    value, u = reduced(exactly((times(weights, losses) / classes).reshape(shape)), reduction, losses.size, grad_output)
    per_row = (u if u.ndim == 0 else u.reshape(len(rows), 1)) * np.ones((len(rows), 1))
    factor = per_row.reshape(np.shape(input)[:-1] + (1,) * min(np.ndim(input), 1))
    weighted = times(weights.reshape(factor.shape), slopes) / classes
    return Answer(value, {"input": gradient(factor, exactly(weighted), np.shape(input))}, result_dtype(input))


def multi_margin_loss(
    input: Any,
    target: Any,
    *,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    reduction: str = "mean",
    grad_output: Any = None,
) -> Answer:
    x, y = np.atleast_2d(wide(input)), np.atleast_1d(np.asarray(target)).astype(np.int64)
    w = np.ones(x.shape[1], WIDE) if weight is None else wide(weight)
    m = narrowed(margin, result_dtype(input))
    with np.errstate(all="ignore"):
        rows = [hinges(row, [label], m, int(p)) for row, label in zip(x, y.tolist(), strict=True)]
        return answered(input, rows, w[y], np.shape(target), reduction, grad_output)


def label_set(labels: list[int]) -> list[int]:
    """The leading labels that are not -1, each as often as it stands there."""
    return labels[: labels.index(-1)] if -1 in labels else labels


def multilabel_margin_loss(input: Any, target: Any, *, reduction: str = "mean", grad_output: Any = None) -> Answer:
    x = np.atleast_2d(wide(input))
    y = np.asarray(target).astype(np.int64).reshape(x.shape)
    with np.errstate(all="ignore"):
        rows = [hinges(row, label_set(labels), WIDE(1), 1) for row, labels in zip(x, y.tolist(), strict=True)]
        shape = np.shape(input)[:1] if np.ndim(input) > 1 else ()
        return answered(input, rows, np.ones(len(x), WIDE), shape, reduction, grad_output)
