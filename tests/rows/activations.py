"""Activations: sections 5.1 and 5.2 of SEMANTICS.md."""

from __future__ import annotations

from typing import Any

import numpy as np

from rows.row import EdgeRow, floats, inf, ints, nan


def _value(section: str, title: str, name: str, x: Any, value: Any, **rest: Any) -> EdgeRow:
    """A row for an activation."""
    return EdgeRow(section, title, name, (x,), rest.pop("kwargs", {}), {"value": value}, **rest)


DIM0, DIM1 = {"dim": 0}, {"dim": 1}

ACTIVATIONS = [
    _value(
        "5.1",
        "seen, float32",
        "sigmoid",
        [-inf, -104.0, -88.0, -20.0, 17.0, inf, nan],
        [0, 0, 6.0546e-39, 2.0612e-9, 1, 1, nan],
        digits=5,
        dtypes=("float32",),
    ),
    _value("5.1", "seen, float64", "sigmoid", [-745.0, -100.0, 37.0], [0, 3.72e-44, 1], digits=3, dtypes=("float64",)),
    _value("5.1", "seen, float16", "sigmoid", [-20.0, -17.0], [0, 5.96e-8], digits=3, dtypes=("float16",)),
    _value("5.1", "0-d", "sigmoid", floats(value=0.0), 0.5, grads={("value", "input"): 0.25}),
    _value("5.1", "empty", "sigmoid", floats(0, 2), np.zeros((0, 2))),
    _value("5.1", "int64", "sigmoid", ints([0, 1], "int64"), [0.5, 0.731059], dtypes=("float32",)),
    _value("5.1", "bool", "sigmoid", ints([False, True], "bool"), [0.5, 0.731059], dtypes=("float32",)),
    _value(
        "5.1",
        "limits",
        "logsigmoid",
        [inf, -inf, nan, -200.0, 0.0],
        [0, -inf, nan, -200, -0.693147],
        grads={("value", "input"): [0, 1, nan, 1, 0.5]},
    ),
    _value("5.1", "the tail", "logsigmoid", [20.0, 40.0], [-2.06115e-9, -4.24835e-18]),
    _value("5.2", "far apart", "softmax", [1000.0, 0.0, -1000.0], [1, 0, 0], kwargs=DIM0),
    _value("5.2", "far apart", "log_softmax", [1000.0, 0.0, -1000.0], [0, -1000, -2000], kwargs=DIM0),
    _value("5.2", "a class masked out", "softmax", [1.0, -inf, 2.0], [0.268941, 0, 0.731059], kwargs=DIM0),
    _value(
        "5.2",
        "a class masked out",
        "log_softmax",
        [1.0, -inf, 2.0],
        [-1.313262, -inf, -0.313262],
        kwargs=DIM0,
        grads={("value", "input"): [0.193176, 1, -1.193176]},
    ),
    *(
        _value("5.2", f"{title}", name, row, [nan, nan], kwargs=DIM0, grads={("value", "input"): [nan, nan]})
        for name in ("softmax", "log_softmax")
        for title, row in (("all -inf", [-inf, -inf]), ("+inf", [inf, 0.0]), ("NaN", [0.0, nan]))
    ),
    _value("5.2", "dominant", "softmax", [20.0, 0.0], [1, 2.0612e-9], digits=5, kwargs=DIM0),
    _value(
        "5.2",
        "dominant",
        "log_softmax",
        [20.0, 0.0],
        [-2.06e-9, -20],
        digits=3,
        kwargs=DIM0,
        dtypes=("float32",),
        differs="D20",
    ),
    *(
        _value("5.2", f"empty {shape}", name, floats(*shape), np.zeros(shape), kwargs=DIM1)
        for name in ("softmax", "log_softmax")
        for shape in ((2, 0), (0, 2))
    ),
    *(
        _value("5.2", f"0-d, dim {dim}", name, floats(value=3.0), value, kwargs={"dim": dim})
        for name, value in (("softmax", 1), ("log_softmax", 0))
        for dim in (0, -1)
    ),
    _value(
        "5.2",
        "dtype",
        "softmax",
        ints([1, 2], "int64"),
        [0.268941, 0.731059],
        kwargs=DIM0 | {"dtype": np.float32},
        dtypes=("float32",),
    ),
]
