"""Losses of distances between vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

import numpy as np

from ndloss import _array, _check, _core, _options, _outputs
from ndloss._doc import documented
from ndloss._elementwise import ElementwiseProblem
from ndloss._loss import Loss, differentiable
from ndloss._moved import MovedProblem, Way, moved_last
from ndloss._options import Settings, loss_options
from ndloss._vectors import VectorLoss, VectorProblem

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ndloss._accumulator import Stream
    from ndloss._typing import Array, ArrayLike, FloatArray, FloatScalar, LossOptions, RowPolicy

__all__ = [
    "CosineEmbeddingLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
    "cosine_embedding_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]

DistanceFunction: TypeAlias = "str | Callable[[Any, Any], Any]"


# ---- cosine embedding ----


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
    if size_average is None and reduce is None and axis is None and not options:
        plain = _core.cosine_embedding_loss(input1, input2, target, margin, reduction)
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
    shape = _check.one_label_per_vector(function, x1, x2, y, features)
    if not settings.broadcast:
        _check.strict_shapes(function, input1=x1, input2=x2)
        _check.strict_rows(function, "target", y, shape[:features] + shape[features + 1 :])
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
        return cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction, **{**self.policy, **options})


# ---- triplets ----


VECTORS = ("anchor", "positive", "negative")


@dataclass
class DistanceProblem:
    """A checked call of a triplet loss whose distances were computed beforehand, in pairs of `VECTORS`.

    Each distance comes with its derivatives by the two vectors it is of, or without.
    """

    function: str
    operands: dict[str, tuple[Array, bool]]
    distances: tuple[tuple[Array, Array | None, Array | None], ...]
    margin: float
    reduction: str
    settings: Settings
    mask: Array | None = field(init=False)

    PAIRS = (("anchor", "positive"), ("anchor", "negative"), ("positive", "negative"))

    def __post_init__(self) -> None:
        named = {"-".join(pair): (d[0], False) for pair, d in zip(self.PAIRS, self.distances, strict=False)}
        shape = _check.broadcast_shape(self.function, **{name: array for name, (array, _) in named.items()})
        core = "triplet_margin_of_swapped_distances" if len(named) == 3 else "triplet_margin_of_distances"
        self.outer = ElementwiseProblem(self.function, core, named, shape, self.reduction, self.settings, parameters=[self.margin])
        self.mask = self.settings.spread("mask", shape)

    def value(self) -> Any:
        return self.outer.value()

    def grad_hess(self, argnums: object, out: object) -> Any:
        _check.no_hessian(self.function)

    def _wanted(self, argnums: object) -> tuple[tuple[str, ...], bool]:
        return _check.argument_numbers(self.function, argnums, VECTORS, {})

    def feed(self, stream: Stream) -> None:
        self.outer.feed(stream)

    def value_and_grad(self, argnums: object, grad_output: object) -> Any:
        names, several = self._wanted(argnums)
        given = _outputs.several(self.function, self.settings.out, names, several)
        self.outer.settings = replace(self.settings, out=None)
        value, slopes = self.outer.value_and_grad(tuple(self.outer.operands), grad_output)
        ordered = tuple(_array.unboxed(self._gradient(name, slopes, given[name])) for name in names)
        return value, ordered if several else ordered[0]

    def _gradient(self, name: str, slopes: tuple[Any, ...], given: object) -> Array:
        array, weak = self.operands[name]
        dtype = self.settings.gradient_dtype(array, weak, self.outer.dtype)
        read = tuple(part for parts in self.distances for part in parts if part is not None)
        grad, finished = _outputs.target(self.function, "out", given, array.shape, dtype, read)
        weights: list[Array] = []
        parts: list[Array] = []
        for pair, slope, distance in zip(self.PAIRS, slopes, self.distances, strict=False):
            if name not in pair:
                continue
            part = _check.derivative_of_distance(self.function, distance[1 + pair.index(name)])
            factor = np.asarray(slope)
            parts.append(self._unmasked(part, distance[0]))
            weights.append(factor.reshape(factor.shape + (1,) * (part.ndim - factor.ndim)))
        if any(np.broadcast_shapes(w.shape, p.shape) != array.shape for w, p in zip(weights, parts, strict=True)):
            # Each part is summed over what the vector was broadcast to within its own pair.
            parts = [_weighted(w, p, array.shape) for w, p in zip(weights, parts, strict=True)]
            weights = [np.ones((), np.float64)] * len(parts)
        _core.weighted_sum(
            tuple(np.broadcast_to(w, array.shape) for w in weights), tuple(np.broadcast_to(p, array.shape) for p in parts), grad
        )
        return finished()

    def _unmasked(self, part: Array, distance: Array) -> Array:
        """Derivatives of distances, 0 under the mask: what these hold may be NaN, which times a slope of 0 is not 0."""
        if self.mask is None:
            return part
        kept = self.mask.astype(bool)
        if distance.shape != kept.shape:
            # A distance that several rows share counts where one of them does.
            kept = _any_of(kept, distance.shape)
        return np.where(kept.reshape(kept.shape + (1,) * (part.ndim - kept.ndim)), part, part.dtype.type(0))


def _any_of(kept: Array, shape: tuple[int, ...]) -> Array:
    """Whether any is True of what a smaller shape is broadcast to."""
    leading = kept.ndim - len(shape)
    shared = (*range(leading), *(leading + d for d, n in enumerate(shape) if n == 1))
    return np.asarray(kept.any(axis=shared)).reshape(shape)


def _weighted(weight: Array, part: Array, shape: tuple[int, ...]) -> Array:
    """One weighted part, summed to a shape."""
    whole = np.empty(np.broadcast_shapes(shape, weight.shape, part.shape), np.float64)
    _core.weighted_sum((np.broadcast_to(weight, whole.shape),), (np.broadcast_to(part, whole.shape),), whole)
    result = np.empty(shape, np.float64)
    _core.sum_to_shape(whole, result)
    return result


def _vectors(function: str, anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike) -> dict[str, tuple[Array, bool]]:
    given = zip(VECTORS, (anchor, positive, negative), strict=True)
    operands = {name: _array.as_array(function, name, value) for name, value in given}
    _check.same_dimensions(function, **{name: array for name, (array, _) in operands.items()})
    return operands


def _features(function: str, operands: dict[str, tuple[Array, bool]], axis: int | None, settings: Settings) -> int:
    """The axis of the features, counted from the end; and whether the shapes will do."""
    arrays = {name: array for name, (array, _) in operands.items()}
    if not settings.broadcast:
        _check.strict_shapes(function, **arrays)
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
    shape = _check.broadcast_shape(function, **arrays) or (1,)
    narrow = sum(array.shape[axis] == 1 for array in arrays.values()) if arrays["anchor"].ndim else 0
    if loss.family == "p_norm" and narrow == 2 and shape[axis] != 1:
        # Two vectors of one feature: their own distance is over that one, whatever the third is broadcast against.
        inner = VectorLoss("distance", p=loss.p, eps=loss.eps)

        def distance(x: Array, y: Array) -> tuple[Array, Array, Array]:
            both = np.broadcast_shapes(x.shape, y.shape)
            pair = {name: (np.broadcast_to(array.astype(np.float64), both), False) for name, array in (("x1", x), ("x2", y))}
            alone = Settings(function, settings.threads)
            d, (dx, dy) = VectorProblem(function, inner, pair, both, "none", alone).value_and_grad((0, 1), None)
            return d, dx, dy

        result = settings.result_dtype(*operands.values())
        return _of_distances(function, operands, distance, loss.margin, loss.swap, reduction, settings, axis, result)
    return VectorProblem(function, loss, operands, shape, reduction, settings, axis=axis)


def _of_distances(
    function: str,
    operands: dict[str, tuple[Array, bool]],
    distance: Callable[[Any, Any], Any],
    margin: float,
    swap: bool,
    reduction: str,
    settings: Settings,
    axis: int,
    result: np.dtype[Any] | None = None,
) -> DistanceProblem | MovedProblem:
    """The problem of a distance that is computed here, of vectors whose features are moved to the last axis."""
    ways: dict[str, Way] = {}
    if axis != -1:
        operands, ways = moved_last(operands, axis)
    pairs = DistanceProblem.PAIRS if swap else DistanceProblem.PAIRS[:2]
    found = tuple(_check.distance_and_slopes(function, distance(operands[x][0], operands[y][0])) for x, y in pairs)
    problem = DistanceProblem(function, operands, found, margin, reduction, settings)
    if result is not None:
        problem.outer.dtype = result  # whatever the distances are computed in
    return MovedProblem(problem, ways) if ways else problem


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
    if size_average is None and reduce is None and axis is None and not options:
        plain = _core.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction)
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
            reduction=self.reduction,
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
        return request(_of_distances(function, operands, distance, margin, bool(swap), reduction, settings, features))
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
