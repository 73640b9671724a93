"""Losses of one class per row: sections 0.7, 0.8, 1.7 and 1.8 of SEMANTICS.md, and D1, D3, D8, D10, D11, D21."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rows.row import CE, EMPTY, NLL, EdgeRow, everywhere, floats, inf, ints, nan

LOGP = [[-1.0, -2.0, -0.5], [-0.25, -3.0, -1.5]]
UNBATCHED = [-0.46437, -1.0, -2.0]

NEGATIVE_LOG = [
    EdgeRow("0.7", "empty batch", CE, (floats(0, 3), ints([], "int64")), expected=EMPTY),
    EdgeRow("0.7", "empty batch with smoothing", CE, (floats(0, 3), ints([], "int64")), {"label_smoothing": 0.1}, EMPTY),
    EdgeRow("0.7", "empty batch of probabilities", CE, (floats(0, 3), floats(0, 3)), expected=EMPTY),
    EdgeRow("0.7", "empty batch", NLL, (floats(0, 3), ints([], "int64")), expected=EMPTY),
    EdgeRow(
        "0.8",
        "NaN outside the picked class",
        NLL,
        ([[nan, -0.5, -1.0]], [1]),
        expected={"none": [0.5], "mean": 0.5, "sum": 0.5},
        grads={("sum", "input"): [[0, -1, 0]]},
    ),
    EdgeRow(
        "0.8",
        "NaN in the picked class",
        NLL,
        ([[-1.0, nan, -1.0]], [1]),
        expected={"none": [nan], "mean": nan, "sum": nan},
    ),
    EdgeRow("1.7", "unbatched", NLL, (UNBATCHED, ints(0, "int64")), expected=everywhere(0.46437)),
    EdgeRow(
        "1.7",
        "unbatched, weight",
        NLL,
        (UNBATCHED, ints(0, "int64")),
        {"weight": [2.0, 1.0, 1.0]},
        {"none": 0.92874, "mean": 0.46437, "sum": 0.92874},
    ),
    EdgeRow("1.7", "(C,) with a target of one element is 0-d", NLL, (UNBATCHED, [1]), expected=everywhere(1)),
    EdgeRow(
        "1.7",
        "all ignored",
        NLL,
        (LOGP, [-100, -100]),
        expected={"none": [0, 0], "mean": nan, "sum": 0},
        grads={("mean", "input"): [[0] * 3] * 2},
    ),
    EdgeRow(
        "1.7",
        "used weights sum to zero",
        NLL,
        (LOGP, [0, 0]),
        {"weight": [0.0, 1.0, 1.0]},
        {"none": [0, 0], "mean": nan, "sum": 0},
        {("mean", "input"): [[nan, 0, 0]] * 2},
    ),
    *(
        EdgeRow(
            "1.7",
            f"label {i} is out of range and ignored",
            NLL,
            (LOGP, [1, i]),
            {"ignore_index": i},
            {"none": [2, 0], "mean": 2, "sum": 2},
        )
        for i in (255, -1, -100)
    ),
    EdgeRow("1.7", "a class ignored", NLL, (LOGP, [1, 0]), {"ignore_index": 1}, {"none": [0, 0.25], "mean": 0.25}),
    EdgeRow("1.7", "uint8 target", NLL, (LOGP, ints([2, 0], "uint8")), expected={"none": [0.5, 0.25], "mean": 0.375}),
    EdgeRow(
        "1.7",
        "uint8 target, 255 ignored",
        NLL,
        (LOGP, ints([2, 255], "uint8")),
        {"ignore_index": 255},
        {"none": [0.5, 0], "mean": 0.5},
    ),
    EdgeRow(
        "1.7",
        "uint8 target with an inner axis",
        NLL,
        ([LOGP], ints([[0, 1, 1]], "uint8")),
        expected={"none": [[1, 3, 1.5]]},
        differs="D1",
    ),
    EdgeRow(
        "1.7",
        "log-probability -inf",
        NLL,
        ([[-inf, -1.0]], [0]),
        expected={"none": [inf], "mean": inf},
        grads={("mean", "input"): [[-1, 0]]},
    ),
    EdgeRow(
        "1.7",
        "weight 0 times -inf",
        NLL,
        ([[-inf, -1.0], [-2.0, -3.0]], [0, 1]),
        {"weight": [0.0, 2.0]},
        {"none": [0, 6], "mean": 3, "sum": 6},
        differs="D10",
    ),
    EdgeRow(
        "1.7",
        "NaN weight of an unused class",
        NLL,
        (LOGP, [1, 2]),
        {"weight": [nan, 1.0, 2.0]},
        {"none": [2, 3], "mean": 1.66667},
    ),
    EdgeRow(
        "1.7",
        "NaN in an ignored row",
        NLL,
        ([[nan, nan], [-1.0, -2.0]], [-100, 1]),
        expected={"none": [0, 2], "mean": 2},
        grads={("mean", "input"): [[0, 0], [0, -1]]},
    ),
    EdgeRow(
        "1.7",
        "negative weight",
        NLL,
        (LOGP, [0, 1]),
        {"weight": [-1.0, 2.0, 1.0]},
        {"none": [-1, 6], "mean": 5, "sum": 5},
    ),
    EdgeRow("1.7", "one class, positive input", NLL, ([[3.0], [4.0]], [0, 0]), expected={"mean": -3.5}),
    EdgeRow(
        "1.7",
        "empty inner axis",
        NLL,
        (floats(2, 3, 0), ints(np.zeros((2, 0)), "int64")),
        expected={"none": np.zeros((2, 0)), "mean": nan, "sum": 0},
    ),
    *(
        EdgeRow("6 D1", f"{dtype} target", NLL, (LOGP, ints([1, 0], dtype)), expected={"none": [2, 0.25]}, differs="D1")
        for dtype in ("int8", "int16", "int32", "uint16", "uint32", "uint64", "bool")
    ),
    EdgeRow(
        "6 D3",
        "weight of another dtype",
        NLL,
        (LOGP, [1, 0]),
        {"weight": ints([1, 2, 3], "int64")},
        {"none": [4, 0.25], "mean": 1.416667},
        differs="D3",
    ),
    EdgeRow("6 D21", "weight as a tuple", NLL, (LOGP, [1, 0]), {"weight": (1, 2, 3)}, {"none": [4, 0.25]}, differs="D21"),
]

SCORES = [[1.0, 2.0, 0.5], [0.1, -1.0, 3.0], [0.0, 0.0, 0.0], [2.0, -2.0, 1.0]]
LABELS = [0, 2, 1, 1]
SHARES = [[0.2, 0.5, 0.3], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.3, 0.3, 0.4]]
W = {"weight": [1.0, 2.0, 0.5]}
SMOOTH = {"label_smoothing": 0.1}


def _seen(title: str, target: Any, kwargs: Mapping[str, Any], none: Any, mean: float, total: float) -> EdgeRow:
    return EdgeRow("1.8", title, CE, (SCORES, target), kwargs, {"none": none, "mean": mean, "sum": total})


MASKED = [[1.0, -inf, 2.0]]

CROSS_ENTROPY = [
    _seen("index", LABELS, {}, [1.464369, 0.0707742, 1.098612, 4.326563], 1.740080, 6.960318),
    _seen("index, w", LABELS, W, [1.464369, 0.0353871, 2.197225, 8.653126], 2.245474, 12.350106),
    _seen("index, w, ignore_index=1", LABELS, W | {"ignore_index": 1}, [1.464369, 0.0353871, 0, 0], 0.999837, 1.499756),
    _seen("one ignored", [0, -100, 1, 1], {}, [1.464369, 0, 1.098612, 4.326563], 2.296515, 6.889544),
    _seen("index, smoothing", LABELS, SMOOTH, [1.447702, 0.300774, 1.098612, 4.093230], 1.735080, 6.940318),
    _seen("index, smoothing, w", LABELS, SMOOTH | W, [1.430442, 0.403439, 2.105674, 8.109245], 2.190691, 12.048799),
    _seen(
        "index, smoothing, w, ignore_index=1",
        LABELS,
        SMOOTH | W | {"ignore_index": 1},
        [1.430442, 0.403439, 0, 0],
        1.222587,
        1.833880,
    ),
    EdgeRow("1.8", "index, smoothing 1", CE, (SCORES, LABELS), {"label_smoothing": 1.0}, {"mean": 1.690080}),
    _seen("prob", SHARES, {}, [1.114369, 0.0707742, 1.098612, 1.926563], 1.052580, 4.210319),
    _seen("prob, w", SHARES, W, [1.051898, 0.0353871, 1.098612, 2.959219], 1.286279, 5.145116),
    _seen("prob, smoothing", SHARES, SMOOTH, [1.132702, 0.300774, 1.098612, 1.933229], 1.116330, 4.465318),
    _seen("prob, smoothing, w", SHARES, SMOOTH | W, [1.059218, 0.403439, 1.116923, 2.984730], 1.391077, 5.564309),
    _seen(
        "negative ignore_index beside probabilities",
        SHARES,
        {"ignore_index": -1},
        [1.114369, 0.0707742, 1.098612, 1.926563],
        1.052580,
        4.210319,
    ),
    EdgeRow(
        "1.8",
        "probabilities are not checked",
        CE,
        ([[1.0, 2.0, 0.5]], [[-0.4, -1.0, -0.6]]),
        expected={"none": [-2.228738]},
    ),
    EdgeRow(
        "1.8",
        "all ignored",
        CE,
        (SCORES, [-100] * 4),
        expected={"none": [0] * 4, "mean": nan, "sum": 0},
        grads={("mean", "input"): [[0] * 3] * 4},
    ),
    EdgeRow(
        "1.8",
        "all ignored, smoothing",
        CE,
        (SCORES, [-100] * 4),
        SMOOTH,
        {"none": [0] * 4, "mean": nan, "sum": 0},
        {("mean", "input"): [[0] * 3] * 4},
    ),
    EdgeRow(
        "1.8",
        "used weights sum to zero",
        CE,
        (SCORES, [0] * 4),
        {"weight": [0.0, 1.0, 1.0]},
        {"mean": nan, "sum": 0},
        {("mean", "input"): [[nan] * 3] * 4},
    ),
    EdgeRow(
        "1.8",
        "used weights sum to zero, smoothing",
        CE,
        (SCORES, [0] * 4),
        SMOOTH | {"weight": [0.0, 1.0, 1.0]},
        {"mean": nan},
    ),
    EdgeRow(
        "1.8",
        "a class masked out",
        CE,
        (MASKED, [0]),
        expected={"none": [1.313262], "mean": 1.313262},
        grads={("mean", "input"): [[-0.731059, 0, 0.731059]]},
    ),
    EdgeRow(
        "1.8",
        "the target masked out",
        CE,
        (MASKED, [1]),
        expected={"none": [inf], "mean": inf},
        grads={("mean", "input"): [[0.268941, -1, 0.731059]]},
    ),
    EdgeRow(
        "1.8",
        "smoothing puts mass on the masked class",
        CE,
        (MASKED, [0]),
        SMOOTH,
        {"none": [inf], "mean": inf},
        {("mean", "input"): [[-0.664392, -0.0333333, 0.697726]]},
    ),
    EdgeRow(
        "1.8",
        "no mass on the masked class",
        CE,
        (MASKED, [[0.5, 0.0, 0.5]]),
        expected={"none": [0.813262], "mean": 0.813262},
        grads={("mean", "input"): [[-0.231059, 0, 0.231059]]},
        differs="D10",
    ),
    EdgeRow("1.8", "mass on the masked class", CE, (MASKED, [[0.5, 0.1, 0.4]]), expected={"none": [inf], "mean": inf}),
    EdgeRow(
        "1.8",
        "rows without a log-sum",
        CE,
        ([[-inf, -inf], [inf, 0.0], [nan, 0.0], [0.0, 0.0]], [0, 0, 0, 0]),
        expected={"none": [nan, nan, nan, 0.693147]},
        grads={("none", "input"): [[nan, nan], [nan, nan], [nan, nan], [-0.5, 0.5]]},
    ),
    EdgeRow(
        "1.8",
        "NaN in an ignored row",
        CE,
        ([[nan, 1.0], [0.0, 0.0]], [-100, 1]),
        expected={"none": [0, 0.693147], "mean": 0.693147},
        grads={("mean", "input"): [[0, 0], [0.5, -0.5]]},
        differs="D11",
    ),
    EdgeRow(
        "1.8",
        "NaN in an ignored row, smoothing",
        CE,
        ([[nan, 1.0], [0.0, 0.0]], [-100, 1]),
        SMOOTH,
        {"none": [0, 0.693147], "mean": 0.693147},
        {("mean", "input"): [[0, 0], [0.45, -0.45]]},
        differs="D11",
    ),
    EdgeRow(
        "1.8",
        "dominant class, 17",
        CE,
        ([[17.0, 0.0]], [0]),
        expected={"none": [4.14e-8]},
        digits=3,
        dtypes=("float32",),
        differs="D8",
    ),
    EdgeRow(
        "1.8",
        "dominant class, 20",
        CE,
        ([[20.0, 0.0]], [0]),
        expected={"none": [2.06115362e-9]},
        digits=9,
        dtypes=("float64",),
        differs="D8",
    ),
    EdgeRow("1.8", "dominant class, 40", CE, ([[40.0, 0.0]], [0]), expected={"none": [4.25e-18]}, digits=3, differs="D8"),
    EdgeRow("1.8", "logits of 1e4", CE, ([[1e4, -1e4]], [1]), expected={"none": [20000], "mean": 20000}),
    EdgeRow("1.8", "float16 overflows", CE, ([[6e4, -6e4]], [1]), expected={"none": [inf]}, dtypes=("float16",)),
    EdgeRow(
        "1.8",
        "one class",
        CE,
        ([[3.0], [-5.0]], [0, 0]),
        expected={"none": [0, 0], "mean": 0},
        grads={("mean", "input"): [[0], [0]]},
    ),
    EdgeRow("1.8", "one unbatched class", CE, ([3.0], ints(0, "int64")), expected=everywhere(0)),
    EdgeRow(
        "1.8",
        "uint8 target, smoothing and weight",
        CE,
        (SCORES, ints(LABELS, "uint8")),
        SMOOTH | W,
        {"mean": 2.190691},
        differs="D1",
    ),
    EdgeRow("1.8", "(C,) with a target of one element is 0-d", CE, ([0.0, 0.0], [1]), expected=everywhere(0.693147)),
    *(
        EdgeRow(
            "6 D1",
            f"{dtype} target",
            CE,
            ([[0.0, 0.0], [1.0, 2.0]], ints([1, 0], dtype)),
            expected={"none": [0.693147, 1.313262]},
            differs="D1",
        )
        for dtype in ("int8", "int16", "int32", "uint16", "uint32", "uint64", "bool")
    ),
    EdgeRow(
        "6 D3",
        "weight of another dtype",
        CE,
        (SCORES, LABELS),
        {"weight": ints([2, 4, 1], "int64")},
        {"mean": 2.245474},
        differs="D3",
    ),
    EdgeRow(
        "6 D21",
        "weight as a tuple",
        CE,
        (SCORES, LABELS),
        {"weight": (1.0, 2.0, 0.5)},
        {"mean": 2.245474},
        differs="D21",
    ),
]
