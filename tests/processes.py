"""Code in a process of its own, and the calls that tests of processes make there."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import ndloss.functional as F
from calls import bits
from cases import CASES, LOSSES, LossCase
from ndloss import _core
from outcomes import batches
from samples import Sample

TESTS = Path(__file__).parent
HAS_OPENMP = _core.openmp_runtime() != "none"
X86 = platform.machine() == "x86_64"

ROWS = 100_000  # of three numbers and more: enough for a region of several threads
ENDLESS = 2**40  # rows that no call gets to the end of


def command(code: str) -> list[str]:
    return [sys.executable, "-W", "error", "-W", "ignore:reduction:UserWarning", "-c", code]


def environment(**variables: str) -> dict[str, str]:
    """This one with its tests on the path, without settings of ndloss but those given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NDLOSS_", "OMP_"))}
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    # NumPy's own pool of threads stays out of the count of threads.
    return {**inherited, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", **variables}


def run_code(code: str, **variables: str) -> str:
    done = subprocess.run(command(code), env=environment(**variables), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run(function: Callable[..., None], *args: object, **variables: str) -> str:
    """What a function of a test file prints in a process of its own, in which every assertion held."""
    arguments = ", ".join(map(repr, args))
    file = function.__module__
    return run_code(f"import {file}; {file}.{function.__name__}({arguments})", **variables)


# Losses whose operands all begin with the axis of the samples, and activations.
ROWED = tuple(case for case in CASES if not case.batch_axes and (case.batch is not None or not case.is_loss))
ROWED_LOSSES = tuple(case for case in LOSSES if case in ROWED)


def large(case: LossCase) -> Sample:
    return next(batches(case, "float32", ROWS))


def endless(case: LossCase) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Operands of very many rows that are one row, by a stride of zero."""
    assert case.batch is not None
    sample = case.batch(np.random.default_rng(0), "float32", 1)
    return tuple(np.broadcast_to(a, (ENDLESS, *a.shape[1:])) for a in sample.args), dict(sample.kwargs)


def status(field: str) -> int:
    """A field of /proc/self/status in KiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{field}:")))


def tasks() -> int:
    return len(os.listdir("/proc/self/task"))


def values(**options: Any) -> list[Any]:
    return [bits(getattr(F, case.name)(*(s := large(case)).args, **s.kwargs, **options)) for case in ROWED_LOSSES]
