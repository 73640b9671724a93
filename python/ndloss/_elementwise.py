"""Elementwise calls: arrays of one shape, handed to the core."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ndloss import _array, _broadcast, _check, _check_shapes, _check_targets, _core, _outputs
from ndloss._record import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ndloss._accumulator import Piece, Stream
    from ndloss._options import Settings
    from ndloss._typing import Array

Operand = tuple["Array", bool]

NOTHING: Mapping[str, Any] = MappingProxyType({})


def broadcast_operands(function: str, **arguments: object) -> tuple[dict[str, Operand], tuple[int, ...]]:
    """The arguments as operands, and the shape they broadcast to."""
    operands: dict[str, Operand] = {}
    shapes: set[tuple[int, ...]] = set()
    for name, value in arguments.items():
        operand = operands[name] = _array.as_array(function, name, value)
        shapes.add(operand[0].shape)
    if len(shapes) == 1:
        return operands, shapes.pop()
    return operands, _check_shapes.broadcast_shape(function, **{name: array for name, (array, _) in operands.items()})


class ElementwiseProblem(Record):
    """A checked elementwise call.

    `operands` are the differentiable data arguments by name, in the order of the core's operands; `constants` follow them.
    `weight` multiplies the loss. All broadcast to `shape`. `given_shapes` holds the shape an operand came in, where its array has
    another one of as many elements. `repeats` is how many elements share one unit of the mean's divisor.
    """

    function: str
    core: str
    operands: dict[str, Operand]
    shape: tuple[int, ...]
    reduction: str
    settings: Settings
    parameters: Sequence[float] = ()
    constants: Mapping[str, Array] = NOTHING
    typed_constants: Mapping[str, Operand] = NOTHING  # that take part in the result's dtype
    given_shapes: Mapping[str, tuple[int, ...]] = NOTHING
    repeats: int = 1
    weight: Array | None = None
    weight_differentiable: bool = False
    weighted_mean: bool = False
    row_mean: bool = False
    row_divisor: int = -1
    domain: str = ""
    ignore_value: float | None = None  # a target that takes no part, whatever it is

    def __post_init__(self) -> None:
        settings, shape = self.settings, self.shape
        _check.no_divisor(self.function, settings.return_divisor and self.reduction == "none")
        self.dtype, self.twice = settings.dtypes(*self.operands.values(), *self.typed_constants.values())
        self.constants = {**self.constants, **{name: array for name, (array, _) in self.typed_constants.items()}}
        everything = [array for array, _ in self.operands.values()]
        everything += self.constants.values()
        self.arrays = tuple([array if array.shape == shape else np.broadcast_to(array, shape) for array in everything])
        self.weights = None if self.weight is None else np.broadcast_to(self.weight, shape)
        self.sample_weight = None if settings.sample_weight is None else self._spread("sample_weight")
        self.mask = None if settings.mask is None else self._spread("mask")
        self.call = _core.ElementwiseCall(
            self.core, self.parameters, self.arrays, self.weights, self.twice, settings.num_threads, self.row_divisor,
            self.sample_weight, self.mask, self.ignore_value,
        )  # fmt: skip
        # A broadcast weight enters the sum at every element, but torch's divisor once.
        if self.weighted_mean and self.weight is not None and self.weight.shape != shape:
            self.repeats = max(math.prod(shape) // max(self.weight.size, 1), 1)

    def _spread(self, name: str) -> Array | None:
        """`sample_weight` or `mask`, which have the loss's shape, in that of the elements."""
        array = self.settings.spread(name, self.output_shape)
        return array if array is None or not self.row_mean else np.broadcast_to(array[..., None], self.shape)

    @property
    def selects(self) -> bool:
        """Whether elements count differently from each other."""
        return self.settings.selects or self.ignore_value is not None

    @property
    def output_shape(self) -> tuple[int, ...]:
        return self.shape[:-1] if self.row_mean else self.shape

    def _raise_if_bad(self, bad: tuple[int, int, int] | None) -> None:
        if bad is not None and self.settings.validate:
            index, operand, value = bad
            argument = (*self.operands, *self.constants)[operand]
            own = self.operands[argument][0] if argument in self.operands else self.constants[argument]
            shape: tuple[int, ...] = own.shape
            place = _array.place_within(shape, index, self.shape)
            given = self.given_shapes.get(argument, shape)
            _check_targets.bad_number(self.function, argument, place, given, _core.double_of_bits(value), self.domain)

    def _reduced(self, total: _core.Accumulator) -> Any:
        total.share_divisor(self.repeats)
        return self.settings.reduced(total, self.reduction, self.dtype)

    def _accumulated(self, initial: _core.Accumulator, begin: int, end: int, raw: bool) -> _core.Accumulator:
        total = self.call.accumulate(initial, begin, end, raw)
        self._raise_if_bad(total.bad)
        return total

    def value(self) -> Any:
        if self.reduction == "none":
            return self._map(self.settings.out)
        reduced = self._reduced(self._accumulated(_core.Accumulator(), 0, -1, False))
        return _outputs.stored(self.function, self.settings.out, reduced)

    def _map(self, given: object = None) -> Any:
        out, finished = _outputs.target(
            self.function, "out", given, self.output_shape, self.dtype, self.arrays, self._apart, strided=True
        )
        self._raise_if_bad(self.call.map(out))
        return finished()

    @property
    def _apart(self) -> tuple[Array | None, ...]:
        """What no result may replace, not even in place: bad numbers are looked for after a block of results is written."""
        return (*self._factors, *(self.arrays if self.domain and self.settings.validate else ()))

    @property
    def _factors(self) -> tuple[Array | None, ...]:
        """What a pass reads beside the operands, after a block of results is written."""
        return self.weights, self.sample_weight, self.mask

    def _derivative(
        self, name: str, given: object, upstream: Array | None = None
    ) -> tuple[_broadcast.Derivative, Callable[[], Any]]:
        """Where a derivative for one operand goes, and what then makes of it what the caller gets."""
        array, weak = self.operands[name]
        own: tuple[int, ...] = array.shape
        shape = self.given_shapes.get(name, own)
        dtype = self.settings.gradient_dtype(array, weak, self.dtype)
        # Positions agree with the operands' only where nothing is broadcast.
        apart = (*self._apart, upstream)
        out, finished = _outputs.target(self.function, "out", given, shape, dtype, self.arrays, apart, strided=shape == own)
        return self._summed_to(out if shape == own else out.reshape(own)), finished

    def _summed_to(self, own: Array) -> _broadcast.Derivative:
        return _broadcast.Derivative(own, self.shape, self.twice, self.settings.num_threads)

    def value_and_grad(self, argnums: object, grad_output: object) -> Any:
        names, several = self._wanted(argnums)
        factor, upstream = self._upstream(grad_output)
        given = _outputs.several(self.function, self.settings.out, names, several)
        wanted = {name: self._derivative(name, given[name], upstream) for name in names if name in self.operands}
        value_out = _core.empty(self.output_shape, self.dtype) if self.reduction == "none" else None
        # First, because the others may take the place of an operand.
        by_weight = self._weight_gradient(factor, upstream, given["weight"]) if "weight" in names else None
        if wanted or value_out is None:
            repeats = self.repeats if self.reduction == "mean" else 1
            total = self._derive(factor * repeats, upstream, value_out, {name: to for name, (to, _) in wanted.items()})
            value = self._reduced(total) if value_out is None else _array.unboxed(value_out)
        else:
            self._raise_if_bad(self.call.map(value_out))
            value = _array.unboxed(value_out)
        grads = {name: finished() for name, (_, finished) in wanted.items()}
        if by_weight is not None:
            grads["weight"] = by_weight()
        return value, tuple([grads[name] for name in names]) if several else grads[names[0]]

    def _derive(
        self,
        factor: float,
        upstream: Array | None,
        value_out: Array | None,
        grads: Mapping[str, _broadcast.Derivative],
        hessians: Mapping[str, _broadcast.Derivative] = NOTHING,
    ) -> _core.Accumulator:
        """Writes derivatives and, if it is wanted, the unreduced loss; what the losses come to."""
        scale = factor * self.call.scale(self.reduction)
        total = _core.Accumulator()
        if self.row_mean and value_out is not None:
            self._raise_if_bad(self.call.map(value_out))
            value_out = None
        raw = 0 not in self.shape
        derivatives = [*grads.values(), *hessians.values()]
        if not any(one.summed for one in derivatives):
            places, curvatures = (
                tuple([wanted[name].own if name in wanted else None for name in self.operands]) if wanted else ()
                for wanted in (grads, hessians)
            )
            total = self.call.gradients(scale, upstream, places, value_out, curvatures)
            self._raise_if_bad(total.bad)
            return total
        for chosen, begin, end, in_order in _broadcast.slabs(self.shape, derivatives, _core.elementwise_block):
            places, curvatures = (
                tuple([one.place(begin, end) if one and one in chosen else None for one in map(wanted.get, self.operands)])
                for wanted in (grads, hessians)
            )
            value = None if value_out is None or not in_order else value_out.reshape(-1)[begin:end]
            part = self.call.gradients(scale, upstream, places, value, curvatures, total, begin, end, raw)
            total = part if in_order else total
        self._raise_if_bad(total.bad)
        if raw and self.row_mean:
            total.per_row(self.shape[-1], self.row_divisor)
        return total

    def grad_hess(self, argnums: object, out: object) -> Any:
        """First and diagonal second derivatives of the reduced value, for data operands."""
        names, several = _check.argument_numbers(
            self.function, argnums, list(self.operands), {"weight": "the loss is linear in it"}
        )
        pair = _outputs.pair(self.function, out)
        first = _outputs.several(self.function, pair[0], names, several)
        second = _outputs.several(self.function, pair[1], names, several)
        grads = {name: self._derivative(name, first[name]) for name in names}
        hessians = {name: self._derivative(name, second[name]) for name in names}
        repeats = self.repeats if self.reduction == "mean" else 1
        pairs = [{name: to for name, (to, _) in wanted.items()} for wanted in (grads, hessians)]
        self._derive(float(repeats), None, None, *pairs)
        result = tuple(tuple(wanted[name][1]() for name in names) for wanted in (grads, hessians))
        return result if several else (result[0][0], result[1][0])

    def _wanted(self, argnums: object) -> tuple[tuple[str, ...], bool]:
        names = [*self.operands]
        reasons = dict.fromkeys(self.constants, "torch does not differentiate it either")
        if self.weight_differentiable and self.weight is not None:
            names.append("weight")
        else:
            reasons["weight"] = "it is None" if self.weight is None else "torch does not differentiate it either"
        return _check.argument_numbers(self.function, argnums, names, reasons)

    def _upstream(self, grad_output: object) -> tuple[float, Array | None]:
        """What multiplies every gradient, and the array of what multiplies each."""
        if self.reduction != "none":
            return _check.scalar_grad_output(self.function, grad_output), None
        if grad_output is None:
            return 1.0, None
        array, _ = _array.as_array(self.function, "grad_output", grad_output)
        upstream = _check_shapes.broadcasts_to(self.function, "grad_output", array, self.output_shape, "the output")
        return 1.0, np.broadcast_to(upstream[..., None], self.shape) if self.row_mean else upstream

    def _weight_gradient(self, factor: float, upstream: Array | None, given: object) -> Callable[[], Any]:
        """The loss is linear in its weight; a weighted mean is a quotient, whose own value is its offset."""
        assert self.weight is not None
        dtype = self.settings.gradient_dtype(self.weight, False, self.dtype)
        # It is written before other gradients are computed, from the same operands.
        apart = (*self.arrays, *self._factors, upstream)
        out, finished = _outputs.target(self.function, "out", given, self.weight.shape, dtype, apart=apart, strided=True)
        slope = self._summed_to(out)
        offset, scale = 0.0, factor
        if self.reduction == "mean":
            total = self._accumulated(_core.Accumulator(), 0, -1, False)
            total.share_divisor(self.repeats)
            scale = factor / total.divisor if total.divisor else factor * np.nan
            offset = total.compute("mean") / self.repeats if self.weighted_mean else 0.0
        if self.row_mean:
            scale = scale / self.row_divisor if self.row_divisor else np.nan
        bad = [
            self.call.weight_gradient(scale, offset, upstream, slope.place(begin, end), begin, end)
            for chosen, begin, end, _ in _broadcast.slabs(self.shape, [slope], _core.elementwise_block)
            if chosen
        ]
        self._raise_if_bad(min(filter(None, bad), default=None))
        return finished

    # ---- streams: units are elements ----

    def feed(self, stream: Stream) -> None:
        stream.feed(self)

    def whole(self) -> _core.Accumulator:
        """All of it, as sums over loss elements."""
        total = self._accumulated(_core.Accumulator(), 0, -1, False)
        total.share_divisor(self.repeats)
        return total

    @property
    def stream_kind(self) -> ElementwiseKind:
        classes, divisor = self.shape[-1] if self.row_mean else None, self.row_divisor
        if self.row_mean and 0 in self.shape[:-1]:
            classes = divisor = 1  # no rows: nothing to divide, whatever their length
        return ElementwiseKind(
            self.core,
            tuple(self.parameters),
            self.dtype,
            self.settings.num_threads,
            divisor,
            classes,
            self.weights is not None,
            self.repeats,
        )

    @property
    def stream_units(self) -> int:
        return math.prod(self.shape)

    def stream_piece(self, begin: int, end: int) -> Piece:
        """Units [begin, end) as arrays of one dimension."""
        arrays = self.arrays if self.weights is None else (*self.arrays, self.weights)
        return tuple([_array.piece(array, begin, end) for array in arrays])

    def stream_add(self, total: _core.Accumulator, begin: int, end: int) -> _core.Accumulator:
        return self._accumulated(total, begin, end, True)


class ElementwiseKind(Record):
    """What chunks of a stream have in common."""

    core: str
    parameters: tuple[float, ...]
    dtype: np.dtype[Any]
    threads: int
    row_divisor: int
    classes: int | None
    weighted: bool
    repeats: int

    @property
    def block(self) -> int:
        return _core.elementwise_block

    def add_piece(self, total: _core.Accumulator, piece: Piece) -> _core.Accumulator:
        arrays, weights = (piece[:-1], piece[-1]) if self.weighted else (piece, None)
        twice = _array.computes_in_double(self.dtype)
        call = _core.ElementwiseCall(self.core, list(self.parameters), arrays, weights, twice, self.threads, self.row_divisor)
        return call.accumulate(total, 0, -1, True)

    def finish(self, total: _core.Accumulator) -> None:
        """Turns sums over units into sums over loss elements."""
        if self.classes is not None:
            total.per_row(self.classes, self.row_divisor)
        total.share_divisor(self.repeats)
