"""Losses of rows that count differently: computed a slab of rows at a time, then weighed, masked and reduced."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ndloss import _array, _core, _outputs
from ndloss._elementwise import ElementwiseProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ndloss._options import Settings
    from ndloss._typing import Array

SLAB_ROWS = 1 << 17  # whole blocks of an elementwise call, so that slabs add up to the bits of the whole


def reduction_of(
    function: str, losses: Array, reduction: str, settings: Settings, weight: Array | None = None
) -> ElementwiseProblem:
    """Losses that were computed beforehand, to be reduced; `weight` multiplies them, and is not in the divisor."""
    return ElementwiseProblem(
        function, "identity", {"input": (losses, False)}, losses.shape, reduction, settings, weight=weight
    )  # fmt: skip


class SelectedRows:
    """Rows by weights and under a mask. `losses_to(place, begin, end)` writes the losses of rows [begin, end)."""

    def __init__(
        self,
        function: str,
        shape: tuple[int, ...],
        reduction: str,
        settings: Settings,
        losses_to: Callable[[Array, int, int], None],
    ) -> None:
        self.losses_to = losses_to
        self.rows = prod(shape)
        self.at_once = self.rows <= SLAB_ROWS
        if self.at_once:
            losses = np.empty(shape)
            losses_to(losses, 0, self.rows)
        else:
            losses = np.broadcast_to(np.zeros(()), shape)  # what all rows share does not depend on them
        self.whole = reduction_of(function, losses, reduction, settings)

    def total(self) -> _core.Accumulator:
        """All of it, as sums over loss elements."""
        total = _core.Accumulator()
        for _, _, call in self._slabs():
            total = call.accumulate(total)
        return total

    def value(self, given: object, inputs: Iterable[Array | None]) -> Any:
        whole = self.whole
        if whole.reduction != "none":
            return _outputs.stored(whole.function, given, whole.settings.reduced(self.total(), whole.reduction, whole.dtype))
        apart = (*inputs, whole.sample_weight, whole.mask)
        out, finished = _outputs.target(whole.function, "out", given, whole.shape, whole.dtype, apart=apart, strided=True)
        for begin, end, call in self._slabs():
            if out.flags.carray:
                call.map(out.reshape(-1)[begin:end])
            else:
                part = np.empty(end - begin, out.dtype.newbyteorder("="))
                call.map(part)
                out.flat[begin:end] = part
        return finished()

    def slopes(self, grad_output: object) -> Callable[[int, int], Array]:
        """What gives the factors of the gradients of rows [begin, end), not yet rounded."""
        whole = self.whole
        factor, upstream = whole._upstream(grad_output)
        scale = factor * whole.call.scale(whole.reduction)

        def of_rows(begin: int, end: int) -> Array:
            place = np.empty(end - begin)
            whole.call.gradients(scale, upstream, (place,), None, begin=begin, end=end)
            return place

        return of_rows

    def _slabs(self) -> Iterator[tuple[int, int, _core.ElementwiseCall]]:
        """Calls on the losses of rows [begin, end)."""
        whole = self.whole
        if self.at_once:
            yield 0, self.rows, whole.call
            return
        room = np.empty(SLAB_ROWS)
        for begin in range(0, self.rows, SLAB_ROWS):
            end = min(begin + SLAB_ROWS, self.rows)
            losses = room[: end - begin]
            self.losses_to(losses, begin, end)
            yield begin, end, _core.ElementwiseCall(
                "identity", (), (losses,), None, whole.twice, whole.settings.num_threads, -1,
                _piece(whole.sample_weight, begin, end), _piece(whole.mask, begin, end),
            )  # fmt: skip


def _piece(array: Array | None, begin: int, end: int) -> Array | None:
    return None if array is None else _array.piece(array, begin, end)
