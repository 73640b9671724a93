"""The options that every loss takes by keyword: data of the call, and policy of the call or of the criterion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ndloss import _array, _check, _core, _request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ndloss._request import Request
    from ndloss._typing import Array

# What a criterion's constructor takes too.
POLICY = ("dtype", "empty", "broadcast", "validate")
DATA = ("sample_weight", "mask", "out", "return_divisor", "num_threads")
LOSS_OPTIONS = (*DATA, *POLICY, "_request")

EMPTY = ("nan", "zero", "raise")


@dataclass(frozen=True)
class Settings:
    """How one call is to be carried out.

    `sample_weight` multiplies the loss of each element and its part of the mean's divisor; where `mask` is 0 an element takes no
    part at all. Both broadcast to the shape of the unreduced loss.
    """

    function: str
    threads: int = 0
    sample_weight: Array | None = None
    mask: Array | None = None
    out: Any = None
    return_divisor: bool = False
    dtype: np.dtype[Any] | None = None
    empty: str = "nan"
    broadcast: bool = True
    validate: bool = True

    @property
    def selects(self) -> bool:
        """Whether elements count differently."""
        return self.sample_weight is not None or self.mask is not None

    def result_dtype(self, *operands: tuple[Array, bool]) -> np.dtype[Any]:
        return _array.result_dtype(*operands) if self.dtype is None else self.dtype

    def gradient_dtype(self, array: Array, weak: bool, result: np.dtype[Any]) -> np.dtype[Any]:
        return _array.gradient_dtype(array, weak, result) if self.dtype is None else self.dtype

    def spread(self, name: str, shape: tuple[int, ...]) -> Array | None:
        """`sample_weight` or `mask`, broadcast to the shape of the unreduced loss."""
        array: Array | None = getattr(self, name)
        return None if array is None else _check.loss_shaped(self.function, name, array, shape)

    def reduced(self, total: _core.Accumulator, reduction: str, dtype: np.dtype[Any]) -> Any:
        """The reduced loss, with its divisor if that is wanted; a mean of nothing is what `empty` says."""
        value = total.compute(reduction)
        if reduction == "mean" and total.count == 0 and self.empty != "nan":
            if self.empty == "raise":
                raise ValueError(f"{self.function}: the mean of no elements is asked for, and empty='raise'")
            value = 0.0
        scalar = _array.scalar(value, dtype)
        return (scalar, np.float64(total.divisor)) if self.return_divisor else scalar


def policy(function: str, given: Mapping[str, Any], extra: tuple[str, ...] = ()) -> dict[str, Any]:
    """A constructor's policy options, checked early. `extra` names options of this class alone: 'axis'."""
    _check.options(function, given, (*POLICY, *extra))
    settings = _settings(function, given)
    checked = {**given, "dtype": settings.dtype}
    if given.get("axis") is not None:
        checked["axis"] = _check.integer(function, "axis", given["axis"])
    return {name: checked[name] for name in given if checked[name] is not None}


def loss_options(function: str, given: Mapping[str, Any], extra: tuple[str, ...] = ()) -> tuple[Settings, Request]:
    """The settings of a call, and what it is asked for. `extra` names options of this function alone."""
    _check.options(function, given, (*LOSS_OPTIONS, *extra))
    return _settings(function, given), given.get("_request", _request.value)


def _settings(function: str, given: Mapping[str, Any]) -> Settings:
    return Settings(
        function,
        _check.num_threads(function, given.get("num_threads")),
        _array.optional(function, "sample_weight", given.get("sample_weight")),
        _check.mask(function, _array.optional(function, "mask", given.get("mask"))),
        given.get("out"),
        _check.flag(function, "return_divisor", given.get("return_divisor", False)),
        _check.result_dtype(function, given.get("dtype")),
        _check.one_of(function, "empty", given.get("empty", "nan"), EMPTY),
        _check.flag(function, "broadcast", given.get("broadcast", True)),
        _check.flag(function, "validate", given.get("validate", True)),
    )


def activation_options(function: str, given: Mapping[str, Any]) -> tuple[int, Request]:
    """The number of threads (0: the default), and what the call is asked for."""
    _check.options(function, given, ("num_threads", "_request"))
    return _check.num_threads(function, given.get("num_threads")), given.get("_request", _request.value)
