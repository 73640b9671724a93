"""
Whatever NumPy can hold real numbers in is read right: every dtype, layout, byte order and shape, the empty ones too;
in the value, the gradient and the accumulator alike. What holds no real numbers is refused, by name.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import ndloss as nl
import ndloss.functional as F
from calls import DTYPES, bits, drawn, quiet
from cases import CASE, CASES, LOSSES, LossCase
from layouts import LAYOUTS, changed
from outcomes import (
    CLASS_KINDS,
    ELEMENTWISE,
    ROWWISE,
    SCALAR_UPSTREAM,
    argnums,
    batches,
    classes,
    differing,
    everything,
    flat,
    isa,
    weighted,
    with_upstream,
)
from samples import FLOATS, INDEX_DTYPES, REDUCTIONS, Sample, Shape
from strategies import HAS_ML_DTYPES, PROFILE, ROWS_DRAWN, THREADS_DRAWN, LaidOut, laid_out_calls
from tolerances import Judge, assert_within

# Losses of an input and a target, and activations. Losses of other operands are laid out in `test_any_array.py`.
PAIRS = tuple(case for case in CASES if case.operands in (("input", "target"), ("input",)))
PAIR_LOSSES = tuple(case for case in LOSSES if case in PAIRS)
MARGINS = ("multi_margin_loss", "multilabel_margin_loss")

ROWS = 67
EIGHT_BITS = ("float8_e4m3fn",) if HAS_ML_DTYPES else ()
EMPTY_SHAPES: tuple[Shape, ...] = ((0,), (0, 3), (3, 0), (2, 0, 3), (2, 3, 0), (0, 0))
EMPTY_ROWS: tuple[Shape, ...] = ((0, 3), (0, 70), (0, 3, 5), (2, 3, 0), (0, 0))

# A generator that repeats itself shows up far below this share of calls with data of their own.
DISTINCT = 0.7
# Some hundred calls meet that share of all choices of the case table.
CHOICES = 0.9


def accumulated(case: LossCase, sample: Sample, reduction: str) -> Any:
    """What an accumulator of these rows comes to; options that the class does not take go with the chunk."""
    options = {name: v for name, v in sample.kwargs.items() if name in case.constructor and name != "reduction"}
    data = {name: v for name, v in sample.kwargs.items() if name not in case.constructor}
    stream = getattr(nl, case.class_name)(**options).accumulator(reduction)
    with quiet():
        stream.update(*sample.args, **data)
    return stream.compute()


def all_results(case: LossCase, sample: Sample) -> dict[str, Any]:
    found = everything(case, sample)
    if case.is_loss:
        found |= {f"accumulated, {r}": accumulated(case, sample, r) for r in ("mean", "sum")}
    return found


def other_dtypes(sample: Sample, dtypes: dict[str, str]) -> Sample:
    """The same numbers, arrays of one dtype as another."""
    return changed(sample, lambda array: array.astype(dtypes.get(array.dtype.name, array.dtype)))


# ---- every layout, every dtype ----


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_every_layout_is_read_right(case: LossCase, layout: str) -> None:
    for dtype in DTYPES:
        for sample in batches(case, dtype, ROWS):
            found = all_results(case, changed(sample, LAYOUTS[layout]))
            assert differing(all_results(case, sample), found) == [], str(sample)


def places(x: Any) -> dict[str, Any]:
    """The same numbers in several places: rows that stand side by side, apart, backwards, in planes."""
    wide = np.zeros((2 * x.shape[0], *x.shape[1:]), x.dtype)
    wide[::2] = x
    deep = np.zeros((*x.shape[:-1], x.shape[-1] + 3), x.dtype)
    deep[..., : x.shape[-1]] = x
    return {
        "Fortran": np.asfortranarray(x),
        "every second row": wide[::2],
        "part of longer rows": deep[..., : x.shape[-1]],
        "rows backwards": x[::-1].copy()[::-1],
        "columns backwards": x[..., ::-1].copy()[..., ::-1],
        "last axis first": np.moveaxis(np.moveaxis(x, -1, 0).copy(), 0, -1),
        "other bytes": x.astype(x.dtype.newbyteorder()),
    }


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32"])
@pytest.mark.parametrize(
    "shape",
    [
        *((300, 32), (129, 64), (500, 33), (9000, 2), (7, 37, 40), (70, 1, 96), (5, 3, 1000)),
        *((4, 4099), (18, 4097), (33, 8192), (2, 17, 5000), (3, 70001)),  # rows longer than a block
    ],
    ids=str,
)
def test_rows_that_are_read_together_have_the_bits_of_a_copy(shape: Shape, dtype: str, rng: np.random.Generator) -> None:
    x, y = ((rng.normal(size=shape) * 50).astype(dtype) for _ in range(2))
    due = F.l1_loss(x.astype("float32") if dtype == "int32" else x, y)
    row = F.l1_loss(x, y.astype("float32"), reduction="none")
    grad = nl.value_and_grad(F.l1_loss)(x, y)[1] if dtype != "int32" else None
    for name, other in places(x).items():
        assert bits(F.l1_loss(other, y if dtype != "int32" else y.astype("float32"))) == bits(due), name
        assert bits(F.l1_loss(other, y.astype("float32"), reduction="none")) == bits(row), name
        if dtype != "int32":
            assert bits(nl.value_and_grad(F.l1_loss)(other, y)[1]) == bits(grad), name


@pytest.mark.parametrize("level", nl.available_isas())
@pytest.mark.parametrize("dtype", ["float16", ">f2", "int8", ">f4", ">f8", "float32", *EIGHT_BITS])
@pytest.mark.parametrize("classes", [1, 3, 8, 10, 33, 70, 200, 255, 300])
def test_labelled_rows_have_the_bits_of_a_copy(classes: int, dtype: str, level: str, rng: np.random.Generator) -> None:
    rows = 10 * 32 + 5
    numbers = pytest.importorskip("ml_dtypes").float8_e4m3fn if dtype in EIGHT_BITS else dtype
    x = (rng.normal(size=(rows, classes)) * 5).astype(numbers)
    y = rng.integers(0, classes, rows)
    plain = x.astype("float64" if dtype == ">f8" else "float32")
    some = {"mask": rng.random(rows) < 0.8, "sample_weight": rng.random(rows), "weight": rng.random(classes)}
    out = np.zeros_like(plain)
    wide = {"dtype": plain.dtype}
    with isa(level):
        for name in ("cross_entropy", "nll_loss", "multi_margin_loss"):
            loss = getattr(F, name)
            slope = nl.value_and_grad(loss)
            for options in ({}, some, {"reduction": "none"}, {"ignore_index": 0} if name != "multi_margin_loss" else {}):
                due, other = (bits(loss(array, y, **options, **wide)) for array in (plain, x))
                assert other == due, (name, options)
            for place, array in places(x).items():
                assert bits(loss(array, y, **wide)) == bits(loss(plain, y, **wide)), (name, place)
                assert bits(slope(array, y, out=out)[1]) == bits(slope(plain, y)[1]), (name, place)
            wrong = y.copy()
            wrong[77] = classes
            with pytest.raises(IndexError, match=rf"\[77\] is {classes}, outside"):
                loss(x, wrong)


@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_float16_is_computed_in_float32_and_rounded_once(case: LossCase) -> None:
    for sample in batches(case, "float16", ROWS):
        narrow = all_results(case, sample)
        wide = all_results(case, other_dtypes(sample, {"float16": "float32"}))
        for name, result in narrow.items():
            assert result.dtype == np.float16
            if name.startswith("none"):
                with np.errstate(over="ignore", under="ignore"):
                    assert bits(result) == bits(wide[name].astype(np.float16)), f"{name}: {sample}"
            elif ", d " not in name:
                answer = case.answer(sample, reduction=name.removeprefix("accumulated, "))
                assert_within(result, answer.value, "few", f"{name}: {sample}")


@pytest.mark.parametrize("integer", INDEX_DTYPES)
@pytest.mark.parametrize("case", PAIR_LOSSES, ids=str)
def test_targets_may_be_integers_of_any_width(case: LossCase, integer: str, rng: np.random.Generator) -> None:
    """0 and 1 as numbers and as class indices, in every layout."""
    for dtype in FLOATS:
        for sample in batches(case, dtype, ROWS):
            place = case.operands.index("target")
            before, y, after = sample.args[:place], sample.args[place], sample.args[place + 1 :]
            ones = rng.integers(0, 2, y.shape)
            labelled = y.dtype.kind != "f"
            plain = Sample({}, (*before, ones if labelled else ones.astype(dtype), *after), sample.kwargs, sample.grad_output)
            expected = all_results(case, plain)
            given_ = Sample({"target": integer}, (*before, ones.astype(integer), *after), sample.kwargs, sample.grad_output)
            for layout, change in LAYOUTS.items():
                found = all_results(case, changed(given_, change))
                assert differing(expected, found) == [], f"{integer}, {layout}: {sample}"


@pytest.mark.parametrize("integer", INDEX_DTYPES)
@pytest.mark.parametrize("case", [CASE["mse_loss"], *(c for c in ELEMENTWISE if not c.is_loss)], ids=str)
def test_integers_alone_are_computed_in_float32(case: LossCase, integer: str, rng: np.random.Generator) -> None:
    info = (0, 1) if integer == "bool" else (max(np.iinfo(integer).min, -99), min(np.iinfo(integer).max, 99))
    args = tuple(rng.integers(info[0], info[1] + 1, (ROWS, 3)).astype(integer) for _ in case.operands)
    expected = all_results(case, with_upstream(case, Sample({}, tuple(a.astype(np.float32) for a in args), {}, None)))
    for layout, change in LAYOUTS.items():
        found = all_results(case, changed(with_upstream(case, Sample({}, args, {}, None)), change))
        assert differing(expected, found) == [], f"{integer}, {layout}"


@pytest.mark.parametrize("kind", [*INDEX_DTYPES, "float16"])
@pytest.mark.parametrize("case", PAIR_LOSSES, ids=str)
def test_weights_may_have_any_real_dtype_and_never_widen(case: LossCase, kind: str, rng: np.random.Generator) -> None:
    for sample in batches(case, "float32", ROWS):
        for name in {"weight", "pos_weight"} & sample.kwargs.keys():
            ones = rng.integers(0, 2, sample.kwargs[name].shape)
            ones.flat[0] = 1
            plain = Sample({}, sample.args, {**sample.kwargs, name: ones.astype(np.float32)}, sample.grad_output)
            expected = everything(case, plain)
            for layout, change in LAYOUTS.items():
                kwargs = {**sample.kwargs, name: change(ones.astype(kind))}
                found = everything(case, Sample({}, sample.args, kwargs, sample.grad_output))
                compared = [key for key in expected if kind != "float16" or key != f"{key[:4]}, d {name}"]
                assert differing({k: expected[k] for k in compared}, {k: found[k] for k in compared}) == [], (
                    f"{name} {kind}, {layout}: {sample}"
                )


# ---- shapes ----


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", ELEMENTWISE, ids=str)
def test_no_dimension_is_like_one_element(case: LossCase, dtype: str, rng: np.random.Generator) -> None:
    for sample in flat(case, rng, dtype, 1):
        expected = all_results(case, sample)
        for layout, change in LAYOUTS.items():
            found = all_results(case, changed(changed(sample, lambda a: a.reshape(())), change))
            for name, result in found.items():
                assert np.shape(result) == (), name
                assert bits(np.reshape(result, np.shape(expected[name]))) == bits(expected[name]), f"{name}, {layout}"


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("case", "kind"), ROWWISE, ids=str)
def test_a_row_without_a_batch_is_like_a_batch_of_one(case: LossCase, kind: str, dtype: str, rng: np.random.Generator) -> None:
    for count in (1, 5, 64, 100):
        sample = classes(case, kind, rng, dtype, (1, count))
        kwargs = sample.kwargs if case.is_loss else {"dim": 0}
        row = Sample({}, tuple(np.asarray(a[0]) for a in sample.args), kwargs, sample.grad_output[0])
        expected = everything(case, sample)
        for layout, change in LAYOUTS.items():
            for name, result in everything(case, changed(row, change)).items():
                # A gradient that is summed over the batch is never -0.
                due = bits(expected[name] + 0)
                assert bits(np.reshape(result, np.shape(expected[name])) + 0) == due, f"{name}, {layout}"


def judge_empty(case: LossCase, sample: Sample, judge: Judge) -> None:
    found = all_results(case, sample)
    for reduction in REDUCTIONS if case.is_loss else ("none",):
        upstream = sample.grad_output if reduction == "none" else SCALAR_UPSTREAM
        options = {"reduction": reduction} if case.is_loss else {}
        answer = case.answer(sample, grad_output=upstream, **options)
        judge.compare(found[reduction], answer.value, "unreduced", (reduction, sample))
        if reduction != "none":
            judge.compare(found[f"accumulated, {reduction}"], answer.value, "unreduced", (reduction, sample))
        for name in argnums(case, sample) if reduction != "sum" else ():
            judge.compare(found[f"{reduction}, d {name}"], answer.grads[name], "gradient", (name, sample))


@pytest.mark.parametrize("shape", EMPTY_SHAPES, ids=str)
@pytest.mark.parametrize("case", ELEMENTWISE, ids=str)
def test_nothing_at_all_has_a_mean_of_nan_and_a_sum_of_0(case: LossCase, shape: Shape, rng: np.random.Generator) -> None:
    with Judge() as judge:
        for dtype in DTYPES:
            for sample in flat(case, rng, dtype, 0):
                for change in LAYOUTS.values():
                    judge_empty(case, changed(changed(sample, lambda a: a.reshape(shape)), change), judge)


def takes(case: LossCase, shape: Shape) -> bool:
    """Margin losses take rows alone, and at least one class."""
    return case.name not in MARGINS or (len(shape) == 2 and shape[1] > 0)


@pytest.mark.parametrize(
    ("case", "kind", "shape"), [(*row, shape) for row in ROWWISE for shape in EMPTY_ROWS if takes(row[0], shape)], ids=str
)
def test_no_rows_have_a_mean_of_nan_and_a_sum_of_0(case: LossCase, kind: str, shape: Shape, rng: np.random.Generator) -> None:
    with Judge() as judge:
        for dtype in DTYPES:
            sample = classes(case, kind.replace(", all options", ""), rng, dtype, shape)
            for change in LAYOUTS.values():
                judge_empty(case, changed(sample, change), judge)
            for weighted in [sample] if "options" not in kind else [classes(case, kind, rng, dtype, shape)]:
                judge_empty(case, weighted, judge)


def test_no_classes() -> None:
    """An index is out of range then; a distribution over nothing costs nothing; a mean over nothing is NaN (0.7)."""
    for dtype in DTYPES:
        x = np.zeros((2, 0), dtype)
        for function in (F.cross_entropy, F.nll_loss):
            with pytest.raises(IndexError, match=r"target\[0\] is 0, outside \[0, 0\)"):
                function(x, [0, 0])
        assert F.cross_entropy(x, x, reduction="sum") == 0
        assert bits(F.multilabel_soft_margin_loss(x, x, reduction="none")) == bits(np.full(2, np.nan, dtype))
        assert F.softmax(x, 1).shape == F.log_softmax(x, 1).shape == (2, 0)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", PAIR_LOSSES, ids=str)
def test_broadcast_operands_are_like_their_copies(case: LossCase, dtype: str) -> None:
    for sample, _ in drawn(case.name, dtype):
        shapes = [np.shape(a) for a in sample.args]
        if case.name not in CLASS_KINDS.keys() - {"multilabel_soft_margin_loss"} and len(set(shapes)) > 1:
            whole = np.broadcast_shapes(*shapes)
            args = tuple(np.broadcast_to(a, whole) for a in sample.args)
            function = getattr(F, case.name)
            for reduction in ("none", "sum"):
                # a weight has the shape of the input as it was given
                kwargs = {name: v for name, v in sample.kwargs.items() if name != "weight"} | {"reduction": reduction}
                with quiet():
                    found = function(*sample.args, **kwargs)
                if case.name == "multilabel_soft_margin_loss" and shapes[0][-1] != whole[-1]:
                    continue  # divides by the input's own classes
                assert bits(found) == bits(function(*args, **kwargs)), str(sample)
                assert bits(found) == bits(function(*map(np.copy, args), **kwargs)), str(sample)


# ---- any of it at once ----


def one_call(case: LossCase, sample: Sample, **options: Any) -> dict[str, Any]:
    """Value, gradients and accumulator of the sample's own reduction."""
    names = argnums(case, sample)
    function = getattr(F, case.name)
    with quiet():
        found = {"value": function(*sample.args, **sample.kwargs, **options)}
        both = nl.value_and_grad(function, argnums=names)
        value, grads = both(*sample.args, grad_output=sample.grad_output, **sample.kwargs, **options)
    assert bits(value) == bits(found["value"])
    found |= {f"d {name}": grad for name, grad in zip(names, grads, strict=True)}
    if case.is_loss and sample.kwargs["reduction"] != "none":
        found["accumulated"] = accumulated(case, sample, sample.kwargs["reduction"])
    return found


