"""ISA levels, threads, memory of results, and what this build is."""

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


def set_cache_limit(limit: int) -> None:
    """Sets how many bytes of memory that large results have left may be kept for later ones: 256 MiB unless this is called.

    New memory is cleared by the system, page by page, which takes longer than most losses do. Results of 1 MiB and more
    therefore leave theirs to the next ones of about their size. The system is told that it may take this memory back when it
    runs short (`MADV_FREE`); until then it counts as the process's own. 0 keeps nothing.

    Parameters
    ----------
    limit : int
        In bytes. What is kept beyond it is given back, the oldest first.

    Raises
    ------
    TypeError, ValueError
        If the limit is no integer, or negative.
    """
    _core.set_cache_limit(_check.byte_count("set_cache_limit", "limit", limit))


def get_cache_limit() -> int:
    """How many bytes may be kept for later results: see `set_cache_limit`."""
    return _core.get_cache_limit()


def get_cache_memory() -> int:
    """How many bytes are kept for later results now."""
    return _core.get_cache_memory()


def empty_cache() -> None:
    """Gives the memory that is kept for later results back to the system."""
    _core.empty_cache()


def show_config() -> None:
    """Prints version, compiler, ISA levels, OpenMP runtime, threads and the memory that may be kept for results."""
    rows = {
        "ndloss": _core.version,
        "compiler": _core.compiler,
        "ISA levels": f"{', '.join(available_isas())} (in use: {get_isa()})",
        "OpenMP": _core.openmp_runtime(),
        "threads": f"{get_num_threads()} of {os.cpu_count()} processors",
        "kept for results": f"{get_cache_memory() / 2**20:.0f} of at most {get_cache_limit() / 2**20:.0f} MiB",
        "NumPy": np.__version__,
        "Python": f"{sys.version.split()[0]} on {platform.machine()} {platform.system()}",
    }
    width = max(len(name) for name in rows)
    for name, value in rows.items():
        print(f"{name:{width}}  {value}")
