"""The right answers, from the textbook formulas in their stable forms, chunk by chunk; and distances from them.

They are computed in float64 for float32 data, and in the machine's long double (80 bits on x86-64) for float64 data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from workloads import Array, Workload

CHUNK = 1 << 20  # elements computed at a time: float64 temporaries stay small beside the data


def losses(workload: Workload) -> Iterator[tuple[slice, Array]]:
    """Yield the unreduced loss of a range of the first axis."""
    if workload.loss == "ctc_loss":
        yield slice(None), _ctc(workload)[0]
        return
    for rows, operands in _chunks(workload):
        yield rows, FORMULAS[workload.loss][0](*operands)


def gradients(workload: Workload) -> Iterator[tuple[slice, Array]]:
    """Yield the gradient of the mean for a range of the first axis of the input."""
    if workload.loss == "ctc_loss":
        yield slice(None), _ctc(workload)[1] / (workload.outputs * workload.target.shape[1])
        return
    for rows, operands in _chunks(workload):
        yield rows, FORMULAS[workload.loss][1](*operands) / workload.outputs


def mean(workload: Workload, parts: Iterable[tuple[slice, Array]]) -> Any:
    """Return the mean of unreduced losses, in the precision they have."""
    labels = workload.target.shape[1] if workload.loss == "ctc_loss" else 1
    return sum(part.sum() for _, part in parts) / (workload.outputs * labels)


def ulp_of_value(found: Any, expected: Any, dtype: np.dtype[Any]) -> float:
    """Distance of a reduced value in units of the last place of the right one."""
    return float(abs(found.astype(expected.dtype) - expected) / _unit(np.asarray(expected), dtype))


def ulp_of_losses(found: Array, parts: Iterable[tuple[slice, Array]]) -> float:
    """Largest distance of an unreduced loss, each in units of the last place of its own right value."""
    return max(float((np.abs(found[rows] - expected) / _unit(expected, found.dtype)).max()) for rows, expected in parts)


def ulp_of_gradient(found: Array, parts: Iterable[tuple[slice, Array]]) -> float:
    """Largest distance of a gradient in units of the last place of the largest right one."""
    largest, distance = np.zeros(1), 0.0
    for rows, expected in parts:
        largest = np.maximum(largest, np.abs(expected).max())
        distance = max(distance, float(np.abs(found[rows] - expected).max()))
    return distance / float(_unit(largest, found.dtype)[0])


def _unit(expected: Array, dtype: np.dtype[Any]) -> Array:
    unit: Array = np.spacing(np.abs(expected).astype(dtype))
    return unit.astype(expected.dtype)


def _chunks(workload: Workload) -> Iterator[tuple[slice, list[Array]]]:
    wide = np.longdouble if workload.input.dtype == np.float64 else np.float64
    rows = len(workload.input)
    step = max(CHUNK // (workload.elements // rows), 1)
    for first in range(0, rows, step):
        part = slice(first, min(first + step, rows))
        operands = [operand[part] for operand in workload.operands]
        yield part, [operand.astype(wide) if operand.dtype.kind == "f" else operand for operand in operands]


def _softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _sigmoid(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def _with_logits(x: Any, y: Any) -> Any:
    return (1 - y) * _softplus(x) + y * _softplus(-x)


def _with_logits_gradient(x: Any, y: Any) -> Any:
    return (1 - y) * _sigmoid(x) - y * _sigmoid(-x)


def _picked(x: Any, y: Any) -> Any:
    return np.take_along_axis(x, y[:, None], axis=1)[:, 0]


def _cross_entropy(x: Any, y: Any) -> Any:
    # log(1 + sum over the others of exp(x - max)) keeps what a dominant class leaves over.
    shifted = x - x.max(axis=1, keepdims=True)
    top = np.expand_dims(shifted.argmax(axis=1), 1)
    e = np.exp(shifted)
    np.put_along_axis(e, top, 0.0, axis=1)
    return np.log1p(e.sum(axis=1)) - _picked(shifted, y)


def _cross_entropy_gradient(x: Any, y: Any) -> Any:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    np.put_along_axis(e, y[:, None], _picked(e, y)[:, None] - 1, axis=1)
    return e


def _nll_gradient(x: Any, y: Any) -> Any:
    grad = np.zeros_like(x)
    np.put_along_axis(grad, y[:, None], -1.0, axis=1)
    return grad


def _hinges(x: Any, y: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield for each place of a row's targets: the target, whether there is one, its violations by the other classes."""
    sets = y if y.ndim == 2 else y[:, None]
    given = np.logical_and.accumulate(sets >= 0, axis=1)
    other = np.ones(x.shape, bool)
    for k in range(sets.shape[1]):
        other[given[:, k], sets[given[:, k], k]] = False
    for k in range(int(given.sum(axis=1).max(initial=0))):
        label = np.where(given[:, k], sets[:, k], 0)
        yield label, given[:, k], np.where(other & given[:, k, None], np.maximum(1 - _picked(x, label)[:, None] + x, 0), 0)


