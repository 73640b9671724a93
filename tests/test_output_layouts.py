"""
A result is written where `out` says, whatever the layout and byte order of that array: it has the bits that a contiguous
array gets, and nothing between its elements is touched.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import bits
from cases import LossCase
from layouts import LAYOUTS
from memory import peak_of
from ndloss import _broadcast, _selected, _vectors
from outcomes import argnums
from samples import Array, Sample
from test_out_overlaps import CALLED, CURVED, call_of, gradients_into, second_derivatives_into, value_into
from weighted_rows import LOSSES as ROW_LOSSES
from weighted_rows import Loss as RowLoss

PLACES = (
    "F-order",
    "every second",
    "every second row",
    "scattered",
    "reversed",
    "first axis last",
    "unaligned",
    "of a record",
    "byte-swapped",
    "byte-swapped and scattered",
)
DTYPES = ("float16", "float32", "float64")
SPARE_MIB = 8

pytestmark = pytest.mark.filterwarnings("ignore::ndloss.BroadcastWarning")


class Place:
    """An array of zeros in some layout, and one like it that is contiguous."""

    def __init__(self, layout: str, shape: tuple[int, ...], dtype: Any) -> None:
        self.plain = np.zeros(shape, dtype)
        self.array = LAYOUTS[layout](self.plain)
        self.memory = self._whole().tobytes()

    def _whole(self) -> Array:
        memory: Array = self.array
        while isinstance(memory.base, np.ndarray):
            memory = memory.base
        return memory

    def same(self) -> bool:
        """Whether both have the same numbers by now, and what lies between those is what it was."""
        native = self.array.astype(self.plain.dtype)
        self.array[...] = 0
        return bits(native) == bits(self.plain) and self._whole().tobytes() == self.memory


def unweighed(sample: Sample) -> Sample:
    left = {name: value for name, value in sample.kwargs.items() if name not in ("sample_weight", "mask")}
    return Sample({}, sample.args, left, sample.grad_output)


@pytest.mark.parametrize("layout", PLACES)
@pytest.mark.parametrize("case", CALLED, ids=str)
def test_every_loss_writes_into_every_layout(case: LossCase, layout: str) -> None:
    dtype = DTYPES[PLACES.index(layout) % len(DTYPES)]
    for sample in (call_of(case), unweighed(call_of(case))):
        value = Place(layout, sample.grad_output.shape, dtype)
        for out in (value.plain, value.array):
            assert value_into(case, sample, out) is out
        assert value.same()
        names = argnums(case, sample)
        shapes = [np.shape(grad) for grad in gradients_into(case, sample, names)]
        places = [Place(layout, shape, dtype) for shape in shapes]
        gradients_into(case, sample, names, tuple(place.plain for place in places))
        gradients_into(case, sample, names, tuple(place.array for place in places))
        assert all(place.same() for place in places)


@pytest.mark.parametrize("layout", PLACES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sample_alone_goes_into_every_layout(layout: str, dtype: str, rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((2, 7)).astype(np.float32)
    calls: dict[Any, tuple[Any, ...]] = {
        F.cross_entropy: (x, 3),
        F.nll_loss: (x, 3),
        F.multi_margin_loss: (x, 3),
        F.multilabel_margin_loss: (x, np.array([3, 0, -1, 0, 0, 0, 0])),
        F.multilabel_soft_margin_loss: (x, (y > 0).astype(np.float32)),
        F.cosine_embedding_loss: (x, y, 1),
        F.triplet_margin_loss: (x, y, x[::-1]),
        F.ctc_loss: (F.log_softmax(np.outer(y, x), 1), np.array([1, 2]), 7, 2),
    }
    for loss, args in calls.items():
        place = Place(layout, args[0].shape, dtype)
        nl.grad(loss)(*args, out=place.plain)
        nl.grad(loss)(*args, out=place.array)
        assert place.same(), loss.__name__


@pytest.mark.parametrize("layout", PLACES)
@pytest.mark.parametrize("case", CURVED, ids=str)
def test_second_derivatives_go_into_every_layout(case: LossCase, layout: str) -> None:
    sample = unweighed(call_of(case))
    shape = np.shape(second_derivatives_into(case, sample)[0])
    for first, second in ((layout, "F-order"), ("every second row", layout), ("scattered", "scattered")):
        places = [Place(place, shape, dtype) for place, dtype in ((first, "float32"), (second, "float64"))]
        second_derivatives_into(case, sample, tuple(place.plain for place in places))
        second_derivatives_into(case, sample, tuple(place.array for place in places))
        assert all(place.same() for place in places)


def row_call(loss: RowLoss, shape: tuple[int, ...], axis: int) -> tuple[Array, Array]:
    """Logits and targets without options."""
    rng = np.random.default_rng(shape)
    x = rng.normal(size=shape).astype(np.float32)
    if loss.targets == "labels":
        return x, rng.integers(0, shape[axis], np.delete(shape, axis))
    if loss.targets == "probabilities":
        return x, np.moveaxis(rng.dirichlet(np.ones(shape[axis]), tuple(np.delete(shape, axis))), -1, axis).astype(np.float32)
    return x, rng.integers(0, shape[axis], shape)


@pytest.mark.parametrize("layout", PLACES)
@pytest.mark.parametrize(
    "shape", [(300, 10), (70, 300), (3, 5000), (2, 70_001), (2, 300_007), (2, 21, 30, 40), (2, 80, 9)], ids=str
)
@pytest.mark.parametrize("loss", ROW_LOSSES[2:], ids=str)
def test_rows_of_any_length_go_into_every_layout(loss: RowLoss, shape: tuple[int, ...], layout: str) -> None:
    if ("margin" in loss.name and len(shape) > 2) or (loss.targets == "label sets" and shape[1] > 5000):
        shape = (40, 70)
    x, y = row_call(loss, shape, 1)
    names = ("input", "target") if loss.targets == "probabilities" else ("input",)
    # Of the compute type, a kernel may write in place; both derivatives stand in layouts of their own.
    for dtype in ("float32", "float16"):
        places = [Place(kind, shape, dtype) for kind in (layout, "every second row")[: len(names)]]
        grad = nl.grad(getattr(F, loss.name), names)
        for outs in (tuple(place.plain for place in places), tuple(place.array for place in places)):
            grad(x, y, **loss.options, out=outs)
        assert all(place.same() for place in places)
        places = [Place(kind, shape, dtype) for kind in ("contiguous", layout)]
        for outs in (tuple(place.plain for place in places), tuple(place.array for place in places)):
            nl.grad_hess(getattr(F, loss.name))(x, y, **loss.options, out=outs)
        assert all(place.same() for place in places)
    value = Place(layout, tuple(np.delete(shape, 1)) if loss.name != "multilabel_margin_loss" else shape[:1], "float32")
    for out in (value.plain, value.array):
        getattr(F, loss.name)(x, y, **loss.options, reduction="none", out=out)
    assert value.same()


@pytest.mark.parametrize("threads", [2, 3, 7])
@pytest.mark.parametrize("layout", ["scattered", "first axis last"])
def test_threads_write_the_same_bits(threads: int, layout: str) -> None:
    rng = np.random.default_rng(threads)
    x, y = rng.normal(size=(2, 700, 1000)).astype(np.float32)
    place = Place(layout, x.shape, "float32")
    for number, out in ((1, place.plain), (threads, place.array)):
        nl.grad(F.huber_loss)(x, y, out=out, num_threads=number)
    assert place.same()


@pytest.mark.parametrize("layout", PLACES)
@pytest.mark.parametrize("sums", [3, 1 << 18])
def test_sums_over_copies_go_into_every_layout(layout: str, sums: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_broadcast, "SLAB", 1)
    monkeypatch.setattr(_broadcast, "SHARED_SUMS", sums)
    monkeypatch.setattr(_broadcast, "OWN_SUMS", 8)
    rng = np.random.default_rng(7)
    for shape, own in (((700, 30), (30,)), ((700, 30), (700, 1)), ((5, 40, 30), (1, 40, 1)), ((2, 9000), (9000,))):
        x, y = rng.normal(size=shape), rng.normal(size=own)
        places = [Place(layout, shape, "float32"), Place(layout, own, "float32")]
        for outs in (tuple(place.plain for place in places), tuple(place.array for place in places)):
            nl.grad(F.mse_loss, (0, 1))(x, y, out=outs)
        assert all(place.same() for place in places)
    x, y = rng.normal(size=(3, 20, 7)), rng.normal(size=(3, 1, 1))
    places = [Place(layout, x.shape, "float32"), Place(layout, y.shape, "float32")]
    for outs in (tuple(place.plain for place in places), tuple(place.array for place in places)):
        nl.grad(F.cosine_similarity, (0, 1))(x, y, dim=1, out=outs)
    assert all(place.same() for place in places)


@pytest.mark.parametrize("shape", [(9001, 3), (3, 3000, 5)])
def test_rows_that_count_differently_have_the_bits_of_one_slab(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(shape)
    x, y, z = rng.normal(size=(3, *shape))
    rows = shape[:-1]
    mask, weight, upstream = rng.random(rows) < 0.8, rng.uniform(0.5, 2, rows[-1:]), rng.normal(size=rows)
    x[~mask] = np.nan

    def results() -> list[Any]:
        options = {"sample_weight": weight, "mask": mask}
        found: list[Any] = [F.triplet_margin_loss(x, y, z, reduction="none", **options)]
        for reduction in ("mean", "sum", "none"):
            grad_output = {"grad_output": upstream} if reduction == "none" else {}
            both = nl.value_and_grad(F.triplet_margin_loss, (0, 1))
            value, grads = both(x, y, z, reduction=reduction, **options, **grad_output)
            found += [value, *grads, *both(x, y[..., :1], z, reduction=reduction, **options, **grad_output)[1]]
        return found

    whole = results()
    assert not any(np.isnan(np.asarray(one)).any() for one in whole)
    for module in (_selected, _vectors):
        monkeypatch.setattr(module, "SLAB_ROWS", 4096)
    monkeypatch.setattr(_broadcast, "SLAB", 1)
    assert [*map(bits, results())] == [*map(bits, whole)]


def test_elements_that_share_memory_are_written_last(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, 50, 40))
    memory = np.zeros(89)
    out = np.lib.stride_tricks.as_strided(memory, (50, 40), (8, 8))
    assert nl.grad(F.mse_loss)(x, y, out=out) is out
    expected = np.zeros(89)
    np.copyto(np.lib.stride_tricks.as_strided(expected, (50, 40), (8, 8)), nl.grad(F.mse_loss)(x, y))
    assert np.array_equal(memory, expected)


def test_a_strided_operand_may_be_replaced(rng: np.random.Generator) -> None:
    for function in (F.mse_loss, F.cross_entropy):
        x, y = rng.random((2, 5000, 8))
        for view in (x[::2, ::2], x[:, ::-1], x.T):
            target = np.ascontiguousarray(y[: view.shape[0], : view.shape[1]]) if view.shape[1] <= 8 else y.T.copy()
            wanted = nl.grad(function)(view.copy(), target)
            assert nl.grad(function)(view, target, out=view) is view
            assert bits(np.ascontiguousarray(view)) == bits(wanted)


PREPARATION = """
import numpy as np
import ndloss as nl, ndloss.functional as F

