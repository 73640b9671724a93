"""Losses of scores that should be in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from ndloss import _check, _check_shapes, _core, _options
from ndloss._doc import documented
from ndloss._elementwise import ElementwiseProblem, broadcast_operands
from ndloss._loss import Loss, differentiable
from ndloss._options import loss_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ndloss._typing import ArrayLike, CallOptions, FloatArray, FloatScalar, LossOptions, Policy, WithDivisor

__all__ = ["HingeEmbeddingLoss", "MarginRankingLoss", "hinge_embedding_loss", "margin_ranking_loss"]


# ---- margin ranking ----


@overload
def margin_ranking_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    target: ArrayLike,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    *,
    reduction: Literal["none"],
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def margin_ranking_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    target: ArrayLike,
    margin: float,
    size_average: bool | None,
    reduce: bool | None,
    reduction: Literal["none"],
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def margin_ranking_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    target: ArrayLike,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    return_divisor: Literal[True],
    **options: Unpack[CallOptions],
) -> WithDivisor: ...
@overload
def margin_ranking_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    target: ArrayLike,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def margin_ranking_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    target: ArrayLike,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    **options: Any,
) -> Any:
    """Hinge loss of the order of two scores. See `MarginRankingLoss`."""
    function = "margin_ranking_loss"
    wanted = _check.number(function, "margin", margin)
    if size_average is None and reduce is None:
        plain = _core.margin_ranking_loss(input1, input2, target, reduction, wanted, options)
        if plain is not None:
            return plain
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction))
    operands, shape = broadcast_operands(function, input1=input1, input2=input2, target=target)
    arrays = {name: array for name, (array, _) in operands.items()}
    _check_shapes.same_ndim(function, "arguments", **arrays)
    if not settings.broadcast:
        _check_shapes.strict_shapes(function, **arrays)
    return request(ElementwiseProblem(function, function, operands, shape, reduction, settings, [wanted]))


@documented
class MarginRankingLoss(Loss):
    """Margin ranking loss: the hinge loss of the order of two scores.

    ``max(0, margin - target * (input1 - input2))``

    Parameters
    ----------
    margin : float, default 0.0
        By how much the one score should be higher.
    {legacy}
    {reduction}
    {policy}
    {options}

    Shape
    -----
    input1, input2 : any, floating or integer: scores
    target : 1 where `input1` should be the higher, -1 where `input2` should; other numbers scale, and 0 gives ``max(0, margin)``.
        All three have the same number of dimensions, and are broadcast
    output : the broadcast shape for 'none', else a scalar

    Returns
    -------
    numpy scalar or ndarray
        {dtypes}

    Raises
    ------
    ValueError
        If the shapes do not broadcast or differ in their number of dimensions, or `reduction` is unknown.
    TypeError
        If an argument does not hold real numbers.

    Notes
    -----
    Gradients for input1, input2 and target. Where the hinge is exactly 0 the gradient passes, as in torch; none passes where it is
    NaN, as the loss is then. Error per element: 1.5 eps (abs(margin) + abs(target * (input1 - input2))).

    References
    ----------
    R. Herbrich, T. Graepel, K. Obermayer, Large margin rank boundaries for ordinal regression (2000). Matches
    torch.nn.MarginRankingLoss of 2.13; unsigned targets do not wrap around.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> a, b = np.array([1.0, 2.0, 3.0], np.float32), np.array([2.0, 1.0, 3.0], np.float32)
    >>> nl.MarginRankingLoss(margin=0.5, reduction="none")(a, b, [1, 1, -1])
    array([1.5, 0. , 0.5], dtype=float32)
    """

    _parameters = ("margin", "reduction")

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        **policy: Unpack[Policy],
    ) -> None:
        self.margin = _check.number("MarginRankingLoss", "margin", margin)
        self.reduction = _check.reduction("MarginRankingLoss", _check.legacy_reduction(size_average, reduce, reduction))
        self.policy = _options.policy("MarginRankingLoss", policy)

    def __call__(self, input1: ArrayLike, input2: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return margin_ranking_loss(input1, input2, target, self.margin, None, None, self.reduction, **{**self.policy, **options})


# ---- hinge embedding ----


@overload
def hinge_embedding_loss(
    input: ArrayLike,
    target: ArrayLike,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    *,
    reduction: Literal["none"],
    ignore_index: float | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def hinge_embedding_loss(
    input: ArrayLike,
    target: ArrayLike,
    margin: float,
    size_average: bool | None,
    reduce: bool | None,
    reduction: Literal["none"],
    *,
    ignore_index: float | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def hinge_embedding_loss(
    input: ArrayLike,
    target: ArrayLike,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    return_divisor: Literal[True],
    ignore_index: float | None = None,
    **options: Unpack[CallOptions],
) -> WithDivisor: ...
@overload
def hinge_embedding_loss(
    input: ArrayLike,
    target: ArrayLike,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    ignore_index: float | None = None,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def hinge_embedding_loss(
    input: ArrayLike,
    target: ArrayLike,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    ignore_index: float | None = None,
    **options: Any,
) -> Any:
    """Hinge loss of distances within pairs. See `HingeEmbeddingLoss`."""
    function = "hinge_embedding_loss"
    wanted = _check.number(function, "margin", margin)
    if size_average is None and reduce is None:
        plain = _core.hinge_embedding_loss(input, target, reduction, wanted, options, None, ignore_index)
        if plain is not None:
            return plain
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction))
    operands, shape = broadcast_operands(function, input=input, target=target)
    if not settings.broadcast:
        _check_shapes.strict_shapes(function, **{name: array for name, (array, _) in operands.items()})
    target_operand = operands.pop("target")
    problem = ElementwiseProblem(
        function,
        function,
        operands,
        shape,
        reduction,
        settings,
        [wanted],
        typed_constants={"target": target_operand},
        ignore_value=_check.ignore_value(function, ignore_index),
    )
    return request(problem)


@documented
class HingeEmbeddingLoss(Loss):
    """Hinge loss of the distances within pairs that belong together (1) or do not (-1).

    ``input`` where ``target == 1``, ``max(0, margin - input)`` where ``target == -1``; both terms for any other target

    Parameters
    ----------
    margin : float, default 1.0
        How far apart a pair that does not belong together should be.
    {legacy}
    {reduction}
    {ignored_target}
    {policy}
    {options}

    Shape
    -----
    input : any, floating or integer: distances
    target : broadcasts with input: 1 or -1, floating or integer; not checked
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
    Gradient for input. Where ``input == margin`` the hinge's gradient passes, as in torch; none passes through it where the input
    is NaN, whose value is NaN. A target of 0 or False is no -1: it has both terms. Error: 1 ULP per element; reduced 1 ULP on
    random data, 4 on any.

    References
    ----------
    R. Hadsell, S. Chopra, Y. LeCun, Dimensionality reduction by learning an invariant mapping (CVPR 2006). Matches
    torch.nn.HingeEmbeddingLoss of 2.13; the result has the widest dtype, where torch takes that of input.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> x, y = np.array([0.5, 2.0, -1.0, 0.5, 0.25], np.float32), np.array([1, -1, -1, -1, 0])
    >>> nl.HingeEmbeddingLoss(reduction="none")(x, y)
    array([0.5, 0. , 2. , 0.5, 1. ], dtype=float32)
    """

    _parameters = ("margin", "reduction", "ignore_index")

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        ignore_index: float | None = None,
        **policy: Unpack[Policy],
    ) -> None:
        self.margin = _check.number("HingeEmbeddingLoss", "margin", margin)
        self.reduction = _check.reduction("HingeEmbeddingLoss", _check.legacy_reduction(size_average, reduce, reduction))
        self.ignore_index = _check.ignore_value("HingeEmbeddingLoss", ignore_index)
        self.policy = _options.policy("HingeEmbeddingLoss", policy)

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        if not (self.policy or options):  # dictionaries cost a tenth of a small call
            return hinge_embedding_loss(input, target, self.margin, None, None, self.reduction, ignore_index=self.ignore_index)
        return hinge_embedding_loss(
            input, target, self.margin, None, None, self.reduction, ignore_index=self.ignore_index, **{**self.policy, **options}
        )
