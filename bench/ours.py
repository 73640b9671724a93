"""ndloss itself, at each instruction-set level asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from timing import Contestant
from workloads import Workload

INTO_OUT = ", out="


def ndloss(workload: Workload, mode: str, threads: int, isas: Sequence[str]) -> list[Contestant]:
    """One contestant a level: the public function, or the fused value and gradient."""
    call = _call(workload, mode, threads)
    return [Contestant(f"ndloss {isa}", call, prepare=partial(_use, isa)) for isa in isas]


def into_out(workload: Workload, mode: str, threads: int, isas: Sequence[str]) -> list[Contestant]:
    """The same for results as large as the input, written where something has been written before, as the limit does.

    New arrays cost what the system takes to clear their pages.
    """
    if workload.bytes_written(mode) != workload.input.nbytes:
        return []
    call = _call(workload, mode, threads)
    result = call()
    out = np.zeros_like(result[1] if mode == "value_and_grad" else result)
    return [Contestant(f"ndloss {isa}{INTO_OUT}", partial(call, out=out), prepare=partial(_use, isa)) for isa in isas]


def _call(workload: Workload, mode: str, threads: int) -> partial[Any]:
    import ndloss as nl
    import ndloss.functional as F

    function = getattr(F, workload.loss)
    if mode == "value_and_grad":
        function = nl.value_and_grad(function)
    return partial(function, *workload.operands, reduction="none" if mode == "none" else "mean", num_threads=threads)


def plain_call(workload: Workload, threads: int) -> Contestant:
    """The mean as it is called most: operands alone. The number of threads is set before, so that no option is in the call."""
    import ndloss as nl
    import ndloss.functional as F

    call = partial(getattr(F, workload.loss), *workload.operands)
    return Contestant("ndloss", call, prepare=partial(nl.set_num_threads, threads))


def levels(asked: Sequence[str]) -> list[str]:
    """Return the levels to measure: the active one by default, `all` for every one available."""
    import ndloss as nl

    available = list(nl.available_isas())
    if not asked:
        return [nl.get_isa()]
    if list(asked) == ["all"]:
        return available
    missing = [isa for isa in asked if isa not in available]
    if missing:
        raise SystemExit(f"not available here: {', '.join(missing)}; available: {', '.join(available)}")
    return list(asked)


def _use(isa: str) -> None:
    import ndloss as nl

    nl.set_isa(isa)
    if nl.get_isa() != isa:
        raise RuntimeError(f"asked for {isa}, got {nl.get_isa()}")
