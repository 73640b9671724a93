"""From what a caller passes to arrays that the core reads, and from its results to what a caller gets."""

from __future__ import annotations

import functools
import math
import sys
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ndloss import _core

if TYPE_CHECKING:
    from ndloss._typing import Array

FLOAT32 = np.dtype(np.float32)
FLOAT64 = np.dtype(np.float64)

# bfloat16 where the package ml_dtypes is missing. Its two bytes have no type of NumPy's: as uint16 they would be other numbers.
BFLOAT16_BITS = np.dtype([("bfloat16", "V2")])

# From the smallest normal number to the largest: what may be cast to a dtype whatever NumPy is told to say of overflow.
CAST_SILENTLY = {dtype: (float(np.finfo(dtype).tiny), float(np.finfo(dtype).max)) for dtype in (FLOAT32, FLOAT64)}

# Types of the package ml_dtypes that the core reads, as it names them.
ML_DTYPES = frozenset(
    ("bfloat16", "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2",
     "float8_e5m2fnuz", "float8_e8m0fnu")
)  # fmt: skip


def as_array(function: str, argument: str, value: object) -> tuple[Array, bool]:
    """The argument as an array of real numbers, and whether its dtype is weak (a Python number or a list of them)."""
    if type(value) is np.ndarray:
        array, weak = value, False
    else:
        from ndloss import _interchange  # seldom needed

        array, weak = _interchange.imported(function, argument, value), not _interchange.carries_dtype(value)
    dtype = array.dtype
    if (dtype.kind in "fiub" and dtype.itemsize <= 8) or (dtype.kind == "V" and is_floating(dtype)):
        return array, weak
    if weak and array.size == 0:
        return array.astype(FLOAT32), True
    from ndloss import _interchange

    _interchange.not_real(function, argument, dtype)


# Where a call is plain but for the kind of its arrays, the core asks for what it can read.
_core.read_others(as_array)


def is_sparse(value: object) -> bool:
    """Whether it is a matrix or an array of scipy.sparse, which is not imported for the question."""
    scipy_sparse = sys.modules.get("scipy.sparse")
    return scipy_sparse is not None and bool(scipy_sparse.issparse(value))


def is_floating(dtype: np.dtype[Any]) -> bool:
    """Whether the core reads numbers with a fraction from it: also bfloat16 and float8, which NumPy takes for void."""
    return dtype.kind == "f" or (dtype.kind == "V" and (dtype.name in ML_DTYPES or dtype == BFLOAT16_BITS))


def optional(function: str, argument: str, value: object) -> Array | None:
    """The argument as an array, or None."""
    return None if value is None else as_array(function, argument, value)[0]


def is_result(dtype: np.dtype[Any]) -> bool:
    """Whether losses can be asked for in it."""
    return is_floating(dtype) and dtype.itemsize in (2, 4, 8) and _written(dtype) == dtype.newbyteorder("=")


def result_dtype(*operands: tuple[Array, bool]) -> np.dtype[Any]:
    """The widest floating dtype among the operands; integers and weak ones take no part; float32 if none is left.

    float16 and bfloat16 meet in float32, the smallest that holds both.
    """
    return _widest(tuple([array.dtype for array, weak in operands if not weak]))


@functools.lru_cache(maxsize=256)
def _widest(dtypes: tuple[np.dtype[Any], ...]) -> np.dtype[Any]:
    found = {_written(dtype) for dtype in dtypes if is_floating(dtype)}
    widest = max(found, key=lambda dtype: dtype.itemsize, default=FLOAT32)
    return FLOAT32 if widest.itemsize == 2 and len(found) > 1 else widest


def gradient_dtype(array: Array, weak: bool, result: np.dtype[Any]) -> np.dtype[Any]:
    """A gradient has the dtype of its argument; integers and weak arguments have none, and get the result's."""
    dtype = array.dtype
    return result if weak or dtype is result or not is_floating(dtype) else _written(dtype)


@functools.lru_cache(maxsize=256)
def _written(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype of results for such an argument. float8 is only read: a loss or a gradient in it would be a guess."""
    if dtype.itemsize == 1 or (dtype.kind == "V" and dtype == BFLOAT16_BITS):
        return FLOAT32
    native: np.dtype[Any] = dtype.newbyteorder("=")
    return native


def computes_in_double(dtype: np.dtype[Any]) -> bool:
    return dtype.itemsize == 8


def scalar(value: float, dtype: np.dtype[Any]) -> np.floating[Any]:
    """A NumPy scalar, rounded once, without a warning where it overflows."""
    low, high = CAST_SILENTLY.get(dtype, (np.inf, 0.0))
    if low <= abs(value) <= high:
        number: np.floating[Any] = dtype.type(value)
        return number
    if dtype.kind == "V":
        value = _rounded_to_bfloat16(value)  # its own cast goes through float32
    with np.errstate(all="ignore"):
        result: np.floating[Any] = np.float64(value).astype(dtype)
    return result


def _rounded_to_bfloat16(value: float) -> float:
    """To 8 binary digits, or to a multiple of 2^-133 below its normal numbers, ties to even."""
    if not abs(value) < 2.0**128:
        return value
    step = max(math.frexp(value)[1] - 8, -133)
    return math.copysign(math.ldexp(round(math.ldexp(value, -step)), step), value)


def rounded(array: Array, dtype: np.dtype[Any], order: Literal["C", "K"] = "K") -> Array:
    """The array in that dtype: itself if it has it, else a copy, without a warning where a number overflows."""
    if array.dtype == BFLOAT16_BITS:
        array = (array.view(np.uint16).astype(np.uint32) << 16).view(FLOAT32)
    with np.errstate(all="ignore"):
        return array.astype(dtype, order=order, copy=order == "C")


def unboxed(array: Array) -> Any:
    """A 0-d result as a scalar, any other as it is."""
    return array[()] if array.ndim == 0 else array


def piece(array: Array, begin: int, end: int) -> Array:
    """A copy of elements [begin, end) in C order, in one dimension."""
    if array.flags.c_contiguous:
        copied: Array = array.reshape(-1)[begin:end].copy()
    else:
        copied = array.flat[begin:end]
    return copied


def place_within(own: tuple[int, ...], index: int, shape: tuple[int, ...]) -> int:
    """Which element of an array of shape `own`, broadcast to `shape`, is the one with that number there."""
    places = np.unravel_index(index, shape)[len(shape) - len(own) :]
    return number_of(tuple(int(i) if n > 1 else 0 for i, n in zip(places, own, strict=True)), own)


def number_of(places: tuple[int, ...], shape: tuple[int, ...]) -> int:
    """An element's number in C order."""
    return int(np.ravel_multi_index(places, shape)) if shape else 0
