"""
Losses of one element at a time beside those of `regression.py` and `binary.py`: sections 1.1, 1.3, 1.4 and 1.10-1.15
of SEMANTICS.md, what 0.2-0.8 say of them, and D4, D7, D10, D13, D17-D19.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rows.row import EMPTY, EdgeRow, WarningRow, everywhere, floats, inf, ints, nan
from rows.warned import LEGACY

L1, SMOOTH, HUBER = "l1_loss", "smooth_l1_loss", "huber_loss"
KL, POISSON, GAUSSIAN = "kl_div", "poisson_nll_loss", "gaussian_nll_loss"
SOFT, HINGE, RANKING = "soft_margin_loss", "hinge_embedding_loss", "margin_ranking_loss"

ARGS: dict[str, tuple[Any, ...]] = {
    L1: ([1.0, 2.0, 3.0], [0.5, 2.0, 5.0]),
    SMOOTH: ([1.0, 2.0, 3.0], [0.5, 2.0, 5.0]),
    HUBER: ([1.0, 2.0, 3.0], [0.5, 2.0, 5.0]),
    KL: ([[-1.0, -2.0], [-0.5, -1.5]], [[0.25, 0.75], [0.5, 0.5]]),
    POISSON: ([0.5, 1.0, 2.0], [0.0, 1.0, 5.0]),
    GAUSSIAN: ([1.0, 2.0], [1.5, 2.0], [1.0, 0.5]),
    SOFT: ([0.5, -2.0, 3.0], [1.0, -1.0, -1.0]),
    HINGE: ([0.5, 2.0, -1.0], [1.0, -1.0, -1.0]),
    RANKING: ([1.0, 2.0, 3.0], [2.0, 1.0, 3.0], [1.0, 1.0, -1.0]),
}
CLASSES = {
    L1: "L1Loss",
    SMOOTH: "SmoothL1Loss",
    HUBER: "HuberLoss",
    KL: "KLDivLoss",
    POISSON: "PoissonNLLLoss",
    GAUSSIAN: "GaussianNLLLoss",
    SOFT: "SoftMarginLoss",
    HINGE: "HingeEmbeddingLoss",
    RANKING: "MarginRankingLoss",
}
NO_LEGACY, NO_ALIAS = (HUBER, GAUSSIAN), (POISSON, GAUSSIAN)
SPECIAL = ([nan, inf, -inf, inf, 1.0], [1.0, 1.0, 1.0, inf, inf])
ABSOLUTE = {"none": [0.5, 0, 2], "mean": 0.8333333, "sum": 2.5}
STEPS, ZEROS = [0.0, 0.5, -2.0, 3.0], [0.0] * 4
LOG_SHARES = np.log([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]]).tolist()
SHARES = [[0.3, 0.3, 0.4], [0.0, 0.5, 0.5]]
MEANS, TRUTHS = [[1.0, 2.0], [3.0, 4.0]], [[1.5, 2.0], [2.0, 6.0]]
VARIANCES = [[1.0, 0.5], [2.0, 1e-7]]
FIRSTS, SECONDS, ORDERS = [1.0, 2.0, 3.0, 1.0], [2.0, 1.0, 3.0, 0.0], [1.0, 1.0, -1.0, 0.0]
DISTANCES, PAIRS = [0.5, 2.0, -1.0, 0.5, 0.3], [1.0, -1.0, -1.0, -1.0, 0.0]

REGRESSION = [
    EdgeRow("1.1", "seen", L1, ARGS[L1], expected=ABSOLUTE, grads={("mean", "input"): [0.3333333, 0, -0.3333333]}),
    EdgeRow("1.1", "seen, weight", L1, ARGS[L1], {"weight": [1.0, 2.0, 0.0]}, {"mean": 0.1666667}),
    EdgeRow(
        "1.1",
        "slope by weight",
        L1,
        ARGS[L1],
        {"weight": [1.0, 2.0, 1.0]},
        grads={("mean", "weight"): [-0.03125, -0.15625, 0.34375], ("sum", "weight"): [0.5, 0, 2]},
    ),
    EdgeRow("1.1", "all weights zero", L1, ([1.0, 2.0], [0.5, 2.0]), {"weight": [0.0, 0.0]}, {"mean": nan, "sum": 0}),
    EdgeRow(
        "1.1",
        "NaN and infinity",
        L1,
        SPECIAL,
        expected={"none": [nan, inf, inf, nan, inf]},
        grads={("none", "input"): [0, 1, -1, 0, -1], ("none", "target"): [0, -1, 1, 0, 1]},
    ),
    EdgeRow(
        "0.5",
        "uint8 differences do not wrap",
        L1,
        (ints([1], "uint8"), ints([2], "uint8")),
        expected=everywhere([1]) | {"mean": 1, "sum": 1},
        dtypes=("float32",),
        differs="0.5",
    ),
    *(
        EdgeRow("1.3", f"beta {beta}", SMOOTH, (STEPS, ZEROS), {"beta": beta}, {"none": none}, {("none", "input"): slope})
        for beta, none, slope in (
            (0.5, [0, 0.25, 1.75, 2.75], [0, 1, -1, 1]),
            (2.0, [0, 0.0625, 1, 2], [0, 0.25, -1, 1]),
            (1e-10, [0, 0.5, 2, 3], [0, 1, -1, 1]),
            (0.0, [0, 0.5, 2, 3], [0, 1, -1, 1]),
            (inf, [0, 0, 0, 0], [0, 0, 0, 0]),
        )
    ),
    EdgeRow(
        "1.3",
        "NaN and infinity",
        SMOOTH,
        SPECIAL,
        expected={"none": [nan, inf, inf, nan, inf]},
        grads={("none", "input"): [nan, 1, -1, nan, -1]},
    ),
    EdgeRow(
        "1.3",
        "beta 0 is l1, NaN and infinity",
        SMOOTH,
        SPECIAL,
        {"beta": 0.0},
        {"none": [nan, inf, inf, nan, inf]},
        {("none", "input"): [0, 1, -1, 0, -1]},
    ),
    EdgeRow("0.9", "ends of the parabola", SMOOTH, ([1.0, -1.0], [0.0, 0.0]), grads={("none", "input"): [1, -1]}),
    *(
        EdgeRow("1.4", f"delta {delta}", HUBER, (STEPS, ZEROS), {"delta": delta}, {"none": none}, {("none", "input"): slope})
        for delta, none, slope in (
            (0.5, [0, 0.125, 0.875, 1.375], [0, 0.5, -0.5, 0.5]),
            (2.0, [0, 0.125, 2, 4], [0, 0.5, -2, 2]),
            (inf, [0, 0.125, 2, 4.5], [0, 0.5, -2, 3]),
        )
    ),
    EdgeRow("0.9", "ends of the parabola", HUBER, ([2.0, -2.0], [0.0, 0.0]), {"delta": 2.0}, grads={("none", "input"): [2, -2]}),
    EdgeRow("1.4", "weight", HUBER, (STEPS, ZEROS), {"weight": [1.0, 2.0, 0.0, 4.0]}, {"mean": 2.5625, "sum": 10.25}),
    EdgeRow("1.4", "all weights zero", HUBER, ([1.0, 2.0], [0.5, 2.0]), {"weight": [0.0, 0.0]}, {"mean": 0, "sum": 0}),
    EdgeRow("1.4", "NaN and infinity", HUBER, SPECIAL, expected={"none": [nan, inf, inf, nan, inf]}),
    EdgeRow(
        "6 D4",
        "the widest dtype wins",
        HUBER,
        (ints([1, 3], "float32"), np.array([0.5, 1.0])),
        expected={"none": [0.125, 1.5]},
        dtypes=("float64",),
        differs="D4",
    ),
]

DISTRIBUTION = [
    EdgeRow(
        "1.10",
        "seen",
        KL,
        (LOG_SHARES, SHARES),
        expected={"none": [[0.121640, -0.153248, 0.115073], [0, 0.804719, -0.235002]], "mean": 0.108864, "sum": 0.653182},
        digits=5,
    ),
    EdgeRow(
        "1.10",
        "no probability",
        KL,
        ([-1.0, 0.5], [0.0, 0.0]),
        expected={"none": [0, 0]},
        grads={("none", "input"): [0, 0]},
    ),
    EdgeRow("6 D17", "slope where y <= 0", KL, ([-1.0, -2.0], [0.0, -1.0]), grads={("none", "target"): [0, 0]}, differs="D17"),
    EdgeRow("1.10", "a negative one", KL, ([-1.0], [-0.5]), expected={"none": [nan]}, grads={("none", "input"): [0.5]}),
    EdgeRow("1.10", "NaN, infinity", KL, ([-1.0, -1.0], [nan, inf]), expected={"none": [nan, inf]}),
    EdgeRow("1.10", "infinite target's slope", KL, ([-1.0], [inf]), grads={("none", "target"): [nan]}),
    EdgeRow("1.10", "x=-inf, y>0", KL, ([-inf], [0.5]), expected={"none": [inf]}),
    EdgeRow("6 D10", "x=-inf, y=0", KL, ([-inf], [0.0]), expected={"none": [0]}, differs="D10"),
    EdgeRow(
        "6 D10",
        "log_target -inf",
        KL,
        ([-1.0, -inf], [-inf, -inf]),
        {"log_target": True},
        {"none": [0, 0]},
        {("none", "input"): [0, 0], ("none", "target"): [0, 0]},
        differs="D10",
    ),
    EdgeRow("0.8", "NaN input", KL, ([nan, nan], [0.0, 0.5]), expected={"none": [nan, nan]}),
    EdgeRow("0.7", "empty", KL, (floats(0, 3), floats(0, 3)), expected={"none": np.zeros((0, 3)), "mean": nan, "sum": 0}),
    EdgeRow("1.10", "input broadcast", KL, ([-1.0, -2.0, -0.5], [[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])),
    EdgeRow(
        "1.11",
        "seen",
        POISSON,
        ([0.5, 1.0, 2.0], [0.0, 1.0, 5.0]),
        expected={"none": [1.648721, 1.718282, -2.610944]},
        grads={("none", "input"): [1.648721, 1.718282, 2.389056], ("none", "target"): [-0.5, -1, -2]},
    ),
    EdgeRow(
        "1.11",
        "seen, full",
        POISSON,
        ([0.5, 1.0, 2.0], [0.5, 1.0, 5.0]),
        {"full": True},
        {"none": [1.398721, 1.718282, 2.159904]},
        {("none", "target"): [-0.5, -1, -0.290562]},
    ),
    EdgeRow(
        "1.11", "seen, rate", POISSON, ([0.5, 1.0, 2.0], [0.0, 1.0, 5.0]), {"log_input": False}, {"none": [0.5, 1.0, -1.465736]}
    ),
    EdgeRow(
        "1.11",
        "seen, rate, full",
        POISSON,
        ([0.5, 1.0, 2.0], [0.5, 1.0, 5.0]),
        {"log_input": False, "full": True},
        {"none": [0.846574, 1.0, 3.305111]},
    ),
    EdgeRow(
        "1.11",
        "rates at and below 0",
        POISSON,
        ([0.0, -1e-8, -1.0], [0.0, 1.0, 1.0]),
        {"log_input": False},
        {"none": [0, inf, nan]},
    ),
    EdgeRow("1.11", "a rate of 0 with a count", POISSON, ([0.0], [1.0]), {"log_input": False}, {"none": [18.4207]}, digits=5),
    EdgeRow(
        "6 D10",
        "no rate, no count, no eps",
        POISSON,
        ([0.0], [0.0]),
        {"log_input": False, "eps": 0.0},
        {"none": [0]},
        {("none", "input"): [1]},
        differs="D10",
    ),
    EdgeRow("1.11", "infinite", POISSON, ([inf, -inf], [1.0, 1.0]), expected={"none": [nan, inf]}),
    EdgeRow("6 D10", "log-rate -inf without count", POISSON, ([-inf], [0.0]), expected={"none": [0]}, differs="D10"),
    EdgeRow("1.11", "NaN target, full", POISSON, ([0.5], [nan]), {"full": True}, {"none": [nan]}),
    EdgeRow(
        "6 D17",
        "Stirling's slope where y <= 0",
        POISSON,
        ([0.5, 0.5], [0.0, -1.0]),
        {"full": True},
        grads={("none", "target"): [-0.5, -0.5]},
        differs="D17",
    ),
    EdgeRow("1.11", "integer target", POISSON, ([0.5, 1.0, 2.0], [0, 1, 5]), expected={"none": [1.648721, 1.718282, -2.610944]}),
    EdgeRow("0.7", "empty", POISSON, (floats(0), floats(0)), expected=EMPTY),
    EdgeRow("0.6", "broadcast", POISSON, ([[0.5], [1.0]], [0.0, 1.0, 5.0])),
    EdgeRow(
        "1.12",
        "seen",
        GAUSSIAN,
        (MEANS, TRUTHS, VARIANCES),
        expected={"none": [[0.125, -0.346574], [0.596574, 1999993.1]]},
        grads={("none", "var"): [[0.375, 1], [0.125, -1.9999995e12]]},
    ),
    EdgeRow(
        "1.12",
        "seen, full",
        GAUSSIAN,
        (MEANS, TRUTHS, VARIANCES),
        {"full": True},
        {"none": [[1.043939, 0.572365], [1.515512, 1999994.0]]},
    ),
    EdgeRow(
        "1.12",
        "var 0",
        GAUSSIAN,
        (MEANS, TRUTHS, 0.0),
        expected={"none": [[124993.09, -6.907755], [499993.09, 1999993.1]]},
    ),
    EdgeRow("1.12", "var 0 and eps 0", GAUSSIAN, ([1.0, 2.0], [1.0, 1.0], [0.0, 0.0]), {"eps": 0.0}, {"none": [nan, nan]}),
    EdgeRow("1.12", "NaN var", GAUSSIAN, ([1.0, 2.0], [1.0, 1.0], [nan, 1.0]), expected={"none": [nan, 0.5]}),
    EdgeRow(
        "1.12",
        "var per row, also where it fits the columns",
        GAUSSIAN,
        ([[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]], [1.0, 4.0]),
        expected={"none": [[0.5, 0.5], [0.818147, 0.818147]]},
        grads={("sum", "var"): [0, 0.1875]},
    ),
    EdgeRow("1.12", "var (N,1)", GAUSSIAN, (MEANS, TRUTHS, [[1.0], [4.0]])),
    EdgeRow("1.12", "var (1,D)", GAUSSIAN, (MEANS, TRUTHS, [[1.0, 4.0]])),
    EdgeRow("1.12", "var () for a row", GAUSSIAN, ([1.0, 2.0], [1.5, 2.0], floats(value=2.0))),
    EdgeRow("1.12", "a number", GAUSSIAN, ([1.0, 2.0], [1.5, 2.0], 2.0)),
    EdgeRow("6 D18", "an integer", GAUSSIAN, ([1.0, 2.0], [1.5, 2.0], 2), expected={"none": [0.409074, 0.346574]}, differs="D18"),
    EdgeRow("0.7", "empty", GAUSSIAN, (floats(0), floats(0), floats(0)), expected=EMPTY),
]

ORDER = [
    EdgeRow(
        "1.13",
        "seen",
        RANKING,
        (FIRSTS, SECONDS, ORDERS),
        expected={"none": [1, 0, 0, 0]},
        grads={("none", "input1"): [-1, 0, 1, 0], ("none", "input2"): [1, 0, -1, 0], ("none", "target"): [1, 0, 0, -1]},
    ),
    EdgeRow("1.13", "seen, margin", RANKING, (FIRSTS, SECONDS, ORDERS), {"margin": 0.5}, {"none": [1.5, 0, 0.5, 0.5]}),
    EdgeRow(
        "1.13",
        "NaN",
        RANKING,
        ([nan, 1.0], [1.0, nan], [1.0, -1.0]),
        expected={"none": [nan, nan]},
        grads={("none", "input1"): [0, 0], ("none", "target"): [nan, nan]},
    ),
    EdgeRow("1.13", "y scales", RANKING, ([1.0], [2.0], [2.5]), expected={"none": [2.5]}),
    EdgeRow("1.13", "integers", RANKING, ([1.0, 2.0], [2.0, 1.0], [1, -1]), expected={"none": [1, 1]}),
    EdgeRow(
        "6 D7",
        "uint8 target",
        RANKING,
        ([1.0, 2.0], [1.5, 1.0], ints([1, 1], "uint8")),
        expected={"none": [0.5, 0], "mean": 0.25},
        differs="D7",
    ),
    EdgeRow("0.7", "empty", RANKING, (floats(0), floats(0), floats(0)), expected=EMPTY),
    EdgeRow("0.6", "broadcast", RANKING, ([[1.0], [2.0]], [[2.0, 1.0, 3.0]], [[1.0]])),
    EdgeRow(
        "1.14",
        "seen",
        HINGE,
        (DISTANCES, PAIRS),
        expected={"none": [0.5, 0, 2, 0.5, 1]},
        grads={("none", "input"): [1, 0, -1, -1, 0]},
    ),
    EdgeRow(
        "0.9", "at the margin", HINGE, ([1.0, 1.0], [-1.0, 0.0]), expected={"none": [0, 1]}, grads={("none", "input"): [-1, 0]}
    ),
    EdgeRow("1.14", "neither 1 nor -1", HINGE, ([0.5, 3.0, 0.5], [2.0, 0.0, nan]), expected={"none": [1, 3, 1]}),
    EdgeRow("1.14", "bool target", HINGE, ([0.5, 3.0], ints([True, False], "bool")), expected={"none": [0.5, 3]}),
    EdgeRow("1.14", "NaN", HINGE, ([nan, nan], [1.0, -1.0]), expected={"none": [nan, nan]}, grads={("none", "input"): [1, 0]}),
    EdgeRow("0.6", "broadcast", HINGE, ([[0.5], [2.0]], [1.0, -1.0, 0.0])),
    EdgeRow("0.7", "empty", HINGE, (floats(0), floats(0)), expected=EMPTY),
    EdgeRow(
        "6 D4",
        "the widest dtype wins",
        HINGE,
        (ints([1, 3], "float32"), np.array([1.0, -1.0])),
        expected={"none": [1, 0]},
        dtypes=("float64",),
        differs="D4",
    ),
    EdgeRow("1.15", "seen", SOFT, ([0.5, -2.0, 3.0], [1.0, -1.0, -1.0]), expected={"none": [0.474077, 0.126928, 3.048587]}),
    EdgeRow("1.15", "the right side", SOFT, ([20.0], [1.0]), expected={"none": [2.0612e-9]}, digits=5),
    EdgeRow("1.15", "y=0", SOFT, ([20.0], [0.0]), expected={"none": [0.693147]}, grads={("none", "input"): [0]}),
    EdgeRow(
        "6 D13",
        "the wrong side",
        SOFT,
        ([-100.0, 800.0], [1.0, -1.0]),
        expected={"none": [100, 800]},
        grads={("none", "input"): [-1, 1]},
        differs="D13",
        dtypes=("float32",),
    ),
    EdgeRow("6 D13", "the wrong side, far", SOFT, ([-800.0], [1.0]), expected={"none": [800]}, differs="D13", dtypes=("float64",)),
    EdgeRow("1.15", "integer target", SOFT, ([0.5, -2.0, 3.0], [1, -1, -1]), expected={"none": [0.474077, 0.126928, 3.048587]}),
    EdgeRow("0.6", "target broadcast", SOFT, ([[0.5, -2.0], [3.0, 1.0]], [1.0, -1.0])),
    EdgeRow("0.8", "NaN", SOFT, ([nan], [1.0]), expected={"none": [nan]}, grads={("none", "input"): [nan]}),
    EdgeRow("0.7", "empty", SOFT, (floats(0), floats(0)), expected=EMPTY),
    EdgeRow(
        "6 D4",
        "the widest dtype wins",
        SOFT,
        (ints([1, 3], "float32"), np.array([1.0, -1.0])),
        expected={"none": [0.313262, 3.048587]},
        dtypes=("float64",),
        differs="D4",
    ),
]

ELEMENTWISE: tuple[EdgeRow, ...] = (*REGRESSION, *DISTRIBUTION, *ORDER)

MEAN_OF_DIVERGENCES = (
    "reduction: 'mean' divides the total loss by both the batch size and the support size."
    "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
    "'mean' will be changed to behave the same as 'batchmean' in the next major release."
)

ELEMENTWISE_WARNINGS: tuple[WarningRow, ...] = (
    *(
        WarningRow(
            "0.3",
            f"size_average={size_average}, reduce={reduce}",
            name,
            args,
            {"size_average": size_average, "reduce": reduce, "reduction": "sum" if reduction == "mean" else "mean"},
            "DeprecationWarning",
            (f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",),
            {"reduction": reduction},
        )
        for name, args in ARGS.items()
        for size_average, reduce, reduction in LEGACY
        # The silent spelling of the mean of divergences is not silent.
        if name not in NO_LEGACY and name != KL
    ),
    *(
        WarningRow(
            "0.2",
            "elementwise_mean",
            name,
            args,
            {"reduction": "elementwise_mean"},
            "UserWarning",
            ("reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.",),
            {"reduction": "mean"},
        )
        for name, args in ARGS.items()
        if name not in NO_ALIAS and name != KL
    ),
    *(
        WarningRow("0.6", "(3,1) with (3,) broadcasts", name, args, {}, "BroadcastWarning", ("(3, 1)", "(3,)"), None)
        for name in (L1, SMOOTH, HUBER)
        for args in (([[1.0], [2.0], [3.0]], [1.0, 2.0, 4.0]),)
    ),
    WarningRow("1.10", "the mean of divergences", KL, ARGS[KL], {}, "UserWarning", (MEAN_OF_DIVERGENCES,), None),
)
