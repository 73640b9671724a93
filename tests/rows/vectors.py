"""Losses of vectors: sections 0.2-0.9 and 1.19-1.21 of SEMANTICS.md."""

from __future__ import annotations

from typing import Any

import numpy as np

from rows.refused import ConstructorRow, ErrorRow, GradientRow
from rows.row import EMPTY, EdgeRow, WarningRow, everywhere, floats, inf, ints, nan

COSINE, TRIPLET, DISTANCE = "cosine_embedding_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss"
CLASSES = {COSINE: "CosineEmbeddingLoss", TRIPLET: "TripletMarginLoss", DISTANCE: "TripletMarginWithDistanceLoss"}

X1, X2 = [[1.0, 2.0, 3.0], [1.0, 0.0, -1.0]], [[1.0, 2.0, 2.0], [0.0, 1.0, -1.0]]
ANCHOR = [[1.0, 2.0], [0.0, 0.0], [1.0, 1.0]]
POSITIVE = [[1.5, 2.0], [0.0, 0.0], [5.0, 1.0]]
NEGATIVE = [[1.0, 3.0], [0.0, 0.0], [2.0, 1.0]]
TRIPLES = (ANCHOR, POSITIVE, NEGATIVE)
ARGS: dict[str, tuple[Any, ...]] = {COSINE: (X1, X2, [1, -1]), TRIPLET: TRIPLES, DISTANCE: TRIPLES}
HALF = 0.5**0.5

