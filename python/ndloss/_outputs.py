"""Where results go: new arrays, or those that a caller gives as `out`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ndloss import _array, _check_shapes, _core

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ndloss._typing import Array


def target(
    function: str,
    name: str,
    given: object,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    over: Iterable[Array] = (),
    apart: Iterable[Array | None] = (),
    strided: bool = False,
) -> tuple[Array, Callable[[], Any]]:
    """The array that the core is to write, and what then makes of it what the caller gets: without `out`, 0-d is a scalar.

    A given array is written in place where the core can. It is filled from a temporary of its dtype where it overlaps one of
    `apart`, or one of `over` otherwise than as the same elements at the same places; one that is not contiguous, aligned and in
    this machine's byte order also where it overlaps any of them, or the core cannot write what is `strided`.
    """
    if given is None:
        fresh: Array = _core.empty(shape, dtype)
        return fresh, lambda: _array.unboxed(fresh)
    out = _check_shapes.output(function, name, given, shape, dtype)
    if _is_plain(out):
        within = any(_overlaps(out, array) for array in over)
        in_place = not within and not any(array is not None and np.may_share_memory(out, array) for array in apart)
    else:
        in_place = strided and _array.is_result(out.dtype) and not _meets_itself(out)
        in_place = in_place and not any(array is not None and _shares_memory(out, array) for array in (*over, *apart))
    if in_place:
        return out, lambda: out
    temporary = _core.empty(shape, out.dtype.newbyteorder("=") if _array.is_result(out.dtype) else dtype)

    def filled() -> Array:
        with np.errstate(all="ignore"):
            np.copyto(out, temporary, casting="same_kind")
        return out

    return temporary, filled


def several(function: str, given: object, names: Sequence[str], many: bool) -> dict[str, object]:
    """What `out` holds for each of the named arrays: one array, or a tuple of them and of None."""
    if given is None:
        return dict.fromkeys(names)
    if not many:
        return {names[0]: given}
    outs = _check_shapes.output_tuple(function, given, names)
    _check_shapes.outputs_apart(function, outs)
    return dict(zip(names, outs, strict=True))


def pair(function: str, given: object) -> tuple[object, object]:
    """What `out` holds for gradients and for second derivatives."""
    if given is None:
        return None, None
    first, second = _check_shapes.output_pair(function, given)
    _check_shapes.outputs_apart(
        function, [array for one in (first, second) for array in (one if isinstance(one, tuple) else (one,))]
    )
    return first, second


def stored(function: str, given: object, value: Any) -> Any:
    """A reduced value, in the 0-d array that was given for it; its divisor stays beside it."""
    if given is None:
        return value
    if isinstance(value, tuple):
        return stored(function, given, value[0]), value[1]
    array, finished = target(function, "out", given, (), np.asarray(value).dtype)
    array[...] = value
    return finished()


def _is_plain(out: Array) -> bool:
    return bool(out.flags.c_contiguous and out.flags.aligned and out.dtype.isnative and _array.is_result(out.dtype))


def _meets_itself(out: Array) -> bool:
    """Whether elements of an array may stand in each other's place, as those of a broadcast one do."""
    span = out.itemsize
    for stride, extent in sorted((abs(stride), extent) for stride, extent in zip(out.strides, out.shape, strict=True)):
        if extent > 1 and stride < span:
            return True
        span += stride * (extent - 1)
    return False


def _shares_memory(out: Array, array: Array) -> bool:
    """Whether two arrays overlap, or that is hard to tell."""
    try:
        return np.shares_memory(out, array, max_work=_check_shapes.OVERLAP_WORK)  # type: ignore[arg-type]  # as in _check_shapes
    except np.exceptions.TooHardError:
        return True


def _overlaps(out: Array, array: Array) -> bool:
    """Whether writing `out` may change what is still to be read."""
    if not np.may_share_memory(out, array):
        return False
    same = out.ctypes.data == array.ctypes.data and out.strides == array.strides and out.dtype == array.dtype
    return not (same and out.shape == array.shape)
