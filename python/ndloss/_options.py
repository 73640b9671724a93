"""The options that every loss takes by keyword: data of the call, and policy of the call or of the criterion."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ndloss import _array, _check, _check_shapes, _core, _request
from ndloss._record import Record

if TYPE_CHECKING:
    from ndloss._request import Request
    from ndloss._typing import Array

# What a criterion's constructor takes too.
POLICY = ("dtype", "empty", "broadcast", "validate")
EMPTY = ("nan", "zero", "raise")


class Settings(Record):
    """How one call is to be carried out.

    `sample_weight` multiplies the loss of each element and its part of the mean's divisor; where `mask` is 0 an element takes no
    part at all. Both broadcast to the shape of the unreduced loss. 0 threads are the default number.
    """

    function: str
    num_threads: int = 0
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

    def dtypes(self, *operands: tuple[Array, bool]) -> tuple[np.dtype[Any], bool]:
        """The dtype of the result, and whether it is computed in double, as it is where either end is double."""
        natural = _array.result_dtype(*operands)
        dtype = natural if self.dtype is None else self.dtype
        return dtype, natural.itemsize == 8 or dtype.itemsize == 8

    def gradient_dtype(self, array: Array, weak: bool, result: np.dtype[Any]) -> np.dtype[Any]:
        return _array.gradient_dtype(array, weak, result) if self.dtype is None else self.dtype

    def spread(self, name: str, shape: tuple[int, ...]) -> Array | None:
        """`sample_weight` or `mask`, broadcast to the shape of the unreduced loss."""
        array: Array | None = self.mask if name == "mask" else self.sample_weight
        return None if array is None else _check_shapes.loss_shaped(self.function, name, array, shape)

    def reduced(self, total: _core.Accumulator, reduction: str, dtype: np.dtype[Any]) -> Any:
        """The reduced loss, with its divisor if that is wanted; a mean of nothing is what `empty` says."""
        value = total.compute(reduction)
        if reduction == "mean" and total.count == 0 and self.empty != "nan":
            if self.empty == "raise":
                raise ValueError(f"{self.function}: the mean of no elements is asked for, and empty='raise'")
            value = 0.0
        scalar = _array.scalar(value, dtype)
        return (scalar, np.float64(total.divisor)) if self.return_divisor else scalar


def _weight(function: str, value: object) -> Array | None:
    return _array.optional(function, "sample_weight", value)


def _mask(function: str, value: object) -> Array | None:
    return _check_shapes.mask(function, _array.optional(function, "mask", value))


# How each option is checked; what is not given keeps the default of `Settings`.
CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "num_threads": _check.num_threads,
    "sample_weight": _weight,
    "mask": _mask,
    "out": lambda _, value: value,
    "return_divisor": lambda function, value: _check.flag(function, "return_divisor", value),
    "dtype": _check.result_dtype,
    "empty": lambda function, value: _check.one_of(function, "empty", value, EMPTY),
    "broadcast": lambda function, value: _check.flag(function, "broadcast", value),
    "validate": lambda function, value: _check.flag(function, "validate", value),
}
LOSS_OPTIONS = (*CHECKS, "_request")


def policy(function: str, given: Mapping[str, Any], extra: tuple[str, ...] = ()) -> dict[str, Any]:
    """A constructor's policy options, checked early. `extra` names options of this class alone: 'axis'."""
    _check.options(function, given, (*POLICY, *extra))
    checked = {name: CHECKS[name](function, value) if name in CHECKS else value for name, value in given.items()}
    if given.get("axis") is not None:
        checked["axis"] = _check.integer(function, "axis", given["axis"])
    return {name: value for name, value in checked.items() if value is not None}


@functools.cache
def _usual(function: str) -> Settings:
    return Settings(function)


def loss_options(function: str, given: Mapping[str, Any], extra: tuple[str, ...] = ()) -> tuple[Settings, Request]:
    """The settings of a call, and what it is asked for. `extra` names options of this function alone."""
    if not given or (len(given) == 1 and "_request" in given):
        return _usual(function), given.get("_request", _request.value)
    checked: dict[str, Any] = {}
    for name, value in given.items():
        check = CHECKS.get(name)
        if check is not None:
            checked[name] = check(function, value)
        elif name != "_request" and name not in extra:
            _check.unknown_option(function, name)
    return Settings(function, **checked), given.get("_request", _request.value)


def activation_options(function: str, given: Mapping[str, Any]) -> tuple[int, Request]:
    """The number of threads (0: the default), and what the call is asked for."""
    _check.options(function, given, ("num_threads", "_request"))
    return _check.num_threads(function, given.get("num_threads")), given.get("_request", _request.value)
