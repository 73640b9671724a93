"""Losses of rows of class scores that ask for a margin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from ndloss import _array, _check, _check_targets, _core, _options
from ndloss._doc import documented
from ndloss._loss import Loss, differentiable
from ndloss._options import loss_options
from ndloss._rowwise import RowProblem

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ndloss._typing import ArrayLike, CallOptions, FloatArray, FloatScalar, LossOptions, RowPolicy, WithDivisor

__all__ = [
    "MultiLabelMarginLoss",
    "MultiMarginLoss",
    "multi_margin_loss",
    "multilabel_margin_loss",
]


# ---- one target per row ----


@overload
def multi_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    p: int = 1,
    margin: float = 1.0,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    *,
    reduction: Literal["none"],
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def multi_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    p: int,
    margin: float,
    weight: ArrayLike | None,
    size_average: bool | None,
    reduce: bool | None,
    reduction: Literal["none"],
    *,
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def multi_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    p: int = 1,
    margin: float = 1.0,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    return_divisor: Literal[True],
    axis: int | None = None,
    **options: Unpack[CallOptions],
) -> WithDivisor: ...
@overload
def multi_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    p: int = 1,
    margin: float = 1.0,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def multi_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    p: int = 1,
    margin: float = 1.0,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    axis: int | None = None,
    **options: Any,
) -> Any:
    """Multi-class margin loss of class scores. See `MultiMarginLoss`."""
    if size_average is None and reduce is None:
        plain = _core.multi_margin_loss(input, target, p, margin, weight, reduction, axis, options)
        if plain is not None:
            return plain
    function = "multi_margin_loss"
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction))
    power = _check.hinge_power(function, p)
    width = _check.number(function, "margin", margin)
    x, x_weak = _array.as_array(function, "input", input)
    y, _ = _array.as_array(function, "target", target)
    weights = _check_targets.margin_weight(function, _array.optional(function, "weight", weight))
    classes = _check_targets.row_axis(function, axis, x)
    _check_targets.margin_rows(function, x, classes)
    _check_targets.margin_labels(function, x, y, classes)
    return request(
        RowProblem(
            function, (x, x_weak), classes, reduction, settings, labels=y, weight=weights, p=power, margin=width, shape=y.shape
        )
    )


@documented
class MultiMarginLoss(Loss):
    """Multi-class margin loss: every class but the target is to score at least `margin` less than the target.

    ``w[y] / C * sum over c != y of max(0, margin - input[y] + input[c]) ** p`` for each row

    Parameters
    ----------
    p : {1, 2}, default 1
        The power of each violation.
    margin : float, default 1.0
        The distance asked for; any real number.
    {class_weight}
    {legacy}
    {reduction}
    {class_axis}
    {policy}
    {options}

    Shape
    -----
    input : (C,), (N, C) or (), floating: scores; C at least 1
    target : (), (N,), any integer dtype: class indices in [0, C); a single row also takes (1,)
    output : the shape of target for 'none', else a scalar

    Returns
    -------
    numpy scalar or ndarray
        {dtypes}

    Raises
    ------
    IndexError
        If a class index is not in [0, C): its position and value are named. There is no index to ignore.
    ValueError
        If the shapes do not match, there is no class, or `p` is neither 1 nor 2.
    TypeError
        If target does not hold integers.

    Notes
    -----
    The mean divides by the number of rows, whatever the weights. Gradient for input; it is 0 where
    ``margin - input[y] + input[c]`` is exactly 0. A NaN is no violation. A weight of 0 contributes nothing, even where the rest
    is infinite (torch gives NaN there); the mean of an empty batch is NaN and its sum 0 (torch gives whatever was in memory).
    Violations are taken without cancellation, so one that torch rounds to 0 keeps its sign. Error: 3 ULP per row in float32,
    4 in float64.

    References
    ----------
    J. Weston, C. Watkins, Multi-class support vector machines (1998), eq. 3. Matches torch.nn.MultiMarginLoss of 2.13.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> x = np.array([[0.1, 0.2, 0.4, 0.8], [0.5, 0.1, 0.3, 0.9]], np.float32)
    >>> nl.MultiMarginLoss(reduction="none")(x, np.array([3, 0]))
    array([0.325, 0.7  ], dtype=float32)
    >>> print(nl.MultiMarginLoss(p=2, margin=0.5)(x, np.array([3, 0])))
    0.114999995
    """

    _parameters = ("p", "margin", "weight", "reduction")

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: ArrayLike | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        **policy: Unpack[RowPolicy],
    ) -> None:
        name = "MultiMarginLoss"
        self.p = _check.hinge_power(name, p)
        self.margin = _check.number(name, "margin", margin)
        self.weight = _check_targets.margin_weight(name, _array.optional(name, "weight", weight))
        self.reduction = _check.reduction(name, _check.legacy_reduction(size_average, reduce, reduction))
        self.policy = _options.policy("MultiMarginLoss", policy, ("axis",))

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return multi_margin_loss(
            input, target, self.p, self.margin, self.weight, None, None, self.reduction, **{**self.policy, **options}
        )


# ---- several targets per row ----


@overload
def multilabel_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    *,
    reduction: Literal["none"],
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def multilabel_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None,
    reduce: bool | None,
    reduction: Literal["none"],
    *,
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def multilabel_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    return_divisor: Literal[True],
    axis: int | None = None,
    **options: Unpack[CallOptions],
) -> WithDivisor: ...
@overload
def multilabel_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def multilabel_margin_loss(
    input: ArrayLike,
    target: ArrayLike,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    axis: int | None = None,
    **options: Any,
) -> Any:
    """Multi-label margin loss of class scores. See `MultiLabelMarginLoss`."""
    if size_average is None and reduce is None:
        plain = _core.multilabel_margin_loss(input, target, reduction, axis, options)
        if plain is not None:
            return plain
    function = "multilabel_margin_loss"
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction))
    x, x_weak = _array.as_array(function, "input", input)
    y, _ = _array.as_array(function, "target", target)
    classes = _check_targets.row_axis(function, axis, x)
    _check_targets.margin_rows(function, x, classes)
    _check_targets.margin_label_sets(function, x, y)
    return request(RowProblem(function, (x, x_weak), classes, reduction, settings, label_sets=y))


@documented
class MultiLabelMarginLoss(Loss):
    """Multi-label margin loss: every target of a row is to score at least 1 more than every class that is none.

    ``1 / C * sum over targets k and other classes c of max(0, 1 - input[k] + input[c])`` for each row

    Parameters
    ----------
    {legacy}
    {reduction}
    {class_axis}
    {policy}
    {options}

    Shape
    -----
    input : (C,), (N, C) or (), floating: scores; C at least 1
    target : the same, any integer dtype: the targets of each row first, then -1, then -1 or any class, which is not used
    output : (N,) for 'none' and (N, C), else a scalar

    Returns
    -------
    numpy scalar or ndarray
        {dtypes}

    Raises
    ------
    IndexError
        If an entry of target, be it behind the first -1, is not in [-1, C): its position and value are named.
    ValueError
        If the shapes differ, or there is no class.
    TypeError
        If target does not hold integers.

    Notes
    -----
    A target that stands twice among those of a row counts twice. A row without a target costs 0. Gradient for input; it is 0 for
    a pair with ``1 - input[k] + input[c]`` exactly 0. A NaN is no violation. The mean of an empty batch is NaN and its sum 0
    (torch gives whatever was in memory). Error: 3 ULP per row in float32, 4 in float64.

    References
    ----------
    A. Elisseeff, J. Weston, A kernel method for multi-labelled classification (2001). Matches torch.nn.MultiLabelMarginLoss of
    2.13.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> x = np.array([[0.1, 0.2, 0.4, 0.8], [0.5, 0.1, 0.3, 0.9]], np.float32)
    >>> y = np.array([[3, 0, -1, 1], [1, -1, 2, -1]])
    >>> nl.MultiLabelMarginLoss(reduction="none")(x, y)
    array([0.85, 1.1 ], dtype=float32)
    """

    _parameters = ("reduction",)

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        **policy: Unpack[RowPolicy],
    ) -> None:
        self.reduction = _check.reduction("MultiLabelMarginLoss", _check.legacy_reduction(size_average, reduce, reduction))
        self.policy = _options.policy("MultiLabelMarginLoss", policy, ("axis",))

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return multilabel_margin_loss(input, target, None, None, self.reduction, **{**self.policy, **options})
