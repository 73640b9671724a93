"""Losses of independent yes-or-no answers: of probabilities, of logits, of several labels at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from ndloss import _array, _check, _core, _options, _sparse
from ndloss._doc import documented
from ndloss._elementwise import ElementwiseProblem
from ndloss._loss import Loss, differentiable
from ndloss._moved import MovedProblem, Way, moved_last
from ndloss._options import loss_options

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ndloss._typing import Array, ArrayLike, FloatArray, FloatScalar, LossOptions, Policy, RowPolicy

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "MultiLabelSoftMarginLoss",
    "SoftMarginLoss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
]


# ---- binary cross entropy of probabilities ----


@overload
def binary_cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    *,
    reduction: Literal["none"],
    ignore_index: float | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def binary_cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None,
    size_average: bool | None,
    reduce: bool | None,
    reduction: Literal["none"],
    *,
    ignore_index: float | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def binary_cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    ignore_index: float | None = None,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def binary_cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    ignore_index: float | None = None,
    **options: Any,
) -> Any:
    """Binary cross entropy of probabilities. See `BCELoss`."""
    if weight is None and size_average is None and reduce is None and ignore_index is None and not options:
        plain = _core.binary_cross_entropy(input, target, reduction)
        if plain is not None:
            return plain
    function = "binary_cross_entropy"
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction))
    x, x_weak = _array.as_array(function, "input", input)
    y, y_weak = _array.as_array(function, "target", target)
    _check.same_shape(function, x, y)
    weights = _array.optional(function, "weight", weight)
    if weights is not None:
        _check.broadcasts_to(function, "weight", weights, y.shape, "target")
    problem = ElementwiseProblem(
        function,
        function,
        {"input": (x, x_weak), "target": (y, y_weak)},
        x.shape,
        reduction,
        settings,
        weight=weights,
        domain="[0, 1]",
        ignore_value=_check.ignore_value(function, ignore_index),
    )
    return request(problem)


@documented
class BCELoss(Loss):
    """Binary cross entropy of probabilities.

    ``-w * (target * max(log(input), -100) + (1 - target) * max(log(1 - input), -100))``

    Parameters
    ----------
    weight : array_like, optional
        Multiplies the loss; broadcasts to the target. Not in the mean's divisor, which is the number of elements.
    {legacy}
    {reduction}
    {ignored_target}
    {policy}
    {options}

    Shape
    -----
    input : any, floating: probabilities in [0, 1]
    target : the same, floating, integer or bool, in [0, 1]
    output : the same for 'none', else a scalar

    Returns
    -------
    numpy scalar or ndarray
        {dtypes}

    Raises
    ------
    ValueError
        If the shapes differ, or a number lies outside [0, 1]: its position and value are named.
    TypeError
        If an argument does not hold real numbers.

    Notes
    -----
    Gradients for input and target. As in torch a certain wrong answer costs 100, and its gradient is 1e12 times the
    difference. Logits lose nothing in `BCEWithLogitsLoss`; a sigmoid that has rounded to 0 or 1 has lost it all.
    Error: 3 ULP per element in float32, 4 in float64; reduced 1 on random data.

    References
    ----------
    C. M. Bishop, Pattern Recognition and Machine Learning (2006), eq. 4.90. Matches torch.nn.BCELoss of 2.13.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> p, y = np.array([0.9, 0.2, 0.5], np.float32), np.array([1, 0, 1])
    >>> print(nl.BCELoss()(p, y))
    0.34055042
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
        **policy: Unpack[Policy],
    ) -> None:
        self.weight = _array.optional("BCELoss", "weight", weight)
        self.reduction = _check.reduction("BCELoss", _check.legacy_reduction(size_average, reduce, reduction))
        self.ignore_index = _check.ignore_value("BCELoss", ignore_index)
        self.policy = _options.policy("BCELoss", policy)

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return binary_cross_entropy(
            input, target, self.weight, reduction=self.reduction, ignore_index=self.ignore_index, **{**self.policy, **options}
        )


# ---- binary cross entropy of logits ----


