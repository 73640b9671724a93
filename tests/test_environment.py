"""
A guest in somebody's process behaves: it obeys its environment variables, leaves the floating-point state alone, brings one
OpenMP runtime and no other package.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from cases import LossCase
from outcomes import isa, threads_started
from processes import (
    HAS_OPENMP,
    ROWED,
    X86,
    command,
    environment,
    large,
    run,
    run_code,
    values,
)

HAS_TORCH = importlib.util.find_spec("torch") is not None


# ---- environment variables ----


NUMBER = "import ndloss; print(ndloss.get_num_threads())"
LEVEL = "import ndloss; print(ndloss.get_isa())"


def threads_of_a_large_call() -> None:
    x = np.broadcast_to(np.float32(2), (2**24,))
    print(nl.get_num_threads(), threads_started(lambda: F.mse_loss(x, x)) + 1)


@pytest.mark.skipif(not HAS_OPENMP, reason="built without OpenMP")
@pytest.mark.parametrize("variables", [{}, {"OMP_NUM_THREADS": "1"}], ids=str)
@pytest.mark.parametrize("threads", ["1", "3"])
def test_ndloss_num_threads_sets_the_number(threads: str, variables: dict[str, str]) -> None:
    assert run(threads_of_a_large_call, NDLOSS_NUM_THREADS=threads, **variables).split() == [threads, threads]


def explicit_numbers() -> None:
    assert nl.get_num_threads() == 3
    nl.set_num_threads(4)
    assert nl.get_num_threads() == 4
    with nl.num_threads(2):
        assert nl.get_num_threads() == 2
    assert nl.get_num_threads() == 4
    nl.set_num_threads(None)
    assert nl.get_num_threads() == 3


def test_an_explicit_number_beats_ndloss_num_threads() -> None:
    run(explicit_numbers, NDLOSS_NUM_THREADS="3")


@functools.cache
def default_number() -> str:
    return run_code(NUMBER)


@pytest.mark.parametrize("text", ["", "0", "-3", "two", "99999999999999999999", "4.5", "3 threads"])
def test_ndloss_num_threads_that_is_no_number_is_ignored(text: str) -> None:
    assert run_code(NUMBER, NDLOSS_NUM_THREADS=text) == default_number()


def test_the_default_number_keeps_to_the_affinity() -> None:
    one = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    assert run_code(one + NUMBER).strip() == "1"


@pytest.mark.parametrize("level", nl.available_isas())
def test_ndloss_isa_forces_a_level(level: str) -> None:
    assert run_code(LEVEL, NDLOSS_ISA=level).strip() == level


def test_without_ndloss_isa_the_fastest_level_is_used() -> None:
    assert run_code(LEVEL).strip() == run_code(LEVEL, NDLOSS_ISA="").strip() == nl.available_isas()[-1]


@pytest.mark.parametrize("text", ["avx1024", "AVX2", " "])
def test_an_unknown_ndloss_isa_is_refused_by_name(text: str) -> None:
    done = subprocess.run(command("import ndloss"), env=environment(NDLOSS_ISA=text), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert repr(text) in done.stderr
    assert all(repr(level) in done.stderr for level in nl.available_isas())


# ---- floating-point state ----

FLUSH = 0x8040  # flush results to zero, take subnormals for zero
STICKY = 0x3F  # what has happened so far; not a setting


def control_bits() -> tuple[int, int]:
    """The settings of this thread: MXCSR and the x87 control word."""
    state = (ctypes.c_uint32 * 8)()
    assert ctypes.CDLL("libm.so.6").fegetenv(state) == 0
    return state[7] & ~STICKY, state[0] & 0xFFFF


def set_mxcsr(value: int) -> None:
    libm = ctypes.CDLL("libm.so.6")
    state = (ctypes.c_uint32 * 8)()
    assert libm.fegetenv(state) == 0
    state[7] = value
    assert libm.fesetenv(state) == 0


def subnormals_live() -> bool:
    return bool(np.float64(5e-324) * np.ones(1)[0] > 0) and sys.float_info.min / 2 > 0


def value_and_gradient(case: LossCase, threads: int) -> None:
    sample = large(case)
    with nl.num_threads(threads):
        nl.value_and_grad(getattr(F, case.name))(*sample.args, **sample.kwargs)


@pytest.mark.skipif(not X86, reason="reads x86 registers")
def test_every_call_leaves_the_floating_point_state_alone() -> None:
    before = control_bits()
    assert subnormals_live()
    for level in nl.available_isas():
        with isa(level):
            for case in ROWED:
                for threads in (1, 2):
                    value_and_gradient(case, threads)
                    assert control_bits() == before, f"{case.name}, {level}, {threads} threads"
    assert subnormals_live()


@pytest.mark.skipif(not X86, reason="writes x86 registers")
def test_a_state_that_somebody_else_set_is_left_alone_too() -> None:
    """Which also shows that the functions above see a state that flushes."""
    mxcsr, word = control_bits()
    set_mxcsr(mxcsr | FLUSH)
    try:
        found = [(control_bits(), subnormals_live())]
        for case in ROWED:
            value_and_gradient(case, 2)
            found.append((control_bits(), subnormals_live()))
    finally:
        set_mxcsr(mxcsr)
    assert found == [((mxcsr | FLUSH, word), False)] * (len(ROWED) + 1)
    assert control_bits() == (mxcsr, word)


def test_subnormal_results_are_kept() -> None:
    for dtype in (np.float32, np.float64):
        root = np.sqrt(np.finfo(dtype).tiny).astype(dtype) / 2
        for level in nl.available_isas():
            with isa(level):
                for reduction in ("none", "mean"):
                    found = F.mse_loss(np.full(100, root), np.zeros(100, dtype), reduction=reduction)
                    assert np.all(found > 0)
                    assert np.all(found < np.finfo(dtype).tiny)


STATE_OVER_IMPORT = """
import ctypes, sys
import numpy
def state():
    words = (ctypes.c_uint32 * 8)()
    ctypes.CDLL("libm.so.6").fegetenv(words)
    return words[7] & ~0x3F, words[0] & 0xFFFF
