"""
The edge tables and "Seen" examples of SEMANTICS.md for the losses there are, as data; one file of `rows` per family.
"""

from __future__ import annotations

from rows import refused, warned
from rows.activations import ACTIVATIONS
from rows.binary import BINARY, MULTI_LABEL
from rows.classes import CROSS_ENTROPY, NEGATIVE_LOG
from rows.refused import ConstructorRow, ErrorRow, GradientRow
from rows.regression import SQUARES
from rows.row import EdgeRow, WarningRow
from rows.sequence import SEQUENCE_CONSTRUCTORS, SEQUENCE_ERRORS, SEQUENCE_GRADIENTS, SEQUENCE_WARNINGS, SEQUENCES
from rows.warned import BROADCAST_MEAN

EDGE_ROWS: tuple[EdgeRow, ...] = (*SQUARES, *BINARY, *MULTI_LABEL, *NEGATIVE_LOG, *CROSS_ENTROPY, *ACTIVATIONS, *SEQUENCES)
ERROR_ROWS: tuple[ErrorRow, ...] = (*refused.ERROR_ROWS, *SEQUENCE_ERRORS)
CONSTRUCTOR_ROWS: tuple[ConstructorRow, ...] = (*refused.CONSTRUCTOR_ROWS, *SEQUENCE_CONSTRUCTORS)
GRADIENT_ROWS: tuple[GradientRow, ...] = (*refused.GRADIENT_ROWS, *SEQUENCE_GRADIENTS)
WARNING_ROWS: tuple[WarningRow, ...] = (*warned.WARNING_ROWS, *SEQUENCE_WARNINGS)

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
