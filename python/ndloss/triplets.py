"""Losses of triplets: an anchor is to be closer to the positive than to the negative."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import numpy as np

from ndloss import _array, _check, _check_shapes, _core, _options
from ndloss._doc import documented
from ndloss._loss import Loss, differentiable
from ndloss._options import Settings, loss_options
from ndloss._vectors import VectorLoss, VectorProblem

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ndloss._typing import Array, ArrayLike, CallOptions, FloatArray, FloatScalar, LossOptions, RowPolicy, WithDivisor

__all__ = [
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]

VECTORS = ("anchor", "positive", "negative")
DistanceFunction: TypeAlias = "str | Callable[[Any, Any], Any]"


def _vectors(function: str, anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike) -> dict[str, tuple[Array, bool]]:
    given = zip(VECTORS, (anchor, positive, negative), strict=True)
    operands = {name: _array.as_array(function, name, value) for name, value in given}
    _check_shapes.same_ndim(function, "vectors", **{name: array for name, (array, _) in operands.items()})
    return operands


def _features(function: str, operands: dict[str, tuple[Array, bool]], axis: int | None, settings: Settings) -> int:
    """The axis of the features, counted from the end; and whether the shapes will do."""
    arrays = {name: array for name, (array, _) in operands.items()}
    if not settings.broadcast:
        _check_shapes.strict_shapes(function, **arrays)
    ndim = max(arrays["anchor"].ndim, 1)
    return _check.class_axis(function, "axis", -1 if axis is None else axis, ndim) - ndim


def _triplet(
    function: str,
    operands: dict[str, tuple[Array, bool]],
    loss: VectorLoss,
    reduction: str,
    settings: Settings,
    axis: int,
) -> Any:
    """The problem of a distance that the core knows."""
    arrays = {name: array for name, (array, _) in operands.items()}
    shape = _check_shapes.broadcast_shape(function, **arrays) or (1,)
    narrow = sum(array.shape[axis] == 1 for array in arrays.values()) if arrays["anchor"].ndim else 0
    if loss.family == "p_norm" and narrow == 2 and shape[axis] != 1:
        # Two vectors of one feature: their own distance is over that one, whatever the third is broadcast against.
        inner = VectorLoss("distance", p=loss.p, eps=loss.eps)

        def distance(x: Array, y: Array) -> tuple[Array, Array, Array]:
            both = np.broadcast_shapes(x.shape, y.shape)
            pair = {name: (np.broadcast_to(array.astype(np.float64), both), False) for name, array in (("x1", x), ("x2", y))}
            alone = Settings(function, settings.num_threads)
            d, (dx, dy) = VectorProblem(function, inner, pair, both, "none", alone).value_and_grad((0, 1), None)
            return d, dx, dy

        from ndloss._triplets import of_distances  # seldom needed

        result = settings.result_dtype(*operands.values())
        return of_distances(function, operands, distance, loss.margin, loss.swap, reduction, settings, axis, result)
    return VectorProblem(function, loss, operands, shape, reduction, settings, axis=axis)


# ---- triplets of one norm ----


@overload
def triplet_margin_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    *,
    reduction: Literal["none"],
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def triplet_margin_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    margin: float,
    p: float,
    eps: float,
    swap: bool,
    size_average: bool | None,
    reduce: bool | None,
    reduction: Literal["none"],
    *,
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def triplet_margin_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    return_divisor: Literal[True],
    axis: int | None = None,
    **options: Unpack[CallOptions],
) -> WithDivisor: ...
@overload
def triplet_margin_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def triplet_margin_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    *,
    axis: int | None = None,
    **options: Any,
) -> Any:
    """Triplet margin loss. See `TripletMarginLoss`."""
    if size_average is None and reduce is None:
        plain = _core.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction, axis, options)
        if plain is not None:
            return plain
    function = "triplet_margin_loss"
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, _check.legacy_reduction(size_average, reduce, reduction))
    loss = VectorLoss(
        "triplet",
        margin=_check.positive_margin(function, margin),
        p=_check.number(function, "p", p),
        eps=_check.number(function, "eps", eps),
        swap=bool(swap),
    )
    operands = _vectors(function, anchor, positive, negative)
    features = _features(function, operands, axis, settings)
    return request(_triplet(function, operands, loss, reduction, settings, features))


@documented
class TripletMarginLoss(Loss):
    """An anchor is to be nearer to its positive than to its negative, by a margin.

    ``max(0, margin + d(anchor, positive) - d(anchor, negative))`` with ``d(a, b) = norm(a - b + eps, p)`` over the last
    dimension.

    Parameters
    ----------
    margin : float, default 1.0
        By how much; greater than 0.
    p : float, default 2.0
        The norm: any real number, inf or -inf; 0 counts the components that are not 0.
    eps : float, default 1e-6
        Added, with its sign, to every component of a difference.
    swap : bool, default False
        Takes the nearer of d(anchor, negative) and d(positive, negative) (Balntas et al., section 3.3).
    {legacy}
    {reduction}
    {feature_axis}
    {policy}
    {options}

    Shape
    -----
    anchor, positive, negative : (..., D), floating or integer, of one number of dimensions; they broadcast against each other
    output : the broadcast shape without its last dimension for 'none', else a scalar

    Returns
    -------
    numpy scalar or ndarray
        The result has the widest floating dtype among the arguments; integers, Python numbers and lists take no part (float32 if
        nothing else is left). Sums are taken in double, in an order that depends on neither threads nor layout.

    Raises
    ------
    ValueError
        If the margin is not positive, the shapes do not broadcast or differ in their number of dimensions, or `reduction` is
        unknown.
    TypeError
        If an argument does not hold real numbers.

    Notes
    -----
    Gradients for anchor, positive and negative. Where the loss is exactly 0 at the hinge the gradient passes; equal distances
    of a swap share it; at p = inf the largest components share it; at p = 0 and where a norm is 0 it is 0. Sums are taken in
    double: float32 entries of about 1e20 give numbers where torch gives inf or NaN. NaN in, NaN out. Error: 3 ULP in
    float32; where terms cancel 8 eps times the sum of their magnitudes; gradients at a general p (1 + abs(p)) times that.

    References
    ----------
    V. Balntas et al., Learning local feature descriptors with triplets and shallow convolutional neural networks (2016). Matches
    torch.nn.TripletMarginLoss of 2.13.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> a, p, n = np.array([[1.0, 2.0]]), np.array([[1.5, 2.0]]), np.array([[1.0, 3.0]])
    >>> print(nl.TripletMarginLoss(eps=0.0)(a, p, n))
    0.5
    >>> value, (da, dp) = nl.TripletMarginLoss(eps=0.0).value_and_grad(a, p, n, argnums=("anchor", "positive"))
    >>> print(da, dp)
    [[-1.  1.]] [[ 1. -0.]]
    """

    _parameters = ("margin", "p", "eps", "swap", "reduction")

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        **policy: Unpack[RowPolicy],
    ) -> None:
        self.margin = _check.positive_margin("TripletMarginLoss", margin)
        self.p = _check.number("TripletMarginLoss", "p", p)
        self.eps = _check.number("TripletMarginLoss", "eps", eps)
        self.swap = bool(swap)
        self.reduction = _check.reduction("TripletMarginLoss", _check.legacy_reduction(size_average, reduce, reduction))
        self.policy = _options.policy("TripletMarginLoss", policy, ("axis",))

    def __call__(self, anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike, **options: Any) -> Any:
        return triplet_margin_loss(
            anchor,
            positive,
            negative,
            self.margin,
            self.p,
            self.eps,
            self.swap,
            None,
            None,
            self.reduction,
            **{**self.policy, **options},
        )


# ---- triplets with any distance ----


DISTANCES = {
    "euclidean": VectorLoss("triplet"),
    "cosine": VectorLoss("triplet", "cosine", eps=1e-8),
    "l1": VectorLoss("triplet", p=1.0),
}


@overload
def triplet_margin_with_distance_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    distance_function: DistanceFunction | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: Literal["none"],
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def triplet_margin_with_distance_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    return_divisor: Literal[True],
    distance_function: DistanceFunction | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
    axis: int | None = None,
    **options: Unpack[CallOptions],
) -> WithDivisor: ...
@overload
def triplet_margin_with_distance_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    distance_function: DistanceFunction | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
    axis: int | None = None,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def triplet_margin_with_distance_loss(
    anchor: ArrayLike,
    positive: ArrayLike,
    negative: ArrayLike,
    *,
    distance_function: DistanceFunction | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
    axis: int | None = None,
    **options: Any,
) -> Any:
    """Triplet margin loss with any distance. See `TripletMarginWithDistanceLoss`."""
    function = "triplet_margin_with_distance_loss"
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, reduction, elementwise_mean=False)
    margin = _check.positive_margin(function, margin)
    distance = _check.distance_function(function, distance_function, tuple(DISTANCES))
    operands = _vectors(function, anchor, positive, negative)
    features = _features(function, operands, axis, settings)
    if callable(distance):
        from ndloss._triplets import of_distances

        return request(of_distances(function, operands, distance, margin, bool(swap), reduction, settings, features))
    named = DISTANCES[distance]
    loss = VectorLoss("triplet", named.family, margin, named.p, named.eps, bool(swap))
    return request(_triplet(function, operands, loss, reduction, settings, features))


@documented
class TripletMarginWithDistanceLoss(Loss):
    """An anchor is to be nearer to its positive than to its negative, by a margin, in a distance of your choice.

    ``max(0, margin + d(anchor, positive) - d(anchor, negative))``

    Parameters
    ----------
    distance_function : {'euclidean', 'cosine', 'l1'} or callable, default 'euclidean'
        'euclidean' and 'l1' are `pairwise_distance` with p = 2 and 1, 'cosine' is 1 - `cosine_similarity` over the last
        dimension. A callable gets two arrays and returns their distances or, for gradients, a tuple of them and their
        derivatives by either array, of the distances' shape and the features'.
    margin : float, default 1.0
        By how much; greater than 0.
    swap : bool, default False
        Takes the nearer of d(anchor, negative) and d(positive, negative).
    {reduction}
    {feature_axis}
    {policy}
    {options}

    Shape
    -----
    anchor, positive, negative : (..., D), of one number of dimensions; they broadcast against each other
    output : the shape of the distances for 'none', else a scalar

    Returns
    -------
    numpy scalar or ndarray
        As `TripletMarginLoss`; with a callable, of the widest floating dtype among the distances.

    Raises
    ------
    ValueError
        If the margin is not positive, the shapes do not broadcast or differ in their number of dimensions, or `reduction` or the
        distance's name is unknown.
    TypeError
        If an argument does not hold real numbers, the distance is neither a name nor callable, or a gradient is asked of a
        callable that returns no derivatives.

    Notes
    -----
    Gradients for anchor, positive and negative, as of `TripletMarginLoss`; equal distances of a swap share it.

    References
    ----------
    V. Balntas et al. (2016), as `TripletMarginLoss`. Matches torch.nn.TripletMarginWithDistanceLoss of 2.13; names of distances and
    derivatives from a callable are additions.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> a, p, n = np.array([[1.0, 2.0]]), np.array([[1.5, 2.0]]), np.array([[1.0, 2.25]])
    >>> print(nl.TripletMarginWithDistanceLoss(distance_function="cosine")(a, p, n).round(6))
    1.015099
    >>> def squared(x, y):
    ...     d = x - y
    ...     return (d * d).sum(-1), 2 * d, -2 * d
    >>> value, grad = nl.TripletMarginWithDistanceLoss(distance_function=squared).value_and_grad(a, p, n)
    >>> print(value, grad)
    1.1875 [[-1.   0.5]]
    """

    _parameters = ("distance_function", "margin", "swap", "reduction")

    def __init__(
        self,
        *,
        distance_function: DistanceFunction | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
        **policy: Unpack[RowPolicy],
    ) -> None:
        name = "TripletMarginWithDistanceLoss"
        _check.distance_function(name, distance_function, tuple(DISTANCES))
        self.distance_function = distance_function
        self.margin = _check.positive_margin(name, margin)
        self.swap = bool(swap)
        self.reduction = _check.reduction(name, reduction, elementwise_mean=False)
        self.policy = _options.policy("TripletMarginWithDistanceLoss", policy, ("axis",))

    def __call__(self, anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike, **options: Any) -> Any:
        return triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
            **{**self.policy, **options},
        )
