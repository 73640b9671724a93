"""ISA levels, threads, and what this build is."""

from __future__ import annotations

import os
import platform
import sys
from types import TracebackType

import numpy as np

from ndloss import _check, _core


def available_isas() -> list[str]:
    """The instruction-set levels that this build has and this machine can run, slowest first."""
    return _core.available_isas()


def get_isa() -> str:
    """The instruction-set level in use: `NDLOSS_ISA` from the environment if it was set, else the fastest one."""
    return _core.get_isa()


def set_isa(name: str) -> None:
    """Forces an instruction-set level for the whole process.

    Raises
    ------
    ValueError
        If the level is unknown or cannot run here.
    """
    if not isinstance(name, str):
        raise TypeError(f"set_isa: name must be a str, got {type(name).__name__}")
    _core.set_isa(name)


def get_num_threads() -> int:
    """The number of threads that a large call uses by default on this thread."""
    return _core.get_num_threads()


def set_num_threads(threads: int | None) -> None:
    """Sets the number of threads for the whole process; None returns to the default.

    The default is `NDLOSS_NUM_THREADS`, or else OpenMP's maximum within the process's affinity and cgroup. An explicit
    number is honoured even above the number of cores.
    """
    _core.set_num_threads(_check.num_threads("set_num_threads", threads))


class num_threads:
    """A context in which the calling thread uses so many threads: ``with ndloss.num_threads(1): ...``."""

    def __init__(self, threads: int) -> None:
        self.threads = _check.num_threads("num_threads", threads)
        self._before: list[int] = []

    def __enter__(self) -> num_threads:
        self._before.append(_core.set_local_num_threads(self.threads))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _core.set_local_num_threads(self._before.pop())


def show_config() -> None:
    """Prints version, compiler, ISA levels, OpenMP runtime and threads."""
    rows = {
        "ndloss": _core.version,
        "compiler": _core.compiler,
        "ISA levels": f"{', '.join(available_isas())} (in use: {get_isa()})",
        "OpenMP": _core.openmp_runtime(),
        "threads": f"{get_num_threads()} of {os.cpu_count()} processors",
        "NumPy": np.__version__,
        "Python": f"{sys.version.split()[0]} on {platform.machine()} {platform.system()}",
    }
    width = max(len(name) for name in rows)
    for name, value in rows.items():
        print(f"{name:{width}}  {value}")
