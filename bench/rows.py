"""What is asked for, and what comes back: the two records that the bench's processes exchange as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """What one process measures."""

    losses: list[str]
    dtypes: list[str]
    modes: list[str]
    isas: list[str]
    threads: int
    ours: bool
    rivals: bool
    only: list[str]
    quick: bool
    warm: bool
    rounds: int
    budget: float


@dataclass(frozen=True)
class Row:
    """One contestant on one workload. Without a time when the answer was wrong or the call failed; `why` says so."""

    workload: str
    mode: str
    dtype: str
    threads: int
    contestant: str
    seconds: float | None = None
    spread: float | None = None
    repeats: int = 0
    ns_per_element: float | None = None
    gb_per_s: float | None = None
    ulp: float | None = None
    detail: str = ""
    why: str = ""
    elements: int = 0  # where a workload is measured in many sizes

    def __str__(self) -> str:
        head = f"{self.workload:36} {self.mode:14} {self.dtype} {self.threads}t  {self.contestant:18}"
        if self.seconds is None:
            return f"{head} no time: {self.why}"
        time = f"{1e6 * self.seconds:8.2f} us" if self.ns_per_element is None else f"{self.ns_per_element:8.3f} ns/element"
        rate = "" if self.gb_per_s is None else f"{self.gb_per_s:.1f} GB/s"
        ulp = "" if self.ulp is None else f"{self.ulp:.3g} ULP"
        spread = f"+{100 * (self.spread or 0):.0f}% of {self.repeats}"
        return f"{head} {time:19} {rate:11} {ulp:12} {spread}  {self.detail}".rstrip()
