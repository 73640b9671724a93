"""
The edge tables and "Seen" examples of SEMANTICS.md for the losses there are, as data; one file of `rows` per family.
"""

from __future__ import annotations

from rows import refused
from rows.activations import ACTIVATIONS
from rows.binary import BINARY, MULTI_LABEL
from rows.classes import CROSS_ENTROPY, NEGATIVE_LOG
from rows.elementwise import ELEMENTWISE, ELEMENTWISE_WARNINGS
from rows.elementwise_refused import ELEMENTWISE_CONSTRUCTORS, ELEMENTWISE_ERRORS, ELEMENTWISE_GRADIENTS
from rows.linear import LINEAR_CONSTRUCTORS, LINEAR_ERRORS, LINEAR_GRADIENTS, LINEAR_ROWS
from rows.margins import MARGINS
from rows.margins_refused import MARGIN_ERRORS
from rows.refused import ConstructorRow, ErrorRow, GradientRow
from rows.regression import SQUARES
from rows.row import EdgeRow, WarningRow
from rows.sequence import SEQUENCE_CONSTRUCTORS, SEQUENCE_ERRORS, SEQUENCE_GRADIENTS, SEQUENCE_WARNINGS, SEQUENCES
from rows.vectors import VECTOR_CONSTRUCTORS, VECTOR_ERRORS, VECTOR_GRADIENTS, VECTOR_WARNINGS, VECTORS
from rows.warned import BROADCAST_MEAN
from rows.warned import WARNING_ROWS as WARNED

EDGE_ROWS: tuple[EdgeRow, ...] = (
    *SQUARES,
    *BINARY,
    *MULTI_LABEL,
    *NEGATIVE_LOG,
    *CROSS_ENTROPY,
    *ACTIVATIONS,
    *ELEMENTWISE,
    *LINEAR_ROWS,
    *MARGINS,
    *SEQUENCES,
    *VECTORS,
)
WARNING_ROWS: tuple[WarningRow, ...] = (*WARNED, *ELEMENTWISE_WARNINGS, *SEQUENCE_WARNINGS, *VECTOR_WARNINGS)
ERROR_ROWS: tuple[ErrorRow, ...] = (
    *refused.ERROR_ROWS,
    *MARGIN_ERRORS,
    *ELEMENTWISE_ERRORS,
    *LINEAR_ERRORS,
    *SEQUENCE_ERRORS,
    *VECTOR_ERRORS,
)
CONSTRUCTOR_ROWS: tuple[ConstructorRow, ...] = (
    *refused.CONSTRUCTOR_ROWS,
    *ELEMENTWISE_CONSTRUCTORS,
    *LINEAR_CONSTRUCTORS,
    *SEQUENCE_CONSTRUCTORS,
    *VECTOR_CONSTRUCTORS,
)
GRADIENT_ROWS: tuple[GradientRow, ...] = (
    *refused.GRADIENT_ROWS,
    *ELEMENTWISE_GRADIENTS,
    *LINEAR_GRADIENTS,
    *SEQUENCE_GRADIENTS,
    *VECTOR_GRADIENTS,
)

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
