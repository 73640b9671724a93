"""Losses of real-valued predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from ndloss import _array, _check, _core
from ndloss._doc import documented
from ndloss._elementwise import ElementwiseProblem
from ndloss._loss import Loss, differentiable
from ndloss._options import loss_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ndloss._typing import ArrayLike, FloatArray, FloatScalar, LossOptions

__all__ = ["MSELoss", "mse_loss"]


def _broadcast_pair(function: str, input: ArrayLike, target: ArrayLike) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Input and target, broadcast against each other as torch does: with a warning where their shapes differ."""
    x, x_weak = _array.as_array(function, "input", input)
    y, y_weak = _array.as_array(function, "target", target)
    shape = _check.broadcast_shape(function, input=x, target=y)
    if x.shape != y.shape:
        _check.warn(
            f"Using a target size ({y.shape}) that is different to the input size ({x.shape}). This will likely lead to "
            f"incorrect results due to broadcasting. Please ensure they have the same size.",
            _check.BroadcastWarning,
        )
    return {"input": (x, x_weak), "target": (y, y_weak)}, shape


@overload
def mse_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    *,
    reduction: Literal["none"],
    weight: ArrayLike | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def mse_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: ArrayLike | None = None,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def mse_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: ArrayLike | None = None,
    **options: Any,
) -> Any:
    """Mean squared error. See `MSELoss`."""
    if weight is None and size_average is None and reduce is None and not options:
        plain = _core.mse_loss(input, target, reduction)
        if plain is not None:
            return plain
    function = "mse_loss"
    threads, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction))
    operands, shape = _broadcast_pair(function, input, target)
    weights = None
    if weight is not None:
        weights, _ = _array.as_array(function, "weight", weight)
        if weights.shape != operands["input"][0].shape:
            raise ValueError(
                f"{function}: weight must have the shape of input, got weight {weights.shape} and input "
                f"{operands['input'][0].shape}. Weights and input must have the same size."
            )
    problem = ElementwiseProblem(
        function,
        function,
        operands,
        shape,
        reduction,
        threads,
        weight=weights,
        weight_differentiable=True,
        weighted_mean=True,
    )
    return request(problem)


@documented
class MSELoss(Loss):
    """Mean squared error.

    ``(input - target)**2``

    Parameters
    ----------
    {legacy}
    {reduction}

    Shape
    -----
    input : any, floating or integer
    target : the same shape; other shapes are broadcast, with a `BroadcastWarning`
    output : the broadcast shape for 'none', else a scalar

    Returns
    -------
    numpy scalar or ndarray
        {dtypes}

    Raises
    ------
    ValueError
        If the shapes do not broadcast, or `reduction` is unknown.
    TypeError
        If an argument does not hold real numbers.

    Notes
    -----
    Gradients for input and target. The function `mse_loss` also takes `weight`, of input's shape: the loss of each element
    times its weight, and the mean divides by the sum of the weights. NaN in, NaN out. Error of a reduced loss: 1 ULP on
    random data, 4 on any.

    References
    ----------
    C. F. Gauss, Theoria combinationis observationum erroribus minimis obnoxiae (1823). Matches torch.nn.MSELoss of 2.13.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> x, y = np.array([1.0, 2.0, 3.0], np.float32), np.array([0.5, 2.0, 5.0], np.float32)
    >>> print(nl.MSELoss()(x, y))
    1.4166666
    >>> nl.MSELoss(reduction="none")(x, y)
    array([0.25, 0.  , 4.  ], dtype=float32)
    """

    _parameters = ("reduction",)

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        self.reduction = _check.reduction("MSELoss", _check.legacy_reduction(size_average, reduce, reduction))

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return mse_loss(input, target, reduction=self.reduction, **options)
