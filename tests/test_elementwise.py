"""What is true of single elementwise losses: the batch mean of divergences, kinds of variance, equal losses."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import bits, quiet, value
from cases import CASE
from rows.elementwise import LOG_SHARES, SHARES
from samples import FLOATS, Sample
from tolerances import assert_printed, assert_within

X, Y = np.array(LOG_SHARES), np.array(SHARES)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("soft", [0, 1, 255, 5000], ids=lambda n: f"{n} soft")
def test_hard_targets_of_any_probability_add_up(dtype: Any, soft: int, rng: np.random.Generator) -> None:
    """Sums of hard targets take fewer logarithms than there are elements; one soft target among 256 changes that."""
    tiny, one = np.finfo(dtype).smallest_subnormal, np.ones((), dtype)
    for spread in (0.01, 1.0, 10.0, 60.0):
        p = (10.0 ** -np.abs(rng.normal(0, spread, 10_007))).astype(dtype)
        p = np.where(rng.random(p.size) < 0.5, p, one - p)
        p[:7] = 0, 1, tiny, 0.5, np.nextafter(one, -one), 2.0**-8, 4e-44
        y = rng.integers(0, 2, p.size).astype(dtype)
        y[rng.choice(p.size, soft, replace=False)] = 0.25
        wide = p.astype(np.longdouble)
        with np.errstate(divide="ignore"):
            exact = -y * np.maximum(np.log(wide), -100) - (1 - y) * np.maximum(np.log1p(-wide), -100)
        for chosen in (slice(None), slice(7, 8), slice(3, 300)):
            due = exact[chosen].sum()
            found = F.binary_cross_entropy(p[chosen], y[chosen], reduction="sum")
            assert abs(np.longdouble(found) - due) <= np.spacing(due.astype(dtype)), (spread, chosen)
            both, _ = nl.BCELoss(reduction="sum").value_and_grad(p[chosen], y[chosen])
            assert bits(both) == bits(found)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_hard_targets_of_probabilities_of_one_size(right: bool, dtype: Any, rng: np.random.Generator) -> None:
    """From almost certain, where a product of chances is 1 and only what it lacks counts, to wrong. Logarithms of like numbers err
    alike, so that a double's last unit is not met by half."""
    lowest = round(np.log2(float(np.finfo(dtype).tiny)))
    for exponent in (*range(0, -60, -1), *range(-60, lowest, lowest // 160)):
        p = (2.0**exponent * rng.random(2085)).astype(dtype)
        wide = p.astype(np.longdouble)
        due = (-np.log1p(-wide) if right else np.minimum(-np.log(wide), 100)).mean()
        found = F.binary_cross_entropy(p, np.full_like(p, not right))
        assert abs(np.longdouble(found) - due) <= 1.5 * np.spacing(due.astype(dtype)), exponent


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "hinge_embedding_loss"])
@pytest.mark.parametrize("weighed", [False, True])
def test_sums_beyond_a_float_in_one_block(name: str, weighed: bool, rng: np.random.Generator) -> None:
    """Eight elements of one block are together more than a float holds; their sum in double is not, nor is the mean."""
    x, y = rng.normal(0, 1, (2, 20_001)).astype(np.float32)
    y = np.sign(y) if name == "hinge_embedding_loss" else y
    x[9_000:9_300] = (1.5e19 if name == "mse_loss" else 3e38) * (y[9_000:9_300] if name == "hinge_embedding_loss" else 1)
    loss: Any = getattr(F, name)
    terms = loss(x, y, reduction="none").astype(np.longdouble)
    options = {"sample_weight": np.full_like(x, 0.5)} if weighed else {}
    found = loss(x, y, reduction="sum", dtype=np.float64, **options)
    due = terms.sum() * np.longdouble(0.5 if weighed else 1)
    assert due > np.finfo(np.float32).max
    assert abs(found - due) <= np.finfo(np.float32).eps * abs(due)
    both, _ = nl.value_and_grad(loss)(x, y, reduction="sum", dtype=np.float64, **options)
    assert bits(both) == bits(found)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("each", ["column", "row", "element", "element kept or not"])
