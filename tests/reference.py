"""
The oracle: every loss and activation once more, slowly, from its definition.

The arithmetic is `numpy.longdouble` (64 mantissa bits on x86-64, 113 on aarch64 Linux), so that it can judge float64
results too; where that type is only float64, `EXTENDED` is False and bounds for float64 are widened by `ORACLE_ULP`.
`exact.py` has the same losses in mpmath for the few inputs where even this is not enough, and to judge the oracle
itself.

Every function returns an `Answer`: the value after `reduction` and the gradient for every argument that has one, each
times `grad_output`. Beside each number stands its scale, the sum of the magnitudes of the terms it is made of: where
terms cancel, no algorithm in working precision does better than k * eps * scale. Arguments are assumed valid; what is
not is `error_rows.py`'s matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

WIDE = np.longdouble
EXTENDED = np.finfo(WIDE).nmant > np.finfo(np.float64).nmant
ORACLE_ULP = 0.0 if EXTENDED else 4.0

Wide = npt.NDArray[np.longdouble]

BCE_FLOOR = -100.0
# torch writes 1e-12 in float32 and uses that number in float64 too.
BCE_EPSILON = float(np.float32(1e-12))


@dataclass(frozen=True)
class Bounded:
    """A true value and the sum of the magnitudes of its terms."""

    value: Wide
    scale: Wide


@dataclass(frozen=True)
class Answer:
    """Value after reduction, gradients by argument name, and the dtype in which the result is due."""

    value: Bounded
    grads: Mapping[str, Bounded] = field(default_factory=dict)
    dtype: np.dtype[Any] = np.dtype(np.float32)


def result_dtype(*operands: Any) -> np.dtype[Any]:
    """
    Widest floating dtype among the arrays; integers, bool, lists and Python scalars take no part; float32 if none is
    left.
    """
    floating = [o.dtype for o in operands if isinstance(o, np.ndarray | np.generic) and np.issubdtype(o.dtype, np.floating)]
    return np.result_type(*floating).newbyteorder("=") if floating else np.dtype(np.float32)


def grad_dtype(operand: Any, result: np.dtype[Any]) -> np.dtype[Any]:
    """A gradient has its argument's floating dtype; an argument without one gets the result's."""
    floating = isinstance(operand, np.ndarray | np.generic) and np.issubdtype(operand.dtype, np.floating)
    return operand.dtype.newbyteorder("=") if floating else result


def wide(operand: Any) -> Wide:
    return np.asarray(operand).astype(WIDE)


def times(coefficient: Wide, term: Wide) -> Wide:
    """
    Product in which a coefficient of 0 removes an infinite term (the limit), where arithmetic gives NaN. A NaN term
    stays.
    """
    return np.where((coefficient == 0) & np.isinf(term), WIDE(0), coefficient * term)


def softplus(x: Wide) -> Wide:
    return np.logaddexp(WIDE(0), x)


def logistic(x: Wide) -> Wide:
    return WIDE(1) / (1 + np.exp(-x))


def sum_to_shape(terms: Wide, shape: tuple[int, ...]) -> Wide:
    """Sum of a broadcast array's terms per element of the array it was broadcast from."""
    extra = tuple(range(terms.ndim - len(shape)))
    terms = terms.sum(axis=extra)
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and terms.shape[i] != 1)
    return np.asarray(terms.sum(axis=stretched, keepdims=True))


def reduced(terms: Bounded, reduction: str, divisor: Any, grad_output: Any) -> tuple[Bounded, Wide]:
    """The reduced value, and the factor every element's gradient is multiplied by (0.1 of SEMANTICS.md)."""
    upstream = wide(1.0 if grad_output is None else grad_output)
    if reduction == "none":
        return terms, np.broadcast_to(upstream, terms.value.shape)
    total = Bounded(terms.value.sum(), terms.scale.sum())
    if reduction == "sum":
        return total, upstream
    d = wide(divisor)
    return Bounded(total.value / d, total.scale / np.abs(d)), upstream / d


def gradient(factor: Wide, terms: Bounded, shape: tuple[int, ...]) -> Bounded:
    """`factor` times the element gradients, summed to the shape of the argument."""
    return Bounded(sum_to_shape(factor * terms.value, shape), sum_to_shape(np.abs(factor) * terms.scale, shape))


