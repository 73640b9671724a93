"""
Results go where `out` says, also where that is memory which the call reads: every array of a call may be overlapped, by a
value or a gradient, and the result is the one without overlap. Two results that would share memory are refused.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import bits, quiet
from cases import CASE, LOSSES, LossCase
from layouts import LAYOUTS
from outcomes import argnums, with_upstream
from samples import Array, Sample
from weighted_rows import LOSSES as ROW_LOSSES
from weighted_rows import Loss as RowLoss
from weighted_rows import drawn

ROWS = 1500  # more than a block of the smallest loss
SHIFT = 16  # bytes between an operand and the result that overlaps it
WITHOUT_HESSIAN = ("CTCLoss", "CosineEmbeddingLoss", "TripletMarginLoss", "TripletMarginWithDistanceLoss")
CALLED = (*LOSSES, CASE["linear_cross_entropy"])
CURVED = tuple(case for case in LOSSES if case.class_name not in WITHOUT_HESSIAN)


def call_of(case: LossCase, seed: int = 0) -> Sample:
    """Many rows, with every array that the call takes: an upstream gradient, weights of classes and elements, a mask."""
    rng = np.random.default_rng([seed, len(case.name)])
    if case.batch is None:
        arrays = (rng.normal(size=(ROWS, 6)), rng.normal(size=(5, 6)), rng.dirichlet(np.ones(5), ROWS))
        bias, weight = rng.normal(size=5), rng.uniform(0.5, 2, 5)
        drawn = Sample({}, tuple(a.astype(np.float32) for a in arrays), {"linear_bias": bias, "weight": weight}, None)
    else:
        drawn = case.batch(rng, "float32", ROWS if case.name != "ctc_loss" else 40)
    sample = with_upstream(case, drawn)
    shape = np.shape(sample.grad_output)
    selection = {"sample_weight": rng.uniform(0.1, 3, shape).astype(np.float32), "mask": rng.random(shape) < 0.8}
    return Sample({}, sample.args, {**sample.kwargs, **selection, "reduction": "none"}, sample.grad_output)


def with_array(sample: Sample, place: str, array: Array) -> Sample:
    """The sample with another array in one place: a number of an argument, a keyword or 'grad_output'."""
    if place == "grad_output":
        return Sample({}, sample.args, sample.kwargs, array)
    if place.isdigit():
        return Sample(
            {}, tuple(array if str(i) == place else a for i, a in enumerate(sample.args)), sample.kwargs, sample.grad_output
        )
    return Sample({}, sample.args, {**sample.kwargs, place: array}, sample.grad_output)


def arrays_of(sample: Sample) -> dict[str, Array]:
    named = {**{str(i): a for i, a in enumerate(sample.args)}, **sample.kwargs, "grad_output": sample.grad_output}
    return {name: array for name, array in named.items() if isinstance(array, np.ndarray)}


def overlapping(array: Array, out: Array) -> Iterator[tuple[Array, Array]]:
    """
    Copies of the array, and of the shape and dtype of `out` memory that overlaps it: from the same byte on, from an
    earlier and from a later one, and backwards.
    """
    for at, other, backwards in ((0, 0, False), (SHIFT, 0, False), (0, SHIFT, False), (0, 0, True)):
        memory = np.full(array.nbytes + out.nbytes + SHIFT, 255, np.uint8)
        copy = memory[at : at + array.nbytes].view(array.dtype).reshape(array.shape)
        copy[...] = array
        result = memory[other : other + out.nbytes].view(out.dtype).reshape(out.shape)
        yield copy, result[::-1] if backwards else result


def value_into(case: LossCase, sample: Sample, out: Any = None) -> Any:
    with quiet():
        return getattr(F, case.name)(*sample.args, **sample.kwargs, out=out)


def gradients_into(case: LossCase, sample: Sample, names: tuple[str, ...], out: Any = None) -> Any:
    with quiet():
        return nl.grad(getattr(F, case.name), names)(*sample.args, **sample.kwargs, grad_output=sample.grad_output, out=out)


@pytest.mark.parametrize("case", CALLED, ids=str)
def test_a_value_may_overlap_whatever_is_read(case: LossCase) -> None:
    sample = call_of(case)
    wanted = value_into(case, sample)
    for place, array in arrays_of(sample).items():
        for copy, out in overlapping(array, wanted):
            assert value_into(case, with_array(sample, place, copy), out) is out
            assert bits(out) == bits(wanted), place


@pytest.mark.parametrize("case", CALLED, ids=str)
def test_a_gradient_may_overlap_whatever_is_read(case: LossCase) -> None:
    sample = call_of(case)
    names = argnums(case, sample)
    wanted = gradients_into(case, sample, names)
    for place, array in arrays_of(sample).items():
        for number, name in enumerate(names):
            for copy, out in overlapping(array, wanted[number]):
                outs = tuple(out if n == name else None for n in names)
                found = gradients_into(case, with_array(sample, place, copy), names, outs)
                assert found[number] is out
                assert [*map(bits, found)] == [*map(bits, wanted)], (place, name)


def second_derivatives_into(case: LossCase, sample: Sample, out: Any = None) -> Any:
    with quiet():
        return nl.grad_hess(getattr(F, case.name))(*sample.args, **sample.kwargs, out=out)


@pytest.mark.parametrize("case", CURVED, ids=str)
def test_second_derivatives_may_overlap_whatever_is_read(case: LossCase) -> None:
    sample = call_of(case)
    wanted = second_derivatives_into(case, sample)
    for place, array in arrays_of(sample).items():
        for number in (0, 1):
            for copy, out in overlapping(array, wanted[number]):
                outs = (out, None) if number == 0 else (None, out)
                found = second_derivatives_into(case, with_array(sample, place, copy), outs)
                assert found[number] is out
                assert [*map(bits, found)] == [*map(bits, wanted)], place


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_no_memory_holds_two_results(reduction: str) -> None:
    x, y = np.linspace(-1, 1, 12).reshape(3, 4), np.ones((3, 4))
    weight, memory = np.full((3, 4), 2.0), np.empty(20)
    apart = "the arrays of out must not overlap each other"
    first = memory[:12].reshape(3, 4)
    for second in (first, memory[8:].reshape(3, 4), memory[11::-1].reshape(3, 4)):
        for function, options in ((F.mse_loss, {"weight": weight}), (F.cross_entropy, {}), (F.kl_div, {})):
            call = nl.value_and_grad(function, ("input", "target"))
            with pytest.raises(ValueError, match=f"{function.__name__}: {apart}"), quiet():
                call(x, np.abs(y), reduction=reduction, out=(first, second), **options)
            with pytest.raises(ValueError, match=f"{function.__name__}: {apart}"), quiet():
                nl.grad_hess(function)(x, np.abs(y), reduction=reduction, out=(first, second), **options)
        with pytest.raises(ValueError, match=apart):
            nl.grad(F.mse_loss, ("input", "weight"))(x, y, weight=weight, reduction=reduction, out=(first, second))
        with pytest.raises(ValueError, match=apart):
            nl.TripletMarginLoss(reduction=reduction).grad(x, y, weight, argnums=(0, 1, 2), out=(first, None, second))
        with pytest.raises(ValueError, match=apart):
            nl.MultiLabelSoftMarginLoss(reduction=reduction, axis=0).grad_hess(x, y, out=(first, second))
        with pytest.raises(ValueError, match=apart):
            nl.grad(F.linear_cross_entropy, (0, 1))(x, y, [0, 1, 2], reduction=reduction, out=(first, second))


def test_both_derivatives_may_be_columns_of_one_array() -> None:
    x, y = np.linspace(-3, 3, 50), np.arange(50) % 2
    both, wanted = np.empty((50, 2)), nl.grad_hess(F.binary_cross_entropy_with_logits)(x, y)
    out = (both[:, 0], both[:, 1])
    found = nl.grad_hess(F.binary_cross_entropy_with_logits)(x, y, out=out)
    for result, place, expected in zip(found, out, wanted, strict=True):
        assert result is place
        assert bits(np.ascontiguousarray(place)) == bits(expected)


@pytest.mark.parametrize("layout", ["scattered", "reversed", "byte-swapped", "unaligned"])
@pytest.mark.parametrize("case", CALLED, ids=str)
def test_a_result_is_rounded_once_to_what_its_out_holds(case: LossCase, layout: str) -> None:
    """Whatever its own dtype is: in any layout it has the numbers that a contiguous array gets."""
    sample = call_of(case)
    names = argnums(case, sample)
    plain = gradients_into(case, sample, names)
    for number, dtype in itertools.product(range(len(names)), ("float16", "float32", "float64")):
        place, other = np.empty(plain[number].shape, dtype), LAYOUTS[layout](np.zeros(plain[number].shape, dtype))
        for out in (place, other):
            found = gradients_into(case, sample, names, tuple(out if i == number else None for i in range(len(names))))
            assert found[number] is out
        assert np.array_equal(place, other, equal_nan=True)
        if np.can_cast(plain[number].dtype, dtype):
            assert np.array_equal(place.astype(plain[number].dtype), plain[number])
    value, place = value_into(case, sample), np.empty(sample.grad_output.shape)
    value_into(case, sample, place)
    assert np.array_equal(place.astype(value.dtype), value)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("loss", ROW_LOSSES, ids=str)
def test_each_derivative_may_have_a_dtype_of_its_own(loss: RowLoss, number: int, dtype: str) -> None:
    for classes in (10, 300):
        call = drawn(loss, classes, "float32")
        derivatives = functools.partial(
            nl.grad_hess(getattr(F, loss.name)), call.input, call.target, **call.kwargs, **call.selection
        )
        plain, place = derivatives(), np.empty(call.input.shape, dtype)
        found = derivatives(out=(place, None) if number == 0 else (None, place))
        assert found[number] is place
        narrower = np.result_type(dtype, np.float32) == np.float32
        assert np.array_equal(place, plain[number].astype(dtype)) if narrower else np.array_equal(place.astype("f4"), plain[number])
        assert bits(found[1 - number]) == bits(plain[1 - number])


def inner_product(x: Any, y: Any) -> Any:
    """A distance whose derivatives are the other vectors themselves."""
    return -(x * y).sum(-1), -y, x.view()


def test_gradients_may_take_the_places_of_vectors_that_are_derivatives() -> None:
    rng = np.random.default_rng(0)
    vectors = tuple(rng.normal(size=(5, 4)) for _ in range(3))
    criterion = nl.TripletMarginWithDistanceLoss(distance_function=inner_product, margin=9.0, swap=True)
    wanted = criterion.grad(*vectors, argnums=(0, 1, 2))
    found = criterion.grad(*vectors, argnums=(0, 1, 2), out=vectors)
    for grad, place, expected in zip(found, vectors, wanted, strict=True):
        assert grad is place
        assert bits(grad) == bits(expected)


ONE, VECTOR, PAIR = np.float32(0.5), np.ones(3, np.float32), np.float32([[0.5, 1.0], [2.0, 0.0], [1.0, 1.0]])
WITHOUT_DIMENSIONS: dict[str, tuple[Any, ...]] = {
    "cross_entropy": (VECTOR, 1),
    "nll_loss": (VECTOR, 1),
    "multi_margin_loss": (ONE, 0),
    "multilabel_margin_loss": (ONE, 0),
    "multilabel_soft_margin_loss": (VECTOR, VECTOR),
    "cosine_embedding_loss": (VECTOR, VECTOR, 1),
    "triplet_margin_loss": (VECTOR, VECTOR, VECTOR),
    "triplet_margin_with_distance_loss": (VECTOR, VECTOR, VECTOR),
    "linear_cross_entropy": (VECTOR[:2], PAIR, 1),
    "ctc_loss": (PAIR, [1], 3, 1),
}


@pytest.mark.parametrize("case", CALLED, ids=str)
def test_an_output_without_dimensions_is_returned_itself(case: LossCase) -> None:
    """As NumPy's functions do it; without `out` the same result is a scalar."""
    args = WITHOUT_DIMENSIONS.get(case.name, (ONE,) * len(case.operands))
    for reduction in ("none", "sum"):
        plain = getattr(F, case.name)(*args, reduction=reduction)
        out = np.empty((), plain.dtype)
        assert isinstance(plain, np.floating)
        assert getattr(F, case.name)(*args, reduction=reduction, out=out) is out
        assert bits(out) == bits(plain)


