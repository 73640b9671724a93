"""Margin losses of class scores: sections 0.7, 0.8, 0.9, 1.17 and 1.18 of SEMANTICS.md, and D1, D3, D5, D10, D21."""

from __future__ import annotations

import numpy as np

from rows.row import EMPTY, MULTI_MARGIN, MULTILABEL_MARGIN, EdgeRow, everywhere, floats, inf, ints, nan

SEEN = [[0.1, 0.2, 0.4, 0.8], [0.5, 0.1, 0.3, 0.9], [2.0, 0.0, 0.0, 0.0]]
SEEN_LABELS = [3, 0, 0]
SETS = [[3, 0, -1, 1], [1, -1, 2, -1]]
SINGLE = [0.1, 0.2, 0.4, 0.8]
INFINITE = [[inf, 0.0, 0.0], [-inf, 0.0, 0.0], [0.0, inf, 0.0], [0.0, -inf, 0.0], [inf, inf, 0.0], [-inf, -inf, 0.0]]
INFINITE_LOSS = [0, inf, inf, 1 / 3, 0, inf]
INFINITE_GRAD = [[0, 0, 0], [-2 / 3, 1 / 3, 1 / 3], [-2 / 3, 1 / 3, 1 / 3], [-1 / 3, 0, 1 / 3], [0, 0, 0], [-1 / 3, 0, 1 / 3]]

