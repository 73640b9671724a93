"""
Whatever dtypes and layouts the arrays of a call have, every one its own, it comes to what the same numbers come to in
contiguous float64, up to the bounds of the result's dtype; and to the bits of the same dtypes without the layouts.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import ndloss as nl
import ndloss.functional as F
from calls import bits, quiet
from cases import CASE, CASES, LossCase
from layouts import LAYOUTS
from outcomes import ELEMENTWISE, weighted
from reference import WIDE, Answer, Bounded, sum_to_shape
from samples import REDUCTIONS, Sample, logits, probabilities
from strategies import (
    ANY_PROFILE,
    ANY_ROWS,
    AXIS_SHARE,
    AXIS_TAKEN,
    HAS_ML_DTYPES,
    NUMBERS_DRAWN,
    OUT_SHARE,
    SELECTED_SHARE,
    STRETCHED_SHARE,
    THREADS_DRAWN,
    WRITABLE,
    AnyCall,
    any_calls,
    named_dtype,
    usual_axis,
)
from tolerances import UNDERFLOW, Judge, assert_within

# Drawn evenly, nothing is rarer than this share of its due.
EVENLY = 0.5
NAMES = tuple(CASE)
SELECTION = {"sample_weight", "mask"}
DISTINCT = 0.95
MANY = 10_000_000
# NumPy's matrix product adds in an order of its own for every layout.
PRODUCTS = ("linear_cross_entropy",)
# Losses whose mean divides by the sum of their weights.
WEIGHTED_MEANS = ("mse_loss", "l1_loss", "huber_loss")
# The bound of a call that has a sample weight too, which is one rounding more; a third is hardly ever seen.
MORE_WEIGHTS = {
    f"{kind}{given}": f"{kind}, {more}"
    for kind in ("unreduced", "gradient")
    for given, more in (("", "1 weight"), (", 1 weight", "2 weights"), (", 2 weights", "2 weights"))
}
ROWS_OF_CLASSES = ("cross_entropy", "nll_loss", "multi_margin_loss", "multilabel_margin_loss")
WITHOUT_HESSIAN = (
    "ctc_loss", "linear_cross_entropy", "cosine_embedding_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss",
)  # fmt: skip
# A curvature is a product of numbers that have a gradient's roundings behind them: bounded as a gradient with weights is.
CURVATURE = "gradient, 2 weights"
HALVES = ("float16", *(("bfloat16",) if HAS_ML_DTYPES else ()))


def due_dtype(call: AnyCall) -> np.dtype[Any]:
    """The widest floating dtype of the data; float8 counts as float32, and so do both halves together."""
    args = call.contiguous.args
    if call.name == "cosine_embedding_loss":
        args = args[:2]  # its target is a label, of whatever dtype
    data = [*args, *(v for name, v in call.contiguous.kwargs.items() if name == "linear_bias")]
    names = {a.dtype.name for a in data if isinstance(a, np.ndarray) and a.dtype.name in NUMBERS_DRAWN}
    asked = call.contiguous.kwargs.get("dtype")
    if asked is not None:
        return np.dtype(asked)
    if "float64" in names:
        return np.dtype(np.float64)
    return named_dtype(names.pop()) if len(names) == 1 and names <= set(HALVES) else np.dtype(np.float32)


def computed_in(call: AnyCall) -> np.dtype[Any]:
    """A gradient is rounded once, to its own dtype, from what it was computed in."""
    return np.dtype(np.float64 if due_dtype(call) == np.float64 else np.float32)


def value_of(call: AnyCall, sample: Sample, **options: Any) -> Any:
    with quiet():
        return getattr(F, call.case.name)(*sample.args, **sample.kwargs, **options)


def both_of(call: AnyCall, sample: Sample, names: tuple[str, ...], **options: Any) -> Any:
    with quiet():
        differentiated = nl.value_and_grad(getattr(F, call.case.name), argnums=names)
        return differentiated(*sample.args, grad_output=sample.grad_output, **sample.kwargs, **options)


def second_of(call: AnyCall, sample: Sample, names: tuple[str, ...], **options: Any) -> Any:
    with quiet():
        return nl.grad_hess(getattr(F, call.case.name), names)(*sample.args, **sample.kwargs, **options)


def options_of(call: AnyCall) -> dict[str, int]:
    return {} if call.threads is None else {"num_threads": call.threads}


def places_for(call: AnyCall, results: Any) -> Any:
    """Arrays for results to go to, in the layout of the call's; None where it has none."""
    if call.out is None:
        return None
    if isinstance(results, tuple):
        return tuple(places_for(call, result) for result in results)
    return LAYOUTS[call.out](np.zeros(np.shape(results), results.dtype))