@pytest.mark.parametrize("columns", [31, 32, 64])
def test_folded_logarithms_are_weighed(columns: int, each: str, dtype: Any, rng: np.random.Generator) -> None:
    """One logarithm is taken for eight elements of one weight: whether it repeats down columns or along rows, or not at all."""
    x = (3 * rng.standard_normal((701, columns))).astype(dtype)
    y = (rng.random(x.shape) < 0.5).astype(dtype)
    shape = {"column": (1, columns), "row": (len(x), 1)}.get(each, x.shape)
    weight = (rng.random(shape) < 0.5 if each.endswith("not") else rng.uniform(-1, 2, shape)).astype(dtype)
    full = np.broadcast_to(weight, x.shape)
    wide = x.astype(np.longdouble)
    terms = full * (np.maximum(wide, 0) - wide * y + np.log1p(np.exp(-np.abs(wide))))
    for rows in (slice(None), slice(3), slice(700)):
        found = F.binary_cross_entropy_with_logits(x[rows], y[rows], full[rows], reduction="sum")
        assert abs(found - terms[rows].sum()) <= np.spacing(np.abs(terms[rows]).sum().astype(dtype))
        copied = F.binary_cross_entropy_with_logits(x[rows], y[rows], full[rows].copy(), reduction="sum")
        both, _ = nl.BCEWithLogitsLoss(full[rows], reduction="sum").value_and_grad(x[rows], y[rows])
        assert bits(found) == bits(copied) == bits(both)


def test_log_target_next_to_nothing_keeps_its_digits() -> None:
    """e^target is subnormal in float32, or beyond it, and still a factor."""
    y = np.linspace(-130, -60, 200, dtype=np.float32)
    for x in (np.float32(-1e30), np.float32(-3e12), np.float32(-1e4)):
        found = F.kl_div(np.full_like(y, x), y, reduction="none", log_target=True)
        due = np.exp(y.astype(np.longdouble)) * (y.astype(np.longdouble) - np.longdouble(x))
        error = np.abs(found - due)
        assert (error <= 3 * np.spacing(due.astype(np.float32))).all()


def test_batchmean_divides_by_the_rows() -> None:
    for dtype in FLOATS:
        assert_printed(F.kl_div(X.astype(dtype), Y.astype(dtype), reduction="batchmean"), 0.326591, 5, dtype)


def test_batchmean_divides_by_the_batch_of_input_before_broadcasting() -> None:
    """Of three, for a row of three classes beside two rows."""
    found = F.kl_div(np.array([-1.0, -2.0, -0.5]), Y, reduction="batchmean")
    assert_within(found, CASE["kl_div"].reference(np.array([-1.0, -2.0, -0.5]), Y, reduction="batchmean").value, "few")
    total = F.kl_div(np.array([-1.0, -2.0, -0.5]), Y, reduction="sum")
    assert abs(found - total / 3) <= np.spacing(found)


def test_batchmean_of_nothing() -> None:
    assert np.isnan(F.kl_div(np.zeros((0, 3)), np.zeros((0, 3)), reduction="batchmean"))
    assert F.kl_div(np.zeros((3, 0)), np.zeros((3, 0)), reduction="batchmean") == 0
    assert F.kl_div(np.float64(-1.0), np.float64(0.5), reduction="batchmean") == F.kl_div(-1.0, np.float64(0.5), reduction="sum")


@pytest.mark.parametrize("reduction", ["mean", "batchmean", "sum"])
@pytest.mark.parametrize("log_target", [False, True])
def test_a_stream_of_divergences_has_the_bits_of_the_whole(reduction: str, log_target: bool, rng: np.random.Generator) -> None:
    y = rng.random((5003, 3))
    x = np.log(y) - rng.random((5003, 3))
    y = np.log(y) if log_target else y
    for maker in (nl.KLDivLoss(reduction=reduction, log_target=log_target), nl.KLDivLoss(reduction="none", log_target=log_target)):
        stream = maker.accumulator(reduction)
        for first, last in itertools.pairwise((0, 1, 700, 1000, 5003)):
            stream.update(x[first:last], y[first:last])
        with quiet():
            assert bits(stream.compute()) == bits(F.kl_div(x, y, reduction=reduction, log_target=log_target))