before = state()
import ndloss
assert state() == before
assert sys.float_info.min / 2 > 0
"""


@pytest.mark.skipif(not X86, reason="reads x86 registers")
def test_import_leaves_the_floating_point_state_alone() -> None:
    run_code(STATE_OVER_IMPORT)


# ---- what is imported and loaded ----

NEW_MODULES = """
import sys, time
import numpy
import os
before = set(sys.modules)
threads = len(os.listdir("/proc/self/task"))
begin = time.perf_counter()
import ndloss
seconds = time.perf_counter() - begin
assert len(os.listdir("/proc/self/task")) == threads
print(seconds, *{name.partition(".")[0] for name in set(sys.modules) - before})
"""


def test_import_brings_nothing_but_numpy_and_ndloss() -> None:
    seconds, *names = run_code(NEW_MODULES).split()
    assert "ndloss" in names
    assert {*names} - sys.stdlib_module_names - {"numpy"} == {"ndloss"}
    print(f"import ndloss takes {float(seconds) * 1e3:.1f} ms after NumPy")


def print_runtimes(*first: str) -> None:
    """Imports others before or after this file's own import of ndloss, uses threads, prints the OpenMP runtimes."""
    for name in first:
        importlib.import_module(name)
    values(num_threads=2)
    maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    paths = {line.split(maxsplit=5)[5] for line in maps.splitlines() if "libgomp" in line or "libomp" in line}
    print("\n".join(sorted(paths)))


@pytest.mark.skipif(not HAS_OPENMP, reason="built without OpenMP")
def test_one_openmp_runtime_is_loaded() -> None:
    assert len(run(print_runtimes).split("\n")) == 2  # one line and its end


@pytest.mark.skipif(not HAS_OPENMP, reason="built without OpenMP")
@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
@pytest.mark.parametrize("order", ["ndloss first", "torch first"])
def test_one_openmp_runtime_is_loaded_beside_torch(order: str) -> None:
    code = "import test_environment; test_environment.print_runtimes('torch')"
    found = run_code(code if order == "ndloss first" else f"import torch; {code}")
    assert len(found.split("\n")) == 2, found
