"""Losses of data that comes in chunks: partial results that are updated, merged and computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ndloss import _array, _core
from ndloss._options import Settings
from ndloss._request import Feed

if TYPE_CHECKING:
    from typing import Protocol

    from ndloss._loss import Loss
    from ndloss._typing import Array, ArrayLike, FloatScalar

    class Kind(Protocol):
        """What the chunks of one stream have in common, without their data."""

        @property
        def dtype(self) -> np.dtype[Any]: ...
        @property
        def block(self) -> int: ...
        def add_piece(self, total: _core.Accumulator, piece: Piece) -> _core.Accumulator: ...
        def finish(self, total: _core.Accumulator) -> None: ...

    class Chunk(Protocol):
        """A checked call, cut into units of which whole blocks are added at a time."""

        @property
        def stream_kind(self) -> Kind: ...
        @property
        def stream_units(self) -> int: ...
        def stream_piece(self, begin: int, end: int) -> Piece: ...
        def stream_add(self, total: _core.Accumulator, begin: int, end: int) -> _core.Accumulator: ...
        @property
        def selects(self) -> bool: ...
        def whole(self) -> _core.Accumulator: ...


Piece = tuple["Array", ...]


class Stream:
    """Chunks of one kind, added in the blocks that one call over all of them would have used.

    `total` holds the whole blocks, `tail` the units that do not fill one yet. A chunk of another kind (dtype, classes) ends the
    stream: what it came to is moved to `done`.
    """

    def __init__(self, reduction: str) -> None:
        self.reduction = reduction  # of the sums: a loss may be weighed for its mean
        self.done = _core.Accumulator()
        self.total = _core.Accumulator()
        self.tail: Piece | None = None
        self.kind: Kind | None = None
        self.dtype: np.dtype[Any] | None = None

    def copied(self) -> Stream:
        """A stream that goes on by itself."""
        fresh = Stream(self.reduction)
        vars(fresh).update(vars(self), done=self.done.copy())
        return fresh

    def feed(self, chunk: Chunk) -> None:
        """Adds a chunk; where it cannot be added, nothing has changed.

        One whose elements count differently, by `sample_weight` or `mask`, is added as a whole.
        """
        kind = chunk.stream_kind
        if chunk.selects:
            self.done.merge(chunk.whole())
        elif self.kind is not None and self.kind != kind:
            fresh = Stream(self.reduction)
            fresh.feed(chunk)
            self.done, self.total, self.tail = self.finished(), fresh.total, fresh.tail
        else:
            self.total, self.tail = self._fed(chunk, kind)
        if not chunk.selects:
            self.kind = kind
        if self.dtype is None or kind.dtype.itemsize > self.dtype.itemsize:
            self.dtype = kind.dtype

    def _fed(self, chunk: Chunk, kind: Kind) -> tuple[_core.Accumulator, Piece | None]:
        units, block = chunk.stream_units, kind.block
        total, tail = self.total.copy(), self.tail
        begin = 0
        if tail is not None:
            begin = min(block - len(tail[0]), units)
            # Added by itself first: a bad value is found, and named, where it stands in the chunk.
            chunk.stream_add(_core.Accumulator(), 0, begin)
            tail = tuple(np.concatenate(pair) for pair in zip(tail, chunk.stream_piece(0, begin), strict=True))
            if len(tail[0]) < block:
                return total, tail
            total, tail = kind.add_piece(total, tail), None
        whole = begin + (units - begin) // block * block
        if whole > begin:
            total = chunk.stream_add(total, begin, whole)
        if units > whole:
            chunk.stream_add(_core.Accumulator(), whole, units)
            tail = chunk.stream_piece(whole, units)
        return total, tail

    def finished(self) -> _core.Accumulator:
        """Everything so far, as sums over loss elements."""
        total = self.total.copy()
        if self.kind is not None:
            if self.tail is not None:
                total = self.kind.add_piece(total, self.tail)
            self.kind.finish(total)
        result = self.done.copy()
        result.merge(total)
        return result


class LossAccumulator:
    """A loss over data that comes in chunks.

    Made by `criterion.accumulator()`. Any split of the data gives the value of the whole to 1 ULP; chunks in order give its
    bits. Not to be updated from several threads at once: give each its own and `merge` them.

    Examples
    --------
    >>> import ndloss as nl
    >>> acc = nl.MSELoss().accumulator()
    >>> acc.update([1.0, 2.0], [0.0, 0.0])
    >>> acc.update([3.0], [0.0])
    >>> print(acc.compute(), acc.count)
    4.6666665 3
    """

    def __init__(self, criterion: Loss, reduction: str) -> None:
        self.criterion = criterion
        self.reduction = reduction
        self._stream = Stream(reduction)
        self._merged = _core.Accumulator()
        self._dtype: np.dtype[Any] | None = None

    def update(self, *operands: ArrayLike, **options: Any) -> None:
        """Adds a chunk: what a call of the criterion takes. If it is bad this raises, and the state is as it was."""
        self.criterion(*operands, **options, _request=Feed(self._stream))

    def merge(self, other: LossAccumulator) -> None:
        """Adds what another accumulator of an equal criterion has seen; the other is left as it is."""
        if not isinstance(other, LossAccumulator):
            raise TypeError(f"merge: other must be a LossAccumulator, got {type(other).__name__}")
        if other.criterion != self.criterion or other.reduction != self.reduction:
            raise ValueError(f"merge: the accumulators differ: {self!r} and {other!r}")
        self._merged.merge(other._total())
        dtypes = [d for d in (self._result_dtype(), other._result_dtype()) if d is not None]
        self._dtype = max(dtypes, key=lambda d: d.itemsize) if dtypes else None

    def _result_dtype(self) -> np.dtype[Any] | None:
        dtypes = [d for d in (self._dtype, self._stream.dtype) if d is not None]
        return max(dtypes, key=lambda d: d.itemsize) if dtypes else None

    def _total(self) -> _core.Accumulator:
        total = self._stream.finished()
        total.merge(self._merged)
        return total

    def compute(self) -> FloatScalar:
        """The reduced loss of everything seen so far; the mean of nothing is what the criterion's `empty` says, or NaN."""
        policy = self.criterion.policy
        settings = Settings(type(self.criterion).__name__, empty=policy.get("empty", "nan"))
        dtype = policy.get("dtype") or self._result_dtype() or _array.FLOAT32
        value: FloatScalar = settings.reduced(self._total(), self.reduction, dtype)
        return value

    def reset(self) -> None:
        """Forgets everything seen so far."""
        self._stream = Stream(self.reduction)
        self._merged = _core.Accumulator()
        self._dtype = None

    @property
    def count(self) -> int:
        """How many loss elements were kept: ignored targets do not count."""
        return self._total().count

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.criterion!r}, reduction={self.reduction!r}, count={self.count})"