def native(result: Any) -> Any:
    """The bits of a result, whatever order its bytes have."""
    if isinstance(result, tuple):
        return tuple(map(native, result))
    return bits(np.asarray(result).astype(result.dtype.newbyteorder("=")))


def went_where_told(call: AnyCall, results: Any, out: Any) -> bool:
    """Whether they are the very arrays that were given for them."""
    if isinstance(out, tuple):
        return all(went_where_told(call, result, place) for result, place in zip(results, out, strict=True))
    return out is None or results is out


def unreduced(call: AnyCall) -> bool:
    return call.wide.kwargs.get("reduction", "none") == "none"


def bound_of(call: AnyCall, kind: str) -> str:
    """The bound of that kind for a call with so many weights."""
    usual = weighted(kind, call.wide)
    return MORE_WEIGHTS[usual] if "sample_weight" in call.wide.kwargs else usual


def value_bound(call: AnyCall) -> str:
    return bound_of(call, "unreduced") if unreduced(call) else "few"


def answer_of(call: AnyCall, grad_output: Any = None) -> Answer:
    """What the oracle says to the call in float64; with weights or a mask the scales alone are its own."""
    kwargs = dict(call.wide.kwargs)
    weight, mask = kwargs.pop("sample_weight", None), kwargs.pop("mask", None)
    if weight is None and mask is None:
        return call.case.answer(call.wide, **({} if grad_output is None else {"grad_output": grad_output}))
    reduction, factor = kwargs.pop("reduction"), WIDE(1)
    shape = call.case.reference(*call.wide.args, **kwargs, reduction="none").value.value.shape
    share = np.broadcast_to(np.where(True if mask is None else mask, 1 if weight is None else weight, 0), shape).astype(WIDE)
    if reduction not in ("none", "sum"):
        _, divisor = value_of(call, call.wide, return_divisor=True)
        factor = 1 / WIDE(divisor) if divisor else factor
        if call.name == "ctc_loss":
            share = share / np.maximum(call.wide.args[3], 1).reshape(shape)
    upstream = share * factor * (1 if grad_output is None else np.asarray(grad_output))
    answer = call.case.reference(*call.wide.args, **kwargs, reduction="none", grad_output=upstream)
    scale = np.where(share == 0, 0, answer.value.scale * share * factor)
    scale = scale if reduction == "none" else scale.sum()
    return Answer(Bounded(scale, scale), answer.grads)


def differentiated(call: AnyCall, answer: Answer) -> tuple[str, ...]:
    """A weighted mean is a quotient of weights: its gradient for them is not that of a sum, whose scale is known here."""
    selected = not {"sample_weight", "mask"}.isdisjoint(call.wide.kwargs) and call.wide.kwargs["reduction"] == "mean"
    left_out = ("weight",) if selected and call.name in WEIGHTED_MEANS else ()
    return tuple(name for name in call.case.differentiable if name in answer.grads and name not in left_out)


def curved(call: AnyCall) -> tuple[str, ...]:
    """The operands whose second derivatives the loss has in closed form."""
    if call.name in ROWS_OF_CLASSES:
        return ("input",)
    elementwise = call.case.is_loss and call.name not in WITHOUT_HESSIAN
    return tuple(name for name in call.case.differentiable if elementwise and name in call.case.operands)


def wide_curvatures(call: AnyCall, names: tuple[str, ...]) -> list[Bounded]:
    """Second derivatives in float64, each with the size of its terms: those of Gauss by the variance cancel."""
    due = dict(zip(names, (np.asarray(h).astype(WIDE) for h in second_of(call, call.wide, names)[1]), strict=True))
    scales = {name: np.abs(h) for name, h in due.items()}
    if call.name == "gaussian_nll_loss":
        x, _, var = call.wide.args
        of_rows = x.ndim > 0 and var.shape == x.shape[:-1]
        terms = due["input"] / np.maximum(var[..., None] if of_rows else var, call.wide.kwargs.get("eps", 1e-6))
        scales["var"] = scales["var"] + (terms.sum(-1) if of_rows else sum_to_shape(terms, var.shape))
    return [Bounded(call.on_its_axis(h), call.on_its_axis(np.fmax(scales[name], UNDERFLOW))) for name, h in due.items()]


def test_any_value_is_that_of_contiguous_float64(compared: Counter[str]) -> None:
    judge = Judge()

    @settings(ANY_PROFILE)
    @given(any_calls(NAMES))
    def check(call: AnyCall) -> None:
        plain = value_of(call, call.contiguous)
        out = places_for(call, plain)
        found = value_of(call, call.given, **options_of(call), **({} if out is None else {"out": out}))
        assert found.dtype.newbyteorder("=") == due_dtype(call), str(call)
        assert went_where_told(call, found, out), str(call)
        assert call.name in PRODUCTS or native(found) == native(plain), str(call)
        wide = Bounded(np.asarray(value_of(call, call.wide)).astype(WIDE), answer_of(call).value.scale)
        judge.compare(np.asarray(found).astype(due_dtype(call)), wide, value_bound(call), str(call))
        compared["values of any arrays"] += 1

    with judge:
        check()


