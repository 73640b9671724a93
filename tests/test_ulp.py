"""The yardstick itself: `ulp_distance` on numbers whose distance is known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from ulp import ulp, ulp_distance, worst

DTYPES = [np.float16, np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("start", [1.0, 1.5, -3.25, 2.0**-10, 60000.0])
def test_neighbours_are_one_ulp_apart(dtype: npt.DTypeLike, start: float) -> None:
    value = np.asarray(start, dtype=dtype)[()]
    outward = np.nextafter(value, np.asarray(np.copysign(np.inf, start), dtype=dtype)[()])
    assert worst(outward, value) == 1.0
    assert worst(value, value) == 0.0


@pytest.mark.parametrize("dtype", DTYPES)
def test_ulp_is_the_spacing_everywhere(dtype: npt.DTypeLike) -> None:
    info = np.finfo(np.dtype(dtype))
    values = np.array([1.0, 1.75, 2.0, 0.1, info.tiny, info.smallest_subnormal], dtype=dtype)
    np.testing.assert_array_equal(ulp(values, dtype), np.spacing(values).astype(np.longdouble))
    assert ulp(0.0, dtype) == info.smallest_subnormal
    assert ulp(info.max, dtype) == info.max - np.nextafter(info.max, np.zeros((), dtype=dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_rounded_value_is_at_most_half_an_ulp_off(dtype: npt.DTypeLike) -> None:
    wide = np.exp(np.random.default_rng(1).uniform(-40, 40, 2000).astype(np.longdouble))
    distance = ulp_distance(wide.astype(dtype), wide)
    assert 0.4 < distance.max() <= 0.5


def test_subnormals_are_counted_in_the_smallest_one() -> None:
    smallest = np.finfo(np.float32).smallest_subnormal
    assert worst(np.float32(3) * smallest, smallest) == 2.0
    assert worst(np.float32(0), smallest) == 1.0


def test_nan_and_infinity_match_themselves_only() -> None:
    special = np.array([np.nan, np.inf, -np.inf, 1.0], dtype=np.float32)
    distance = np.array([[ulp_distance(np.float32(a), b) for b in special] for a in special])
    np.testing.assert_array_equal(distance == 0, np.eye(4, dtype=bool))
    assert np.isinf(distance[~np.eye(4, dtype=bool)]).all()


def test_overflow_rounds_to_infinity() -> None:
    assert worst(np.float32(np.inf), 1e39) == 0.0
    assert worst(np.float32(-np.inf), -1e39) == 0.0
    assert worst(np.float32(np.inf), 1e38) == np.inf


def test_zeros_of_either_sign_are_equal() -> None:
    assert worst(np.float64(-0.0), 0.0) == 0.0


def test_scale_sets_the_unit_where_terms_cancel() -> None:
    error = np.float64(3 * 2.0**-52)
    assert worst(error, 0.0, scale=1.5) == 3.0
    assert worst(np.float64(1) + error, 1.0, scale=0.5) == 3.0
    assert worst(np.float64(1) + error, 1.0, scale=np.inf) == 3.0


def test_shape_and_kind_are_not_forgiven() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        ulp_distance(np.zeros(3), np.zeros((3, 1)))
    with pytest.raises(TypeError, match="must be floating"):
        ulp_distance(np.zeros(3, dtype=int), np.zeros(3))


def test_worst_of_nothing_is_zero() -> None:
    assert worst(np.zeros((0, 3)), np.zeros((0, 3))) == 0.0
