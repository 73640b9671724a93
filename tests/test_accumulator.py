"""Streams: any split of a batch gives what the whole gives."""

from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import ndloss as nl
from calls import batch, bits, criterion, quiet, value
from cases import CASE, LOSSES, LossCase
from layouts import LAYOUTS
from ndloss import _options
from plain_calls import ALWAYS_CHECKED, CHECKED
from samples import FLOATS, Sample
from tolerances import BATCHES, assert_within, bound
from ulp import worst

ROWS = BATCHES[-1]
SPLITS = 4
COPIES: tuple[Callable[[Any], Any], ...] = (lambda s: pickle.loads(pickle.dumps(s)), copy.deepcopy)


def cuts(rng: np.random.Generator, rows: int) -> Iterator[list[slice]]:
    """Splits into a few and into many chunks, of one row and of none among them."""
    yield [slice(0, rows)]
    yield [*(slice(i, i + 1) for i in range(rows // 16)), slice(rows // 16, rows)]
    yield [slice(0, 1), slice(1, 1), slice(1, rows)]
    for _ in range(SPLITS):
        inner = np.sort(rng.integers(0, rows + 1, rng.integers(1, 40)))
        edges = [0, *map(int, inner), rows]
        yield [slice(a, b) for a, b in itertools.pairwise(edges)]


def kept(case: LossCase, sample: Sample) -> int:
    """Number of loss elements that are not ignored."""
    if case.name in ("cross_entropy", "nll_loss"):
        return int(np.count_nonzero(sample.args[1] != sample.kwargs.get("ignore_index", -100)))
    if case.batch_axes:
        return int(sample.args[0].shape[case.batch_axes[0]])
    return int(case.answer(sample, reduction="none").value.value.size)


def feed(stream: Any, case: LossCase, sample: Sample, chunk: slice) -> None:
    rows = case.rows(sample.args, chunk)
    if rows[0].size or not case.batch_axes:
        stream.update(*rows)


def accumulated(case: LossCase, maker: Any, sample: Sample, chunks: list[slice]) -> Any:
    stream = maker.accumulator()
    for chunk in chunks:
        feed(stream, case, sample, chunk)
    return stream


@pytest.mark.core
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_sequential_updates_have_the_bits_of_the_whole(
    case: LossCase, dtype: str, reduction: str, rng: np.random.Generator
) -> None:
    sample, answer = batch(case.name, dtype, reduction)
    whole = value(case, sample)
    assert_within(whole, answer.value, "many")
    maker = criterion(case, sample)
    for chunks in cuts(rng, ROWS):
        stream = accumulated(case, maker, sample, chunks)
        assert bits(stream.compute()) == bits(whole), f"{len(chunks)} chunks"
        assert stream.count == kept(case, sample)


@pytest.mark.core
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_merged_parts_give_the_whole(case: LossCase, dtype: str, reduction: str, rng: np.random.Generator) -> None:
    sample, answer = batch(case.name, dtype, reduction)
    whole = value(case, sample)
    maker = criterion(case, sample)
    for chunks in list(cuts(rng, ROWS))[2:]:
        parts = [accumulated(case, maker, sample, [chunk]) for chunk in chunks]
        for order in (parts, parts[::-1]):
            joined = maker.accumulator()
            for part in order:
                joined.merge(part)
            assert worst(joined.compute(), whole) <= bound("merged", dtype)
            assert_within(joined.compute(), answer.value, "constants and ramps")
            assert joined.count == kept(case, sample)


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_merging_leaves_the_other_as_it_was(case: LossCase) -> None:
    sample, _ = batch(case.name, "float32", "mean")
    maker = criterion(case, sample)
    one, other = (accumulated(case, maker, sample, [part]) for part in (slice(0, 100), slice(100, 300)))
    before = bits(other.compute()), other.count
    one.merge(other)
    assert (bits(other.compute()), other.count) == before
    whole = Sample({}, case.rows(sample.args, slice(300)), sample.kwargs, None)
    assert_within(one.compute(), case.answer(whole).value, "few")


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_looking_at_the_result_changes_nothing(case: LossCase) -> None:
    sample, _ = batch(case.name, "float32", "mean")
    stream = criterion(case, sample).accumulator()
    for start in range(0, ROWS, 700):
        feed(stream, case, sample, slice(start, start + 700))
        assert bits(stream.compute()) == bits(stream.compute())
        head = Sample({}, case.rows(sample.args, slice(start + 700)), sample.kwargs, None)
        assert bits(stream.compute()) == bits(value(case, head))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_nothing_is_nan_for_mean_and_zero_for_sum(case: LossCase, reduction: str) -> None:
    stream = getattr(nl, case.class_name)(reduction=reduction).accumulator()
    assert stream.count == 0
    assert np.isnan(stream.compute()) if reduction == "mean" else stream.compute() == 0


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_reset_begins_again(case: LossCase) -> None:
    sample, answer = batch(case.name, "float64", "mean")
    stream = accumulated(case, criterion(case, sample), sample, [slice(0, 77), slice(5, 900)])
    stream.reset()
    assert stream.count == 0
    assert np.isnan(stream.compute())
    stream.update(*sample.args)
    assert bits(stream.compute()) == bits(value(case, sample))
    assert_within(stream.compute(), answer.value, "many")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_a_pickled_stream_goes_on_as_if_nothing_had_happened(case: LossCase, dtype: str) -> None:
    sample, answer = batch(case.name, dtype, "mean")
    maker = criterion(case, sample)
    for cut in (0, 1, 333, ROWS):
        for copied in COPIES:
            stream = accumulated(case, maker, sample, [slice(0, cut)])
            twin = copied(stream)
            feed(twin, case, sample, slice(cut, None))
            assert bits(twin.compute()) == bits(value(case, sample))
            assert stream.count == kept(case, Sample({}, case.rows(sample.args, slice(cut)), sample.kwargs, None))
    assert_within(value(case, sample), answer.value, "many")


def state(stream: Any) -> Any:
    """Everything that later chunks and the result depend on."""
    _, done, total, tail, filled, item_size = stream._stream.sums.__getstate__()
    return done, total, [(array.astype(array.dtype.newbyteorder("=")).tobytes(), array.shape) for array in tail], filled, item_size


def given_weights(case: LossCase, rows: tuple[Any, ...], rng: np.random.Generator) -> dict[str, Any]:
    """`sample_weight`, a mask, both or, mostly, neither."""
    shape = value(case, Sample({}, rows, {"reduction": "none"}, None)).shape
    weight, mask = {"sample_weight": rng.random(shape).astype(np.float32)}, {"mask": rng.random(shape) < 0.7}
    given: dict[str, Any] = rng.choice([weight, mask, {**weight, **mask}, {}, {}, {}, {}])  # type: ignore[arg-type]
    return given


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_plain_updates_leave_the_state_of_checked_ones(case: LossCase, dtype: str, rng: np.random.Generator) -> None:
    """Also among them, also of arrays of any layout, also where some chunks have weights."""
    sample, _ = batch(case.name, dtype, "mean")
    maker = criterion(case, sample)
    layouts = [*LAYOUTS.values()]
    for chunks in list(cuts(rng, ROWS))[1:5]:
        plain, checked, mixed, moved = (maker.accumulator() for _ in range(4))
        for chunk in chunks:
            rows = case.rows(sample.args, chunk)
            if not (rows[0].size or not case.batch_axes):
                continue
            with quiet():
                given = given_weights(case, rows, rng)
                plain.update(*rows, **given)
                checked.update(*rows, **given, **CHECKED)
                mixed.update(*rows, **given, **(CHECKED if rng.random() < 0.5 else {}))
                change = layouts[rng.integers(len(layouts))] if len(chunks) < 50 else layouts[1]
                moved.update(*map(change, rows), **given)
            assert state(plain) == state(checked) == state(mixed) == state(moved)


@pytest.mark.parametrize("name", ["mse_loss", "binary_cross_entropy_with_logits", "cross_entropy", "multilabel_margin_loss"])
def test_chunks_of_any_kind_leave_the_state_of_checked_ones(name: str, rng: np.random.Generator) -> None:
    """Dtypes, numbers of classes, options and empty chunks change from one to the next."""
    maker = getattr(nl, CASE[name].class_name)()
    plain, checked = maker.accumulator(), maker.accumulator()
    for classes in rng.choice([3, 3, 3, 3, 5], 200):
        rows, dtype = rng.integers(0, 300), rng.choice(["f4", "f4", "f4", "f8", "f2"])
        x, y = rng.random((rows, classes)).astype(dtype), rng.random((rows, classes)) < 0.3
        target: Any = {"cross_entropy": y.argmax(1), "multilabel_margin_loss": np.where(y, 1, -1)}.get(name, y)
        target = target.astype(
            rng.choice(["i8", "i8", "i8", "i4"] if target.ndim == 1 or name[:5] == "multi" else ["f4", "f4", "i8"])
        )
        if name == "cross_entropy" and rng.random() < 0.2:
            target = rng.random((rows, classes)).astype("f4")
        given: dict[str, Any] = rng.choice([{}, {}, {}, {"num_threads": 2}, {"dtype": "float64"}, {"sample_weight": None}])  # type: ignore[arg-type]
        plain.update(x, target, **given)
        checked.update(x, target, **given, **CHECKED)
        assert state(plain) == state(checked)
    assert plain.count == checked.count
    assert bits(plain.compute()) == bits(checked.compute())


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_usual_updates_are_plain(case: LossCase, monkeypatch: pytest.MonkeyPatch) -> None:
    sample, _ = batch(case.name, "float32", "mean", 9)
    if case.name in (*ALWAYS_CHECKED, "ctc_loss"):
        pytest.skip("its chunks are always checked")
    stream = getattr(nl, case.class_name)(empty="zero", validate=True).accumulator()
    with quiet():
        stream.update(*sample.args)
        count = stream.count

        def checked(*_: Any, **__: Any) -> None:
            raise AssertionError("this call was checked")

        monkeypatch.setattr(_options, "Settings", checked)
        monkeypatch.setattr(_options, "_usual", checked)
        for _ in range(4):
            stream.update(*sample.args)
            stream.update(*sample.args, num_threads=None)
    monkeypatch.undo()
    assert stream.count == 9 * count


def bad_chunks(case: LossCase, sample: Sample) -> Iterator[tuple[type[Exception], tuple[Any, ...]]]:
    """Chunks whose last row is what is wrong with them, so that all the others are read first."""
    x, y, *rest = (np.array(a) for a in case.rows(sample.args, slice(500)))
    yield TypeError, (x.astype(complex), y, *rest)
    if case.name == "mse_loss":
        yield ValueError, (x, y[:, :2])
    elif case.operands[-1] == "target" and rest:
        yield ValueError, (x, y, *rest[:-1], rest[-1][:-1])
    else:
        yield ValueError, (x, y[:-1], *rest)
    if case.name == "gaussian_nll_loss":
        wrong = rest[0].copy()
        wrong[-1, -1] = -1
        yield ValueError, (x, y, wrong)
    if case.name == "ctc_loss":
        wrong, rest[1][-1] = y.copy(), 1
        wrong[-1, 0] = x.shape[-1]
        yield IndexError, (x, wrong, *rest)
    if case.name in ("cross_entropy", "nll_loss", "multi_margin_loss", "multilabel_margin_loss"):
        wrong = y.copy()
        wrong[-1] = x.shape[1]
        yield IndexError, (x, wrong)
    if case.name == "binary_cross_entropy":
        wrong = x.copy()
        wrong[-1, -1] = 1.5
        yield ValueError, (wrong, y)


@pytest.mark.core
@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_a_bad_chunk_leaves_the_state_as_it_was(case: LossCase) -> None:
    sample, _ = batch(case.name, "float32", "mean")
    for exception, chunk in bad_chunks(case, sample):
        stream = accumulated(case, criterion(case, sample), sample, [slice(0, 777)])
        before = bits(stream.compute()), stream.count
        with pytest.raises(exception):
            stream.update(*chunk)
        assert (bits(stream.compute()), stream.count) == before
        feed(stream, case, sample, slice(777, None))
        assert bits(stream.compute()) == bits(value(case, sample))


@pytest.mark.parametrize("sizes", list(itertools.product([100, 5000, 10000], repeat=2)), ids=str)
@pytest.mark.parametrize("begun", [False, True])
def test_what_was_accepted_unvalidated_does_not_spoil_later_chunks(
    sizes: tuple[int, int], begun: bool, rng: np.random.Generator
) -> None:
    loss = nl.BCELoss()
    chunks = [(rng.random(size, np.float32), rng.random(size, np.float32)) for size in (sizes[1] if begun else 0, *sizes, sizes[1])]
    strange = chunks[1][1]
    strange[1] = 1.5
    acc = loss.accumulator()
    for chunk in chunks:
        acc.update(*chunk, validate=chunk[1] is not strange)
    assert bits(acc.compute()) == bits(loss(*map(np.concatenate, zip(*chunks, strict=True)), validate=False))
    with pytest.raises(ValueError, match=r"input\[3\] is 2,"):
        acc.update(np.float32([0, 0, 0, 2]), np.zeros(4, np.float32))
    assert acc.count == sum(len(x) for x, _ in chunks)


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_an_unreduced_criterion_must_be_told_the_reduction(case: LossCase) -> None:
    sample, _ = batch(case.name, "float64", "none")
    maker = criterion(case, sample)
    with pytest.raises(ValueError, match="reduction"):
        maker.accumulator()
    with pytest.raises(ValueError, match="reduction"):
        maker.accumulator(reduction="none")
    for reduction in ("mean", "sum"):
        stream = maker.accumulator(reduction=reduction)
        stream.update(*sample.args)
        assert_within(stream.compute(), case.answer(sample, reduction=reduction).value, "many")


def test_the_reduction_of_a_stream_may_differ_from_the_criterion() -> None:
    case = CASE["cross_entropy"]
    sample, _ = batch(case.name, "float64", "mean")
    stream = criterion(case, sample).accumulator(reduction="sum")
    stream.update(*sample.args)
    assert_within(stream.compute(), case.answer(sample, reduction="sum").value, "many")


@pytest.mark.parametrize("case", LOSSES, ids=str)
def test_a_stream_of_another_loss_is_not_merged(case: LossCase) -> None:
    stream = getattr(nl, case.class_name)().accumulator()
    for other in LOSSES:
        if other is not case:
            with pytest.raises((TypeError, ValueError)):
                stream.merge(getattr(nl, other.class_name)().accumulator())
    with pytest.raises((TypeError, ValueError)):
        stream.merge(getattr(nl, case.class_name)(reduction="sum").accumulator())


def test_all_targets_ignored_is_nan_until_one_is_kept() -> None:
    stream = nl.CrossEntropyLoss().accumulator()
    stream.update(np.zeros((3, 2)), np.full(3, -100))
    assert stream.count == 0
    assert np.isnan(stream.compute())
    stream.update(np.zeros((1, 2)), np.array([1]))
    assert stream.count == 1
    x, y = np.zeros((4, 2)), np.array([-100, -100, -100, 1])
    assert_within(stream.compute(), CASE["cross_entropy"].reference(x, y).value, "few")


def test_chunks_with_inner_axes_are_split_along_the_batch(rng: np.random.Generator) -> None:
    case = CASE["cross_entropy"]
    x, y = rng.normal(size=(40, 3, 4, 5)).astype(np.float32), rng.integers(0, 3, (40, 4, 5))
    y[rng.random(y.shape) < 0.2] = 255
    sample = Sample({}, (x, y), {"ignore_index": 255, "reduction": "mean"}, None)
    whole = value(case, sample)
    assert_within(whole, case.answer(sample).value, "few")
    for chunks in cuts(rng, 40):
        stream = accumulated(case, criterion(case, sample), sample, chunks)
        assert bits(stream.compute()) == bits(whole)
        assert stream.count == kept(case, sample)
