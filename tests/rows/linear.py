"""Cross entropy of a linear layer: section 1.9 of SEMANTICS.md, and the data of 1.8 through a product with the identity."""

from __future__ import annotations

import numpy as np

from rows.refused import ConstructorRow, ErrorRow, GradientRow
from rows.row import EdgeRow, floats, inf, ints, nan

LINEAR = "linear_cross_entropy"
CLASS = "LinearCrossEntropyLoss"

X = [[1.0, 2.0, 0.5], [0.1, -1.0, 3.0], [0.0, 0.0, 0.0], [2.0, -2.0, 1.0]]
I = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]  # noqa: E741
Y = [0, 2, 1, 1]
W = [1.0, 2.0, 0.5]
Q = [[0.2, 0.5, 0.3], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.3, 0.3, 0.4]]

LINEAR_ROWS = [
    EdgeRow(
        "1.9",
        "index",
        LINEAR,
        (X, I, Y),
        expected={"none": [1.464369, 0.0707742, 1.098612, 4.326563], "mean": 1.740080, "sum": 6.960318},
    ),
    EdgeRow(
        "1.9",
        "index, w, ignore_index=1",
        LINEAR,
        (X, I, Y),
        {"weight": W, "ignore_index": 1},
        {"none": [1.464369, 0.0353871, 0, 0], "mean": 0.999837, "sum": 1.499756},
    ),
    EdgeRow("1.9", "the default ignore_index", LINEAR, (X, I, [0, -100, 1, 1]), {}, {"mean": 2.296515, "sum": 6.889544}),
    EdgeRow("1.9", "index, smoothed, w", LINEAR, (X, I, Y), {"weight": W, "label_smoothing": 0.1}, {"mean": 2.190691}),
    EdgeRow("1.9", "probabilities, w", LINEAR, (X, I, Q), {"weight": W}, {"mean": 1.286279, "sum": 5.145116}),
    EdgeRow("1.9", "one place more for every sample", LINEAR, (X, [[r] for r in I], [[y] for y in Y]), {}, {"mean": 1.740080}),
    EdgeRow("1.9", "unbatched", LINEAR, (X[0], I, ints(0, "int64")), {}, {"none": 1.464369, "mean": 1.464369}),
    EdgeRow("1.9", "unbatched, a target of one element", LINEAR, (X[0], I, [0]), {}, {"mean": 1.464369}),
    EdgeRow("1.9", "all ignored", LINEAR, (X, I, [-100] * 4), {}, {"none": [0, 0, 0, 0], "mean": nan, "sum": 0}),
    EdgeRow("1.9", "empty", LINEAR, (floats(0, 3), I, ints([], "int64")), {}, {"none": np.zeros(0), "mean": nan, "sum": 0}),
    EdgeRow("1.9", "no features", LINEAR, (floats(2, 0), floats(4, 0), [0, 3]), {}, {"mean": 1.386294}),
    EdgeRow("1.9", "one class", LINEAR, ([[1.0], [2.0]], [[3.0]], ints([0, 0], "int64")), {}, {"mean": 0}),
    EdgeRow("1.9", "infinite bias", LINEAR, (X, I, Y), {"linear_bias": [0.0, -inf, 0.0], "ignore_index": 1}, {}),
    *(
        EdgeRow("1.9", f"labels of {d}", LINEAR, (X, I, ints(Y, d)), {}, {"mean": 1.740080}, differs="D1")
        for d in ("int32", "int8")
    ),
]

