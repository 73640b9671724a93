"""The cost of a call: (64, 10), where the arithmetic takes less than the way to it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np

import oracle
from rivals import jax_jit, plain
from rows import Plan, Row
from timing import Contestant, race_small
from workloads import Workload

SHAPE = (64, 10)


def measure_small(plan: Plan) -> Iterator[Row]:
    """Yield the time of one call for each way to make it."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal(SHAPE, dtype=np.float32)
    other = rng.standard_normal(SHAPE, dtype=np.float32)
    labels = rng.integers(0, SHAPE[1], SHAPE[0])
    for loss, target in (("mse_loss", other), ("cross_entropy", labels)):
        if plan.losses and not any(word in f"{loss} (64, 10)" for word in plan.losses):
            continue
        workload = Workload(f"{loss} (64, 10)", loss, logits, target)
        expected = oracle.mean(workload, oracle.losses(workload))
        contestants = [c for c in _contestants(plan, workload) if _wanted(c, plan.only)]
        ulps = {c.name: _ulp(c, expected) for c in contestants}
        right = [c for c in contestants if (ulps[c.name] or 0.0) <= _bound(c)]
        race_small(right, rounds=plan.rounds, calls=200 if plan.quick else 2000)
        for c in contestants:
            name = (workload.name, "call", "float32", plan.threads, c.name)
            if c in right:
                yield Row(*name, seconds=c.best, spread=c.spread, repeats=len(c.seconds), ulp=ulps[c.name])
            else:
                yield Row(*name, ulp=ulps[c.name], why="wrong answer")


def _wanted(contestant: Contestant, only: list[str]) -> bool:
    return not only or contestant.name.startswith("ndloss") or any(word in contestant.name for word in only)


def _bound(contestant: Contestant) -> float:
    """ULP allowed: of ours the unreduced bound of a few elements, plus one; of others what float32 sums may lose."""
    return 4.0 if contestant.name.startswith("ndloss") else 64.0


def _ulp(contestant: Contestant, expected: Any) -> float | None:
    if contestant.name.startswith("numpy."):  # a yardstick for the cost of a call, not an answer
        return None
    return oracle.ulp_of_value(plain(contestant.call()), expected, np.dtype(np.float32))


def _contestants(plan: Plan, workload: Workload) -> Iterator[Contestant]:
    x, y = workload.input, workload.target
    class_name = {"mse_loss": "MSELoss", "cross_entropy": "CrossEntropyLoss"}[workload.loss]
    if plan.ours:
        import ndloss as nl

        function, criterion = getattr(nl, workload.loss), getattr(nl, class_name)()
        yield Contestant("ndloss function", lambda: function(x, y))
        yield Contestant("ndloss class", lambda: criterion(x, y))
    if plan.rivals and importlib.util.find_spec("torch") is not None:
        yield _torch(plan, workload)
    if plan.rivals and importlib.util.find_spec("jax") is not None:
        call = jax_jit(workload, "value", plan.threads)
        if call is not None:
            yield Contestant("jax.jit", call)
    if workload.loss == "mse_loss":
        yield Contestant("numpy.add", lambda: np.add(x, x))
        yield Contestant("numpy.mean", lambda: np.mean(x))


def _torch(plan: Plan, workload: Workload) -> Contestant:
    import torch

    torch.set_num_threads(plan.threads)
    function: Any = getattr(torch.nn.functional, workload.loss)
    x, y = torch.from_numpy(workload.input), torch.from_numpy(workload.target)
    return Contestant("torch eager", lambda: function(x, y))
