"""
Sparse multi-label targets of scipy go through the dense call some rows at a time: the same numbers, the same errors,
and never more than a chunk of them dense.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import bits
from memory import peak_of
from ndloss import _sparse
from tolerances import bound
from ulp import worst

scipy_sparse = pytest.importorskip("scipy.sparse")

LOSSES = (F.binary_cross_entropy_with_logits, F.multilabel_soft_margin_loss)
CLASSES = {F.binary_cross_entropy_with_logits: nl.BCEWithLogitsLoss, F.multilabel_soft_margin_loss: nl.MultiLabelSoftMarginLoss}
FORMATS = ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")
REDUCTIONS = ("none", "mean", "sum")
SHAPES = ((90, 301), (1, 4), (0, 4), (4, 0))
SPARE_MIB = 16


@pytest.fixture(params=[1 << 14, _sparse.CHUNK_BYTES], ids="chunks of {} bytes".format)
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sparse, "CHUNK_BYTES", request.param)


def logits(shape: tuple[int, ...], dtype: str = "float32") -> Any:
    return np.random.default_rng(1).normal(0, 4, shape).astype(dtype)


def labels(shape: tuple[int, ...], dtype: str = "int64") -> Any:
    return (np.random.default_rng(2).random(shape) < 0.03).astype(dtype)


def weights(loss: Any, shape: tuple[int, ...]) -> list[dict[str, Any]]:
    rng = np.random.default_rng(3)
    drawn = [rng.integers(1, 9, shape[-1:]) / 8.0, rng.integers(1, 9, (shape[0], 1)) / 8.0, rng.integers(0, 9, shape) / 8.0]
    names = ("weight", "pos_weight") if loss is F.binary_cross_entropy_with_logits else ("weight",)
    return [{}, *({name: w.astype(np.float32)} for name in names for w in drawn), dict(zip(names, drawn, strict=False))]


def upstreams(loss: Any, reduction: str, shape: tuple[int, ...]) -> list[Any]:
    if reduction != "none":
        return [None, -1.25]
    whole = shape if loss is F.binary_cross_entropy_with_logits else shape[:-1]
    return [None, np.linspace(-1, 2, int(np.prod(whole))).reshape(whole), np.float32(0.5)]


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_a_sparse_target_is_like_a_dense_one(loss: Any, shape: tuple[int, int]) -> None:
    """Bit for bit; a gradient's factor before a mean may be rounded once more."""
    x, y = logits(shape), labels(shape)
    sparse = scipy_sparse.csr_array(y)
    for kwargs, reduction in itertools.product(weights(loss, shape), REDUCTIONS):
        assert bits(loss(x, sparse, reduction=reduction, **kwargs)) == bits(loss(x, y, reduction=reduction, **kwargs))
        for upstream in upstreams(loss, reduction, shape):
            keywords = {"reduction": reduction, "grad_output": upstream, **kwargs}
            value, grad = nl.value_and_grad(loss)(x, sparse, **keywords)
            due, due_grad = nl.value_and_grad(loss)(x, y, **keywords)
            assert bits(value) == bits(due)
            assert grad.dtype == due_grad.dtype
            assert grad.shape == due_grad.shape
            if reduction != "mean" or loss is F.binary_cross_entropy_with_logits:
                assert bits(grad) == bits(due_grad), (reduction, list(kwargs))
            else:
                assert worst(grad, due_grad) <= bound("merged", grad.dtype)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "float64"])
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_every_format_and_dtype_is_read_right(loss: Any, form: str, dtype: str) -> None:
    shape = (60, 31)
    for wide in ("float16", "float64"):
        x, y = logits(shape, wide), labels(shape, dtype)
        for kind in (scipy_sparse.coo_array, scipy_sparse.coo_matrix):
            sparse = kind(y).asformat(form)
            for reduction in REDUCTIONS:
                got, due = loss(x, sparse, reduction=reduction), loss(x, y, reduction=reduction)
                assert bits(got) == bits(due), (wide, reduction)


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_entries_may_stand_in_any_order_twice_and_be_zero(loss: Any) -> None:
    rng = np.random.default_rng(5)
    rows, columns = rng.integers(0, 200, 900), rng.integers(0, 40, 900)
    numbers = rng.integers(0, 3, 900) / 8.0
    coo = scipy_sparse.coo_array((numbers, (rows, columns)), (200, 40))
    pointers = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=200))])
    order = np.argsort(rows, kind="stable")
    csr = scipy_sparse.csr_array((numbers[order], columns[order], pointers), (200, 40))
    dense = np.zeros((200, 40))
    np.add.at(dense, (rows, columns), numbers)
    assert not csr.has_canonical_format
    assert (csr.data == 0).any()
    before = csr.indices.tobytes(), csr.data.tobytes()
    x = logits((200, 40))
    for sparse in (coo, csr, csr.tocsc()):
        assert bits(loss(x, sparse)) == bits(loss(x, dense))
        assert bits(nl.grad(loss)(x, sparse, reduction="sum")) == bits(nl.grad(loss)(x, dense, reduction="sum"))
    assert before == (csr.indices.tobytes(), csr.data.tobytes()), "the caller's matrix was changed"


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_input_may_be_anything_and_of_one_dimension(loss: Any) -> None:
    x, y = logits((60, 31)), labels((60, 31))
    sparse = scipy_sparse.csr_array(y)
    for given in (x.T.copy().T, x.astype(">f4"), x[::-1].copy()[::-1], memoryview(x), x.tolist()):
        assert bits(loss(given, sparse)) == bits(loss(given, y))
        assert bits(nl.grad(loss)(given, sparse, reduction="sum")) == bits(nl.grad(loss)(given, y, reduction="sum"))
    row = scipy_sparse.coo_array(y[0])
    if row.ndim == 1:  # scipy 1.13 on
        for reduction in REDUCTIONS:
            assert bits(loss(x[0], row, reduction=reduction)) == bits(loss(x[0], y[0], reduction=reduction))
            assert bits(nl.grad(loss)(x[0], row, reduction=reduction)) == bits(nl.grad(loss)(x[0], y[0], reduction=reduction))


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_classes_and_accumulators_take_sparse_targets(loss: Any) -> None:
    x, y = logits((150, 301)), labels((150, 301))
    sparse = scipy_sparse.csr_matrix(y)
    criterion = CLASSES[loss](weight=np.linspace(0, 1, 301, dtype=np.float32))
    assert bits(criterion(x, sparse)) == bits(criterion(x, y))
    one, other = criterion.accumulator(), criterion.accumulator()
    for begin, end in ((0, 7), (7, 130), (130, 150)):
        one.update(x[begin:end], sparse[begin:end])
        other.update(x[begin:end], y[begin:end])
    assert one.count == other.count
    assert bits(one.compute()) == bits(other.compute()) == bits(criterion(x, y))
    with pytest.raises(ValueError, match="target must have the shape of input"):
        one.update(x, sparse[:-1])
    assert bits(one.compute()) == bits(other.compute())


