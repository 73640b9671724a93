"""Losses of real-valued predictions: absolute and squared error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from ndloss import _check, _core, _options
from ndloss._doc import documented
from ndloss._loss import Loss, differentiable
from ndloss._regression import regress

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ndloss._typing import ArrayLike, CallOptions, FloatArray, FloatScalar, LossOptions, Policy, WithDivisor

__all__ = [
    "L1Loss",
    "MSELoss",
    "l1_loss",
    "mse_loss",
]


# ---- mean absolute error ----


@overload
def l1_loss(
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
def l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None,
    reduce: bool | None,
    reduction: Literal["none"],
    weight: ArrayLike | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: ArrayLike | None = None,
    *,
    return_divisor: Literal[True],
    **options: Unpack[CallOptions],
) -> WithDivisor: ...
@overload
def l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: ArrayLike | None = None,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: ArrayLike | None = None,
    **options: Any,
) -> Any:
    """Mean absolute error. See `L1Loss`."""
    if size_average is None and reduce is None:
        plain = _core.l1_loss(input, target, reduction, options, weight)
        if plain is not None:
            return plain
    reduction = _check.legacy_reduction(size_average, reduce, reduction)
    return regress("l1_loss", input, target, reduction, options, weight=weight, weighted_mean=True)


@documented
class L1Loss(Loss):
    """Mean absolute error.

    ``abs(input - target)``

    Parameters
    ----------
    {legacy}
    {reduction}
    {policy}
    {options}

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
    Gradients for input and target: the sign of their difference; 0 where they are equal, and where the difference is NaN. The
    function `l1_loss` also takes `weight`, of input's shape: the loss of each element times its weight, and the mean divides by
    the sum of the weights. NaN in, NaN out. Error: half an ULP per element; reduced 1 ULP on random data, 4 on any.

    References
    ----------
    Matches torch.nn.L1Loss of 2.13; complex numbers are not taken.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> x, y = np.array([1.0, 2.0, 3.0], np.float32), np.array([0.5, 2.0, 5.0], np.float32)
    >>> print(nl.L1Loss()(x, y))
    0.8333333
    >>> nl.L1Loss().grad(x, y)
    array([ 0.33333334,  0.        , -0.33333334], dtype=float32)
    """

    _parameters = ("reduction",)

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        **policy: Unpack[Policy],
    ) -> None:
        self.reduction = _check.reduction("L1Loss", _check.legacy_reduction(size_average, reduce, reduction))
        self.policy = _options.policy("L1Loss", policy)

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return l1_loss(input, target, None, None, self.reduction, **{**self.policy, **options})


# ---- mean squared error ----


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
    size_average: bool | None,
    reduce: bool | None,
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
    *,
    return_divisor: Literal[True],
    **options: Unpack[CallOptions],
) -> WithDivisor: ...
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
    if size_average is None and reduce is None:
        plain = _core.mse_loss(input, target, reduction, options, weight)
        if plain is not None:
            return plain
    reduction = _check.legacy_reduction(size_average, reduce, reduction)
    return regress("mse_loss", input, target, reduction, options, weight=weight, weighted_mean=True)


@documented
class MSELoss(Loss):
    """Mean squared error.

    ``(input - target)**2``

    Parameters
    ----------
    {legacy}
    {reduction}
    {policy}
    {options}

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

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        **policy: Unpack[Policy],
    ) -> None:
        self.reduction = _check.reduction("MSELoss", _check.legacy_reduction(size_average, reduce, reduction))
        self.policy = _options.policy("MSELoss", policy)

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return mse_loss(input, target, None, None, self.reduction, **{**self.policy, **options})
