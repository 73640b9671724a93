"""
A guest in somebody's process behaves: it survives forks, answers Ctrl-C, lets go of the GIL, obeys its environment
variables, leaves the floating-point state alone, brings one OpenMP runtime and no other package, needs no memory to
speak of, and says so when there is none.

Most of this is seen from a process of its own: `run` calls a function of this file there.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import multiprocessing
import os
import platform
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import bits
from cases import CASES, LOSSES, LossCase
from ndloss import _core
from outcomes import batches, differing, everything, isa, threads_started
from samples import Sample

TESTS = Path(__file__).parent
MIB = 2**20
HAS_OPENMP = _core.openmp_runtime() != "none"
HAS_TORCH = importlib.util.find_spec("torch") is not None
X86 = platform.machine() == "x86_64"

ROWS = 100_000  # of three numbers and more: enough for a region of several threads
ENDLESS = 2**40  # rows that no call gets to the end of
FORKS = 10
# RELIABILITY.md R20 and R17.
ANSWER_SECONDS = 0.2
ANSWER_ATTEMPTS = 3
EXTRA_MIB = 16
INPUT_MIB = 256


def command(code: str) -> list[str]:
    return [sys.executable, "-W", "error", "-W", "ignore:reduction:UserWarning", "-c", code]


def environment(**variables: str) -> dict[str, str]:
    """This one with its tests on the path, without settings of ndloss but those given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NDLOSS_", "OMP_"))}
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    # NumPy's own pool of threads stays out of the count of threads.
    return {**inherited, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", **variables}


def run_code(code: str, **variables: str) -> str:
    done = subprocess.run(command(code), env=environment(**variables), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run(function: Callable[..., None], *args: object, **variables: str) -> str:
    """What a function of this file prints in a process of its own, in which every assertion held."""
    arguments = ", ".join(map(repr, args))
    return run_code(f"import test_process; test_process.{function.__name__}({arguments})", **variables)


# Losses whose operands all begin with the axis of the samples, and activations.
ROWED = tuple(case for case in CASES if not case.batch_axes and (case.batch is not None or not case.is_loss))
ROWED_LOSSES = tuple(case for case in LOSSES if case in ROWED)


def large(case: LossCase) -> Sample:
    return next(batches(case, "float32", ROWS))


def endless(case: LossCase) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Operands of very many rows that are one row, by a stride of zero."""
    assert case.batch is not None
    sample = case.batch(np.random.default_rng(0), "float32", 1)
    return tuple(np.broadcast_to(a, (ENDLESS, *a.shape[1:])) for a in sample.args), dict(sample.kwargs)


def status(field: str) -> int:
    """A field of /proc/self/status in KiB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{field}:")))


def tasks() -> int:
    return len(os.listdir("/proc/self/task"))


# ---- fork ----


def values(**options: Any) -> list[Any]:
    return [bits(getattr(F, case.name)(*(s := large(case)).args, **s.kwargs, **options)) for case in ROWED_LOSSES]


def most_tasks(call: Callable[[], Any]) -> int:
    """The most threads there were during a call."""
    seen, stop = [tasks()], threading.Event()

    def watch() -> None:
        while not stop.is_set():
            seen.append(tasks())

    watcher = threading.Thread(target=watch)
    watcher.start()
    call()
    stop.set()
    watcher.join()
    return max(seen) - 1  # the watcher itself


def descend(due: list[Any], generations: int) -> None:
    """Forks a child that computes, by itself and with explicit threads, and does the same."""
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        return
    signal.alarm(60)  # a hang must not last
    failed = 1
    try:
        assert nl.get_num_threads() == 1
        assert values() == due
        assert values(num_threads=2) == due
        with nl.num_threads(3):
            assert values() == due
        if generations:
            descend(due, generations - 1)
        failed = 0
    finally:
        os._exit(failed)


def fork_after_a_region() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)  # Python says what this test is about
    before = tasks()
    due = values(num_threads=1)
    assert values(num_threads=2) == due
    assert (tasks() > before) == HAS_OPENMP, "without threads there is nothing to survive"
    for _ in range(FORKS):
        descend(due, 0)
    descend(due, 2)
    assert values(num_threads=2) == due


def test_a_child_computes_after_its_parent_used_threads() -> None:
    run(fork_after_a_region)


def explicit_threads_in_a_child() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)
    values(num_threads=2)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        x = np.broadcast_to(np.float32(2), (2**27,))
        before = tasks()
        alone = most_tasks(lambda: F.mse_loss(x, x))
        shared = most_tasks(lambda: F.mse_loss(x, x, num_threads=3))
        os._exit(0 if alone == before and shared == before + 3 else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not HAS_OPENMP, reason="built without OpenMP")
