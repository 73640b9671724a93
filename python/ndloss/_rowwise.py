"""Calls with a class axis: rows of classes and their targets, handed to the core."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ndloss import _array, _broadcast, _check, _check_shapes, _check_targets, _core, _outputs
from ndloss._record import Record

if TYPE_CHECKING:
    from collections.abc import Callable

    from ndloss._accumulator import Piece, Stream
    from ndloss._options import Settings
    from ndloss._typing import Array

Operand = tuple["Array", bool]


class RowProblem(Record):
    """A checked call of a loss of rows.

    One of these is given: `labels` (class indices, the shape of the rows), `probabilities` or `label_sets` (class indices, padded
    with -1; both the shape of the input). `shape` is that of the unreduced loss where it is not that of the rows.
    """

    function: str
    input: Operand
    axis: int
    reduction: str
    settings: Settings
    labels: Array | None = None
    probabilities: Operand | None = None
    weight: Array | None = None
    ignore_index: int = -100
    label_smoothing: float = 0.0
    label_sets: Array | None = None
    p: int = 1
    margin: float = 1.0
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        array, weak = self.input
        self.input_shape = array.shape
        if array.ndim == 0:
            array = array.reshape(1)
            self.input = (array, weak)
        operands = [self.input] if self.probabilities is None else [self.input, self.probabilities]
        self.dtype, self.twice = self.settings.dtypes(*operands)
        self.classes = array.shape[self.axis]
        self.rows = array.shape[: self.axis] + array.shape[self.axis + 1 :]
        self.weights: list[float] = _check_targets.class_weight(self.function, self.weight, self.classes)
        self.output_shape = self.rows if self.shape is None else self.shape
        self.target_shape = self.output_shape
        if self.label_sets is not None:
            self.target_shape = self.label_sets.shape
            self.label_sets = self.label_sets.reshape(array.shape)
        if self.labels is not None and self.labels.shape != self.rows:
            self.labels = self.labels.reshape(self.rows)
        _check.no_divisor(self.function, self.settings.return_divisor and self.reduction == "none")
        settings = self.settings
        self.sample_weight = None if settings.sample_weight is None else self._spread("sample_weight")
        self.mask = None if settings.mask is None else self._spread("mask")
        self.call = _core.RowCall(
            self.function, array, self.axis, self.labels, None if self.probabilities is None else self.probabilities[0],
            self.weights, self.ignore_index, self.label_smoothing, self.twice, self.settings.num_threads, self.label_sets, self.p,
            self.margin, self.sample_weight, self.mask,
        )  # fmt: skip

    def _spread(self, name: str) -> Array | None:
        """`sample_weight` or `mask`, one number for each row."""
        array = self.settings.spread(name, self.output_shape)
        return None if array is None else array.reshape(self.rows)

    @property
    def _inputs(self) -> list[Array]:
        """Every array that a pass reads."""
        given = (self.labels, self.label_sets, self.sample_weight, self.mask)
        operands = [self.input[0]] if self.probabilities is None else [self.input[0], self.probabilities[0]]
        return operands + [array for array in given if array is not None]

    def _raise_if_bad(self, total: _core.Accumulator) -> _core.Accumulator:
        labels = self.labels if self.label_sets is None else self.label_sets
        if total.bad is not None and labels is not None:
            index, _, bits = total.bad
            value = bits if labels.dtype.kind == "u" or bits < 2**63 else bits - 2**64
            lowest = 0 if self.label_sets is None else -1
            if self.label_sets is not None:  # the core counts along rows, wherever these lie
                *row, label = (int(i) for i in np.unravel_index(index, (*self.rows, self.classes)))
                index = _array.number_of((*row[: self.axis], label, *row[self.axis :]), labels.shape)
            _check_targets.bad_class(self.function, index, self.target_shape, value, self.classes, lowest)
        return total

    def value(self) -> Any:
        given = self.settings.out
        if self.reduction == "none":
            out, finished = _outputs.target(self.function, "out", given, self.output_shape, self.dtype, self._inputs, strided=True)
            self._raise_if_bad(self.call.map(out))
            return finished()
        reduced = self.settings.reduced(self.whole(), self.reduction, self.dtype)
        return _outputs.stored(self.function, given, reduced)

    def value_and_grad(self, argnums: object, grad_output: object) -> Any:
        names, several = self._wanted(argnums)
        factor, upstream = 1.0, None
        if self.reduction != "none":
            factor = _check.scalar_grad_output(self.function, grad_output)
        elif grad_output is not None:
            array, _ = _array.as_array(self.function, "grad_output", grad_output)
            upstream = _check_shapes.broadcasts_to(self.function, "grad_output", array, self.output_shape, "the output").reshape(
                self.rows
            )
        inputs = self._inputs if upstream is None else [*self._inputs, upstream]
        places = {
            name: self._place(name, given, inputs)
            for name, given in _outputs.several(self.function, self.settings.out, names, several).items()
        }
        written = {name: array for name, (array, _) in places.items()}
        out = _core.empty(self.output_shape, self.dtype) if self.reduction == "none" else None
        total = self._raise_if_bad(self._derive(factor * self.call.scale(self.reduction), upstream, out, written))
        value = self.settings.reduced(total, self.reduction, self.dtype) if out is None else _array.unboxed(out)
        ordered = tuple(finished() for _, finished in places.values())
        return value, ordered if several else ordered[0]

    def _derive(self, scale: float, upstream: Array | None, out: Array | None, written: dict[str, Array]) -> _core.Accumulator:
        """Writes gradients and, if it is wanted, the unreduced loss; what the losses come to."""
        if "weight" not in written:
            return self.call.gradients(scale, upstream, (written.get("input"), written.get("target"), None), out)
        rows, width = math.prod(self.rows), max(self.classes, 1)
        by_weight = [_broadcast.Derivative(written["weight"], (rows, self.classes), self.twice, self.settings.num_threads)]
        total = _core.Accumulator()
        block = _core.row_block(self.function, self.classes) * width
        for chosen, begin, end, in_order in _broadcast.slabs((rows, self.classes), by_weight, block, width):
            first, last = begin // width, end // width if end < rows * self.classes else rows
            places = (written.get("input"), written.get("target")) if in_order else (None, None)
            per_row = chosen[0].place(begin, end) if chosen else None
            value = None if out is None or not in_order else out.reshape(-1)[first:last]
            part = self.call.gradients(scale, upstream, (*places, per_row), value, None, total, first, last)
            total = part if in_order else total
        return total

    def _place(self, name: str, given: object, inputs: list[Array]) -> tuple[Array, Callable[[], Any]]:
        """Where a derivative for one argument goes, and what then makes of it what the caller gets."""
        if name == "input":
            shape, operand = self.input_shape, self.input
        elif name == "target" and self.probabilities is not None:
            shape, operand = self.probabilities[0].shape, self.probabilities
        else:
            assert self.weight is not None
            shape, operand = self.weight.shape, (self.weight, False)
        dtype = self.settings.gradient_dtype(*operand, self.dtype)
        return _outputs.target(self.function, "out", given, shape, dtype, inputs, strided=name != "weight")

    def grad_hess(self, argnums: object, out: object) -> Any:
        """First and diagonal second derivatives of the reduced value (of the sum, for 'none') for the input."""
        linear = "the loss is linear in it"
        reasons = {"target": "class indices have none" if self.probabilities is None else linear, "weight": linear}
        names, several = _check.argument_numbers(self.function, argnums, ["input"], reasons)
        first, second = (_outputs.several(self.function, given, names, several) for given in _outputs.pair(self.function, out))
        grad, grad_finished = self._place("input", first["input"], self._inputs)
        hess, hess_finished = self._place("input", second["input"], self._inputs)
        self._raise_if_bad(self.call.gradients(self.call.scale(self.reduction), None, (grad, None, None), None, hess))
        result = grad_finished(), hess_finished()
        return tuple((derivative,) for derivative in result) if several else result

    def _wanted(self, argnums: object) -> tuple[tuple[str, ...], bool]:
        names = ["input"]
        reasons: dict[str, str] = {}
        if self.probabilities is not None:
            names.append("target")
            if self.weight is not None:
                names.append("weight")
            else:
                reasons["weight"] = "it is None"
        else:
            reasons["target"] = "class indices have none"
            differentiated = "for class probabilities only" if self.function == "cross_entropy" else "not"
            reasons["weight"] = "it is None" if self.weight is None else f"torch differentiates it {differentiated}"
        return _check.argument_numbers(self.function, argnums, names, reasons)

    # ---- streams: units are rows ----

    @property
    def selects(self) -> bool:
        return self.settings.selects

    def whole(self) -> _core.Accumulator:
        return self._raise_if_bad(self.call.accumulate(_core.Accumulator()))

    def feed(self, stream: Stream) -> None:
        stream.feed(self)

    @property
    def stream_kind(self) -> RowKind:
        return RowKind(
            self.function, self.dtype, self.twice, self.settings.num_threads, self.classes,
            "labels" if self.labels is not None else "probabilities" if self.label_sets is None else "label_sets",
            tuple(self.weights), self.ignore_index, self.label_smoothing, self.p, self.margin,
        )  # fmt: skip

    @property
    def stream_units(self) -> int:
        return math.prod(self.rows)

    def stream_piece(self, begin: int, end: int) -> Piece:
        """Rows [begin, end) and their targets."""

        def rows_of(array: Array) -> Array:
            last = array if self.axis == array.ndim - 1 else np.moveaxis(array, self.axis, -1)
            return _array.piece(last, begin * self.classes, end * self.classes).reshape(end - begin, self.classes)

        rows = rows_of(self.input[0])
        if self.labels is not None:
            return rows, _array.piece(self.labels, begin, end)
        if self.label_sets is not None:
            return rows, rows_of(self.label_sets)
        assert self.probabilities is not None
        return rows, rows_of(self.probabilities[0])

    def stream_add(self, total: _core.Accumulator, begin: int, end: int) -> _core.Accumulator:
        return self._raise_if_bad(self.call.accumulate(total, begin, end))


class RowKind(Record):
    """What chunks of a stream have in common."""

    function: str
    dtype: np.dtype[Any]
    twice: bool
    threads: int
    classes: int
    targets: str
    weights: tuple[float, ...]
    ignore_index: int
    label_smoothing: float
    p: int
    margin: float

    @property
    def block(self) -> int:
        return _core.row_block(self.function, self.classes)

    def add_piece(self, total: _core.Accumulator, piece: Piece) -> _core.Accumulator:
        rows, targets = piece
        given = {self.targets: targets}
        call = _core.RowCall(
            self.function, rows, 1, given.get("labels"), given.get("probabilities"), list(self.weights), self.ignore_index,
            self.label_smoothing, self.twice, self.threads, given.get("label_sets"), self.p, self.margin,
        )  # fmt: skip
        return call.accumulate(total)

    def finish(self, total: _core.Accumulator) -> None:
        """Rows are loss elements already."""
