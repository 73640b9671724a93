"""Losses of classifiers: of probabilities, of logits, of log-probabilities; one class, several, or one of many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from ndloss import _array, _check, _core
from ndloss._doc import documented
from ndloss._elementwise import ElementwiseProblem
from ndloss._loss import Loss, differentiable
from ndloss._options import loss_options
from ndloss._rowwise import RowProblem

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ndloss._typing import Array, ArrayLike, FloatArray, FloatScalar, LossOptions

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "MultiLabelSoftMarginLoss",
    "NLLLoss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "multilabel_soft_margin_loss",
    "nll_loss",
]


def _optional_array(function: str, argument: str, value: ArrayLike | None) -> Array | None:
    return None if value is None else _array.as_array(function, argument, value)[0]


def _kept(value: ArrayLike | None, class_name: str, argument: str) -> Array | None:
    """A constructor's array, checked early and kept as it is."""
    return _optional_array(class_name, argument, value)


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
    **options: Any,
) -> Any:
    """Binary cross entropy of probabilities. See `BCELoss`."""
    if weight is None and size_average is None and reduce is None and not options:
        plain = _core.binary_cross_entropy(input, target, reduction)
        if plain is not None:
            return plain
    function = "binary_cross_entropy"
    threads, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction))
    x, x_weak = _array.as_array(function, "input", input)
    y, y_weak = _array.as_array(function, "target", target)
    _check.same_shape(function, x, y)
    weights = _optional_array(function, "weight", weight)
    if weights is not None:
        _check.broadcasts_to(function, "weight", weights, y.shape, "target")
    operands = {"input": (x, x_weak), "target": (y, y_weak)}
    return request(ElementwiseProblem(function, function, operands, x.shape, reduction, threads, weight=weights, domain="[0, 1]"))


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
    0.34055027
    """

    _parameters = ("weight", "reduction")

    def __init__(
        self,
        weight: ArrayLike | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self.weight = _kept(weight, "BCELoss", "weight")
        self.reduction = _check.reduction("BCELoss", _check.legacy_reduction(size_average, reduce, reduction))

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return binary_cross_entropy(input, target, self.weight, reduction=self.reduction, **options)


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
    **options: Any,
) -> Any:
    """Binary cross entropy of logits. See `BCEWithLogitsLoss`."""
    if weight is None and pos_weight is None and size_average is None and reduce is None and not options:
        plain = _core.binary_cross_entropy_with_logits(input, target, reduction)
        if plain is not None:
            return plain
    function = "binary_cross_entropy_with_logits"
    threads, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction))
    x, x_weak = _array.as_array(function, "input", input)
    y, y_weak = _array.as_array(function, "target", target)
    _check.same_shape(function, x, y)
    weights = _optional_array(function, "weight", weight)
    if weights is not None:
        _check.broadcasts_to(function, "weight", weights, x.shape, "input")
    constants: dict[str, Array] = {}
    core = function
    if pos_weight is not None:
        positive, _ = _array.as_array(function, "pos_weight", pos_weight)
        constants["pos_weight"] = _check.broadcasts_to(function, "pos_weight", positive, x.shape, "input")
        core = "binary_cross_entropy_with_logits_pos_weight"
    operands = {"input": (x, x_weak), "target": (y, y_weak)}
    problem = ElementwiseProblem(function, core, operands, x.shape, reduction, threads, constants=constants, weight=weights)
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

    _parameters = ("weight", "reduction", "pos_weight")

    def __init__(
        self,
        weight: ArrayLike | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: ArrayLike | None = None,
    ) -> None:
        self.weight = _kept(weight, "BCEWithLogitsLoss", "weight")
        self.pos_weight = _kept(pos_weight, "BCEWithLogitsLoss", "pos_weight")
        self.reduction = _check.reduction("BCEWithLogitsLoss", _check.legacy_reduction(size_average, reduce, reduction))

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight, **options
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
    **options: Any,
) -> Any:
    """Multi-label soft margin loss. See `MultiLabelSoftMarginLoss`."""
    if weight is None and size_average is None and reduce is None and not options:
        plain = _core.multilabel_soft_margin_loss(input, target, reduction)
        if plain is not None:
            return plain
    function = "multilabel_soft_margin_loss"
    threads, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction), elementwise_mean=False)
    x, x_weak = _array.as_array(function, "input", input)
    y, y_weak = _array.as_array(function, "target", target)
    if x.ndim == 0:
        raise ValueError(f"{function}: input must have 1 or more dimensions, the last one for the classes; got 0")
    weights = _optional_array(function, "weight", weight)
    arrays = {"input": x, "target": y} if weights is None else {"input": x, "target": y, "weight": weights}
    shape = _check.broadcast_shape(function, **arrays)
    operands = {"input": (x, x_weak), "target": (y, y_weak)}
    problem = ElementwiseProblem(
        function, function, operands, shape, reduction, threads, weight=weights, weight_differentiable=True,
        row_mean=True, row_divisor=x.shape[-1],
    )  # fmt: skip
    return request(problem)


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
    array([0.21653079, 0.60655695], dtype=float32)
    """

    _parameters = ("weight", "reduction")

    def __init__(
        self,
        weight: ArrayLike | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        self.weight = _kept(weight, "MultiLabelSoftMarginLoss", "weight")
        mapped = _check.legacy_reduction(size_average, reduce, reduction)
        self.reduction = _check.reduction("MultiLabelSoftMarginLoss", mapped, elementwise_mean=False)

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction, **options)


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
    **options: Any,
) -> Any:
    """Cross entropy of logits with class indices or class probabilities. See `CrossEntropyLoss`."""
    if weight is None and size_average is None and reduce is None and not options:
        plain = _core.cross_entropy(input, target, ignore_index, reduction, label_smoothing)
        if plain is not None:
            return plain
    function = "cross_entropy"
    threads, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction))
    ignored = _check.ignore_index(function, ignore_index)
    smoothing = _check.label_smoothing(function, label_smoothing)
    x, x_weak = _array.as_array(function, "input", input)
    y, y_weak = _array.as_array(function, "target", target)
    weights = _optional_array(function, "weight", weight)
    if x.ndim == 0:
        raise ValueError(f"{function}: input must have 1 or more dimensions, got 0")
    axis = 1 if x.ndim > 1 else 0
    if y.shape == x.shape:
        if y.dtype.kind != "f":
            raise TypeError(
                f"{function}: target has input's shape {x.shape}, which makes it class probabilities, and those must be floating; "
                f"got dtype {y.dtype}. A one-hot target becomes class indices by target.argmax({axis}). "
                f"(Expected floating point type for target with class probabilities.)"
            )
        if ignored >= 0:
            raise ValueError(f"{function}: ignore_index is not supported for class probabilities, got {ignored}")
        problem = RowProblem(
            function,
            (x, x_weak),
            axis,
            reduction,
            threads,
            probabilities=(y, y_weak),
            weight=weights,
            label_smoothing=smoothing,
        )
        return request(problem)
    _check.class_indices(function, x, y)
    problem = RowProblem(
        function,
        (x, x_weak),
        axis,
        reduction,
        threads,
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
    ) -> None:
        self.weight = _kept(weight, "CrossEntropyLoss", "weight")
        self.ignore_index = _check.ignore_index("CrossEntropyLoss", ignore_index)
        self.reduction = _check.reduction("CrossEntropyLoss", _check.legacy_reduction(size_average, reduce, reduction))
        self.label_smoothing = _check.label_smoothing("CrossEntropyLoss", label_smoothing)

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
            **options,
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
    **options: Any,
) -> Any:
    """Negative log likelihood of log-probabilities. See `NLLLoss`."""
    if weight is None and size_average is None and reduce is None and not options:
        plain = _core.nll_loss(input, target, ignore_index, reduction)
        if plain is not None:
            return plain
    function = "nll_loss"
    threads, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction))
    ignored = _check.ignore_index(function, ignore_index)
    x, x_weak = _array.as_array(function, "input", input)
    y, _ = _array.as_array(function, "target", target)
    weights = _optional_array(function, "weight", weight)
    _check.class_indices(function, x, y)
    axis = 1 if x.ndim > 1 else 0
    return request(RowProblem(function, (x, x_weak), axis, reduction, threads, labels=y, weight=weights, ignore_index=ignored))


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
    ) -> None:
        self.weight = _kept(weight, "NLLLoss", "weight")
        self.ignore_index = _check.ignore_index("NLLLoss", ignore_index)
        self.reduction = _check.reduction("NLLLoss", _check.legacy_reduction(size_average, reduce, reduction))

    def __call__(self, input: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return nll_loss(input, target, self.weight, None, self.ignore_index, None, self.reduction, **options)
