"""The limit: the same bytes, read (and written) by code that does nothing else."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from timing import Contestant
from workloads import Array, Workload

SOURCE = Path(__file__).resolve().parent / "kernels" / "stream.cpp"
FLAGS = ("-std=c++20", "-O3", "-march=native", "-fopenmp", "-fPIC", "-shared")


EVICTION = 256 << 20  # bytes read between calls to empty the caches of anything else


class Limits:
    """Streaming kernels from C++, or NumPy's sums where they cannot be built; `made_by` says which."""

    def __init__(self) -> None:
        self._eviction = np.ones(EVICTION // 8)
        self._library: ctypes.CDLL | None = None
        compiler = os.environ.get("CXX", "c++")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "stream.so"
            command = [compiler, *FLAGS, str(SOURCE), "-o", str(path)]
            try:
                subprocess.run(command, check=True, capture_output=True, text=True)
                self._library = _typed(ctypes.CDLL(str(path)))
                self.made_by = f"bench/kernels/stream.cpp, {compiler} {' '.join(FLAGS[:4])}, best of its kernels"
            except (OSError, subprocess.CalledProcessError):
                self.made_by = "numpy.add.reduce and numpy.copyto on one thread (stream.cpp could not be built)"

    def evict(self) -> None:
        """Read so much that no operand is left in a cache. One thread does it; those of all libraries fall asleep."""
        if self._library is None:
            np.add.reduce(self._eviction)
        else:
            self._library.stream_read(0, self._eviction.ctypes.data, self._eviction.nbytes, None, 0, 1)

    def contestants(self, workload: Workload, mode: str, threads: int) -> list[Contestant]:
        """The kernels that move the bytes of one workload; the best of them is its limit."""
        operands = workload.operands
        writes = workload.bytes_written(mode) == workload.input.nbytes
        if self._library is None:
            return [Contestant("NumPy", _numpy(operands, writes=writes))]
        library = self._library
        if not writes:  # what an unreduced row loss writes is too little to count
            return [
                Contestant(library.stream_read_name(k).decode(), _Kernel(library, library.stream_read, k, operands, threads))
                for k in range(library.stream_read_count())
            ]
        out = np.zeros(workload.input.nbytes + 64, dtype=np.uint8)
        out = out[-out.ctypes.data % 64 :]
        return [
            Contestant(library.stream_write_name(k).decode(), _Kernel(library, library.stream_write, k, operands, threads, out))
            for k in range(library.stream_write_count())
        ]


def _typed(library: ctypes.CDLL) -> ctypes.CDLL:
    number, pointer, size = ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t
    library.stream_read.argtypes = (number, pointer, size, pointer, size, number)
    library.stream_write.argtypes = (number, pointer, size, pointer, size, pointer, number)
    library.stream_read_name.restype = library.stream_write_name.restype = ctypes.c_char_p
    return library


class _Kernel:
    """A kernel with two operands, and an output where it writes; further operands are read after them, two by two.

    It keeps the arrays alive whose addresses it passes.
    """

    def __init__(
        self, library: ctypes.CDLL, function: Callable[..., int], number: int, operands: Sequence[Array], threads: int, *out: Array
    ) -> None:
        self.arrays = (*operands, *out)
        pairs = [_where(operands[k : k + 2]) for k in range(0, len(operands), 2)]
        self.calls = [partial(function, number, *pairs[0], *(array.ctypes.data for array in out), threads)]
        read = number if not out else 0
        self.calls += [partial(library.stream_read, read, *pair, threads) for pair in pairs[1:]]

    def __call__(self) -> None:
        for call in self.calls:
            call()


def _where(pair: Sequence[Array]) -> list[int | None]:
    """Address and size of two operands; of none, where there is but one."""
    a, *others = pair
    return [a.ctypes.data, a.nbytes, *((others[0].ctypes.data, others[0].nbytes) if others else (None, 0))]


def _numpy(operands: Sequence[Array], *, writes: bool) -> Callable[[], object]:
    first, *others = operands
    out = np.empty_like(first) if writes else None

    def run() -> None:
        if out is None:
            np.add.reduce(first.ravel())
        else:
            np.copyto(out, first)
        for other in others:
            np.add.reduce(other.ravel())

    return run
