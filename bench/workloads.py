"""What is measured: each loss with its data, in the shapes people use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MODES = ("value", "value_and_grad", "none")
QUICK = 64  # a quick run has this many times fewer elements


@dataclass(frozen=True)
class Workload:
    """One loss on one pair of operands."""

    name: str
    loss: str
    input: Array
    target: Array
    others: tuple[Array, ...] = ()  # the operands after these two

    @property
    def operands(self) -> tuple[Array, ...]:
        return (self.input, self.target, *self.others)

    @property
    def elements(self) -> int:
        """The numbers a loss reads from its input: times are given per one of these."""
        return int(self.input.size)

    @property
    def bytes_read(self) -> int:
        return sum(int(operand.nbytes) for operand in self.operands)

    def bytes_written(self, mode: str) -> int:
        """Bytes of the array that a call of this mode returns."""
        if mode == "value_and_grad":
            return int(self.input.nbytes)
        if mode == "none":
            return self.outputs * self.input.itemsize
        return 0

    @property
    def outputs(self) -> int:
        """Elements of the unreduced loss."""
        if self.loss in ("cross_entropy", "nll_loss"):
            return int(self.target.size)
        if self.loss == "ctc_loss":
            return int(self.input.shape[1])
        if self.loss in (*VECTORS, "multilabel_soft_margin_loss", "multi_margin_loss", "multilabel_margin_loss"):
            return self.elements // int(self.input.shape[-1])
        return self.elements


@dataclass(frozen=True)
class Spec:
    """The recipe of a workload: its data are made when its turn comes."""

    name: str
    loss: str
    shape: tuple[int, ...]

    def make(self, dtype: str, *, quick: bool) -> Workload:
        shape = (max(self.shape[0] // QUICK, 1), *self.shape[1:]) if quick else self.shape
        if quick and self.shape[0] < QUICK:
            shape = (*shape[:-1], shape[-1] // (QUICK // self.shape[0]))
        rng = np.random.default_rng(20261101)
        if self.loss in VECTORS:
            return Workload(self.name, self.loss, *_vectors(self.loss, rng, shape, dtype))
        if self.loss in ("cross_entropy", "nll_loss"):
            logits = _aligned(shape, dtype)
            rng.standard_normal(out=logits, dtype=logits.dtype)
            logits *= 3
            if self.loss == "nll_loss":
                logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
            target = _aligned((shape[0], *shape[2:]), "int64")
            target[...] = rng.integers(0, shape[1], target.shape)
            return Workload(self.name, self.loss, logits, target)
        if self.loss in ("multi_margin_loss", "multilabel_margin_loss"):
            return Workload(self.name, self.loss, *_scores(rng, shape, dtype, several=self.loss == "multilabel_margin_loss"))
        if self.loss == "ctc_loss":
            return self._speech(shape, dtype, rng)
        x, y = _aligned(shape, dtype), _aligned(shape, dtype)
        if self.loss in ELEMENTWISE:
            return Workload(self.name, self.loss, *_elementwise(self.loss, rng, x, y))
        if self.loss == "mse_loss":
            rng.standard_normal(out=x, dtype=x.dtype)
            rng.standard_normal(out=y, dtype=y.dtype)
            return Workload(self.name, self.loss, x, y)
        if self.loss == "binary_cross_entropy":
            rng.random(out=x, dtype=x.dtype)
            np.clip(x, 1e-6, 1 - 1e-6, out=x)
        else:
            rng.standard_normal(out=x, dtype=x.dtype)
            x *= 3
        rng.random(out=y, dtype=y.dtype)
        if "soft targets" not in self.name:
            y[...] = y < 0.5
        return Workload(self.name, self.loss, x, y)

    def _speech(self, shape: tuple[int, ...], dtype: str, rng: np.random.Generator) -> Workload:
        """Log-probabilities of (frames, batch, classes), and half as many labels as classes for every sample."""
        frames, batch, classes = shape
        logits = _aligned(shape, dtype)
        rng.standard_normal(out=logits, dtype=logits.dtype)
        logits -= np.log(np.exp(logits).sum(axis=2, keepdims=True))
        target = rng.integers(1, classes, (batch, min(classes // 2, frames // 3)))
        return Workload(self.name, self.loss, logits, target, (np.full(batch, frames), np.full(batch, target.shape[1])))


def _elementwise(loss: str, rng: np.random.Generator, x: Array, y: Array) -> tuple[Any, ...]:
    """Operands of the losses that differ in nothing else."""
    rng.standard_normal(out=x, dtype=x.dtype)
    if loss == "kl_div":
        rng.random(out=y, dtype=y.dtype)
        y *= 0.75
        y += 0.25
        x[...] = np.log(y) - np.abs(x) - 0.25
        return x, y
    rng.standard_normal(out=y, dtype=y.dtype)
    if loss == "poisson_nll_loss":
        np.rint(np.exp(y, out=y), out=y)
    elif loss in ("soft_margin_loss", "hinge_embedding_loss"):
        np.copysign(1, y, out=y)
    third = _aligned(x.shape, x.dtype.name)
    if loss == "gaussian_nll_loss":
        rng.random(out=third, dtype=third.dtype)
        third += 1.0625
        return x, y, (third,)
    if loss == "margin_ranking_loss":
        rng.standard_normal(out=third, dtype=third.dtype)
        np.copysign(1, third, out=third)
        return x, y, (third,)
    return x, y


ELEMENTWISE = (
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "kl_div",
    "poisson_nll_loss",
    "gaussian_nll_loss",
    "soft_margin_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
)
SPECS = (
    *(Spec(name, name, (1 << 24,)) for name in ELEMENTWISE),
    Spec("mse_loss", "mse_loss", (1 << 24,)),
    Spec("binary_cross_entropy", "binary_cross_entropy", (1 << 24,)),
    Spec("binary_cross_entropy, soft targets", "binary_cross_entropy", (1 << 24,)),
    Spec("binary_cross_entropy_with_logits", "binary_cross_entropy_with_logits", (1 << 24,)),
    Spec("multilabel_soft_margin_loss 1Mx16", "multilabel_soft_margin_loss", (1 << 20, 16)),
    Spec("cross_entropy 1Mx10", "cross_entropy", (1 << 20, 10)),
    Spec("cross_entropy 131072x100", "cross_entropy", (1 << 17, 100)),
    Spec("cross_entropy 16384x1000", "cross_entropy", (16384, 1000)),
    Spec("cross_entropy 256x50257", "cross_entropy", (256, 50257)),
    Spec("cross_entropy 8x21x512x512", "cross_entropy", (8, 21, 512, 512)),
    Spec("nll_loss 1Mx10", "nll_loss", (1 << 20, 10)),
    Spec("nll_loss 8x21x512x512", "nll_loss", (8, 21, 512, 512)),
    Spec("multi_margin_loss 1Mx10", "multi_margin_loss", (1 << 20, 10)),
    Spec("multi_margin_loss 16384x1000", "multi_margin_loss", (16384, 1000)),
    Spec("multilabel_margin_loss 1Mx10", "multilabel_margin_loss", (1 << 20, 10)),
    Spec("multilabel_margin_loss 16384x1000", "multilabel_margin_loss", (16384, 1000)),
    Spec("ctc_loss 200x64x80, 40 labels", "ctc_loss", (200, 64, 80)),
    Spec("cosine_embedding_loss 65536x128", "cosine_embedding_loss", (1 << 16, 128)),
    Spec("cosine_embedding_loss 1Mx16", "cosine_embedding_loss", (1 << 20, 16)),
    Spec("triplet_margin_loss 65536x128", "triplet_margin_loss", (1 << 16, 128)),
    Spec("triplet_margin_loss 1Mx16", "triplet_margin_loss", (1 << 20, 16)),
)


VECTORS = ("cosine_embedding_loss", "triplet_margin_loss")


def _vectors(loss: str, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
    """Two or three arrays of vectors, and the labels of two."""
    arrays = [_aligned(shape, dtype) for _ in range(3 if loss == "triplet_margin_loss" else 2)]
    for array in arrays:
        rng.standard_normal(out=array, dtype=array.dtype)
    if loss == "cosine_embedding_loss":
        arrays.append(_aligned(shape[:1], dtype))
        arrays[-1][...] = np.where(rng.random(shape[:1]) < 0.5, 1, -1)
    return arrays[0], arrays[1], tuple(arrays[2:])


def chosen(names: list[str]) -> Iterator[Spec]:
    """Yield the recipes whose name contains one of the words; all without words."""
    for spec in SPECS:
        if not names or any(word in spec.name for word in names):
            yield spec


def _scores(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, *, several: bool) -> tuple[Array, Array]:
    """Return scores of classes, and one target a row or one to four of them before the -1."""
    scores = _aligned(shape, dtype)
    rng.standard_normal(out=scores, dtype=scores.dtype)
    if not several:
        target = _aligned(shape[:1], "int64")
        target[...] = rng.integers(0, shape[1], shape[0])
        return scores, target
    target = _aligned(shape, "int64")
    target[...] = -1
    some = rng.integers(0, shape[1], (shape[0], 4))
    target[:, :4] = np.where(np.arange(4) < rng.integers(1, 5, (shape[0], 1)), some, -1)
    return scores, target


def _aligned(shape: tuple[int, ...], dtype: str) -> Array:
    """Return an array that begins on a page, so that nobody is favoured by where an array happens to lie."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + 4096, dtype=np.uint8)
    offset = -raw.ctypes.data % 4096
    return raw[offset : offset + size].view(dtype).reshape(shape)
