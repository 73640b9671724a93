"""Calls with a class axis: rows of classes and their targets, handed to the core."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ndloss import _array, _check, _core

if TYPE_CHECKING:
    from ndloss._accumulator import Piece, Stream
    from ndloss._typing import Array

Operand = tuple["Array", bool]


@dataclass
class RowProblem:
    """A checked call of cross entropy or negative log likelihood.

    Either `labels` (class indices, the shape of the rows) or `probabilities` (the shape of the input) is given.
    """

    function: str
    input: Operand
    axis: int
    reduction: str
    threads: int
    labels: Array | None = None
    probabilities: Operand | None = None
    weight: Array | None = None
    ignore_index: int = -100
    label_smoothing: float = 0.0

    weights: list[float] = field(init=False)

    def __post_init__(self) -> None:
        array, _ = self.input
        operands = [self.input] if self.probabilities is None else [self.input, self.probabilities]
        self.dtype = _array.result_dtype(*operands)
        self.twice = _array.computes_in_double(self.dtype)
        self.classes = array.shape[self.axis]
        self.rows = array.shape[: self.axis] + array.shape[self.axis + 1 :]
        self.weights = _check.class_weight(self.function, self.weight, self.classes)
        self.output_shape = self.rows
        if self.labels is not None:
            self.labels = self.labels.reshape(self.rows)
        self.call = self._call(array, self.axis, self.labels, None if self.probabilities is None else self.probabilities[0])

    def _call(self, input: Array, axis: int, labels: Array | None, probabilities: Array | None) -> _core.RowCall:
        return _core.RowCall(
            self.function, input, axis, labels, probabilities, self.weights, self.ignore_index, self.label_smoothing,
            self.twice, self.threads,
        )  # fmt: skip

    def _raise_if_bad(self, total: _core.Accumulator) -> _core.Accumulator:
        if total.bad is not None and self.labels is not None:
            index, _, bits = total.bad
            value = bits if self.labels.dtype.kind == "u" or bits < 2**63 else bits - 2**64
            _check.bad_class(self.function, index, self.output_shape, value, self.classes)
        return total

    def value(self) -> Any:
        if self.reduction == "none":
            out = np.empty(self.output_shape, self.dtype)
            self._raise_if_bad(self.call.map(out))
            return _array.unboxed(out)
        total = self._raise_if_bad(self.call.accumulate(_core.Accumulator()))
        return _array.scalar(total.compute(self.reduction), self.dtype)

    def value_and_grad(self, argnums: object, grad_output: object) -> Any:
        names, several = self._wanted(argnums)
        factor, upstream = 1.0, None
        if self.reduction != "none":
            factor = _check.scalar_grad_output(self.function, grad_output)
        elif grad_output is not None:
            array, _ = _array.as_array(self.function, "grad_output", grad_output)
            upstream = _check.broadcasts_to(self.function, "grad_output", array, self.output_shape, "the output").reshape(self.rows)
        grads: dict[str, Array] = {}
        if "input" in names:
            grads["input"] = np.empty(self.input[0].shape, _array.gradient_dtype(*self.input, self.dtype))
        if "target" in names and self.probabilities is not None:
            grads["target"] = np.empty(self.input[0].shape, _array.gradient_dtype(*self.probabilities, self.dtype))
        per_row = np.empty(self.input[0].shape, np.float64 if self.twice else np.float32) if "weight" in names else None
        out = np.empty(self.output_shape, self.dtype) if self.reduction == "none" else None
        buffers = (grads.get("input"), grads.get("target"), per_row)
        total = self._raise_if_bad(self.call.gradients(self.reduction, factor, upstream, buffers, out))
        if per_row is not None and self.weight is not None:
            grads["weight"] = np.empty(self.weight.shape, _array.gradient_dtype(self.weight, False, self.dtype))
            _core.sum_to_shape(np.moveaxis(per_row, self.axis, -1), grads["weight"])
        value = _array.scalar(total.compute(self.reduction), self.dtype) if out is None else _array.unboxed(out)
        ordered = tuple(grads[name] for name in names)
        return value, ordered if several else ordered[0]

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
            reasons["weight"] = "it is None" if self.weight is None else "torch differentiates it for class probabilities only"
        return _check.argument_numbers(self.function, argnums, names, reasons)

    # ---- streams: units are rows ----

    def feed(self, stream: Stream) -> None:
        stream.feed(self)

    @property
    def stream_kind(self) -> RowKind:
        return RowKind(
            self.function, self.dtype, self.threads, self.classes, self.labels is not None,
            tuple(self.weights), self.ignore_index, self.label_smoothing,
        )  # fmt: skip

    @property
    def stream_units(self) -> int:
        return int(np.prod(self.rows, dtype=np.int64))

    def stream_piece(self, begin: int, end: int) -> Piece:
        """Rows [begin, end) and their targets."""

        def rows_of(array: Array) -> Array:
            flat: Array = np.moveaxis(array, self.axis, -1).flat[begin * self.classes : end * self.classes]
            return flat.reshape(end - begin, self.classes)

        rows = rows_of(self.input[0])
        if self.labels is not None:
            return rows, self.labels.flat[begin:end]
        assert self.probabilities is not None
        return rows, rows_of(self.probabilities[0])

    def stream_add(self, total: _core.Accumulator, begin: int, end: int) -> _core.Accumulator:
        return self._raise_if_bad(self.call.accumulate(total, begin, end))


@dataclass(frozen=True)
class RowKind:
    """What chunks of a stream have in common."""

    function: str
    dtype: np.dtype[Any]
    threads: int
    classes: int
    labelled: bool
    weights: tuple[float, ...]
    ignore_index: int
    label_smoothing: float

    @property
    def block(self) -> int:
        return _core.row_block(self.function, self.classes)

    def add_piece(self, total: _core.Accumulator, piece: Piece) -> _core.Accumulator:
        rows, targets = piece
        labels, probabilities = (targets, None) if self.labelled else (None, targets)
        call = _core.RowCall(
            self.function, rows, 1, labels, probabilities, list(self.weights), self.ignore_index, self.label_smoothing,
            _array.computes_in_double(self.dtype), self.threads,
        )  # fmt: skip
        return call.accumulate(total)

    def finish(self, total: _core.Accumulator) -> None:
        """Rows are loss elements already."""
