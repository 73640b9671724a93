"""Every row of the edge tables of SEMANTICS.md, on ndloss."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import bits, criterion
from cases import CASE
from edge_rows import BROADCAST_MEAN, EDGE_ROWS, WARNING_ROWS, EdgeRow, WarningRow
from rows.row import arguments
from samples import FLOATS, Sample
from tolerances import assert_printed, assert_within


@pytest.mark.core
@pytest.mark.parametrize("row", EDGE_ROWS, ids=str)
def test_row_gives_its_values(row: EdgeRow, compared: Counter[str]) -> None:
    case = CASE[row.name]
    for dtype in row.dtypes:
        for reduction in row.reductions:
            args, kwargs = row.call(reduction, dtype)
            found = getattr(F, row.name)(*args, **kwargs)
            assert found.dtype == dtype
            if reduction in row.expected:
                assert_printed(found, row.expected[reduction], row.digits, dtype)
            kind = "unreduced" if reduction in ("none", "value") else "few"
            assert_within(found, case.reference(*args, **kwargs).value, kind, f"{dtype} {reduction}")
            options = {key: value for key, value in kwargs.items() if value is not None}
            if set(options) <= set(case.constructor):
                assert bits(criterion(case, Sample({}, args, options, None))(*args)) == bits(found)
            compared["edge rows"] += 1


@pytest.mark.core
@pytest.mark.parametrize("row", EDGE_ROWS, ids=str)
def test_row_gives_its_gradients(row: EdgeRow) -> None:
    for dtype in row.dtypes:
        for reduction in row.reductions:
            args, kwargs = row.call(reduction, dtype)
            answer = CASE[row.name].reference(*args, **kwargs)
            names = tuple(answer.grads)
            value, grads = nl.value_and_grad(getattr(F, row.name), argnums=names)(*args, **kwargs)
            assert bits(value) == bits(getattr(F, row.name)(*args, **kwargs))
            for name, grad in zip(names, grads, strict=True):
                assert_within(grad, answer.grads[name], "gradient", f"{dtype} {reduction} d {name}", answer.dtype)
                if (reduction, name) in row.grads:
                    assert_printed(grad, row.grads[reduction, name], row.digits, dtype)


@pytest.mark.parametrize("row", WARNING_ROWS, ids=str)
def test_row_warns(row: WarningRow) -> None:
    for dtype in FLOATS:
        args, kwargs = row.call(dtype)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = getattr(F, row.name)(*args, **kwargs)
        assert [w.category.__name__ for w in caught] == [row.category]
        assert all(fragment in str(caught[0].message) for fragment in row.fragments), str(caught[0].message)
        assert caught[0].filename == __file__  # the stacklevel points at the caller
        if row.same is not None:
            silent = {key: value for key, value in kwargs.items() if key not in ("size_average", "reduce")} | dict(row.same)
            assert bits(found) == bits(getattr(F, row.name)(*args, **silent))
            assert_within(found, CASE[row.name].reference(*args, **silent).value, "few")


@pytest.mark.parametrize("row", [row for row in WARNING_ROWS if row.section in ("0.2", "0.3")], ids=str)
def test_the_class_warns_and_maps_alike(row: WarningRow) -> None:
    args, kwargs = row.call("float64")
    assert row.same is not None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        criterion = getattr(nl, CASE[row.name].class_name)(**kwargs)
        found = criterion(*args)
    # Whether it is the constructor or the call that warns is not part of the contract; that somebody does, is.
    assert {w.category.__name__ for w in caught} == {row.category}
    assert {w.filename for w in caught} == {__file__}
    assert bits(found) == bits(getattr(F, row.name)(*args, **row.same))
    if row.section == "0.3":
        assert criterion.reduction == row.same["reduction"]


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_the_class_without_dim_warns_alike(name: str) -> None:
    x = np.array([[1.0, 2.0], [3.0, 5.0]])
    with pytest.warns(UserWarning, match=f"Implicit dimension choice for {name} has been deprecated"):
        found = getattr(nl, CASE[name].class_name)()(x)
    assert_within(found, CASE[name].reference(x, 1).value, "unreduced")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("args", "kwargs", "mean"), BROADCAST_MEAN)
def test_broadcast_means(args: tuple[Any, ...], kwargs: dict[str, Any], mean: float, dtype: str) -> None:
    called, options = arguments(args, kwargs, dtype)
    with pytest.warns(nl.BroadcastWarning):
        assert_printed(F.mse_loss(*called, **options), mean, 6, dtype)


def test_broadcast_warning_is_a_user_warning() -> None:
    assert issubclass(nl.BroadcastWarning, UserWarning)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_axis_is_another_name_of_dim(name: str) -> None:
    x = np.array([[1.0, 2.0, -1.0], [3.0, 5.0, 0.5]])
    for axis in (0, 1, -1, -2):
        expected = CASE[name].reference(x, axis)
        assert_within(getattr(F, name)(x, axis=axis), expected.value, "unreduced")
        assert bits(getattr(F, name)(x, axis=axis)) == bits(getattr(F, name)(x, axis))


def test_torch_positional_stacklevel_is_accepted() -> None:
    x = np.array([[1.0, 2.0]], dtype=np.float32)
    for name in ("softmax", "log_softmax"):
        found = getattr(F, name)(x, 1, 3, np.float64)
        assert found.dtype == np.float64
        assert_within(found, CASE[name].reference(x, 1, dtype=np.float64).value, "unreduced")


# Python scalars and lists are weak: the array decides; beside no array at all there is float32.
WEAK: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("mse_loss", (np.array([1.0, 2.0], np.float32), [0.5, 2.5]), {}, "float32"),
    ("mse_loss", ([0.5, 2.5], np.array([1.0, 2.0], np.float64)), {}, "float64"),
    ("mse_loss", (2.0, 0.5), {}, "float32"),
    ("mse_loss", ([1, 2], [2, 4]), {}, "float32"),
    ("binary_cross_entropy", (np.array([0.25, 0.5], np.float32), [0, 1]), {"weight": [1.0, 2.0]}, "float32"),
    ("binary_cross_entropy_with_logits", ([0.5, -2.0], [1, 0]), {"pos_weight": 3}, "float32"),
    ("multilabel_soft_margin_loss", (np.array([0.5, -2.0]), [True, False]), {"weight": 2}, "float64"),
    ("cross_entropy", ([[1.0, 2.0, 0.5]], [0]), {"weight": [1, 2, 3]}, "float32"),
    ("nll_loss", (np.array([[-1.0, -2.0]]), [1]), {"weight": [1, 2]}, "float64"),
    ("multi_margin_loss", ([[1.0, 2.0, 0.5]], [0]), {"weight": [1, 2, 3]}, "float32"),
    ("multi_margin_loss", (2, 0), {}, "float32"),
    ("multilabel_margin_loss", (np.array([[1.0, 2.0]]), [[1, -1]]), {}, "float64"),
    ("sigmoid", (0.5,), {}, "float32"),
    ("logsigmoid", ([0.5, 1],), {}, "float32"),
    ("softmax", ([0.5, 1],), {"dim": 0}, "float32"),
]


@pytest.mark.parametrize(("name", "args", "kwargs", "dtype"), WEAK)
def test_lists_and_scalars_are_accepted(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], dtype: str) -> None:
    found = getattr(F, name)(*args, **kwargs)
    assert found.dtype == dtype
    assert_within(found, CASE[name].reference(*args, **kwargs).value, "few")