MARGINS = [
    EdgeRow("1.18", "seen", MULTI_MARGIN, (SEEN, SEEN_LABELS), expected={"none": [0.325, 0.7, 0], "mean": 1.025 / 3, "sum": 1.025}),
    EdgeRow("1.18", "seen, squared", MULTI_MARGIN, (SEEN, SEEN_LABELS), {"p": 2}, {"none": [0.1525, 0.74, 0]}),
    EdgeRow(
        "1.18",
        "seen, weight and margin",
        MULTI_MARGIN,
        (SEEN, SEEN_LABELS),
        {"weight": [1.0, 2.0, 3.0, 0.5], "margin": 0.5},
        {"none": [0.0125, 0.325, 0]},
        digits=5,
    ),
    EdgeRow(
        "1.18",
        "seen, weight, margin, squared",
        MULTI_MARGIN,
        (SEEN, SEEN_LABELS),
        {"weight": [1.0, 2.0, 3.0, 0.5], "margin": 0.5, "p": 2},
        {"none": [0.00125, 0.2275, 0]},
        digits=5,
    ),
    EdgeRow("1.18", "the mean is not weighted", MULTI_MARGIN, (SEEN, SEEN_LABELS), {"weight": [3.0] * 4}, {"mean": 1.025}),
    EdgeRow("1.18", "p = 1.0", MULTI_MARGIN, (SEEN, SEEN_LABELS), {"p": 1.0}, {"none": [0.325, 0.7, 0]}),
    EdgeRow("1.18", "p = True", MULTI_MARGIN, (SEEN, SEEN_LABELS), {"p": True}, {"none": [0.325, 0.7, 0]}),
    EdgeRow("1.18", "negative margin", MULTI_MARGIN, ([[1.0, 2.0, 3.5]], [0]), {"margin": -1.0}, {"none": [0.5]}),
    EdgeRow("1.18", "integer margin", MULTI_MARGIN, ([[1.0, 2.0, 3.5]], [0]), {"margin": 2}, {"none": [2.5]}),
    EdgeRow("1.18", "infinite margin", MULTI_MARGIN, ([[1.0, 2.0]], [0]), {"margin": inf}, {"none": [inf]}),
    EdgeRow("1.18", "NaN margin", MULTI_MARGIN, ([[1.0, 2.0]], [0]), {"margin": nan}, {"none": [0]}),
    EdgeRow("1.18", "unbatched", MULTI_MARGIN, (SINGLE, ints(3, "int64")), expected=everywhere(0.325)),
    EdgeRow("1.18", "unbatched, target (1,)", MULTI_MARGIN, (SINGLE, [3]), expected={"none": [0.325], "mean": 0.325}),
    EdgeRow("1.18", "one row, 0-d target", MULTI_MARGIN, ([SINGLE], ints(3, "int64")), expected=everywhere(0.325)),
    EdgeRow("1.18", "0-d", MULTI_MARGIN, (floats(value=2.0), ints(0, "int64")), expected=everywhere(0)),
    EdgeRow("1.18", "0-d, target (1,)", MULTI_MARGIN, (floats(value=2.0), [0]), expected={"none": [0], "sum": 0}),
    EdgeRow("1.18", "one class", MULTI_MARGIN, ([[3.0], [nan]], [0, 0]), expected={"none": [0, 0], "mean": 0}),
    EdgeRow("0.7", "empty batch", MULTI_MARGIN, (floats(0, 3), ints([], "int64")), expected=EMPTY, differs="D5"),
    EdgeRow(
        "0.8",
        "NaN in the target's score, and elsewhere",
        MULTI_MARGIN,
        ([[nan, 0.0, 0.0], [0.0, nan, 0.0]], [0, 0]),
        expected={"none": [0, 1 / 3]},
        grads={("sum", "input"): [[0, 0, 0], [-1 / 3, 0, 1 / 3]]},
    ),
    EdgeRow(
        "0.8",
        "infinite scores",
        MULTI_MARGIN,
        (INFINITE, [0] * 6),
        expected={"none": INFINITE_LOSS},
        grads={("sum", "input"): INFINITE_GRAD},
    ),
    EdgeRow(
        "0.8",
        "infinite scores, squared",
        MULTI_MARGIN,
        (INFINITE, [0] * 6),
        {"p": 2},
        {"none": INFINITE_LOSS},
        {("sum", "input"): [[0, 0, 0], [-inf, inf, inf], [-inf, inf, 2 / 3], [-2 / 3, 0, 2 / 3], [0, 0, 0], [-inf, 0, inf]]},
    ),
    *(
        EdgeRow(
            "0.9",
            f"exactly at the margin, p = {p}",
            MULTI_MARGIN,
            ([[1.0, 0.0, 0.5]], [0]),
            {"p": p},
            {"none": [0.5**p / 3]},
            {("sum", "input"): [[-1 / 3, 0, 1 / 3]]},
        )
        for p in (1, 2)
    ),
    EdgeRow(
        "1.18",
        "nearly at the margin: torch rounds it to 0",
        MULTI_MARGIN,
        ([[0.1, -0.9]], [0]),
        expected={"none": [2.2351742e-08 / 2]},
        grads={("sum", "input"): [[-0.5, 0.5]]},
        dtypes=("float32",),
        differs="1.18",
    ),
    EdgeRow(
        "6 D10",
        "weight 0 of an infinite loss",
        MULTI_MARGIN,
        ([[-inf, 0.0], [0.0, 0.0]], [0, 1]),
        {"weight": [0.0, 1.0]},
        {"none": [0, 0.5], "mean": 0.25},
        {("sum", "input"): [[0, 0], [0.5, -0.5]]},
        differs="D10",
    ),
    EdgeRow(
        "1.18",
        "negative weight, and NaN for a class that is no target",
        MULTI_MARGIN,
        ([[0.0, 0.0], [2.0, 1.5]], [0, 0]),
        {"weight": [-2.0, nan]},
        {"none": [-1, -0.5], "mean": -0.75},
    ),
    *(
        EdgeRow(
            "6 D1",
            f"{dtype} target",
            MULTI_MARGIN,
            (SEEN, ints([1, 0, 0], dtype)),
            expected={"none": [0.925, 0.7, 0]},
            differs="D1",
        )
        for dtype in ("int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64", "bool")
    ),
    EdgeRow(
        "6 D3",
        "weight of another dtype",
        MULTI_MARGIN,
        (SEEN, SEEN_LABELS),
        {"weight": ints([2, 1, 1, 1], "int16")},
        {"none": [0.325, 1.4, 0]},
        differs="D3",
    ),
    EdgeRow(
        "6 D21",
        "weight as a tuple",
        MULTI_MARGIN,
        (SEEN, SEEN_LABELS),
        {"weight": (2, 1, 1, 1)},
        {"none": [0.325, 1.4, 0]},
        differs="D21",
    ),
    EdgeRow(
        "0.5", "float16", MULTI_MARGIN, ([[0.5, 0.25, 1.0]], [0]), expected={"none": [0.75]}, dtypes=("float16",), differs="0.5"
    ),
    EdgeRow(
        "0.5", "integer scores", MULTI_MARGIN, ([[5, 4, 6]], [0]), expected={"none": [2 / 3]}, dtypes=("float32",), differs="0.5"
    ),
    # ---- several targets ----
    EdgeRow(
        "1.17",
        "seen",
        MULTILABEL_MARGIN,
        (SEEN[:2], SETS),
        expected={"none": [0.85, 1.1], "mean": 0.975, "sum": 1.95},
        grads={("none", "input"): [[-0.5, 0.5, 0.5, -0.5], [0.25, -0.75, 0.25, 0.25]]},
    ),
    EdgeRow("1.17", "a label twice", MULTILABEL_MARGIN, ([SINGLE], [[3, 3, 0, -1]]), expected={"none": [1.1]}),
    EdgeRow("1.17", "no label", MULTILABEL_MARGIN, (SEEN[:2], [[-1] * 4, [-1, 0, 1, 2]]), expected={"none": [0, 0]}),
    EdgeRow("1.17", "every label", MULTILABEL_MARGIN, (SEEN[:2], [[0, 1, 2, 3], [3, 2, 1, 0]]), expected={"none": [0, 0]}),
    EdgeRow("1.17", "no padding", MULTILABEL_MARGIN, ([SINGLE], [[3, 3, 0, 0]]), expected={"none": [1.7]}),
    EdgeRow("1.17", "unbatched", MULTILABEL_MARGIN, (SINGLE, [3, 0, -1, 1]), expected=everywhere(0.85)),
    EdgeRow("1.17", "0-d", MULTILABEL_MARGIN, (floats(value=2.0), ints(0, "int64")), expected=everywhere(0)),
    EdgeRow("1.17", "0-d, target (1,)", MULTILABEL_MARGIN, (floats(value=2.0), [-1]), expected=everywhere(0)),
    EdgeRow("1.17", "(1,), 0-d target", MULTILABEL_MARGIN, ([2.0], ints(0, "int64")), expected=everywhere(0)),
    EdgeRow("0.7", "empty batch", MULTILABEL_MARGIN, (floats(0, 3), ints(np.zeros((0, 3)), "int64")), expected=EMPTY, differs="D5"),
    EdgeRow(
        "0.8",
        "NaN in a target's score, and elsewhere",
        MULTILABEL_MARGIN,
        ([[nan, 0.0, 0.0], [0.0, nan, 0.0]], [[0, 1, -1], [0, -1, -1]]),
        expected={"none": [1 / 3, 1 / 3]},
        grads={("sum", "input"): [[0, -1 / 3, 1 / 3], [-1 / 3, 0, 1 / 3]]},
    ),
    EdgeRow(
        "0.8",
        "infinite scores",
        MULTILABEL_MARGIN,
        (INFINITE, [[0, -1, -1]] * 6),
        expected={"none": INFINITE_LOSS},
        grads={("sum", "input"): INFINITE_GRAD},
    ),
    EdgeRow(
        "0.9",
        "exactly at the margin",
        MULTILABEL_MARGIN,
        ([[1.0, 0.0, 0.5]], [[0, -1, -1]]),
        expected={"none": [0.5 / 3]},
        grads={("sum", "input"): [[-1 / 3, 0, 1 / 3]]},
    ),
    *(
        EdgeRow(
            "6 D1",
            f"{dtype} target",
            MULTILABEL_MARGIN,
            (SEEN[:2], ints(np.array(SETS), dtype)),
            expected={"none": [0.85, 1.1]},
            differs="D1",
        )
        for dtype in ("int8", "int16", "int32")
    ),
    *(
        EdgeRow(
            "6 D1",
            f"{dtype} target",
            MULTILABEL_MARGIN,
            ([SINGLE], ints([[1, 1, 0, 0]], dtype)),
            expected={"none": [2.9]},
            differs="D1",
        )
        for dtype in ("uint8", "uint16", "uint32", "uint64", "bool")
    ),
    EdgeRow(
        "0.5",
        "float16",
        MULTILABEL_MARGIN,
        ([[0.5, 0.25, 1.0]], [[0, -1, -1]]),
        expected={"none": [0.75]},
        dtypes=("float16",),
        differs="0.5",
    ),
]
