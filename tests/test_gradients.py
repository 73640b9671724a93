"""
Gradients of ndloss: against the oracle's closed forms, against central differences of its own value, and their forms
of call.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import DTYPES, bits, criterion, drawn, quiet, value, value_and_grad
from cases import CASES, LOSSES, LossCase
from reference import Answer, grad_dtype
from samples import Sample
from tolerances import DIFFERENCE_QUOTIENT, STEP, Judge, assert_within

# Tests of how a call is written, and central differences, look at every seventh sample of the larger tables.
STRIDE = 7
FEWEST = 20


def some(case: LossCase, dtype: str) -> tuple[tuple[Sample, Answer], ...]:
    samples = drawn(case.name, dtype)
    return samples if len(samples) < STRIDE * FEWEST else samples[::STRIDE]


def operand(case: LossCase, sample: Sample, name: str) -> Any:
    return dict(zip(case.operands, sample.args, strict=True)).get(name, sample.kwargs.get(name))


@pytest.mark.core
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_option_combination_is_within_the_bound(case: LossCase, dtype: str, compared: Counter[str]) -> None:
    with Judge() as judge:
        for sample, answer in drawn(case.name, dtype):
            names = tuple(answer.grads)
            found, grads = value_and_grad(case, sample, names)
            assert bits(found) == bits(value(case, sample)), f"the value changed: {sample}"
            for name, grad in zip(names, grads, strict=True):
                assert grad.dtype == grad_dtype(operand(case, sample, name), answer.dtype), f"d {name}: {sample}"
                judge.compare(grad, answer.grads[name], "gradient", ("d " + name, sample), answer.dtype)
                compared["gradients against the oracle"] += 1


def moved(case: LossCase, sample: Sample, name: str, index: tuple[int, ...], to: float) -> Sample:
    changed = np.array(operand(case, sample, name), float)
    changed[index] = to
    if name in case.operands:
        args = tuple(changed if o == name else a for o, a in zip(case.operands, sample.args, strict=True))
        return Sample(sample.choices, args, sample.kwargs, sample.grad_output)
    return Sample(sample.choices, sample.args, {**sample.kwargs, name: changed}, sample.grad_output)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_closed_forms_are_slopes_of_the_value(case: LossCase, compared: Counter[str]) -> None:
    checked = 0
    for sample, answer in some(case, "float64"):
        if answer.dtype != np.float64 or sample.kwargs.get("dtype", np.float64) != np.float64:
            continue  # there is no float64 value to take differences of
        names = tuple(answer.grads)
        upstream = np.asarray(sample.grad_output)
        for name, grad in zip(names, value_and_grad(case, sample, names)[1], strict=True):
            if operand(case, sample, name).dtype != np.float64:
                continue  # integers and narrower floats cannot take a small step
            if case.kinks is not None:
                away = case.kinks(sample)[name]
            else:
                away = case.distance_to_kink(*sample.args) if name == "input" else np.full(grad.shape, np.inf)
            for index in np.ndindex(grad.shape):
                x = float(operand(case, sample, name)[index])
                h = STEP * max(1.0, abs(x))
                domain = case.domain.get(name)
                if domain and domain.enforced and not domain.low < x - h < x + h < domain.high:
                    continue
                if away[index] <= case.kink_radius:
                    continue
                up, down = (value(case, moved(case, sample, name, index, to)) for to in (x + h, x - h))
                if not np.isfinite([up, down]).all():
                    continue  # the mean of nothing
                slope = float(np.sum(upstream * (up - down)) / ((x + h) - (x - h)))
                # Rounding of both values over the step, and the curvature of everything the value is a sum of.
                size = float(np.sum(np.abs(upstream) * (np.abs(up) + np.abs(down)))) / 2 + abs(float(grad[index])) + 1
                assert abs(slope - grad[index]) <= DIFFERENCE_QUOTIENT * size, (
                    f"d {name}{index} is {grad[index]}, difference quotient {slope}: {sample}"
                )
                checked += 1
    compared["central differences"] += checked
    assert checked > FEWEST


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forms_of_argnums_agree(case: LossCase) -> None:
    for sample, answer in some(case, "float32"):
        names = tuple(answer.grads)
        function = getattr(F, case.name)
        keywords = {**sample.kwargs, "grad_output": sample.grad_output}
        with quiet():
            _, together = nl.value_and_grad(function, argnums=names)(*sample.args, **keywords)
            _, numbered = nl.value_and_grad(function, argnums=tuple(range(len(names))))(*sample.args, **keywords)
            only = nl.grad(function, argnums=names)(*sample.args, **keywords)
            assert isinstance(together, tuple)
            assert isinstance(numbered, tuple)
            assert list(map(bits, together)) == list(map(bits, numbered)) == list(map(bits, only))
            for position, name in enumerate(names):
                for argnums in (position, name):
                    _, one = nl.value_and_grad(function, argnums=argnums)(*sample.args, **keywords)
                    assert not isinstance(one, tuple)
                    assert bits(one) == bits(together[position])
                (single,) = nl.value_and_grad(function, argnums=(name,))(*sample.args, **keywords)[1]
                assert bits(single) == bits(together[position])
            # The order asked for is the order given.
            backwards = nl.value_and_grad(function, argnums=names[::-1])(*sample.args, **keywords)[1]
            assert list(map(bits, backwards)) == list(map(bits, together[::-1]))
            _, default = nl.value_and_grad(function)(*sample.args, **keywords)
            assert bits(default) == bits(together[0])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_class_has_the_bits_of_the_function(case: LossCase) -> None:
    seen = 0
    for sample, answer in some(case, "float32"):
        called = criterion(case, sample)
        if called is None:
            continue
        names = tuple(answer.grads)
        expected_value, expected = value_and_grad(case, sample, names)
        with quiet():
            found, grads = called.value_and_grad(*sample.args, argnums=names, grad_output=sample.grad_output)
            only = called.grad(*sample.args, argnums=names, grad_output=sample.grad_output)
            first = called.grad(*sample.args, grad_output=sample.grad_output)
        assert bits(found) == bits(expected_value)
        assert list(map(bits, grads)) == list(map(bits, expected)) == list(map(bits, only))
        assert bits(first) == bits(expected[0])
        seen += 1
    assert seen


@pytest.mark.parametrize("case", CASES, ids=str)
def test_default_grad_output_is_one(case: LossCase) -> None:
    for sample, _ in some(case, "float32"):
        expected = case.answer(sample)
        names = tuple(expected.grads)
        with quiet():
            _, grads = nl.value_and_grad(getattr(F, case.name), argnums=names)(*sample.args, **sample.kwargs)
        _, ones = value_and_grad(case, sample, names, grad_output=1.0)
        for name, grad, same in zip(names, grads, ones, strict=True):
            assert_within(grad, expected.grads[name], "gradient", f"d {name}: {sample}", expected.dtype)
            assert bits(grad) == bits(same)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_grad_output_broadcasts_to_an_unreduced_value(case: LossCase, rng: np.random.Generator) -> None:
    checked = 0
    for sample, answer in drawn(case.name, "float32"):
        shape = answer.value.value.shape
        if sample.kwargs.get("reduction", "none") != "none" or not shape:
            continue
        names = tuple(answer.grads)
        shapes = [(1,) * len(shape), shape[-1:], (*shape[:-1], 1)]
        forms: list[Any] = [2.5, np.float64(-0.5), *(rng.normal(size=s).astype(np.float32) for s in shapes)]
        for upstream in forms:
            found, grads = value_and_grad(case, sample, names, grad_output=upstream)
            expected = case.answer(sample, grad_output=upstream)
            assert bits(found) == bits(value(case, sample))
            for name, grad in zip(names, grads, strict=True):
                assert_within(grad, expected.grads[name], "gradient", f"d {name}, {np.shape(upstream)}: {sample}", expected.dtype)
            checked += 1
    assert checked


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_grad_output_of_a_reduced_value_may_be_any_scalar(case: LossCase) -> None:
    for sample, _ in some(case, "float32"):
        if sample.kwargs["reduction"] == "none":
            continue
        expected = case.answer(sample, grad_output=-1.5)
        names = tuple(expected.grads)
        forms = [value_and_grad(case, sample, names, grad_output=g)[1] for g in (-1.5, np.float32(-1.5), np.array(-1.5))]
        for name, grad in zip(names, forms[0], strict=True):
            assert_within(grad, expected.grads[name], "gradient", f"d {name}: {sample}", expected.dtype)
        assert list(map(bits, forms[0])) == list(map(bits, forms[1])) == list(map(bits, forms[2]))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_arrays_of_their_own(case: LossCase) -> None:
    for sample, answer in some(case, "float32"):
        names = tuple(answer.grads)
        arrays = [a for a in (*sample.args, *sample.kwargs.values()) if isinstance(a, np.ndarray)]
        for name, grad in zip(names, value_and_grad(case, sample, names)[1], strict=True):
            if np.ndim(grad):
                assert type(grad) is np.ndarray
                assert grad.flags.writeable
                assert not any(np.shares_memory(grad, a) for a in arrays), f"d {name}: {sample}"
