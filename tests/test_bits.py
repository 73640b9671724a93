"""
The same bits, in value and gradient, for any number of threads, at every FMA-capable ISA level, in any memory layout,
at any alignment, in any run, and for a row whatever rows stand beside it. And at every size where a kernel changes its
ways, what these bits say is right.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import DTYPES, bits, drawn
from cases import CASE, CASES, LossCase
from layouts import LAYOUTS, at_offset, changed, overlapping_rows
from outcomes import (
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
    rows_of,
    threads_started,
    weighted,
)
from samples import FLOATS, REDUCTIONS, Sample, Shape
from tolerances import BATCHES, Judge

THREADS = (2, 3, 7)
RUNS = 1
FMA_ISAS = [level for level in nl.available_isas() if level != "baseline"]

MANY_ROWS = 200_003  # of three numbers and more: enough for a region of several threads
MANY_SEQUENCES = 20_003  # of 7 steps
ROWS = 260

ELEMENTWISE_SIZES = (0, 1, 31, 32, 33, 255, 257, 4095, 4096, 4097, 50_003)
CLASSES = (1, 2, 7, 8, 31, 32, 33, 63, 64, 65, 128)
LONG_ROWS = (4096, 65536, 65537, 300_000)
BATCH_SIZES = (1, 31, 32, 33, 255, 256, 257)
INNER_SIZES = (1, 5, 31, 32, 33, 100)
# Of the sizes beside a number of classes, so many in turn: all sizes come, and every few numbers of classes all of them.
SIZES_AT_A_TIME = 2


def many_rows(case: LossCase) -> int:
    return MANY_SEQUENCES if case.name == "ctc_loss" else MANY_ROWS


def in_turn(sizes: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Numbers of classes with sizes."""
    for turn, count in enumerate(CLASSES):
        for k in range(SIZES_AT_A_TIME):
            yield count, sizes[(SIZES_AT_A_TIME * turn + k) % len(sizes)]


SHAPES: tuple[Shape, ...] = (
    *((n, c) for c, n in in_turn(BATCH_SIZES)),
    (33, 1000),
    *((1, c) for c in LONG_ROWS),
)
INNER_SHAPES: tuple[Shape, ...] = (
    *((1 + inner % 3, c, inner) for c, inner in in_turn(INNER_SIZES)),
    (2, 1000, 33),
)
# Rows and classes with work for several threads: rows across and along the lanes, and one row at a time.
PARALLEL_SHAPES: tuple[Shape, ...] = ((60_000, 10), (12_000, 64), (1200, 1000), (3, 300_000))
# The oracle is slow: it sees every number of classes and every inner size, but not beside every number of rows.
JUDGED_ROWS = (1, 3, 33)
JUDGED_SIZE = 2**17
# The last axis is the one of multi-label classes.
# Losses whose rows may have more than one dimension beside that of the classes.
ROWWISE_INNER = tuple((case, kind) for case, kind in ROWWISE if "margin" not in case.name)
# The logits of a linear layer are NumPy's matrix products: their bits are its own.
OWN_BITS = tuple(case for case in CASES if case.name != "linear_cross_entropy")
# Small samples are many: every so many of them meet every layout. Sizes are many: each meets so many layouts, in turn.
LAYOUT_STRIDE = 7
LAYOUTS_AT_A_TIME = 2
# Layouts whose blocks are packed by whichever thread has them.
PACKED = ("first axis last", "byte-swapped and scattered")
WIDE = (301, 512)
WIDE_LAYOUTS = ("F-order", "every second row", "every second", "of a record", "byte-swapped and scattered")


def judge(case: LossCase, sample: Sample, found: dict[str, Any], judged: Judge) -> None:
    """Results against the oracle; of large ones the unreduced alone."""
    reductions = REDUCTIONS if case.is_loss and np.size(sample.args[0]) <= JUDGED_SIZE else ("none",)
    for name in reductions:
        options: dict[str, Any] = {"reduction": name} if case.is_loss else {}
        upstream = sample.grad_output if name == "none" else SCALAR_UPSTREAM
        answer = case.answer(sample, grad_output=upstream, **options)
        kind = weighted("unreduced", sample) if name == "none" else "many" if np.size(sample.grad_output) >= BATCHES[0] else "few"
        judged.compare(found[name], answer.value, kind, (name, sample))
        for argument in argnums(case, sample) if name != "sum" else ():
            grad = found[f"{name}, d {argument}"]
            judged.compare(grad, answer.grads[argument], weighted("gradient", sample), (f"{name}, d {argument}", sample))


