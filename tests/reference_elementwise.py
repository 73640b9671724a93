"""The oracle of the losses of one element at a time: see `reference.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

from reference import WIDE, Answer, Bounded, Wide, exactly, gradient, logistic, reduced, result_dtype, softplus, wide

LOG_TWO_PI = np.log(2 * np.pi * WIDE(1)) if WIDE is np.float64 else np.log(8 * np.arctan(WIDE(1)))


def _regressed(
    input: Any, target: Any, term: Wide, slope: Wide, weight: Any, reduction: str, grad_output: Any, by_weight: bool
) -> Answer:
    """A loss of input - target with an optional weight, by whose sum the mean may divide."""
    x, y = wide(input), wide(target)
    w = wide(1.0 if weight is None else weight)
    divisor = wide(term.size) if weight is None or not by_weight else w.sum()
    value, u = reduced(exactly(np.broadcast_to(w * term, term.shape)), reduction, divisor, grad_output)
    slopes = exactly(np.broadcast_to(w * slope, term.shape))
    grads = {"input": gradient(u, slopes, x.shape), "target": gradient(-u, slopes, y.shape)}
    if weight is not None:
        dw = gradient(u, exactly(term), w.shape)
        if reduction == "mean" and by_weight:
            dw = Bounded(dw.value - u * value.value, dw.scale + np.abs(u * value.value))
        grads["weight"] = dw
    return Answer(value, grads, result_dtype(input, target))


def l1_loss(input: Any, target: Any, *, weight: Any = None, reduction: str = "mean", grad_output: Any = None) -> Answer:
    with np.errstate(all="ignore"):
        r = wide(input) - wide(target)
        sign = np.where(np.isnan(r), WIDE(0), np.sign(r))
        return _regressed(input, target, np.abs(r), sign, weight, reduction, grad_output, True)


def smooth_l1_loss(input: Any, target: Any, *, beta: float = 1.0, reduction: str = "mean", grad_output: Any = None) -> Answer:
    if beta == 0:
        return l1_loss(input, target, reduction=reduction, grad_output=grad_output)
    with np.errstate(all="ignore"):
        r, b = wide(input) - wide(target), WIDE(beta)
        inside = np.abs(r) < b
        term = np.where(inside, r * r / (2 * b), np.abs(r) - b / 2)
        return _regressed(input, target, term, np.where(inside, r / b, np.sign(r)), None, reduction, grad_output, False)


def huber_loss(
    input: Any, target: Any, *, delta: float = 1.0, weight: Any = None, reduction: str = "mean", grad_output: Any = None
) -> Answer:
    with np.errstate(all="ignore"):
        r, d = wide(input) - wide(target), WIDE(delta)
        outside = np.abs(r) > d
        term = np.where(outside, d * (np.abs(r) - d / 2), r * r / 2)
        return _regressed(input, target, term, np.where(outside, d * np.sign(r), r), weight, reduction, grad_output, False)


def _without_infinity(coefficient: Wide, term: Wide) -> Wide:
    """A product in which a coefficient of 0 removes an infinite term (D10); a NaN term stays."""
    return np.where((coefficient == 0) & np.isinf(term), WIDE(0), coefficient * term)


def kl_div(input: Any, target: Any, *, reduction: str = "mean", log_target: bool = False, grad_output: Any = None) -> Answer:
    x, y = wide(input), wide(target)
    with np.errstate(all="ignore"):
        p, log_p = (np.exp(y), y) if log_target else (y, np.log(y))
        parts = [_without_infinity(p, np.broadcast_to(t, np.broadcast_shapes(x.shape, y.shape))) for t in (log_p, -x)]
        terms = Bounded(parts[0] + parts[1], np.abs(parts[0]) + np.abs(parts[1]))
        # A difference of infinities is no number, unless nothing multiplies it.
        divisor: Any = terms.value.size
        if reduction == "batchmean":
            divisor, reduction = x.shape[0] if x.ndim else 1, "mean"
        value, u = reduced(terms, reduction, divisor, grad_output)
        dx = exactly(np.broadcast_to(-p, terms.value.shape))
        if log_target:
            more = _without_infinity(p, np.ones_like(terms.value))
            dt = Bounded(terms.value + more, terms.scale + np.abs(more))
        else:
            slope = np.where(np.isposinf(y), WIDE(np.nan), log_p + 1 - x)
            size = np.abs(log_p) + 1 + np.abs(x)
            dt = Bounded(np.where(y <= 0, WIDE(0), slope), np.where(y <= 0, WIDE(0), size))
        grads = {"input": gradient(u, dx, x.shape), "target": gradient(u, dt, y.shape)}
    return Answer(value, grads, result_dtype(input, target))


def poisson_nll_loss(
    input: Any,
    target: Any,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
    grad_output: Any = None,
) -> Answer:
    x, y = wide(input), wide(target)
    due = result_dtype(input, target)
    with np.errstate(all="ignore"):
        shifted = x if log_input else x + wide(eps if due == np.float64 else np.float32(eps))
        log_rate = x if log_input else np.log(shifted)
        rate = np.exp(x) if log_input else x
        shape = np.broadcast_shapes(x.shape, y.shape)
        product = _without_infinity(np.broadcast_to(y, shape), np.broadcast_to(log_rate, shape))
        parts = [np.broadcast_to(rate, shape), -product]
        quotient = np.where((y == 0) & (shifted == 0), WIDE(0), y / shifted)
        slopes = [rate, -y] if log_input else [WIDE(1) + 0 * x, -quotient]
        by_target = [np.broadcast_to(-log_rate, shape)]
        if full:
            large = np.broadcast_to(y > 1, shape)
            parts += [np.where(large, t, WIDE(0)) for t in (y * np.log(y), -y, np.log(y) / 2, LOG_TWO_PI / 2)]
            by_target += [np.where(large, t, WIDE(0)) for t in (np.log(y), 1 / (2 * y))]
        terms, by_target_total = _total(parts, shape), _total(by_target, shape)
        if not log_input:
            # x + eps is rounded, which shifts its logarithm by an eps of the precision, however small the logarithm is.
            terms = Bounded(terms.value, terms.scale + np.abs(y))
            by_target_total = Bounded(by_target_total.value, by_target_total.scale + 1)
        value, u = reduced(terms, reduction, terms.value.size, grad_output)
        grads = {
            "input": gradient(u, _total(slopes, shape), x.shape),
            "target": gradient(u, by_target_total, y.shape),
        }
    return Answer(value, grads, due)


def _total(parts: list[Any], shape: tuple[int, ...]) -> Bounded:
    """A sum and the magnitudes of its terms."""
    return Bounded(
        np.asarray(np.broadcast_to(sum(parts[1:], parts[0]), shape)),
        np.asarray(np.broadcast_to(sum(map(np.abs, parts[1:]), np.abs(parts[0])), shape)),
    )


def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    *,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
    grad_output: Any = None,
) -> Answer:
    x, y, given = wide(input), wide(target), wide(var)
    with np.errstate(all="ignore"):
        v = given[..., None] if given.shape == x.shape[:-1] and x.ndim else given
        shape = np.broadcast_shapes(x.shape, y.shape, v.shape)
        due = result_dtype(input, target, None if isinstance(var, float | int) else var)
        least = wide(np.asarray(eps, np.float64 if due == np.float64 else np.float32))  # compared in the working precision
        v = np.where(v < least, least, v)
        r = x - y
        terms = _total([np.log(v) / 2, r * r / v / 2, WIDE(0) * v + (LOG_TWO_PI / 2 if full else 0)], shape)
        value, u = reduced(terms, reduction, terms.value.size, grad_output)
        slope = exactly(np.broadcast_to(r / v, shape))
        by_var = _total([1 / v / 2, -r * r / (v * v) / 2], shape)
        dv = gradient(
            u, by_var, given.shape if given.shape == x.shape or given.shape != x.shape[:-1] or not x.ndim else (*given.shape, 1)
        )
        grads = {
            "input": gradient(u, slope, x.shape),
            "target": gradient(-u, slope, y.shape),
            "var": Bounded(dv.value.reshape(given.shape), dv.scale.reshape(given.shape)),
        }
    return Answer(value, grads, due)


def soft_margin_loss(input: Any, target: Any, *, reduction: str = "mean", grad_output: Any = None) -> Answer:
    x, y = wide(input), wide(target)
    with np.errstate(all="ignore"):
        z = -y * x
        # The product is rounded, unless the answer is 1 or -1; the loss is e^z far on the right side.
        lost = np.where(np.abs(y) == 1, WIDE(0), np.where(np.isfinite(z), np.abs(z), WIDE(0)))
        value, u = reduced(Bounded(softplus(z), softplus(z) * (1 + lost)), reduction, z.size, grad_output)
        slope = -y * logistic(z)
        return Answer(
            value, {"input": gradient(u, Bounded(slope, np.abs(slope) * (1 + lost)), x.shape)}, result_dtype(input, target)
        )


def hinge_embedding_loss(
    input: Any, target: Any, *, margin: float = 1.0, reduction: str = "mean", grad_output: Any = None
) -> Answer:
    x, y = wide(input), wide(target)
    with np.errstate(all="ignore"):
        lack = WIDE(margin) - x
        hinge = np.where(lack < 0, WIDE(0), lack)
        parts = [np.where(y != 1, hinge, WIDE(0)), np.where(y != -1, x, WIDE(0))]
        shape = parts[0].shape
        # margin - x is rounded once; x is then added to it.
        size = np.where(y != 1, np.where(lack < 0, WIDE(0), np.abs(lack)), WIDE(0)) + np.abs(parts[1])
        terms = Bounded(parts[0] + parts[1], np.where((y == 1) | (y == -1), np.abs(parts[0] + parts[1]), size))
        value, u = reduced(terms, reduction, terms.value.size, grad_output)
        slope = np.where(y != 1, np.where(lack >= 0, WIDE(-1), WIDE(0)), WIDE(0)) + np.where(y != -1, WIDE(1), WIDE(0))
        dx = Bounded(np.broadcast_to(slope, shape), np.broadcast_to(np.where((y == 1) | (y == -1), np.abs(slope), 2), shape))
        return Answer(value, {"input": gradient(u, dx, x.shape)}, result_dtype(input, target))


def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, *, margin: float = 0.0, reduction: str = "mean", grad_output: Any = None
) -> Answer:
    a, b, y = wide(input1), wide(input2), wide(target)
    with np.errstate(all="ignore"):
        r = a - b
        z = WIDE(margin) - y * r
        size = np.where(z < 0, WIDE(0), np.abs(y * r) + abs(WIDE(margin)))
        value, u = reduced(Bounded(np.where(z < 0, WIDE(0), z), size), reduction, z.size, grad_output)
        on = np.where(z >= 0, WIDE(1), WIDE(0))
        by_score, by_target = exactly(y * on), exactly(-r * on)
        grads = {
            "input1": gradient(-u, by_score, a.shape),
            "input2": gradient(u, by_score, b.shape),
            "target": gradient(u, by_target, y.shape),
        }
    return Answer(value, grads, result_dtype(input1, input2, target))