VECTORS = [
    EdgeRow("1.19", "seen", COSINE, ARGS[COSINE], expected={"none": [0.0200421, 0.5], "sum": 0.5200421}),
    EdgeRow("1.19", "seen, margin", COSINE, ARGS[COSINE], {"margin": 0.3}, {"none": [0.0200421, 0.2]}),
    EdgeRow("1.19", "other labels cost nothing", COSINE, (X1, X2, [0.5, -2.0]), expected={"none": [0, 0], "mean": 0}),
    EdgeRow("1.19", "a label that is NaN costs nothing", COSINE, (X1, X2, [nan, 0.0]), expected={"none": [0, 0]}),
    EdgeRow("1.19", "one pair", COSINE, (X1[0], X2[0], ints(1, "int64")), expected=everywhere(0.0200421)),
    EdgeRow("1.19", "one label for all", COSINE, (X1, X2, [1]), expected={"none": [0.0200421, 0.5]}),
    EdgeRow("1.19", "one pair for all labels", COSINE, (X1[:1], X2[:1], [1, -1]), expected={"none": [0.0200421, 0.9799579]}),
    EdgeRow("1.19", "one vector for all", COSINE, (X1, X2[:1], [1, 1]), expected={"none": [0.0200421, 1.2357023]}),
    EdgeRow(
        "0.9",
        "cos = margin: the gradient passes",
        COSINE,
        ([[1.0, 0.0]], [[0.0, 1.0]], [-1]),
        expected={"none": [0], "mean": 0},
        grads={("none", "input1"): [[0, 1]], ("none", "input2"): [[1, 0]]},
    ),
    EdgeRow(
        "1.19",
        "a vector of zeros",
        COSINE,
        ([[0.0, 0.0, 0.0]], [[1.0, 1.0, 1.0]], [1]),
        expected={"none": [1]},
        grads={("none", "input1"): [[-577350, -577350, -577350]], ("none", "input2"): [[0, 0, 0]]},
        digits=5,
    ),
    EdgeRow(
        "1.19",
        "a vector of zeros in float16",
        COSINE,
        ([[0.0, 0.0]], [[0.0, 0.0]], [1]),
        expected={"none": [1]},
        dtypes=("float16",),
        differs="1.19",
    ),
    EdgeRow(
        "1.19",
        "squares that float32 does not hold",
        COSINE,
        ([[1e20, 1e20]], [[1e20, 0.0]], [-1]),
        expected={"none": [HALF]},
        dtypes=("float32",),
        differs="1.19",
    ),
    EdgeRow(
        "1.19",
        "squares that float16 does not hold",
        COSINE,
        ([[300.0, 300.0]], [[300.0, 0.0]], [-1]),
        expected={"none": [0.707]},
        digits=3,
        dtypes=("float16",),
        differs="1.19",
    ),
    EdgeRow("1.19", "vectors far below eps", COSINE, ([[1e-10, 0.0]], [[1e-10, 0.0]], [1]), expected={"none": [1]}, digits=5),
    EdgeRow(
        "0.5",
        "integers",
        COSINE,
        (ints([[3, 4]], "int64"), ints([[4, 3]], "uint8"), [1]),
        expected={"none": [0.04]},
        dtypes=("float32",),
    ),
    EdgeRow("0.7", "empty batch", COSINE, (floats(0, 3), floats(0, 3), floats(0)), expected=EMPTY),
    EdgeRow("0.7", "no features", COSINE, (floats(2, 0), floats(2, 0), [1, -1]), expected={"none": [1, 0], "mean": 0.5}),
    EdgeRow(
        "0.8",
        "NaN",
        COSINE,
        ([[nan, 1.0], [1.0, 0.0], [nan, 0.0]], [[1.0, 1.0], [inf, 0.0], [1.0, 1.0]], [1, -1, 0]),
        expected={"none": [nan, nan, 0], "mean": nan},
        grads={("none", "input1"): [[nan, nan]] * 3},
    ),
    # ---- triplets ----
    *(EdgeRow("1.20", f"seen, p = {p:g}", TRIPLET, TRIPLES, {"p": p}, {"none": [0.5, 1, 4]}, digits=5) for p in (1.0, 2.0, 3.0)),
    EdgeRow(
        "1.20",
        "equal vectors: the margin, and slopes of eps",
        TRIPLET,
        ([[0.0, 0.0]],) * 3,
        expected=everywhere(1) | {"none": [1]},
        grads={("none", "anchor"): [[0, 0]], ("none", "positive"): [[-HALF, -HALF]], ("none", "negative"): [[HALF, HALF]]},
    ),
    EdgeRow("1.20", "one triplet", TRIPLET, tuple(v[0] for v in TRIPLES), expected=everywhere(0.5), digits=5),
    EdgeRow("1.20", "three dimensions", TRIPLET, tuple([v] for v in TRIPLES), expected={"none": [[0.5, 1, 4]]}, digits=5),
    EdgeRow("1.20", "0-d", TRIPLET, tuple(floats(value=v) for v in (1.0, 2.0, 4.0)), {"eps": 0.0}, everywhere(0)),
    EdgeRow(
        "1.20", "one positive for all", TRIPLET, (ANCHOR, POSITIVE[:1], NEGATIVE), expected={"none": [0.5, 3.5, 1.118034]}, digits=5
    ),
    EdgeRow("1.20", "p = inf", TRIPLET, TRIPLES, {"p": inf}, {"none": [0.5, 1, 4]}, digits=5),
    EdgeRow("1.20", "p = 0 counts", TRIPLET, TRIPLES, {"p": 0.0, "eps": 0.0}, {"none": [1, 1, 1]}),
    EdgeRow("1.20", "p = -1", TRIPLET, ([[1.0, 2.0]], [[2.0, 4.0]], [[3.0, 4.0]]), {"p": -1.0, "eps": 0.0}, {"none": [0.6666667]}),
    EdgeRow(
        "1.20",
        "p = -inf",
        TRIPLET,
        ([[1.0, 2.0]], [[2.0, 4.0]], [[3.5, 4.0]]),
        {"p": -inf, "eps": 0.0},
        {"none": [0]},
        grads={("none", "anchor"): [[-1, 1]]},
    ),
    EdgeRow(
        "0.9",
        "p = inf: equal components share",
        TRIPLET,
        ([[0.0, 0.0, 0.0]], [[2.0, -2.0, 1.0]], [[1.0, 1.0, 0.5]]),
        {"p": inf, "eps": 0.0},
        {"none": [2]},
        grads={("none", "positive"): [[0.5, -0.5, 0]], ("none", "negative"): [[-0.5, -0.5, 0]]},
    ),
    EdgeRow(
        "0.9",
        "a norm of 0 has slope 0",
        TRIPLET,
        ([[1.0, 2.0]], [[1.0, 2.0]], [[1.0, 2.5]]),
        {"eps": 0.0},
        {"none": [0.5]},
        grads={("none", "positive"): [[0, 0]], ("none", "negative"): [[0, -1]], ("none", "anchor"): [[0, 1]]},
    ),
    EdgeRow(
        "0.9",
        "at the hinge the gradient passes",
        TRIPLET,
        ([[0.0]], [[1.0]], [[2.0]]),
        {"eps": 0.0},
        {"none": [0], "mean": 0},
        grads={("none", "positive"): [[1]], ("none", "negative"): [[-1]]},
    ),
    EdgeRow(
        "0.9",
        "swap: equal distances share",
        TRIPLET,
        ([[0.0, 0.0]], [[0.0, 2.0]], [[1.0, 1.0]]),
        {"eps": 0.0, "p": 1.0, "swap": True},
        {"none": [1]},
        grads={("none", "negative"): [[-1, 0]], ("none", "anchor"): [[0.5, -0.5]], ("none", "positive"): [[0.5, 0.5]]},
    ),
    EdgeRow("1.20", "swap", TRIPLET, ([[0.0, 0.0]], [[3.0, 0.0]], [[4.0, 0.0]]), {"eps": 0.0, "swap": True}, {"none": [3]}),
    EdgeRow("1.20", "eps has a sign", TRIPLET, ([[1.0]], [[0.0]], [[2.0]]), {"eps": 0.5}, {"none": [2]}),
    EdgeRow("1.20", "margin of infinity", TRIPLET, TRIPLES, {"margin": inf}, {"none": [inf] * 3, "mean": inf}),
    EdgeRow("1.20", "margin of NaN", TRIPLET, TRIPLES, {"margin": nan}, {"none": [nan] * 3, "mean": nan}),
    EdgeRow(
        "1.20",
        "squares that float32 does not hold",
        TRIPLET,
        ([[1e20, 0.0]], [[-1e20, 0.0]], [[0.0, 0.0]]),
        expected={"none": [1e20]},
        dtypes=("float32",),
        differs="1.20",
    ),
    EdgeRow(
        "0.5",
        "integers",
        TRIPLET,
        tuple(ints([[v, 0]], "uint8") for v in (1, 3, 2)),
        {"eps": 0.0},
        {"none": [2]},
        dtypes=("float32",),
        differs="0.5",
    ),
    EdgeRow("0.7", "empty batch", TRIPLET, (floats(0, 3),) * 3, expected=EMPTY),
    EdgeRow("0.7", "no features", TRIPLET, (floats(2, 0),) * 3, expected={"none": [1, 1], "mean": 1}),
    *(
        EdgeRow(
            "0.8",
            f"NaN and infinity, p = {p:g}",
            TRIPLET,
            (
                [[nan, 1.0], [0.0, 0.0], [0.0, 0.0], [inf, 0.0]],
                [[0.0, 0.0], [inf, 0.0], [0.0, 1.0], [0.0, 0.0]],
                [[0.0, 0.0], [0.0, 0.0], [inf, 0.0], [0.0, 0.0]],
            ),
            {"p": p},
            {"none": [nan, inf, 0, nan], "mean": nan},
        )
        for p in (1.0, 2.0, inf)
    ),
    # ---- any distance ----
    EdgeRow("1.21", "the distance is Euclidean", DISTANCE, TRIPLES, expected={"none": [0.5, 1, 4]}, digits=5),
    EdgeRow(
        "1.21", "by name", DISTANCE, TRIPLES, {"distance_function": "euclidean"}, {"none": [0.5, 1, 4]}, digits=5, differs="1.21"
    ),
    EdgeRow("1.21", "l1", DISTANCE, TRIPLES, {"distance_function": "l1"}, {"none": [0.5, 1, 4]}, digits=5, differs="1.21"),
    EdgeRow(
        "1.21",
        "cosine",
        DISTANCE,
        ([[1.0, 0.0]], [[1.0, 1.0]], [[0.0, 1.0]]),
        {"distance_function": "cosine"},
        {"none": [1 - HALF]},
        differs="1.21",
    ),
    EdgeRow("1.21", "swap", DISTANCE, ([[0.0, 0.0]], [[3.0, 0.0]], [[4.0, 0.0]]), {"swap": True}, {"none": [3]}, digits=5),
    EdgeRow("0.7", "empty batch", DISTANCE, (floats(0, 3),) * 3, expected=EMPTY),
]

