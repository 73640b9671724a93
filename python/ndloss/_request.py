"""What a call is asked for: its value, its gradients too, or to be added to a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ndloss import _core

if TYPE_CHECKING:
    from typing import Protocol

    from ndloss._accumulator import Stream

    class Problem(Protocol):
        """A checked call."""

        def value(self) -> Any: ...
        def value_and_grad(self, argnums: object, grad_output: object) -> Any: ...
        def grad_hess(self, argnums: object, out: object) -> Any: ...
        def feed(self, stream: Stream) -> None: ...

    class Request(Protocol):
        def __call__(self, problem: Problem) -> Any: ...


def value(problem: Problem) -> Any:
    """The loss alone: what a plain call asks for."""
    return problem.value()


class ValueAndGrad:
    """The loss and its gradients, in one pass."""

    def __init__(self, argnums: object, grad_output: object) -> None:
        self.argnums = argnums
        self.grad_output = grad_output

    def __call__(self, problem: Problem) -> Any:
        return problem.value_and_grad(self.argnums, self.grad_output)


class GradHess:
    """Gradients and diagonal second derivatives, in one pass."""

    def __init__(self, argnums: object, out: object) -> None:
        self.argnums = argnums
        self.out = out

    def __call__(self, problem: Problem) -> Any:
        return problem.grad_hess(self.argnums, self.out)


class Feed:
    """Nothing now: the chunk joins a stream."""

    # Of the plain calls that may go on where this one ends; what the core has given it.
    key = b""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def __call__(self, problem: Problem) -> None:
        problem.feed(self.stream)
        self.stream.sums.key = self.key


# Where a call is plain, the core answers these itself.
_core.answer_requests(ValueAndGrad, GradHess, Feed)