def results_that_are_the_same_everywhere(case: LossCase, sample: Sample, turn: int) -> dict[str, Any]:
    """Results in one thread, once they are seen to be those of several, of every level, of the layouts whose turn it is."""
    expected = everything(case, sample, num_threads=1)

    def check(what: str, found: dict[str, Any]) -> None:
        assert differing(expected, found) == [], f"{what}: {sample}"

    check("threads", everything(case, sample, num_threads=THREADS[turn % len(THREADS)]))
    for level in FMA_ISAS[:-1]:
        with isa(level):
            check(level, everything(case, sample))
    for k in range(LAYOUTS_AT_A_TIME):
        layout = tuple(LAYOUTS)[(LAYOUTS_AT_A_TIME * turn + k) % len(LAYOUTS)]
        check(layout, everything(case, changed(sample, LAYOUTS[layout])))
    return expected


# ---- threads, runs, ISA levels ----


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", OWN_BITS, ids=str)
def test_any_number_of_threads_gives_the_same_bits(case: LossCase, dtype: str) -> None:
    for sample in itertools.islice(batches(case, dtype, many_rows(case)), None if dtype == "float32" else 1):
        serial = everything(case, sample, num_threads=1)
        for threads in THREADS:
            with nl.num_threads(threads):
                assert nl.get_num_threads() == threads
                assert differing(serial, everything(case, sample)) == [], f"{threads}: {sample}"


@pytest.mark.parametrize("case", OWN_BITS, ids=str)
def test_so_many_rows_are_shared_among_so_many_threads(case: LossCase) -> None:
    """The test above would compare nothing otherwise."""
    for sample in batches(case, "float32", many_rows(case)):
        for function in (getattr(F, case.name), nl.value_and_grad(getattr(F, case.name))):
            for threads in (1, *THREADS):

                def with_keyword(f: Any = function, s: Sample = sample, n: int = threads) -> None:
                    f(*s.args, **s.kwargs, num_threads=n)

                def in_context(f: Any = function, s: Sample = sample, n: int = threads) -> None:
                    with nl.num_threads(n):
                        f(*s.args, **s.kwargs)

                assert threads_started(with_keyword) == threads_started(in_context) == threads - 1


@pytest.mark.parametrize("shape", PARALLEL_SHAPES, ids=str)
@pytest.mark.parametrize(("case", "kind"), ROWWISE, ids=str)
def test_any_number_of_threads_gives_the_same_bits_for_rows_of_any_length(
    case: LossCase, kind: str, shape: Shape, rng: np.random.Generator
) -> None:
    sample = classes(case, kind, rng, "float32", shape)
    serial = everything(case, sample, num_threads=1)
    for threads in (THREADS[0], THREADS[-1]):
        assert differing(serial, everything(case, sample, num_threads=threads)) == [], f"{threads} threads"
    if case.name != "nll_loss":  # which reads one number of a row
        call = functools.partial(getattr(F, case.name), *sample.args, **sample.kwargs, num_threads=THREADS[-1])
        assert threads_started(call) == THREADS[-1] - 1


