"""Calls with a class axis: rows of classes and their targets, handed to the core."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ndloss import _array, _check, _core

if TYPE_CHECKING:
    from ndloss._accumulator import Piece, Stream
    from ndloss._options import Settings
    from ndloss._typing import Array

Operand = tuple["Array", bool]


@dataclass
class RowProblem:
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

    weights: list[float] = field(init=False)

    def __post_init__(self) -> None:
        array, weak = self.input
        self.input_shape = array.shape
        if array.ndim == 0:
            array = array.reshape(1)
            self.input = (array, weak)
        operands = [self.input] if self.probabilities is None else [self.input, self.probabilities]
        self.dtype = _array.result_dtype(*operands)
        self.twice = _array.computes_in_double(self.dtype)
        self.classes = array.shape[self.axis]
        self.rows = array.shape[: self.axis] + array.shape[self.axis + 1 :]
        self.weights = _check.class_weight(self.function, self.weight, self.classes)
        self.output_shape = self.rows if self.shape is None else self.shape
        self.target_shape = self.output_shape
        if self.label_sets is not None:
            self.target_shape = self.label_sets.shape
            self.label_sets = self.label_sets.reshape(array.shape)
        if self.labels is not None:
            self.labels = self.labels.reshape(self.rows)
        self.call = self._call(array, self.axis, self.labels, None if self.probabilities is None else self.probabilities[0])

    def _call(self, input: Array, axis: int, labels: Array | None, probabilities: Array | None) -> _core.RowCall:
        return _core.RowCall(
            self.function, input, axis, labels, probabilities, self.weights, self.ignore_index, self.label_smoothing,
            self.twice, self.settings.threads, self.label_sets, self.p, self.margin,
        )  # fmt: skip

    def _raise_if_bad(self, total: _core.Accumulator) -> _core.Accumulator:
        labels = self.labels if self.label_sets is None else self.label_sets
        if total.bad is not None and labels is not None:
            index, _, bits = total.bad
            value = bits if labels.dtype.kind == "u" or bits < 2**63 else bits - 2**64
            lowest = 0 if self.label_sets is None else -1
            _check.bad_class(self.function, index, self.target_shape, value, self.classes, lowest)
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
            grads["input"] = np.empty(self.input_shape, _array.gradient_dtype(*self.input, self.dtype))
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
            self.function, self.dtype, self.settings.threads, self.classes,
            "labels" if self.labels is not None else "probabilities" if self.label_sets is None else "label_sets",
            tuple(self.weights), self.ignore_index, self.label_smoothing, self.p, self.margin,
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
        if self.label_sets is not None:
            return rows, rows_of(self.label_sets)
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
            self.label_smoothing, _array.computes_in_double(self.dtype), self.threads, given.get("label_sets"), self.p, self.margin,
        )  # fmt: skip
        return call.accumulate(total)

    def finish(self, total: _core.Accumulator) -> None:
        """Rows are loss elements already."""
