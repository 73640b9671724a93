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

    Of its `sums`, `total` holds the whole blocks, `rooms` the units that do not fill one yet. A chunk of another kind (dtype,
    classes) ends the stream: what it came to is moved to `done`. Plain calls of the kind that was fed last are added to them by
    the core itself.
    """

    def __init__(self, reduction: str) -> None:
        self.reduction = reduction  # of the sums: a loss may be weighed for its mean
        self.sums = _core.StreamSums()
        self.kind: Kind | None = None
        self.dtype: np.dtype[Any] | None = None

    def copied(self) -> Stream:
        """A stream that goes on by itself."""
        fresh = Stream(self.reduction)
        vars(fresh).update(vars(self), sums=self.sums.copy())
        return fresh

    def feed(self, chunk: Chunk) -> None:
        """Adds a chunk; where it cannot be added, nothing has changed.

        One whose elements count differently, by `sample_weight` or `mask`, is added as a whole.
        """
        kind, sums = chunk.stream_kind, self.sums
        if chunk.selects:
            done = sums.done
            done.merge(chunk.whole())
            sums.done = done
        elif self.kind is not None and self.kind != kind:
            fresh = Stream(self.reduction)
            fresh.feed(chunk)
            fresh.sums.done = self.finished()
            self.sums = fresh.sums
        else:
            sums.total, sums.rooms, sums.filled = self._fed(chunk, kind)
        if not chunk.selects:
            self.kind = kind
        if self.dtype is None or kind.dtype.itemsize > self.dtype.itemsize:
            self.dtype = kind.dtype
        self.sums.item_size = self.dtype.itemsize

    def _fed(self, chunk: Chunk, kind: Kind) -> tuple[_core.Accumulator, Piece, int]:
        """The whole blocks with those of a chunk, the rooms and how many units stand in them."""
        units, block = chunk.stream_units, kind.block
        total, rooms, filled = self.sums.total, self.sums.rooms, self.sums.filled
        begin = 0
        if filled:
            begin = min(block - filled, units)
            # Added by itself first: a bad value is found, and named, where it stands in the chunk.
            chunk.stream_add(_core.Accumulator(), 0, begin)
            rooms = _kept(rooms, filled, chunk.stream_piece(0, begin), block)
            filled += begin
            if filled < block:
                return total, rooms, filled
            total, rooms = kind.add_piece(total, rooms), ()
        whole = begin + (units - begin) // block * block
        if whole > begin:
            total = chunk.stream_add(total, begin, whole)
        if units > whole:
            chunk.stream_add(_core.Accumulator(), whole, units)
        if block > 1:  # also without any units: their rooms are where plain calls go on
            rooms = _kept(rooms, 0, chunk.stream_piece(whole, units), block)
        return total, rooms, units - whole

    def finished(self) -> _core.Accumulator:
        """Everything so far, as sums over loss elements."""
        sums = self.sums
        total, result = sums.total, sums.done
        if self.kind is not None:
            if sums.filled:
                total = self.kind.add_piece(total, sums.tail)
            self.kind.finish(total)
        result.merge(total)
        return result


def _kept(rooms: Piece, filled: int, piece: Piece, block: int) -> Piece:
    """Rooms for a block with a piece behind the units that stand there."""
    kept = []
    for k, array in enumerate(piece):
        room = rooms[k] if rooms else np.empty((block, *array.shape[1:]), array.dtype)
        if room.dtype != array.dtype or len(room) != block:  # pickled rooms come without what is empty
            narrow = room
            room = np.empty((block, *array.shape[1:]), np.promote_types(narrow.dtype, array.dtype) if filled else array.dtype)
            room[:filled] = narrow[:filled]
        room[filled : filled + len(array)] = array
        kept.append(room)
    return tuple(kept)


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
