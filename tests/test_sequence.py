"""What only losses of sequences promise: labels checked, frames anywhere in memory, nothing that underflows."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import bits
from cases import CASE
from outcomes import differing, everything, isa
from samples import FLOATS, INDEX_DTYPES, Array, Sample
from samples_sequence import labels_without, log_softmax
from tolerances import assert_within

CASE_OF = CASE["ctc_loss"]


def drawn(rng: np.random.Generator, dtype: str, frames: int, samples: int, classes: int, labels: int) -> tuple[Any, ...]:
    x = log_softmax(rng.normal(0, 2, (frames, samples, classes))).astype(dtype)
    lengths = rng.integers(0, labels + 1, samples)
    return x, labels_without(rng, (samples, labels), 0, classes), np.full(samples, frames), lengths


def alignments(x: Array, labels: list[int], blank: int) -> tuple[float, Array]:
    """Probability of a sample and the share of every class in every frame, by naming every alignment."""
    frames = len(x)
    total, occupied = 0.0, np.zeros(x.shape)
    for path in product(range(2 * len(labels) + 1), repeat=frames):
        states = [-1, *path]
        classes_of = [blank if s % 2 == 0 else labels[s // 2] for s in path]
        steps = [b - a for a, b in zip(states, path, strict=False)]
        legal = states[1] <= 1 and states[-1] >= 2 * len(labels) - 1
        for t, step in enumerate(steps[1:], 1):
            skips = step == 2 and path[t] % 2 == 1 and classes_of[t] != classes_of[t - 1]
            legal = legal and (step in (0, 1) or skips)
        if legal:
            p = float(np.exp(sum(x[t, c] for t, c in enumerate(classes_of))))
            total += p
            occupied[range(frames), classes_of] += p
    return total, occupied / total


@pytest.mark.parametrize("labels", [[], [1], [0], [1, 1], [1, 0], [0, 1], [2, 1], [0, 0]], ids=str)
def test_it_is_the_sum_over_all_alignments(labels: list[int], rng: np.random.Generator) -> None:
    """Labels equal to the blank too (D22), where torch's gradient is another one."""
    x = log_softmax(rng.normal(0, 1, (4, 3)))
    total, occupied = alignments(x, labels, 0)
    value, grad = nl.value_and_grad(F.ctc_loss)(x, np.array(labels, int), 4, len(labels), reduction="sum")
    np.testing.assert_allclose(value, -np.log(total), rtol=1e-14)
    np.testing.assert_allclose(grad, np.exp(x) - occupied, atol=1e-14)
    np.testing.assert_allclose(grad.sum(-1), 0, atol=1e-14)


@pytest.mark.core
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("frames", "labels"), [(1, 1), (70, 15), (130, 16), (300, 40)])
def test_many_frames_keep_their_digits(dtype: str, frames: int, labels: int, rng: np.random.Generator) -> None:
    args = drawn(rng, dtype, frames, 3, 20, labels)
    answer = CASE_OF.reference(*args, reduction="none")
    value, grad = nl.value_and_grad(F.ctc_loss)(*args, reduction="none")
    assert_within(value, answer.value, "unreduced")
    assert_within(grad, answer.grads["log_probs"], "gradient")


@pytest.mark.core
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("spread", [50.0, 1e3, 1e5])
def test_nothing_underflows(dtype: str, spread: float, rng: np.random.Generator) -> None:
    x, *rest = drawn(rng, dtype, 40, 4, 6, 9)
    x = log_softmax(rng.normal(0, spread, x.shape)).astype(dtype)
    answer = CASE_OF.reference(x, *rest, reduction="none")
    value, grad = nl.value_and_grad(F.ctc_loss)(x, *rest, reduction="none")
    assert_within(value, answer.value, "unreduced")
    assert_within(grad, answer.grads["log_probs"], "gradient")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("never", [-1e9, -1e30, -3e38, -np.inf])
def test_a_class_may_be_ruled_out_by_any_number(dtype: str, never: float) -> None:
    x = np.log(np.full((5, 1, 3), 0.5, dtype))
    x[..., 2] = never
    value, grad = nl.value_and_grad(F.ctc_loss)(x, [[1, 1]], [5], [2], reduction="sum")
    without, slope = nl.value_and_grad(F.ctc_loss)(x[..., :2], [[1, 1]], [5], [2], reduction="sum")
    assert bits(value) == bits(without)
    assert bits(grad[..., :2].copy()) == bits(slope)
    assert (grad[..., 2] == 0).all()
    needed = F.ctc_loss(x, [[2]], [5], [1], reduction="sum")
    np.testing.assert_allclose(needed, -float(x[0, 0, 2]) - np.log(5 * 0.5**4), rtol=1e-6)


