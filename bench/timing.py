"""Fair times: contestants take turns, the least of their repeats counts, the spread is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median


def nothing() -> None:
    """Prepare nothing."""


def pause() -> None:
    """Give the waiting threads of whoever came before the time to go to sleep."""
    time.sleep(0.002)


@dataclass
class Contestant:
    """Somebody who computes an answer: who, how, and what has to be set before its turn."""

    name: str
    call: Callable[[], object]
    prepare: Callable[[], None] = nothing
    note: str = ""
    seconds: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def spread(self) -> float:
        """How far the middle repeat lies above the least, as a share of it: large on a disturbed machine."""
        return median(self.seconds) / self.best - 1


def race(contestants: Sequence[Contestant], rounds: int, budget: float, between: Callable[[], None] = pause) -> None:
    """Time every contestant in turn, `rounds` times; each gets about `budget` seconds in all.

    A turn begins with an untimed call, which brings code back; `between` runs before every timed one. The order turns
    round after each round, so that nobody always runs behind the same neighbour.
    """
    for turn in range(rounds):
        for contestant in contestants if turn % 2 == 0 else reversed(contestants):
            contestant.prepare()
            start = time.perf_counter()
            contestant.call()
            once = time.perf_counter() - start
            for _ in range(max(1, min(20, round(budget / rounds / max(once, 1e-9))))):
                between()
                start = time.perf_counter()
                contestant.call()
                contestant.seconds.append(time.perf_counter() - start)


def race_small(contestants: Sequence[Contestant], rounds: int, calls: int) -> None:
    """Time calls too short for the clock: each repeat is the average over `calls` of them."""
    for turn in range(rounds):
        for contestant in contestants if turn % 2 == 0 else reversed(contestants):
            pause()
            contestant.prepare()
            call = contestant.call
            for _ in range(calls // 10 + 1):
                call()
            start = time.perf_counter()
            for _ in range(calls):
                call()
            contestant.seconds.append((time.perf_counter() - start) / calls)