def test_a_gradient_beside_a_sparse_target_may_overlap_what_is_read() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(0)
    x, upstream = rng.normal(size=(400, 900)), rng.normal(size=(400, 900))
    target = sparse.csr_array((rng.random(x.shape) < 0.1).astype(np.float64))
    gradient = nl.grad(F.binary_cross_entropy_with_logits)
    wanted = gradient(x, target, reduction="none", grad_output=upstream)
    for copy, out in overlapping(upstream, x):
        found = gradient(x, target, reduction="none", grad_output=copy, out=out)
        assert found is out
        assert bits(np.ascontiguousarray(found)) == bits(wanted)


def both(*args: Any, **kwargs: Any) -> Any:
    return nl.value_and_grad(F.binary_cross_entropy)(*args, **kwargs)


@pytest.mark.parametrize("size", [64, 70001])
def test_an_operand_with_a_domain_may_be_replaced(size: int, rng: np.random.Generator) -> None:
    """Losses above 1 stand where probabilities stood."""
    p, y = rng.uniform(0.001, 0.999, size).astype(np.float32), (rng.random(size) < 0.5).astype(np.float32)
    losses, (_, grad) = F.binary_cross_entropy(p, y, reduction="none"), nl.value_and_grad(F.binary_cross_entropy)(p, y)
    for call, due in ((functools.partial(F.binary_cross_entropy, reduction="none"), losses), (both, grad)):
        replaced = p.copy()
        call(replaced, y, out=replaced)
        assert bits(replaced) == bits(due)


def test_a_bad_number_is_named_and_kept_where_it_was_to_be_replaced(rng: np.random.Generator) -> None:
    p, y = rng.uniform(0.001, 0.999, 9000).astype(np.float32), (rng.random(9000) < 0.5).astype(np.float32)
    p[5000] = 1.5
    before = p.copy()
    for call in (functools.partial(F.binary_cross_entropy, reduction="none"), both):
        with pytest.raises(ValueError, match=r"input\[5000\] is 1.5"):
            call(p, y, out=p)
        assert bits(p) == bits(before)
