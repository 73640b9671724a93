"""Where results go: new arrays, or those that a caller gives as `out`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ndloss._typing import Array


def target(
    function: str, name: str, given: object, shape: tuple[int, ...], dtype: np.dtype[Any], inputs: Iterable[Array] = ()
) -> tuple[Array, Callable[[], Array]]:
    """The array that the core is to write, and what then makes of it what the caller gets.

    A given array is written in place where the core can; where it is not contiguous, or overlaps an input otherwise than as the
    same elements at the same places, it is filled from a temporary.
    """
    if given is None:
        fresh: Array = np.empty(shape, dtype)
        return fresh, lambda: fresh
    if not isinstance(given, np.ndarray):
        raise TypeError(f"{function}: {name} must be an ndarray, got {type(given).__name__}")
    out: Array = given
    if out.shape != shape:
        raise ValueError(f"{function}: {name} must have shape {shape}, got {out.shape}")
    if not out.flags.writeable:
        raise ValueError(f"{function}: {name} is read-only")
    if not np.can_cast(dtype, out.dtype, "same_kind"):
        raise TypeError(f"{function}: {name} must take {dtype} by same-kind casting, got dtype {out.dtype}")
    if _written_in_place(out) and not any(_overlaps(out, array) for array in inputs):
        return out, lambda: out
    temporary = np.empty(shape, dtype)

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
    if not isinstance(given, tuple) or len(given) != len(names):
        raise TypeError(f"{function}: out must be a tuple of {len(names)} arrays or None, one for each of {', '.join(names)}")
    return dict(zip(names, given, strict=True))


def pair(function: str, given: object) -> tuple[object, object]:
    """What `out` holds for gradients and for second derivatives."""
    if given is None:
        return None, None
    if not isinstance(given, tuple) or len(given) != 2:
        raise TypeError(f"{function}: out must be a pair, of the gradient and of the second derivative")
    return given


def stored(function: str, given: object, value: Any) -> Any:
    """A reduced value, in the 0-d array that was given for it; its divisor stays beside it."""
    if given is None:
        return value
    if isinstance(value, tuple):
        return stored(function, given, value[0]), value[1]
    array, finished = target(function, "out", given, (), np.asarray(value).dtype)
    array[...] = value
    return finished()


def _written_in_place(out: Array) -> bool:
    return bool(out.flags.c_contiguous and out.flags.aligned and out.dtype.isnative and out.dtype.kind == "f" and out.itemsize <= 8)


def _overlaps(out: Array, array: Array) -> bool:
    """Whether writing `out` may change what is still to be read."""
    if not np.may_share_memory(out, array):
        return False
    same = out.ctypes.data == array.ctypes.data and out.strides == array.strides and out.dtype == array.dtype
    return not (same and out.shape == array.shape)
