"""Sequences of labels without an alignment: section 1.22 of SEMANTICS.md, and D6, D16, D22."""

from __future__ import annotations

from typing import Any

import numpy as np

from rows.refused import ConstructorRow, ErrorRow, GradientRow
from rows.row import EdgeRow, WarningRow, floats, inf, ints, nan

CTC = "ctc_loss"

# Two frames of four classes, one sample; and the same for two.
FEW = [[[-1.0, -2.0, -0.75, -3.0]], [[-0.5, -1.5, -2.5, -2.0]]]
TWO = [[frame[0], frame[0]] for frame in FEW]
UNUSED = [[[-1.0, -0.5, -inf]], [[-0.75, -0.625, -inf]]]

SEQUENCES = [
    EdgeRow("1.22", "one label", CTC, (FEW, [[1]], (2,), (1,)), digits=5),
    EdgeRow("1.22", "unbatched", CTC, ([frame[0] for frame in FEW], [1], ints(2, "int64"), ints(1, "int64"))),
    EdgeRow("1.22", "unbatched, lengths of one element", CTC, ([frame[0] for frame in FEW], [1], (2,), (1,))),
    EdgeRow(
        "1.22",
        "a repeat needs a frame more",
        CTC,
        (FEW, [[1, 1]], (2,), (2,)),
        expected={"none": [inf], "mean": inf, "sum": inf},
        grads={("sum", "log_probs"): [[[nan] * 4], [[nan] * 4]]},
    ),
    EdgeRow(
        "1.22",
        "nothing beyond the frames",
        CTC,
        (FEW, [[1, 2]], (1,), (2,)),
        expected={"none": [inf], "mean": inf, "sum": inf},
        grads={("sum", "log_probs"): [[[nan] * 4], [[0] * 4]]},
    ),
    EdgeRow(
        "1.22",
        "zero_infinity",
        CTC,
        (FEW, [[1, 1]], (2,), (2,)),
        {"zero_infinity": True},
        {"none": [0], "mean": 0, "sum": 0},
        {("mean", "log_probs"): [[[0] * 4], [[0] * 4]]},
    ),
    EdgeRow(
        "1.22",
        "zero_infinity keeps the divisor",
        CTC,
        (TWO, [[1, 1], [1, 2]], (2, 2), (2, 2)),
        {"zero_infinity": True},
        {"none": [0, 4.5], "mean": 1.125, "sum": 4.5},
    ),
    EdgeRow("1.22", "no label", CTC, (FEW, [[1]], (2,), (0,)), expected={"none": [1.5], "mean": 1.5, "sum": 1.5}),
    EdgeRow("1.22", "no labels at all", CTC, (FEW, ints(np.zeros((1, 0)), "int64"), (2,), (0,)), expected={"sum": 1.5}),
    EdgeRow("1.22", "no frame and no label", CTC, (FEW, [[1]], (0,), (0,)), expected={"none": [0], "mean": 0, "sum": 0}),
    EdgeRow("1.22", "no frame", CTC, (FEW, [[1]], (0,), (1,)), expected={"none": [inf], "mean": inf, "sum": inf}),
    EdgeRow(
        "1.22",
        "no probabilities: a negative loss",
        CTC,
        ([[[1.0, 2.0]], [[0.5, 3.0]]], [[1]], (2,), (1,)),
        expected=dict.fromkeys(("mean", "sum"), -5.37151) | {"none": [-5.37151]},
    ),
    EdgeRow("1.22", "a label equal to blank", CTC, (TWO, [[0, 1], [0, 2]], (2, 2), (2, 2))),
    EdgeRow("1.22", "NaN", CTC, ([[[nan, -1.0]], [[-1.0, -1.0]]], [[1]], (2,), (1,)), expected={"none": [nan], "sum": nan}),
    EdgeRow(
        "6 D16",
        "-inf in a class without label",
        CTC,
        (UNUSED, [[1]], (2,), (1,)),
        expected={"sum": 0.213108},
        differs="D16",
    ),
    EdgeRow(
        "6 D16",
        "-inf in a label's class",
        CTC,
        ([[[-1.0, -0.5]], [[-0.75, -inf]]], [[1]], (2,), (1,)),
        expected={"sum": 1.25},
        differs="D16",
    ),
    EdgeRow(
        "6 D22",
        "the last label is the blank: torch forgets a state of the last frame",
        CTC,
        (FEW, [[0]], (2,), (1,)),
        differs="D22",
    ),
]


def _bad(title: str, args: tuple[Any, ...], fragments: tuple[str, ...], raises: Any = ValueError, **kwargs: Any) -> ErrorRow:
    return ErrorRow("1.22", title, CTC, args, raises, fragments, kwargs)


LENGTHS, LABELS = (2, 2), [[1, 2], [2, 1]]

