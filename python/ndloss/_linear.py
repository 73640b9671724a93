"""Cross entropy of logits that a linear layer makes, a chunk of samples at a time: the logits never exist as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from ndloss import _array, _check, _check_shapes, _check_targets, _core, _outputs
from ndloss._record import Record
from ndloss.linear import CHUNK_BYTES, FUNCTION

if TYPE_CHECKING:
    from ndloss._accumulator import Piece, Stream
    from ndloss._options import Settings
    from ndloss._typing import Array

Operand = tuple["Array", bool]

ARGUMENTS = ("input", "linear_weight", "target", "linear_bias", "weight")

# One part in so many of a chunk's memory is what products of the weight's gradient pass through: small enough for a cache, large
# enough that the threads of the BLAS seldom wait for each other.
PRODUCT_SHARE = 8


class LinearProblem(Record):
    """A checked call. Either `labels` or `probabilities` is given."""

    input: Operand  # (in,) or (N, in)
    linear_weight: Operand  # (C, d1, ..., dK, in)
    linear_bias: Operand | None
    reduction: str
    settings: Settings
    labels: Array | None = None
    probabilities: Operand | None = None
    weight: Array | None = None
    ignore_index: int = -100
    label_smoothing: float = 0.0
    chunk_rows: int | None = None
    chunk_bytes: int = CHUNK_BYTES

    def __post_init__(self) -> None:
        operands = [o for o in (self.input, self.linear_weight, self.linear_bias, self.probabilities) if o is not None]
        self.dtype, self.twice = self.settings.dtypes(*operands)
        self.compute = _array.FLOAT64 if self.twice else _array.FLOAT32
        x, matrix = self.input[0], self.linear_weight[0]
        self.features = matrix.shape[-1]
        self.classes, self.inner = matrix.shape[0], matrix.shape[1:-1]
        self.columns: int = self.classes * prod(self.inner)
        self.samples: int = 1 if x.ndim == 1 else x.shape[0]
        self.logits_shape = (self.samples, self.classes, *self.inner)
        self.output_shape = (() if x.ndim == 1 else (self.samples,)) + self.inner
        self.weights: list[float] = _check_targets.class_weight(FUNCTION, self.weight, self.classes)
        self.rows = x.reshape(self.samples, self.features)
        self.matrix = self._computed(matrix.reshape(self.columns, self.features))
        self.bias = None if self.linear_bias is None else self._computed(self.linear_bias[0].reshape(self.columns))
        if self.labels is not None:
            self.labels = self.labels.reshape((self.samples, *self.inner))
        _check.no_divisor(FUNCTION, self.settings.return_divisor and self.reduction == "none")
        self.sample_weight, self.mask = self._spread("sample_weight"), self._spread("mask")

    def _spread(self, name: str) -> Array | None:
        """`sample_weight` or `mask`, one number for each row of logits."""
        array = self.settings.spread(name, self.output_shape)
        return None if array is None else array.reshape((self.samples, *self.inner))

    @property
    def inputs(self) -> tuple[Array | None, ...]:
        """Every array that a pass reads: every chunk needs whole matrices, so no result may take the place of one."""
        operands = (o and o[0] for o in (self.input, self.linear_weight, self.linear_bias, self.probabilities))
        return (*operands, self.labels, self.sample_weight, self.mask)

    def _computed(self, array: Array) -> Array:
        """The array in the compute type, itself where it is in it."""
        return array if array.dtype == self.compute and array.dtype.isnative else array.astype(self.compute)

    # ---- chunks ----

    @property
    def height(self) -> int:
        """Samples of a chunk: the same for a value and for gradients, so that the value has the same bits."""
        if self.chunk_rows is not None:
            return max(min(self.chunk_rows, self.samples), 1)
        room = self.chunk_bytes - self.chunk_bytes // PRODUCT_SHARE
        # Gradients for probabilities and class weights need the logits beside them.
        arrays = 1 if self.labels is not None else 3
        most = max(room // max(arrays * self.columns * self.compute.itemsize, 1), 1)
        block = _core.row_block("cross_entropy", self.classes)
        if most < block:
            return min(most, max(self.samples, 1))
        most = most // block * block
        even = ceil(self.samples / max(ceil(self.samples / most), 1))
        return max(min(ceil(even / block) * block, most, self.samples), 1)

    def _chunks(self, begin: int, end: int) -> Iterator[tuple[int, int, Array, Array]]:
        """Begin, end, inputs and logits of every chunk; the logits stand in one buffer, each time anew."""
        height = min(self.height, max(end - begin, 1))
        buffer = _core.empty((height, self.columns), self.compute)
        for start in range(begin, end, height):
            stop = min(start + height, end)
            x = self._computed(self.rows[start:stop])
            logits = buffer[: stop - start]
            with np.errstate(all="ignore"):
                np.matmul(x, self.matrix.T, out=logits)
                if self.bias is not None:
                    np.add(logits, self.bias, out=logits)
            yield start, stop, x, logits.reshape(stop - start, *self.logits_shape[1:])

    def _row_call(self, logits: Array, start: int, stop: int) -> _core.RowCall:
        labels, sample_weight, mask = (
            None if array is None else array[start:stop] for array in (self.labels, self.sample_weight, self.mask)
        )
        probabilities = None
        if self.probabilities is not None:
            probabilities = self.probabilities[0].reshape(self.logits_shape)[start:stop]
        return _core.RowCall(
            "cross_entropy", logits, 1, labels, probabilities, self.weights, self.ignore_index, self.label_smoothing,
            self.twice, self.settings.num_threads, sample_weight=sample_weight, mask=mask,
        )  # fmt: skip

    def _raise_if_bad(self, total: _core.Accumulator, start: int) -> _core.Accumulator:
        if total.bad is not None and self.labels is not None:
            index, _, bits = total.bad
            value = bits if self.labels.dtype.kind == "u" or bits < 2**63 else bits - 2**64
            _check_targets.bad_class(FUNCTION, index + start * prod(self.inner), self.output_shape, value, self.classes)
        return total

    def _accumulated(self, begin: int, end: int) -> _core.Accumulator:
        total = _core.Accumulator()
        for start, stop, _, logits in self._chunks(begin, end):
            total.merge(self._raise_if_bad(self._row_call(logits, start, stop).accumulate(_core.Accumulator()), start))
        return total

    # ---- requests ----

    def value(self) -> Any:
        given = self.settings.out
        if self.reduction != "none":
            reduced = self.settings.reduced(self._accumulated(0, self.samples), self.reduction, self.dtype)
            return _outputs.stored(FUNCTION, given, reduced)
        strided = self.output_shape == (self.samples, *self.inner)
        out, finished = _outputs.target(FUNCTION, "out", given, self.output_shape, self.dtype, apart=self.inputs, strided=strided)
        rows = out.reshape(self.samples, *self.inner)
        for start, stop, _, logits in self._chunks(0, self.samples):
            self._raise_if_bad(self._row_call(logits, start, stop).map(rows[start:stop]), start)
        return finished()

    def value_and_grad(self, argnums: object, grad_output: object) -> Any:
        names, several = self._wanted(argnums)
        factor, upstream = 1.0, None
        if self.reduction != "none":
            factor = _check.scalar_grad_output(FUNCTION, grad_output) * self._scale()
        elif grad_output is not None:
            given, _ = _array.as_array(FUNCTION, "grad_output", grad_output)
            upstream = _check_shapes.broadcasts_to(FUNCTION, "grad_output", given, self.output_shape, "the output")
            upstream = upstream.reshape(self.samples, *self.inner)
        out = _core.empty((self.samples, *self.inner), self.dtype) if self.reduction == "none" else None
        sums = _Gradients(self, _outputs.several(FUNCTION, self.settings.out, names, several), upstream)
        total = _core.Accumulator()
        for start, stop, x, logits in self._chunks(0, self.samples):
            call = self._row_call(logits, start, stop)
            value = None if out is None else out[start:stop]
            g = None if upstream is None else upstream[start:stop]
            slopes, target, class_weight = sums.buffers(logits, start, stop)
            part = call.gradients(factor, g, (slopes, target, class_weight), value)
            total.merge(self._raise_if_bad(part, start))
            sums.add(slopes, x, start, stop)
        grads = sums.finished()
        ordered = tuple(grads[name] for name in names)
        result = (
            self.settings.reduced(total, self.reduction, self.dtype)
            if out is None
            else _array.unboxed(out.reshape(self.output_shape))
        )
        return result, ordered if several else ordered[0]

    def grad_hess(self, argnums: object, out: object) -> Any:
        _check.no_hessian(FUNCTION)

    def _scale(self) -> float:
        """What the reduction multiplies gradients by: from labels, weights and mask alone, before there are logits."""
        nothing = np.broadcast_to(np.zeros((), self.compute), self.logits_shape)
        return self._row_call(nothing, 0, self.samples).scale(self.reduction)

    def _wanted(self, argnums: object) -> tuple[tuple[str, ...], bool]:
        names = ["input", "linear_weight"]
        reasons: dict[str, str] = {}
        if self.labels is not None:
            reasons["target"] = "class indices have none"
            reasons["weight"] = "it is None" if self.weight is None else "torch differentiates it for class probabilities only"
        else:
            names.append("target")
            if self.weight is not None:
                names.append("weight")
            else:
                reasons["weight"] = "it is None"
        if self.linear_bias is not None:
            names.append("linear_bias")
        else:
            reasons["linear_bias"] = "it is None"
        return _check.argument_numbers(FUNCTION, named(argnums, ARGUMENTS), names, reasons)

    def kept(self, start: int, stop: int) -> Array | None:
        """Which samples of a chunk count, in one of their rows at least; None if all do."""
        if self.labels is None and self.mask is None:
            return None
        counts: Any = np.ones((stop - start, *self.inner), np.bool_)
        if self.labels is not None:
            counts = np.logical_and(counts, self.labels[start:stop] != self.ignore_index)
        if self.mask is not None:
            counts = np.logical_and(counts, self.mask[start:stop])
        kept: Array = counts.reshape(stop - start, -1).any(axis=1)
        return None if kept.all() else kept

    # ---- streams: units are samples ----

    @property
    def selects(self) -> bool:
        return self.settings.selects

    def whole(self) -> _core.Accumulator:
        return self.stream_add(_core.Accumulator(), 0, self.stream_units)

    def feed(self, stream: Stream) -> None:
        stream.feed(self)

    @property
    def stream_kind(self) -> LinearKind:
        return LinearKind(self.dtype)

    @property
    def stream_units(self) -> int:
        return self.samples

    def stream_piece(self, begin: int, end: int) -> Piece:
        raise AssertionError("a unit is a block: nothing is left over")

    def stream_add(self, total: _core.Accumulator, begin: int, end: int) -> _core.Accumulator:
        total.merge(self._accumulated(begin, end))
        return total


def named(argnums: object, arguments: tuple[str, ...]) -> object:
    """Numbers of arguments as their names; what is no such number stays what it is."""

    def one(item: Any) -> Any:
        return arguments[item] if isinstance(item, int) and not isinstance(item, bool) and 0 <= item < len(arguments) else item

    return tuple(map(one, argnums)) if isinstance(argnums, tuple) else one(argnums)


class _Gradients:
    """Gradients that grow chunk by chunk, in the order of the chunks."""

    def __init__(self, problem: LinearProblem, given: dict[str, object], upstream: Array | None) -> None:
        self.problem = problem
        self.names = tuple(given)
        p = problem
        self.beside: Array | None = None
        self.per_row: Array | None = None
        self.outs: dict[str, tuple[Array, Callable[[], Any]]] = {}
        self.sums: dict[str, Array] = {}
        operands = {
            "input": p.input,
            "linear_weight": p.linear_weight,
            "linear_bias": p.linear_bias,
            "target": p.probabilities,
            "weight": None if p.weight is None else (p.weight, False),
        }
        for name, out in given.items():
            operand = operands[name]
            assert operand is not None
            dtype = p.settings.gradient_dtype(*operand, p.dtype)
            shape = operand[0].shape
            strided = shape == {"input": (p.samples, p.features), "target": p.logits_shape}.get(name)
            apart = (*p.inputs, upstream)
            self.outs[name] = _outputs.target(FUNCTION, "out", out, shape, dtype, apart=apart, strided=strided)
        if "target" in given or "weight" in given:
            self.beside = _core.empty((p.height, *p.logits_shape[1:]), p.compute)
        if "weight" in given:
            self.per_row = _core.empty((p.height, *p.logits_shape[1:]), p.compute)
            self.sums["weight"] = np.zeros(p.classes)
        if "target" in given:
            self.sums["target"] = self.outs["target"][0].reshape(p.logits_shape)
        if "input" in given:
            self.sums["input"] = self.outs["input"][0].reshape(p.samples, p.features)
        if "linear_weight" in given:
            out = self.outs["linear_weight"][0].reshape(p.columns, p.features)
            self.sums["linear_weight"] = out if out.dtype == p.compute else _core.empty((p.columns, p.features), p.compute)
            if p.samples == 0:
                self.sums["linear_weight"][...] = 0
            width = p.chunk_bytes // PRODUCT_SHARE // max(p.features * p.compute.itemsize, 1)
            self.width = max(min(width, p.columns), 1)
            self.product: Array | None = None
        if "linear_bias" in given:
            self.sums["linear_bias"] = np.zeros(p.columns, p.compute)

    def buffers(self, logits: Array, start: int, stop: int) -> tuple[Array, Array | None, Array | None]:
        """Where the slopes go (the place of the logits, where nothing else needs them), and the other two."""
        count = stop - start
        slopes = logits if self.beside is None else self.beside[:count]
        target = self.sums["target"][start:stop] if "target" in self.names else None
        return slopes, target, None if self.per_row is None else self.per_row[:count]

    def add(self, slopes: Array, x: Array, start: int, stop: int) -> None:
        p = self.problem
        count = stop - start
        flat = slopes.reshape(count, p.columns)
        with np.errstate(all="ignore"):
            # 0 times NaN is NaN: an ignored sample is kept out of the products, whatever it holds.
            kept = p.kept(start, stop)
            if "input" in self.names:
                self._add_input(flat, kept, start, stop)
            if "linear_weight" in self.names:
                self._add_weight(flat, x if kept is None else np.where(kept[:, None], x, x.dtype.type(0)), start)
            if "linear_bias" in self.names:
                self.sums["linear_bias"] += np.matmul(np.ones(count, p.compute), flat)
            if self.per_row is not None:
                part = np.empty(p.classes)
                per_row = self.per_row[:count].reshape(count * prod(p.inner), p.classes)  # row by row
                _core.BroadcastSum(per_row.shape, part).add(per_row)
                self.sums["weight"] += part

    def _add_input(self, slopes: Array, kept: Array | None, start: int, stop: int) -> None:
        to = self.sums["input"][start:stop]
        if to.dtype == slopes.dtype and to.flags.carray:
            np.matmul(slopes, self.problem.matrix, out=to)
        else:
            to[...] = np.matmul(slopes, self.problem.matrix)
        if kept is not None:
            to[~kept] = 0

    def _add_weight(self, slopes: Array, x: Array, start: int) -> None:
        total = self.sums["linear_weight"]
        if start == 0:
            np.matmul(slopes.T, x, out=total)
            return
        if self.product is None:
            self.product = _core.empty((self.width, self.problem.features), total.dtype)
        for first in range(0, len(total), self.width):
            rows = total[first : first + self.width]
            product = self.product[: len(rows)]
            np.matmul(slopes[:, first : first + self.width].T, x, out=product)
            np.add(rows, product, out=rows)

    def finished(self) -> dict[str, Any]:
        with np.errstate(all="ignore"):
            for name, (out, _) in self.outs.items():
                if not np.may_share_memory(out, self.sums[name]):
                    out[...] = self.sums[name].reshape(out.shape)
        return {name: finished() for name, (_, finished) in self.outs.items()}


class LinearKind(Record):
    """What chunks of a stream have in common: every sample is a block of its own."""

    dtype: np.dtype[Any]

    @property
    def block(self) -> int:
        return 1

    def add_piece(self, total: _core.Accumulator, piece: Piece) -> _core.Accumulator:
        raise AssertionError("a unit is a block: nothing is left over")

    def finish(self, total: _core.Accumulator) -> None:
        """Rows are loss elements already."""
