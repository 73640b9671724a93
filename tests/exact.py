"""
The textbook formulas in 400-digit arithmetic, one number at a time: the judge of the oracle, and of float64 results
in the tails.

Nothing here is stable or fast, on purpose: at this precision log(1 - 1/(1 + e^-x)) needs no care for |x| up to about
500, and a derivative needs no formula of its own but is a difference quotient. So no rearrangement is shared with a
kernel or the oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np

ctx = mpmath.MPContext()
ctx.dps = 400

BCE_FLOOR = ctx.mpf(-100)


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + ctx.exp(-x))


def _bce_with_logits(x: Any, y: Any, p: Any = 1) -> Any:
    return -p * y * ctx.log(_sigmoid(x)) - (1 - y) * ctx.log(1 - _sigmoid(x))


def _bce(x: Any, y: Any) -> Any:
    log_x = ctx.log(x) if x > 0 else BCE_FLOOR
    log_not_x = ctx.log(1 - x) if x < 1 else BCE_FLOOR
    return -y * max(log_x, BCE_FLOOR) - (1 - y) * max(log_not_x, BCE_FLOOR)


ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "mse_loss": lambda x, y: (x - y) ** 2,
    "binary_cross_entropy": _bce,
    "binary_cross_entropy_with_logits": _bce_with_logits,
    "multilabel_soft_margin_loss": _bce_with_logits,
    "sigmoid": _sigmoid,
    "logsigmoid": lambda x: ctx.log(_sigmoid(x)),
}


def _number(value: Any) -> Any:
    return ctx.mpf(float(value))


def narrowed(value: Any) -> np.longdouble:
    return np.longdouble(ctx.nstr(value, 30))


def value(name: str, *operands: float) -> np.longdouble:
    """One element of an elementwise loss before weight and reduction."""
    return narrowed(ELEMENTWISE[name](*map(_number, operands)))


def derivative(name: str, position: int, *operands: float) -> np.longdouble:
    """Its derivative by the operand at `position`."""
    numbers = [_number(o) for o in operands]

    def along(t: Any) -> Any:
        return ELEMENTWISE[name](*numbers[:position], t, *numbers[position + 1 :])

    return narrowed(ctx.diff(along, numbers[position]))


def softmax(row: Sequence[float]) -> list[np.longdouble]:
    powers = [ctx.exp(_number(x)) for x in row]
    return [narrowed(p / sum(powers)) for p in powers]


def log_softmax(row: Sequence[float]) -> list[np.longdouble]:
    powers = [ctx.exp(_number(x)) for x in row]
    return [narrowed(ctx.log(p / sum(powers))) for p in powers]


def _cross_entropy(row: Sequence[Any], coefficients: Sequence[Any]) -> Any:
    powers = [ctx.exp(x) for x in row]
    return -sum(a * ctx.log(p / sum(powers)) for a, p in zip(coefficients, powers, strict=True))


def cross_entropy(row: Sequence[float], coefficients: Sequence[float]) -> tuple[np.longdouble, list[np.longdouble]]:
    """-sum of a_c log softmax_c of one row, and its gradient by the logits."""
    x, a = [_number(v) for v in row], [_number(v) for v in coefficients]

    def slope(c: int) -> Any:
        return ctx.diff(lambda t: _cross_entropy([*x[:c], t, *x[c + 1 :]], a), x[c])

    return narrowed(_cross_entropy(x, a)), [narrowed(slope(c)) for c in range(len(x))]
