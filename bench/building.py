"""Wheels of this project, of any revision, and workers that can only import one of them."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

from machine import ROOT

WORK_TREE = "the work tree"


@dataclass(frozen=True)
class Wheel:
    """What was built, and how long it took."""

    path: Path
    seconds: float


def commit(revision: str) -> str:
    """The full name of a revision; the work tree keeps its own."""
    if revision == WORK_TREE:
        return revision
    command = ["git", "-C", str(ROOT), "rev-parse", "--verify", f"{revision}^{{commit}}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def source(revision: str, folder: Path) -> Path:
    """The sources of a revision, unpacked into a folder; nothing of the repository is touched."""
    if revision == WORK_TREE:
        return ROOT
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", revision], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder


def build(tree: Path, folder: Path, *, cold: bool = False) -> Wheel:
    """Build the wheel of some sources; with ccache where there is one, unless the build is to be cold.

    The build backend of this environment is used if it is there; else pip gets its own.
    """
    environment = {**os.environ, "CMAKE_BUILD_PARALLEL_LEVEL": str(len(os.sched_getaffinity(0)))}
    if cold:
        environment |= {"CCACHE_DISABLE": "1"}
    elif shutil.which("ccache"):
        # Sources lie in another folder every time: the cache is not to see it.
        environment |= {"CMAKE_CXX_COMPILER_LAUNCHER": "ccache", "CCACHE_BASEDIR": str(tree), "CCACHE_NOHASHDIR": "1"}
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(tree)]
    if all(importlib.util.find_spec(name) for name in ("scikit_build_core", "pybind11")):
        command.append("--no-build-isolation")
    start = time.perf_counter()
    subprocess.run(command, check=True, env=environment)
    seconds = time.perf_counter() - start
    (path,) = folder.glob("*.whl")
    return Wheel(path, seconds)


def unpack(wheel: Path, folder: Path) -> Path:
    """Unpack a wheel; a process that imports only from there needs no environment of its own."""
    shutil.unpack_archive(wheel, folder, "zip")
    return folder


def interpreter(package: Path) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a Python that finds ndloss in one folder alone, and NumPy where this one does.

    Without `site`, so that no editable install of this environment answers in its place.
    """
    import numpy as np

    path = [str(package), str(Path(__file__).parent), str(Path(np.__file__).parents[1])]
    return [sys.executable, "-S"], {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