@pytest.mark.parametrize("concatenated", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_a_bad_label_is_found_wherever_it_is(reduction: str, concatenated: bool) -> None:
    samples, labels, classes = 20, 5, 7
    x = np.zeros((12, samples, classes), np.float32)
    lengths = np.array([3 + n % 3 for n in range(samples)])
    for dtype in INDEX_DTYPES:
        if dtype == "bool":
            continue
        bad = {classes, np.iinfo(dtype).max} | ({-1, np.iinfo(dtype).min} if np.issubdtype(dtype, np.signedinteger) else set())
        for sample, place, label in product((0, 7, 19), (0, 2), sorted(map(int, bad))):
            y = np.ones((samples, labels), dtype)
            y[sample, place] = label
            y[-1, 2] = label
            where = f"targets[{sample}, {place}]"
            if concatenated:
                y = np.concatenate([row[:n] for row, n in zip(y, lengths, strict=True)])
                where = f"targets[{lengths[:sample].sum() + place}], label {place} of sample {sample},"
            for function in (F.ctc_loss, nl.value_and_grad(F.ctc_loss)):
                with pytest.raises(IndexError) as caught:
                    function(x, y, np.full(samples, 12), lengths, reduction=reduction)
                said = f"ctc_loss: {where} is {label}, outside [0, {classes}). Target {label} is out of bounds."
                assert str(caught.value) == said


def test_what_pads_the_labels_is_not_looked_at(rng: np.random.Generator) -> None:
    x, y, inputs, lengths = drawn(rng, "float32", 12, 9, 6, 5)
    before = F.ctc_loss(x, y, inputs, lengths, reduction="none")
    y[np.arange(5) >= lengths[:, None]] = -100
    assert bits(F.ctc_loss(x, y, inputs, lengths, reduction="none")) == bits(before)


@pytest.mark.parametrize("dtype", FLOATS)
def test_frames_may_lie_anywhere(dtype: str, rng: np.random.Generator) -> None:
    x, *rest = drawn(rng, dtype, 11, 7, 6, 4)
    kwargs = {"grad_output": 1.5}
    value, grad = nl.value_and_grad(F.ctc_loss)(x, *rest, **kwargs)
    wide = np.full((22, 14, 6), np.nan, dtype)
    wide[::2, 1::2] = x
    forms = (
        wide[::2, 1::2],
        np.ascontiguousarray(x.transpose(1, 0, 2)).transpose(1, 0, 2),
        np.asfortranarray(x),
        x.astype(x.dtype.newbyteorder()),
        x[::-1].copy()[::-1],
    )
    for form in forms:
        assert not form.flags.c_contiguous or not form.dtype.isnative
        found, slope = nl.value_and_grad(F.ctc_loss)(form, *rest, **kwargs)
        assert bits(found) == bits(value)
        assert bits(slope) == bits(grad)


@pytest.mark.parametrize("dtype", FLOATS)
def test_threads_and_levels_have_the_same_bits(dtype: str, rng: np.random.Generator) -> None:
    sample = Sample({}, drawn(rng, dtype, 90, 33, 40, 20), {}, np.linspace(-1, 2, 33).astype(dtype))
    levels = [name for name in nl.available_isas() if name != "baseline"]
    found = []
    for name, threads in product(levels, (1, 2, 3)):
        with isa(name):
            found.append(everything(CASE_OF, sample, num_threads=threads))
    for other in found[1:]:
        assert differing(found[0], other) == []


def test_lengths_may_be_anything_that_counts(rng: np.random.Generator) -> None:
    x, y, inputs, lengths = drawn(rng, "float32", 9, 4, 6, 3)
    expected = bits(F.ctc_loss(x, y, inputs, lengths))
    for dtype in ("int32", "uint8", "uint64"):
        assert bits(F.ctc_loss(x, y, inputs.astype(dtype), lengths.astype(dtype))) == expected
    assert bits(F.ctc_loss(x, y, inputs.tolist(), tuple(lengths.tolist()))) == expected
    one = F.ctc_loss(x[:, 0], y[0, : lengths[0]], 9, int(lengths[0]))
    assert bits(one) == bits(F.ctc_loss(x[:, :1], y[:1], (9,), lengths[:1]))


def test_float16_is_computed_in_float32(rng: np.random.Generator) -> None:
    x, *rest = drawn(rng, "float16", 12, 5, 6, 4)
    value, grad = nl.value_and_grad(F.ctc_loss)(x, *rest)
    wide, slope = nl.value_and_grad(F.ctc_loss)(x.astype(np.float32), *rest)
    assert (value.dtype, grad.dtype) == (np.float16, np.float16)
    assert bits(value) == bits(wide.astype(np.float16))
    assert bits(grad) == bits(slope.astype(np.float16))