@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_any_call_in_any_layout_is_right(case: LossCase, compared: Counter[str]) -> None:
    """And the calls are spread out: every layout in every place, every choice of the case table; seldom one twice."""
    seen: Counter[object] = Counter()
    data: set[bytes] = set()

    @settings(PROFILE)
    @given(laid_out_calls(case))
    def check(call: LaidOut) -> None:
        options = {} if call.threads is None else {"num_threads": call.threads}
        plain, given_ = one_call(case, call.plain), one_call(case, call.given, **options)
        assert differing(plain, given_) == [], f"{call.layouts}: {call.plain}"
        answer = case.answer(call.plain, grad_output=call.plain.grad_output)
        kind = weighted("unreduced", call.plain) if call.plain.kwargs.get("reduction", "none") == "none" else "few"
        with Judge() as judge:
            judge.compare(given_["value"], answer.value, kind, str(call))
            for name in argnums(case, call.plain):
                judge.compare(
                    given_[f"d {name}"], answer.grads[name], weighted("gradient", call.plain), (name, str(call)), answer.dtype
                )
        compared["calls in random layouts"] += 1
        seen.update(enumerate(call.layouts))
        seen.update([call.dtype, ("threads", call.threads), ("rows", call.rows), call.plain.kwargs.get("reduction")])
        seen.update(call.plain.choices.items())
        data.add(b"".join(np.asarray(a).tobytes() for a in call.plain.args))
        seen["calls"] += 1

    check()
    due: list[object] = [(k, name) for k in range(len(case.operands)) for name in LAYOUTS]
    due += [*DTYPES, *(("threads", n) for n in THREADS_DRAWN)]
    due += [("rows", n) for n in ROWS_DRAWN] + list(REDUCTIONS) if case.is_loss else []
    assert [one for one in due if not seen[one]] == []
    choices = [(axis, choice) for axis, all_ in case.axes.items() for choice in all_]
    assert sum(map(bool, map(seen.__getitem__, choices))) >= CHOICES * len(choices)
    assert seen["calls"] >= PROFILE.max_examples
    assert len(data) > DISTINCT * seen["calls"]


