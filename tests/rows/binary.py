"""Losses of a yes or no per element: sections 0.5-0.9, 1.5, 1.6 and 1.16 of SEMANTICS.md, and D2, D4."""

from __future__ import annotations

from typing import Any

import numpy as np

from rows.row import BCE, EMPTY, LOGITS, MULTILABEL, EdgeRow, everywhere, floats, inf, ints, nan

X23, Y23 = [[0.25, 0.5, 0.75], [0.125, 0.5, 0.875]], [[0.0, 1.0, 0.5], [1.0, 0.25, 0.0]]
WEIGHT_SHAPES: dict[str, Any] = {
    "(3,)": [1.0, 2.0, 0.5],
    "(2,1)": [[1.0], [3.0]],
    "(1,)": [2.0],
    "()": floats(value=2.0),
}

BINARY = [
    EdgeRow("0.7", "empty", BCE, (floats(0), floats(0)), expected=EMPTY),
    EdgeRow("0.7", "empty", LOGITS, (floats(0), floats(0)), expected=EMPTY),
    EdgeRow(
        "0.7",
        "empty matrix",
        LOGITS,
        (floats(0, 3), floats(0, 3)),
        expected={"mean": nan, "sum": 0, "none": np.zeros((0, 3))},
    ),
    EdgeRow("0.7", "empty batch", MULTILABEL, (floats(0, 3), floats(0, 3)), expected=EMPTY),
    EdgeRow(
        "0.7",
        "no classes",
        MULTILABEL,
        (floats(2, 0), floats(2, 0)),
        expected={"none": [nan, nan], "mean": nan, "sum": nan},
    ),
    EdgeRow(
        "0.8",
        "NaN",
        LOGITS,
        ([nan, 1.0], [0.0, 1.0]),
        expected={"none": [nan, 0.313262]},
        grads={("none", "input"): [nan, -0.268941]},
    ),
    EdgeRow("0.8", "NaN target", LOGITS, ([0.5], [nan]), expected=everywhere([nan]) | {"mean": nan, "sum": nan}),
    EdgeRow(
        "0.8",
        "NaN",
        MULTILABEL,
        ([[nan, 1.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]),
        expected={"none": [nan, 0.693147]},
        grads={("none", "input"): [[nan, -0.134471], [0.25, -0.25]]},
    ),
    EdgeRow(
        "1.5",
        "the clamp at 0 and 1",
        BCE,
        ([0.0, 0.0, 1.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0, 0.5, 0.5]),
        expected={"none": [0, 100, 100, -0.0, 50, 50]},
        grads={("none", "input"): [0, -1e12, 1e12, 0, -5e11, 5e11]},
    ),
    EdgeRow(
        "1.5",
        "small x, float32",
        BCE,
        ([1e-38, 1e-40, 1e-45], [1.0, 1.0, 1.0]),
        expected={"none": [87.498, 92.103, 100]},
        digits=5,
        dtypes=("float32",),
    ),
    EdgeRow(
        "1.5",
        "small x, float64",
        BCE,
        ([1e-43, 3.7e-44, 1e-300], [1.0, 1.0, 1.0]),
        expected={"none": [99.0112, 100, 100]},
        dtypes=("float64",),
    ),
    EdgeRow(
        "1.5",
        "x next to 1",
        BCE,
        ([1 - 1e-13, 1 - 1e-16], [0.0, 0.0]),
        expected={"none": [29.9333, 36.7368]},
        grads={("none", "input"): [1.0000000039957e12, 1.0000000039957e12]},
        dtypes=("float64",),
    ),
    EdgeRow(
        "1.5", "sigmoid(17) as torch rounds it", BCE, ([1.0], [0.0]), expected={"none": [100]}, dtypes=("float32",)
    ),
    EdgeRow(
        "1.5", "slope by target", BCE, ([0.0, 1.0, 0.5], [0.5, 0.5, 0.5]), grads={("none", "target"): [inf, -inf, 0]}
    ),
    EdgeRow(
        "1.5",
        "negative weight",
        BCE,
        ([0.5, 0.5], [1.0, 0.0]),
        {"weight": [-1.0, 2.0]},
        {"none": [-0.693147, 1.386294], "mean": 0.346574},
    ),
    EdgeRow("1.5", "float16", BCE, ([0.5], [0.5]), expected={"mean": 0.693359}, dtypes=("float16",)),
    EdgeRow("1.5", "int64 weight", BCE, (X23, Y23), {"weight": ints([1, 2, 3], "int64")}),
    EdgeRow("1.5", "float64 weight", BCE, (X23, Y23), {"weight": np.array([1.0, 2.0, 0.5])}),
    *(EdgeRow("1.5", f"weight {shape}", BCE, (X23, Y23), {"weight": w}) for shape, w in WEIGHT_SHAPES.items()),
    EdgeRow("6 D2", "int64 target", BCE, ([0.25, 0.5], [0, 1]), expected={"none": [0.287682, 0.693147]}, differs="D2"),
    EdgeRow(
        "6 D2",
        "bool target",
        BCE,
        ([0.25, 0.5], ints([False, True], "bool")),
        expected={"none": [0.287682, 0.693147]},
        differs="D2",
    ),
    EdgeRow(
        "1.6",
        "cancellation for y=0",
        LOGITS,
        ([-5.0, -8.0, -10.0, -12.0, -15.0, -17.0, -30.0, -36.0], [0.0] * 8),
        expected={"none": [6.7153e-3, 3.35406e-4, 4.53989e-5, 6.1442e-6, 3.0590e-7, 4.1399e-8, 9.36e-14, 2.3e-16]},
        digits=2,
        differs="D8",
    ),
    EdgeRow(
        "1.6", "tails for y=1", LOGITS, ([20.0, 88.0], [1.0, 1.0]), expected={"none": [2.0612e-9, 6.05e-39]}, digits=3
    ),
    EdgeRow(
        "1.6",
        "infinite logits",
        LOGITS,
        ([inf, inf, -inf, -inf, inf, -inf], [0.0, 1.0, 0.0, 1.0, 0.5, 0.5]),
        expected={"none": [inf, 0, 0, inf, inf, inf]},
        grads={("none", "input"): [1, 0, 0, -1, 0.5, -0.5]},
        differs="D9",
    ),
    EdgeRow(
        "1.6",
        "infinite logits, pos_weight",
        LOGITS,
        ([inf, inf, -inf, -inf], [0.0, 1.0, 0.0, 1.0]),
        {"pos_weight": [3.0]},
        {"none": [inf, 0, 0, inf]},
        {("none", "input"): [1, 0, 0, -3]},
        differs="D9",
    ),
    EdgeRow(
        "1.6",
        "large logits",
        LOGITS,
        ([1000.0, 1000.0, 1000.0, -1000.0, -1000.0], [0.0, 1.0, 0.5, 0.0, 1.0]),
        expected={"none": [1000, 0, 500, 0, 1000]},
        grads={("none", "input"): [1, 0, 0.5, 0, -1]},
    ),
    EdgeRow(
        "1.6",
        "seen",
        LOGITS,
        ([-2.0, 0.5, 3.0], [0.0, 1.0, 0.3]),
        expected={"none": [0.126928, 0.474077, 2.148587], "mean": 0.916531},
        grads={("none", "input"): [0.119203, -0.377541, 0.652574]},
    ),
    EdgeRow(
        "1.6",
        "seen, weight and pos_weight",
        LOGITS,
        ([-2.0, 0.5, 3.0], [0.0, 1.0, 0.3]),
        {"weight": [1.0, 2.0, 0.5], "pos_weight": [3.0]},
        {"none": [0.126928, 2.844462, 1.088870], "mean": 1.353420},
        {("none", "input"): [0.119203, -2.265244, 0.312059], ("none", "target"): [6.253856, 0.896308, -1.451413]},
    ),
    EdgeRow(
        "1.6",
        "targets are not checked",
        LOGITS,
        ([0.5, 0.5, 0.5, 0.5, 0.5], [-1.0, 2.0, 7.0, nan, inf]),
        expected={"none": [1.474, -0.0259, -2.5259, nan, -inf]},
        digits=3,
    ),
    *(EdgeRow("1.6", f"weight {shape}", LOGITS, (X23, Y23), {"weight": w}) for shape, w in WEIGHT_SHAPES.items()),
    *(
        EdgeRow("1.6", f"pos_weight {shape}", LOGITS, (X23, Y23), {"pos_weight": w})
        for shape, w in WEIGHT_SHAPES.items()
    ),
    EdgeRow(
        "6 D2", "int64 target", LOGITS, ([-2.0, 0.5], [0, 1]), expected={"none": [0.126928, 0.474077]}, differs="D2"
    ),
    EdgeRow(
        "6 D2",
        "bool target",
        LOGITS,
        ([-2.0, 0.5], ints([False, True], "bool")),
        expected={"none": [0.126928, 0.474077]},
        differs="D2",
    ),
    EdgeRow(
        "6 D4",
        "the widest dtype wins",
        LOGITS,
        (np.array([-2.0, 0.5]), ints([0, 1], "float32")),
        expected={"none": [0.126928, 0.474077]},
        dtypes=("float64",),
        differs="D4",
    ),
]

MULTI_X, MULTI_Y = [[0.5, -2.0, 3.0], [0.0, 1.0, -1.0]], [[1.0, 0.0, 1.0], [0.0, 1.0, 0.5]]

MULTI_LABEL = [
    EdgeRow("1.16", "seen", MULTILABEL, (MULTI_X, MULTI_Y), expected={"none": [0.216531, 0.606557]}),
    EdgeRow(
        "1.16",
        "seen, weight",
        MULTILABEL,
        (MULTI_X, MULTI_Y),
        {"weight": [1.0, 2.0, 0.5]},
        {"none": [0.250742, 0.575434]},
    ),
    EdgeRow(
        "1.16",
        "weight (N,C)",
        MULTILABEL,
        (MULTI_X, MULTI_Y),
        {"weight": [[1.0, 2.0, 0.5]] * 2},
        {"none": [0.250742, 0.575434]},
    ),
    EdgeRow(
        "1.16",
        "infinite logits",
        MULTILABEL,
        ([[inf], [inf], [-inf], [-inf]], [[0.0], [1.0], [0.0], [1.0]]),
        expected={"none": [inf, 0, 0, inf]},
        grads={("none", "input"): [[1], [0], [0], [-1]]},
        differs="D9",
    ),
    EdgeRow(
        "1.16",
        "targets are not checked",
        MULTILABEL,
        ([[0.5], [0.5]], [[-1.0], [2.0]]),
        expected={"none": [1.474, -0.0259]},
        digits=3,
    ),
    EdgeRow(
        "1.16",
        "no cancellation",
        MULTILABEL,
        ([[-17.0], [-30.0]], [[0.0], [0.0]]),
        expected={"none": [4.1399e-8, 9.36e-14]},
        digits=3,
    ),
    EdgeRow(
        "1.16",
        "divided by the input's C",
        MULTILABEL,
        ([[0.0], [0.0]], [[0.0] * 3] * 2),
        expected={"none": [2.079442, 2.079442]},
    ),
    EdgeRow("1.16", "one row", MULTILABEL, ([0.0, 0.0], [1.0, 0.0]), expected=everywhere(0.693147)),
    EdgeRow(
        "0.5",
        "a float64 weight does not widen the result",
        MULTILABEL,
        (MULTI_X, MULTI_Y),
        {"weight": np.array([1.0, 2.0, 0.5])},
        {"none": [0.250742, 0.575434]},
        dtypes=("float32",),
        differs="0.5",
    ),
    EdgeRow("6 D2", "int64 target", MULTILABEL, ([[-2.0, 0.5]], [[0, 1]]), expected={"none": [0.300502]}),
    EdgeRow(
        "6 D2",
        "bool target",
        MULTILABEL,
        ([[-2.0, 0.5]], ints([[False, True]], "bool")),
        expected={"none": [0.300502]},
        differs="D2",
    ),
]