@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "hinge_embedding_loss"])
def test_sums_of_many_blocks_at_a_time_have_the_bits_of_one_at_a_time(name: str, rng: np.random.Generator) -> None:
    """Weights keep blocks apart, ones change no term. More elements than are joined at a time, the last block not whole."""
    x = rng.standard_normal((1 << 24) + 4096 + 77, dtype=np.float32)
    y = np.copysign(np.float32(1), x[::-1])
    loss = functools.partial(getattr(F, name), x, y, reduction="sum", dtype=np.float64)
    apart = bits(loss(sample_weight=np.ones(1, np.float32)))
    for level in FMA_ISAS:
        with isa(level):
            for threads in (1, *THREADS):
                assert bits(loss(num_threads=threads)) == apart, f"{level}, {threads} threads"


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("mse_loss", "float32"),
        ("mse_loss", "float64"),
        ("l1_loss", "float32"),
        ("smooth_l1_loss", "float32"),
        ("huber_loss", "float32"),
        ("hinge_embedding_loss", "float32"),
        ("margin_ranking_loss", "float32"),
    ],
)
def test_large_results_have_the_bits_of_their_parts(name: str, dtype: str, rng: np.random.Generator) -> None:
    """They go past the caches where they begin a line of one, and not where they don't."""
    size = (32 << 20) // np.dtype(dtype).itemsize + 4096 + 77
    whole = rng.standard_normal(size + 1).astype(dtype)
    operands = [whole[:-1], whole[:-1][::-1].copy(), np.copysign(np.ones(1, dtype), whole[1:])]
    operands = operands if name == "margin_ranking_loss" else operands[:: 2 if name == "hinge_embedding_loss" else 1][:2]
    loss = functools.partial(getattr(F, name), reduction="none")
    due = np.concatenate([loss(*(array[at : at + 65536] for array in operands)) for at in range(0, size, 65536)])

    derive = functools.partial(
        nl.grad(getattr(F, name), argnums=(0,) if name == "hinge_embedding_loss" else (0, 1)), reduction="sum"
    )
    slopes = [derive(*(array[at : at + 65536] for array in operands)) for at in range(0, size, 65536)]
    due_slopes = [np.concatenate(parts) for parts in zip(*slopes, strict=True)]

    def is_due(found: np.ndarray[Any, np.dtype[Any]]) -> bool:
        return np.array_equal(found.view(np.int32), due.view(np.int32))

    aside = np.empty(size + 16, dtype)
    for level in FMA_ISAS:
        for threads in (1, THREADS[-1]):
            with isa(level), nl.num_threads(threads):
                where = f"{level}, {threads} threads"
                assert is_due(loss(*operands)), where
                aside[:] = 7
                out = aside[1 : 1 + size]
                assert is_due(loss(*operands, out=out)), where
                assert aside[0] == 7, where
                assert (aside[1 + size :] == 7).all(), where
                owned = nl.grad(F.mse_loss)(operands[0], operands[0])
                owned[...] = operands[0]
                assert is_due(loss(owned, *operands[1:], out=owned)), where
                found = derive(*operands)
                assert all(map(np.array_equal, found, due_slopes)), where
                owned[...] = operands[0]
                derive(owned, *operands[1:], out=(owned, *found[1:]))
                assert np.array_equal(owned, due_slopes[0]), where


