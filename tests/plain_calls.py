"""Calls twice: as the extension answers them, and checked in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import ndloss as nl
import ndloss.functional as F
from calls import bits, quiet
from cases import LOSSES, LossCase

# An option that is the default and that no plain call reads: the call is checked.
CHECKED: dict[str, Any] = {"validate": np.True_}
REDUCTIONS = ("mean", "sum", "none")
PLAIN = [case for case in LOSSES if case.batch is not None]
# Those of them that are always checked.
ALWAYS_CHECKED = ("triplet_margin_with_distance_loss",)
EVERY_REDUCTION = [(case, reduction) for case in PLAIN for reduction in case.axes["reduction"]]
USUALLY_PLAIN = [pair for pair in EVERY_REDUCTION if pair[0].name not in ALWAYS_CHECKED]


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, by its bits and types, or what it raises."""
    try:
        with quiet():
            found = call()
    except (TypeError, ValueError, IndexError) as error:
        return type(error), str(error)
    return described(found)


def described(found: Any) -> Any:
    return tuple(map(described, found)) if isinstance(found, tuple) else (type(found), bits(found))


def asked(case: LossCase, **options: Any) -> Iterator[tuple[str, Callable[..., Any], dict[str, Any]]]:
    """Everything a call can be asked for."""
    function = getattr(F, case.name)
    yield "value", function, options
    several = [(0,), tuple(range(len(case.operands))), (1, 0), (0, 0), (), ("input",), (0, True)]
    for argnums in (*range(-1, len(case.operands) + 1), *several, False, 2**70):
        yield f"value_and_grad {argnums}", nl.value_and_grad(function, argnums), options
        if "return_divisor" not in options:
            yield f"grad_hess {argnums}", nl.grad_hess(function, argnums), options
