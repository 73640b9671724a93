"""Calls that warn: sections 0.2, 0.3, 0.6 and 5.2 of SEMANTICS.md."""

from __future__ import annotations

from typing import Any

from rows.binary import MULTI_X, MULTI_Y
from rows.classes import LABELS, LOGP, SCORES
from rows.margins import SEEN, SEEN_LABELS, SETS
from rows.row import BCE, CE, LOGITS, MSE, MULTI_MARGIN, MULTILABEL, MULTILABEL_MARGIN, NLL, WarningRow, floats

PLAIN_ARGS: dict[str, tuple[Any, ...]] = {
    MSE: ([1.0, 2.0, 3.0], [0.5, 2.0, 5.0]),
    BCE: ([0.25, 0.5], [0.0, 1.0]),
    LOGITS: ([-2.0, 0.5], [0.0, 1.0]),
    MULTILABEL: (MULTI_X, MULTI_Y),
    CE: (SCORES, LABELS),
    NLL: (LOGP, [1, 0]),
    MULTI_MARGIN: (SEEN, SEEN_LABELS),
    MULTILABEL_MARGIN: (SEEN[:2], SETS),
}
LEGACY = (
    *((size_average, reduce, "mean") for size_average, reduce in ((None, True), (True, None), (True, True), (1, 1))),
    *((size_average, reduce, "sum") for size_average, reduce in ((False, None), (False, True), (0, 1))),
    *((size_average, reduce, "none") for size_average, reduce in ((None, False), (True, False), (False, False), (1, 0))),
)


def _legacy(name: str, size_average: Any, reduce: Any, reduction: str) -> WarningRow:
    return WarningRow(
        "0.3",
        f"size_average={size_average}, reduce={reduce}",
        name,
        PLAIN_ARGS[name],
        # Either one overrides `reduction`, so one that is neither result stands beside them.
        {"size_average": size_average, "reduce": reduce, "reduction": "sum" if reduction == "mean" else "mean"},
        "DeprecationWarning",
        (f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",),
        {"reduction": reduction},
    )


WARNING_ROWS: tuple[WarningRow, ...] = (
    *(_legacy(name, *legacy) for name in PLAIN_ARGS for legacy in LEGACY),
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
        for name, args in PLAIN_ARGS.items()
        if name != MULTILABEL  # there it is an error, as in torch
    ),
    *(
        WarningRow("0.6", f"{title} broadcasts", MSE, args, {}, "BroadcastWarning", shapes, None)
        for title, args, shapes in (
            ("(3,1) with (3,)", ([[1.0], [2.0], [3.0]], [1.0, 2.0, 4.0]), ("(3, 1)", "(3,)")),
            ("(3,) with (2,3)", ([1.0, 2.0, 3.0], [[1.0, 2.0, 4.0]] * 2), ("(3,)", "(2, 3)")),
            ("() with (2,)", (floats(value=1.0), [1.0, 2.0]), ("()", "(2,)")),
        )
    ),
    *(
        WarningRow(
            "5.2",
            f"dim=None with {len(shape)} dimensions",
            name,
            (floats(*shape, value=0.5),),
            {},
            "UserWarning",
            (f"Implicit dimension choice for {name} has been deprecated.",),
            {"dim": 0 if len(shape) in (0, 1, 3) else 1},
        )
        for name in ("softmax", "log_softmax")
        for shape in ((), (2,), (2, 3), (2, 3, 4), (2, 3, 4, 5))
    ),
)

# (3,1) against (3,): nine terms, and the mean divides by nine. Weights divide by their own sum, not by that of nine.
BROADCAST_MEAN: tuple[tuple[tuple[Any, ...], dict[str, Any], float], ...] = (
    (([[1.0], [2.0], [3.0]], [1.0, 2.0, 4.0]), {}, 2.333333),
    (([[1.0], [2.0], [3.0]], [1.0, 2.0, 4.0]), {"weight": [[1.0]] * 3}, 7.0),
)
