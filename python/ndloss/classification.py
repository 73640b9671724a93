"""Losses of one class of many: of logits, of log-probabilities."""

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
    "CrossEntropyLoss",
    "NLLLoss",
    "cross_entropy",
    "nll_loss",
]


# ---- cross entropy ----


@overload
def cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    *,
    reduction: Literal["none"],
    label_smoothing: float = 0.0,
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None,
    size_average: bool | None,
    ignore_index: int,
    reduce: bool | None,
    reduction: Literal["none"],
    label_smoothing: float = 0.0,
    *,
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    return_divisor: Literal[True],
    axis: int | None = None,
    **options: Unpack[CallOptions],
) -> WithDivisor: ...
@overload
def cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def cross_entropy(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    *,
    axis: int | None = None,
    **options: Any,
) -> Any:
    """Cross entropy of logits with class indices or class probabilities. See `CrossEntropyLoss`."""
    if size_average is None and reduce is None:
        plain = _core.cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing, axis, options)
        if plain is not None:
            return plain
    function = "cross_entropy"
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction))
    ignored = _check.ignore_index(function, ignore_index)
    smoothing = _check.label_smoothing(function, label_smoothing)
    x, x_weak = _array.as_array(function, "input", input)
    y, y_weak = _array.as_array(function, "target", target)
    weights = _array.optional(function, "weight", weight)
    if x.ndim == 0:
        raise ValueError(f"{function}: input must have 1 or more dimensions, got 0")
    classes = _check_targets.row_axis(function, axis, x)
    if y.shape == x.shape:
        if not _array.is_floating(y.dtype):
            raise TypeError(
                f"{function}: target has input's shape {x.shape}, which makes it class probabilities, and those must be floating; "
                f"got dtype {y.dtype}. A one-hot target becomes class indices by target.argmax({classes}). "
                f"(Expected floating point type for target with class probabilities.)"
            )
        if ignored >= 0:
            raise ValueError(f"{function}: ignore_index is not supported for class probabilities, got {ignored}")
        problem = RowProblem(
            function,
            (x, x_weak),
            classes,
            reduction,
            settings,
            probabilities=(y, y_weak),
            weight=weights,
            label_smoothing=smoothing,
        )
        return request(problem)
    _check_targets.class_indices(function, x, y, classes)
    problem = RowProblem(
        function,
        (x, x_weak),
        classes,
        reduction,
        settings,
        labels=y,
        weight=weights,
        ignore_index=ignored,
        label_smoothing=smoothing,
    )
    return request(problem)


@documented
class CrossEntropyLoss(Loss):
    """Cross entropy of logits with class indices or class probabilities.

    For class indices ``-(1 - eps) * w[y] * log_softmax(input)[y] - eps / C * sum(w * log_softmax(input))``; for class
    probabilities q ``-sum(w * ((1 - eps) * q + eps / C) * log_softmax(input))``, with eps the label smoothing.

    Parameters
    ----------
    {class_weight}
    {legacy}
    {ignore_index}
    {reduction}
    label_smoothing : float in [0, 1], default 0.0
        The share of every target that is spread evenly over the classes.
    {class_axis}
    {policy}
    {options}

    Shape
    -----
    {row_shape},
        or the shape of input, floating: class probabilities. The shape alone decides.
    output : the shape of the class indices for 'none', else a scalar

    Returns
    -------
    numpy scalar or ndarray
        {dtypes}

    Raises
    ------
    IndexError
        If a class index is neither in [0, C) nor `ignore_index`: its position and value are named.
    ValueError
        If the shapes do not match, or `label_smoothing` lies outside [0, 1].
    TypeError
        If an integer target has the shape of the input, as a one-hot one has.

    Notes
    -----
    The mean divides by the sum of w[y] over the kept rows for class indices, by the number of rows for class probabilities.
    Gradients for input; with class probabilities also for target and weight. A class of zero weight or probability
    contributes nothing, even at a logit of -inf, and an ignored row has a gradient of 0 whatever it holds, where torch gives
    NaN. The loss of a dominant class keeps its digits (it is log1p of the others). Error: 3 ULP per row in float32, 4 in
    float64.

    References
    ----------
    C. Szegedy et al., Rethinking the Inception Architecture for Computer Vision (2016), section 7. Matches
    torch.nn.CrossEntropyLoss of 2.13.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> x = np.array([[1.0, 2.0, 0.5], [0.1, -1.0, 3.0]], np.float32)
    >>> print(nl.CrossEntropyLoss()(x, np.array([0, 2])))
    0.7675717
    >>> print(nl.CrossEntropyLoss()(x, np.array([[0.2, 0.5, 0.3], [0.0, 0.0, 1.0]], np.float32)))
    0.5925717
    """

    _parameters = ("weight", "ignore_index", "reduction", "label_smoothing")

    def __init__(
        self,
        weight: ArrayLike | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        **policy: Unpack[RowPolicy],
    ) -> None:
        self.weight = _array.optional("CrossEntropyLoss", "weight", weight)
        self.ignore_index = _check.ignore_index("CrossEntropyLoss", ignore_index)
        self.reduction = _check.reduction("CrossEntropyLoss", _check.legacy_reduction(size_average, reduce, reduction))
        self.label_smoothing = _check.label_smoothing("CrossEntropyLoss", label_smoothing)
        self.policy = _options.policy("CrossEntropyLoss", policy, ("axis",))

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return cross_entropy(
            input,
            target,
            self.weight,
            None,
            self.ignore_index,
            None,
            self.reduction,
            self.label_smoothing,
            **{**self.policy, **options},
        )