def test_what_is_wrong_is_said_as_for_a_dense_target() -> None:
    x, sparse = logits((6, 4)), scipy_sparse.csr_array(labels((6, 4)))
    for loss in LOSSES:
        with pytest.raises(ValueError, match=rf"^{loss.__name__}: target must have the shape of input, got target \(5, 4\)"):
            loss(x, sparse[:5])
        with pytest.raises(TypeError, match=rf"^{loss.__name__}: target must hold real numbers"):
            loss(x, sparse.astype(complex))
        with pytest.raises(ValueError, match="reduction must be"):
            loss(x, sparse, reduction="foo")
        with pytest.raises(ValueError, match="weight must broadcast to the shape of input"):
            loss(x, sparse, weight=np.ones(3))
        with pytest.raises(TypeError, match=r"no gradient for 'target': the target is sparse; pass target.toarray\(\)"):
            nl.grad(loss, argnums="target")(x, sparse)
        with pytest.raises(TypeError, match="unexpected keyword argument 'foo'"):
            loss(x, sparse, foo=1)
        with pytest.raises(TypeError, match=r"input is sparse \(csr_array\); pass input.toarray\(\)"):
            loss(sparse, x)
    with pytest.raises(TypeError, match=r"^mse_loss: target is sparse \(csr_array\); pass target.toarray\(\)"):
        F.mse_loss(x, sparse)


