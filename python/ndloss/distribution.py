"""Losses of predicted distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from ndloss import _array, _check, _core, _options
from ndloss._accumulator import LossAccumulator
from ndloss._doc import documented
from ndloss._elementwise import ElementwiseProblem, broadcast_operands
from ndloss._loss import Loss, differentiable
from ndloss._options import loss_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ndloss._typing import Array, ArrayLike, FloatArray, FloatScalar, LossOptions, Policy

__all__ = [
    "GaussianNLLLoss",
    "KLDivLoss",
    "PoissonNLLLoss",
    "gaussian_nll_loss",
    "kl_div",
    "poisson_nll_loss",
]


# ---- Kullback-Leibler divergence ----

MEAN_OF_DIVERGENCES = (
    "reduction: 'mean' divides the total loss by both the batch size and the support size."
    "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
    "'mean' will be changed to behave the same as 'batchmean' in the next major release."
)


@overload
def kl_div(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    *,
    reduction: Literal["none"],
    log_target: bool = False,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def kl_div(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None,
    reduce: bool | None,
    reduction: Literal["none"],
    log_target: bool = False,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def kl_div(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def kl_div(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
    **options: Any,
) -> Any:
    """Kullback-Leibler divergence of log-probabilities. See `KLDivLoss`."""
    legacy = size_average is not None or reduce is not None
    if reduction == "mean" and not legacy:
        _check.warn(MEAN_OF_DIVERGENCES, UserWarning)
    if not legacy and not options:
        plain = (_core.kl_div_log_target if log_target else _core.kl_div)(input, target, reduction)
        if plain is not None:
            return plain
    function = "kl_div"
    settings, request = loss_options(function, options)
    by_batch = reduction == "batchmean"
    reduction = _check.legacy_reduction(size_average, reduce, reduction)
    reduction = _check.reduction(function, reduction, batchmean=True)
    operands, shape = broadcast_operands(function, input=input, target=target)
    x = operands["input"][0]
    if not settings.broadcast:
        _check.strict_shapes(function, input=x, target=operands["target"][0])
    size, batch = int(np.prod(shape, dtype=np.int64)), x.shape[0] if x.ndim else 1
    weight: Array | None = None
    repeats = 1
    if reduction == "batchmean":
        # Its divisor is input's first axis, before broadcasting: one for this many elements.
        repeats = max(size // max(batch, 1), 1)
        reduction = "mean" if size or not batch else "sum"
    elif by_batch:
        weight = np.broadcast_to(np.float64(1 / batch if batch else np.nan), shape)  # torch divides by the batch in any case
    core = "kl_div_log_target" if log_target else "kl_div"
    problem = ElementwiseProblem(function, core, operands, shape, reduction, settings, repeats=repeats, weight=weight)
    return request(problem)


@documented
class KLDivLoss(Loss):
    """Kullback-Leibler divergence of the target distribution from log-probabilities.

    ``target * (log(target) - input)``, or ``exp(target) * (target - input)`` for `log_target`

    Parameters
    ----------
    {legacy}
    reduction : {'mean', 'batchmean', 'sum', 'none'}, default 'mean'
        'none' gives one term per element as an array; the others a NumPy scalar of the result dtype. 'batchmean' divides the
        sum by the size of input's first axis, which is the divergence's definition for rows of probabilities; 'mean' divides
        by the number of elements, and warns of it on every call.
    log_target : bool, default False
        The target holds log-probabilities.
    {policy}
    {options}

    Shape
    -----
    input : any, floating: log-probabilities
    target : broadcasts with input: probabilities, or their logarithms
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
    Gradients for input and target. Neither argument is checked to be a distribution; a negative probability gives NaN. A zero
    probability contributes 0 even where the input is -inf, and its slope by the target is 0: torch gives NaN. Terms of either
    sign cancel in sums. Error per element: 1.5 eps times ``target * (abs(log(target)) + abs(input))``; 3 ULP for `log_target`.

    References
    ----------
    S. Kullback, R. A. Leibler, On information and sufficiency, Ann. Math. Statist. 22 (1951) 79-86. Matches torch.nn.KLDivLoss
    of 2.13 but for zero probabilities.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> x = np.log(np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]], np.float32))
    >>> y = np.array([[0.3, 0.3, 0.4], [0.0, 0.5, 0.5]], np.float32)
    >>> print(nl.KLDivLoss(reduction="batchmean")(x, y))
    0.32659093
    """

    _parameters = ("reduction", "log_target")

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
        **policy: Unpack[Policy],
    ) -> None:
        mapped = _check.legacy_reduction(size_average, reduce, reduction)
        self.reduction = _check.reduction("KLDivLoss", mapped, batchmean=True)
        self.log_target = log_target
        self.policy = _options.policy("KLDivLoss", policy)

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return kl_div(input, target, reduction=self.reduction, log_target=self.log_target, **{**self.policy, **options})

    def accumulator(self, reduction: str | None = None) -> LossAccumulator:
        """An empty accumulator of this loss: see `Loss.accumulator`. 'batchmean' divides by the batch of all chunks."""
        chosen = self.reduction if reduction is None else _check.reduction("KLDivLoss", reduction, batchmean=True)
        if chosen == "none":
            raise ValueError("KLDivLoss.accumulator: reduction must be 'mean', 'sum' or 'batchmean', got 'none'")
        criterion = KLDivLoss(reduction=chosen, log_target=self.log_target, **self.policy)
        return LossAccumulator(criterion, "mean" if chosen == "batchmean" else chosen)


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
    if size_average is None and reduce is None and not options:
        plain = getattr(_core, core)(input, target, reduction, shift)
        if plain is not None:
            return plain
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction), elementwise_mean=False)
    operands, shape = broadcast_operands(function, input=input, target=target)
    if not settings.broadcast:
        _check.strict_shapes(function, **{name: array for name, (array, _) in operands.items()})
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
            input, target, self.log_input, self.full, eps=self.eps, reduction=self.reduction, **{**self.policy, **options}
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
    if not options:
        plain = _core.gaussian_nll_loss(input, target, var, reduction, *parameters)
        if plain is not None:
            return plain
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, reduction, elementwise_mean=False)
    x = _array.as_array(function, "input", input)
    y = _array.as_array(function, "target", target)
    given, weak = _array.as_array(function, "var", var)
    number = isinstance(var, (float, int, np.number))
    v = given if number else _check.variance(function, given, x[0])
    if not settings.broadcast:
        _check.strict_shapes(function, input=x[0], target=y[0])
    shape = _check.broadcast_shape(function, input=x[0], target=y[0], var=v)
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
