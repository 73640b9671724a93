"""What a property test needs to know about a loss: the form of a record of `cases.py`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reference import Answer
from samples import Array, Choices, Sample


@dataclass(frozen=True)
class Domain:
    """The interval an operand may come from; samples reach both ends where they belong to it."""

    low: float
    high: float
    closed: bool = False
    enforced: bool = False  # a value outside is an error


def no_kinks(input_: Array, *_: Array) -> Array:
    return np.full(np.shape(input_), np.inf)


@dataclass(frozen=True)
class LossCase:
    """Everything a property test needs to know about one loss."""

    name: str
    class_name: str
    struct_name: str
    reference: Callable[..., Answer]
    axes: Mapping[str, tuple[str, ...]]
    draw: Callable[[np.random.Generator, str, Choices], Sample]
    domain: Mapping[str, Domain]
    differentiable: tuple[str, ...]
    constructor: tuple[str, ...]  # options the class takes; the others are the function's alone
    # n loss rows for `criterion(**kwargs)` that may be cut anywhere along axis 0, with non-negative terms; None for
    # activations, and for losses whose operands do not all have a batch axis
    batch: Callable[[np.random.Generator, str, int], Sample] | None = None
    allowed: Callable[[Choices], bool] = field(default=lambda _: True)
    # distance of each input element from where the closed form is no derivative, and the radius a difference quotient
    # must keep
    distance_to_kink: Callable[..., Array] = no_kinks
    kink_radius: float = 0.0
    # the same for every operand of a sample by name, where kinks depend on several operands or on options
    kinks: Callable[[Sample], Mapping[str, Array]] | None = None
    bare: bool = True  # the class can be made without arguments
    # the axis of the samples in every operand, where it is not the first; such a loss refuses a batch without samples
    batch_axes: tuple[int, ...] = ()
    # what the closed form assumes the first operand to come out of: it is the derivative for what goes in
    slope_through: Callable[[Array], Array] | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def operands(self) -> tuple[str, ...]:
        return tuple(self.domain)

    def rows(self, args: tuple[Any, ...], rows: slice) -> tuple[Any, ...]:
        """Some samples of every operand."""
        axes = self.batch_axes or (0,) * len(args)
        return tuple(a[(slice(None),) * axis + (rows,)] for a, axis in zip(args, axes, strict=True))

    @property
    def is_loss(self) -> bool:
        return "reduction" in self.axes

    def position(self, name: str) -> int:
        """The number by which `argnums` calls an argument."""
        return (*self.operands, *(n for n in self.differentiable if n not in self.operands)).index(name)

    def combinations(self) -> Iterator[dict[str, str]]:
        """Every allowed combination of choices."""
        for values in itertools.product(*self.axes.values()):
            choices = dict(zip(self.axes, values, strict=True))
            if self.allowed(choices):
                yield choices

    def samples(self, rng: np.random.Generator, dtype: str) -> Iterator[Sample]:
        """One sample for every combination."""
        for choices in self.combinations():
            yield self.draw(rng, dtype, choices)

    def answer(self, sample: Sample, **changes: Any) -> Answer:
        """What the oracle says to this sample, without its `grad_output` unless it is among `changes`."""
        return self.reference(*sample.args, **{**sample.kwargs, **changes})
