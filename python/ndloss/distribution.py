"""The divergence of predicted from given distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from ndloss import _check, _check_shapes, _core, _options
from ndloss._accumulator import LossAccumulator
from ndloss._doc import documented
from ndloss._elementwise import ElementwiseProblem, broadcast_operands
from ndloss._loss import Loss, differentiable
from ndloss._options import loss_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ndloss._typing import Array, ArrayLike, CallOptions, FloatArray, FloatScalar, LossOptions, Policy, WithDivisor

__all__ = [
    "KLDivLoss",
    "kl_div",
]


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
    *,
    return_divisor: Literal[True],
    **options: Unpack[CallOptions],
) -> WithDivisor: ...
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
    if not legacy:
        plain = (_core.kl_div_log_target if log_target else _core.kl_div)(input, target, reduction, options)
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
        _check_shapes.strict_shapes(function, input=x, target=operands["target"][0])
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
        return kl_div(input, target, None, None, self.reduction, self.log_target, **{**self.policy, **options})

    def accumulator(self, reduction: str | None = None) -> LossAccumulator:
        """An empty accumulator of this loss: see `Loss.accumulator`. 'batchmean' divides by the batch of all chunks."""
        chosen = self.reduction if reduction is None else _check.reduction("KLDivLoss", reduction, batchmean=True)
        if chosen == "none":
            raise ValueError("KLDivLoss.accumulator: reduction must be 'mean', 'sum' or 'batchmean', got 'none'")
        criterion = KLDivLoss(reduction=chosen, log_target=self.log_target, **self.policy)
        return LossAccumulator(criterion, "mean" if chosen == "batchmean" else chosen)
