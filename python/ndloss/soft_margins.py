"""Soft margin losses: of the labels of a row, of single answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from ndloss import _array, _check, _check_shapes, _check_targets, _core, _options
from ndloss._doc import documented
from ndloss._elementwise import ElementwiseProblem
from ndloss._loss import Loss, differentiable
from ndloss._moved import MovedProblem, Way, moved_last
from ndloss._options import loss_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ndloss._typing import ArrayLike, CallOptions, FloatArray, FloatScalar, LossOptions, Policy, RowPolicy, WithDivisor

__all__ = [
    "MultiLabelSoftMarginLoss",
    "SoftMarginLoss",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
]


# ---- multi-label soft margin ----


@overload
def multilabel_soft_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    *,
    reduction: Literal["none"],
    axis: int | None = None,
    ignore_index: float | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def multilabel_soft_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None,
    size_average: bool | None,
    reduce: bool | None,
    reduction: Literal["none"],
    *,
    axis: int | None = None,
    ignore_index: float | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def multilabel_soft_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    return_divisor: Literal[True],
    axis: int | None = None,
    ignore_index: float | None = None,
    **options: Unpack[CallOptions],
) -> WithDivisor: ...
@overload
def multilabel_soft_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    axis: int | None = None,
    ignore_index: float | None = None,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def multilabel_soft_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    axis: int | None = None,
    ignore_index: float | None = None,
    **options: Any,
) -> Any:
    """Multi-label soft margin loss. See `MultiLabelSoftMarginLoss`."""
    if size_average is None and reduce is None and axis is None:
        plain = _core.multilabel_soft_margin_loss(input, target, reduction, options, weight, ignore_index)
        if plain is not None:
            return plain
    function = "multilabel_soft_margin_loss"
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction), elementwise_mean=False)
    if _array.is_sparse(target):
        from ndloss import _sparse  # seldom needed

        beside = {"weight": weight}
        _check_targets.last_axis_of_sparse(function, axis)
        rest = {**options, "ignore_index": ignore_index}
        return _sparse.by_rows(multilabel_soft_margin_loss, input, target, beside, reduction, rest, row_mean=True)
    settings, request = loss_options(function, options)
    x, x_weak = _array.as_array(function, "input", input)
    y, y_weak = _array.as_array(function, "target", target)
    if x.ndim == 0:
        raise ValueError(f"{function}: input must have 1 or more dimensions, the last one for the classes; got 0")
    classes = _check.class_axis(function, "axis", -1 if axis is None else axis, x.ndim) - x.ndim
    if not settings.broadcast:
        _check_shapes.strict_shapes(function, input=x, target=y)
    operands = {"input": (x, x_weak), "target": (y, y_weak)}
    weights = _array.optional(function, "weight", weight)
    ways: dict[str, Way] = {}
    if classes != -1:
        # One weight per class already lies along the last axis; of a weight of more dimensions, one holds the classes.
        moved = operands if weights is None or weights.ndim < 2 else {**operands, "weight": (weights, False)}
        moved, ways = moved_last(moved, classes)
        operands = {name: moved[name] for name in operands}
        weights = moved["weight"][0] if "weight" in moved else weights
    arrays = {name: array for name, (array, _) in operands.items()}
    shape = _check_shapes.broadcast_shape(function, **arrays, **({} if weights is None else {"weight": weights}))
    problem = ElementwiseProblem(
        function, function, operands, shape, reduction, settings, weight=weights, weight_differentiable=True,
        row_mean=True, row_divisor=x.shape[classes], ignore_value=_check.ignore_value(function, ignore_index),
    )  # fmt: skip
    return request(MovedProblem(problem, ways) if ways else problem)


@documented
class MultiLabelSoftMarginLoss(Loss):
    """Multi-label soft margin loss: binary cross entropies of logits, averaged over the classes of each row.

    ``mean over the last axis of weight * ((1 - target) * softplus(input) + target * softplus(-input))``

    Parameters
    ----------
    weight : array_like, optional
        One weight per class; any shape that broadcasts.
    {legacy}
    {reduction}
    {ignored_target}
    axis : int, default -1
        The axis of the classes in input, and in target and weight; a weight of one dimension has one element per class.
    {policy}
    {options}

    Shape
    -----
    input : (..., C), floating: logits
    target : broadcasts with input, floating, integer or bool
    output : (...) for 'none', else a scalar

    Returns
    -------
    numpy scalar or ndarray
        {dtypes}

    Raises
    ------
    ValueError
        If the shapes do not broadcast, or input has no dimension.
    TypeError
        If an argument does not hold real numbers.

    Notes
    -----
    Gradients for input, target and weight. The mean is the one of `BCEWithLogitsLoss`. Infinite logits give the limits.

    References
    ----------
    Matches torch.nn.MultiLabelSoftMarginLoss of 2.13 but for infinite logits.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> x = np.array([[0.5, -2.0, 3.0], [0.0, 1.0, -1.0]], np.float32)
    >>> y = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.5]], np.float32)
    >>> nl.MultiLabelSoftMarginLoss(reduction="none")(x, y)
    array([0.21653078, 0.60655683], dtype=float32)
    """

    _parameters = ("weight", "reduction", "ignore_index")

    def __init__(
        self,
        weight: ArrayLike | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        ignore_index: float | None = None,
        **policy: Unpack[RowPolicy],
    ) -> None:
        self.weight = _array.optional("MultiLabelSoftMarginLoss", "weight", weight)
        mapped = _check.legacy_reduction(size_average, reduce, reduction)
        self.reduction = _check.reduction("MultiLabelSoftMarginLoss", mapped, elementwise_mean=False)
        self.ignore_index = _check.ignore_value("MultiLabelSoftMarginLoss", ignore_index)
        self.policy = _options.policy("MultiLabelSoftMarginLoss", policy, ("axis",))

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        if not (self.policy or options):  # dictionaries cost a tenth of a small call
            return multilabel_soft_margin_loss(
                input, target, self.weight, None, None, self.reduction, ignore_index=self.ignore_index
            )
        return multilabel_soft_margin_loss(
            input, target, self.weight, None, None, self.reduction, ignore_index=self.ignore_index, **{**self.policy, **options}
        )


# ---- soft margin ----


@overload
def soft_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    *,
    reduction: Literal["none"],
    ignore_index: float | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def soft_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None,
    reduce: bool | None,
    reduction: Literal["none"],
    *,
    ignore_index: float | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def soft_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    return_divisor: Literal[True],
    ignore_index: float | None = None,
    **options: Unpack[CallOptions],
) -> WithDivisor: ...
@overload
def soft_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    ignore_index: float | None = None,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def soft_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    ignore_index: float | None = None,
    **options: Any,
) -> Any:
    """Logistic loss of answers 1 and -1. See `SoftMarginLoss`."""
    if size_average is None and reduce is None:
        plain = _core.soft_margin_loss(input, target, reduction, options, None, ignore_index)
        if plain is not None:
            return plain
    function = "soft_margin_loss"
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction))
    x, x_weak = _array.as_array(function, "input", input)
    y, y_weak = _array.as_array(function, "target", target)
    if not settings.broadcast:
        _check_shapes.strict_shapes(function, input=x, target=y)
    _check_shapes.broadcasts_to(function, "target", y, x.shape, "input")
    problem = ElementwiseProblem(
        function,
        function,
        {"input": (x, x_weak)},
        x.shape,
        reduction,
        settings,
        typed_constants={"target": (y, y_weak)},
        ignore_value=_check.ignore_value(function, ignore_index),
    )
    return request(problem)


@documented
class SoftMarginLoss(Loss):
    """Soft margin loss: the logistic loss of a score for an answer of 1 or -1.

    ``log(1 + exp(-target * input))``

    Parameters
    ----------
    {legacy}
    {reduction}
    {ignored_target}
    {policy}
    {options}

    Shape
    -----
    input : any, floating or integer: scores
    target : broadcasts to input: 1 or -1, floating or integer; not checked
    output : the shape of input for 'none', else a scalar

    Returns
    -------
    numpy scalar or ndarray
        {dtypes}

    Raises
    ------
    ValueError
        If the target does not broadcast to the input, or `reduction` is unknown.
    TypeError
        If an argument does not hold real numbers.

    Notes
    -----
    Gradient for input. Scores far on the wrong side give a loss of their size and a slope of 1, where torch's formula overflows
    to inf and NaN (from -89 on in float32). NaN in, NaN out. Error for answers of 1 and -1: 3 ULP per element in float32, 4 in
    float64, reduced 1 on random data; for others the product ``target * input`` is rounded first.

    References
    ----------
    Matches torch.nn.SoftMarginLoss of 2.13 but for the overflow; the result has the widest dtype, where torch takes that of
    input.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> x, y = np.array([0.5, -2.0, 3.0], np.float32), np.array([1, -1, -1])
    >>> nl.SoftMarginLoss(reduction="none")(x, y)
    array([0.474077 , 0.126928 , 3.0485873], dtype=float32)
    """

    _parameters = ("reduction", "ignore_index")

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        *,
        ignore_index: float | None = None,
        **policy: Unpack[Policy],
    ) -> None:
        self.reduction = _check.reduction("SoftMarginLoss", _check.legacy_reduction(size_average, reduce, reduction))
        self.ignore_index = _check.ignore_value("SoftMarginLoss", ignore_index)
        self.policy = _options.policy("SoftMarginLoss", policy)

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        if not (self.policy or options):  # dictionaries cost a tenth of a small call
            return soft_margin_loss(input, target, None, None, self.reduction, ignore_index=self.ignore_index)
        return soft_margin_loss(
            input, target, None, None, self.reduction, ignore_index=self.ignore_index, **{**self.policy, **options}
        )
