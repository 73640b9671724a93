"""Calls on sequences of frames: log-probabilities and their transcripts, handed to the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ndloss import _array, _check, _check_shapes, _check_targets, _core, _outputs
from ndloss._record import Record
from ndloss._selected import reduction_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ndloss._accumulator import Piece, Stream
    from ndloss._elementwise import ElementwiseProblem
    from ndloss._options import Settings
    from ndloss._typing import Array

Operand = tuple["Array", bool]


class SequenceProblem(Record):
    """A checked call of CTC. The lengths are lists of its own.

    A masked sample has no frame and no label here; `places` says where the labels of each sample begin in the caller's targets, if
    those have one dimension. Where samples count differently, their losses (one number a sample) are reduced by an elementwise
    call, whose gradient is what each sample's own gradient is multiplied by.
    """

    function: str
    log_probs: Operand
    targets: Array
    input_lengths: list[int]
    target_lengths: list[int]
    blank: int
    zero_infinity: bool
    reduction: str
    settings: Settings
    places: Sequence[int] = ()

    def __post_init__(self) -> None:
        _check.no_divisor(self.function, self.settings.return_divisor and self.reduction == "none")
        array, _ = self.log_probs
        self.dtype, twice = self.settings.dtypes(self.log_probs)
        self.compute = _array.FLOAT64 if twice else _array.FLOAT32
        self.output_shape = array.shape[1:-1]
        self.by_length = self.reduction == "mean"
        x = array if array.ndim == 3 else array[:, None]
        self.call = _core.SequenceCall(
            x,
            self.targets,
            self.input_lengths,
            self.target_lengths,
            self.blank,
            self.zero_infinity,
            twice,
            self.settings.num_threads,
        )

    def _raise_if_bad(self, total: _core.Accumulator) -> _core.Accumulator:
        if total.bad is not None:
            index, _, bits = total.bad
            value = bits if self.targets.dtype.kind == "u" or bits < 2**63 else bits - 2**64
            sample, place = divmod(index, max(self.target_lengths))
            _check_targets.bad_label(
                self.function, self.targets.ndim, self.places, sample, place, value, self.log_probs[0].shape[-1]
            )
        return total

    @property
    def selects(self) -> bool:
        return self.settings.selects

    def _outer(self, settings: Settings) -> ElementwiseProblem:
        """The reduction of the samples' losses, by weights and under a mask."""
        losses = np.empty(len(self.input_lengths), self.compute)
        self._raise_if_bad(self.call.map(losses))
        weight = None
        if self.by_length:
            weight = np.array([1.0 / max(length, 1) for length in self.target_lengths]).reshape(self.output_shape)
        settings = settings.changed(dtype=self.dtype)
        return reduction_of(self.function, losses.reshape(self.output_shape), self.reduction, settings, weight)

    def value(self) -> Any:
        if self.selects:
            return self._outer(self.settings).value()
        if self.reduction == "none":
            out = np.empty(len(self.input_lengths), self.compute)
            self._raise_if_bad(self.call.map(out))
            return self._finished(out.reshape(self.output_shape), self.dtype, self.settings.out)
        total = self._raise_if_bad(self.call.accumulate(_core.Accumulator(), self.by_length))
        return _outputs.stored(self.function, self.settings.out, self.settings.reduced(total, self.reduction, self.dtype))

    def value_and_grad(self, argnums: object, grad_output: object) -> Any:
        names, several = _check.argument_numbers(self.function, argnums, ("log_probs",), REASONS)
        given = _outputs.several(self.function, self.settings.out, names, several)["log_probs"]
        factor, upstream, value = 1.0, [], None
        by_length, none = self.by_length, self.reduction == "none"
        if self.selects:
            slopes = np.empty(self.output_shape)  # not yet rounded
            value, _ = self._outer(self.settings.changed(out=slopes)).value_and_grad(0, grad_output)
            by_length, none, upstream = False, True, slopes.ravel().tolist()
        elif not none:
            factor = _check.scalar_grad_output(self.function, grad_output)
        elif grad_output is not None:
            array, _ = _array.as_array(self.function, "grad_output", grad_output)
            spread = _check_shapes.broadcasts_to(self.function, "grad_output", array, self.output_shape, "the output")
            upstream = _array.rounded(spread, _array.FLOAT64).ravel().tolist()
        if by_length:
            factor /= len(self.input_lengths)
        dtype = self.settings.gradient_dtype(*self.log_probs, self.dtype)
        x, _ = self.log_probs
        grad, finished = _outputs.target(self.function, "out", given, x.shape, dtype, apart=(x, self.targets), strided=True)
        out = np.empty(len(self.input_lengths), self.compute) if none else None
        batched = grad if grad.ndim == 3 else grad[:, None]
        total = self._raise_if_bad(self.call.gradients(by_length, factor, upstream, batched, out))
        if value is None and out is not None:
            value = self._finished(out.reshape(self.output_shape), self.dtype, None)
        elif value is None:
            value = self.settings.reduced(total, self.reduction, self.dtype)
        result = finished()
        return value, (result,) if several else result

    def grad_hess(self, argnums: object, out: object) -> Any:
        _check.no_hessian(self.function)

    def _finished(self, array: Array, dtype: np.dtype[Any], given: object) -> Any:
        """A result, rounded; in the array that the caller gives for it, if there is one."""
        if given is None:
            return _array.unboxed(_array.rounded(array, dtype))
        out, finished = _outputs.target(self.function, "out", given, array.shape, dtype)
        with np.errstate(all="ignore"):
            np.copyto(out, array, casting="unsafe")
        return finished()

    # ---- streams: units are samples, each a block of its own ----

    def feed(self, stream: Stream) -> None:
        self.by_length = stream.reduction == "mean"
        stream.feed(self)

    def whole(self) -> _core.Accumulator:
        """All of it, as sums over loss elements."""
        return self._outer(self.settings).whole()

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


class SequenceKind(Record):
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
