"""
A guest in somebody's process behaves: it survives forks, answers Ctrl-C, lets go of the GIL.

Most of this is seen from a process of its own: `run` calls a function of this file there.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from cases import LossCase
from outcomes import batches, differing, everything
from processes import (
    HAS_OPENMP,
    ROWED,
    ROWED_LOSSES,
    command,
    endless,
    environment,
    large,
    run,
    tasks,
    values,
)

FORKS = 10
# RELIABILITY.md R20.
ANSWER_SECONDS = 0.2
ANSWER_ATTEMPTS = 3


# ---- fork ----


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
        # On a busy machine a call may be over before anybody looked, or begin before the threads of the last one have ended.
        shared = max(most_tasks(lambda: F.mse_loss(x, x, num_threads=3)) for _ in range(10))
        os._exit(0 if alone == before and shared >= before + 3 else 1)
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
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which background jobs of a shell are born deaf to
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


@pytest.mark.timeout(900)  # on a loaded machine every call may be asked several times
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