def test_an_unreduced_divergence_has_no_stream() -> None:
    with pytest.raises(ValueError, match="batchmean"):
        nl.KLDivLoss(reduction="none").accumulator()


@pytest.mark.parametrize(("size_average", "reduce", "mapped"), [(True, None, "mean"), (False, None, "sum"), (None, False, "none")])
def test_old_arguments_beside_batchmean_divide_twice_as_in_torch(size_average: Any, reduce: Any, mapped: str) -> None:
    with pytest.warns(DeprecationWarning, match="size_average"):
        found = F.kl_div(X, Y, size_average, reduce, "batchmean")
    with quiet():
        np.testing.assert_allclose(found, F.kl_div(X, Y, reduction=mapped) / 2, rtol=1e-15)


def test_the_mean_of_divergences_warns_on_every_call_at_the_callers_line() -> None:
    criterion = nl.KLDivLoss()
    for call in (lambda: F.kl_div(X, Y), lambda: criterion(X, Y), lambda: criterion.value_and_grad(X, Y)):
        for _ in range(2):
            with pytest.warns(UserWarning, match="'batchmean' divides only by the batch size") as caught:
                call()
            assert [w.filename for w in caught] == [__file__]


def test_a_number_is_a_variance_of_every_element_and_does_not_widen(rng: np.random.Generator) -> None:
    x, y = (rng.normal(size=(3, 4)).astype(np.float32) for _ in range(2))
    expected = F.gaussian_nll_loss(x, y, np.full((3, 4), 2, np.float32))
    for number in (2, 2.0, np.float64(2), np.float32(2), np.int64(2)):
        found = F.gaussian_nll_loss(x, y, number)
        assert bits(found) == bits(expected)
    _, slope = nl.value_and_grad(F.gaussian_nll_loss, "var")(x, y, 2.0)
    _, slopes = nl.value_and_grad(F.gaussian_nll_loss, "var")(x, y, np.full((3, 4), 2, np.float32))
    np.testing.assert_allclose(slope, slopes.sum(), atol=1e-6)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_negative_variance_is_found_wherever_it_is(dtype: str, reduction: str) -> None:
    for place in (0, 1, 31, 32, 255, 256, 4999):
        v = np.ones(5000, dtype)
        v[place] = v[-1] = -0.5
        for function in (F.gaussian_nll_loss, nl.value_and_grad(F.gaussian_nll_loss)):
            with pytest.raises(ValueError, match=rf"^gaussian_nll_loss: var\[{place}\] is -0.5, outside \[0, inf\]"):
                function(np.zeros(5000, dtype), np.zeros(5000, dtype), v, reduction=reduction)


@pytest.mark.parametrize("beta", [0.5, 1.0, 4.0])
def test_huber_is_beta_times_smooth_l1(beta: float, rng: np.random.Generator) -> None:
    x, y = rng.normal(0, 3, (2, 1000))
    huber, smooth = F.huber_loss(x, y, "none", beta), F.smooth_l1_loss(x, y, reduction="none", beta=beta)
    np.testing.assert_array_equal(huber, beta * smooth)  # powers of two: exactly


def test_smooth_l1_does_not_overflow_before_the_loss_does() -> None:
    x, y = np.array([1e25], np.float32), np.zeros(1, np.float32)
    sample = Sample({}, (x, y), {"beta": 1e30, "reduction": "none"}, None)
    assert_within(value(CASE["smooth_l1_loss"], sample), CASE["smooth_l1_loss"].answer(sample).value, "unreduced")


def test_integer_scores_and_targets_are_numbers() -> None:
    a, b = np.array([1, 200], np.uint8), np.array([2, 100], np.uint8)
    np.testing.assert_array_equal(F.margin_ranking_loss(a, b, np.array([1, -1]), reduction="none"), [1, 100])
    np.testing.assert_array_equal(F.hinge_embedding_loss(a, np.array([1, -1]), reduction="none"), [1, 0])
    np.testing.assert_array_equal(F.l1_loss(a, b, reduction="none"), [1, 100])