def exactly(value: Wide) -> Bounded:
    """A value of one term, where nothing cancels."""
    return Bounded(value, np.abs(value))


def mse_loss(input: Any, target: Any, *, weight: Any = None, reduction: str = "mean", grad_output: Any = None) -> Answer:
    x, y = wide(input), wide(target)
    w = wide(1.0 if weight is None else weight)
    with np.errstate(all="ignore"):
        r = x - y
        terms = np.broadcast_to(w * r * r, r.shape)
        # torch divides by the sum of the weight as it is given, also where input or target is broadcast against it.
        divisor = wide(r.size) if weight is None else w.sum()
        value, u = reduced(exactly(terms), reduction, divisor, grad_output)
        slope = exactly(2 * w * r)
        grads = {
            "input": gradient(u, slope, x.shape),
            "target": gradient(-u, slope, y.shape),
        }
        if weight is not None:
            dw = gradient(u, exactly(r * r), w.shape)
            if reduction == "mean":
                # d(S/W)/dw has the quotient's second term too.
                dw = Bounded(dw.value - u * value.value, dw.scale + np.abs(u * value.value))
            grads["weight"] = dw
    return Answer(value, grads, result_dtype(input, target))


def binary_cross_entropy(
    input: Any, target: Any, *, weight: Any = None, reduction: str = "mean", grad_output: Any = None
) -> Answer:
    x, y = wide(input), wide(target)
    w = wide(1.0 if weight is None else weight)
    with np.errstate(all="ignore"):
        log_x, log_not_x = np.log(x), np.log1p(-x)
        parts = [-y * np.maximum(log_x, BCE_FLOOR), (y - 1) * np.maximum(log_not_x, BCE_FLOOR)]
        terms = Bounded(w * (parts[0] + parts[1]), np.abs(w) * (np.abs(parts[0]) + np.abs(parts[1])))
        value, u = reduced(terms, reduction, terms.value.size, grad_output)
        slope = exactly(w * (x - y) / np.maximum(x * (1 - x), BCE_EPSILON))
        dt = Bounded(w * (log_not_x - log_x), np.abs(w) * (np.abs(log_not_x) + np.abs(log_x)))
        grads = {"input": gradient(u, slope, x.shape), "target": gradient(u, dt, y.shape)}
    return Answer(value, grads, result_dtype(input, target))


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    *,
    weight: Any = None,
    pos_weight: Any = None,
    reduction: str = "mean",
    grad_output: Any = None,
) -> Answer:
    x, y = wide(input), wide(target)
    w = wide(1.0 if weight is None else weight)
    p = wide(1.0 if pos_weight is None else pos_weight)
    with np.errstate(all="ignore"):
        # (1-y) softplus(x) + y p softplus(-x), each softplus split into its linear part and the tail both share: that
        # keeps torch's limits for targets outside [0, 1], infinite ones included, where the two products would be inf
        # - inf.
        linear = np.where(x > 0, times(1 - y, x), times(-y * p, x))
        coefficient = np.where(p == 1, WIDE(1), 1 + (p - 1) * y)
        tail = coefficient * np.log1p(np.exp(-np.abs(x)))
        terms = Bounded(w * (linear + tail), np.abs(w) * (np.abs(linear) + np.abs(tail)))
        value, u = reduced(terms, reduction, terms.value.size, grad_output)
        down, up = (1 - y) * logistic(x), y * p * logistic(-x)
        slope = Bounded(w * (down - up), np.abs(w) * (np.abs(down) + np.abs(up)))
        by_target = [-x, times(p - 1, softplus(-x))]
        # At infinity the two terms may be inf - inf; the same sum as p softplus(-x) - softplus(x) is not.
        limit = times(p, softplus(-x)) - softplus(x)
        dt = Bounded(
            w * np.where(np.isinf(x), limit, by_target[0] + by_target[1]),
            np.abs(w) * (np.abs(by_target[0]) + np.abs(by_target[1])),
        )
        grads = {"input": gradient(u, slope, x.shape), "target": gradient(u, dt, y.shape)}
    return Answer(value, grads, result_dtype(input, target))


