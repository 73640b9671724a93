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
    more: tuple[Array, ...] = ()  # operands beyond the two that are counted

    @property
    def elements(self) -> int:
        """The numbers a loss reads from its input: times are given per one of these."""
        return int(self.input.size)

    @property
    def bytes_read(self) -> int:
        return int(self.input.nbytes + self.target.nbytes)

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
        if self.loss == "multilabel_soft_margin_loss":
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
        if self.loss in ("cross_entropy", "nll_loss"):
            logits = _aligned(shape, dtype)
            rng.standard_normal(out=logits, dtype=logits.dtype)
            logits *= 3
            if self.loss == "nll_loss":
                logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
            target = _aligned((shape[0], *shape[2:]), "int64")
            target[...] = rng.integers(0, shape[1], target.shape)
            return Workload(self.name, self.loss, logits, target)
        if self.loss == "ctc_loss":
            return self._speech(shape, dtype, rng)
        x, y = _aligned(shape, dtype), _aligned(shape, dtype)
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


SPECS = (
    Spec("mse_loss", "mse_loss", (1 << 24,)),
    Spec("binary_cross_entropy", "binary_cross_entropy", (1 << 24,)),
    Spec("binary_cross_entropy, soft targets", "binary_cross_entropy", (1 << 24,)),
    Spec("binary_cross_entropy_with_logits", "binary_cross_entropy_with_logits", (1 << 24,)),
    Spec("multilabel_soft_margin_loss 1Mx16", "multilabel_soft_margin_loss", (1 << 20, 16)),
    Spec("cross_entropy 1Mx10", "cross_entropy", (1 << 20, 10)),
    Spec("cross_entropy 16384x1000", "cross_entropy", (16384, 1000)),
    Spec("cross_entropy 256x50257", "cross_entropy", (256, 50257)),
    Spec("cross_entropy 8x21x512x512", "cross_entropy", (8, 21, 512, 512)),
    Spec("nll_loss 1Mx10", "nll_loss", (1 << 20, 10)),
    Spec("ctc_loss 200x64x80, 40 labels", "ctc_loss", (200, 64, 80)),
)


def chosen(names: list[str]) -> Iterator[Spec]:
    """Yield the recipes whose name contains one of the words; all without words."""
    for spec in SPECS:
        if not names or any(word in spec.name for word in names):
            yield spec


def _aligned(shape: tuple[int, ...], dtype: str) -> Array:
    """Return an array that begins on a page, so that nobody is favoured by where an array happens to lie."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + 4096, dtype=np.uint8)
    offset = -raw.ctypes.data % 4096
    return raw[offset : offset + size].view(dtype).reshape(shape)
