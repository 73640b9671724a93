"""Measure every workload with one number of threads, in a process of its own, and write the rows as JSON.

Started by bench_losses.py. The cores that the process may use are set before any library is loaded: some (XLA) read
their number once and offer no other way to limit their threads.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rows import Plan, Row

if TYPE_CHECKING:
    from limits import Limits
    from workloads import Workload


def measure(plan: Plan, limits: Limits) -> Iterator[Row]:
    """Yield the rows of a plan, workload by workload."""
    from workloads import chosen

    for spec in chosen(plan.losses):
        for dtype in plan.dtypes:
            workload = spec.make(dtype, quick=plan.quick)
            yield from measure_one(plan, workload, limits)


def measure_one(plan: Plan, workload: Workload, limits: Limits) -> Iterator[Row]:
    """Check everybody's answer, then let those who are right race against the limit, in each mode."""
    import ours
    import rivals
    from checking import Checker
    from timing import pause, race

    dtype = str(workload.input.dtype)
    checker = Checker(workload)
    for mode in plan.modes:
        where = (workload.name, mode, dtype, plan.threads)
        candidates = []
        if plan.ours:
            for contestants in (ours.ndloss, ours.into_out):
                candidates += contestants(workload, mode, plan.threads, ours.levels(plan.isas))
        if plan.rivals:
            candidates += rivals.contestants(workload, mode, plan.threads, plan.only)
        right, ulps = [], {}
        for candidate in candidates:
            try:
                verdict = checker.check(candidate, mode)
            except Exception as error:  # a rival that cannot do it is a row, not the end
                yield Row(*where, candidate.name, why=f"{type(error).__name__}: {str(error)[:200]}")
                continue
            if verdict.wrong:
                yield Row(*where, candidate.name, ulp=verdict.ulp, why=verdict.wrong)
                continue
            ulps[candidate.name] = verdict.ulp
            right.append(candidate)
        kernels = limits.contestants(workload, mode, plan.threads)
        race([*kernels, *right], plan.rounds, plan.budget, pause if plan.warm else limits.evict)
        fastest = min(kernels, key=lambda c: c.best)
        moved = workload.bytes_read + workload.bytes_written(mode)
        for contestant in [fastest, *right]:
            limit = contestant is fastest
            yield Row(
                *where,
                "limit" if limit else contestant.name,
                seconds=contestant.best,
                spread=contestant.spread,
                repeats=len(contestant.seconds),
                ns_per_element=1e9 * contestant.best / workload.elements,
                gb_per_s=1e-9 * moved / contestant.best,
                ulp=ulps.get(contestant.name),
                detail=contestant.name if limit else "",
            )


def main() -> None:
    plan, cores, path = Plan(**json.loads(sys.argv[1])), json.loads(sys.argv[2]), Path(sys.argv[3])
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores[: plan.threads])
    from limits import Limits

    limits = Limits()
    rows = []
    try:
        for row in measure(plan, limits):
            print(row, flush=True)
            rows.append(asdict(row))
    finally:  # what was measured before a failure is kept
        path.write_text(json.dumps({"rows": rows, "limit": limits.made_by}))


if __name__ == "__main__":
    main()
