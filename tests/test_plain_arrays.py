"""Plain calls take arrays of every layout and dtype, and options that broadcast: with the bits and errors of checked calls."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import batch, quiet
from cases import LossCase
from layouts import LAYOUTS, scattered
from ndloss import _options
from plain_calls import CHECKED, EVERY_REDUCTION, USUALLY_PLAIN, asked, outcome
from samples import INDEX_DTYPES, Array

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOATS = ("float16", BFLOAT16, "float32", "float64", ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2)
WEIGHTED = ("mse_loss", "l1_loss", "huber_loss")
LABELLED = ("binary_cross_entropy", "binary_cross_entropy_with_logits", "multilabel_soft_margin_loss")
IGNORING = (*LABELLED, "soft_margin_loss", "hinge_embedding_loss")
FORMS = ("value", "value_and_grad 0", "value_and_grad 1", "value_and_grad (1, 0)", "grad_hess 0", "grad_hess 1")
NUMBERS_THAT_MULTIPLY = (2, -0.5, 0, 1e300, np.inf, 2**70, np.float32(2), True, "2", [2.0], np.ones(2))


def assert_as_checked(case: LossCase, args: tuple[Any, ...], kwargs: Mapping[str, Any], **options: Any) -> None:
    """Its value, and the derivatives that are asked for in the ways of FORMS."""
    for what, function, given in asked(case, **options):
        if what not in FORMS:
            continue
        call = functools.partial(function, *args, **{**kwargs, **given})
        assert outcome(call) == outcome(functools.partial(call, **CHECKED)), (what, args, given)


def changes(args: tuple[Array, ...], change: Callable[[Array], Array]) -> Iterator[tuple[Array, ...]]:
    """All arrays changed, and each alone."""
    yield tuple(map(change, args))
    for k, array in enumerate(args):
        yield (*args[:k], change(array), *args[k + 1 :])


def cast(array: Array, dtype: Any) -> Array:
    with np.errstate(all="ignore"):
        return array.astype(dtype)


@pytest.mark.parametrize(("case", "reduction"), EVERY_REDUCTION, ids=str)
def test_every_layout_is_as_checked(case: LossCase, reduction: str) -> None:
    sample, _ = batch(case.name, "float32", reduction, 9)
    for name, change in LAYOUTS.items():
        alone = changes(sample.args, change) if name in ("scattered", "byte-swapped") else [tuple(map(change, sample.args))]
        for args in alone:
            assert_as_checked(case, args, sample.kwargs)


@pytest.mark.parametrize("dtype", [*FLOATS, "int64", "uint8", "bool", "complex64", "longdouble", object], ids=str)
@pytest.mark.parametrize(("case", "reduction"), EVERY_REDUCTION, ids=str)
def test_every_dtype_is_as_checked(case: LossCase, reduction: str, dtype: Any) -> None:
    """Also of label arrays, where a float is an error or makes probabilities of them."""
    sample, _ = batch(case.name, "float32", reduction, 9)
    for args in changes(sample.args, lambda array: cast(array, dtype)):
        assert_as_checked(case, args, sample.kwargs)


@pytest.mark.parametrize("dtype", INDEX_DTYPES)
@pytest.mark.parametrize(("case", "reduction"), EVERY_REDUCTION, ids=str)
def test_every_integer_target_is_as_checked(case: LossCase, reduction: str, dtype: str) -> None:
    sample, _ = batch(case.name, "float32", reduction, 9)
    *inputs, target = sample.args[: case.operands.index("target") + 1] if "target" in case.operands else sample.args
    rest = sample.args[len(inputs) + 1 :]
    for layout, kind in (("contiguous", "float16"), ("byte-swapped and scattered", "float64")):
        args = (*(cast(array, kind) for array in inputs), LAYOUTS[layout](cast(np.abs(target), dtype)), *rest)
        assert_as_checked(case, args, sample.kwargs)


@pytest.mark.parametrize("pair", [(a, b) for a in FLOATS[:4] for b in FLOATS[:4]], ids=str)
@pytest.mark.parametrize("name", ["mse_loss", "cross_entropy", "triplet_margin_loss", "soft_margin_loss"])
def test_two_floats_meet_as_checked(name: str, pair: tuple[Any, Any]) -> None:
    case = next(case for case, _ in EVERY_REDUCTION if case.name == name)
    rng = np.random.default_rng(3)
    x, y = cast(rng.normal(size=(9, 7)), pair[0]), cast(rng.random((9, 7)), pair[1])
    for reduction in case.axes["reduction"]:
        for dtype in (None, "float16", np.float32, np.float64, np.dtype("float16"), np.dtype(">f4"), BFLOAT16, "int8"):
            assert_as_checked(
                case, (x, y, y[::-1]) if name == "triplet_margin_loss" else (x, y), {"reduction": reduction}, dtype=dtype
            )


@pytest.mark.parametrize(("case", "reduction"), EVERY_REDUCTION, ids=str)
def test_options_broadcast_as_checked(case: LossCase, reduction: str) -> None:
    rng = np.random.default_rng(5)
    sample, _ = batch(case.name, "float32", reduction, 9)
    with quiet():
        shape = getattr(F, case.name)(*sample.args, **{**sample.kwargs, "reduction": "none"}).shape
    kinds = (
        ("float16", "scattered"),
        (BFLOAT16, "contiguous"),
        ("float64", "byte-swapped"),
        ("uint32", "reversed"),
        ("bool", "F-order"),
    )
    for own in {shape, shape[1:], (1,) * len(shape), (*shape[:-1], 1), (1, *shape), (*shape, 2), (len(shape) + 9,)}:
        numbers = rng.integers(0, 3, own)
        for dtype, layout in kinds:
            for option in ("sample_weight", "mask"):
                assert_as_checked(case, sample.args, sample.kwargs, **{option: LAYOUTS[layout](numbers.astype(dtype))})


@pytest.mark.parametrize(("case", "reduction"), EVERY_REDUCTION, ids=str)
def test_operands_broadcast_as_checked(case: LossCase, reduction: str) -> None:
    """Or are refused; a gradient has the shape of its own operand."""
    sample, _ = batch(case.name, "float32", reduction, 9)
    for k, array in enumerate(sample.args):
        places = [(0,), (slice(1),), (..., slice(1)), (..., 0), (...,) + (slice(1),) * array.ndim, (0,) * array.ndim, (slice(0),)]
        for place in [*places, (None,), (..., None), (slice(2),)]:
            for layout in ("contiguous", "scattered"):
                args = (*sample.args[:k], LAYOUTS[layout](np.asarray(array[place])), *sample.args[k + 1 :])
                assert_as_checked(case, args, sample.kwargs)
                assert_as_checked(case, args, sample.kwargs, broadcast=False)


@pytest.mark.parametrize(("case", "reduction"), EVERY_REDUCTION, ids=str)
def test_numbers_that_multiply_gradients_and_divisors_are_as_checked(case: LossCase, reduction: str) -> None:
    sample, _ = batch(case.name, "float32", reduction, 9)
    function = getattr(F, case.name)
    for number in NUMBERS_THAT_MULTIPLY:
        for argnums in (0, (0, 1)):
            call = functools.partial(nl.value_and_grad(function, argnums), *sample.args, **sample.kwargs, grad_output=number)
            assert outcome(call) == outcome(functools.partial(call, **CHECKED)), (argnums, number)
    for divisor in (True, np.True_, 1, None):
        for call in (function, nl.value_and_grad(function)):
            call = functools.partial(call, *sample.args, **sample.kwargs, return_divisor=divisor)
            assert outcome(call) == outcome(functools.partial(call, **CHECKED)), divisor


@pytest.mark.parametrize(
    ("case", "reduction"), [pair for pair in EVERY_REDUCTION if pair[0].name in (*WEIGHTED, *IGNORING)], ids=str
)
def test_weights_and_ignored_targets_are_as_checked(case: LossCase, reduction: str) -> None:
    rng = np.random.default_rng(6)
    sample, _ = batch(case.name, "float32", reduction, 9)
    kwargs = {name: value for name, value in sample.kwargs.items() if name not in ("weight", "pos_weight", "ignore_index")}
    shape = sample.args[0].shape
    names = {"weight"} if case.name in (*WEIGHTED, *LABELLED) else set()
    names |= {"pos_weight"} if case.name == "binary_cross_entropy_with_logits" else set()
    for own in {shape, shape[1:], (1,) * len(shape), (*shape[:-1], 1), (1, *shape), (*shape, 2)}:
        for dtype in ("float16", "float64", "bool"):
            weight = scattered(rng.integers(0, 3, own).astype(dtype))
            for name in names:
                assert_as_checked(case, sample.args, kwargs, **{name: weight})
                assert_as_checked(case, sample.args, kwargs, **{name: weight, "mask": np.arange(9)[:, None] % 2 == 0})
    if case.name in IGNORING:
        for ignored in (0, 1, -1.0, 1.0, np.nan, np.inf, 2**70, "1", np.float64(1), True):
            assert_as_checked(case, sample.args, kwargs, ignore_index=ignored)
            assert_as_checked(case, (sample.args[0], cast(sample.args[1], "int8")), kwargs, ignore_index=ignored)


@pytest.mark.parametrize("shape", [(7,), (5, 7), (5, 7, 3), (2, 7, 3, 4), (1, 7), (5, 1), (0, 7), (5, 0), (7, 7, 7)], ids=str)
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss", "multi_margin_loss", "multilabel_margin_loss"])
def test_a_class_axis_is_where_it_is_checked(name: str, shape: tuple[int, ...]) -> None:
    case = next(case for case, _ in EVERY_REDUCTION if case.name == name)
    rng = np.random.default_rng(7)
    x = rng.normal(size=shape).astype(np.float32)
    for reduction in ("mean", "none"):
        for axis in (None, *range(-len(shape) - 1, len(shape) + 1)):
            place = axis if axis is not None else min(1, len(shape) - 1)
            if not -len(shape) <= place < len(shape):
                place = 0
            rows = np.delete(shape, place)
            targets = [rng.integers(0, max(shape[place], 1), rows), rng.integers(-1, 2, shape)]
            targets += [rng.random(shape).astype(dtype) for dtype in ("float16", "float32", "float64")]
            targets += [targets[0] + 1, targets[0][..., None]]
            for target in targets:
                for ignored in (-100, 0) if name in ("cross_entropy", "nll_loss") else (None,):
                    options = {} if ignored is None else {"ignore_index": ignored}
                    assert_as_checked(case, (x, target), {"reduction": reduction, "axis": axis}, **options)


@pytest.mark.parametrize("dtype", ["float16", BFLOAT16], ids=str)
def test_a_scalar_is_rounded_once(dtype: Any) -> None:
    """Ties that a step by float32 would break the wrong way, overflow and underflow."""
    largest = np.float64(ml_dtypes.finfo(dtype).max)
    smallest = np.float64(ml_dtypes.finfo(dtype).smallest_subnormal)
    half = np.float64(ml_dtypes.finfo(dtype).eps) / 2
    sums = [[1, half], [1, half, half * 2.0**-20], [1, 2 * half, half], [1, 2 * half, half, half * 2.0**-20]]
    sums += [[largest], [largest, largest], [largest, largest * half / 2], [largest, largest * half], [np.inf], [np.nan]]
    sums += [[smallest], [0.0], [largest * 0.75, largest * 0.25]]
    for terms in sums:
        for divisor in (1, 2, 3, 4):
            x = np.array([*terms, *[0] * (divisor * len(terms) - len(terms))]).astype(dtype)
            for reduction in ("sum", "mean"):
                call = functools.partial(F.l1_loss, x, np.zeros_like(x), reduction=reduction)
                assert outcome(call) == outcome(functools.partial(call, **CHECKED)), (terms, divisor, reduction)


class Interrupting:
    """An array that somebody stops while it is made."""

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise KeyboardInterrupt


class Refusing:
    dtype = np.dtype(np.float32)

    def __array__(self, *_: Any, **__: Any) -> Array:
        raise RuntimeError("its data are elsewhere")


OTHERS: dict[str, Callable[[Array], Any]] = {
    "list": lambda array: array.tolist(),
    "tuple": lambda array: tuple(array.tolist()),
    "memory": lambda array: memoryview(np.ascontiguousarray(array)),
    "masked": np.ma.MaskedArray,
    "words": lambda array: array.astype(str),
    "list of words": lambda array: array.astype(str).tolist(),
    "refused": lambda _: Refusing(),
    "nothing": lambda _: None,
    "empty": lambda _: [],
}


def tensor(array: Array) -> Any:
    import torch

    return torch.from_numpy(array)


if importlib.util.find_spec("torch") is not None:
    OTHERS["tensor"] = tensor
    OTHERS["bfloat16 tensor"] = lambda array: tensor(array).bfloat16()
    OTHERS["tensor with a gradient"] = lambda array: tensor(array.astype(np.float32)).requires_grad_()


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize(("case", "reduction"), EVERY_REDUCTION, ids=str)
def test_other_arrays_are_as_checked(case: LossCase, reduction: str, kind: str) -> None:
    """Lists are weak: their float64 has no say."""
    sample, _ = batch(case.name, "float32", reduction, 9)
    for args in changes(sample.args, OTHERS[kind]):
        assert_as_checked(case, args, sample.kwargs)
    for option in ("mask", "sample_weight", "weight", "pos_weight"):
        if option in ("mask", "sample_weight") or option in case.axes:
            assert_as_checked(case, sample.args, sample.kwargs, **{option: OTHERS[kind](np.ones(1, np.int64))})


@pytest.mark.parametrize(("case", "reduction"), EVERY_REDUCTION, ids=str)
def test_a_call_that_is_stopped_while_it_reads_stops(case: LossCase, reduction: str) -> None:
    sample, _ = batch(case.name, "float32", reduction, 9)
    for k in range(len(sample.args)):
        args = (*sample.args[:k], Interrupting(), *sample.args[k + 1 :])
        with quiet(), pytest.raises(KeyboardInterrupt):
            getattr(F, case.name)(*args, **sample.kwargs)


def strided(sample_args: tuple[Array, ...]) -> Iterator[tuple[Array, ...]]:
    for layout in ("scattered", "F-order", "reversed", "byte-swapped", "unaligned"):
        yield tuple(map(LAYOUTS[layout], sample_args))


@pytest.mark.parametrize(("case", "reduction"), [pair for pair in USUALLY_PLAIN if pair[0].name != "ctc_loss"], ids=str)
def test_unusual_arrays_are_plain(case: LossCase, reduction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparisons above hold for a call that is checked twice, too. CTC's plain calls take contiguous arrays alone."""
    sample, _ = batch(case.name, "float32", reduction, 9)
    kwargs = {"reduction": reduction}
    halves = tuple(cast(a, "float16") if a.dtype == np.float32 else a for a in sample.args)
    bfloats = tuple(cast(a, BFLOAT16) if a.dtype == np.float32 else a for a in sample.args)

    def checked(*_: Any, **__: Any) -> None:
        raise AssertionError("this call was checked")

    with quiet():
        nl.value_and_grad(getattr(F, case.name))(*sample.args, **kwargs)  # what is made once is made
        monkeypatch.setattr(_options, "Settings", checked)
        monkeypatch.setattr(_options, "_usual", checked)
        for args in (halves, bfloats, *strided(sample.args)):
            getattr(F, case.name)(*args, **kwargs)
            nl.value_and_grad(getattr(F, case.name))(*args, **kwargs)
        for name in ("mask", "sample_weight"):
            if case.name not in ("cosine_embedding_loss", "triplet_margin_loss"):
                getattr(F, case.name)(*sample.args, **kwargs, **{name: np.ones(1, np.int16)})
