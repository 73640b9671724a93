"""The case table itself: every combination is drawn, and what is drawn is spread out and reaches the boundaries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import golden_store
from cases import CASES, LOSSES, LossCase
from samples import CLASSES, FLOATS, IGNORED, Sample
from tolerances import SEEDS

# Draws of a whole case hold thousands of numbers; a generator that repeats itself shows up far below this share of
# distinct ones.
DISTINCT = 0.7
MANY = 3000


def drawn(case: LossCase, dtype: str, seed: int = SEEDS[0]) -> list[Sample]:
    return list(case.samples(np.random.default_rng(seed), dtype))


def floats_of(samples: list[Sample], position: int, dtype: str) -> np.ndarray[Any, Any]:
    found = [s.args[position].ravel() for s in samples if s.args[position].dtype == dtype]
    return np.concatenate(found) if found else np.zeros(0)


def test_names_are_told_apart() -> None:
    for names in ([c.name for c in CASES], [c.class_name for c in CASES], [c.struct_name for c in CASES]):
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_choice_and_every_allowed_combination_is_drawn(case: LossCase) -> None:
    samples = drawn(case, "float32")
    combinations = [tuple(c.items()) for c in case.combinations()]
    assert [tuple(s.choices.items()) for s in samples] == combinations
    assert len(set(combinations)) == len(combinations)
    for axis, choices in case.axes.items():
        assert {s.choices[axis] for s in samples} == set(choices)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_options_reach_the_call(case: LossCase) -> None:
    for sample in drawn(case, "float32"):
        chosen, kwargs = sample.choices, sample.kwargs
        if "reduction" in chosen:
            assert kwargs["reduction"] == chosen["reduction"]
        for option in ("weight", "pos_weight"):
            assert (option in kwargs) == (chosen.get(option, "none") != "none")
        if "label_smoothing" in chosen:
            assert kwargs.get("label_smoothing", 0.0) == float(chosen["label_smoothing"])
        if "ignore_index" in chosen:
            assert kwargs.get("ignore_index", -100) == IGNORED[chosen["ignore_index"]]
        if chosen.get("target") in ("int64", "uint8", "bool"):
            assert sample.args[-1].dtype == chosen["target"]
        if chosen.get("weight") == "last":
            assert kwargs["weight"].shape == sample.args[0].shape[-1:] or case.name == "multilabel_soft_margin_loss"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_samples_fit_their_loss(case: LossCase) -> None:
    gradients: set[str] = set()
    for sample in drawn(case, "float64"):
        answer = case.answer(sample, grad_output=sample.grad_output)
        assert len(sample.args) == len(case.operands)
        assert np.shape(sample.grad_output) in ((), answer.value.value.shape)
        arrays: dict[str, Any] = {**sample.kwargs, **dict(zip(case.operands, sample.args, strict=True))}
        for name, slope in answer.grads.items():
            assert slope.value.shape == np.shape(arrays[name])
        gradients |= set(answer.grads)
    assert gradients == set(case.differentiable)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_inputs_are_spread_out(case: LossCase, dtype: str) -> None:
    values, seed = np.zeros(0), 0
    while len(values) < MANY:
        values, seed = np.append(values, floats_of(drawn(case, dtype, seed), 0, dtype)), seed + 1
    assert len(np.unique(values)) > DISTINCT * len(values)
    # Every tenth of the middle half of the domain is met.
    first = next(iter(case.domain.values()))
    low, high = first.low, first.high
    counts, _ = np.histogram(values, bins=10, range=((3 * low + high) / 4, (low + 3 * high) / 4))
    assert (counts > 0).all()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_closed_domains_are_kept_and_reached(case: LossCase) -> None:
    samples = drawn(case, "float64")
    for position, (name, domain) in enumerate(case.domain.items()):
        values = floats_of(samples, position, "float64")
        if not domain.closed or not values.size:
            continue
        assert domain.high in values, name
        if (case.name, name) == ("nll_loss", "input"):
            assert (values > domain.high).any()  # nothing checks log-probabilities, so some are none
        else:
            assert domain.low in values, name
            assert values.min() == domain.low
            assert values.max() == domain.high


@pytest.mark.parametrize("case", CASES, ids=str)
def test_weights_hold_zero_and_much_else(case: LossCase) -> None:
    found = [s.kwargs[name].ravel() for s in drawn(case, "float32") for name in ("weight", "pos_weight") if name in s.kwargs]
    if not found:
        assert "weight" not in case.axes
        return
    values = np.concatenate(found)
    assert len(np.unique(values)) > 100
    assert (values >= 0).all()
    # A weighted mean whose weights are all zero is NaN: right, but it says nothing, so the losses that have one draw none.
    assert (values == 0).any() == (case.name not in ("mse_loss", "l1_loss"))


@pytest.mark.parametrize("case", [c for c in CASES if c.name in ("cross_entropy", "nll_loss")], ids=str)
def test_labels_meet_every_class_and_are_sometimes_ignored(case: LossCase) -> None:
    by_choice: dict[tuple[str, str], list[Any]] = {}
    for seed in range(5):
        for sample in drawn(case, "float32", seed):
            if not sample.choices["target"].endswith("probabilities"):
                key = sample.choices["target"], sample.choices["ignore_index"]
                by_choice.setdefault(key, []).append(sample.args[1].ravel().astype(int))
    for (dtype, ignored), parts in by_choice.items():
        labels = set(np.concatenate(parts))
        classes = {0, 1} if dtype == "bool" else set(range(CLASSES))
        possible = dtype != "bool" and np.iinfo(dtype).min <= IGNORED[ignored] <= np.iinfo(dtype).max
        assert labels == classes | ({IGNORED[ignored]} if possible else set())


def test_ties_are_drawn_for_mse() -> None:
    case = next(c for c in CASES if c.name == "mse_loss")
    pairs = [s.args for s in drawn(case, "float64") if s.choices["kinds"] == "float" and s.args[0].shape == s.args[1].shape]
    ties = np.concatenate([(x == y).ravel() for x, y in pairs])
    assert 0 < ties.mean() < DISTINCT


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_oracle_has_mostly_finite_answers(case: LossCase) -> None:
    for dtype in FLOATS:
        values = [np.atleast_1d(case.answer(s).value.value).ravel() for s in drawn(case, dtype)]
        assert np.isfinite(np.concatenate(values)).mean() > DISTINCT


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_same_seed_draws_the_same(case: LossCase) -> None:
    for one, other in zip(drawn(case, "float32"), drawn(case, "float32"), strict=True):
        for a, b in zip((*one.args, one.grad_output), (*other.args, other.grad_output), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_batches_are_many_distinct_rows_with_terms_that_do_not_cancel(case: LossCase, dtype: str) -> None:
    assert case.batch is not None
    sample = case.batch(np.random.default_rng(SEEDS[0]), dtype, MANY)
    assert all(len(a) == MANY for a in sample.args)
    assert set(sample.kwargs) <= set(case.constructor)
    assert len(np.unique(sample.args[0])) > DISTINCT * sample.args[0].size
    terms = case.answer(sample, reduction="none").value.value
    assert (terms >= 0).all()
    assert len(np.unique(terms)) > DISTINCT * terms.size


@pytest.mark.parametrize("case", CASES, ids=str)
def test_golden_files_cover_every_pair_of_choices(case: LossCase) -> None:
    golden = golden_store.load(golden_store.FOLDER / f"{case.name}.npz")
    axes = list(case.axes)
    for dtype in FLOATS:
        recorded = [r["choices"] for r in golden["samples"][dtype]]
        for i, first in enumerate(axes):
            for second in axes[i + 1 :]:
                wanted = {(c[first], c[second]) for c in case.combinations()}
                assert {(c[first], c[second]) for c in recorded} == wanted
