"""What is the margin losses' own: rows of every length, targets of every number, and where they are not allowed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import bits
from cases import CASE
from layouts import LAYOUTS
from samples import FLOATS, INDEX_DTYPES
from tolerances import Judge, assert_within

NAMES = ("multi_margin_loss", "multilabel_margin_loss")
# On both sides of: one lane, short rows, a run of lanes, a chunk.
LENGTHS = (1, 2, 7, 8, 31, 33, 63, 64, 65, 96, 255, 257, 2047, 2048, 2049, 4500)


def drawn(name: str, rng: np.random.Generator, dtype: str, rows: int, classes: int) -> tuple[Any, Any]:
    x = rng.normal(0, 2, (rows, classes)).astype(dtype)
    if name == "multi_margin_loss":
        return x, rng.integers(0, classes, rows)
    y = rng.integers(0, classes, (rows, classes))
    y[np.arange(rows), rng.integers(0, min(classes, 7), rows)] = -1
    return x, y


def exactly(row: Any, targets: list[int], p: int) -> Fraction:
    """One row's loss in rational numbers, from the definition."""
    x = [Fraction(float(score)) for score in row]
    pairs = ((k, c) for k in targets for c in range(len(x)) if c not in targets)
    return sum((max(Fraction(0), 1 - x[k] + x[c]) ** p for k, c in pairs), Fraction(0)) / len(x)


@pytest.mark.core
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("classes", [10, 70])
def test_rows_have_their_exact_loss(dtype: str, classes: int, rng: np.random.Generator) -> None:
    x, y = drawn("multi_margin_loss", rng, dtype, 8, classes)
    x[:, ::3] = (x[np.arange(8), y][:, None] - 1) * (1 + np.finfo(dtype).eps)  # nearly the margin apart: everything cancels
    for p in (1, 2):
        found = F.multi_margin_loss(x, y, p=p, reduction="none")
        for row, label, loss in zip(x, y, found, strict=True):
            expected = exactly(row, [int(label)], p)
            assert abs(Fraction(float(loss)) - expected) <= 3 * Fraction(float(np.finfo(dtype).eps)) * expected
    _, sets = drawn("multilabel_margin_loss", rng, dtype, 8, classes)
    found = F.multilabel_margin_loss(x, sets, reduction="none")
    for row, labels, loss in zip(x, sets.tolist(), found, strict=True):
        expected = exactly(row, labels[: labels.index(-1)], 1)
        if len(set(labels[: labels.index(-1)])) == labels.index(-1):
            assert abs(Fraction(float(loss)) - expected) <= 3 * Fraction(float(np.finfo(dtype).eps)) * expected


@pytest.mark.core
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", NAMES)
def test_rows_of_every_length_are_within_the_bound(name: str, dtype: str, rng: np.random.Generator) -> None:
    case = CASE[name]
    with Judge() as judge:
        for classes in LENGTHS:
            for rows in (1, 3, 33) if classes < 300 else (2,):
                x, y = drawn(name, rng, dtype, rows, classes)
                for kwargs in ({}, {"p": 2}) if name == "multi_margin_loss" else ({},):
                    answer = case.reference(x, y, reduction="none", **kwargs)
                    value, grad = nl.value_and_grad(getattr(F, name))(x, y, reduction="none", **kwargs)
                    assert bits(value) == bits(getattr(F, name)(x, y, reduction="none", **kwargs))
                    judge.compare(value, answer.value, "unreduced", (rows, classes, kwargs))
                    judge.compare(grad, answer.grads["input"], "gradient", (rows, classes, kwargs))


@pytest.mark.parametrize("classes", [5, 100, 2500])
@pytest.mark.parametrize("name", NAMES)
def test_bits_depend_on_neither_layout_nor_level_nor_threads(name: str, classes: int, rng: np.random.Generator) -> None:
    x, y = drawn(name, rng, "float32", 70, classes)
    both = nl.value_and_grad(getattr(F, name))
    levels = [isa for isa in nl.available_isas() if isa != "baseline"] or nl.available_isas()
    for reduction in ("none", "mean"):
        expected = [bits(part) for part in both(x, y, reduction=reduction)]
        for layout, change in LAYOUTS.items():
            found = both(change(x), change(y), reduction=reduction)
            assert [bits(part) for part in found] == expected, layout
        before = nl.get_isa()
        try:
            for isa in levels:
                nl.set_isa(isa)
                for threads in (1, 2, 3):
                    assert [bits(part) for part in both(x, y, reduction=reduction, num_threads=threads)] == expected
        finally:
            nl.set_isa(before)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_computed_wide_and_rounded_once(name: str, rng: np.random.Generator) -> None:
    for classes in (6, 90):
        x, y = drawn(name, rng, "float16", 40, classes)
        answer = CASE[name].reference(x, y, reduction="none")
        value, grad = nl.value_and_grad(getattr(F, name))(x, y, reduction="none")
        assert value.dtype == grad.dtype == np.float16
        assert_within(value, answer.value, "unreduced")
        assert_within(grad, answer.grads["input"], "gradient")


@pytest.mark.parametrize("classes", [40, 90])
def test_every_index_dtype_says_the_same(classes: int, rng: np.random.Generator) -> None:
    x = rng.normal(0, 2, (35, classes))
    labels, sets = rng.integers(0, 2, 35), rng.integers(0, 2, (35, classes))
    for dtype in INDEX_DTYPES:
        for name, y in (("multi_margin_loss", labels), ("multilabel_margin_loss", sets)):
            answer = CASE[name].reference(x, y, reduction="none")
            found = getattr(F, name)(x, y.astype(dtype), reduction="none")
            assert_within(found, answer.value, "unreduced", dtype)
            assert bits(found) == bits(getattr(F, name)(x, y, reduction="none"))


ROWS, PLACES = 131, (0, 1, 31, 32, 64, 129, 130)


@pytest.mark.core
@pytest.mark.parametrize("classes", [3, 100])
@pytest.mark.parametrize("name", NAMES)
def test_a_bad_label_is_found_wherever_it_is(name: str, classes: int) -> None:
    x = np.zeros((ROWS, classes), np.float32)
    lowest = 0 if name == "multi_margin_loss" else -1
    for dtype in INDEX_DTYPES:
        if dtype == "bool":
            continue
        bad = {classes, int(np.iinfo(dtype).max)}
        if np.issubdtype(dtype, np.signedinteger):
            bad |= {lowest - 1, int(np.iinfo(dtype).min)}
        for place in PLACES:
            for label in sorted(bad):
                y = np.zeros(ROWS if lowest == 0 else (ROWS, classes), dtype)
                y[place if lowest == 0 else (place, -1)] = label
                y[-1 if lowest == 0 else (-1, -1)] = label
                where = f"target[{place}]" if lowest == 0 else f"target[{place}, {classes - 1}]"
                for function in (getattr(F, name), nl.value_and_grad(getattr(F, name))):
                    for reduction in ("none", "mean"):
                        with pytest.raises(IndexError) as caught:
                            function(x, y, reduction=reduction)
                        text = f"{name}: {where} is {label}, outside [{lowest}, {classes}). Target {label} is out of bounds."
                        assert str(caught.value) == text


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_has_an_empty_gradient(name: str) -> None:
    x, y = np.zeros((0, 4), np.float32), np.zeros((0,) if name == "multi_margin_loss" else (0, 4), np.int64)
    for reduction, expected in (("mean", np.nan), ("sum", 0.0)):
        value, grad = nl.value_and_grad(getattr(F, name))(x, y, reduction=reduction)
        np.testing.assert_equal(value, np.float32(expected))
        assert grad.shape == (0, 4)