LEGACY = (
    *((size_average, reduce, "mean") for size_average, reduce in ((None, True), (True, None), (True, True), (1, 1))),
    *((size_average, reduce, "sum") for size_average, reduce in ((False, None), (False, True), (0, 1))),
    *((size_average, reduce, "none") for size_average, reduce in ((None, False), (True, False), (False, False), (1, 0))),
)

VECTOR_WARNINGS: tuple[WarningRow, ...] = (
    *(
        WarningRow(
            "0.3",
            f"size_average={size_average}, reduce={reduce}",
            name,
            ARGS[name],
            {"size_average": size_average, "reduce": reduce, "reduction": "sum" if reduction == "mean" else "mean"},
            "DeprecationWarning",
            (f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",),
            {"reduction": reduction},
        )
        for name in (COSINE, TRIPLET)
        for size_average, reduce, reduction in LEGACY
    ),
    *(
        WarningRow(
            "0.2",
            "elementwise_mean",
            name,
            ARGS[name],
            {"reduction": "elementwise_mean"},
            "UserWarning",
            ("reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.",),
            {"reduction": "mean"},
        )
        for name in (COSINE, TRIPLET)
    ),
)

ALLOWED = "reduction must be 'none', 'mean' or 'sum'"

VECTOR_ERRORS: tuple[ErrorRow, ...] = (
    *(
        ErrorRow("0.2", f"reduction {bad!r}", name, args, ValueError, (ALLOWED, f"got {bad!r}"), {"reduction": bad})
        for name, args in ARGS.items()
        for bad in ("Mean", "foo", None, "batchmean")
    ),
    ErrorRow(
        "0.2", "elementwise_mean", DISTANCE, TRIPLES, ValueError, (ALLOWED, "'elementwise_mean'"), {"reduction": "elementwise_mean"}
    ),
    ErrorRow("1.19", "labels of one pair", COSINE, (X1[0], X2[0], [1, 1, -1]), ValueError, ("1D target expects 2D", "(3,)")),
    ErrorRow("1.19", "one label of many pairs", COSINE, (X1, X2, ints(1, "int64")), ValueError, ("0D target expects 1D", "(2, 3)")),
    ErrorRow("1.19", "labels of two dimensions", COSINE, (X1, X2, [[1], [-1]]), ValueError, ("target", "(2, 1)", "multi-target")),
    ErrorRow("1.19", "too many labels", COSINE, (X1, X2, [1, 1, 1]), ValueError, ("target", "2 vectors", "(3,)")),
    ErrorRow("1.19", "not broadcastable", COSINE, (X1, [X2[0][:2]] * 2, [1, 1]), ValueError, ("input1 (2, 3)", "input2 (2, 2)")),
    ErrorRow("1.19", "margin is text", COSINE, ARGS[COSINE], TypeError, ("margin", "str"), {"margin": "x"}),
    *(
        ErrorRow(
            "1.20",
            f"margin {margin}",
            name,
            TRIPLES,
            ValueError,
            ("margin must be greater than 0", str(margin)),
            {"margin": margin},
        )
        for name in (TRIPLET, DISTANCE)
        for margin in (0.0, -1.0)
    ),
    *(
        ErrorRow(
            "1.20",
            "numbers of dimensions differ",
            name,
            (ANCHOR, POSITIVE[0], NEGATIVE),
            ValueError,
            ("same number of dimensions", "positive (2,)"),
        )
        for name in (TRIPLET, DISTANCE)
    ),
    *(
        ErrorRow(
            "1.20",
            "not broadcastable",
            name,
            (ANCHOR, [[1.0, 2.0, 3.0]] * 3, NEGATIVE),
            ValueError,
            ("anchor (3, 2)", "positive (3, 3)"),
        )
        for name in (TRIPLET, DISTANCE)
    ),
    ErrorRow("1.20", "p is text", TRIPLET, TRIPLES, TypeError, ("p", "str"), {"p": "x"}),
    ErrorRow("1.20", "eps is text", TRIPLET, TRIPLES, TypeError, ("eps", "str"), {"eps": "x"}),
    ErrorRow(
        "1.21",
        "no such distance",
        DISTANCE,
        TRIPLES,
        ValueError,
        ("distance_function", "'foo'", "'cosine'"),
        {"distance_function": "foo"},
    ),
    ErrorRow(
        "1.21", "a distance that is a number", DISTANCE, TRIPLES, TypeError, ("distance_function", "int"), {"distance_function": 3}
    ),
    *(
        ErrorRow("0.5", f"{bad.dtype.name} {operand}", name, (*args[:1], bad, *args[2:]), TypeError, (operand, str(bad.dtype)))
        for name, args in ARGS.items()
        for operand in ("input2" if name == COSINE else "positive",)
        for bad in (np.array([[None] * 3] * 2), np.array([["a"] * 3] * 2))
    ),
)

VECTOR_CONSTRUCTORS: tuple[ConstructorRow, ...] = (
    *(
        ConstructorRow(name, {"reduction": bad}, ValueError, ("reduction", repr(bad)))
        for name in CLASSES.values()
        for bad in ("foo", "Mean", None)
    ),
    *(
        ConstructorRow(name, {"margin": margin}, ValueError, ("margin", str(margin)))
        for name in ("TripletMarginLoss", "TripletMarginWithDistanceLoss")
        for margin in (0.0, -1.0)
    ),
    ConstructorRow("CosineEmbeddingLoss", {"margin": "x"}, TypeError, ("margin", "str")),
    ConstructorRow("TripletMarginLoss", {"p": None}, TypeError, ("p", "NoneType")),
    ConstructorRow("TripletMarginWithDistanceLoss", {"distance_function": "foo"}, ValueError, ("distance_function", "'foo'")),
)

VECTOR_GRADIENTS: tuple[GradientRow, ...] = (
    *(
        GradientRow("labels have no gradient", COSINE, ARGS[COSINE], argnums, TypeError, ("target",))
        for argnums in ("target", 2, (0, 2))
    ),
    *(GradientRow("no such argument", name, args, "foo", TypeError, ("foo",)) for name, args in ARGS.items()),
    *(GradientRow("no such position", name, args, 7, TypeError, ("7",)) for name, args in ARGS.items()),
    *(
        GradientRow("grad_output for a scalar", name, args, 0, ValueError, ("grad_output", "(2,)"), grad_output=np.ones(2))
        for name, args in ARGS.items()
    ),
)
