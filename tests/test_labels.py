"""
A class index out of range is found where it is used: at every position, in every integer dtype, at every ISA level, in
one thread and in two, for every reduction, in value, gradient and accumulator. The lowest position is named. Labels
that another thread changes meanwhile give a value or an error, never a crash.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import bits
from cases import CASE, LossCase
from layouts import LAYOUTS
from outcomes import isa, threads_started
from samples import INDEX_DTYPES, REDUCTIONS

LABELLED = (CASE["cross_entropy"], CASE["nll_loss"])
INTEGERS = tuple(dtype for dtype in INDEX_DTYPES if dtype != "bool")
# Two tiles of rows and a ragged end.
ROWS = 70
# Classes across the lanes, along them, of one segment and of more; and so many rows that every position is tried.
CLASSES = (10, 100)
LONG_ROWS = (65537, 300_000)
# Rows enough for several threads, and places at the seams of blocks and tasks.
MANY_ROWS = 200_003
PLACES = (0, 31, 32, 4095, 4096, 65_535, 65_536, 131_072, MANY_ROWS - 1)


def out_of_range(dtype: str, classes: int) -> list[int]:
    """C itself, the negative, and those that a cast to 32 or 64 bits would bring back into range."""
    values = (classes, -1, -(2**63), 2**31, 2**32 + 1, 2**63 + 5)
    info = np.iinfo(dtype)
    ends = {int(info.max)} if info.max >= classes else set()
    return sorted({v for v in values if info.min <= v <= info.max} | ends)


def calls(case: LossCase, x: Any, reduction: str) -> Iterator[Callable[[Any], Any]]:
    """Value, gradient and accumulator as functions of the labels."""
    function = getattr(F, case.name)
    yield lambda y: function(x, y, reduction=reduction)
    yield lambda y: nl.value_and_grad(function)(x, y, reduction=reduction)
    if reduction != "none":
        yield lambda y: getattr(nl, case.class_name)(reduction=reduction).accumulator().update(x, y)


def message(call: Callable[[Any], Any], labels: Any) -> str:
    with pytest.raises(IndexError) as caught:
        call(labels)
    assert type(caught.value) is IndexError
    return str(caught.value)


def expected(case: LossCase, place: object, label: int, classes: int) -> str:
    return f"{case.name}: target[{place}] is {label}, outside [0, {classes}). Target {label} is out of bounds."


@pytest.mark.core
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("integer", INTEGERS)
@pytest.mark.parametrize("case", LABELLED, ids=str)
def test_a_label_out_of_range_is_named_at_every_position(case: LossCase, integer: str, reduction: str) -> None:
    for classes in CLASSES:
        x = np.zeros((ROWS, classes), np.float32)
        y = np.zeros(ROWS, integer)
        for turn, call in enumerate(calls(case, x, reduction), start=INTEGERS.index(integer)):
            # A third of the places; the next dtypes see the other ones.
            places = range(turn % 3, ROWS, 3)
            for place, label in zip(places, itertools.cycle(out_of_range(integer, classes)), strict=False):
                y[place] = label
                assert message(call, y) == expected(case, place, label, classes)
                y[place] = 0
            call(y)  # nothing is wrong with it now


@pytest.mark.parametrize("integer", INTEGERS)
@pytest.mark.parametrize("case", LABELLED, ids=str)
def test_a_label_out_of_range_is_named_in_long_rows(case: LossCase, integer: str) -> None:
    for classes in LONG_ROWS:
        x = np.broadcast_to(np.float32(0), (2, classes))
        for (label, place), reduction in zip(
            itertools.product(out_of_range(integer, classes), range(2)), itertools.cycle(REDUCTIONS), strict=False
        ):
            for call in calls(case, x, reduction):
                y = np.zeros(2, integer)
                y[place:] = label
                assert message(call, y) == expected(case, place, label, classes)


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("case", LABELLED, ids=str)
def test_the_lowest_of_several_is_named_by_any_number_of_threads(case: LossCase, threads: int) -> None:
    x, y = np.zeros((MANY_ROWS, 3), np.float32), np.zeros(MANY_ROWS, np.int64)
    places = itertools.cycle((PLACES[:3], PLACES[3:6], PLACES[6:]))
    for level, reduction in itertools.product(nl.available_isas(), REDUCTIONS):
        with isa(level), nl.num_threads(threads):
            for call in calls(case, x, reduction):
                for place in next(places):
                    # Every place above has another wrong label.
                    above = [p for p in PLACES if p >= place]
                    y[...] = 0
                    y[above] = range(3, 3 + len(above))
                    assert message(call, y) == expected(case, place, 3, 3)
    y[...] = 0
    call = getattr(F, case.name)
    assert threads_started(lambda: call(x, y, num_threads=threads)) == threads - 1


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", LABELLED, ids=str)
def test_the_position_is_the_logical_one(case: LossCase, layout: str) -> None:
    shape = (3, 4, 5)
    for dtype in ("int64", "uint64", "int16"):
        for place in np.ndindex(shape):
            y = np.zeros(shape, dtype)
            y[place] = y[-1, -1, -1] = 2
            x = LAYOUTS[layout](np.zeros((3, 2, 4, 5)))
            for call in calls(case, x, "mean"):
                assert message(call, LAYOUTS[layout](y)) == expected(case, ", ".join(map(str, place)), 2, 2)


@pytest.mark.parametrize("case", LABELLED, ids=str)
def test_a_label_without_a_position_is_named_too(case: LossCase) -> None:
    for label in (3, -1, 2**40):
        for call in calls(case, np.zeros(3), "sum"):
            assert message(call, np.array(label)).startswith(f"{case.name}: target is {label}, outside [0, 3).")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("case", LABELLED, ids=str)
def test_only_the_ignored_index_itself_is_ignored(case: LossCase, reduction: str) -> None:
    """Not what looks like it in fewer bits, or in as many without a sign."""
    x = np.zeros((2, 3), np.float32)
    function = getattr(F, case.name)
    pairs = [
        ("int64", -100, -100 + 2**32),
        ("int64", 5, 5 + 2**32),
        ("uint64", -1, 2**64 - 1),
        ("uint64", -100, 2**64 - 100),
        ("uint32", -1, 2**32 - 1),
        ("uint8", -1, 255),
        ("int8", 255, -1),
        ("uint64", -(2**63) + 5, 2**63 + 5),
    ]
    for dtype, ignored, label in pairs:
        y = np.array([0, label], dtype)
        for call in (function, nl.value_and_grad(function)):
            text = message(lambda y, c=call, i=ignored: c(x, y, reduction=reduction, ignore_index=i), y)
            assert text == expected(case, 1, label, 3)
    for dtype, ignored in (("int64", -100), ("int64", 2**40), ("uint64", 7), ("int8", -128), ("uint8", 255)):
        y = np.array([0, ignored], dtype)
        found = function(x, y, reduction="mean", ignore_index=ignored)
        assert bits(found) == bits(function(x[:1], y[:1]))


@pytest.mark.parametrize("case", LABELLED, ids=str)
def test_a_stream_forgets_a_chunk_with_a_label_out_of_range(case: LossCase, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(9000, 10)).astype(np.float32), rng.integers(0, 10, 9000)
    clean, stream = (getattr(nl, case.class_name)().accumulator() for _ in range(2))
    for begin, end in ((0, 70), (70, 5000), (5000, 5001), (5001, 9000)):
        bad = y[begin:end].copy()
        for place in {0, (end - begin) // 2, end - begin - 1}:
            bad[place] = 10
            assert message(lambda labels, b=begin, e=end: stream.update(x[b:e], labels), bad) == expected(case, place, 10, 10)
            assert bits(stream.compute()) == bits(clean.compute())
            assert stream.count == begin
            bad[place] = y[begin + place]
        stream.update(x[begin:end], y[begin:end])
        clean.update(x[begin:end], y[begin:end])
    assert bits(stream.compute()) == bits(getattr(F, case.name)(x, y))


CHANGED_MEANWHILE = """
import threading, time
import numpy as np
import ndloss as nl
import ndloss.functional as F