@overload
def binary_cross_entropy_with_logits(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    *,
    reduction: Literal["none"],
    pos_weight: ArrayLike | None = None,
    ignore_index: float | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def binary_cross_entropy_with_logits(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None,
    size_average: bool | None,
    reduce: bool | None,
    reduction: Literal["none"],
    pos_weight: ArrayLike | None = None,
    *,
    ignore_index: float | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def binary_cross_entropy_with_logits(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: ArrayLike | None = None,
    *,
    ignore_index: float | None = None,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def binary_cross_entropy_with_logits(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: ArrayLike | None = None,
    *,
    ignore_index: float | None = None,
    **options: Any,
) -> Any:
    """Binary cross entropy of logits. See `BCEWithLogitsLoss`."""
    usual = weight is None and pos_weight is None and size_average is None and reduce is None and ignore_index is None
    if usual and not options:
        plain = _core.binary_cross_entropy_with_logits(input, target, reduction)
        if plain is not None:
            return plain
    function = "binary_cross_entropy_with_logits"
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction))
    if _sparse.is_sparse(target):
        beside = {"weight": weight, "pos_weight": pos_weight}
        rest = {**options, "ignore_index": ignore_index}
        return _sparse.by_rows(binary_cross_entropy_with_logits, input, target, beside, reduction, rest)
    settings, request = loss_options(function, options)
    x, x_weak = _array.as_array(function, "input", input)
    y, y_weak = _array.as_array(function, "target", target)
    _check.same_shape(function, x, y)
    weights = _array.optional(function, "weight", weight)
    if weights is not None:
        _check.broadcasts_to(function, "weight", weights, x.shape, "input")
    constants: dict[str, Array] = {}
    core = function
    if pos_weight is not None:
        positive, _ = _array.as_array(function, "pos_weight", pos_weight)
        constants["pos_weight"] = _check.broadcasts_to(function, "pos_weight", positive, x.shape, "input")
        core = "binary_cross_entropy_with_logits_pos_weight"
    problem = ElementwiseProblem(
        function,
        core,
        {"input": (x, x_weak), "target": (y, y_weak)},
        x.shape,
        reduction,
        settings,
        constants=constants,
        weight=weights,
        ignore_value=_check.ignore_value(function, ignore_index),
    )
    return request(problem)


@documented
class BCEWithLogitsLoss(Loss):
    """Binary cross entropy of logits.

    ``w * ((1 - target) * softplus(input) + pos_weight * target * softplus(-input))``

    Parameters
    ----------
    weight : array_like, optional
        Multiplies the loss; broadcasts to the input. Not in the mean's divisor, which is the number of elements.
    {legacy}
    {reduction}
    pos_weight : array_like, optional
        Multiplies the positive term; broadcasts to the input.
    {ignored_target}
    {policy}
    {options}

    Shape
    -----
    input : any, floating: logits
    target : the same, floating, integer or bool; in [0, 1] for a cross entropy, but not checked
    output : the same for 'none', else a scalar

    Returns
    -------
    numpy scalar or ndarray
        {dtypes}

    Raises
    ------
    ValueError
        If the shapes differ, or a weight does not broadcast to the input.
    TypeError
        If an argument does not hold real numbers.

    Notes
    -----
    Gradients for input and target. Both tails are exact, where torch's formula cancels (it gives 0 from -15 on in float32),
    and infinite logits give the limits where torch gives NaN. Error: 3 ULP per element in float32, 4 in float64; reduced 1
    on random data.

    References
    ----------
    Matches torch.nn.BCEWithLogitsLoss of 2.13 but for the tails.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> x, y = np.array([-2.0, 0.5, 3.0], np.float32), np.array([0.0, 1.0, 0.3], np.float32)
    >>> print(nl.BCEWithLogitsLoss()(x, y))
    0.9165307
    >>> print(nl.BCEWithLogitsLoss(pos_weight=[3.0])(np.float32([-20.0]), [0]))
    2.0611537e-09
    """

    _parameters = ("weight", "reduction", "pos_weight", "ignore_index")

    def __init__(
        self,
        weight: ArrayLike | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: ArrayLike | None = None,
        *,
        ignore_index: float | None = None,
        **policy: Unpack[Policy],
    ) -> None:
        self.weight = _array.optional("BCEWithLogitsLoss", "weight", weight)
        self.pos_weight = _array.optional("BCEWithLogitsLoss", "pos_weight", pos_weight)
        self.reduction = _check.reduction("BCEWithLogitsLoss", _check.legacy_reduction(size_average, reduce, reduction))
        self.ignore_index = _check.ignore_value("BCEWithLogitsLoss", ignore_index)
        self.policy = _options.policy("BCEWithLogitsLoss", policy)

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return binary_cross_entropy_with_logits(
            input,
            target,
            self.weight,
            reduction=self.reduction,
            pos_weight=self.pos_weight,
            ignore_index=self.ignore_index,
            **{**self.policy, **options},
        )


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
    usual = weight is None and size_average is None and reduce is None and axis is None and ignore_index is None
    if usual and not options:
        plain = _core.multilabel_soft_margin_loss(input, target, reduction)
        if plain is not None:
            return plain
    function = "multilabel_soft_margin_loss"
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction), elementwise_mean=False)
    if _sparse.is_sparse(target):
        beside = {"weight": weight}
        _check.last_axis_of_sparse(function, axis)
        rest = {**options, "ignore_index": ignore_index}
        return _sparse.by_rows(multilabel_soft_margin_loss, input, target, beside, reduction, rest, row_mean=True)
    settings, request = loss_options(function, options)
    x, x_weak = _array.as_array(function, "input", input)
    y, y_weak = _array.as_array(function, "target", target)
    if x.ndim == 0:
        raise ValueError(f"{function}: input must have 1 or more dimensions, the last one for the classes; got 0")
    classes = _check.class_axis(function, "axis", -1 if axis is None else axis, x.ndim) - x.ndim
    if not settings.broadcast:
        _check.strict_shapes(function, input=x, target=y)
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
    shape = _check.broadcast_shape(function, **arrays, **({} if weights is None else {"weight": weights}))
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
        return multilabel_soft_margin_loss(
            input, target, self.weight, reduction=self.reduction, ignore_index=self.ignore_index, **{**self.policy, **options}
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
    if size_average is None and reduce is None and ignore_index is None and not options:
        plain = _core.soft_margin_loss(input, target, reduction)
        if plain is not None:
            return plain
    function = "soft_margin_loss"
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction))
    x, x_weak = _array.as_array(function, "input", input)
    y, y_weak = _array.as_array(function, "target", target)
    if not settings.broadcast:
        _check.strict_shapes(function, input=x, target=y)
    _check.broadcasts_to(function, "target", y, x.shape, "input")
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
        return soft_margin_loss(
            input, target, reduction=self.reduction, ignore_index=self.ignore_index, **{**self.policy, **options}
        )