def test_a_child_is_serial_unless_it_asks_for_threads() -> None:
    run(explicit_threads_in_a_child)


def pool_of_forks() -> None:
    warnings.simplefilter("ignore", DeprecationWarning)
    due = values(num_threads=2)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(functools.partial(call_values, 2), range(4)).get(timeout=60) == [due] * 4


def call_values(threads: int, _: int) -> list[Any]:
    return values(num_threads=threads)


def test_a_pool_of_forked_workers_computes() -> None:
    run(pool_of_forks)


# ---- Ctrl-C ----


def endless_calls() -> Iterator[tuple[str, Callable[[], Any]]]:
    for case in ROWED_LOSSES:
        args, kwargs = endless(case)
        for threads in (1, 2):
            call = functools.partial(getattr(F, case.name), *args, **kwargs, num_threads=threads)
            yield f"{case.name}, {threads} threads", call
        options = {name: value for name, value in kwargs.items() if name in case.constructor}
        stream = getattr(nl, case.class_name)(**options).accumulator()
        data = {name: value for name, value in kwargs.items() if name not in case.constructor}
        yield f"{case.name}, stream", functools.partial(stream.update, *args, **data)


def interrupted_again_and_again() -> None:
    due = values()
    for name, call in endless_calls():
        for _ in range(ANSWER_ATTEMPTS):
            print(name, flush=True)
            try:
                call()
            except KeyboardInterrupt:
                print(time.monotonic(), flush=True)
            else:
                print("came to an end", flush=True)
            if input() == "next":
                break
        assert values() == due, "the call after an interrupted one"
    print("done", flush=True)


