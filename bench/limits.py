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
        a, b = workload.input, workload.target
        writes = workload.bytes_written(mode) == a.nbytes
        if self._library is None:
            return [Contestant("NumPy", _numpy(a, b, writes=writes))]
        library = self._library
        if not writes:  # what an unreduced row loss writes is too little to count
            return [
                Contestant(library.stream_read_name(k).decode(), _Kernel(library.stream_read, k, (a, b), threads))
                for k in range(library.stream_read_count())
            ]
        out = np.zeros(a.nbytes + 64, dtype=np.uint8)
        out = out[-out.ctypes.data % 64 :]
        return [
            Contestant(library.stream_write_name(k).decode(), _Kernel(library.stream_write, k, (a, b, out), threads))
            for k in range(library.stream_write_count())
        ]


def _typed(library: ctypes.CDLL) -> ctypes.CDLL:
    number, pointer, size = ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t
    library.stream_read.argtypes = (number, pointer, size, pointer, size, number)
    library.stream_write.argtypes = (number, pointer, size, pointer, size, pointer, number)
    library.stream_read_name.restype = library.stream_write_name.restype = ctypes.c_char_p
    return library


class _Kernel:
    """A kernel with its operands; it keeps the arrays alive whose addresses it passes."""

    def __init__(self, function: Callable[..., int], number: int, arrays: Sequence[Array], threads: int) -> None:
        self.arrays = arrays
        self.call = partial(function, number, *_where(arrays), threads)

    def __call__(self) -> object:
        return self.call()


def _where(arrays: Sequence[Array]) -> list[int]:
    """Address and size of both operands; of the output, where there is one, the address alone."""
    a, b, *out = arrays
    return [a.ctypes.data, a.nbytes, b.ctypes.data, b.nbytes, *(array.ctypes.data for array in out)]


def _numpy(a: Array, b: Array, *, writes: bool) -> Callable[[], object]:
    out = np.empty_like(a) if writes else None

    def run() -> object:
        if out is None:
            return np.add.reduce(a.ravel()), np.add.reduce(b.ravel())
        np.copyto(out, a)
        return np.add.reduce(b.ravel())

    return run
