"""
The edge tables and "Seen" examples of SEMANTICS.md for the losses there are, as data; one file of `rows` per family.
"""

from __future__ import annotations

from rows.activations import ACTIVATIONS
from rows.binary import BINARY, MULTI_LABEL
from rows.classes import CROSS_ENTROPY, NEGATIVE_LOG
from rows.margins import MARGINS
from rows.refused import CONSTRUCTOR_ROWS, ERROR_ROWS, GRADIENT_ROWS, ConstructorRow, ErrorRow, GradientRow
from rows.regression import SQUARES
from rows.row import EdgeRow, WarningRow
from rows.warned import BROADCAST_MEAN, WARNING_ROWS

EDGE_ROWS: tuple[EdgeRow, ...] = (*SQUARES, *BINARY, *MULTI_LABEL, *NEGATIVE_LOG, *CROSS_ENTROPY, *ACTIVATIONS, *MARGINS)

__all__ = [
    "BROADCAST_MEAN",
    "CONSTRUCTOR_ROWS",
    "EDGE_ROWS",
    "ERROR_ROWS",
    "GRADIENT_ROWS",
    "WARNING_ROWS",
    "ConstructorRow",
    "EdgeRow",
    "ErrorRow",
    "GradientRow",
    "WarningRow",
]
