"""Derivatives of broadcast operands: computed a slab at a time, and summed to the operand's shape slab by slab."""

from __future__ import annotations

from itertools import groupby
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from ndloss import _core

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ndloss._typing import Array

# Elements of a slab, at most: a parallel region of the core is worth them, and they stay in a cache. Bytes of all slabs of a pass.
SLAB = 1 << 19
SLAB_BYTES = 6 << 20

# Sums that the derivatives of one pass may keep open, and those of one that has a pass of its own; each is two doubles.
SHARED_SUMS = 1 << 18
OWN_SUMS = 1 << 19


SINGLE, DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


class Derivative:
    """Where a derivative goes whose elements have one shape, in C order, and its operand another one that broadcasts to it."""

    def __init__(self, own: Array, shape: tuple[int, ...], twice: bool, threads: int) -> None:
        self.summed = own.size != prod(shape)
        self.plain = own.flags.c_contiguous and own.flags.aligned and own.dtype.isnative
        self.own = own if self.plain or self.summed else own.reshape(shape)  # between them are dimensions of 1 alone
        self.shape = shape
        self.threads = threads
        self.compute = DOUBLE if twice else SINGLE
        self.slab: Array | None = None
        self._sum: _core.BroadcastSum | None = None

    @property
    def sums(self) -> int:
        """How many sums stay open in C order: all behind the first dimension that is summed."""
        groups = _groups(self.shape, self.own.shape)
        if groups and groups[0][0]:
            groups.pop(0)
        return prod(extent for kept, extent in groups if kept)

    def open(self, shape: tuple[int, ...], own: Array, elements: int) -> None:
        """Elements of that shape are to come, at most so many at a time, to be summed to `own`."""
        self._sum = None  # before there is another one
        self._sum = _core.BroadcastSum(shape, own, self.threads)
        if self.slab is None or self.slab.size < elements:
            self.slab = np.empty(elements, self.compute)

    def place(self, begin: int, end: int) -> Array:
        """Where the elements [begin, end) are to be written: an array of them, or of all elements where that is not plain."""
        if self.summed:
            assert self.slab is not None
            return self.slab[: end - begin]
        if not self.plain or end - begin == self.own.size:
            return self.own
        return self.own.reshape(-1)[begin:end]

    def take(self, count: int) -> None:
        """They are written."""
        if self._sum is not None:
            self._sum.add(self.place(0, count))


def slabs(
    shape: tuple[int, ...], derivatives: Sequence[Derivative], block: int, unit: int = 1, most: int | None = None
) -> Iterator[tuple[Sequence[Derivative], int, int, bool]]:
    """Which derivatives are to be written for the elements [begin, end) of a shape, one slab after the other.

    Derivatives with very many sums have passes of their own. The last pass, of which the slabs are marked, is in C order, has
    whole blocks of `block` elements in each slab but the last, and is there even if no derivative is left for it. All slabs
    hold whole units, and those of the last pass `most` elements, or a block, at most.
    """
    size = prod(shape)
    most = -(-min(size, most or size) // block) * block or block
    room = SHARED_SUMS
    shared: list[Derivative] = []
    summed: list[Derivative] = []
    for one in derivatives:
        if one.summed:
            sums = one.own.size if one.own.size <= room else one.sums
            if sums > room:
                yield from _alone(shape, one, unit)
                continue
            room -= sums
            summed.append(one)
        shared.append(one)
    each = min(_slab(summed, block), most) if summed or len(shared) < len(derivatives) else most
    for one in summed:
        one.open(shape, one.own, min(each, size))
    for begin in range(0, size, each) if size else (0,):
        end = min(begin + each, size)
        yield shared, begin, end, True
        for one in summed:
            one.take(end - begin)


def _slab(derivatives: Sequence[Derivative], block: int) -> int:
    """Elements of a slab for derivatives of one compute type: whole blocks."""
    bytes_each = derivatives[0].compute.itemsize * len(derivatives) if derivatives else 1
    return max(min(SLAB, SLAB_BYTES // bytes_each) // block, 1) * block


def _alone(shape: tuple[int, ...], one: Derivative, unit: int) -> Iterator[tuple[Sequence[Derivative], int, int, bool]]:
    """A pass for one derivative, over part after part of its sums."""
    groups = _groups(shape, one.own.shape)
    first = groups.pop(0)[1] if groups[0][0] else 1
    copies = groups.pop(0)[1]
    width = groups.pop(0)[1] if groups else 1  # sums, or rows of sums
    row_sums = prod(extent for kept, extent in groups if kept)
    row_size = prod(extent for _, extent in groups)
    rest, own_rest = tuple(extent for _, extent in groups), tuple(extent if kept else 1 for kept, extent in groups)
    step = unit if row_size % unit else 1
    each = max(OWN_SUMS // row_sums // step, 1) * step
    for index in range(first):
        for top in range(0, width, each):
            rows = min(each, width - top)
            elements = min(_slab([one], unit), rows * row_size)
            place = slice((index * width + top) * row_sums, (index * width + top + rows) * row_sums)
            own = one.own.reshape(-1)[place] if one.plain else np.empty(rows * row_sums, one.own.dtype.newbyteorder("="))
            one.open((copies, rows, *rest), own.reshape(1, rows, *own_rest), elements)
            for copy in range(copies):
                start = ((index * copies + copy) * width + top) * row_size
                stop = start + rows * row_size
                for begin in range(start, stop, elements):
                    end = min(begin + elements, stop)
                    yield [one], begin, end, False
                    one.take(end - begin)
            if not one.plain:
                one.own.flat[place] = own


def _groups(shape: tuple[int, ...], own: tuple[int, ...]) -> list[tuple[bool, int]]:
    """Neighbouring dimensions that are all kept, or all summed, as one; without those of one element."""
    aligned = (1,) * (len(shape) - len(own)) + own
    dims = [(extent == kept, extent) for extent, kept in zip(shape, aligned, strict=True) if extent != 1]
    return [(kept, prod(extent for _, extent in group)) for kept, group in groupby(dims, key=lambda dim: dim[0])]
