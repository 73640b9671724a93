"""Calls of an input and a target that are broadcast against each other as torch does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndloss import _array, _check, _check_shapes, _core
from ndloss._elementwise import ElementwiseProblem, broadcast_operands
from ndloss._options import loss_options

if TYPE_CHECKING:
    from ndloss._typing import ArrayLike


def warn_of_broadcast(input: tuple[int, ...], target: tuple[int, ...]) -> None:
    _check.warn(
        f"Using a target size ({target}) that is different to the input size ({input}). This will likely lead to "
        f"incorrect results due to broadcasting. Please ensure they have the same size.",
        _check.BroadcastWarning,
    )


# Where a call is plain but for that, the core warns itself.
_core.warn_by(warn_of_broadcast)


def regress(
    function: str,
    input: ArrayLike,
    target: ArrayLike,
    reduction: str,
    options: dict[str, Any],
    *,
    core: str = "",
    parameters: tuple[float, ...] = (),
    weight: ArrayLike | None = None,
    weighted_mean: bool = False,
) -> Any:
    """Input and target broadcast against each other as torch does: with a warning where their shapes differ."""
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, reduction)
    operands, shape = broadcast_operands(function, input=input, target=target)
    x, y = operands["input"][0], operands["target"][0]
    if x.shape != y.shape:
        if not settings.broadcast:
            _check_shapes.strict_shapes(function, input=x, target=y)
        warn_of_broadcast(x.shape, y.shape)
    weights = _array.optional(function, "weight", weight)
    if weights is not None:
        _check_shapes.weight_like_input(function, weights, x)
    problem = ElementwiseProblem(
        function,
        core or function,
        operands,
        shape,
        reduction,
        settings,
        list(parameters),
        weight=weights,
        weight_differentiable=True,
        weighted_mean=weighted_mean,
    )
    return request(problem)
