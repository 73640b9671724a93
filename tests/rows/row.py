"""
What a row of an edge table is: a call, and what it must give.

In `args` and `kwargs` a list with a float in it becomes an array of the row's dtype, a list of integers an int64
array; anything else stays what it is. Printed numbers are those of the specification, to be met to `digits`
significant digits; beyond that the oracle is the judge of every reduction and every gradient of the row. `differs`
names the row of SEMANTICS.md section 6 by which torch answers otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from samples import FLOATS, REDUCTIONS

inf, nan = float("inf"), float("nan")

MSE, BCE, LOGITS = "mse_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"
MULTILABEL, CE, NLL = "multilabel_soft_margin_loss", "cross_entropy", "nll_loss"
MULTI_MARGIN, MULTILABEL_MARGIN = "multi_margin_loss", "multilabel_margin_loss"


@dataclass(frozen=True)
class EdgeRow:
    """
    One call at several reductions; `expected` is keyed by reduction ("value" for activations), `grads` by (reduction,
    argument).
    """

    section: str
    title: str
    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    expected: Mapping[str, Any] = field(default_factory=dict)
    grads: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    digits: int = 6
    dtypes: tuple[str, ...] = FLOATS
    differs: str = ""

    def __str__(self) -> str:
        return f"{self.section} {self.name}: {self.title}"

    @property
    def reductions(self) -> tuple[str, ...]:
        return ("value",) if self.section.startswith("5") else REDUCTIONS

    def call(self, reduction: str, dtype: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args, kwargs = arguments(self.args, self.kwargs, dtype)
        return args, (kwargs if reduction == "value" else kwargs | {"reduction": reduction})


def _holds_float(value: Any) -> bool:
    return any(map(_holds_float, value)) if isinstance(value, list) else isinstance(value, float)


def array(value: Any, dtype: str) -> Any:
    if isinstance(value, list):
        return np.array(value, dtype=dtype if _holds_float(value) else np.int64)
    return value.astype(dtype) if isinstance(value, _Floats) else value


def arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any], dtype: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return tuple(array(a, dtype) for a in args), {key: array(value, dtype) for key, value in kwargs.items()}


@dataclass(frozen=True)
class _Floats:
    """An array without elements, or of none but one value, in the row's dtype: what a list cannot say."""

    shape: tuple[int, ...]
    value: float = 0.0

    def astype(self, dtype: str) -> npt.NDArray[Any]:
        return np.full(self.shape, self.value, dtype=dtype)


def floats(*shape: int, value: float = 0.0) -> _Floats:
    return _Floats(shape, value)


def ints(values: Any, dtype: str) -> npt.NDArray[Any]:
    return np.array(values, dtype=dtype)


def everywhere(value: Any) -> dict[str, Any]:
    """The same number for mean and sum, and for `none` of a 0-d loss."""
    return dict.fromkeys(REDUCTIONS, value)


@dataclass(frozen=True)
class WarningRow:
    """A call that warns, and the options with which the same call is silent and has the same bits."""

    section: str
    title: str
    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    category: str
    fragments: tuple[str, ...]
    same: Mapping[str, Any] | None  # None: there is no silent spelling
    torch_category: str = "UserWarning"

    def __str__(self) -> str:
        return f"{self.section} {self.name}: {self.title}"

    def call(self, dtype: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return arguments(self.args, self.kwargs, dtype)


EMPTY = {"none": np.zeros(0), "mean": nan, "sum": 0}
