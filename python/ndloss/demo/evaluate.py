"""Every loss of the demo, evaluated on the shipped model outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ndloss as nl
from ndloss.demo import load

__all__ = ["Case", "ClassLoss", "Row", "cases", "evaluate", "losses_by_class"]


@dataclass(frozen=True)
class Case:
    """One loss on one data set."""

    data: str
    make: Callable[..., Any]
    input: NDArray[Any]
    target: NDArray[Any]
    options: Mapping[str, float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The constructor call, as a user writes it."""
        options = ", ".join(f"{name}={value:g}" for name, value in self.options.items())
        return f"{self.make.__name__}({options})"

    def criterion(self, reduction: str) -> Any:
        """The criterion with one reduction."""
        return self.make(reduction=reduction, **self.options)


@dataclass(frozen=True)
class Row:
    """What the demo prints for one case; times are in seconds a call."""

    loss: str
    data: str
    input_shape: tuple[int, ...]
    input_dtype: str
    target_dtype: str
    none_shape: tuple[int, ...]
    mean: float
    sum: float
    grad_norm: float
    seconds_mean: float
    seconds_value_and_grad: float


@dataclass(frozen=True)
class ClassLoss:
    """The mean cross entropy over the samples of one class."""

    label: int
    count: int
    mean: float


def cases() -> Iterator[Case]:
    """Yield every loss beside the data it suits."""
    digits, cancer, segments, diabetes = (load(name) for name in ("digits", "breast_cancer", "segments", "diabetes"))
    logits, target = digits["logits"], digits["target"]
    yield Case("digits", nl.CrossEntropyLoss, logits, target)
    yield Case("digits", nl.CrossEntropyLoss, logits, target, {"label_smoothing": 0.1})
    yield Case("digits", nl.NLLLoss, nl.log_softmax(logits, 1), target)
    logits, target = cancer["logits"], cancer["target"]
    yield Case("breast_cancer", nl.BCEWithLogitsLoss, logits, target)
    yield Case("breast_cancer", nl.BCEWithLogitsLoss, logits, target, {"pos_weight": 2.0})
    yield Case("breast_cancer", nl.BCELoss, cancer["probabilities"], target)
    logits, target = segments["logits"], segments["target"]
    yield Case("segments", nl.BCEWithLogitsLoss, logits, target)
    yield Case("segments", nl.MultiLabelSoftMarginLoss, logits, target)
    yield Case("diabetes", nl.MSELoss, diabetes["prediction"], diabetes["target"])


def evaluate(case: Case) -> Row:
    """Run one case with every reduction, with its gradient, and against the clock."""
    mean = case.criterion("mean")
    value, grad = mean.value_and_grad(case.input, case.target)
    return Row(
        loss=case.label,
        data=case.data,
        input_shape=case.input.shape,
        input_dtype=str(case.input.dtype),
        target_dtype=str(case.target.dtype),
        none_shape=np.shape(case.criterion("none")(case.input, case.target)),
        mean=float(value),
        sum=float(case.criterion("sum")(case.input, case.target)),
        grad_norm=float(np.linalg.norm(grad.astype(np.float64))),
        seconds_mean=_seconds(lambda: mean(case.input, case.target)),
        seconds_value_and_grad=_seconds(lambda: mean.value_and_grad(case.input, case.target)),
    )


def losses_by_class() -> list[ClassLoss]:
    """Return the mean cross entropy of each class of the digits: one call a class, on the rows of that class."""
    digits = load("digits")
    logits, target = digits["logits"], digits["target"]
    found = []
    for label in range(logits.shape[1]):
        rows = target == label
        mean = nl.cross_entropy(logits[rows], target[rows])
        found.append(ClassLoss(label, int(np.count_nonzero(rows)), float(mean)))
    return found


def _seconds(call: Callable[[], object], repeats: int = 7, calls: int = 20) -> float:
    """Return the time of one call: the least of several short runs, which a busy machine disturbs least."""
    call()
    best = float("inf")
    for _ in range(repeats):
        start = perf_counter()
        for _ in range(calls):
            call()
        best = min(best, perf_counter() - start)
    return best / calls
