"""Losses of pairs of vectors that a label calls alike or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from ndloss import _array, _check, _check_shapes, _core, _options
from ndloss._doc import documented
from ndloss._loss import Loss, differentiable
from ndloss._options import loss_options
from ndloss._vectors import VectorLoss, VectorProblem

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ndloss._typing import ArrayLike, CallOptions, FloatArray, FloatScalar, LossOptions, RowPolicy, WithDivisor

__all__ = [
    "CosineEmbeddingLoss",
    "cosine_embedding_loss",
]


@overload
def cosine_embedding_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    target: ArrayLike,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    *,
    reduction: Literal["none"],
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def cosine_embedding_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    target: ArrayLike,
    margin: float,
    size_average: bool | None,
    reduce: bool | None,
    reduction: Literal["none"],
    *,
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def cosine_embedding_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    target: ArrayLike,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    return_divisor: Literal[True],
    axis: int | None = None,
    **options: Unpack[CallOptions],
) -> WithDivisor: ...
@overload
def cosine_embedding_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    target: ArrayLike,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def cosine_embedding_loss(
    input1: ArrayLike,
    input2: ArrayLike,
    target: ArrayLike,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    axis: int | None = None,
    **options: Any,
) -> Any:
    """Cosine embedding loss. See `CosineEmbeddingLoss`."""
    if size_average is None and reduce is None:
        plain = _core.cosine_embedding_loss(input1, input2, target, margin, reduction, axis, options)
        if plain is not None:
            return plain
    function = "cosine_embedding_loss"
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction))
    loss = VectorLoss("cosine_embedding", "cosine", margin=_check.number(function, "margin", margin))
    x1, x1_weak = _array.as_array(function, "input1", input1)
    x2, x2_weak = _array.as_array(function, "input2", input2)
    y, _ = _array.as_array(function, "target", target)
    features = _check.class_axis(function, "axis", -1 if axis is None else axis, max(x1.ndim, x2.ndim))
    shape = _check_shapes.one_label_per_vector(function, x1, x2, y, features)
    if not settings.broadcast:
        _check_shapes.strict_shapes(function, input1=x1, input2=x2)
        _check_shapes.strict_rows(function, "target", y, shape[:features] + shape[features + 1 :])
    operands = {"input1": (x1, x1_weak), "input2": (x2, x2_weak)}
    last = features - len(shape)
    return request(VectorProblem(function, loss, operands, shape, reduction, settings, label=y, axis=last))


@documented
class CosineEmbeddingLoss(Loss):
    """Pulls two vectors together, or pushes their cosine below a margin.

    ``1 - cos(input1, input2)`` where target is 1, ``max(0, cos(input1, input2) - margin)`` where it is -1, and 0 for any other
    target.

    Parameters
    ----------
    margin : float, default 0.0
        The cosine up to which vectors of target -1 cost nothing; in [-1, 1] to make sense, but not checked.
    {legacy}
    {reduction}
    {feature_axis}
    {policy}
    {options}

    Shape
    -----
    input1, input2 : (N, D) or (D,), floating or integer; they broadcast against each other
    target : (N,) or (), 1 or -1 in any real dtype; (1,) broadcasts
    output : (N,) or () for 'none', else a scalar

    Returns
    -------
    numpy scalar or ndarray
        The result has the widest floating dtype of input1 and input2, as in torch; the target takes no part. Sums are taken in
        double, in an order that depends on neither threads nor layout.

    Raises
    ------
    ValueError
        If the shapes do not match, or `reduction` is unknown.
    TypeError
        If an argument does not hold real numbers.

    Notes
    -----
    Gradients for input1 and input2. The squared norms have 1e-12 added, as in torch: a vector of zeros has cosine 0, and a
    gradient of about 1e6. At cos = margin the gradient passes. Squares are taken in double: float32 entries of about 1e20,
    and float16 ones, give numbers where torch gives NaN. NaN in, NaN out. Error: 3 ULP in float32; where terms cancel 8 eps
    times the sum of their magnitudes.

    References
    ----------
    Matches torch.nn.CosineEmbeddingLoss of 2.13.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> x1 = np.array([[1.0, 2.0, 3.0], [1.0, 0.0, -1.0]])
    >>> x2 = np.array([[1.0, 2.0, 2.0], [0.0, 1.0, -1.0]])
    >>> nl.CosineEmbeddingLoss(margin=0.3, reduction="none")(x1, x2, [1, -1])
    array([0.02004211, 0.2       ])
    """

    _parameters = ("margin", "reduction")

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        **policy: Unpack[RowPolicy],
    ) -> None:
        self.margin = _check.number("CosineEmbeddingLoss", "margin", margin)
        self.reduction = _check.reduction("CosineEmbeddingLoss", _check.legacy_reduction(size_average, reduce, reduction))
        self.policy = _options.policy("CosineEmbeddingLoss", policy, ("axis",))

    def __call__(self, input1: ArrayLike, input2: ArrayLike, target: ArrayLike, **options: Any) -> Any:
        return cosine_embedding_loss(input1, input2, target, self.margin, None, None, self.reduction, **{**self.policy, **options})
