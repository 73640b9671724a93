"""Calls of losses of rows of classes with `sample_weight` and `mask`, and what the oracle says to the rows that are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

import ndloss as nl
import ndloss.functional as F
import reference
import reference_margins
from reference import WIDE, Answer, Bounded, Wide, wide

Array = npt.NDArray[Any]

ROWS = 67
# Lanes across rows, lanes along them, segments of a row, segments in parallel.
CLASSES = (10, 300, 70_001, 300_007)
REDUCTIONS = ("none", "mean", "sum")


@dataclass(frozen=True)
class Loss:
    """One loss of rows with options: how its targets are drawn, and what a row's part of the divisor is."""

    name: str
    oracle: Callable[..., Answer]
    options: dict[str, Any] = field(default_factory=dict)
    weighted: bool = False
    targets: str = "labels"

    def __str__(self) -> str:
        words = [self.name, self.targets, *(f"{k}={v}" for k, v in self.options.items())]
        return "-".join([*words, "weight"] if self.weighted else words)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(F, self.name)(*args, **kwargs)

    @property
    def is_likelihood(self) -> bool:
        return self.targets == "labels" and self.name in ("cross_entropy", "nll_loss")


LOSSES = (
    Loss("cross_entropy", reference.cross_entropy, {"ignore_index": 2}),
    Loss("cross_entropy", reference.cross_entropy, {"label_smoothing": 0.2}, weighted=True),
    Loss("cross_entropy", reference.cross_entropy, {"label_smoothing": 0.1}, weighted=True, targets="probabilities"),
    Loss("cross_entropy", reference.cross_entropy, targets="probabilities"),
    Loss("nll_loss", reference.nll_loss, {"ignore_index": 1}, weighted=True),
    Loss("nll_loss", reference.nll_loss),
    Loss("multi_margin_loss", reference_margins.multi_margin_loss, weighted=True),
    Loss("multi_margin_loss", reference_margins.multi_margin_loss, {"p": 2, "margin": 0.7}),
    Loss("multilabel_margin_loss", reference_margins.multilabel_margin_loss, targets="label sets"),
)


@dataclass
class Rows:
    """A call: rows of scores and their targets, with weights and mask; what is masked is poison."""

    input: Array
    target: Array
    sample_weight: Array
    mask: Array
    kwargs: dict[str, Any]

    @property
    def selection(self) -> dict[str, Array]:
        return {"sample_weight": self.sample_weight, "mask": self.mask}


def drawn(loss: Loss, classes: int, dtype: str, seed: int = 0, rows: int = ROWS) -> Rows:
    rng = np.random.default_rng([seed, classes, LOSSES.index(loss)])
    x = (rng.normal(size=(rows, classes)) * 3).astype(dtype)
    if loss.name == "nll_loss":
        x = -np.abs(x)
    keep = rng.random(rows) < 0.7
    keep[:2] = True, False
    if loss.targets == "labels":
        y: Array = rng.integers(0, classes, rows)
        y[~keep] = rng.choice([-7, classes, 2**40], (~keep).sum())
    elif loss.targets == "probabilities":
        y = rng.dirichlet(np.full(min(classes, 50), 0.3), rows)
        y = np.pad(y, ((0, 0), (0, classes - y.shape[1]))).astype(dtype)
        y[~keep] = np.nan
    else:
        y = rng.integers(-1, classes, (rows, classes))
        y[:, min(6, classes - 1) :] = -1
        y[~keep] = classes
    x[~keep] = np.nan
    kwargs = dict(loss.options)
    if loss.weighted:
        kwargs["weight"] = rng.uniform(0.2, 2.0, classes).astype(dtype)
    return Rows(x, y, rng.uniform(0.1, 3.0, rows).astype(dtype), keep, kwargs)


def expected(loss: Loss, call: Rows, reduction: str) -> Answer:
    """From the oracle's unreduced values of the kept rows alone."""
    keep = call.mask
    x, y = call.input[keep], call.target[keep]
    y = y if y.dtype.kind == "f" else y.astype(np.int64)
    s = wide(call.sample_weight)[keep]
    terms = loss.oracle(x, y, reduction="none", **call.kwargs).value
    d = np.ones(len(s), WIDE)
    if loss.is_likelihood:
        d = (y != call.kwargs.get("ignore_index", -100)).astype(WIDE)
        if loss.weighted:
            d *= wide(call.kwargs["weight"])[y]
    factor = 1 / (s * d).sum() if reduction == "mean" else WIDE(1)
    slopes = loss.oracle(x, y, reduction="none", grad_output=s * factor, **call.kwargs).grads
    value, scale = s * terms.value * factor, np.abs(s * factor) * terms.scale
    answer = spread(Bounded(value, scale), keep) if reduction == "none" else Bounded(value.sum(), scale.sum())
    names = [name for name in ("input", "target") if name in slopes]
    return Answer(answer, {name: spread(slopes[name], keep) for name in names})


def spread(kept: Bounded, keep: Array) -> Bounded:
    """Zeros where rows are masked."""

    def among_zeros(numbers: Wide) -> Wide:
        result = np.zeros((len(keep), *numbers.shape[1:]), WIDE)
        result[keep] = numbers
        return result

    return Bounded(among_zeros(kept.value), among_zeros(kept.scale))


def value_and_grads(loss: Loss, call: Rows, reduction: str, **more: Any) -> tuple[Any, tuple[Array, ...]]:
    names = ("input", "target") if loss.targets == "probabilities" else ("input",)
    options = {**call.kwargs, "reduction": reduction, **call.selection, **more}
    result: tuple[Any, tuple[Array, ...]] = nl.value_and_grad(getattr(F, loss.name), names)(call.input, call.target, **options)
    return result