def _margin(x: Any, y: Any) -> Any:
    return sum(z.sum(axis=1) for _, _, z in _hinges(x, y)) / x.shape[1]


def _margin_gradient(x: Any, y: Any) -> Any:
    grad = np.zeros_like(x)
    for label, _, z in _hinges(x, y):
        grad += z > 0
        np.subtract.at(grad, (np.arange(len(x)), label), (z > 0).sum(axis=1))
    return grad / x.shape[1]


def _ctc(workload: Workload) -> tuple[Any, Any]:
    """Losses and gradients in logarithms, for samples that use all their frames and labels."""
    x = workload.input.astype(np.longdouble if workload.input.dtype == np.float64 else np.float64)
    frames, batch, _ = x.shape
    states = 2 * workload.target.shape[1] + 1
    label = np.zeros((batch, states), np.int64)
    label[:, 1::2] = workload.target
    never = np.full((batch, 2), -np.inf, x.dtype)
    skips = np.zeros((batch, states), bool)
    skips[:, 2:] = (label[:, 2:] != label[:, :-2]) & (label[:, 2:] > 0)
    emitted = np.take_along_axis(x, np.broadcast_to(label, (frames, batch, states)), axis=2)

    def pass_over(emitted: Any, skips: Any) -> Any:
        rows = np.full((frames, batch, states), -np.inf, x.dtype)
        rows[0, :, :2] = emitted[0, :, :2]
        for t in range(1, frames):
            before = np.concatenate([never, rows[t - 1]], axis=1)
            skipped = np.where(skips, before[:, :-2], -np.inf)
            rows[t] = np.logaddexp(np.logaddexp(before[:, 2:], before[:, 1:-1]), skipped) + emitted[t]
        return rows

    turned = np.zeros_like(skips)
    turned[:, 2:] = skips[:, ::-1][:, :-2]  # a skip out of a state is one into its mirror image
    with np.errstate(all="ignore"):
        alpha = pass_over(emitted, skips)
        beta = pass_over(emitted[::-1, :, ::-1], turned)[::-1, :, ::-1]
        loss = -np.logaddexp(alpha[-1, :, -1], alpha[-1, :, -2])
        share = np.exp(alpha + beta - emitted + loss[:, None])
    grad = np.exp(x)
    for n in range(batch):
        np.subtract.at(grad[:, n].T, label[n], share[:, n].T)
    return loss, grad


def _cosine(x: Any, y: Any) -> tuple[Any, Any, Any]:
    n_x, n_y = (np.square(v).sum(-1) + 1e-12 for v in (x, y))
    return (x * y).sum(-1) / np.sqrt(n_x * n_y), n_x, n_y


