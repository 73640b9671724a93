"""Calls on rows of vectors: two or three arrays with an axis of features, handed to the core."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ndloss import _array, _broadcast, _check, _check_shapes, _core, _outputs
from ndloss._record import Record
from ndloss._selected import SLAB_ROWS, SelectedRows

if TYPE_CHECKING:
    from collections.abc import Callable

    from ndloss._accumulator import Piece, Stream
    from ndloss._options import Settings
    from ndloss._typing import Array

Operand = tuple["Array", bool]


class VectorLoss(Record):
    """What is made of the vectors: the core's names and numbers, without data."""

    kind: str  # 'distance', 'triplet', 'cosine_embedding'
    family: str = "p_norm"  # or 'cosine'
    margin: float = 0.0
    p: float = 2.0
    eps: float = 1e-6
    swap: bool = False

    def call(self, operands: tuple[Array, ...], label: Array | None, twice: bool, threads: int) -> _core.VectorCall:
        return _core.VectorCall(
            self.kind, self.family, self.margin, self.p, self.eps, self.swap, operands, label, twice, threads
        )  # fmt: skip


class VectorProblem(Record):
    """A checked call.

    `operands` are the differentiable vectors by name; they broadcast to `shape`, whose dimension `axis` holds the features.
    `label` broadcasts to the rows: `shape` without that dimension. Where rows count differently, their losses (one number a row)
    are reduced by an elementwise call, whose gradient is what each row's own gradient is multiplied by.
    """

    function: str
    loss: VectorLoss
    operands: dict[str, Operand]
    shape: tuple[int, ...]
    reduction: str
    settings: Settings
    label: Array | None = None
    axis: int = -1
    keepdims: bool = False

    def __post_init__(self) -> None:
        _check.no_divisor(self.function, self.settings.return_divisor and self.reduction == "none")
        self.dtype, self.twice = self.settings.dtypes(*self.operands.values())
        axis = self.axis % len(self.shape)
        self.rows = self.shape[:axis] + self.shape[axis + 1 :]
        self.features = self.shape[axis]
        self.output_shape = (*self.shape[:axis], 1, *self.shape[axis + 1 :]) if self.keepdims else self.rows
        self.arrays = tuple(self._features_last(array) for array, _ in self.operands.values())
        self.labels = None if self.label is None else np.broadcast_to(self.label, self.rows)
        self.call = self.loss.call(self.arrays, self.labels, self.twice, self.settings.num_threads)

    def _features_last(self, array: Array) -> Array:
        if array.shape != self.shape:
            array = np.broadcast_to(array, self.shape)
        return array if self.axis == -1 else np.moveaxis(array, self.axis, -1)

    @property
    def _inputs(self) -> tuple[Array, ...]:
        """Every array that a pass reads."""
        arrays = tuple(array for array, _ in self.operands.values())
        return arrays if self.label is None else (*arrays, self.label)

    @property
    def selects(self) -> bool:
        return self.settings.selects

    def _selected(self) -> SelectedRows:
        """The reduction of the rows' losses, by weights and under a mask."""
        settings = self.settings.changed(dtype=self.dtype)
        return SelectedRows(self.function, self.output_shape, self.reduction, settings, self.call.map)

    def value(self) -> Any:
        if self.selects:
            return self._selected().value(self.settings.out, self._inputs)
        if self.reduction == "none":
            inputs = self._inputs
            out, finished = _outputs.target(
                self.function, "out", self.settings.out, self.output_shape, self.dtype, inputs, strided=True
            )
            self.call.map(out)
            return finished()
        total = self.call.accumulate(_core.Accumulator())
        return _outputs.stored(self.function, self.settings.out, self.settings.reduced(total, self.reduction, self.dtype))

    def value_and_grad(self, argnums: object, grad_output: object) -> Any:
        names, several = self._wanted(argnums)
        given = _outputs.several(self.function, self.settings.out, names, several)
        reduction, factor, upstream, value = self.reduction, 1.0, None, None
        slopes: Callable[[int, int], Array] | None = None
        if self.selects:
            selected = self._selected()
            slopes, value = selected.slopes(grad_output), selected.value(None, ())
            reduction = "sum"  # of nothing more
        elif reduction != "none":
            factor = _check.scalar_grad_output(self.function, grad_output)
        elif grad_output is not None:
            array, _ = _array.as_array(self.function, "grad_output", grad_output)
            whole = _check_shapes.broadcasts_to(self.function, "grad_output", array, self.output_shape, "the output")
            upstream = whole.reshape(self.rows)
        finished: dict[str, Callable[[], Any]] = {}
        direct: dict[str, Array] = {}
        summed: dict[str, _broadcast.Derivative] = {}
        for name, (array, weak) in self.operands.items():
            if name not in names:
                continue
            dtype = self.settings.gradient_dtype(array, weak, self.dtype)
            # One gradient is written before the next is computed.
            apart = (*self._inputs, upstream, self.settings.sample_weight, self.settings.mask)
            grad, finished[name] = _outputs.target(self.function, "out", given[name], array.shape, dtype, apart=apart, strided=True)
            if array.size == math.prod(self.shape):
                direct[name] = self._features_last(grad.reshape(self.shape))
            else:
                aligned = grad.reshape((1,) * (len(self.shape) - grad.ndim) + grad.shape)
                own = aligned if self.axis == -1 else np.moveaxis(aligned, self.axis, -1)
                shape = (*self.rows, self.features)
                summed[name] = _broadcast.Derivative(own, shape, self.twice, self.settings.num_threads)
        out = _core.empty(self.output_shape, self.dtype) if reduction == "none" else None
        total = self._derive(factor * self.call.scale(reduction), slopes or upstream, out, direct, summed)
        if value is None:
            value = self.settings.reduced(total, reduction, self.dtype) if out is None else _array.unboxed(out)
        ordered = tuple(finished[name]() for name in names)
        return value, ordered if several else ordered[0]

    def _derive(
        self,
        scale: float,
        upstream: Array | Callable[[int, int], Array] | None,
        out: Array | None,
        direct: dict[str, Array],
        summed: dict[str, _broadcast.Derivative],
    ) -> _core.Accumulator:
        """Writes gradients and, if it is wanted, the unreduced loss; what the losses come to.

        `upstream` has a number for each row, or gives those of rows [begin, end).
        """
        mask = self.settings.spread("mask", self.output_shape)
        mask = None if mask is None else mask.reshape(self.rows)
        rows = math.prod(self.rows)
        if not summed and (not callable(upstream) or rows <= SLAB_ROWS):
            factors = upstream(0, rows).reshape(self.rows) if callable(upstream) else upstream
            return self.call.gradients(scale, factors, tuple([direct.get(name) for name in self.operands]), out, mask=mask)
        shape, width = (*self.rows, self.features), max(self.features, 1)
        block = _core.vector_block(self.features) * width
        total = _core.Accumulator()
        most = SLAB_ROWS * width if callable(upstream) else None
        for chosen, begin, end, in_order in _broadcast.slabs(shape, [*summed.values()], block, width, most):
            first, last = begin // width, end // width if end < math.prod(shape) else rows
            slabs = {name: one.place(begin, end) for name, one in summed.items() if one in chosen}
            places = {**direct, **slabs} if in_order else slabs
            factors = upstream(first, last) if callable(upstream) else upstream
            part = self.call.gradients(
                scale, factors, tuple([places.get(name) for name in self.operands]),
                None if out is None or not in_order else out.reshape(-1)[first:last],
                [name in slabs for name in self.operands], total, first, last, callable(upstream), mask,
            )  # fmt: skip
            total = part if in_order else total
        return total

    def grad_hess(self, argnums: object, out: object) -> Any:
        _check.no_hessian(self.function)

    def _wanted(self, argnums: object) -> tuple[tuple[str, ...], bool]:
        reasons = {} if self.label is None else {"target": "torch does not differentiate it either"}
        return _check.argument_numbers(self.function, argnums, list(self.operands), reasons)

    # ---- streams: units are rows ----

    def feed(self, stream: Stream) -> None:
        stream.feed(self)

    def whole(self) -> _core.Accumulator:
        """All of it, as sums over loss elements."""
        return self._selected().total()

    @property
    def stream_kind(self) -> VectorKind:
        return VectorKind(self.loss, self.dtype, self.settings.num_threads, self.features, self.label is not None)

    @property
    def stream_units(self) -> int:
        return math.prod(self.rows)

    def stream_piece(self, begin: int, end: int) -> Piece:
        """Rows [begin, end) of every vector, and their labels."""
        width = self.features
        flat = (_array.piece(array, begin * width, end * width).reshape(end - begin, width) for array in self.arrays)
        return (*flat,) if self.labels is None else (*flat, _array.piece(self.labels, begin, end))

    def stream_add(self, total: _core.Accumulator, begin: int, end: int) -> _core.Accumulator:
        return self.call.accumulate(total, begin, end)


class VectorKind(Record):
    """What chunks of a stream have in common."""

    loss: VectorLoss
    dtype: np.dtype[Any]
    threads: int
    features: int
    labelled: bool

    @property
    def block(self) -> int:
        return _core.vector_block(self.features)

    def add_piece(self, total: _core.Accumulator, piece: Piece) -> _core.Accumulator:
        vectors, label = (piece[:-1], piece[-1]) if self.labelled else (piece, None)
        return self.loss.call(vectors, label, _array.computes_in_double(self.dtype), self.threads).accumulate(total)

    def finish(self, total: _core.Accumulator) -> None:
        """Rows are loss elements already."""