rng = np.random.default_rng(1)
wrong = [2**40, -1, 10, 2**63 - 1, -(2**63)]
outcomes = {"value": 0, "IndexError": 0}

def change(labels, stop):
    places = rng.integers(0, len(labels), 64)
    while not stop.is_set():
        labels[places] = rng.choice(wrong)
        time.sleep(1e-4)
        labels[places] = 0
        time.sleep(1e-4)

def attempt(call):
    try:
        call()
    except IndexError:
        outcomes["IndexError"] += 1
    else:
        outcomes["value"] += 1

until = time.monotonic() + 3.0
for classes in (10, 100) * 100:
    x = rng.normal(size=(300_000 // classes, classes)).astype(np.float32)
    labels = np.zeros(len(x), np.int64)
    stop = threading.Event()
    changer = threading.Thread(target=change, args=(labels, stop))
    changer.start()
    weight = np.ones(classes, np.float32)
    for function, criterion in ((F.cross_entropy, nl.CrossEntropyLoss()), (F.nll_loss, nl.NLLLoss())):
        for reduction in ("none", "mean", "sum"):
            for threads in (1, 2):
                for options in ({}, {"weight": weight}, {"num_threads": threads}):
                    keywords = {"reduction": reduction, **options}
                    attempt(lambda: function(x, labels, **keywords))
                    attempt(lambda: nl.value_and_grad(function)(x, labels, **keywords))
        stream = criterion.accumulator()
        for half in (slice(None, len(x) // 2), slice(len(x) // 2, None)):
            attempt(lambda: stream.update(x[half], labels[half]))
        attempt(stream.compute)
    stop.set()
    changer.join()
    if time.monotonic() > until:
        break
print(outcomes["value"], outcomes["IndexError"])
"""


def test_labels_that_change_meanwhile_never_crash_a_call() -> None:
    """In a process of its own, which a wild read or write may end."""
    done = subprocess.run([sys.executable, "-c", CHANGED_MEANWHILE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    values, errors = map(int, done.stdout.split())
    assert values > 0, "every call was refused: the labels were wrong all the time"
    assert errors > 0, "no call was refused: the labels were never changed in time"
