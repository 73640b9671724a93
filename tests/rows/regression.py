"""Mean squared error: sections 0.5-0.8, 0.10 and 1.2 of SEMANTICS.md."""

from __future__ import annotations

from rows.row import EMPTY, MSE, EdgeRow, everywhere, floats, inf, ints, nan

SQUARES = [
    EdgeRow("0.7", "empty", MSE, (floats(0), floats(0)), expected=EMPTY),
    EdgeRow(
        "1.2",
        "seen",
        MSE,
        ([1.0, 2.0, 3.0], [0.5, 2.0, 5.0]),
        expected={"none": [0.25, 0, 4], "mean": 1.41667, "sum": 4.25},
        grads={("mean", "input"): [0.3333, 0, -1.3333]},
        digits=4,
    ),
    EdgeRow(
        "1.2",
        "seen, weight",
        MSE,
        ([1.0, 2.0, 3.0], [0.5, 2.0, 5.0]),
        {"weight": [1.0, 2.0, 0.0]},
        {"mean": 0.08333},
        digits=4,
    ),
    EdgeRow("1.2", "all weights zero", MSE, ([1.0, 2.0], [0.5, 2.0]), {"weight": [0.0, 0.0]}, {"mean": nan, "sum": 0}),
    EdgeRow(
        "1.2",
        "NaN and infinity",
        MSE,
        ([nan, inf, -inf, inf, 1.0], [1.0, 1.0, 1.0, inf, inf]),
        expected={"none": [nan, inf, inf, nan, inf]},
        grads={("none", "input"): [nan, inf, -inf, nan, -inf]},
    ),
    EdgeRow(
        "1.2",
        "0-d",
        MSE,
        (floats(value=2.0), floats(value=0.5)),
        expected=everywhere(2.25),
        grads={("mean", "input"): 3, ("mean", "target"): -3},
    ),
    EdgeRow(
        "0.5",
        "uint8 differences do not wrap",
        MSE,
        ([1.0, 2.0], ints([2, 1], "uint8")),
        expected={"none": [1, 1], "mean": 1},
    ),
    EdgeRow(
        "0.5",
        "all integers",
        MSE,
        (ints([1, 2], "int64"), ints([2, 4], "int64")),
        expected={"none": [1, 4], "mean": 2.5},
        dtypes=("float32",),
        differs="0.5",
    ),
    EdgeRow("0.10", "float16 overflows", MSE, ([300.0], [0.0]), expected={"none": [inf]}, dtypes=("float16",)),
]