# ---- negative log likelihood ----


@overload
def nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    *,
    reduction: Literal["none"],
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None,
    size_average: bool | None,
    ignore_index: int,
    reduce: bool | None,
    reduction: Literal["none"],
    *,
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    return_divisor: Literal[True],
    axis: int | None = None,
    **options: Unpack[CallOptions],
) -> WithDivisor: ...
@overload
def nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    axis: int | None = None,
    **options: Any,
) -> Any:
    """Negative log likelihood of log-probabilities. See `NLLLoss`."""
    if size_average is None and reduce is None:
        plain = _core.nll_loss(input, target, weight, ignore_index, reduction, axis, options)
        if plain is not None:
            return plain
    function = "nll_loss"
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction))
    ignored = _check.ignore_index(function, ignore_index)
    x, x_weak = _array.as_array(function, "input", input)
    y, _ = _array.as_array(function, "target", target)
    weights = _array.optional(function, "weight", weight)
    classes = _check_targets.row_axis(function, axis, x)
    _check_targets.class_indices(function, x, y, classes)
    return request(RowProblem(function, (x, x_weak), classes, reduction, settings, labels=y, weight=weights, ignore_index=ignored))


@documented
class NLLLoss(Loss):
    """Negative log likelihood of log-probabilities.

    ``-w[y] * input[y]`` for each row

    Parameters
    ----------
    {class_weight}
    {legacy}
    {ignore_index}
    {reduction}
    {class_axis}
    {policy}
    {options}

    Shape
    -----
    {row_shape}
    output : the shape of target for 'none', else a scalar

    Returns
    -------
    numpy scalar or ndarray
        {dtypes}

    Raises
    ------
    IndexError
        If a class index is neither in [0, C) nor `ignore_index`: its position and value are named.
    ValueError
        If the shapes do not match.
    TypeError
        If target does not hold integers.

    Notes
    -----
    The mean divides by the sum of w[y] over the kept rows. Gradient for input. Only the targets' entries of input are read. A
    weight of zero contributes nothing, even at -inf. Unchecked: whether input holds log-probabilities.

    References
    ----------
    Matches torch.nn.NLLLoss of 2.13.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> logp = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]], np.float32))
    >>> print(nl.NLLLoss()(logp, np.array([0, 1])))
    0.28990924
    """

    _parameters = ("weight", "ignore_index", "reduction")

    def __init__(
        self,
        weight: ArrayLike | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        **policy: Unpack[RowPolicy],
    ) -> None:
        self.weight = _array.optional("NLLLoss", "weight", weight)
        self.ignore_index = _check.ignore_index("NLLLoss", ignore_index)
        self.reduction = _check.reduction("NLLLoss", _check.legacy_reduction(size_average, reduce, reduction))
        self.policy = _options.policy("NLLLoss", policy, ("axis",))

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return nll_loss(input, target, self.weight, None, self.ignore_index, None, self.reduction, **{**self.policy, **options})
