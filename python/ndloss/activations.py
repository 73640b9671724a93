"""The activations that go with the losses: sigmoid and softmax, and their logarithms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ndloss import _array, _check, _check_shapes, _core
from ndloss._doc import documented
from ndloss._loss import Differentiable, differentiable
from ndloss._options import activation_options
from ndloss._record import Record

if TYPE_CHECKING:
    import numpy.typing as npt
    from typing_extensions import Unpack

    from ndloss._accumulator import Stream
    from ndloss._typing import ActivationOptions, Array, ArrayLike, FloatArray

__all__ = ["LogSigmoid", "LogSoftmax", "Sigmoid", "Softmax", "log_softmax", "logsigmoid", "sigmoid", "softmax"]


class ActivationProblem(Record):
    """A checked call of an activation: elementwise, or along `axis` where there is one."""

    function: str
    input: Array
    dtype: np.dtype[Any]
    grad_dtype: np.dtype[Any]
    threads: int
    axis: int | None = None

    def _run(self, upstream: Array | None) -> tuple[Array, Array | None]:
        out = _core.empty(self.input.shape, self.dtype)
        twice = _array.computes_in_double(self.dtype)
        if self.axis is None:
            call = _core.ElementwiseCall(self.function, [], (self.input,), None, twice, self.threads, -1)
            if upstream is None:
                call.map(out)
                return out, None
            grad = _core.empty(self.input.shape, self.grad_dtype)
            call.gradients(1.0, upstream, (grad,), out)
            return out, grad
        shape = self.input.shape or (1,)
        flat = self.input.reshape(shape)
        _core.activate(self.function, flat, self.axis, None, twice, out.reshape(shape), self.threads)
        if upstream is None:
            return out, None
        grad = _core.empty(self.input.shape, self.grad_dtype)
        _core.activate(self.function, flat, self.axis, upstream.reshape(shape), twice, grad.reshape(shape), self.threads)
        return out, grad

    def value(self) -> Any:
        return _array.unboxed(self._run(None)[0])

    def value_and_grad(self, argnums: object, grad_output: object) -> Any:
        _, several = _check.argument_numbers(self.function, argnums, ["input"], {})
        upstream, _ = _array.as_array(self.function, "grad_output", 1.0 if grad_output is None else grad_output)
        broadcast = _check_shapes.broadcasts_to(self.function, "grad_output", upstream, self.input.shape, "the output")
        value, grad = self._run(broadcast)
        assert grad is not None
        result = _array.unboxed(grad)
        return _array.unboxed(value), (result,) if several else result

    def grad_hess(self, argnums: object, out: object) -> Any:
        raise TypeError(f"{self.function}: an activation has no loss to take second derivatives of")

    def feed(self, stream: Stream) -> None:
        raise TypeError(f"{self.function}: an activation has no accumulator")


def _elementwise(function: str, input: ArrayLike, options: Any) -> Any:
    threads, request = activation_options(function, options)
    x, weak = _array.as_array(function, "input", input)
    dtype = _array.result_dtype((x, weak))
    return request(ActivationProblem(function, x, dtype, _array.gradient_dtype(x, weak, dtype), threads))


@differentiable
def sigmoid(input: ArrayLike, **options: Unpack[ActivationOptions]) -> FloatArray:
    """1 / (1 + exp(-input)), element by element. See `Sigmoid`."""
    result: FloatArray = _elementwise("sigmoid", input, options)
    return result


@differentiable
def logsigmoid(input: ArrayLike, **options: Unpack[ActivationOptions]) -> FloatArray:
    """log(sigmoid(input)), element by element. See `LogSigmoid`."""
    result: FloatArray = _elementwise("logsigmoid", input, options)
    return result


def _implicit_dim(function: str, ndim: int) -> int:
    message = f"Implicit dimension choice for {function} has been deprecated. Change the call to include dim=X as an argument."
    _check.warn(message, UserWarning)
    return 0 if ndim in (0, 1, 3) else 1


def _along(function: str, input: ArrayLike, dim: int | None, axis: int | None, dtype: npt.DTypeLike | None, options: Any) -> Any:
    threads, request = activation_options(function, options)
    x, weak = _array.as_array(function, "input", input)
    if axis is not None:
        if dim is not None:
            raise TypeError(f"{function}: dim and axis are two names of one argument, got both")
        dim = axis
    given = x
    if dtype is not None:
        result = np.dtype(dtype)
        if not _array.is_result(result):
            raise TypeError(f"{function}: dtype must be float16, bfloat16, float32 or float64, got {result}")
        if result.itemsize < x.dtype.itemsize or not _array.is_floating(x.dtype):
            with np.errstate(all="ignore"):
                x = x.astype(result)  # torch casts first: the input is rounded, then the result computed
    elif not _array.is_floating(x.dtype) and not weak:
        raise TypeError(f"{function}: input must be floating, got dtype {x.dtype}; dtype= says what to compute in")
    else:
        result = _array.result_dtype((x, weak))
    chosen = _implicit_dim(function, x.ndim) if dim is None else dim
    where = _check.class_axis(function, "dim", chosen, x.ndim)
    grad_dtype = _array.gradient_dtype(given, weak, result)
    return request(ActivationProblem(function, x, result, grad_dtype, threads, where))


@differentiable
def softmax(
    input: ArrayLike,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: npt.DTypeLike | None = None,
    *,
    axis: int | None = None,
    **options: Unpack[ActivationOptions],
) -> FloatArray:
    """exp(input) divided by its sum along a dimension. See `Softmax`."""
    result: FloatArray = _along("softmax", input, dim, axis, dtype, options)
    return result


@differentiable
def log_softmax(
    input: ArrayLike,
    dim: int | None = None,
    _stacklevel: int = 3,
    dtype: npt.DTypeLike | None = None,
    *,
    axis: int | None = None,
    **options: Unpack[ActivationOptions],
) -> FloatArray:
    """The logarithm of softmax. See `LogSoftmax`."""
    result: FloatArray = _along("log_softmax", input, dim, axis, dtype, options)
    return result


@documented
class Sigmoid(Differentiable):
    """The logistic function ``1 / (1 + exp(-input))``.

    Shape
    -----
    input : any, floating; integers and bool are computed in float32
    output : the same

    Notes
    -----
    The gradient (a vector-Jacobian product with `grad_output`) is ``s * (1 - s)`` of the output s, as in torch. Error: 1 ULP in
    float32, 2 in float64.

    References
    ----------
    Matches torch.nn.Sigmoid of 2.13.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> nl.Sigmoid()(np.float32([-20.0, 0.0, 1.0]))
    array([2.0611537e-09, 5.0000000e-01, 7.3105860e-01], dtype=float32)
    """

    def __call__(self, input: ArrayLike, **options: Any) -> Any:
        return sigmoid(input, **options)


@documented
class LogSigmoid(Differentiable):
    """The logarithm of the logistic function, ``-softplus(-input)``.

    Shape
    -----
    input : any, floating; integers and bool are computed in float32
    output : the same

    Notes
    -----
    The gradient is ``sigmoid(-input)``. Error: 1 ULP in float32, 2 in float64.

    References
    ----------
    Matches torch.nn.LogSigmoid of 2.13.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> nl.LogSigmoid()(np.float32([-100.0, 0.0]))
    array([-100.       ,   -0.6931472], dtype=float32)
    """

    def __call__(self, input: ArrayLike, **options: Any) -> Any:
        return logsigmoid(input, **options)


class _AlongDimension(Differentiable):
    _parameters = ("dim",)
    _shown = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        self.dim = None if dim is None else _check.integer(type(self).__name__, "dim", dim)


@documented
class Softmax(_AlongDimension):
    """Exponentials divided by their sum along a dimension.

    Parameters
    ----------
    dim : int, optional
        The dimension that sums to 1. None chooses as torch does (0 for 0, 1 and 3 dimensions, else 1), with a warning.

    Shape
    -----
    input : any, floating
    output : the same

    Raises
    ------
    IndexError
        If input has no such dimension.
    TypeError
        If input is not floating.

    Notes
    -----
    A row with NaN or +inf, or with nothing but -inf, is NaN. float16 is computed in float32 and rounded once.

    References
    ----------
    Matches torch.nn.Softmax of 2.13.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> nl.Softmax(dim=1)(np.array([[1.0, -np.inf, 2.0]]))
    array([[0.26894142, 0.        , 0.73105858]])
    """

    def __call__(self, input: ArrayLike, **options: Any) -> Any:
        return softmax(input, self.dim, **options)


@documented
class LogSoftmax(_AlongDimension):
    """The logarithm of `Softmax`.

    Parameters
    ----------
    dim : int, optional
        The dimension whose exponentials sum to 1. None chooses as torch does (0 for 0, 1 and 3 dimensions, else 1), with a
        warning.

    Shape
    -----
    input : any, floating
    output : the same

    Raises
    ------
    IndexError
        If input has no such dimension.
    TypeError
        If input is not floating.

    Notes
    -----
    A dominant logit keeps its digits: [20, 0] gives -2.06e-9 where torch gives 0.

    References
    ----------
    Matches torch.nn.LogSoftmax of 2.13.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> nl.LogSoftmax(dim=0)(np.array([20.0, 0.0]))
    array([-2.06115362e-09, -2.00000000e+01])
    """

    def __call__(self, input: ArrayLike, **options: Any) -> Any:
        return log_softmax(input, self.dim, **options)
