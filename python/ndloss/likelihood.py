"""Negative log likelihoods of predicted distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from ndloss import _array, _check, _check_shapes, _core, _options
from ndloss._doc import documented
from ndloss._elementwise import ElementwiseProblem, broadcast_operands
from ndloss._loss import Loss, differentiable
from ndloss._options import loss_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ndloss._typing import ArrayLike, CallOptions, FloatArray, FloatScalar, LossOptions, Policy, WithDivisor

__all__ = [
    "GaussianNLLLoss",
    "PoissonNLLLoss",
    "gaussian_nll_loss",
    "poisson_nll_loss",
]


# ---- Poisson ----

POISSON_CORES = {
    (True, False): "poisson_nll_loss",
    (True, True): "poisson_nll_loss_full",
    (False, False): "poisson_nll_loss_rate",
    (False, True): "poisson_nll_loss_rate_full",
}


@overload
def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    *,
    reduction: Literal["none"],
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    log_input: bool,
    full: bool,
    size_average: bool | None,
    eps: float,
    reduce: bool | None,
    reduction: Literal["none"],
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    return_divisor: Literal[True],
    **options: Unpack[CallOptions],
) -> WithDivisor: ...
@overload
def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Any,
) -> Any:
    """Negative log-likelihood of Poisson counts. See `PoissonNLLLoss`."""
    function = "poisson_nll_loss"
    shift = _check.number(function, "eps", eps)
    core = POISSON_CORES[bool(log_input), bool(full)]
    if size_average is None and reduce is None:
        plain = getattr(_core, core)(input, target, reduction, shift, options)
        if plain is not None:
            return plain
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction), elementwise_mean=False)
    operands, shape = broadcast_operands(function, input=input, target=target)
    if not settings.broadcast:
        _check_shapes.strict_shapes(function, **{name: array for name, (array, _) in operands.items()})
    return request(ElementwiseProblem(function, core, operands, shape, reduction, settings, [shift]))


@documented
class PoissonNLLLoss(Loss):
    """Negative log-likelihood of counts under a Poisson distribution.

    ``exp(input) - target * input``, or ``input - target * log(input + eps)`` without `log_input`; `full` adds, where
    ``target > 1``, ``target * log(target) - target + 0.5 * log(2 * pi * target)``

    Parameters
    ----------
    log_input : bool, default True
        The input is the logarithm of the rate, not the rate.
    full : bool, default False
        Adds Stirling's approximation of ``log(target!)``.
    {legacy}
    eps : float, default 1e-8
        Added to a rate before its logarithm is taken.
    {reduction}
    {policy}
    {options}

    Shape
    -----
    input : any, floating or integer
    target : broadcasts with input: counts, floating or integer
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
    Gradients for input and target. Nothing is checked: a rate below ``-eps`` gives NaN. A count of 0 contributes nothing times an
    infinite logarithm, and Stirling's term has slope 0 where it is 0: torch gives NaN. Terms cancel; error per element: 2 eps
    times the sum of their magnitudes, and of the target's without `log_input`.

    References
    ----------
    Matches torch.nn.PoissonNLLLoss of 2.13 but for the slope of Stirling's term.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> x, y = np.array([0.5, 1.0, 2.0], np.float32), np.array([0, 1, 5])
    >>> nl.PoissonNLLLoss(reduction="none")(x, y)
    array([ 1.6487212,  1.7182817, -2.6109438], dtype=float32)
    """

    _parameters = ("log_input", "full", "eps", "reduction")

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
        **policy: Unpack[Policy],
    ) -> None:
        mapped = _check.legacy_reduction(size_average, reduce, reduction)
        self.log_input = log_input
        self.full = full
        self.eps = _check.number("PoissonNLLLoss", "eps", eps)
        self.reduction = _check.reduction("PoissonNLLLoss", mapped, elementwise_mean=False)
        self.policy = _options.policy("PoissonNLLLoss", policy)

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return poisson_nll_loss(
            input, target, self.log_input, self.full, None, self.eps, None, self.reduction, **{**self.policy, **options}
        )  # fmt: skip


# ---- Gauss ----


@overload
def gaussian_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike,
    full: bool = False,
    eps: float = 1e-6,
    *,
    reduction: Literal["none"],
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def gaussian_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike,
    full: bool,
    eps: float,
    reduction: Literal["none"],
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def gaussian_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
    *,
    return_divisor: Literal[True],
    **options: Unpack[CallOptions],
) -> WithDivisor: ...
@overload
def gaussian_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def gaussian_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    var: ArrayLike,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
    **options: Any,
) -> Any:
    """Negative log-likelihood of a normal distribution with a predicted variance. See `GaussianNLLLoss`."""
    function = "gaussian_nll_loss"
    parameters = [1.0 if full else 0.0, _check.number(function, "eps", eps)]
    plain = _core.gaussian_nll_loss(input, target, var, reduction, *parameters, options)
    if plain is not None:
        return plain
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, reduction, elementwise_mean=False)
    x = _array.as_array(function, "input", input)
    y = _array.as_array(function, "target", target)
    given, weak = _array.as_array(function, "var", var)
    number = isinstance(var, (float, int, np.number))
    v = given if number else _check_shapes.variance(function, given, x[0])
    if not settings.broadcast:
        _check_shapes.strict_shapes(function, input=x[0], target=y[0])
    shape = _check_shapes.broadcast_shape(function, input=x[0], target=y[0], var=v)
    operands = {"input": x, "target": y, "var": (v, weak or number)}
    problem = ElementwiseProblem(
        function,
        function,
        operands,
        shape,
        reduction,
        settings,
        parameters,
        given_shapes={"var": given.shape},
        domain="[0, inf]",
    )
    return request(problem)


@documented
class GaussianNLLLoss(Loss):
    """Negative log-likelihood of a normal distribution whose variance is predicted too.

    ``0.5 * (log(v) + (input - target)**2 / v)`` with ``v = max(var, eps)``; `full` adds ``0.5 * log(2 * pi)``

    Parameters
    ----------
    full : bool, default False
        Adds the constant of the density.
    eps : float, default 1e-6
        The smallest variance used.
    {reduction}
    {policy}
    {options}

    Shape
    -----
    input : any, floating or integer: the means
    target : broadcasts with input
    var : a number; or the shape of input; or that shape without its last axis; or with a 1 in place of one size. Not negative
    output : the broadcast shape for 'none', else a scalar

    Returns
    -------
    numpy scalar or ndarray
        {dtypes}
        An array `var` counts as an input here.

    Raises
    ------
    ValueError
        If the shapes do not fit, `reduction` is unknown, or a variance is negative: its position and value are named.
    TypeError
        If an argument does not hold real numbers.

    Notes
    -----
    Gradients for input, target and var. That of var passes through the clamp at `eps`, as in torch: it is taken at the clamped
    variance and not zeroed below it. A NaN variance gives NaN. Terms cancel; error per element: 2 eps times half of
    ``abs(log(v)) + (input - target)**2 / v``.

    References
    ----------
    D. A. Nix, A. S. Weigend, Estimating the mean and variance of the target probability distribution (ICNN 1994), eq. 4. Matches
    torch.nn.GaussianNLLLoss of 2.13, and takes integer variances.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> x, y = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), np.array([[1.5, 2.0], [2.0, 6.0]], np.float32)
    >>> v = np.array([[1.0, 0.5], [2.0, 4.0]], np.float32)
    >>> nl.GaussianNLLLoss(reduction="none")(x, y, v)
    array([[ 0.125    , -0.3465736],
           [ 0.5965736,  1.1931472]], dtype=float32)
    """

    _parameters = ("full", "eps", "reduction")

    def __init__(
        self,
        *,
        full: bool = False,
        eps: float = 1e-6,
        reduction: str = "mean",
        **policy: Unpack[Policy],
    ) -> None:
        self.full = full
        self.eps = _check.number("GaussianNLLLoss", "eps", eps)
        self.reduction = _check.reduction("GaussianNLLLoss", reduction, elementwise_mean=False)
        self.policy = _options.policy("GaussianNLLLoss", policy)

    def __call__(self, input: ArrayLike, target: ArrayLike, var: ArrayLike, **options: Any) -> Any:
        return gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction, **{**self.policy, **options})
