"""Every bound a test may use, in one table, and the one way to apply it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from reference import ORACLE_ULP, Bounded
from ulp import info_of, ulp_distance

# In ULP of the result's dtype. The rows up to "constants and ramps" are DESIGN.md section 10, "gradient" is target R4 of
# RELIABILITY.md. float16 is computed in float32 and rounded once: half an ULP, and a little for the float32 error
# that moved the rounding.
ULP: dict[str, dict[str, float]] = {
    "unreduced": {"float16": 0.51, "float32": 3, "float64": 4},
    # an element weight is one rounding more, of a gradient too
    "unreduced, 1 weight": {"float16": 0.51, "float32": 4, "float64": 5},
    "unreduced, 2 weights": {"float16": 0.51, "float32": 5, "float64": 6},
    "few": {"float16": 0.51, "float32": 4, "float64": 5},  # reduced, small N: the unreduced bound plus 1
    "many": {"float32": 1, "float64": 1},  # reduced, N >= 1024, random data
    "constants and ramps": {"float32": 4, "float64": 4},  # reduced, N >= 1024
    # In eps * sum |terms|; a term such as a softmax probability has five rounded operations behind it.
    "cancelling": {"float16": 1, "float32": 8, "float64": 8},
    "gradient": {"float16": 0.51, "float32": 4, "float64": 4},
    "gradient, 1 weight": {"float16": 0.51, "float32": 5, "float64": 5},
    "gradient, 2 weights": {"float16": 0.51, "float32": 6, "float64": 6},
    "merged": {"float32": 1, "float64": 1},  # merge() against the whole
    # The oracle's own error against 400 digits, in float64 ULP: 2^-11 for each rounding of an 80-bit operation.
    "oracle": {"float64": 0.01},
    # torch, in ULP of the largest logit times the largest weight: it cancels there (D8), and its sums are plain.
    "torch": {"float16": 1, "float32": 8, "float64": 8},
}

# A factor below float32's normal numbers is a multiple of 2^-149, and what it multiplies multiplies its rounding: what comes out
# this small is judged as if it were this large.
UNDERFLOW = 2.0**-120

# For tests that draw the whole case table again.
SEEDS = (1, 2)
# Rows of large batches: the smallest the bound of reduced values speaks of, and a few blocks with a ragged end.
BATCHES = (1024, 5003)

# Terms cancel where their magnitudes sum to more than the result; this much more is rounding of the oracle's own sums.
CANCELS = 1 + 1e-12

# Log-probabilities, labels and two lengths: what tells the call of a sequence loss from all others.
SEQUENCE_OPERANDS = 4

# A central difference with step h = STEP * max(1, |x|) misses by f''' h^2 / 6 and by rounding of f over h; both are
# about this fraction of the size of value and slope (eps ** (2/3), with room for third derivatives of order ten).
STEP = 6e-6
DIFFERENCE_QUOTIENT = 2e-9


def bound(kind: str, dtype: npt.DTypeLike) -> float:
    name = np.dtype(dtype).name
    name = "float16" if name == "bfloat16" else name  # one rounding of a float32
    return ULP[kind][name] + (ORACLE_ULP if name == "float64" else 0.0)


def rounded(actual: Any, precision: npt.DTypeLike | None) -> npt.NDArray[Any]:
    """
    `actual` in the dtype it was computed in, where that is coarser than its own: a float64 gradient of
    `softmax(x, dtype=float32)` is a float32 number.
    """
    got = np.asarray(actual)
    if precision is None or info_of(precision).nmant >= info_of(got.dtype).nmant:
        return got
    with np.errstate(over="ignore"):
        return got.astype(precision)


def ratios(got: npt.NDArray[Any], expected: Bounded, kind: str) -> npt.NDArray[np.longdouble]:
    """Distance from the expected numbers as a multiple of what is allowed; 1 or less passes."""
    plain = bound(kind, got.dtype)
    with np.errstate(invalid="ignore"):
        cancels = expected.scale > np.abs(expected.value) * CANCELS
    allowed = np.where(cancels, max(bound("cancelling", got.dtype), plain), plain)
    return ulp_distance(got, expected.value, expected.scale) / allowed


def excess(actual: Any, expected: Bounded, kind: str) -> float:
    return float(np.max(ratios(np.asarray(actual), expected, kind), initial=0.0))


class Judge:
    """
    Thousands of small comparisons at once: `compare` notes one and checks its shape, and the end of the `with` block
    judges them all and names the worst. NumPy's overhead on arrays of a few numbers would otherwise be most of the
    suite's time.
    """

    def __init__(self) -> None:
        self.noted: dict[tuple[str, str], list[tuple[npt.NDArray[Any], Bounded, object]]] = {}

    def compare(
        self, actual: Any, expected: Bounded, kind: str, context: object = "", precision: npt.DTypeLike | None = None
    ) -> None:
        got = rounded(actual, precision)
        assert got.shape == expected.value.shape, f"{context}: shape {got.shape}, expected {expected.value.shape}"
        self.noted.setdefault((got.dtype.name, kind), []).append((got, expected, context))

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, exception: type[BaseException] | None, *_: object) -> None:
        if exception is not None:
            return
        for (dtype, kind), noted in self.noted.items():
            got = np.concatenate([got.ravel() for got, _, _ in noted])
            value = np.concatenate([expected.value.ravel() for _, expected, _ in noted])
            scale = np.concatenate([expected.scale.ravel() for _, expected, _ in noted])
            found = ratios(got, Bounded(value, scale), kind)
            if not found.size or found.max() <= 1:
                continue
            ends = np.cumsum([got.size for got, _, _ in noted])
            worst, expected, context = noted[int(np.searchsorted(ends, np.argmax(found), side="right"))]
            where = ", ".join(map(str, context)) if isinstance(context, tuple) else context
            headline = f"{where}: {found.max():.3g} x the bound {kind!r} of {dtype}"
            raise AssertionError(f"{headline}\ngot {worst!r}\nexpected {expected.value!r}")


def assert_within(actual: Any, expected: Bounded, kind: str, context: object = "", precision: npt.DTypeLike | None = None) -> None:
    """`actual` has the expected shape and lies within the bound of that kind everywhere."""
    with Judge() as judge:
        judge.compare(actual, expected, kind, context, precision)


def magnitude(args: Sequence[Any], kwargs: Mapping[str, Any]) -> float:
    """The largest logit times the largest weight: the size of the numbers that cancel in torch's formulas (D8)."""
    size = 1.0
    for value in (args[0], kwargs.get("weight"), kwargs.get("pos_weight")):
        if value is not None:
            numbers = np.abs(np.asarray(value, float))
            size *= float(np.max(numbers[np.isfinite(numbers)], initial=1))
    if len(args) == SEQUENCE_OPERANDS:
        size *= len(args[0])  # the logarithms of all frames are added up
    return size


def beside_torch(expected: Bounded, size: float) -> Bounded:
    """The same numbers judged in ULP of the size of what torch subtracts."""
    return Bounded(expected.value, np.fmax(expected.scale, np.longdouble(size)))


def assert_printed(actual: Any, printed: Any, digits: int, dtype: npt.DTypeLike) -> None:
    """
    `actual` is what a table prints with that many digits; the smallest subnormal counts as the 0 it is printed as.
    """
    info = np.finfo(np.dtype(dtype))
    with np.errstate(over="ignore"):
        got = np.asarray(actual).astype(dtype).astype(np.float64)
    np.testing.assert_allclose(got, np.asarray(printed, float), rtol=10.0 ** (1 - digits), atol=float(info.smallest_subnormal))
