"""The types that the public signatures are written in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ndloss._request import Request

ArrayLike: TypeAlias = npt.ArrayLike
Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
FloatArray: TypeAlias = "np.ndarray[Any, np.dtype[np.floating[Any]]]"
FloatScalar: TypeAlias = "np.floating[Any]"


class LossOptions(TypedDict, total=False):
    """What every loss takes by keyword."""

    num_threads: int | None
    _request: Request