PEAK = """
import numpy as np, scipy.sparse, ndloss as nl, ndloss.functional as F
rng = np.random.default_rng(0)
x = rng.normal(0, 4, (20_000, 2_000)).astype(np.float16)
y = scipy.sparse.random_array(x.shape, density=0.001, format="csr", dtype=np.float32, rng=rng)
call = lambda: {call}
nl.{loss}(x[:10], y[:10])
"""


@pytest.mark.parametrize(("call", "results"), [("nl.{loss}(x, y)", 0), ("nl.value_and_grad(nl.{loss})(x, y)", 2 * 40_000_000)])
@pytest.mark.parametrize("loss", [loss.__name__ for loss in LOSSES])
def test_no_more_than_a_chunk_is_ever_dense(loss: str, call: str, results: int) -> None:
    """The whole target would be 160 MB."""
    assert peak_of(PEAK.format(call=call.format(loss=loss), loss=loss)) <= results / 2**20 + SPARE_MIB


def options_of_the_call() -> list[dict[str, Any]]:
    shape = (90, 31)
    rng = np.random.default_rng(7)
    weight, mask = rng.integers(0, 5, shape) / 4.0, rng.random(shape) < 0.7
    return [
        {"sample_weight": weight},
        {"mask": mask},
        {"sample_weight": weight, "mask": mask},
        {"dtype": "float64"},
        {"ignore_index": 1},
    ]


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_options_of_the_call_are_those_of_a_dense_target(loss: Any) -> None:
    x, y = logits((90, 31)), labels((90, 31))
    sparse = scipy_sparse.csr_array(y)
    for options in options_of_the_call():
        fitted = {n: v[:, 0] if loss is F.multilabel_soft_margin_loss and np.ndim(v) == 2 else v for n, v in options.items()}
        if loss is F.multilabel_soft_margin_loss and "ignore_index" in options:
            continue
        for reduction in REDUCTIONS:
            keywords = {**fitted, "reduction": reduction}
            got, due = loss(x, sparse, **keywords), loss(x, y, **keywords)
            if reduction == "none":
                assert bits(got) == bits(due), keywords
            else:
                assert worst(got, due) <= bound("merged", got.dtype), keywords
            for one, other in zip(
                (nl.grad(loss)(x, sparse, **keywords), *nl.grad_hess(loss)(x, sparse, **keywords)),
                (nl.grad(loss)(x, y, **keywords), *nl.grad_hess(loss)(x, y, **keywords)),
                strict=True,
            ):
                assert one.dtype == other.dtype
                assert worst(one, other) <= bound("merged", one.dtype), keywords
        assert loss(x, sparse, return_divisor=True, **fitted)[1] == loss(x, y, return_divisor=True, **fitted)[1]


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_results_go_where_they_are_wanted(loss: Any) -> None:
    x, y = logits((90, 31)), labels((90, 31))
    sparse = scipy_sparse.csr_array(y)
    due = loss(x, y, reduction="none")
    for out in (np.empty_like(due), np.empty(due.shape, np.float64), np.repeat(np.empty_like(due), 2, 0)[::2]):
        assert loss(x, sparse, reduction="none", out=out) is out
        assert np.array_equal(out, due)
    grad = np.empty_like(x)
    assert nl.grad(loss)(x, sparse, reduction="sum", out=grad) is grad
    assert bits(grad) == bits(nl.grad(loss)(x, y, reduction="sum"))
    itself = x.copy()
    assert nl.grad(loss)(itself, sparse, reduction="sum", out=itself) is itself
    assert bits(itself) == bits(grad)
    pair = np.empty_like(x), np.empty_like(x)
    assert nl.grad_hess(loss)(x, sparse, out=pair)[1] is pair[1]
    with pytest.raises(ValueError, match="out must have shape"):
        loss(x, sparse, reduction="none", out=np.empty(3, np.float32))
    empty = scipy_sparse.csr_array((0, 4), dtype=np.float32)
    assert loss(np.empty((0, 4), np.float32), empty, empty="zero") == 0
    if loss is F.multilabel_soft_margin_loss:
        assert bits(loss(x, sparse, axis=1)) == bits(loss(x, y))
        with pytest.raises(ValueError, match=r"axis must be the last beside a sparse target, got 0; pass input.T and target.T"):
            loss(x, sparse, axis=0)
