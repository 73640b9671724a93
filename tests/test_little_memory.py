"""
A guest in somebody's process behaves: it needs no memory to speak of, and says so when there is none.
"""

from __future__ import annotations

import functools
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import bits
from outcomes import batches
from processes import (
    ROWED,
    ROWED_LOSSES,
    large,
    run,
    status,
)

MIB = 2**20
# RELIABILITY.md R17.
EXTRA_MIB = 16
INPUT_MIB = 256


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
    nl.set_cache_limit(0)
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


def kept_memory_is_used_first() -> None:
    x = np.zeros(2**24, np.float32)
    F.l1_loss(x, x, reduction="none")
    assert nl.get_cache_memory() == 2**26
    one, three = (np.broadcast_to(np.float32(number), 3 * 2**23) for number in (1, 3))
    with address_space(2**25 + 2**23):
        assert F.mse_loss(one, three, reduction="none").min() == 4
    assert nl.get_cache_memory() == one.nbytes


def test_what_is_kept_for_results_goes_before_memory_ends() -> None:
    run(kept_memory_is_used_first)