SEQUENCE_ERRORS = [
    _bad("empty batch", (floats(2, 0, 3), floats(0, 2), (), ()), ("log_probs", "(2, 0, 3)", "must not be empty")),
    _bad("no frames", (floats(0, 2, 3), LABELS, LENGTHS, LENGTHS), ("log_probs tensor must not be empty",)),
    _bad("no classes", (floats(2, 2, 0), LABELS, LENGTHS, LENGTHS), ("log_probs tensor must not be empty",)),
    _bad("one dimension", (floats(4), [1], (1,), (1,)), ("log_probs", "(4,)")),
    _bad("four dimensions", (floats(2, 2, 2, 4), [1], (1,), (1,)), ("log_probs", "(2, 2, 2, 4)")),
    _bad("a frame too many", (TWO, LABELS, (2, 3), LENGTHS), ("input_lengths[1] is 3", "at most 2", "but got value 3")),
    _bad("negative frames", (TWO, LABELS, (-1, 2), LENGTHS), ("input_lengths[0] is -1", "value at least 0")),
    _bad("negative labels", (TWO, LABELS, LENGTHS, (2, -1)), ("target_lengths[1] is -1", "value at least 0")),
    _bad("more labels than columns", (TWO, LABELS, LENGTHS, (2, 3)), ("targets", "3", "(2, 2)")),
    _bad("rows of targets", (TWO, [[1, 2]] * 3, LENGTHS, LENGTHS), ("targets", "2 samples", "(3, 2)")),
    _bad("too few concatenated", (TWO, [1, 2, 1], LENGTHS, LENGTHS), ("targets", "4 labels", "got 3")),
    _bad("too many concatenated", (TWO, [1, 2, 1], LENGTHS, (1, 1)), ("targets", "2 labels", "got 3")),
    _bad("targets of three dimensions", (TWO, [LABELS], LENGTHS, LENGTHS), ("targets", "(1, 2, 2)")),
    _bad("targets of no dimension", (TWO, ints(1, "int64"), LENGTHS, LENGTHS), ("targets", "()")),
    _bad("three input lengths", (TWO, LABELS, (2, 2, 2), LENGTHS), ("input_lengths", "2 samples", "batch_size")),
    _bad("one target length", (TWO, LABELS, LENGTHS, (2,)), ("target_lengths", "2 samples", "batch_size")),
    _bad("a number for two", (TWO, LABELS, 2, LENGTHS), ("input_lengths", "2 samples")),
    _bad("floating lengths", (TWO, LABELS, [2.0, 2.0], [2.0, 2.0]), ("input_lengths", "integral", "float"), TypeError),
    _bad("bool lengths", (TWO, LABELS, ints([1, 1], "bool"), [1, 1]), ("input_lengths", "integral", "bool"), TypeError),
    _bad("blank beyond the classes", (TWO, LABELS, LENGTHS, LENGTHS), ("blank is 4", "[0, 4)"), blank=4),
    _bad("negative blank", (TWO, LABELS, LENGTHS, LENGTHS), ("blank is -1", "blank must be in label range"), blank=-1),
    _bad("blank 1.5", (TWO, LABELS, LENGTHS, LENGTHS), ("blank", "float"), TypeError, blank=1.5),
    _bad("reduction 'foo'", (TWO, LABELS, LENGTHS, LENGTHS), ("reduction", "'foo'"), reduction="foo"),
    _bad("complex log_probs", (np.zeros((2, 2, 4), complex), LABELS, LENGTHS, LENGTHS), ("log_probs", "complex"), TypeError),
    ErrorRow(
        "0.5",
        "floating labels",
        CTC,
        (TWO, [[1.0, 2.0], [2.0, 1.0]], LENGTHS, LENGTHS),
        TypeError,
        ("targets", "float"),
        differs="0.5",
    ),
    *(
        ErrorRow(
            "6 D6", title, CTC, (TWO, y, LENGTHS, LENGTHS), IndexError, (place, "outside [0, 4)", "out of bounds"), differs="D6"
        )
        for title, y, place in (
            ("label C", [[1, 2], [4, 1]], "targets[1, 0] is 4"),
            ("label -1", [[1, -1], [4, 1]], "targets[0, 1] is -1"),
            ("label C, concatenated", [1, 2, 1, 4], "targets[3], label 1 of sample 1, is 4"),
        )
    ),
]

SEQUENCE_CONSTRUCTORS = (
    *(ConstructorRow("CTCLoss", {"reduction": bad}, ValueError, ("reduction", repr(bad))) for bad in ("foo", "Mean", None)),
    ConstructorRow("CTCLoss", {"blank": 1.5}, TypeError, ("blank", "float")),
)

_PLAIN = (TWO, LABELS, LENGTHS, LENGTHS)
SEQUENCE_GRADIENTS = (
    *(
        GradientRow("labels and lengths have no gradient", CTC, _PLAIN, argnums, TypeError, (name,))
        for argnums, name in (("targets", "targets"), (1, "targets"), (2, "input_lengths"), ((0, 3), "target_lengths"))
    ),
    GradientRow("no such argument", CTC, _PLAIN, "foo", TypeError, ("foo",)),
    GradientRow("no such position", CTC, _PLAIN, 7, TypeError, ("7",)),
    GradientRow("grad_output for a scalar", CTC, _PLAIN, 0, ValueError, ("grad_output", "(2,)"), grad_output=np.ones(2)),
    GradientRow(
        "grad_output does not broadcast", CTC, _PLAIN, 0, ValueError, ("grad_output", "(7,)"), {"reduction": "none"}, np.ones(7)
    ),
)

SEQUENCE_WARNINGS = (
    WarningRow(
        "0.2",
        "elementwise_mean",
        CTC,
        _PLAIN,
        {"reduction": "elementwise_mean"},
        "UserWarning",
        ("reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.",),
        {"reduction": "mean"},
    ),
)