def _cosine_embedding(x: Any, y: Any, label: Any) -> Any:
    cosine, _, _ = _cosine(x, y)
    return np.where(label == 1, 1 - cosine, np.maximum(cosine, 0))


def _cosine_embedding_gradient(x: Any, y: Any, label: Any) -> Any:
    cosine, n_x, n_y = _cosine(x, y)
    slope = np.where(label == 1, -1, np.where(cosine >= 0, 1, 0))
    return slope[:, None] * (y / np.sqrt(n_x * n_y)[:, None] - (cosine / n_x)[:, None] * x)


def _differences(a: Any, p: Any, n: Any) -> tuple[Any, Any, Any, Any]:
    v, w = a - p + 1e-6, a - n + 1e-6
    return v, w, np.sqrt(np.square(v).sum(-1)), np.sqrt(np.square(w).sum(-1))


def _triplet(a: Any, p: Any, n: Any) -> Any:
    _, _, near, far = _differences(a, p, n)
    return np.maximum(1 + near - far, 0)


def _triplet_gradient(a: Any, p: Any, n: Any) -> Any:
    v, w, near, far = _differences(a, p, n)
    on = 1 + near - far >= 0
    return on[:, None] * (v / near[:, None] - w / far[:, None])


# Loss and gradient of every workload: of one chunk, before the reduction.
FORMULAS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "l1_loss": (lambda x, y: np.abs(x - y), lambda x, y: np.sign(x - y)),
    "smooth_l1_loss": (
        lambda x, y: np.where(np.abs(x - y) < 1, np.square(x - y) / 2, np.abs(x - y) - 0.5),
        lambda x, y: np.clip(x - y, -1, 1),
    ),
    "huber_loss": (
        lambda x, y: np.where(np.abs(x - y) < 1, np.square(x - y) / 2, np.abs(x - y) - 0.5),
        lambda x, y: np.clip(x - y, -1, 1),
    ),
    "kl_div": (lambda x, y: y * (np.log(y) - x), lambda x, y: -y),
    "poisson_nll_loss": (lambda x, y: np.exp(x) - y * x, lambda x, y: np.exp(x) - y),
    "gaussian_nll_loss": (lambda x, y, v: (np.log(v) + np.square(x - y) / v) / 2, lambda x, y, v: (x - y) / v),
    "soft_margin_loss": (lambda x, y: _softplus(-y * x), lambda x, y: -y * _sigmoid(-y * x)),
    "hinge_embedding_loss": (
        lambda x, y: np.where(y == 1, x, np.maximum(1 - x, 0)),
        lambda x, y: np.where(y == 1, 1.0, np.where(x <= 1, -1.0, 0.0)),
    ),
    "margin_ranking_loss": (
        lambda a, b, y: np.maximum(-y * (a - b), 0),
        lambda a, b, y: np.where(y * (a - b) <= 0, -y, 0),
    ),
    "mse_loss": (lambda x, y: np.square(x - y), lambda x, y: 2 * (x - y)),
    "binary_cross_entropy": (
        lambda x, y: -(y * np.log(x) + (1 - y) * np.log1p(-x)),
        lambda x, y: (x - y) / (x * (1 - x)),
    ),
    "binary_cross_entropy_with_logits": (_with_logits, _with_logits_gradient),
    "multilabel_soft_margin_loss": (
        lambda x, y: _with_logits(x, y).mean(axis=-1),
        lambda x, y: _with_logits_gradient(x, y) / x.shape[-1],
    ),
    "nll_loss": (lambda x, y: -_picked(x, y), _nll_gradient),
    "cross_entropy": (_cross_entropy, _cross_entropy_gradient),
    "multi_margin_loss": (_margin, _margin_gradient),
    "multilabel_margin_loss": (_margin, _margin_gradient),
    "cosine_embedding_loss": (_cosine_embedding, _cosine_embedding_gradient),
    "triplet_margin_loss": (_triplet, _triplet_gradient),
}
