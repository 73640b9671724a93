"""Calls on sequences of frames: log-probabilities and their transcripts, handed to the core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ndloss import _array, _check, _core

if TYPE_CHECKING:
    from ndloss._accumulator import Piece, Stream
    from ndloss._options import Settings
    from ndloss._typing import Array

Operand = tuple["Array", bool]


@dataclass
class SequenceProblem:
    """A checked call of CTC. The lengths are lists of its own."""

    function: str
    log_probs: Operand
    targets: Array
    input_lengths: list[int]
    target_lengths: list[int]
    blank: int
    zero_infinity: bool
    reduction: str
    settings: Settings

    def __post_init__(self) -> None:
        array, _ = self.log_probs
        self.dtype = _array.result_dtype(self.log_probs)
        self.compute = _array.FLOAT64 if _array.computes_in_double(self.dtype) else _array.FLOAT32
        self.output_shape = array.shape[1:-1]
        self.by_length = self.reduction == "mean"
        x = array if array.ndim == 3 else array[:, None]
        self.call = _core.SequenceCall(
            _in_place(x, self.compute),
            self.targets,
            self.input_lengths,
            self.target_lengths,
            self.blank,
            self.zero_infinity,
            self.settings.threads,
        )

    def _raise_if_bad(self, total: _core.Accumulator) -> _core.Accumulator:
        if total.bad is not None:
            index, _, bits = total.bad
            value = bits if self.targets.dtype.kind == "u" or bits < 2**63 else bits - 2**64
            sample, place = divmod(index, max(self.target_lengths))
            _check.bad_label(self.function, self.targets, self.target_lengths, sample, place, value, self.log_probs[0].shape[-1])
        return total

    def value(self) -> Any:
        if self.reduction == "none":
            out = np.empty(len(self.input_lengths), self.compute)
            self._raise_if_bad(self.call.map(out))
            return self._given_out(out.reshape(self.output_shape))
        total = self._raise_if_bad(self.call.accumulate(_core.Accumulator(), self.by_length))
        return _array.scalar(total.compute(self.reduction), self.dtype)

    def value_and_grad(self, argnums: object, grad_output: object) -> Any:
        _, several = _check.argument_numbers(self.function, argnums, ("log_probs",), REASONS)
        factor, upstream = 1.0, []
        if self.reduction != "none":
            factor = _check.scalar_grad_output(self.function, grad_output)
        elif grad_output is not None:
            array, _ = _array.as_array(self.function, "grad_output", grad_output)
            spread = _check.broadcasts_to(self.function, "grad_output", array, self.output_shape, "the output")
            upstream = _array.rounded(spread, _array.FLOAT64).ravel().tolist()
        if self.by_length:
            factor /= len(self.input_lengths)
        grad = np.empty(self.log_probs[0].shape, self.compute)
        out = np.empty(len(self.input_lengths), self.compute) if self.reduction == "none" else None
        total = self._raise_if_bad(self.call.gradients(self.by_length, factor, upstream, grad, out))
        value = (
            _array.scalar(total.compute(self.reduction), self.dtype)
            if out is None
            else self._given_out(out.reshape(self.output_shape))
        )
        grad = _array.rounded(grad, _array.gradient_dtype(*self.log_probs, self.dtype))
        return value, (grad,) if several else grad

    def _given_out(self, out: Array) -> Any:
        return _array.unboxed(_array.rounded(out, self.dtype))

    # ---- streams: units are samples, each a block of its own ----

    def feed(self, stream: Stream) -> None:
        self.by_length = stream.reduction == "mean"
        stream.feed(self)

    @property
    def stream_kind(self) -> SequenceKind:
        return SequenceKind(self.dtype)

    @property
    def stream_units(self) -> int:
        return len(self.input_lengths)

    def stream_piece(self, begin: int, end: int) -> Piece:
        raise AssertionError("every sample is a whole block")

    def stream_add(self, total: _core.Accumulator, begin: int, end: int) -> _core.Accumulator:
        return self._raise_if_bad(self.call.accumulate(total, self.by_length))


@dataclass(frozen=True)
class SequenceKind:
    """What chunks of a stream have in common."""

    dtype: np.dtype[Any]
    block: int = 1

    def add_piece(self, total: _core.Accumulator, piece: Piece) -> _core.Accumulator:
        raise AssertionError("every sample is a whole block")

    def finish(self, total: _core.Accumulator) -> None:
        """Samples are loss elements already."""


REASONS = {
    "targets": "class indices have none",
    "input_lengths": "lengths have none",
    "target_lengths": "lengths have none",
}


def _in_place(x: Array, dtype: np.dtype[Any]) -> Array:
    """The array itself where the core reads it in place, else a copy: classes side by side, native and aligned."""
    plain = x.dtype == dtype and x.dtype.isnative and x.flags.aligned
    if plain and (x.strides[2] == dtype.itemsize or x.shape[2] == 1):
        return x
    return _array.rounded(x, dtype, order="C")
