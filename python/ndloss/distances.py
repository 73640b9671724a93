"""Distances between vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndloss import _array, _check, _check_shapes
from ndloss._loss import differentiable
from ndloss._options import loss_options
from ndloss._vectors import VectorLoss, VectorProblem

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ndloss._typing import ArrayLike, FloatArray, LossOptions

__all__ = ["cosine_similarity", "pairwise_distance"]


def _distance(function: str, x1: ArrayLike, x2: ArrayLike, loss: VectorLoss, dim: int, keepdim: bool, options: Any) -> Any:
    settings, request = loss_options(function, options)
    a, a_weak = _array.as_array(function, "x1", x1)
    b, b_weak = _array.as_array(function, "x2", x2)
    if not settings.broadcast:
        _check_shapes.strict_shapes(function, x1=a, x2=b)
    shape = _check_shapes.broadcast_shape(function, x1=a, x2=b) or (1,)
    axis = _check.class_axis(function, "dim", dim, len(shape))
    operands = {"x1": (a, a_weak), "x2": (b, b_weak)}
    # A 0-d pair is a pair of vectors of one feature, and its distance has no dimension to keep.
    kept = bool(keepdim) and (a.ndim > 0 or b.ndim > 0)
    return request(
        VectorProblem(
            function,
            loss,
            operands,
            shape,
            "none",
            settings,
            axis=-1 if axis == len(shape) - 1 else axis,
            keepdims=kept,
        )
    )


@differentiable
def pairwise_distance(
    x1: ArrayLike,
    x2: ArrayLike,
    p: float = 2.0,
    eps: float = 1e-6,
    keepdim: bool = False,
    **options: Unpack[LossOptions],
) -> FloatArray:
    """The p-norm of ``x1 - x2 + eps`` over the last dimension.

    Parameters
    ----------
    x1, x2 : array_like of shape (..., D)
        They broadcast against each other. float16, float32 and float64; integers are computed in float32.
    p : float, default 2.0
        Any real number, inf or -inf; 0 counts the components that are not 0.
    eps : float, default 1e-6
        Added, with its sign, to every component of the difference.
    keepdim : bool, default False
        Keeps the last dimension, of length 1.

    Returns
    -------
    ndarray or NumPy scalar
        The broadcast shape without its last dimension.

    Raises
    ------
    ValueError
        If the shapes do not broadcast.
    TypeError
        If an argument does not hold real numbers.

    Notes
    -----
    Gradients (a vector-Jacobian product with `grad_output`) for x1 and x2; at p = 0 and where the norm is 0 they are 0, at
    p = inf the largest components share evenly, as in torch. Sums are taken in double, so that float32 vectors of entries
    about 1e20 have a distance where torch gives inf; powers are taken relative to the largest component. Error: 3 ULP in
    float32, 4 in float64; gradients at a general p have (1 + abs(p)) times that.

    References
    ----------
    Matches torch.nn.functional.pairwise_distance of 2.13.

    Examples
    --------
    >>> import numpy as np, ndloss.functional as F
    >>> F.pairwise_distance(np.array([[0.0, 3.0], [1.0, 1.0]]), np.array([[4.0, 0.0], [1.0, 1.0]]), eps=0.0)
    array([5., 0.])
    """
    function = "pairwise_distance"
    loss = VectorLoss("distance", p=_check.number(function, "p", p), eps=_check.number(function, "eps", eps))
    result: FloatArray = _distance(function, x1, x2, loss, -1, keepdim, options)
    return result


@differentiable
def cosine_similarity(
    x1: ArrayLike,
    x2: ArrayLike,
    dim: int = 1,
    eps: float = 1e-8,
    **options: Unpack[LossOptions],
) -> FloatArray:
    """The cosine of the angle between x1 and x2 along a dimension: their scalar product over their norms.

    Parameters
    ----------
    x1, x2 : array_like
        They broadcast against each other.
    dim : int, default 1
        The dimension of the features, in the broadcast shape.
    eps : float, default 1e-8
        The least norm that is divided by.

    Returns
    -------
    ndarray or NumPy scalar
        The broadcast shape without the dimension.

    Raises
    ------
    IndexError
        If there is no such dimension.
    ValueError
        If the shapes do not broadcast.
    TypeError
        If an argument does not hold real numbers.

    Notes
    -----
    Gradients (a vector-Jacobian product with `grad_output`) for x1 and x2. As in torch they do not see the bound eps, and the
    norm of a zero vector has derivative 0. Integers are computed in float32, where torch refuses them. Error: 8 eps times the sum
    of the magnitudes of the terms over the norms.

    References
    ----------
    Matches torch.nn.functional.cosine_similarity of 2.13.

    Examples
    --------
    >>> import numpy as np, ndloss.functional as F
    >>> F.cosine_similarity(np.array([[1.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 2.0], [3.0, 4.0]]))
    array([0., 1.])
    """
    function = "cosine_similarity"
    loss = VectorLoss("distance", "cosine", eps=_check.number(function, "eps", eps))
    result: FloatArray = _distance(function, x1, x2, loss, dim, False, options)
    return result