LINEAR_ERRORS = (
    ErrorRow("1.9", "input of 3 dimensions", LINEAR, (floats(2, 3, 3), I, [0, 1]), ValueError, ("dimensionality 1 or 2", "3")),
    ErrorRow("1.9", "input of 0 dimensions", LINEAR, (floats(), I, [0, 1]), ValueError, ("dimensionality 1 or 2", "0")),
    ErrorRow("1.9", "weight of 1 dimension", LINEAR, (X, W, Y), ValueError, ("linear_weight", "dimensions", "1")),
    ErrorRow("1.9", "in_features differ", LINEAR, (X, floats(3, 4), Y), ValueError, ("(4, 3)", "(3, 4)", "in_features")),
    ErrorRow("1.9", "bias", LINEAR, (X, I, Y), ValueError, ("linear_bias", "(3,)", "(2,)"), {"linear_bias": [1.0, 2.0]}),
    ErrorRow("1.9", "unbatched with places", LINEAR, (X[0], floats(3, 2, 3), [0, 1]), ValueError, ("batched", "(3, 2, 3)", "(3,)")),
    ErrorRow("1.9", "targets are too many", LINEAR, (X, I, [0, 1, 2]), ValueError, ("target", "(4,)", "(3,)")),
    ErrorRow("1.9", "targets are one-hot", LINEAR, (X, I, [[1, 0, 0]] * 4), TypeError, ("target", "argmax(1)", "int64")),
    ErrorRow("1.9", "targets are floating", LINEAR, (X, I, [*W, 1.0]), TypeError, ("target", "class indices", "float")),
    ErrorRow("1.9", "a class too high", LINEAR, (X, I, [0, 1, 3, 0]), IndexError, ("target[2] is 3", "Target 3 is out of bounds")),
    ErrorRow("1.9", "a class too low", LINEAR, (X, I, [0, 1, -1, 0]), IndexError, ("target[2] is -1", "[0, 3)")),
    ErrorRow(
        "1.9",
        "ignore_index and probabilities",
        LINEAR,
        (X, I, Q),
        ValueError,
        ("ignore_index cannot be specified when target contains probabilities", "-100"),
        {"ignore_index": -100},
    ),
    ErrorRow("1.9", "smoothing", LINEAR, (X, I, Y), ValueError, ("label_smoothing", "1.5"), {"label_smoothing": 1.5}),
    ErrorRow("1.9", "class weights", LINEAR, (X, I, Y), ValueError, ("weight", "3 classes", "(2,)"), {"weight": [1.0, 2.0]}),
    ErrorRow("0.2", "reduction", LINEAR, (X, I, Y), ValueError, ("reduction", "'foo'"), {"reduction": "foo"}),
    ErrorRow("1.9", "options", LINEAR, (X, I, Y), TypeError, ("options", "LinearCrossEntropyOptions", "int"), {"options": 5}),
)

SIZES = {"in_features": 3, "num_classes": 4}
LINEAR_CONSTRUCTORS = (
    ConstructorRow(CLASS, SIZES | {"reduction": "foo"}, ValueError, ("reduction", "'foo'")),
    ConstructorRow(CLASS, SIZES | {"label_smoothing": 1.5}, ValueError, ("label_smoothing", "1.5")),
    ConstructorRow(CLASS, SIZES | {"weight": [1.0, 2.0]}, ValueError, ("weight", "4 classes", "(2,)")),
    ConstructorRow(CLASS, SIZES | {"ignore_index": 1.5}, TypeError, ("ignore_index", "float")),
    ConstructorRow(CLASS, SIZES | {"dtype": "int32"}, TypeError, ("dtype", "int32")),
    ConstructorRow(CLASS, SIZES | {"dtype": "no such"}, TypeError, ("dtype", "no such")),
    ConstructorRow(CLASS, SIZES | {"device": "cuda"}, ValueError, ("device", "cuda")),
    ConstructorRow(CLASS, SIZES | {"out_features": (-1,)}, ValueError, ("out_features", "-1")),
    ConstructorRow(CLASS, SIZES | {"options": 5}, TypeError, ("options", "int")),
    ConstructorRow(CLASS, {"in_features": 2.5, "num_classes": 4}, TypeError, ("in_features", "float")),
    ConstructorRow("LinearCrossEntropyOptions", {"batch_chunk_size": 0}, ValueError, ("batch_chunk_size", "0")),
    ConstructorRow("LinearCrossEntropyOptions", {"chunk_bytes": 1.5}, TypeError, ("chunk_bytes", "float")),
)

LINEAR_GRADIENTS = (
    *(GradientRow("labels have no gradient", LINEAR, (X, I, Y), n, TypeError, ("target",)) for n in ("target", 2, (0, 2))),
    GradientRow("there is no bias", LINEAR, (X, I, Y), "linear_bias", TypeError, ("linear_bias", "None")),
    GradientRow("weight of labels", LINEAR, (X, I, Y), "weight", TypeError, ("weight", "probabilities"), {"weight": W}),
    GradientRow("no such argument", LINEAR, (X, I, Y), "foo", TypeError, ("foo",)),
    GradientRow("no such position", LINEAR, (X, I, Y), 7, TypeError, ("7",)),
    GradientRow("grad_output for a scalar", LINEAR, (X, I, Y), 0, ValueError, ("grad_output", "(2,)"), grad_output=np.ones(2)),
    GradientRow(
        "grad_output does not broadcast",
        LINEAR,
        (X, I, Y),
        0,
        ValueError,
        ("grad_output", "(7,)"),
        {"reduction": "none"},
        np.ones(7),
    ),
)
