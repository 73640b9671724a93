"""Sparse multi-label targets: made dense a few rows at a time, in one buffer of a fixed size.

The rows go through the dense call, so that every option and check is the same. Sums join in the blocks that one call over all rows
would use: values and unreduced losses have its bits. Gradients of a mean may differ from its in the last rounding of the factor
before them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ndloss import _array, _check, _check_shapes, _core, _outputs, _request
from ndloss._accumulator import Stream
from ndloss._options import LOSS_OPTIONS, loss_options
from ndloss._record import Record
from ndloss._request import Feed, ValueAndGrad

if TYPE_CHECKING:
    from ndloss import _core
    from ndloss._elementwise import ElementwiseProblem
    from ndloss._options import Settings
    from ndloss._request import Problem, Request
    from ndloss._typing import Array

# Of dense targets at a time: with the rows of the input beside them they stay in a cache of the second level.
CHUNK_BYTES = 1 << 20

# What concerns the whole result, which the rows know nothing of.
OF_THE_WHOLE = ("out", "return_divisor", "empty", "_request")


def by_rows(
    dense: Callable[..., Any],
    input: object,
    target: Any,
    arrays: Mapping[str, object],
    reduction: str,
    options: Mapping[str, Any],
    *,
    row_mean: bool = False,
) -> Any:
    """What `dense(input, target, reduction=reduction, **arrays, **options)` comes to for a sparse target.

    `arrays` are options that broadcast to the input. With `row_mean` the loss is one for each row.
    """
    function = dense.__name__
    settings, request = loss_options(function, {name: value for name, value in options.items() if name in LOSS_OPTIONS})
    x, weak = _array.as_array(function, "input", input)
    y, _ = _array.as_array(function, "target", np.empty(0, target.dtype))
    _check_shapes.same_shape(function, x, target)
    if x.ndim not in (1, 2):
        raise ValueError(f"{function}: input must have 1 or 2 dimensions beside a sparse target, got shape {x.shape}")
    dtype = settings.result_dtype((x, weak), (y, False))
    output_shape = x.shape[:-1] if row_mean else x.shape
    aligned: dict[str, Array] = {}
    for name, value in arrays.items():
        array = _array.optional(function, name, value)
        if array is not None:
            aligned[name] = np.atleast_2d(_check_shapes.broadcasts_to(function, name, array, x.shape, "input"))
    for name in ("sample_weight", "mask"):
        chosen = settings.spread(name, output_shape)
        if chosen is not None:
            aligned[name] = chosen if x.ndim == 2 else chosen[None]
    rest = {name: value for name, value in options.items() if name not in (*OF_THE_WHOLE, *aligned)}
    problem = SparseProblem(
        dense=dense,
        function=function,
        input=x,
        weak=weak,
        rows=np.atleast_2d(x.astype(dtype) if weak else x),
        target=target.reshape((1, -1)).tocsr() if x.ndim == 1 else target.tocsr(),
        aligned=aligned,
        rest=rest,
        reduction=reduction,
        settings=settings,
        dtype=dtype,
        output_shape=output_shape,
    )
    return request(problem)


class SparseProblem(Record):
    """A checked call. `rows`, `target` and everything in `aligned` have the same rows."""

    dense: Callable[..., Any]
    function: str
    input: Array
    weak: bool
    rows: Array
    target: Any
    aligned: Mapping[str, Array]
    rest: Mapping[str, Any]
    reduction: str
    settings: Settings
    dtype: np.dtype[Any]
    output_shape: tuple[int, ...]

    def value(self) -> Any:
        if self.reduction != "none":
            return _outputs.stored(self.function, self.settings.out, self._reduced(self._streamed()))
        out, finished = self._result(self.settings.out, self.output_shape, self.dtype)
        for rows, losses in self._chunks("none", lambda _: _request.value):
            self._by_row(out)[rows] = losses
        return finished()

    def value_and_grad(self, argnums: object, grad_output: object) -> Any:
        names, several = self._wanted(argnums)
        given = _outputs.several(self.function, self.settings.out, names, several)["input"]
        upstream = self._upstream(grad_output) if self.reduction == "none" else None
        grad, finished = self._result(given, self.input.shape, self.gradient_dtype, upstream)
        by_row = self._by_row(grad)
        if self.reduction == "none":
            value = _core.empty(self.output_shape, self.dtype)
            for rows, both in self._chunks(
                "none", lambda rows: ValueAndGrad("input", None if upstream is None else upstream[rows])
            ):
                self._by_row(value)[rows], by_row[rows] = both
            value = _array.unboxed(value)
        else:
            factor = _check.scalar_grad_output(self.function, grad_output)
            factor *= self._reciprocal()
            stream = Stream(self.reduction)
            for rows, part in self._chunks("sum", lambda _: FeedAndGrad(stream, factor)):
                by_row[rows] = part
            value = self._reduced(stream.finished())
        grad = finished()
        return value, (grad,) if several else grad

    def grad_hess(self, argnums: object, out: object) -> Any:
        names, several = self._wanted(argnums)
        pair = _outputs.pair(self.function, out)
        given = [_outputs.several(self.function, one, names, several)["input"] for one in pair]
        (grad, grad_finished), (hess, hess_finished) = (self._result(one, self.input.shape, self.gradient_dtype) for one in given)
        wanted = FactoredGradHess(self._reciprocal())
        for rows, both in self._chunks("sum", lambda _: wanted):
            self._by_row(grad)[rows], self._by_row(hess)[rows] = both
        result = grad_finished(), hess_finished()
        return tuple((one,) for one in result) if several else result

    @property
    def gradient_dtype(self) -> np.dtype[Any]:
        return self.settings.gradient_dtype(self.input, self.weak, self.dtype)

    def _wanted(self, argnums: object) -> tuple[tuple[str, ...], bool]:
        reasons = dict.fromkeys(("target", *self.aligned), "the target is sparse; pass target.toarray()")
        return _check.argument_numbers(self.function, argnums, ["input"], reasons)

    def _reciprocal(self) -> float:
        """What a mean multiplies the sum of all rows by; rows know their own sum alone."""
        if self.reduction != "mean":
            return 1.0
        divisor = self._streamed().divisor if self._selects else float(prod(self.output_shape))
        return 1.0 / divisor if divisor else np.nan

    def feed(self, stream: Stream) -> None:
        """Adds all rows to a stream, or, where one of them cannot be added, none."""
        fed = stream.copied()
        for _ in self._chunks("sum", lambda _: Feed(fed)):
            pass
        vars(stream).update(vars(fed))

    def _chunks(self, reduction: str, request: Callable[[slice], Request]) -> Iterator[tuple[slice, Any]]:
        """Rows, and what the dense call answers to them."""
        count, classes = self.rows.shape
        height = max(CHUNK_BYTES // max(classes * self.target.dtype.itemsize, 1), 1)
        buffer = np.empty((min(height, count), classes), self.target.dtype)
        for begin in range(0, count, height):
            rows = slice(begin, min(begin + height, count))
            target = self.target[rows].toarray(out=buffer[: rows.stop - begin])
            aligned = {name: array[rows] for name, array in self.aligned.items()}
            asked = request(rows)
            yield rows, self.dense(self.rows[rows], target, reduction=reduction, **aligned, **self.rest, _request=asked)

    @property
    def _selects(self) -> bool:
        """Whether the divisor of a mean depends on the data."""
        return self.settings.selects or self.rest.get("ignore_index") is not None

    def _streamed(self) -> _core.Accumulator:
        stream = Stream(self.reduction)
        self.feed(stream)
        return stream.finished()

    def _reduced(self, total: _core.Accumulator) -> Any:
        return self.settings.reduced(total, self.reduction, self.dtype)

    def _by_row(self, array: Array) -> Array:
        return array[None] if self.input.ndim == 1 else array

    def _upstream(self, grad_output: object) -> Array | None:
        if grad_output is None:
            return None
        array, _ = _array.as_array(self.function, "grad_output", grad_output)
        return self._by_row(_check_shapes.broadcasts_to(self.function, "grad_output", array, self.output_shape, "the output"))

    def _result(
        self, given: object, shape: tuple[int, ...], dtype: np.dtype[Any], upstream: Array | None = None
    ) -> tuple[Array, Callable[[], Any]]:
        over = (self.input, *self.aligned.values())
        apart = (self.target.data, self.target.indices, self.target.indptr, upstream)
        return _outputs.target(self.function, "out", given, shape, dtype, over, apart, strided=True)


class FeedAndGrad:
    """Rows join a stream, and their gradient is wanted: two passes over what is in cache by then."""

    def __init__(self, stream: Stream, factor: float) -> None:
        self.feed = Feed(stream)
        self.gradient = ValueAndGrad("input", factor)

    def __call__(self, problem: Problem) -> Any:
        self.feed(problem)
        return self.gradient(problem)[1]


class FactoredGradHess:
    """Both derivatives of the sum of some rows, times a factor."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, problem: Problem) -> Any:
        rows = cast("ElementwiseProblem", problem)
        dtype = rows.settings.gradient_dtype(*rows.operands["input"], rows.dtype)
        grad, hess = _core.empty(rows.shape, dtype), _core.empty(rows.shape, dtype)
        rows.call.gradients(self.factor * rows.call.scale("sum"), None, (grad, None), None, (hess, None))
        return grad, hess