def multilabel_soft_margin_loss(
    input: Any, target: Any, *, weight: Any = None, reduction: str = "mean", grad_output: Any = None
) -> Answer:
    x, y = wide(input), wide(target)
    w = wide(1.0 if weight is None else weight)
    classes = wide(x.shape[-1])
    with np.errstate(all="ignore"):
        parts = [times(y, softplus(-x)), times(1 - y, softplus(x))]
        plain = Bounded(parts[0] + parts[1], np.abs(parts[0]) + np.abs(parts[1]))
        rows = Bounded((w * plain.value).sum(-1) / classes, (np.abs(w) * plain.scale).sum(-1) / classes)
        value, u = reduced(rows, reduction, rows.value.size, grad_output)
        per_class = (u if u.ndim == 0 else u[..., None]) / classes
        down, up = (1 - y) * logistic(x), y * logistic(-x)
        slope = Bounded(w * (down - up), np.abs(w) * (np.abs(down) + np.abs(up)))
        grads = {
            "input": gradient(per_class, slope, x.shape),
            "target": gradient(per_class, exactly(np.broadcast_to(-w * x, plain.value.shape)), y.shape),
        }
        if weight is not None:
            grads["weight"] = gradient(per_class, plain, w.shape)
    return Answer(value, grads, result_dtype(input, target))


def probabilities(x: Wide, axis: int = -1) -> tuple[Wide, Bounded]:
    """
    log softmax and softmax along `axis`. The scale of softmax has the factor 1 + max - x: that difference is rounded
    once in the working precision, and exp turns the absolute error of its argument into a relative one.
    """
    drop = x.max(axis=axis, keepdims=True, initial=-np.inf) - x
    log_p = -drop - np.logaddexp.reduce(-drop, axis=axis, keepdims=True)
    p = np.exp(-drop) / np.exp(-drop).sum(axis=axis, keepdims=True)
    return log_p, Bounded(p, times(p, 1 + drop))


def classes_last(x: Wide) -> Wide:
    return np.moveaxis(x, 1 if x.ndim > 1 else 0, -1)


def classes_back(terms: Bounded, ndim: int) -> Bounded:
    axis = 1 if ndim > 1 else 0
    return Bounded(np.moveaxis(terms.value, -1, axis), np.moveaxis(terms.scale, -1, axis))


def cross_entropy(
    input: Any,
    target: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    grad_output: Any = None,
) -> Answer:
    x = classes_last(wide(input))
    y = np.asarray(target)
    classes = x.shape[-1]
    by_probability = y.shape == np.shape(input)
    w = np.ones(classes, WIDE) if weight is None else wide(weight)
    epsilon = WIDE(label_smoothing)
    with np.errstate(all="ignore"):
        log_p, p = probabilities(x)
        if by_probability:
            kept = np.ones(x.shape[:-1], bool)
            smooth = classes_last(wide(y)) * (1 - epsilon) + epsilon / classes
            coefficient = w * smooth
            divisor = wide(kept.size)
        else:
            y = y.astype(np.int64).reshape(x.shape[:-1])
            kept = y != ignore_index
            picked = np.arange(classes) == y[..., None]
            w_picked = np.where(picked, w, WIDE(0)).sum(-1)
            smooth = (1 - epsilon) * picked + epsilon / classes
            coefficient = w * smooth
            divisor = np.where(kept, w_picked, WIDE(0)).sum()
            # torch adds the smoothed part to a plain weighted mean, which is 0/0 where the used weights sum to 0.
            divisor = np.where(divisor == 0, WIDE(np.nan), divisor)
        parts = times(coefficient, -log_p)
        terms = Bounded(np.where(kept, parts.sum(-1), WIDE(0)), np.where(kept, np.abs(parts).sum(-1), WIDE(0)))
        value, u = reduced(terms, reduction, divisor, grad_output)
        factor = u if u.ndim == 0 else u[..., None]
        mass = coefficient.sum(-1, keepdims=True)
        slope = Bounded(mass * p.value - coefficient, np.abs(coefficient).sum(-1, keepdims=True) * p.scale + np.abs(coefficient))
        dx = gradient(factor, slope, x.shape)
        # An ignored row takes no part, whatever it or the divisor holds: 0, not 0 times something.
        dx = Bounded(np.where(kept[..., None], dx.value, WIDE(0)), np.where(kept[..., None], dx.scale, WIDE(0)))
        grads = {"input": classes_back(dx, np.ndim(input))}
        if by_probability:
            grads["target"] = classes_back(gradient(factor, exactly(times((epsilon - 1) * w, log_p)), x.shape), np.ndim(input))
            if weight is not None:
                grads["weight"] = gradient(factor, exactly(times(smooth, -log_p)), w.shape)
    return Answer(value, grads, result_dtype(input, target if by_probability else None))


