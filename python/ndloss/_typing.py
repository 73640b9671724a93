"""The types that the public signatures are written in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ndloss._request import Request

ArrayLike: TypeAlias = npt.ArrayLike
Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
FloatArray: TypeAlias = "np.ndarray[Any, np.dtype[np.floating[Any]]]"
FloatScalar: TypeAlias = "np.floating[Any]"
WithDivisor: TypeAlias = "tuple[FloatScalar, FloatScalar]"


class Choices(TypedDict, total=False):
    """What every criterion takes by keyword, also one whose `dtype` is that of its parameters."""

    empty: Literal["nan", "zero", "raise"]
    broadcast: bool
    validate: bool


class Policy(Choices, total=False):
    """What every loss and every other criterion takes by keyword."""

    dtype: npt.DTypeLike


class RowPolicy(Policy, total=False):
    """What every criterion with an axis of classes or features takes by keyword."""

    axis: int | None


class ActivationOptions(TypedDict, total=False):
    """What every activation takes by keyword."""

    num_threads: int | None
    _request: Request


class CallOptions(Policy, total=False):
    """What every loss takes by keyword, apart from `return_divisor`, which changes what is returned."""

    sample_weight: ArrayLike | None
    mask: ArrayLike | None
    out: Any
    num_threads: int | None
    _request: Request


class LossOptions(CallOptions, total=False):
    """What every loss takes by keyword where it returns the loss alone."""

    return_divisor: Literal[False]
