"""Calls with an axis anywhere, of losses whose problem has it last: views go in, and gradients come back as views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ndloss import _check_shapes, _outputs
from ndloss._record import Record

if TYPE_CHECKING:
    from typing import Protocol

    from ndloss._accumulator import Stream
    from ndloss._options import Settings
    from ndloss._typing import Array

    class Movable(Protocol):
        """A problem whose settings may be exchanged before it is asked for anything."""

        function: str
        settings: Settings

        def value(self) -> Any: ...
        def value_and_grad(self, argnums: object, grad_output: object) -> Any: ...
        def grad_hess(self, argnums: object, out: object) -> Any: ...
        def feed(self, stream: Stream) -> None: ...
        def _wanted(self, argnums: object) -> tuple[tuple[str, ...], bool]: ...


Operand = tuple["Array", bool]


class Way(Record):
    """How an array of `shape` gets an axis to its end, and back. `axis` counts from the end of `ndim` broadcast dimensions."""

    shape: tuple[int, ...]
    ndim: int
    axis: int

    def there(self, array: Array) -> Array:
        return np.moveaxis(array[(None,) * (self.ndim - array.ndim)], self.axis, -1)

    def back(self, array: Array) -> Array:
        return np.moveaxis(array, -1, self.axis).reshape(self.shape)


def moved_last(operands: dict[str, Operand], axis: int) -> tuple[dict[str, Operand], dict[str, Way]]:
    """The operands with an axis, counted from the end of what they broadcast to, moved to the end; and how to undo it."""
    ndim = max(array.ndim for array, _ in operands.values())
    ways = {name: Way(array.shape, ndim, axis) for name, (array, _) in operands.items()}
    return {name: (ways[name].there(array), weak) for name, (array, weak) in operands.items()}, ways


class MovedProblem(Record):
    """A problem of arrays that were moved: `ways` has how, by name."""

    problem: Movable
    ways: dict[str, Way]

    def value(self) -> Any:
        return self.problem.value()

    def feed(self, stream: Stream) -> None:
        self.problem.feed(stream)

    def value_and_grad(self, argnums: object, grad_output: object) -> Any:
        names, several = self.problem._wanted(argnums)
        out = self.problem.settings.out
        self.problem.settings = self.problem.settings.changed(out=self._there(names, several, out))
        value, grads = self.problem.value_and_grad(argnums, grad_output)
        return value, self._back(names, several, grads, out)

    def grad_hess(self, argnums: object, out: object) -> Any:
        names, several = self.problem._wanted(argnums)
        pair = _outputs.pair(self.problem.function, out)
        views = None if out is None else tuple(self._there(names, several, one) for one in pair)
        found = self.problem.grad_hess(argnums, views)
        return tuple(self._back(names, several, one, given) for one, given in zip(found, pair, strict=True))

    def _there(self, names: tuple[str, ...], several: bool, out: object) -> Any:
        """Views of the caller's arrays, as the problem wants them."""
        given = _outputs.several(self.problem.function, out, names, several)
        views = tuple(self._view(name, given[name]) for name in names)
        return None if out is None else views if several else views[0]

    def _view(self, name: str, out: object) -> object:
        """What is no array is left as it is: the problem refuses it."""
        way = self.ways.get(name)
        if way is None or not isinstance(out, np.ndarray):
            return out
        _check_shapes.out_shape(self.problem.function, "out", out, way.shape)
        return way.there(out)

    def _back(self, names: tuple[str, ...], several: bool, grads: Any, out: object) -> Any:
        given = _outputs.several(self.problem.function, out, names, several)
        found = dict(zip(names, grads if several else (grads,), strict=True))
        for name, grad in found.items():
            if given[name] is not None:
                found[name] = given[name]
            elif name in self.ways:
                found[name] = self.ways[name].back(np.asarray(grad))
        return tuple(found.values()) if several else found[names[0]]