def nll_loss(
    input: Any,
    target: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    grad_output: Any = None,
) -> Answer:
    x = classes_last(wide(input))
    y = np.asarray(target).astype(np.int64).reshape(x.shape[:-1])
    w = np.ones(x.shape[-1], WIDE) if weight is None else wide(weight)
    kept = y != ignore_index
    picked = (np.arange(x.shape[-1]) == y[..., None]) & kept[..., None]
    with np.errstate(all="ignore"):
        terms = exactly(np.where(picked, times(w, -x), WIDE(0)).sum(-1))
        divisor = (np.where(picked, w, WIDE(0))).sum()
        value, u = reduced(terms, reduction, divisor, grad_output)
        slope = -w * (u if u.ndim == 0 else u[..., None])
        dx = exactly(np.where(picked, slope, WIDE(0)))
    return Answer(value, {"input": classes_back(dx, np.ndim(input))}, result_dtype(input))


def sigmoid(input: Any, *, grad_output: Any = None) -> Answer:
    x = wide(input)
    with np.errstate(all="ignore"):
        value = logistic(x)
        g = np.broadcast_to(wide(1.0 if grad_output is None else grad_output), x.shape)
        # torch takes the slope from the output, s (1 - s), where 1 - s cancels near 1.
        slope = Bounded(g * value * logistic(-x), np.abs(g) * value)
    return Answer(exactly(value), {"input": slope}, result_dtype(input))


def logsigmoid(input: Any, *, grad_output: Any = None) -> Answer:
    x = wide(input)
    with np.errstate(all="ignore"):
        g = np.broadcast_to(wide(1.0 if grad_output is None else grad_output), x.shape)
        return Answer(exactly(-softplus(-x)), {"input": exactly(g * logistic(-x))}, result_dtype(input))


def _along(input: Any, dim: int | None) -> int:
    if dim is not None:
        return dim if np.ndim(input) else -1
    return 0 if np.ndim(input) in (0, 1, 3) else 1


def softmax(input: Any, dim: int | None = None, *, dtype: Any = None, grad_output: Any = None) -> Answer:
    due = result_dtype(input) if dtype is None else np.dtype(dtype)
    x = wide(np.asarray(input).astype(due))
    axis = _along(input, dim)
    x = np.atleast_1d(x)
    with np.errstate(all="ignore"):
        _, p = probabilities(x, axis)
        g = np.broadcast_to(wide(1.0 if grad_output is None else grad_output), np.shape(input)).reshape(x.shape)
        centre = times(p.value, g).sum(axis, keepdims=True)
        spread = times(p.scale, np.abs(g)).sum(axis, keepdims=True)
        slope = Bounded(p.value * (g - centre), p.scale * (np.abs(g) + spread))
    return _shaped(p, slope, np.shape(input), due)


def log_softmax(input: Any, dim: int | None = None, *, dtype: Any = None, grad_output: Any = None) -> Answer:
    due = result_dtype(input) if dtype is None else np.dtype(dtype)
    x = wide(np.asarray(input).astype(due))
    axis = _along(input, dim)
    x = np.atleast_1d(x)
    with np.errstate(all="ignore"):
        log_p, p = probabilities(x, axis)
        g = np.broadcast_to(wide(1.0 if grad_output is None else grad_output), np.shape(input)).reshape(x.shape)
        slope = Bounded(g - p.value * g.sum(axis, keepdims=True), np.abs(g) + p.scale * np.abs(g).sum(axis, keepdims=True))
    return _shaped(exactly(log_p), slope, np.shape(input), due)


def _shaped(value: Bounded, slope: Bounded, shape: tuple[int, ...], due: np.dtype[Any]) -> Answer:
    def back(b: Bounded) -> Bounded:
        return Bounded(b.value.reshape(shape), b.scale.reshape(shape))

    return Answer(back(value), {"input": back(slope)}, due)
