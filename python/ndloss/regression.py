"""Losses of real-valued predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from ndloss import _array, _check, _core, _options
from ndloss._doc import documented
from ndloss._elementwise import ElementwiseProblem, broadcast_operands
from ndloss._loss import Loss, differentiable
from ndloss._options import loss_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ndloss._typing import ArrayLike, FloatArray, FloatScalar, LossOptions, Policy

__all__ = [
    "HuberLoss",
    "L1Loss",
    "MSELoss",
    "SmoothL1Loss",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "smooth_l1_loss",
]


def _regress(
    function: str,
    input: ArrayLike,
    target: ArrayLike,
    reduction: str,
    options: dict[str, Any],
    *,
    core: str = "",
    parameters: tuple[float, ...] = (),
    weight: ArrayLike | None = None,
    weighted_mean: bool = False,
) -> Any:
    """Input and target broadcast against each other as torch does: with a warning where their shapes differ."""
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, reduction)
    operands, shape = broadcast_operands(function, input=input, target=target)
    x, y = operands["input"][0], operands["target"][0]
    if x.shape != y.shape:
        if not settings.broadcast:
            _check.strict_shapes(function, input=x, target=y)
        _check.warn(
            f"Using a target size ({y.shape}) that is different to the input size ({x.shape}). This will likely lead to "
            f"incorrect results due to broadcasting. Please ensure they have the same size.",
            _check.BroadcastWarning,
        )
    weights = _array.optional(function, "weight", weight)
    if weights is not None:
        _check.weight_like_input(function, weights, x)
    problem = ElementwiseProblem(
        function,
        core or function,
        operands,
        shape,
        reduction,
        settings,
        list(parameters),
        weight=weights,
        weight_differentiable=True,
        weighted_mean=weighted_mean,
    )
    return request(problem)


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
    if weight is None and size_average is None and reduce is None and not options:
        plain = _core.l1_loss(input, target, reduction)
        if plain is not None:
            return plain
    reduction = _check.legacy_reduction(size_average, reduce, reduction)
    return _regress("l1_loss", input, target, reduction, options, weight=weight, weighted_mean=True)


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
        return l1_loss(input, target, reduction=self.reduction, **{**self.policy, **options})


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
    reduction = _check.legacy_reduction(size_average, reduce, reduction)
    return _regress("mse_loss", input, target, reduction, options, weight=weight, weighted_mean=True)


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
        return mse_loss(input, target, reduction=self.reduction, **{**self.policy, **options})


# ---- smooth absolute error ----


@overload
def smooth_l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    *,
    reduction: Literal["none"],
    beta: float = 1.0,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def smooth_l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None,
    reduce: bool | None,
    reduction: Literal["none"],
    beta: float = 1.0,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def smooth_l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def smooth_l1_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
    **options: Any,
) -> Any:
    """Absolute error with a rounded tip. See `SmoothL1Loss`."""
    width = _check.at_least_zero("smooth_l1_loss", "beta", beta)
    if size_average is None and reduce is None and not options:
        plain = _core.smooth_l1_loss(input, target, reduction, width)
        if plain is not None:
            return plain
    reduction = _check.legacy_reduction(size_average, reduce, reduction)
    return _regress("smooth_l1_loss", input, target, reduction, options, parameters=(width,))


@documented
class SmoothL1Loss(Loss):
    """Absolute error with a parabola of width `beta` in place of its tip.

    ``0.5 * r**2 / beta if abs(r) < beta else abs(r) - 0.5 * beta``, with ``r = input - target``

    Parameters
    ----------
    {legacy}
    {reduction}
    beta : float, default 1.0
        Where the parabola ends, at least 0. With 0 this is `L1Loss`; with infinity it is 0.
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
        If the shapes do not broadcast, `beta` is negative or NaN, or `reduction` is unknown.
    TypeError
        If an argument does not hold real numbers.

    Notes
    -----
    Gradients for input and target; both branches agree where they meet. `HuberLoss` with ``delta=beta`` is `beta` times this
    loss. NaN in, NaN out. Error: 3 ULP per element in float32, 4 in float64; reduced 1 ULP on random data, 4 on any.

    References
    ----------
    R. Girshick, Fast R-CNN (ICCV 2015), eq. 3. Matches torch.nn.SmoothL1Loss of 2.13.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> x, y = np.array([0.0, 0.5, -2.0, 3.0], np.float32), np.zeros(4, np.float32)
    >>> nl.SmoothL1Loss(reduction="none", beta=0.5)(x, y)
    array([0.  , 0.25, 1.75, 2.75], dtype=float32)
    """

    _parameters = ("reduction", "beta")

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
        **policy: Unpack[Policy],
    ) -> None:
        self.reduction = _check.reduction("SmoothL1Loss", _check.legacy_reduction(size_average, reduce, reduction))
        self.beta = _check.at_least_zero("SmoothL1Loss", "beta", beta)
        self.policy = _options.policy("SmoothL1Loss", policy)

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta, **{**self.policy, **options})


# ---- Huber ----


@overload
def huber_loss(
    input: ArrayLike,
    target: ArrayLike,
    reduction: Literal["none"],
    delta: float = 1.0,
    weight: ArrayLike | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def huber_loss(
    input: ArrayLike,
    target: ArrayLike,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: ArrayLike | None = None,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def huber_loss(
    input: ArrayLike,
    target: ArrayLike,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: ArrayLike | None = None,
    **options: Any,
) -> Any:
    """Squared error near the target, absolute error far from it. See `HuberLoss`."""
    width = _check.above_zero("huber_loss", "delta", delta)
    if weight is None and not options:
        plain = _core.huber_loss(input, target, reduction, width)
        if plain is not None:
            return plain
    return _regress("huber_loss", input, target, reduction, options, parameters=(width,), weight=weight)


@documented
class HuberLoss(Loss):
    """Huber's loss: quadratic within `delta` of the target, linear beyond it.

    ``0.5 * r**2 if abs(r) <= delta else delta * (abs(r) - 0.5 * delta)``, with ``r = input - target``

    Parameters
    ----------
    {reduction}
    delta : float, default 1.0
        Where the loss becomes linear, above 0; infinity gives half the squared error.
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
        If the shapes do not broadcast, `delta` is not positive, or `reduction` is unknown.
    TypeError
        If an argument does not hold real numbers.

    Notes
    -----
    Gradients for input and target; both branches agree where they meet. The function `huber_loss` also takes `weight`, of
    input's shape: the loss of each element times its weight. The mean divides by the number of elements all the same, as in
    torch, where `l1_loss` and `mse_loss` divide by the sum of the weights. NaN in, NaN out. Error: 3 ULP per element in float32,
    4 in float64; reduced 1 ULP on random data, 4 on any.

    References
    ----------
    P. J. Huber, Robust estimation of a location parameter, Ann. Math. Statist. 35 (1964) 73-101. Matches torch.nn.HuberLoss of
    2.13, but the result has the widest dtype, where torch takes that of input.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> x, y = np.array([0.0, 0.5, -2.0, 3.0], np.float32), np.zeros(4, np.float32)
    >>> nl.HuberLoss(reduction="none", delta=2.0)(x, y)
    array([0.   , 0.125, 2.   , 4.   ], dtype=float32)
    """

    _parameters = ("reduction", "delta")

    def __init__(
        self,
        reduction: str = "mean",
        delta: float = 1.0,
        **policy: Unpack[Policy],
    ) -> None:
        self.reduction = _check.reduction("HuberLoss", reduction)
        self.delta = _check.above_zero("HuberLoss", "delta", delta)
        self.policy = _options.policy("HuberLoss", policy)

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return huber_loss(input, target, reduction=self.reduction, delta=self.delta, **{**self.policy, **options})
