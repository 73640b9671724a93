"""
The edge tables and "Seen" examples of SEMANTICS.md for the losses there are, as data; one file of `rows` per family.
"""

from __future__ import annotations

from rows.activations import ACTIVATIONS
from rows.binary import BINARY, MULTI_LABEL
from rows.classes import CROSS_ENTROPY, NEGATIVE_LOG
from rows.refused import CONSTRUCTOR_ROWS as REFUSED_CONSTRUCTORS
from rows.refused import ERROR_ROWS as REFUSED
from rows.refused import GRADIENT_ROWS as REFUSED_GRADIENTS
from rows.refused import ConstructorRow, ErrorRow, GradientRow
from rows.regression import SQUARES
from rows.row import EdgeRow, WarningRow
from rows.vectors import VECTOR_CONSTRUCTORS, VECTOR_ERRORS, VECTOR_GRADIENTS, VECTOR_WARNINGS, VECTORS
from rows.warned import BROADCAST_MEAN
from rows.warned import WARNING_ROWS as WARNED

EDGE_ROWS: tuple[EdgeRow, ...] = (*SQUARES, *BINARY, *MULTI_LABEL, *NEGATIVE_LOG, *CROSS_ENTROPY, *ACTIVATIONS, *VECTORS)
WARNING_ROWS: tuple[WarningRow, ...] = (*WARNED, *VECTOR_WARNINGS)
ERROR_ROWS: tuple[ErrorRow, ...] = (*REFUSED, *VECTOR_ERRORS)
CONSTRUCTOR_ROWS: tuple[ConstructorRow, ...] = (*REFUSED_CONSTRUCTORS, *VECTOR_CONSTRUCTORS)
GRADIENT_ROWS: tuple[GradientRow, ...] = (*REFUSED_GRADIENTS, *VECTOR_GRADIENTS)

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
