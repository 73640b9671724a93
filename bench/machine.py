"""What the figures were measured on: a time without its machine says nothing."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import os
import platform
import re
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ndloss", "numpy", "scipy", "scikit-learn", "torch", "jax", "optax")
VARIABLES = ("OPENBLAS_", "OMP_", "GOMP_", "KMP_", "MKL_", "NDLOSS_", "XLA_")


def cores() -> list[int]:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def available_memory() -> int:
    """Bytes that can be allocated without swapping; where the system does not say, 4 GiB."""
    try:
        found = re.search(r"^MemAvailable:\s*(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return 1024 * int(found.group(1)) if found else 4 << 30


def caches() -> dict[str, int]:
    """Bytes of the first core's data caches by level, "L1" first; empty where the system does not say."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction" and size.endswith("K"):
            found[f"L{level}"] = int(size[:-1]) << 10
    return found


def describe(*, ours: bool) -> dict[str, str]:
    """Return machine, system, compiler, packages, revision and settings, as text by name."""
    facts = {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{_processor()}, {len(cores())} cores usable, {platform.machine()}",
        "cache sizes": ", ".join(f"{name} {size >> 10} KiB" for name, size in caches().items()) or "unknown",
        "vector instructions": _vector_instructions(),
        "system": platform.platform(),
        "compiler": _first_line([os.environ.get("CXX", "c++"), "--version"]),
        "python": platform.python_version(),
        "packages": ", ".join(_packages()),
        "revision": _revision(),
        "environment": ", ".join(f"{k}={v}" for k, v in sorted(os.environ.items()) if k.startswith(VARIABLES)) or "plain",
    }
    if "OPENBLAS_CORETYPE" in os.environ:
        core = os.environ["OPENBLAS_CORETYPE"]
        facts["note"] = f"OPENBLAS_CORETYPE={core} is set: NumPy's and SciPy's matrix products run as on {core}; no loss uses them"
    if ours:
        facts |= _ours()
    return facts


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1) if found else platform.processor() or "unknown processor"


def _vector_instructions() -> str:
    try:
        found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    flags = set(found.group(1).split()) if found else set()
    known = ("sse4_2", "avx", "f16c", "fma", "avx2", "avx512f", "avx512vl", "asimd", "sve")
    return " ".join(flag for flag in known if flag in flags) or "unknown"


def _packages() -> list[str]:
    found = []
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{package} {importlib.metadata.version(package)}")
    return found


def _revision() -> str:
    revision = _first_line(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"])
    changed = _first_line(["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"])
    return f"{revision}, with uncommitted changes" if changed not in ("", "unknown") else revision


def _first_line(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return "unknown"
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.stdout.split("\n")[0] if run.returncode == 0 else "unknown"


def _ours() -> dict[str, str]:
    import ndloss as nl

    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        nl.show_config()
    return {
        "ndloss": f"{nl.__version__}, level {nl.get_isa()} of {', '.join(nl.available_isas())}",
        "ndloss config": "; ".join(" ".join(line.split()) for line in text.getvalue().splitlines() if line.strip()),
    }