rows, columns = 2_200_000, 4  # 8.4 MiB of float32 for the rows alone
x = np.full((rows, columns), 0.5, np.float16)
labels, signs, mask = np.ones(rows, np.uint8), np.ones(rows, np.int8), np.ones(rows, np.bool_)
weight = np.broadcast_to(np.float16(2), rows)
speech, transcripts = np.full((200, 500, 80), -3, np.float16), np.ones((500, 20), np.int8)
lengths = [200] * 500, [20] * 500

def place(shape):
    return np.ones((*shape[:-1], 2 * shape[-1]), ">f4")[..., ::2]

out, beside, one, talk = place(x.shape), place(x.shape), place((rows,)), place(speech.shape)
y = np.full((2, 4, rows), 0.5, np.float16)
few = place(y[:1].shape)
"""
WRITTEN = {
    "a loss": "F.mse_loss(x, x, reduction='none', out=out)",
    "a gradient": "nl.grad(F.mse_loss)(x, x, out=out)",
    "two gradients": "nl.grad(F.mse_loss, (0, 1))(x, x[:, ::-1], out=(out, beside))",
    "a Hessian": "nl.grad_hess(F.poisson_nll_loss)(x, x, out=(out, beside))",
    "the gradient of a weight": "nl.grad(F.mse_loss, 'weight')(x, x, weight=x, out=out)",
    "the sums of a row": "nl.grad(F.mse_loss, 1)(x, x[:, :1], out=one[:, None])",
    "losses of rows": "F.cross_entropy(x, labels, reduction='none', out=one)",
    "a gradient of rows": "nl.grad(F.cross_entropy)(x, labels, out=out)",
    "gradients of rows": "nl.grad(F.cross_entropy, (0, 1))(x, x, out=(out, beside))",
    "a Hessian of rows": "nl.grad_hess(F.multi_margin_loss)(x, labels, p=2, out=(out, beside))",
    "a likelihood": "nl.grad(F.nll_loss)(x, labels, out=out)",
    "distances": "F.cosine_similarity(x, x, out=one)",
    "vectors": "nl.grad(F.cosine_embedding_loss, (0, 1))(x, x[:, ::-1], signs, out=(out, beside))",
    "weighed vectors": "nl.grad(F.cosine_embedding_loss)(x, x, signs, sample_weight=weight, mask=mask, out=out)",
    "weighed losses": "F.cosine_embedding_loss(x, x, signs, sample_weight=weight, mask=mask, reduction='none', out=one)",
    "weighed sums": "F.cosine_embedding_loss(x, x, signs, sample_weight=weight, mask=mask)",
    "sequences": "nl.grad(F.ctc_loss)(speech, transcripts, *lengths, out=talk)",
    "vectors that are broadcast": "nl.grad(F.triplet_margin_loss, 1)(y, y[:1], y, axis=1, out=few)",
    "an axis": "nl.grad(F.cross_entropy)(x.T, labels, axis=0, out=out.T)",
}


@pytest.mark.parametrize("what", WRITTEN)
def test_no_layout_takes_a_temporary(what: str) -> None:
    assert peak_of(f"{PREPARATION}\ndef call():\n    {WRITTEN[what]}\n") < SPARE_MIB * (2 if "broadcast" in what else 1)  # and sums
