"""The oracle of the losses that make their own logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from reference import WIDE, Answer, Bounded, Wide, cross_entropy, result_dtype, wide


def linear_cross_entropy(
    input: Any,
    linear_weight: Any,
    target: Any,
    *,
    linear_bias: Any = None,
    weight: Any = None,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    grad_output: Any = None,
) -> Answer:
    """
    Cross entropy of the product. Beside the scale that cross entropy gives its terms stands that of the logits: their
    rounding, a share of sum |x w|, moves every probability.
    """
    x, w = wide(input), wide(linear_weight)
    rows = np.atleast_2d(x)
    outer = w.shape[:-1]
    columns = int(np.prod(outer))
    flat = w.reshape(columns, w.shape[-1])
    b = np.zeros(len(flat), WIDE) if linear_bias is None else wide(linear_bias).reshape(-1)
    logits = (rows @ flat.T + b).reshape(len(rows), *outer)
    drift = (np.abs(rows) @ np.abs(flat).T + np.abs(b)).reshape(len(rows), *outer)
    drift = np.where(np.isfinite(drift), drift, WIDE(0)).max(axis=1, keepdims=True)
    lead = logits.shape[1:] if x.ndim == 1 else logits.shape
    answer = cross_entropy(
        logits.reshape(lead),
        target,
        weight=weight,
        ignore_index=-100 if ignore_index is None else ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
        grad_output=grad_output,
    )
    slope = answer.grads["input"].value.reshape(logits.shape)
    spread = answer.grads["input"].scale.reshape(logits.shape) * (1 + 2 * drift)
    flat_slope, flat_spread = slope.reshape(len(rows), columns), spread.reshape(len(rows), columns)

    def shaped(value: Wide, scale: Wide, shape: tuple[int, ...]) -> Bounded:
        return Bounded(value.reshape(shape), scale.reshape(shape))

    grads = {
        "input": shaped(flat_slope @ flat, flat_spread @ np.abs(flat), x.shape),
        "linear_weight": shaped(flat_slope.T @ rows, flat_spread.T @ np.abs(rows), w.shape),
    }
    if linear_bias is not None:
        grads["linear_bias"] = shaped(flat_slope.sum(0), flat_spread.sum(0), outer)
    worst = WIDE(drift.max(initial=0))
    size = 1 + 2 * worst * (1 if weight is None else np.abs(wide(weight)).max(initial=1))
    upstream = 1 if grad_output is None else np.abs(wide(grad_output)).max(initial=1)
    for name in ("target", "weight"):
        if name in answer.grads:
            # d target is log-probabilities, d weight sums of them: either moves with the logits, whatever its own size.
            terms = 1 if name == "target" else max(len(rows), 1) * int(np.prod(outer[1:]))
            old = answer.grads[name]
            grads[name] = Bounded(old.value, old.scale + size * upstream * terms)
    # Where nothing is kept there is no error either; a mean's is that of its terms.
    terms = 1 if reduction != "sum" else max(answer.grads["input"].value.size, 1)
    value = Bounded(answer.value.value, answer.value.scale + np.where(answer.value.value == 0, WIDE(0), size * terms))
    by_probability = np.shape(target) == lead
    operands = [input, linear_weight, linear_bias, target if by_probability else None]
    return Answer(value, grads, result_dtype(*operands))
