"""Triplets whose distances were computed beforehand, with or without their derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ndloss import _broadcast, _check, _check_shapes, _core, _outputs
from ndloss._elementwise import ElementwiseProblem
from ndloss._moved import MovedProblem, Way, moved_last
from ndloss._options import Settings
from ndloss._record import Record
from ndloss.triplets import VECTORS

if TYPE_CHECKING:
    from ndloss._accumulator import Stream
    from ndloss._typing import Array


class DistanceProblem(Record):
    """A checked call of a triplet loss whose distances were computed beforehand, in pairs of `VECTORS`.

    Each distance comes with its derivatives by the two vectors it is of, or without.
    """

    function: str
    operands: dict[str, tuple[Array, bool]]
    distances: tuple[tuple[Array, Array | None, Array | None], ...]
    margin: float
    reduction: str
    settings: Settings
    PAIRS = (("anchor", "positive"), ("anchor", "negative"), ("positive", "negative"))

    def __post_init__(self) -> None:
        named = {"-".join(pair): (d[0], False) for pair, d in zip(self.PAIRS, self.distances, strict=False)}
        shape = _check_shapes.broadcast_shape(self.function, **{name: array for name, (array, _) in named.items()})
        core = "triplet_margin_of_swapped_distances" if len(named) == 3 else "triplet_margin_of_distances"
        self.outer = ElementwiseProblem(self.function, core, named, shape, self.reduction, self.settings, parameters=[self.margin])
        self.mask: Array | None = self.settings.spread("mask", shape)

    def value(self) -> Any:
        return self.outer.value()

    def grad_hess(self, argnums: object, out: object) -> Any:
        _check.no_hessian(self.function)

    def _wanted(self, argnums: object) -> tuple[tuple[str, ...], bool]:
        return _check.argument_numbers(self.function, argnums, VECTORS, {})

    def feed(self, stream: Stream) -> None:
        self.outer.feed(stream)

    def value_and_grad(self, argnums: object, grad_output: object) -> Any:
        names, several = self._wanted(argnums)
        given = _outputs.several(self.function, self.settings.out, names, several)
        slopes = tuple(np.empty(distance.shape) for distance, _ in self.outer.operands.values())  # not yet rounded
        self.outer.settings = self.settings.changed(out=slopes)
        value, _ = self.outer.value_and_grad(tuple(self.outer.operands), grad_output)
        # All are computed before any takes the place of a vector, which may be a derivative by another.
        finished = [self._gradient(name, slopes, given[name]) for name in names]
        ordered = tuple(finish() for finish in finished)
        return value, ordered if several else ordered[0]

    def _gradient(self, name: str, slopes: tuple[Array, ...], given: object) -> Callable[[], Any]:
        """What gives the gradient, which is computed then."""
        array, weak = self.operands[name]
        dtype = self.settings.gradient_dtype(array, weak, self.outer.dtype)
        read = (self.mask, *(part for parts in self.distances for part in parts))
        grad, finished = _outputs.target(self.function, "out", given, array.shape, dtype, apart=read)
        weights: list[Array] = []
        parts: list[Array] = []
        for pair, slope, distance in zip(self.PAIRS, slopes, self.distances, strict=False):
            if name not in pair:
                continue
            part = _check_shapes.derivative_of_distance(self.function, distance[1 + pair.index(name)])
            parts.append(self._unmasked(part, distance[0]))
            weights.append(slope.reshape(slope.shape + (1,) * (part.ndim - slope.ndim)))
        if any(np.broadcast_shapes(w.shape, p.shape) != array.shape for w, p in zip(weights, parts, strict=True)):
            # Each part is summed over what the vector was broadcast to within its own pair.
            parts = [_weighted(w, p, array.shape) for w, p in zip(weights, parts, strict=True)]
            weights = [np.ones((), np.float64)] * len(parts)
        _core.weighted_sum(
            tuple(np.broadcast_to(w, array.shape) for w in weights), tuple(np.broadcast_to(p, array.shape) for p in parts), grad
        )
        return finished

    def _unmasked(self, part: Array, distance: Array) -> Array:
        """Derivatives of distances, 0 under the mask: what these hold may be NaN, which times a slope of 0 is not 0."""
        if self.mask is None:
            return part
        kept = self.mask.astype(bool)
        if distance.shape != kept.shape:
            # A distance that several rows share counts where one of them does.
            kept = _any_of(kept, distance.shape)
        return np.where(kept.reshape(kept.shape + (1,) * (part.ndim - kept.ndim)), part, part.dtype.type(0))


def _any_of(kept: Array, shape: tuple[int, ...]) -> Array:
    """Whether any is True of what a smaller shape is broadcast to."""
    leading = kept.ndim - len(shape)
    shared = (*range(leading), *(leading + d for d, n in enumerate(shape) if n == 1))
    return np.asarray(kept.any(axis=shared)).reshape(shape)


def _weighted(weight: Array, part: Array, shape: tuple[int, ...]) -> Array:
    """One weighted part, summed to a shape."""
    whole = np.broadcast_shapes(shape, weight.shape, part.shape)
    weights, parts = (np.broadcast_to(weight, whole),), (np.broadcast_to(part, whole),)
    result = np.empty(shape, np.float64)
    for chosen, begin, end, _ in _broadcast.slabs(whole, [_broadcast.Derivative(result, whole, True, 0)], 1):
        for one in chosen:
            _core.weighted_sum(weights, parts, one.place(begin, end), begin)
    return result


def of_distances(
    function: str,
    operands: dict[str, tuple[Array, bool]],
    distance: Callable[[Any, Any], Any],
    margin: float,
    swap: bool,
    reduction: str,
    settings: Settings,
    axis: int,
    result: np.dtype[Any] | None = None,
) -> DistanceProblem | MovedProblem:
    """The problem of a distance that is computed here, of vectors whose features are moved to the last axis."""
    ways: dict[str, Way] = {}
    if axis != -1:
        operands, ways = moved_last(operands, axis)
    pairs = DistanceProblem.PAIRS if swap else DistanceProblem.PAIRS[:2]
    found = tuple(_check_shapes.distance_and_slopes(function, distance(operands[x][0], operands[y][0])) for x, y in pairs)
    problem = DistanceProblem(function, operands, found, margin, reduction, settings)
    if result is not None:
        problem.outer.dtype = result  # whatever the distances are computed in
    return MovedProblem(problem, ways) if ways else problem
