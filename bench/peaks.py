"""The resident memory of this process, and its peak since a moment of one's choice (Linux)."""

from __future__ import annotations

import os
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")
# Freed arrays go back to the system at once: an arena that kept them would take in the next call unseen.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_TOP_PAD_": "0"}


def available() -> bool:
    return os.access(CLEAR, os.W_OK)


def resident() -> int:
    return _field("VmRSS")


def forget() -> None:
    """Let the peak begin at what is resident."""
    CLEAR.write_text("5")


def peak() -> int:
    return _field("VmHWM")


def _field(name: str) -> int:
    lines = STATUS.read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))