# ---- what is refused ----

NOT_REAL: dict[str, Any] = {
    "object": lambda x: x.astype(object),
    "complex64": lambda x: x.astype(np.complex64),
    "complex128": lambda x: x.astype(np.complex128),
    "str": lambda x: x.astype(str),
    "bytes": lambda x: x.astype(bytes),
    "datetime64": lambda x: x.astype(np.int64).astype("datetime64[s]"),
    "timedelta64": lambda x: x.astype(np.int64).astype("timedelta64[s]"),
    "structured": lambda x: x.astype([("number", x.dtype)]),
    "void": lambda x: np.zeros(x.shape, "V4"),
    "longdouble": lambda x: x.astype(np.longdouble),
    "clongdouble": lambda x: x.astype(np.clongdouble),
    "masked": lambda x: np.ma.array(x, mask=x > 0),
    "masked without a mask": np.ma.array,
    "a string": lambda x: "numbers",
    "None": lambda x: None,
    "a ragged list": lambda x: [[1.0], [1.0, 2.0]],
    "a list of strings": lambda x: ["a", "b"],
    "a dict": lambda x: {"input": x},
    "a generator": lambda x: iter(x),
}


@pytest.mark.parametrize("what", NOT_REAL)
@pytest.mark.parametrize("case", PAIRS, ids=str)
def test_what_holds_no_real_numbers_is_refused_by_name(case: LossCase, what: str) -> None:
    sample = next(batches(case, "float64", 3))
    function = getattr(F, case.name)
    operands = dict(zip(case.operands, sample.args, strict=True))
    options = {name: v for name, v in sample.kwargs.items() if isinstance(v, np.ndarray)}
    for name, array in [*operands.items(), *options.items(), ("grad_output", sample.grad_output)]:
        bad = NOT_REAL[what](array)
        if bad is None and name not in operands:
            continue  # not given, then
        keywords = {**sample.kwargs} | ({"reduction": "none"} if case.is_loss else {})
        calls: list[Any] = [nl.value_and_grad(function)]
        args = tuple(bad if operand == name else a for operand, a in operands.items())
        if name == "grad_output":
            keywords["grad_output"] = bad
        else:
            calls.append(function)
            keywords |= {name: bad} if name in options else {}
        for call in calls:
            with pytest.raises(TypeError) as caught:
                call(*args, **keywords)
            assert str(caught.value).startswith(f"{case.name}: {name} "), str(caught.value)
        if name in operands and case.is_loss:
            stream = getattr(nl, case.class_name)().accumulator("sum")
            with pytest.raises(TypeError) as caught:
                stream.update(*args)
            assert str(caught.value).startswith(f"{case.name}: {name} ")
            assert stream.count == 0
        if name in case.constructor:
            with pytest.raises(TypeError) as caught:
                getattr(nl, case.class_name)(**{name: bad})
            assert str(caught.value).startswith(f"{case.class_name}: {name} ")


@pytest.mark.parametrize("what", NOT_REAL)
def test_an_upstream_gradient_that_is_no_real_number_is_refused_by_name(what: str) -> None:
    bad = NOT_REAL[what](np.ones(1))
    if bad is not None:
        with pytest.raises(TypeError, match=r"^mse_loss: grad_output "):
            nl.value_and_grad(F.mse_loss)([1.0], [0.0], grad_output=bad)
