"""The instructions that a call runs inside the extension, by address, and what stands there."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).resolve().parent / "kernels" / "steps.cpp"
# What is stepped through must not use the red zone below the stack as the flags are pushed there.
FLAGS = ("-std=c++20", "-O2", "-mno-red-zone", "-fPIC", "-shared")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(?:(?:notrack|bnd|lock|repn?z?|data16|cs|\{\w+\}) +)*(\S+)\s*(.*)$")
NEAR = 1 << 12  # bytes: places nearer to each other are disassembled at once


class Steps:
    """Counts of one shared library that this process has loaded."""

    def __init__(self, library: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "steps.so"
            command = [os.environ.get("CXX", "c++"), *FLAGS, str(SOURCE), "-o", str(path)]
            subprocess.run(command, check=True, capture_output=True, text=True)
            self._steps = ctypes.PyDLL(str(path))
        self._steps.steps_begin.argtypes = (ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p)
        self.library = library
        self._begin, end, self._offset = _code(library)
        self._counts = np.zeros(end - self._begin, dtype=np.uint32)
        self._known: dict[int, tuple[str, str]] = {}

    def of(self, call: Callable[[], object]) -> dict[int, int]:
        """How often each instruction ran in a call, by its address in the file."""
        call()  # what the first call sets up is not counted
        self._counts[:] = 0
        self._steps.steps_begin(self._begin, self._counts.size, self._counts.ctypes.data)
        call()
        self._steps.steps_end()
        where = np.flatnonzero(self._counts)
        return dict(zip((where + self._offset).tolist(), self._counts[where].tolist(), strict=True))

    def read(self, counts: Mapping[int, int]) -> Iterator[tuple[str, str, int]]:
        """Name and operands of the instructions that were counted, and how often they ran."""
        self._disassemble([address for address in sorted(counts) if address not in self._known])
        for address, times in counts.items():
            yield (*self._known[address], times)

    def _disassemble(self, addresses: list[int]) -> None:
        while addresses:
            count = next((k for k in range(1, len(addresses)) if addresses[k] - addresses[k - 1] > NEAR), len(addresses))
            some, addresses = addresses[:count], addresses[count:]
            limits = [f"--start-address={some[0]:#x}", f"--stop-address={some[-1] + 16:#x}"]
            command = ["objdump", "--disassemble", "--no-show-raw-insn", "--wide", *limits, str(self.library)]
            for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
                if found := INSTRUCTION.match(line):
                    self._known[int(found[1], 16)] = (found[2], found[3])


def _code(library: Path) -> tuple[int, int, int]:
    """Where the code of a library begins and ends in this process, and at which address of its file."""
    name = str(library.resolve())
    for line in Path("/proc/self/maps").read_text().splitlines():
        where, rights, _, _, _, *path = line.split(maxsplit=5)
        if "x" in rights and path == [name]:
            begin, end = (int(text, 16) for text in where.split("-"))
            return begin, end, begin - _base(name)
    raise RuntimeError(f"{library} is not loaded")


def _base(name: str) -> int:
    """Where the first part of a library lies: addresses in its file count from there."""
    lines = (line for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(name))
    return int(next(lines).split("-")[0], 16)
