"""No time without a right answer: everybody's result is compared with the oracle's before the clock starts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

import oracle
from rivals import plain
from timing import Contestant
from workloads import Array, Workload

# What we promise, in ULP, and what is accepted of others as right, relative to the mean or the largest gradient: they
# sum in the working precision, so their last digits depend on the size of the data.
OURS = {"value": {"float32": 1.0, "float64": 1.0}, "none": {"float32": 3.0, "float64": 4.0}}
OURS_GRADIENT = 4.0
# Terms cancel here: what is promised of an element is relative to the size of its terms, and nothing of one by one.
CANCELLING = (
    "kl_div",
    "poisson_nll_loss",
    "gaussian_nll_loss",
    "margin_ranking_loss",
    "cosine_embedding_loss",
    "triplet_margin_loss",
)
# 6 eps for each of 200 frames is what CTC promises in float64; of that its rounding errors use a part.
OURS_CTC_GRADIENT = {"float32": OURS_GRADIENT, "float64": 1200.0}
RIVALS = {"float32": 1e-4, "float64": 1e-9}
LOGARITHMS = 100  # who adds logarithms of the size of the whole loss in every frame of CTC loses two digits more


@dataclass(frozen=True)
class Verdict:
    """Error of an answer in ULP, and why it is wrong, if it is."""

    ulp: float
    wrong: str = ""


class Checker:
    """The right answers of one workload."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.dtype = workload.input.dtype
        self.adds_logarithms = workload.loss == "ctc_loss"
        self.mean = oracle.mean(workload, oracle.losses(workload))

    @cached_property
    def losses(self) -> list[tuple[slice, Array]]:
        return list(oracle.losses(self.workload))

    @cached_property
    def gradients(self) -> list[tuple[slice, Array]]:
        return list(oracle.gradients(self.workload))

    def check(self, contestant: Contestant, mode: str) -> Verdict:
        """Let a contestant answer once, and judge the answer."""
        contestant.prepare()
        answer = plain(contestant.call())
        if mode == "none":
            ulp = oracle.ulp_of_losses(answer, self.losses)
            bound = np.inf if self.workload.loss in CANCELLING else OURS["none"][str(self.dtype)]
            # Who cancels is far off in ULP where a loss is tiny, and not wrong for it: others are judged by their mean.
            # Of all rows alike: the mean of a loss may weigh them.
            expected = sum(part.sum() for _, part in self.losses) / answer.size
            off = float(abs(answer.mean(dtype=np.float64) - expected) / abs(expected))
        elif mode == "value_and_grad":
            value, grad = answer
            ulp = oracle.ulp_of_gradient(grad, self.gradients)
            bound = OURS_CTC_GRADIENT[str(self.dtype)] if self.adds_logarithms else OURS_GRADIENT
            off = max(self._relative(value), ulp * float(np.finfo(self.dtype).eps))
        else:
            ulp = oracle.ulp_of_value(answer, self.mean, self.dtype)
            bound = OURS["value"][str(self.dtype)]
            off = self._relative(answer)
        if contestant.name.startswith("ndloss") and not ulp <= bound:
            return Verdict(ulp, f"{ulp:.3g} ULP off, {bound:g} promised")
        if not off <= RIVALS[str(self.dtype)] * (LOGARITHMS if self.adds_logarithms else 1):
            return Verdict(ulp, f"off by {off:.2g} of the right answer")
        return Verdict(ulp)

    def _relative(self, value: Array) -> float:
        return float(abs(float(value) - self.mean) / abs(self.mean))
