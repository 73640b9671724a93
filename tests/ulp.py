"""Distance between a result and the true value, in units in the last place of the result's own dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Wide = npt.NDArray[np.longdouble]


def info_of(dtype: npt.DTypeLike) -> Any:
    """`numpy.finfo`, of bfloat16 and float8 too."""
    kind = np.dtype(dtype)
    if kind.kind == "f" and kind.itemsize > 1:
        return np.finfo(kind)
    import ml_dtypes

    return ml_dtypes.finfo(kind)


def ulp(magnitude: npt.ArrayLike, dtype: npt.DTypeLike) -> Wide:
    """Spacing of `dtype` at `magnitude`; at and below the smallest normal number that is the smallest subnormal."""
    info = info_of(dtype)
    size = np.minimum(np.abs(np.asarray(magnitude, dtype=np.longdouble)), np.longdouble(float(info.max)))
    exponent = np.where(size > 0, np.frexp(size)[1] - 1, info.minexp)
    return np.asarray(np.ldexp(np.longdouble(1), np.maximum(exponent, info.minexp) - info.nmant))


def ulp_distance(actual: npt.ArrayLike, expected: npt.ArrayLike, scale: npt.ArrayLike | None = None) -> Wide:
    """
    |actual - expected| in ULP of `actual`'s dtype, taken at max(|expected|, scale).

    `expected` is the true value in a wider dtype, so a correctly rounded result is at most 0.5 away. NaN equals NaN
    only, an infinity equals only itself or what rounds to it; anything else beside them is infinitely far. Zeros of
    either sign are equal.
    """
    got = np.asarray(actual)
    if not np.issubdtype(got.dtype, np.floating) and got.dtype.name != "bfloat16":
        raise TypeError(f"ulp_distance: actual must be floating, got {got.dtype}")
    true = np.asarray(expected, dtype=np.longdouble)
    if got.shape != true.shape:
        raise ValueError(f"ulp_distance: actual {got.shape} and expected {true.shape} differ in shape")
    magnitude = np.abs(true) if scale is None else np.fmax(np.abs(true), np.abs(np.asarray(scale, dtype=np.longdouble)))
    with np.errstate(all="ignore"):
        # ml_dtypes does not round from longdouble
        rounded = (true if got.dtype.kind == "f" else true.astype(np.float64)).astype(got.dtype)
        # An infinite scale would make every finite answer right; only the value's own size may then set the unit.
        unit = ulp(np.where(np.isfinite(magnitude), magnitude, np.abs(true)), got.dtype)
        distance: Any = np.abs(got.astype(np.longdouble) - true) / unit
        same = (got == rounded) & np.isinf(rounded) | np.isnan(got) & np.isnan(true)
        comparable = np.isfinite(got) & np.isfinite(true)
    return np.where(same, np.longdouble(0), np.where(comparable, distance, np.longdouble(np.inf)))


def worst(actual: npt.ArrayLike, expected: npt.ArrayLike, scale: npt.ArrayLike | None = None) -> float:
    """Largest `ulp_distance`, 0 for empty arrays."""
    return float(np.max(ulp_distance(actual, expected, scale), initial=0.0))