def test_any_gradient_is_that_of_contiguous_float64(compared: Counter[str]) -> None:
    """And the second derivatives, where there are any."""
    judge = Judge()

    @settings(ANY_PROFILE)
    @given(any_calls(NAMES))
    def check(call: AnyCall) -> None:
        answer = answer_of(call, call.wide.grad_output)
        names = differentiated(call, answer)
        value, plain = both_of(call, call.contiguous, names)
        out = places_for(call, plain)
        same, grads = both_of(call, call.given, names, **options_of(call), **({} if out is None else {"out": out}))
        assert went_where_told(call, grads, out), str(call)
        assert bits(same) == bits(value_of(call, call.given)), str(call)
        assert call.name in PRODUCTS or native((same, *grads)) == native((value, *plain)), str(call)
        _, due = both_of(call, call.wide, names)
        for name, grad, wide in zip(names, grads, due, strict=True):
            # Numbers are compared in the dtype of their own operand, on the axis of the call.
            scale = np.broadcast_to(answer.grads[name].scale, np.shape(wide))
            bounded = Bounded(call.on_its_axis(np.asarray(wide).astype(WIDE)), np.fmax(call.on_its_axis(scale), UNDERFLOW))
            got = np.asarray(grad).astype(grad.dtype.newbyteorder("="))
            judge.compare(got, bounded, bound_of(call, "gradient"), f"d {name}: {call}", computed_in(call))
        compared["gradients of any arrays"] += len(names)
        names = curved(call)
        if not names:
            return
        plain = second_of(call, call.contiguous, names)
        out = places_for(call, plain)
        both = second_of(call, call.given, names, **options_of(call), **({} if out is None else {"out": out}))
        assert went_where_told(call, both, out), str(call)
        assert native(both) == native(plain), str(call)
        for name, curvature, bounded in zip(names, both[1], wide_curvatures(call, names), strict=True):
            got = np.asarray(curvature).astype(curvature.dtype.newbyteorder("="))
            judge.compare(got, bounded, CURVATURE, f"d2 {name}: {call}", computed_in(call))
        compared["second derivatives of any arrays"] += len(names)

    with judge:
        check()


def usual_axes(call: AnyCall) -> tuple[int, int]:
    """The axis without the option, counted from either end."""
    ndim, usual = max(map(np.ndim, call.wide.args)), usual_axis(call.name)
    return usual % ndim, usual % ndim - ndim


def test_any_call_is_spread_over_all_there_is() -> None:
    """Every loss evenly, every dtype and layout in every place, every reduction and choice; and hardly a call twice."""
    seen: Counter[object] = Counter()
    data: set[bytes] = set()

    @settings(ANY_PROFILE)
    @given(any_calls(NAMES))
    def note(call: AnyCall) -> None:
        seen.update(["calls", call.case.name, ("threads", call.threads)])
        seen.update([("rows", call.rows)] if call.case.batch is not None else [])
        seen.update([("reduction", call.wide.kwargs.get("reduction"))] if call.case.is_loss else [])
        for place, (dtype, layout, stretched) in enumerate(zip(call.dtypes, call.layouts, call.stretched, strict=True)):
            seen.update([(place, layout), (place, "stretched", stretched), ("any", layout)])
            if dtype in NUMBERS_DRAWN:
                seen.update([(place, dtype), ("floating", place)])
        if call.case.is_loss:
            seen.update(["losses", ("out", call.out), *call.wide.kwargs.keys() & SELECTION])
            seen["both"] += call.wide.kwargs.keys() >= SELECTION
        if call.name in AXIS_TAKEN and max(map(np.ndim, call.wide.args)) > 1:
            seen.update(["with an axis", ("axis", call.axis), ("moved", call.axis not in (None, *usual_axes(call)))])
        halves = [name for name in call.dtypes if name in NUMBERS_DRAWN]
        seen["mixed"] += len(set(halves)) > 1
        arrays = [a for a in (*call.contiguous.args, *call.contiguous.kwargs.values()) if isinstance(a, np.ndarray)]
        data.add(b"".join(a.tobytes() for a in arrays) + call.case.name.encode())

    note()
    calls = seen["calls"]
    assert calls >= ANY_PROFILE.max_examples
    assert len(data) > DISTINCT * calls
    for case in CASES:
        assert seen[case.name] > EVENLY * calls / len(CASES), case.name
    for place in (0, 1):
        for dtype in NUMBERS_DRAWN:
            assert seen[place, dtype] > EVENLY * seen["floating", place] / len(NUMBERS_DRAWN), (place, dtype)
        for layout in LAYOUTS:
            assert seen[place, layout] > EVENLY * calls / len(LAYOUTS) * (1 if place == 0 else EVENLY), (place, layout)
        assert seen[place, "stretched", True] > EVENLY * STRETCHED_SHARE * seen[place, "stretched", False] * EVENLY
    for threads in THREADS_DRAWN:
        assert seen["threads", threads] > EVENLY * calls / len(THREADS_DRAWN)
    with_rows = sum(seen["rows", rows] for rows in (None, *ANY_ROWS))
    for rows in ANY_ROWS:
        assert seen["rows", rows] > EVENLY * with_rows / (2 * len(ANY_ROWS))
    for reduction in REDUCTIONS:
        assert seen["reduction", reduction] > EVENLY * EVENLY * calls / len(REDUCTIONS), reduction
    assert seen["mixed"] > EVENLY * calls
    for option in SELECTION:
        assert seen[option] > EVENLY * SELECTED_SHARE * seen["losses"], option
    assert seen["both"] > EVENLY * SELECTED_SHARE**2 * seen["losses"]
    for layout in WRITABLE:
        assert seen["out", layout] > EVENLY * OUT_SHARE * seen["losses"] / len(WRITABLE), layout
    assert seen["out", None] > EVENLY * (1 - OUT_SHARE) * seen["losses"]
    assert seen["axis", None] > EVENLY * (1 - AXIS_SHARE) * seen["with an axis"]
    assert seen["moved", True] > EVENLY * AXIS_SHARE * seen["with an axis"] / 2
    for axis in (-2, -1, 0, 1):
        assert seen["axis", axis] > EVENLY * AXIS_SHARE * seen["with an axis"] / 5, axis


