"""The oracle of sequence losses: the recursions over the extended label in logarithms, as the paper and torch have them."""

from __future__ import annotations

from typing import Any

import numpy as np

from reference import WIDE, Answer, Bounded, Wide, reduced, result_dtype, wide

# The core works in float64 whatever the dtype of the result; what it loses there is counted in eps of that dtype.
CORE_EPSILON = float(np.finfo(np.float64).eps)


def extended_labels(targets: Any, target_lengths: Any, blank: int) -> np.ndarray[Any, Any]:
    """(N, 2 S + 1): the labels of every sample between blanks, blanks behind the last one."""
    y, lengths = np.asarray(targets), [int(n) for n in target_lengths]
    rows = np.full((len(lengths), max(lengths)), blank, np.int64)
    begin = 0
    for n, length in enumerate(lengths):
        rows[n, :length] = y[n, :length] if y.ndim == 2 else y[begin : begin + length]
        begin += length
    extended = np.full((len(lengths), 2 * rows.shape[1] + 1), blank, np.int64)
    extended[:, 1::2] = rows
    return extended


def shifted(x: Wide, by: int) -> Wide:
    """Along the last axis, with -inf where nothing comes from."""
    moved = np.full_like(x, -np.inf)
    if abs(by) < x.shape[-1]:
        if by > 0:
            moved[..., by:] = x[..., :-by]
        else:
            moved[..., :by] = x[..., -by:]
    return moved


def log_sum(*terms: Wide) -> Wide:
    total = terms[0]
    for term in terms[1:]:
        total = np.logaddexp(total, term)
    return total


def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    *,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
    grad_output: Any = None,
) -> Answer:
    batched = np.ndim(log_probs) == 3
    x = wide(log_probs) if batched else wide(log_probs)[:, None]
    frames, samples, _ = x.shape
    inputs, lengths = (np.atleast_1d(np.asarray(v)).astype(np.int64) for v in (input_lengths, target_lengths))
    extended = extended_labels(targets, lengths, blank)
    states = np.arange(extended.shape[1])
    jumps = np.zeros(extended.shape, bool)
    jumps[:, 2:] = (extended[:, 2:] != extended[:, :-2]) & (states[2:] % 2 == 1)
    never = WIDE(-np.inf)
    with np.errstate(all="ignore"):
        emitted = np.take_along_axis(x, np.broadcast_to(extended, (frames, *extended.shape)), 2)
        alphas = np.empty((frames + 1, *extended.shape), WIDE)
        alphas[0] = np.where(states == 0, WIDE(0), never)
        for t in range(frames):
            a = alphas[t]
            step = log_sum(a, shifted(a, 1), np.where(jumps, shifted(a, 2), never)) + emitted[t]
            alphas[t + 1] = np.where((t < inputs)[:, None], step, a)
        ends = (states == 2 * lengths[:, None]) | ((states == 2 * lengths[:, None] - 1) & (lengths[:, None] > 0))
        loss = -np.logaddexp.reduce(np.where(ends, alphas[frames], never), axis=1)
        impossible = loss == np.inf

        after = np.zeros_like(jumps)
        after[:, :-2] = jumps[:, 2:]
        occupied = np.zeros(x.shape, WIDE)
        beta = np.where(ends, WIDE(0), never)
        for t in reversed(range(frames)):
            log_share = alphas[t + 1] + beta + loss[:, None]
            share = np.where(alphas[t + 1] == never, WIDE(0), np.exp(log_share))
            for n in range(samples):
                np.add.at(occupied[t, n], extended[n], share[n])
            b = beta + emitted[t]
            step = log_sum(b, shifted(b, -1), np.where(after, shifted(b, -2), never))
            beta = np.where((t < inputs)[:, None], step, beta)
        p = np.exp(x)
        within = (np.arange(frames)[:, None] < inputs)[..., None]
        unknown = ~np.isfinite(loss)[:, None]
        slope = np.where(unknown, WIDE(np.nan), p - occupied)
        slope = np.where(within & ~(impossible[:, None] & zero_infinity), slope, WIDE(0))
        value = np.where(impossible & zero_infinity, WIDE(0), loss)

        lost = WIDE(CORE_EPSILON / np.finfo(result_dtype(log_probs)).eps)
        terms = Bounded(value, np.abs(value) + lost * inputs)
        divisor = np.maximum(lengths, 1).astype(WIDE) if reduction == "mean" else np.ones(samples, WIDE)
        shared = Bounded(terms.value / divisor, terms.scale / divisor)
        upstream = grad_output if grad_output is None or reduction != "none" else np.broadcast_to(grad_output, (samples,))
        result, u = reduced(shared, reduction, samples, upstream)
        factor = (np.broadcast_to(u, (samples,)) / divisor)[:, None]
        scale = np.abs(slope) + np.where(within, lost * frames * (p + occupied), WIDE(0))
        # Frames that are not there are 0, whatever the upstream gradient is.
        dx = np.where(slope == 0, WIDE(0), factor * slope)
    if not batched:
        dx, scale = dx[:, 0], scale[:, 0]
        result = Bounded(result.value.reshape(()), result.scale.reshape(()))
    return Answer(result, {"log_probs": Bounded(dx, np.abs(factor).max() * scale)}, result_dtype(log_probs))
