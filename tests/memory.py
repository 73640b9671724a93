"""The memory a piece of code needs, measured by a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SECONDS = 200

# Runs after the preparation, which defines `call`; prints the MiB by which the peak of resident memory exceeds what was there.
MEASURE = """
from pathlib import Path
def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{field}:")))
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
kept = call()
print((status("VmHWM") - before) / 1024)
"""

RESULTS = """
def size(result):
    return sum(map(size, result)) if isinstance(result, tuple) else result.nbytes
print(size(kept) / 2**20)
"""


def excess_of(preparation: str) -> float:
    """MiB that `call()` needs beyond what is resident after the preparation and the arrays that it returns."""
    peak, results = peaks_of(preparation + MEASURE + RESULTS)[-2:]
    return float(peak) - float(results)


def peak_of(preparation: str) -> float:
    """MiB that `call()` needs beyond what is resident after the preparation, its own results among them."""
    return float(peaks_of(preparation + MEASURE)[-1])


def peaks_of(code: str) -> list[str]:
    """The lines that code prints in a process of its own, numbers first."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("peaks cannot be reset here")
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