# ---- every number of half precision ----


def every_number(name: str) -> Any:
    return np.arange(2**16, dtype=np.uint16).view(named_dtype(name))


def against(case: LossCase, name: str, x: Any) -> tuple[Any, ...]:
    """Other operands beside every number, in its own dtype."""
    rng = np.random.default_rng(CASES.index(case))
    others = []
    for operand in case.operands[1:]:
        domain = case.domain[operand]
        low, high = max(domain.low, 0.01 if operand == "var" else domain.low), domain.high
        others.append(rng.uniform(low, high, x.shape).astype(named_dtype(name)))
    return (x, *others)


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("case", ELEMENTWISE, ids=str)
def test_every_half_precision_number_is_computed_in_float32_and_rounded_once(case: LossCase, name: str) -> None:
    """All 65,536, NaN, infinities and subnormals among them, in value and gradient."""
    x = every_number(name)
    domain = case.domain[case.operands[0]]
    if domain.enforced:
        numbers = x.astype(np.float32)
        x = x[(numbers >= domain.low) & (numbers <= domain.high)]
    args = against(case, name, x)
    wide = tuple(a.astype(np.float32) for a in args)
    names = tuple(n for n in case.differentiable if n in case.operands)
    keywords = {"reduction": "none"} if case.is_loss else {}
    value, grads = nl.value_and_grad(getattr(F, case.name), argnums=names)(*args, **keywords)
    due, due_grads = nl.value_and_grad(getattr(F, case.name), argnums=names)(*wide, **keywords)
    for got, one in zip((value, *grads), (due, *due_grads), strict=True):
        assert got.dtype == named_dtype(name)
        with np.errstate(all="ignore"):
            rounded = one.astype(got.dtype)
        assert np.array_equal(np.isnan(got), np.isnan(rounded))
        numbers = ~np.isnan(rounded)
        assert np.array_equal(got[numbers].view(np.uint16), rounded[numbers].view(np.uint16))


@functools.cache
def many(case: str) -> tuple[Any, Any]:
    rng = np.random.default_rng(8)
    draw = probabilities if CASE[case].domain["input"].enforced else logits
    return draw(rng, (MANY // 100,), "float32"), rng.integers(0, 2, MANY // 100)


@pytest.mark.parametrize("name", HALVES)
@pytest.mark.parametrize("case", ["mse_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"])
def test_the_mean_of_ten_million_halves_is_right(case: str, name: str) -> None:
    """The same 100,000 numbers 100 times: their mean is that of 100,000."""
    x, y = (a.astype(named_dtype(name)) for a in many(case))
    few = Sample({}, (x.astype(np.float64), y.astype(np.float64)), {"reduction": "mean"}, None)
    for stack in (lambda a: np.tile(a, 100), lambda a: np.broadcast_to(a, (100, a.size))):
        assert_within(getattr(F, case)(stack(x), stack(y)), CASE[case].answer(few).value, "few")
    ones = np.full(MANY, 0.75).astype(named_dtype(name))
    assert float(F.l1_loss(ones, np.zeros_like(ones))) == 0.75
