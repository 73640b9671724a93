"""Calls with an axis anywhere, of losses whose problem has it last: views go in, and gradients come back as views."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ndloss import _check

if TYPE_CHECKING:
    from ndloss._accumulator import Stream
    from ndloss._options import Settings
    from ndloss._request import Problem
    from ndloss._typing import Array

Operand = tuple["Array", bool]


class Movable(Protocol):
    """A problem whose settings may be exchanged before it is asked for anything."""

    settings: Settings

    def value(self) -> Any: ...
    def value_and_grad(self, argnums: object, grad_output: object) -> Any: ...
    def grad_hess(self, argnums: object, out: Any) -> Any: ...
    def feed(self, stream: Stream) -> None: ...
    def wanted(self, argnums: object) -> tuple[tuple[str, ...], bool]: ...


@dataclass(frozen=True)
class Way:
    """How an array of `shape` gets the axis that its broadcast `ndim` dimensions count from the end to its end, and back."""

    shape: tuple[int, ...]
    ndim: int
    axis: int

    def there(self, array: Array) -> Array:
        return np.moveaxis(array[(None,) * (self.ndim - array.ndim)], self.axis, -1)

    def back(self, array: Array) -> Array:
        return np.moveaxis(array, -1, self.axis).reshape(self.shape)


@dataclass
class MovedProblem:
    """A problem of arrays some of which were moved; `ways` has those by name."""

    function: str
    problem: Movable
    ways: dict[str, Way]

    def value(self) -> Any:
        return self.problem.value()

    def feed(self, stream: Stream) -> None:
        self.problem.feed(stream)

    def value_and_grad(self, argnums: object, grad_output: object) -> Any:
        names, several = self.problem.wanted(argnums)
        out = self.problem.settings.out
        if out is not None:
            self.problem.settings = replace(self.problem.settings, out=self._there(names, several, out))
        value, grads = self.problem.value_and_grad(argnums, grad_output)
        return value, self._back(names, several, grads, out)

    def grad_hess(self, argnums: object, out: Any) -> Any:
        names, several = self.problem.wanted(argnums)
        pair = (None, None) if out is None else _check.pair_of_outputs(self.function, out)
        found = self.problem.grad_hess(argnums, None if out is None else tuple(self._there(names, several, one) for one in pair))
        return tuple(self._back(names, several, one, given) for one, given in zip(found, pair, strict=True))

    def _there(self, names: tuple[str, ...], several: bool, out: Any) -> Any:
        """Views of the caller's arrays, as the problem wants them."""
        if out is None:
            return None
        given = out if several and isinstance(out, tuple) else (out,)
        views = tuple(self._view(name, one) for name, one in zip(names, given, strict=False)) + tuple(given[len(names) :])
        return views if several and isinstance(out, tuple) else views[0]

    def _view(self, name: str, array: Any) -> Any:
        way = self.ways.get(name)
        # What is no such array is left for the problem to refuse.
        return array if way is None or not isinstance(array, np.ndarray) or array.shape != way.shape else way.there(array)

    def _back(self, names: tuple[str, ...], several: bool, grads: Any, out: Any) -> Any:
        results = []
        for place, name in enumerate(names):
            given = out[place] if several and out is not None else out
            grad = grads[place] if several else grads
            results.append(given if given is not None else self.ways[name].back(grad) if name in self.ways else grad)
        return tuple(results) if several else results[0]


def moved_last(
    function: str, operands: dict[str, Operand], axis: int, ndim: int
) -> tuple[dict[str, Operand], dict[str, Way]]:
    """The operands with an axis, counted from the end of their `ndim` broadcast dimensions, moved to the end; and their ways."""
    ways = {name: Way(array.shape, ndim, axis) for name, (array, _) in operands.items()}
    return {name: (ways[name].there(array), weak) for name, (array, weak) in operands.items()}, ways
