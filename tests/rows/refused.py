"""
Calls that raise, as data: the exception DESIGN.md section 10 names (TypeError for a wrong kind or dtype, ValueError
for a wrong value or shape, IndexError for a class index), and what the message must contain beside the function's
name: the argument, what was expected, what came. Where torch accepts the call, `differs` names the row of
SEMANTICS.md section 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rows.binary import X23, Y23
from rows.classes import LOGP, SCORES, SHARES
from rows.row import BCE, CE, LOGITS, MSE, MULTI_MARGIN, MULTILABEL, MULTILABEL_MARGIN, NLL, arguments, floats, inf, ints, nan
from rows.warned import PLAIN_ARGS

Exceptions = type[Exception] | tuple[type[Exception], ...]


@dataclass(frozen=True)
class ErrorRow:
    """One bad call."""

    section: str
    title: str
    name: str
    args: tuple[Any, ...]
    raises: Exceptions
    fragments: tuple[str, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    differs: str = ""

    def __str__(self) -> str:
        return f"{self.section} {self.name}: {self.title}"

    def call(self, dtype: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return arguments(self.args, self.kwargs, dtype)


@dataclass(frozen=True)
class ConstructorRow:
    """Constructor arguments that are refused at once (D14, D19)."""

    class_name: str
    kwargs: Mapping[str, Any]
    raises: Exceptions
    fragments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.class_name}({', '.join(f'{key}={value!r}' for key, value in self.kwargs.items())})"


@dataclass(frozen=True)
class GradientRow:
    """Bad `argnums` or `grad_output`."""

    title: str
    name: str
    args: tuple[Any, ...]
    argnums: Any
    raises: Exceptions
    fragments: tuple[str, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    grad_output: Any = None

    def __str__(self) -> str:
        return f"{self.name}: {self.title}"


ALLOWED = "reduction must be 'none', 'mean' or 'sum'"

REDUCTIONS = [
    *(
        ErrorRow("0.2", f"reduction {bad!r}", name, args, ValueError, (ALLOWED, f"got {bad!r}"), {"reduction": bad})
        for name, args in PLAIN_ARGS.items()
        for bad in ("Mean", "foo", None, "batchmean")
    ),
    ErrorRow(
        "0.2",
        "elementwise_mean",
        MULTILABEL,
        PLAIN_ARGS[MULTILABEL],
        ValueError,
        (ALLOWED, "'elementwise_mean'"),
        {"reduction": "elementwise_mean"},
    ),
    *(
        ErrorRow("0.2", "reduction is checked before shapes", name, args, ValueError, (ALLOWED,), {"reduction": "foo"})
        for name, args in (
            (BCE, ([0.5, 0.5], [0.5])),
            (LOGITS, ([0.5, 0.5], [0.5])),
            (CE, (SCORES, [0, 1])),
            (NLL, (LOGP, [0, 1, 2])),
        )
    ),
    # torch looks at the shapes first here; either way it is a ValueError of ours, and which one is seen is nobody's
    # contract.
    ErrorRow("0.2", "reduction and shape are wrong", MSE, ([1.0, 2.0, 3.0], [1.0] * 4), ValueError, (), {"reduction": "foo"}),
    ErrorRow(
        "0.2",
        "reduction and shape are wrong",
        MULTILABEL,
        ([1.0, 2.0, 3.0], [1.0] * 4),
        ValueError,
        (),
        {"reduction": "foo"},
    ),
]

COLUMN, ROW = [[0.5], [0.5], [0.5]], [0.5, 0.5, 0.5]

SHAPES = [
    ErrorRow(
        "0.6",
        "not broadcastable",
        MSE,
        ([1.0] * 3, [1.0] * 4),
        ValueError,
        ("input (3,)", "target (4,)", "broadcast"),
    ),
    ErrorRow(
        "1.2",
        "weight is longer",
        MSE,
        ([1.0] * 3, [1.0] * 3),
        ValueError,
        ("weight", "(4,)", "(3,)"),
        {"weight": [1.0] * 4},
    ),
    ErrorRow("0.6", "target is not broadcast", BCE, (COLUMN, ROW), ValueError, ("target", "(3,)", "(3, 1)")),
    ErrorRow("0.6", "target is not broadcast", LOGITS, (COLUMN, ROW), ValueError, ("target", "(3,)", "(3, 1)")),
    *(
        ErrorRow(
            "1.5",
            f"{argument} {np.shape(w)} for (2, 3)",
            name,
            (X23, Y23),
            ValueError,
            (argument, str(np.shape(w)), "(2, 3)"),
            {argument: w},
        )
        for name, argument in ((BCE, "weight"), (LOGITS, "weight"), (LOGITS, "pos_weight"))
        for w in ([1.0, 2.0], [[[1.0] * 3] * 2] * 4)
    ),
    ErrorRow("1.16", "not broadcastable", MULTILABEL, ([1.0] * 3, [1.0] * 4), ValueError, ("target", "(3,)", "(4,)")),
    ErrorRow("1.16", "weight (4,)", MULTILABEL, (X23, Y23), ValueError, ("weight", "(4,)"), {"weight": [1.0] * 4}),
    ErrorRow("1.16", "0-d input", MULTILABEL, (floats(value=1.0), floats(value=1.0)), ValueError, ("input",)),
    *(
        row
        for name in (CE, NLL)
        for row in (
            ErrorRow("1.7", "batch sizes differ", name, (floats(4, 3), [0, 1]), ValueError, ("target", "(2,)")),
            ErrorRow("1.7", "0-d target for a batch", name, (floats(2, 3), ints(0, "int64")), ValueError, ("target", "()")),
            ErrorRow("1.7", "two labels for one row", name, (floats(3), [0, 1]), ValueError, ("target", "(2,)")),
            ErrorRow(
                "1.7",
                "inner sizes differ",
                name,
                (floats(2, 3, 4), ints([[0] * 5] * 2, "int64")),
                ValueError,
                ("target", "(2, 5)"),
            ),
            ErrorRow(
                "1.7",
                "inner sizes swapped",
                name,
                (floats(2, 3, 4, 5), ints(np.zeros((2, 5, 4)), "int64")),
                ValueError,
                ("target", "(2, 5, 4)"),
            ),
            ErrorRow(
                "1.7",
                "target of lower rank",
                name,
                (floats(2, 3, 4, 5), ints(np.zeros((2, 4)), "int64")),
                ValueError,
                ("target", "(2, 4)"),
            ),
            ErrorRow("1.7", "(N, 1) target", name, (floats(2, 3), [[0], [1]]), ValueError, ("target", "(2, 1)")),
            ErrorRow(
                "1.7",
                "too many weights",
                name,
                (floats(2, 3), [0, 1]),
                ValueError,
                ("weight", "(4,)", "3"),
                {"weight": [1.0] * 4},
            ),
            ErrorRow(
                "1.7",
                "weight (1, C)",
                name,
                (floats(2, 3), [0, 1]),
                ValueError,
                ("weight", "(1, 3)"),
                {"weight": [[1.0] * 3]},
            ),
            ErrorRow(
                "6 D15",
                "weight (1, C), inner axis",
                name,
                (floats(2, 3, 1), [[0], [1]]),
                ValueError,
                ("weight", "(1, 3)"),
                {"weight": [[1.0] * 3]},
                "D15",
            ),
            ErrorRow(
                "1.7",
                "0-d weight",
                name,
                (floats(2, 3), [0, 1]),
                ValueError,
                ("weight", "()"),
                {"weight": floats(value=1.0)},
            ),
        )
    ),
    ErrorRow("1.7", "0-d input", NLL, (floats(), ints(0, "int64")), ValueError, ("input",)),
    # Equal shapes mean probabilities, so the integer is refused as a dtype or the missing class axis as a shape.
    ErrorRow("1.8", "0-d input", CE, (floats(), ints(0, "int64")), (TypeError, ValueError), ()),
    ErrorRow("1.8", "0-d input and probability", CE, (floats(), floats()), ValueError, ("input",)),
    ErrorRow("5.2", "dim beyond the last", "softmax", (floats(2, 3),), ValueError, ("dim", "2"), {"dim": 2}),
    ErrorRow("5.2", "dim before the first", "softmax", (floats(2, 3),), ValueError, ("dim", "-3"), {"dim": -3}),
    ErrorRow("5.2", "dim beyond the last", "log_softmax", (floats(2, 3),), ValueError, ("dim", "2"), {"dim": 2}),
    ErrorRow("5.2", "dim of a 0-d input", "softmax", (floats(),), ValueError, ("dim", "1"), {"dim": 1}),
]


def _probability(title: str, args: tuple[Any, ...], place: str, came: str, **kwargs: Any) -> ErrorRow:
    return ErrorRow("1.5", title, BCE, args, ValueError, (f"{place} is {came}", "outside [0, 1]"), kwargs)


PROBABILITIES = [
    _probability("above 1", ([0.5, 1.5], [0.0, 1.0]), "input[1]", "1.5"),
    _probability("below 0", ([-0.25, 0.5], [0.0, 1.0]), "input[0]", "-0.25"),
    _probability("NaN", ([0.5, nan], [0.0, 1.0]), "input[1]", "nan"),
    _probability("infinite", ([inf, 0.5], [0.0, 1.0]), "input[0]", "inf"),
    _probability("target below 0", ([0.5, 0.5], [0.0, -1.0]), "target[1]", "-1"),
    _probability("target above 1", ([0.5, 0.5], [2.0, 0.0]), "target[0]", "2"),
    _probability("target NaN", ([0.5, 0.5], [nan, 0.0]), "target[0]", "nan"),
    _probability("target infinite", ([0.5, 0.5], [0.0, inf]), "target[1]", "inf"),
    _probability("the lowest is named", ([0.5, 1.5, -1.0, 2.0], [0.0] * 4), "input[1]", "1.5"),
    _probability("a matrix", ([[0.5] * 3, [0.5, 0.5, 1.5]], [[0.0] * 3] * 2), "input[1, 2]", "1.5"),
    _probability("a weight of 0 is no mask", ([0.5, 1.5], [0.0, 1.0]), "input[1]", "1.5", weight=[1.0, 0.0]),
    ErrorRow("6 D2", "integer target above 1", BCE, ([0.5, 0.5], [0, 2]), ValueError, ("target[1] is 2", "outside [0, 1]")),
]


def _index(title: str, x: Any, target: Any, place: str, came: int, classes: int, **kwargs: Any) -> list[ErrorRow]:
    fragments = (f"{place} is {came}, outside [0, {classes})", f"Target {came} is out of bounds.")
    return [ErrorRow("1.7", title, name, (x, target), IndexError, fragments, kwargs) for name in (CE, NLL)]


INDICES = [
    *_index("C", floats(3, 3), [0, 3, 1], "target[1]", 3, 3),
    *_index("-1", floats(3, 3), [-1, 0, 1], "target[0]", -1, 3),
    *_index("the lowest is named", floats(4, 3), [0, 7, -5, 3], "target[1]", 7, 3),
    *_index("2^31", floats(2, 3), [2**31, 0], "target[0]", 2**31, 3),
    *_index("2^32 + 1", floats(2, 3), [0, 2**32 + 1], "target[1]", 2**32 + 1, 3),
    *_index("-2^63", floats(2, 3), [-(2**63), 0], "target[0]", -(2**63), 3),
    *_index("uint8", floats(2, 3), ints([0, 200], "uint8"), "target[1]", 200, 3),
    *_index("int8", floats(2, 3), ints([0, -7], "int8"), "target[1]", -7, 3),
    *_index("uint64 above int64", floats(2, 3), ints([2**63 + 5, 0], "uint64"), "target[0]", 2**63 + 5, 3),
    *_index("bool with one class", floats(2, 1), ints([False, True], "bool"), "target[1]", 1, 1),
    *_index("an inner axis", floats(2, 3, 4), ints([[0] * 4, [0, 0, 5, 0]], "int64"), "target[1, 2]", 5, 3),
    *_index("two inner axes", floats(1, 3, 2, 2), ints([[[0, 0], [9, 0]]], "int64"), "target[0, 1, 0]", 9, 3),
    *_index("-100 is a label where another is ignored", floats(2, 3), [1, -100], "target[1]", -100, 3, ignore_index=1),
    *_index("no classes", floats(2, 0), [0, 0], "target[0]", 0, 0),
    *_index("a zero weight is no mask", floats(2, 3), [0, 3], "target[1]", 3, 3, weight=[0.0] * 3),
    *(
        ErrorRow(
            "1.7",
            "an unbatched label",
            name,
            (floats(3), ints(3, "int64")),
            IndexError,
            ("target", "Target 3 is out of bounds."),
        )
        for name in (CE, NLL)
    ),
    ErrorRow(
        "1.8",
        "smoothing",
        CE,
        (floats(2, 3), [0, 3]),
        IndexError,
        ("target[1] is 3, outside [0, 3)",),
        {"label_smoothing": 0.1},
    ),
]

OPTIONS = [
    *(
        row
        for name in (CE, NLL)
        for row in (
            ErrorRow(
                "1.7",
                "ignore_index 1.5",
                name,
                PLAIN_ARGS[name],
                TypeError,
                ("ignore_index", "float"),
                {"ignore_index": 1.5},
            ),
            ErrorRow(
                "1.7",
                "ignore_index None",
                name,
                PLAIN_ARGS[name],
                TypeError,
                ("ignore_index", "None"),
                {"ignore_index": None},
            ),
            ErrorRow("0.5", "floating labels", name, (floats(2, 3), [0.0, 1.0]), TypeError, ("target", "float")),
        )
    ),
    ErrorRow(
        "1.8",
        "label_smoothing 1.1",
        CE,
        (SCORES, [0] * 4),
        ValueError,
        ("label_smoothing", "1.1"),
        {"label_smoothing": 1.1},
    ),
    ErrorRow(
        "6 D14",
        "label_smoothing -0.1",
        CE,
        (SCORES, [0] * 4),
        ValueError,
        ("label_smoothing", "-0.1"),
        {"label_smoothing": -0.1},
        "D14",
    ),
    ErrorRow(
        "6 D14",
        "label_smoothing NaN",
        CE,
        (SCORES, [0] * 4),
        ValueError,
        ("label_smoothing", "nan"),
        {"label_smoothing": nan},
        "D14",
    ),
    ErrorRow(
        "1.8",
        "label_smoothing text",
        CE,
        (SCORES, [0] * 4),
        TypeError,
        ("label_smoothing", "str"),
        {"label_smoothing": "x"},
    ),
    ErrorRow("1.8", "one-hot integers", CE, (SCORES, [[1, 0, 0]] * 4), TypeError, ("target", "argmax", "int64")),
    ErrorRow("1.8", "one logit and one integer", CE, ([3.0], [0]), TypeError, ("target", "int64")),
    ErrorRow(
        "1.8",
        "ignore_index beside probabilities",
        CE,
        (SCORES, SHARES),
        ValueError,
        ("ignore_index", "1"),
        {"ignore_index": 1},
    ),
    ErrorRow("5.2", "dim 1.5", "softmax", (floats(2, 3),), TypeError, ("dim", "float"), {"dim": 1.5}),
]

# torch computes these as complex numbers.
COMPLEX_IN_TORCH = {("sigmoid", "input"), (LOGITS, "target")}

KINDS = [
    *(
        ErrorRow(
            "0.5",
            f"{bad.dtype.name} {operand}",
            name,
            (*args[:at], bad, *args[at + 1 :]),
            TypeError,
            (operand, str(bad.dtype)),
            differs="0.5" if bad.dtype.kind == "c" and (name, operand) in COMPLEX_IN_TORCH else "",
        )
        for name, args in (PLAIN_ARGS | {a: ([0.0, 1.0],) for a in ("sigmoid", "logsigmoid")}).items()
        for at, operand in enumerate(("input", "target")[: len(args)])
        for bad in (np.zeros(2, complex), np.array([None, None]), np.array(["a", "b"]), np.zeros(2, "datetime64[s]"))
    ),
    *(
        ErrorRow(
            "0.5",
            "complex weight",
            name,
            PLAIN_ARGS[name],
            TypeError,
            ("weight", "complex128"),
            {"weight": np.ones(3, complex)},
            differs,
        )
        for name, differs in ((MULTILABEL, "0.5"), (CE, ""), (NLL, ""))
    ),
    ErrorRow("0.5", "complex input", "softmax", (np.zeros(2, complex),), TypeError, ("input", "complex128"), {"dim": 0}),
    ErrorRow("0.5", "complex input", "log_softmax", (np.zeros(2, complex),), TypeError, ("input", "complex128"), {"dim": 0}),
]

ERROR_ROWS: tuple[ErrorRow, ...] = (*REDUCTIONS, *SHAPES, *PROBABILITIES, *INDICES, *OPTIONS, *KINDS)

CONSTRUCTOR_ROWS: tuple[ConstructorRow, ...] = (
    *(
        ConstructorRow(name, {"reduction": bad}, ValueError, ("reduction", repr(bad)))
        for name in (
            "MSELoss",
            "BCELoss",
            "BCEWithLogitsLoss",
            "MultiLabelSoftMarginLoss",
            "CrossEntropyLoss",
            "NLLLoss",
            "MultiMarginLoss",
            "MultiLabelMarginLoss",
        )
        for bad in ("foo", "Mean", None)
    ),
    ConstructorRow("MultiLabelSoftMarginLoss", {"reduction": "elementwise_mean"}, ValueError, ("reduction", "'elementwise_mean'")),
    *(
        ConstructorRow("CrossEntropyLoss", {"label_smoothing": e}, ValueError, ("label_smoothing", repr(e)))
        for e in (1.5, -0.1, nan)
    ),
    *(
        ConstructorRow(name, {"ignore_index": 1.5}, TypeError, ("ignore_index", "float"))
        for name in ("CrossEntropyLoss", "NLLLoss")
    ),
    ConstructorRow("MultiMarginLoss", {"p": 3}, ValueError, ("p must be 1 or 2", "3")),
    ConstructorRow("MultiMarginLoss", {"margin": "wide"}, TypeError, ("margin", "str")),
    ConstructorRow("MultiMarginLoss", {"weight": [[1.0, 2.0]]}, ValueError, ("weight must be one-dimensional", "(1, 2)")),
)

GRADIENT_ROWS: tuple[GradientRow, ...] = (
    *(
        GradientRow("weight has no gradient", name, PLAIN_ARGS[name], "weight", TypeError, ("weight",), {"weight": np.ones(n)})
        for name, n in ((BCE, 2), (LOGITS, 2), (CE, 3), (NLL, 3), (MULTI_MARGIN, 4))
    ),
    GradientRow(
        "pos_weight has no gradient",
        LOGITS,
        PLAIN_ARGS[LOGITS],
        "pos_weight",
        TypeError,
        ("pos_weight",),
        {"pos_weight": np.ones(2)},
    ),
    *(
        GradientRow("labels have no gradient", name, PLAIN_ARGS[name], argnums, TypeError, ("target",))
        for name in (CE, NLL, MULTI_MARGIN, MULTILABEL_MARGIN)
        for argnums in ("target", 1, (0, 1))
    ),
    *(GradientRow("no such argument", name, args, "foo", TypeError, ("foo",)) for name, args in PLAIN_ARGS.items()),
    *(GradientRow("no such position", name, args, 7, TypeError, ("7",)) for name, args in PLAIN_ARGS.items()),
    *(GradientRow("argnums is a float", name, args, 1.5, TypeError, ("argnums", "1.5")) for name, args in PLAIN_ARGS.items()),
    *(
        GradientRow("grad_output for a scalar", name, args, 0, ValueError, ("grad_output", "(2,)"), grad_output=np.ones(2))
        for name, args in PLAIN_ARGS.items()
    ),
    *(
        GradientRow(
            "grad_output does not broadcast",
            name,
            args,
            0,
            ValueError,
            ("grad_output", "(7,)"),
            {"reduction": "none"},
            np.ones(7),
        )
        for name, args in PLAIN_ARGS.items()
    ),
)
