"""
The same numbers in every memory layout that NumPy has, for tests of whether a layout matters.

Whatever lies between the numbers is poison: NaN, or the largest integer, which is out of range as a class index. A
kernel that reads it cannot give the right answer by luck.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from samples import Array, Sample


class Subclass(np.ndarray[Any, Any]):
    """An array type of somebody else's that changes nothing."""


def poison(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    if dtype.kind in "fV":
        return np.full(shape, np.nan, dtype)
    return np.full(shape, True if dtype.kind == "b" else np.iinfo(dtype).max, dtype)


def at_offset(array: Array, offset: int) -> Array:
    """A contiguous copy that begins so many bytes after a multiple of 64."""
    raw = np.full(array.nbytes + 128, 0xFF, np.uint8)
    begin = -raw.ctypes.data % 64 + offset
    copy = raw[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def every_second(array: Array) -> Array:
    """One dimension, the last, with gaps."""
    if array.ndim == 0:
        return array.copy()
    view = poison((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)[..., ::2]
    view[...] = array
    return view


def every_second_row(array: Array) -> Array:
    """Rows as they are, with gaps between them."""
    if array.ndim < 2:
        return every_second(array)
    view = poison((2 * array.shape[0], *array.shape[1:]), array.dtype)[::2]
    view[...] = array
    return view


def scattered(array: Array) -> Array:
    """Gaps before and after every number in every dimension."""
    places = (..., *(slice(1, 2 * n + 1, 2) for n in array.shape))
    view = poison(tuple(2 * n + 1 for n in array.shape), array.dtype)[places]
    view[...] = array
    return view


def reversed_in_memory(array: Array) -> Array:
    if array.ndim == 0:
        return array.copy()
    backwards = (slice(None, None, -1),) * array.ndim
    return array[backwards].copy()[backwards]


def first_axis_last(array: Array) -> Array:
    """Transposed, but not wholly: the first axis is the one that lies together."""
    if array.ndim < 2:
        return every_second(array)
    return np.moveaxis(np.moveaxis(array, 0, -1).copy(), -1, 0)


def of_a_record(array: Array) -> Array:
    """A field of a packed structure behind one byte: neither aligned nor a whole number of items apart."""
    record = np.dtype([("before", np.uint8), ("number", array.dtype), ("after", np.uint16)])
    records = np.ndarray(array.shape, record, np.full(array.size * record.itemsize, 0xFF, np.uint8).data)
    records["number"] = array
    field: Array = records["number"]
    return field


def byte_swapped(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder())


def memory_mapped(array: Array) -> Array:
    if array.size == 0:
        return array.copy()  # mmap cannot be empty
    with tempfile.TemporaryFile() as file:
        file.write(b"?" * 3)
        file.write(array.tobytes())
        file.flush()
        return np.memmap(file, array.dtype, mode="r", offset=3, shape=array.shape)


def read_only(array: Array) -> Array:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": lambda array: array.copy(order="C"),
    "F-order": lambda array: array.copy(order="F"),
    "every second": every_second,
    "every second row": every_second_row,
    "scattered": scattered,
    "reversed": reversed_in_memory,
    "first axis last": first_axis_last,
    "unaligned": lambda array: at_offset(array, 1),
    "of a record": of_a_record,
    "byte-swapped": byte_swapped,
    "byte-swapped and scattered": lambda array: scattered(byte_swapped(array)),
    "read-only": read_only,
    "memory-mapped": memory_mapped,
    "subclass": lambda array: array.copy().view(Subclass),
}


def changed(sample: Sample, change: Callable[[Array], Array]) -> Sample:
    """The sample with every array, the upstream gradient's too, replaced by what `change` makes of it."""

    def one(value: Any) -> Any:
        return change(value) if isinstance(value, np.ndarray) else value

    kwargs = {name: one(value) for name, value in sample.kwargs.items()}
    return Sample(sample.choices, tuple(map(one, sample.args)), kwargs, one(sample.grad_output))


def overlapping_rows(numbers: Array, width: int, step: int = 7) -> Array:
    """Row i is `numbers[step * i :][:width]`: many long rows that all differ, in little memory."""
    rows, item = (numbers.size - width) // step + 1, numbers.itemsize
    return np.lib.stride_tricks.as_strided(numbers, (rows, width), (step * item, item), writeable=False)
