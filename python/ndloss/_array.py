"""From what a caller passes to arrays that the core reads, and from its results to what a caller gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from ndloss._typing import Array

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)


def as_array(function: str, argument: str, value: object) -> tuple[Array, bool]:
    """The argument as an array of real numbers, and whether its dtype is weak (a Python number or a list of them)."""
    if type(value) is np.ndarray:
        array, weak = value, False
    else:
        weak = not hasattr(value, "dtype")
        if isinstance(value, np.ma.MaskedArray):
            raise TypeError(f"{function}: {argument} is a masked array; pass its data, and leave out what is masked")
        try:
            array = np.asarray(value)
        except (ValueError, TypeError, RuntimeError) as error:
            raise TypeError(f"{function}: {argument} must be array-like, got {type(value).__name__} ({error})") from None
    kind = array.dtype.kind
    if kind not in "fiub" or array.dtype.itemsize > 8:
        if weak and array.size == 0:
            return array.astype(FLOAT32), True
        raise TypeError(f"{function}: {argument} must hold real numbers of at most 64 bits, got dtype {array.dtype}")
    return array, weak


def optional(function: str, argument: str, value: object) -> Array | None:
    """The argument as an array, or None."""
    return None if value is None else as_array(function, argument, value)[0]


def result_dtype(*operands: tuple[Array, bool]) -> np.dtype[Any]:
    """The widest floating dtype among the operands; integers and weak ones take no part; float32 if none is left."""
    widest: np.dtype[Any] | None = None
    for array, weak in operands:
        if array.dtype.kind == "f" and not weak and (widest is None or array.dtype.itemsize > widest.itemsize):
            widest = array.dtype
    return FLOAT32 if widest is None else widest.newbyteorder("=")


def gradient_dtype(array: Array, weak: bool, result: np.dtype[Any]) -> np.dtype[Any]:
    """A gradient has the dtype of its argument; integers and weak arguments have none, and get the result's."""
    return result if weak or array.dtype.kind != "f" else array.dtype.newbyteorder("=")


def computes_in_double(dtype: np.dtype[Any]) -> bool:
    return dtype.itemsize == 8


def scalar(value: float, dtype: np.dtype[Any]) -> np.floating[Any]:
    """A NumPy scalar, rounded once, without a warning where it overflows."""
    with np.errstate(all="ignore"):
        result: np.floating[Any] = np.float64(value).astype(dtype)
    return result


def rounded(array: Array, dtype: np.dtype[Any], order: Literal["C", "K"] = "K") -> Array:
    """The array in that dtype: itself if it has it, else a copy, without a warning where a number overflows."""
    with np.errstate(all="ignore"):
        return array.astype(dtype, order=order, copy=order == "C")


def unboxed(array: Array) -> Any:
    """A 0-d result as a scalar, any other as it is."""
    return array[()] if array.ndim == 0 else array
