"""A call of every class of losses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F

ROWS, CLASSES, FRAMES = 6, 4, 7
MASK = np.array([True, True, False, True, False, True])
WEIGHTS = np.array([0.5, 2.0, 1.0, 0.0, 3.0, 1.25])


def draw(seed: int, *shape: int) -> Any:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


X, Y, Z = (draw(seed, ROWS, CLASSES) for seed in range(3))
LABELS = np.array([0, 3, 1, 2, 2, 0])
ANSWERS = np.array([1, -1, 1, 1, -1, -1])
SETS = np.array([[0, -1, -1, -1], [3, 1, -1, -1], [2, -1, 0, 0], [-1, -1, -1, -1], [1, 2, 3, -1], [0, 3, -1, -1]])
BITS = (Y > 0).astype(np.float32)
PROBABILITIES = 1 / (1 + np.exp(-X))
LOG_PROBS = F.log_softmax(draw(3, FRAMES, ROWS, CLASSES), 2)
TRANSCRIPTS = np.array([[1, 2, 3], [2, 2, 1], [3, 1, 1], [1, 3, 2], [2, 1, 3], [3, 3, 3]])
CTC = (TRANSCRIPTS, [7, 7, 6, 5, 7, 6], [3, 2, 1, 3, 0, 2])


def squared(x: Any, y: Any) -> Any:
    d = x - y
    return (d * d).sum(-1), 2 * d, -2 * d


@dataclass(frozen=True)
class Call:
    """A class, and what it is called with."""

    name: str
    args: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)
    made_of: tuple[Any, ...] = ()

    def __call__(self, **options: Any) -> Any:
        """The criterion."""
        return getattr(nl, self.name)(*self.made_of, **self.options, **options)

    def __str__(self) -> str:
        return "-".join((self.name, *map(str, self.options)))


REGRESSION = tuple(Call(name, (X, Y)) for name in ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss", "PoissonNLLLoss"))
BINARY = (
    Call("BCELoss", (PROBABILITIES, BITS)),
    Call("BCEWithLogitsLoss", (X, BITS)),
    Call("MultiLabelSoftMarginLoss", (X, BITS)),
    Call("SoftMarginLoss", (X, np.sign(Y))),
    Call("HingeEmbeddingLoss", (X, np.sign(Y))),
)
OTHERS = (
    Call("KLDivLoss", (X, PROBABILITIES), {"reduction": "batchmean"}),
    Call("GaussianNLLLoss", (X, Y, PROBABILITIES)),
    Call("MarginRankingLoss", (X, Y, np.sign(Z))),
)
CLASSED = (
    Call("CrossEntropyLoss", (X, LABELS)),
    Call("NLLLoss", (X, LABELS)),
    Call("MultiMarginLoss", (X, LABELS)),
    Call("MultiLabelMarginLoss", (X, SETS)),
)
VECTORS = (
    Call("CosineEmbeddingLoss", (X, Y, ANSWERS)),
    Call("TripletMarginLoss", (X, Y, Z)),
    Call("TripletMarginLoss", (X, Y, Z), {"swap": True}),
    Call("TripletMarginWithDistanceLoss", (X, Y, Z)),
    Call("TripletMarginWithDistanceLoss", (X, Y, Z), {"distance_function": squared}),
)
SEQUENCES = (Call("CTCLoss", (LOG_PROBS, *CTC)),)
LINEAR = (Call("LinearCrossEntropyLoss", (X, LABELS), {"rng": 0}, (CLASSES, CLASSES)),)
CALLS = (*REGRESSION, *BINARY, *OTHERS, *CLASSED, *VECTORS, *SEQUENCES, *LINEAR)
APART = (*VECTORS, *SEQUENCES)  # reduced by another call
each = pytest.mark.parametrize("call", CALLS, ids=str)
each_apart = pytest.mark.parametrize("call", APART, ids=str)
