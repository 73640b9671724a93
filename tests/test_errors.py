"""
Bad arguments: the right exception, raised by value and gradient alike, naming function, argument, expectation, what
came and where.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from cases import CASE, LOSSES, LossCase
from edge_rows import CONSTRUCTOR_ROWS, ERROR_ROWS, GRADIENT_ROWS, ConstructorRow, ErrorRow, GradientRow
from rows.row import arguments
from samples import FLOATS, INDEX_DTYPES


def message(raises: Any, callable_: Any, *args: Any, **kwargs: Any) -> str:
    """
    The text of the exception, which must be of that type and not of a kind that only happens to be caught with it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nl.BroadcastWarning)
        with pytest.raises(raises) as caught:
            callable_(*args, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize("row", ERROR_ROWS, ids=str)
def test_row_is_refused(row: ErrorRow) -> None:
    for dtype in FLOATS:
        args, kwargs = row.call(dtype)
        function = getattr(F, row.name)
        for callable_ in (function, nl.value_and_grad(function)):
            text = message(row.raises, callable_, *args, **kwargs)
            assert text.startswith(f"{row.name}: ")
            assert [fragment for fragment in row.fragments if fragment not in text] == [], text


@pytest.mark.parametrize("row", [r for r in ERROR_ROWS if "reduction" not in r.kwargs and CASE[r.name].is_loss], ids=str)
def test_row_is_refused_by_the_class(row: ErrorRow) -> None:
    args, kwargs = row.call("float32")
    options = dict(kwargs)
    if not set(options) <= set(CASE[row.name].constructor):
        assert row.name in ("mse_loss", "l1_loss", "huber_loss")
        return

    def construct_and_call() -> Any:
        return getattr(nl, CASE[row.name].class_name)(**options)(*args)

    assert message(row.raises, construct_and_call)


@pytest.mark.parametrize("row", CONSTRUCTOR_ROWS, ids=str)
def test_constructor_refuses_at_once(row: ConstructorRow) -> None:
    text = message(row.raises, getattr(nl, row.class_name), **row.kwargs)
    assert [fragment for fragment in row.fragments if fragment not in text] == [], text


@pytest.mark.parametrize("row", GRADIENT_ROWS, ids=str)
def test_bad_gradient_request_is_refused(row: GradientRow) -> None:
    args, kwargs = arguments(row.args, row.kwargs, "float64")

    def ask() -> Any:
        return nl.value_and_grad(getattr(F, row.name), argnums=row.argnums)(*args, grad_output=row.grad_output, **kwargs)

    text = message(row.raises, ask)
    assert [fragment for fragment in row.fragments if fragment not in text] == [], text


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_unknown_arguments_are_refused(case: LossCase) -> None:
    operands = [np.full((2, 2), 0.5)] * len(case.operands)
    assert "nonsense" in message(TypeError, getattr(F, case.name), *operands, nonsense=1)
    assert "nonsense" in message(TypeError, getattr(nl, case.class_name), nonsense=1)


ROWS, PLACES = 257, (0, 1, 15, 16, 63, 128, 255, 256)


@pytest.mark.core
@pytest.mark.parametrize("classes", [3, 100])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_a_bad_label_is_found_wherever_it_is(name: str, reduction: str, classes: int) -> None:
    x = np.zeros((ROWS, classes), np.float32)
    function = getattr(F, name)
    for dtype in INDEX_DTYPES:
        if dtype == "bool":
            continue
        # The bad label sits in two places; the lower one is named.
        bad = {classes, np.iinfo(dtype).max} | ({-1, np.iinfo(dtype).min} if np.issubdtype(dtype, np.signedinteger) else set())
        for place in PLACES:
            for label in sorted(map(int, bad)):
                y = np.zeros(ROWS, dtype)
                y[place] = label
                y[-1] = label
                for callable_ in (function, nl.value_and_grad(function)):
                    text = message(IndexError, callable_, x, y, reduction=reduction)
                    where = f"{name}: target[{place}] is {label}, outside [0, {classes})."
                    assert text == f"{where} Target {label} is out of bounds."


@pytest.mark.core
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_bad_probability_is_found_wherever_it_is(dtype: str, reduction: str) -> None:
    function = F.binary_cross_entropy
    for position, operand in enumerate(("input", "target")):
        for place in PLACES:
            for bad, printed in ((1.5, "1.5"), (-0.25, "-0.25"), (np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")):
                args = [np.full(ROWS, 0.5, dtype), np.full(ROWS, 0.5, dtype)]
                args[position][place] = bad
                args[position][-1] = bad
                for callable_ in (function, nl.value_and_grad(function)):
                    text = message(ValueError, callable_, *args, reduction=reduction)
                    assert text.startswith(f"binary_cross_entropy: {operand}[{place}] is {printed}, outside [0, 1]."), text


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_neighbours_of_0_and_1_are_told_apart(dtype: str) -> None:
    zero, one, two = (np.array(number, dtype) for number in (0, 1, 2))
    y = np.zeros(3, dtype)
    assert np.isfinite(F.binary_cross_entropy(np.array([0.0, 0.5, 1.0], dtype), y))
    for bad in (np.nextafter(one, two), np.nextafter(zero, -one)):
        x = np.array([0.5, bad, 0.5], dtype)
        assert "input[1]" in message(ValueError, F.binary_cross_entropy, x, y)


def test_positions_are_logical_whatever_the_strides() -> None:
    y = np.zeros((4, 3), np.int64)
    y[2, 1] = 9
    x = np.zeros((4, 5, 3))
    for target in (y, np.asfortranarray(y), np.repeat(y, 2, axis=1)[:, ::2], y[::-1][::-1]):
        assert "target[2, 1] is 9" in message(IndexError, F.cross_entropy, x, target)
    p = np.full((4, 3), 0.5)
    p[1, 2] = 1.5
    for probabilities in (p, np.asfortranarray(p), np.repeat(p, 2, axis=0)[::2]):
        assert "input[1, 2] is 1.5" in message(ValueError, F.binary_cross_entropy, probabilities, np.zeros((4, 3)))
