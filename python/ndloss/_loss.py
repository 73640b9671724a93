"""What all losses and activations share: gradients, accumulators, equality, pickling; and the same for functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

import numpy as np

from ndloss import _check
from ndloss._accumulator import LossAccumulator
from ndloss._request import GradHess, ValueAndGrad


class Differentiable:
    """A callable object made of its constructor's parameters."""

    _parameters: ClassVar[tuple[str, ...]] = ()
    _shown: ClassVar[tuple[str, ...]] = ()

    def __call__(self, *operands: Any, **options: Any) -> Any:
        raise NotImplementedError

    def value_and_grad(self, *operands: Any, argnums: object = 0, grad_output: Any = None, **options: Any) -> Any:
        """The value and its gradients, in one pass.

        Parameters
        ----------
        *operands : array_like
            As for a call.
        argnums : int, str or tuple of them, default 0
            Which argument the gradient is for: its place among the array arguments, or its name. A tuple gives a tuple.
        grad_output : float or array_like, default 1
            Multiplies the gradient (the value is never scaled): a number for 'mean' and 'sum', broadcastable to the output
            for 'none' and for activations.

        Returns
        -------
        value, grad
            The value of the plain call, bit for bit, and gradients with the shape and dtype of their arguments.

        Raises
        ------
        TypeError
            For an argument that has no gradient.
        """
        return self(*operands, **options, _request=ValueAndGrad(argnums, grad_output))

    def grad(self, *operands: Any, argnums: object = 0, grad_output: Any = None, **options: Any) -> Any:
        """The gradient alone: see `value_and_grad`."""
        return self.value_and_grad(*operands, argnums=argnums, grad_output=grad_output, **options)[1]

    def _state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._parameters}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._shown)})"

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(_equal(getattr(self, name), getattr(other, name)) for name in self._parameters)

    __hash__ = None  # type: ignore[assignment]


def _equal(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(np.asarray(a), np.asarray(b))
    return bool(a == b)


def _plain(value: Any) -> Any:
    return value.name if isinstance(value, np.dtype) else value


class Loss(Differentiable):
    """A loss with its configuration: call it with input and target.

    `policy` holds the options of every call that were given to the constructor; what a call is given itself goes before them.
    """

    reduction: str
    policy: Mapping[str, Any] = MappingProxyType({})

    def _described(self) -> str:
        """The policy as it stands in the representation: nothing where there is none, as torch has none."""
        return ", ".join(f"{name}={_plain(value)!r}" for name, value in self.policy.items())

    def __repr__(self) -> str:
        text = super().__repr__()
        if not self.policy:
            return text
        return f"{text[:-1]}{'' if text.endswith('()') else ', '}{self._described()})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Loss) and self.policy != other.policy:
            return False
        return super().__eq__(other)

    __hash__ = None

    def grad_hess(self, *operands: Any, argnums: object = 0, out: Any = None, **options: Any) -> Any:
        """The gradient and the diagonal of the Hessian, in one pass: what boosting libraries ask for.

        Parameters
        ----------
        *operands : array_like
            As for a call.
        argnums : int, str or tuple of them, default 0
            Which argument the derivatives are for; a tuple gives two tuples.
        out : (ndarray, ndarray), optional
            Where they go.

        Returns
        -------
        grad, hess
            First and second derivatives of the reduced value by each element, with the argument's shape and dtype. With
            'none' they are those of the sum.

        Examples
        --------
        >>> import ndloss as nl
        >>> grad, hess = nl.BCEWithLogitsLoss(reduction="sum").grad_hess([0.0, 2.0], [1.0, 0.0])
        >>> print(grad.round(3), hess.round(3))
        [-0.5    0.881] [0.25  0.105]
        """
        return self(*operands, **options, _request=GradHess(argnums, out))

    def accumulator(self, reduction: str | None = None) -> LossAccumulator:
        """An empty accumulator of this loss, for data that comes in chunks.

        Parameters
        ----------
        reduction : {'mean', 'sum'}, optional
            How chunks are reduced; the criterion's own if it has one. A criterion with reduction='none' needs it.
        """
        name = type(self).__name__
        chosen = self.reduction if reduction is None else _check.reduction(name, reduction)
        if chosen == "none":
            raise ValueError(f"{name}.accumulator: reduction must be 'mean' or 'sum', got 'none'")
        return LossAccumulator(self, chosen)


def value_and_grad(function: Callable[..., Any], argnums: object = 0) -> Callable[..., Any]:
    """Makes of a function of `ndloss.functional` one that returns its value and gradient.

    Parameters
    ----------
    function : callable
        A loss or activation, for example `ndloss.functional.mse_loss`.
    argnums : int, str or tuple of them, default 0
        Which array argument the gradient is for, by place or name; a tuple gives a tuple.

    Returns
    -------
    callable
        Takes the function's arguments and, by keyword, `grad_output`; returns (value, grad).

    Examples
    --------
    >>> import ndloss as nl
    >>> import ndloss.functional as F
    >>> value, grad = nl.value_and_grad(F.mse_loss)([1.0, 2.0], [0.0, 0.0])
    >>> print(value, grad)
    2.5 [1. 2.]
    """
    name = getattr(function, "__name__", type(function).__name__)
    if not getattr(function, "_differentiable", False):
        raise TypeError(f"value_and_grad: function must be a loss or activation of ndloss.functional, got {name}")

    def call(*args: Any, grad_output: Any = None, **kwargs: Any) -> Any:
        return function(*args, **kwargs, _request=ValueAndGrad(argnums, grad_output))

    call.__name__ = call.__qualname__ = f"value_and_grad({name})"
    return call


def grad(function: Callable[..., Any], argnums: object = 0) -> Callable[..., Any]:
    """Makes of a function of `ndloss.functional` one that returns its gradient: see `value_and_grad`."""
    both = value_and_grad(function, argnums)

    def call(*args: Any, grad_output: Any = None, **kwargs: Any) -> Any:
        return both(*args, grad_output=grad_output, **kwargs)[1]

    call.__name__ = call.__qualname__ = f"grad({getattr(function, '__name__', '')})"
    return call


def grad_hess(function: Callable[..., Any], argnums: object = 0) -> Callable[..., Any]:
    """Makes of a loss function one that returns its gradient and the diagonal of its Hessian: see `Loss.grad_hess`.

    Examples
    --------
    >>> import ndloss as nl
    >>> import ndloss.functional as F
    >>> grad, hess = nl.grad_hess(F.mse_loss)([1.0, 2.0], [0.0, 0.0], reduction="sum")
    >>> print(grad, hess)
    [2. 4.] [2. 2.]
    """
    name = getattr(function, "__name__", type(function).__name__)
    if not getattr(function, "_differentiable", False):
        raise TypeError(f"grad_hess: function must be a loss of ndloss.functional, got {name}")

    def call(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        return function(*args, **kwargs, _request=GradHess(argnums, out))

    call.__name__ = call.__qualname__ = f"grad_hess({name})"
    return call


F = TypeVar("F", bound=Callable[..., Any])


def differentiable(function: F) -> F:
    """Marks a public function as one that takes a request."""
    function._differentiable = True  # type: ignore[attr-defined]
    return function
