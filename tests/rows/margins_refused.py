"""
Calls of the margin losses over rows that raise: sections 1.17 and 1.18 of SEMANTICS.md, and 0.5 for their labels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rows.refused import ErrorRow
from rows.row import MULTI_MARGIN, MULTILABEL_MARGIN, floats, ints


def _margin(title: str, x: Any, target: Any, fragments: tuple[str, ...], **kwargs: Any) -> ErrorRow:
    return ErrorRow("1.18", title, MULTI_MARGIN, (x, target), ValueError, fragments, kwargs)


def _sets(title: str, target: Any, place: str, came: int) -> ErrorRow:
    fragments = (f"{place} is {came}, outside [-1, 3)", f"Target {came} is out of bounds.")
    return ErrorRow("1.17", title, MULTILABEL_MARGIN, (floats(2, 3), target), IndexError, fragments)


def _label(title: str, x: Any, target: Any, place: str, came: int) -> ErrorRow:
    fragments = (f"{place} is {came}, outside [0, 3)", f"Target {came} is out of bounds.")
    return ErrorRow("1.18", title, MULTI_MARGIN, (x, target), IndexError, fragments)


MARGIN_ERRORS: tuple[ErrorRow, ...] = (
    _margin("no classes", floats(2, 0), [0, 0], ("input", "(2, 0)")),
    _margin("no classes, unbatched", floats(0), [0], ("input", "(0,)")),
    _margin("three dimensions", floats(2, 3, 4), [[0] * 4] * 2, ("input", "(2, 3, 4)")),
    _margin("batches differ", floats(3, 4), [0, 0], ("target", "(2,)", "(3, 4)")),
    _margin("(N, 1) target", floats(2, 3), [[0], [0]], ("target", "(2, 1)", "(2, 3)")),
    _margin("0-d target of two rows", floats(2, 3), ints(0, "int64"), ("target", "()", "(2, 3)")),
    _margin("p = 3", floats(2, 3), [0, 0], ("p must be 1 or 2", "got 3"), p=3),
    _margin("p = 1.5", floats(2, 3), [0, 0], ("p must be 1 or 2", "got 1.5"), p=1.5),
    _margin("too few weights", floats(1, 4), [0], ("weight", "(3,)", "4"), weight=[1.0] * 3),
    _margin("weight (1, C)", floats(1, 3), [0], ("weight must be one-dimensional", "(1, 3)"), weight=[[1.0] * 3]),
    _margin("0-d weight", floats(1, 3), [0], ("weight must be one-dimensional", "()"), weight=floats(value=1.0)),
    ErrorRow("1.18", "p is text", MULTI_MARGIN, (floats(2, 3), [0, 0]), TypeError, ("p must be", "str"), {"p": "1"}),
    ErrorRow("1.18", "margin is text", MULTI_MARGIN, (floats(2, 3), [0, 0]), TypeError, ("margin", "str"), {"margin": "x"}),
    ErrorRow("1.18", "margin None", MULTI_MARGIN, (floats(2, 3), [0, 0]), TypeError, ("margin", "None"), {"margin": None}),
    _label("C", floats(3, 3), [0, 3, 1], "target[1]", 3),
    _label("-1", floats(3, 3), [-1, 0, 1], "target[0]", -1),
    _label("-100 is ignored nowhere", floats(2, 3), [1, -100], "target[1]", -100),
    _label("the lowest is named", floats(4, 3), [0, 7, -5, 3], "target[1]", 7),
    _label("2^32 + 1", floats(2, 3), [0, 2**32 + 1], "target[1]", 2**32 + 1),
    _label("-2^63", floats(2, 3), [-(2**63), 0], "target[0]", -(2**63)),
    _label("uint64 above int64", floats(2, 3), ints([2**63 + 5, 0], "uint64"), "target[0]", 2**63 + 5),
    _label("an unbatched label", floats(3), ints(3, "int64"), "target", 3),
    _sets("C", [[0, 1, 2], [0, 3, -1]], "target[1, 1]", 3),
    _sets("-2", [[-2, 1, 2], [0, 3, -1]], "target[0, 0]", -2),
    _sets("behind the end", [[0, -1, 1], [-1, -1, 7]], "target[1, 2]", 7),
    _sets("-100 behind the end", [[0, -1, -100], [-1, -1, 7]], "target[0, 2]", -100),
    _sets("int8", ints([[0, 1, 2], [0, 1, -7]], "int8"), "target[1, 2]", -7),
    _sets("uint8", ints([[0, 1, 2], [0, 255, 1]], "uint8"), "target[1, 1]", 255),
    _sets("uint64 of all bits is no -1", ints([[0, 2**64 - 1, 2], [0, 1, 2]], "uint64"), "target[0, 1]", 2**64 - 1),
    _sets("-2^63", [[0, 1, 2], [0, -1, -(2**63)]], "target[1, 2]", -(2**63)),
    _sets("2^63 - 1", [[0, 1, 2], [0, -1, 2**63 - 1]], "target[1, 2]", 2**63 - 1),
    *(
        ErrorRow("1.17", title, MULTILABEL_MARGIN, (x, y), ValueError, fragments)
        for title, x, y, fragments in (
            ("shapes differ", floats(2, 4), [[0] * 3] * 2, ("target (2, 3)", "input (2, 4)")),
            ("target is not broadcast", floats(2, 3), [0, 1, 2], ("target (3,)", "input (2, 3)")),
            ("one row and no row", floats(1, 3), [0, 1, 2], ("target (3,)", "input (1, 3)")),
            ("no classes", floats(2, 0), ints(np.zeros((2, 0)), "int64"), ("input", "(2, 0)")),
            ("three dimensions", floats(2, 3, 1), [[[0]] * 3] * 2, ("input", "(2, 3, 1)")),
        )
    ),
    *(
        ErrorRow("0.5", "floating labels", name, (floats(2, 2), y), TypeError, ("target", "float"))
        for name, y in ((MULTI_MARGIN, [0.0, 1.0]), (MULTILABEL_MARGIN, [[0.0, -1.0]] * 2))
    ),
)