def test_ctrl_c_is_answered_soon() -> None:
    code = "import test_process; test_process.interrupted_again_and_again()"
    slow: list[str] = []
    answered = 0
    load = os.getloadavg()[0] / len(os.sched_getaffinity(0))
    allowed = ANSWER_SECONDS * max(1.0, load)  # other programs have their turns in between
    pipe = subprocess.PIPE
    with subprocess.Popen(command(code), env=environment(), stdin=pipe, stdout=pipe, stderr=pipe, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        attempts: dict[str, int] = {}
        while (name := child.stdout.readline().strip()) not in ("done", ""):
            attempts[name] = attempts.get(name, 0) + 1
            time.sleep(0.1)  # it is on its way
            sent = time.monotonic()
            child.send_signal(signal.SIGINT)
            seconds = float(child.stdout.readline()) - sent
            again = seconds > allowed and attempts[name] < ANSWER_ATTEMPTS
            print("again" if again else "next", file=child.stdin, flush=True)
            answered += not again
            if not again and seconds > allowed:
                slow.append(f"{name}: {seconds:.3f} s")
        errors = child.stderr.read()
    assert child.returncode == 0, errors
    assert slow == []
    assert answered == 3 * len(ROWED_LOSSES)


# ---- the GIL ----


def ticks_during(call: Callable[[], Any]) -> tuple[int, float]:
    """How often another thread had its turn during a call, and how long the call took."""
    ticks, stop, started = 0, threading.Event(), threading.Event()

    def count() -> None:
        nonlocal ticks
        while not stop.is_set():
            ticks += 1
            started.set()
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    started.wait()
    before, begin = ticks, time.perf_counter()
    call()
    after, seconds = ticks, time.perf_counter() - begin
    stop.set()
    thread.join()
    return after - before, seconds


def test_a_call_that_keeps_the_gil_would_be_seen() -> None:
    """Sorting a list of numbers is one."""
    numbers = np.random.default_rng(0).random(400_000).tolist()
    found = [ticks_during(lambda: sorted(numbers)) for _ in range(5)]
    assert min(seconds for _, seconds in found) > 0.03
    # A busy machine may give the other thread a turn between a look at the clock and the call.
    assert min(ticks for ticks, _ in found) <= 2


@pytest.mark.parametrize("case", ROWED, ids=str)
def test_another_python_thread_has_its_turn_during_a_call(case: LossCase) -> None:
    rows = 1_000_000
    while True:
        sample = next(batches(case, "float32", 64))
        args = tuple(np.broadcast_to(a[:1], (rows, *a.shape[1:])) for a in sample.args)
        call = functools.partial(getattr(F, case.name), *args, **sample.kwargs, num_threads=1)
        ticks, seconds = ticks_during(call)
        if seconds > 0.05:
            break
        rows *= 2
    assert ticks >= 3, f"{ticks} turns in {seconds:.3f} s"
    both = functools.partial(nl.value_and_grad(getattr(F, case.name)), *args, **sample.kwargs, num_threads=1)
    ticks, seconds = ticks_during(both)
    assert ticks >= 3, f"value and gradient: {ticks} turns in {seconds:.3f} s"


def test_python_threads_that_call_at_once_get_their_own_bits() -> None:
    due = {case.name: everything(case, large(case), num_threads=1) for case in ROWED}
    wrong: list[str] = []
    calls = 0
    gate = threading.Barrier(4)

    def work(which: int) -> None:
        nonlocal calls
        gate.wait()
        with nl.num_threads(which + 1):
            for case in ROWED[which:] + ROWED[:which]:
                found = everything(case, large(case))
                wrong.extend(f"{case.name}: {name}" for name in differing(due[case.name], found))
                if nl.get_num_threads() != which + 1:
                    wrong.append(f"{nl.get_num_threads()} threads instead of {which + 1}")
                calls += 1

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert calls == 4 * len(ROWED)


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
    code = "import test_process; test_process.print_runtimes('torch')"
    found = run_code(code if order == "ndloss first" else f"import torch; {code}")
    assert len(found.split("\n")) == 2, found


# ---- memory ----


def reset_peak() -> int:
    """Forgets the peak of resident memory so far; the resident memory."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return status("VmRSS")


def peak_memory() -> None:
    """Prints the MiB that the mean of each loss needs, for an input of every layout."""
    pattern = np.full(INPUT_MIB * MIB // 4, 0x38003800, np.uint32)  # small, in either byte order; 0.5 in float16
    numbers = pattern.view(np.float32)
    before = reset_peak()
    numbers[: numbers.size // 8].copy()
    assert status("VmHWM") - before > INPUT_MIB / 9 * 1024, "a copy of an eighth of the input would not be seen"
    for case in ROWED_LOSSES:
        assert case.batch is not None
        sample = case.batch(np.random.default_rng(0), "float32", 1)
        width = sample.args[0].shape[1]
        rows = numbers.size // width
        whole = numbers[: rows * width]
        layouts = {
            "contiguous": whole.reshape(rows, width),
            "transposed, byte-swapped float16": whole.view(">f2")[::2].reshape(width, rows).T,
        }
        for layout, x in layouts.items():
            args = (x, *(np.broadcast_to(a, (rows, *a.shape[1:])) for a in sample.args[1:]))
            before = reset_peak()
            getattr(F, case.name)(*args, **sample.kwargs)
            print(f"{(status('VmHWM') - before) / 1024:.2f} {case.name}, {layout}")


def test_a_mean_needs_little_memory() -> None:
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("peaks cannot be reset here")
    lines = run(peak_memory).splitlines()
    assert len(lines) == 2 * len(ROWED_LOSSES)
    assert [line for line in lines if float(line.split()[0]) > EXTRA_MIB] == []


@contextmanager
def address_space(spare: int) -> Iterator[None]:
    """Nothing more than so many bytes can be had."""
    resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") * 1024 + spare, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def with_little_memory() -> None:
    """Prints how many calls failed for want of memory, and how many were right, under ever wider limits."""
    samples = [(case, large(case)) for case in ROWED]
    calls = [functools.partial(nl.value_and_grad(getattr(F, c.name)), *s.args, **s.kwargs, grad_output=None) for c, s in samples]
    calls = [call for case, call in zip(ROWED, calls, strict=True) if case.is_loss]
    due = []
    for call in calls:
        with nl.num_threads(2):
            due.append(tuple(map(bits, call())))
    errors = right = 0
    for spare in (0, *(2**k for k in range(16, 25, 2))):
        for call, expected in zip(calls, due, strict=True):
            found = None
            with nl.num_threads(2), address_space(spare), suppress(MemoryError):
                found = call()
            errors, right = errors + (found is None), right + (found is not None)
            assert found is None or tuple(map(bits, found)) == expected
    print(errors, right)


def test_a_call_with_little_memory_is_right_or_a_memory_error() -> None:
    # Memory is asked of the system each time, not taken from what was freed before.
    errors, right = map(int, run(with_little_memory, MALLOC_MMAP_THRESHOLD_="65536").split())
    assert errors > 0, "the limit was never met"
    assert right > 0, "no call succeeded: the limits are too tight to say anything"


def results_larger_than_memory() -> None:
    for case in ROWED:
        rows = 2**33
        sample = next(batches(case, "float32", 2))
        args = tuple(np.broadcast_to(a[:1], (rows, *a.shape[1:])) for a in sample.args)
        options = {**sample.kwargs, "reduction": "none"} if case.is_loss else sample.kwargs
        for function in (getattr(F, case.name), nl.value_and_grad(getattr(F, case.name))):
            with address_space(2**26), pytest.raises(MemoryError):
                function(*args, **options)
        getattr(F, case.name)(*sample.args, **sample.kwargs)


def test_a_result_larger_than_memory_is_a_memory_error() -> None:
    run(results_larger_than_memory)