@pytest.mark.parametrize(("classes", "dtype"), [(3, "float32"), (10, "float32"), (10, "float64"), (700, "float32")])
def test_large_gradients_of_labels_are_one_slope_a_row(classes: int, dtype: str, rng: np.random.Generator) -> None:
    """They go past the caches where they begin a line of one, and not where they don't; some rows are left out."""
    rows = (32 << 20) // (classes * np.dtype(dtype).itemsize) + 4096 + 77
    x = rng.standard_normal((rows, classes)).astype(dtype)
    labels = rng.integers(0, classes, rows)
    labels[rng.integers(rows // 2, rows, rows // 16)] = -100
    kept = np.flatnonzero(labels >= 0)
    due = np.zeros_like(x)
    due[kept, labels[kept]] = -1
    aside = np.empty(x.size + 16, dtype)
    derive = nl.value_and_grad(F.nll_loss)
    values = set()
    for level in FMA_ISAS:
        for threads in (1, THREADS[-1]):
            with isa(level), nl.num_threads(threads):
                value, found = derive(x, labels, reduction="sum")
                assert np.array_equal(found, due), f"{level}, {threads} threads"
                aside[:] = 7
                out = aside[1 : 1 + x.size].reshape(x.shape)
                again, _ = derive(x, labels, reduction="sum", out=out)
                assert np.array_equal(out, due), f"{level}, {threads} threads, into out"
                assert aside[0] == 7
                assert (aside[1 + x.size :] == 7).all()
                values |= {bits(value), bits(again)}
    assert values == {bits(F.nll_loss(x, labels, reduction="sum"))}


def rows_past_the_caches(kind: str, rng: np.random.Generator) -> tuple[Any, tuple[np.ndarray[Any, Any], ...]]:
    """A loss of rows and operands of more than 32 MiB each; `kind` also says how wide its rows are."""
    name, width = kind.split("/")
    columns = int(width)
    rows = (32 << 20) // (columns * 4) + 77
    if name == "maps":
        operand = rng.standard_normal((2, columns, rows // 512 + 1, 256), dtype=np.float32)
        return F.cross_entropy, (operand, rng.integers(0, columns, (2, *operand.shape[2:])))
    x = rng.standard_normal((rows, columns), dtype=np.float32)
    if name in ("cosine_embedding_loss", "triplet_margin_loss"):
        others = [x[::-1].copy(), rng.standard_normal((rows, columns), dtype=np.float32)]
        return getattr(F, name), (x, *others) if name[0] == "t" else (x, others[1], np.sign(others[0][:, 0]))
    labels = rng.integers(0, columns, rows)
    if name == "multilabel_margin_loss":
        sets = np.full((rows, columns), -1)
        sets[:, :3] = rng.integers(0, columns, (rows, 3))
        return F.multilabel_margin_loss, (x, sets)
    if name == "cross_entropy":
        labels[rng.integers(rows // 2, rows, rows // 16)] = -100
    return getattr(F, name), (x, labels)


@pytest.mark.parametrize(
    "kind",
    [
        "cross_entropy/2",
        "cross_entropy/10",
        "cross_entropy/255",
        "cross_entropy/999",
        "cross_entropy/50257",
        "maps/21",
        "multi_margin_loss/10",
        "multi_margin_loss/999",
        "multi_margin_loss/5000",
        "multilabel_margin_loss/12",
        "multilabel_margin_loss/300",
        "cosine_embedding_loss/64",
        "triplet_margin_loss/601",
    ],
)
def test_large_gradients_of_rows_are_those_of_their_parts(kind: str, rng: np.random.Generator) -> None:
    """Gradients of more than 32 MiB go past the caches, wherever they begin; of fewer rows they do not."""
    loss, operands = rows_past_the_caches(kind, rng)
    derive = functools.partial(nl.value_and_grad(loss), reduction="sum")
    x = operands[0]
    cuts = range(0, len(x), 1) if kind == "maps/21" else range(0, len(x), len(x) // 5)
    step = cuts.step
    aside = np.empty(x.size + 32, np.float32)
    for level in FMA_ISAS:
        with isa(level):
            due = np.concatenate([derive(*(array[at : at + step] for array in operands))[1] for at in cuts]).view(np.int32)
            values = set()
            for threads in (1, THREADS[-1]):
                with nl.num_threads(threads):
                    value, found = derive(*operands)
                    where = f"{level}, {threads} threads"
                    assert np.array_equal(found.view(np.int32), due), where
                    begin = 1 if threads == 1 else 16 - aside.__array_interface__["data"][0] % 64 // 4
                    aside[:] = 7
                    out = aside[begin : begin + x.size].reshape(x.shape)
                    again, _ = derive(*operands, out=out)
                    assert np.array_equal(out.view(np.int32), due), f"{where}, into out"
                    assert (aside[:begin] == 7).all(), where
                    assert (aside[begin + x.size :] == 7).all(), where
                    out[...] = x
                    last, _ = derive(out, *operands[1:], out=out)
                    assert np.array_equal(out.view(np.int32), due), f"{where}, in place"
                    values |= {bits(value), bits(again), bits(last)}
            assert len(values) == 1, level


@pytest.mark.parametrize("case", OWN_BITS, ids=str)
def test_every_run_gives_the_same_bits(case: LossCase) -> None:
    for sample in batches(case, "float32", many_rows(case)):
        first = everything(case, sample, num_threads=THREADS[-1])
        for run in range(RUNS):
            assert differing(first, everything(case, sample, num_threads=THREADS[-1])) == [], f"run {run}: {sample}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", OWN_BITS, ids=str)
def test_every_isa_with_fma_gives_the_same_bits(case: LossCase, dtype: str, compared: Counter[str]) -> None:
    if len(FMA_ISAS) < 2:
        pytest.skip(f"this machine has one level with FMA at most: {nl.available_isas()}")
    samples = [sample for sample, _ in drawn(case.name, dtype) if sample.kwargs.get("reduction", "none") == "none"]
    samples += [sample for rows in BATCHES for sample in batches(case, dtype, rows)]
    found = []
    for level in FMA_ISAS:
        with isa(level):
            found.append([everything(case, sample) for sample in samples])
    for results in zip(samples, *found, strict=True):
        sample, first, *others = results
        for other in others:
            assert differing(first, other) == [], f"{FMA_ISAS}: {sample}"
            compared["results of two ISA levels, bit for bit"] += len(first)


# ---- alignment, layout, rows ----


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", OWN_BITS, ids=str)
def test_any_alignment_gives_the_same_bits(case: LossCase, dtype: str) -> None:
    for sample in batches(case, dtype, ROWS):
        expected = everything(case, sample)
        for offset in range(64):
            moved = changed(sample, functools.partial(at_offset, offset=offset))
            assert differing(expected, everything(case, moved)) == [], f"{offset} bytes: {sample}"
            for k in range(len(sample.args)):  # and one operand alone
                args = tuple(at_offset(a, offset) if i == k else a for i, a in enumerate(sample.args))
                alone = Sample(sample.choices, args, sample.kwargs, sample.grad_output)
                assert differing(expected, everything(case, alone)) == [], f"{offset} bytes, operand {k}: {sample}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", OWN_BITS, ids=str)
def test_any_layout_gives_the_same_bits(case: LossCase, dtype: str) -> None:
    samples = [sample for sample, _ in drawn(case.name, dtype) if sample.kwargs.get("reduction", "none") == "none"]
    for sample in [*samples[::LAYOUT_STRIDE], *batches(case, dtype, ROWS), *batches(case, dtype, BATCHES[-1])]:
        expected = everything(case, sample)
        for layout, change in LAYOUTS.items():
            assert differing(expected, everything(case, changed(sample, change))) == [], f"{layout}: {sample}"


@pytest.mark.parametrize("case", OWN_BITS, ids=str)
def test_any_layout_gives_the_same_bits_in_several_threads(case: LossCase) -> None:
    for sample in batches(case, "float32", many_rows(case)):
        expected = everything(case, sample, num_threads=1)
        for layout in PACKED:
            found = everything(case, changed(sample, LAYOUTS[layout]), num_threads=THREADS[-1])
            assert differing(expected, found) == [], f"{layout}: {sample}"


@pytest.mark.parametrize("case", ELEMENTWISE, ids=str)
def test_wide_rows_of_many_blocks_have_the_bits_of_copies(case: LossCase, rng: np.random.Generator) -> None:
    """More elements than a thread takes at a time, in rows wider than what is packed at once."""
    rows, columns = WIDE
    for sample in flat(case, rng, "float32", rows * columns):
        whole = changed(sample, lambda array: array.reshape(WIDE))
        expected = everything(case, whole, num_threads=1)
        for layout in WIDE_LAYOUTS:
            for threads in (1, THREADS[1]):
                found = everything(case, changed(whole, LAYOUTS[layout]), num_threads=threads)
                assert differing(expected, found) == [], f"{layout}, {threads} threads: {sample}"
        if not case.is_loss or case.name == "multilabel_soft_margin_loss":
            continue
        for shape in ((columns,), (rows, 1), (1, 1)):
            weights = rng.random(shape).astype(np.float32)
            for name, given in (("sample_weight", weights), ("mask", weights < 0.7)):
                copies = everything(case, whole, **{name: np.broadcast_to(given, WIDE).copy()})
                for threads in (1, THREADS[1]):
                    found = everything(case, whole, **{name: given}, num_threads=threads)
                    assert differing(copies, found) == [], f"{name} {shape}, {threads} threads: {sample}"


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", OWN_BITS, ids=str)
def test_a_row_repeated_by_a_stride_of_zero_gives_the_bits_of_copies(case: LossCase, dtype: str) -> None:
    for sample in batches(case, dtype, ROWS):
        whole = tuple(np.broadcast_to(a[:1], a.shape) for a in sample.args)
        copies = Sample(sample.choices, tuple(a.copy() for a in whole), sample.kwargs, sample.grad_output)
        expected = everything(case, copies)
        for k in range(len(whole)):
            args = tuple(whole[i] if i == k else copies.args[i] for i in range(len(whole)))
            one = Sample(sample.choices, args, sample.kwargs, sample.grad_output)
            assert differing(expected, everything(case, one)) == [], f"operand {k}: {sample}"
        upstream = np.broadcast_to(sample.grad_output[:1], sample.grad_output.shape)
        every = Sample(sample.choices, whole, sample.kwargs, upstream)
        plain = Sample(sample.choices, copies.args, sample.kwargs, upstream.copy())
        assert differing(everything(case, plain), everything(case, every)) == [], str(sample)


def test_overlapping_rows_give_the_bits_of_copies(rng: np.random.Generator) -> None:
    for width in (5, 64, 1000):
        rows = overlapping_rows(rng.normal(0, 4, width + 7 * ROWS).astype(np.float32), width)
        labels = rng.integers(0, width, len(rows))
        for case in (CASE["cross_entropy"], CASE["nll_loss"]):
            upstream = np.linspace(-1, 1, len(rows)).astype(np.float32)
            expected = everything(case, Sample({}, (rows.copy(), labels), {}, upstream))
            assert differing(expected, everything(case, Sample({}, (rows, labels), {}, upstream))) == []


def assert_rows_are_their_own(case: LossCase, sample: Sample) -> None:
    """Unreduced values and gradients of some rows are those of the whole."""
    whole = everything(case, sample, ("none",))
    n = len(sample.args[0])
    shared = ["none", *(f"none, d {name}" for name in argnums(case, sample) if name in case.operands)]
    for begin, end in ((0, 1), (31, 32), (32, 33), (n - 1, n), (1, n), (n // 3, n // 2 + 7)):
        if 0 <= begin < end <= n:
            part = everything(case, rows_of(sample, slice(begin, end)), ("none",))
            for name in shared:
                assert bits(part[name]) == bits(whole[name][begin:end]), f"{name}, rows {begin} to {end}: {sample}"


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", [c for c in OWN_BITS if not c.batch_axes], ids=str)
def test_a_row_has_its_bits_alone_and_among_others(case: LossCase, dtype: str) -> None:
    for rows in (ROWS, BATCHES[-1]):
        for sample in batches(case, dtype, rows):
            assert_rows_are_their_own(case, sample)


# ---- sizes at which kernels change ----


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", ELEMENTWISE, ids=str)
def test_elements_of_any_number_are_right_and_have_their_bits(
    case: LossCase, dtype: str, rng: np.random.Generator, compared: Counter[str]
) -> None:
    with Judge() as judged:
        for turn, size in enumerate(ELEMENTWISE_SIZES):
            for sample in flat(case, rng, dtype, size):
                judge(case, sample, results_that_are_the_same_everywhere(case, sample, turn), judged)
                assert_rows_are_their_own(case, sample)
                compared["sizes, elementwise"] += 1


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("case", "kind"), ROWWISE, ids=str)
def test_rows_of_any_number_and_length_are_right_and_have_their_bits(
    case: LossCase, kind: str, dtype: str, rng: np.random.Generator, compared: Counter[str]
) -> None:
    with Judge() as judged:
        for turn, shape in enumerate(SHAPES):
            sample = classes(case, kind, rng, dtype, shape)
            found = results_that_are_the_same_everywhere(case, sample, turn)
            assert_rows_are_their_own(case, sample)
            compared["sizes, rows of classes"] += 1
            if shape[0] in JUDGED_ROWS:
                judge(case, sample, found, judged)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("case", "kind"), ROWWISE_INNER, ids=str)
def test_rows_with_inner_axes_are_right_and_have_their_bits(
    case: LossCase, kind: str, dtype: str, rng: np.random.Generator, compared: Counter[str]
) -> None:
    with Judge() as judged:
        for turn, shape in enumerate(INNER_SHAPES):
            sample = classes(case, kind, rng, dtype, shape)
            judge(case, sample, results_that_are_the_same_everywhere(case, sample, turn), judged)
            compared["sizes, rows with inner axes"] += 1


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("case", "kind"), ROWWISE_INNER, ids=str)
def test_rows_with_inner_axes_have_the_bits_of_rows(case: LossCase, kind: str, dtype: str, rng: np.random.Generator) -> None:
    """The order of summation depends on the number of classes alone."""

    def flattened(array: Any, classes_too: bool) -> Any:
        return np.moveaxis(array, 1, -1).reshape(-1, array.shape[1]) if classes_too else array.reshape(-1)

    for shape in INNER_SHAPES:
        sample = classes(case, kind, rng, dtype, shape)
        labelled = argnums(case, sample) == ("input",) and case.is_loss
        x, *rest = sample.args
        args = (flattened(x, True), *(flattened(y, not labelled) for y in rest))
        upstream = flattened(sample.grad_output, not case.is_loss)
        one = everything(case, sample)
        other = everything(case, Sample(sample.choices, args, sample.kwargs, upstream))
        for name, result in one.items():
            if np.ndim(result) > 1 and "weight" not in name:
                result = flattened(result, name != "none" or not case.is_loss)
            assert bits(result) == bits(other[name]), f"{name}: {sample}"
