"""
All that a call comes to, as bits: the value in every reduction and every gradient; and the data that tests of bits are
made of.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import ndloss as nl
import ndloss.functional as F
from calls import bits, quiet
from cases import CASE, CASES, LossCase
from samples import (
    REDUCTIONS,
    Sample,
    Shape,
    log_probabilities,
    logits,
    positive_weights,
    unit_targets,
)

SCALAR_UPSTREAM = -1.25
OPTIONAL_ARRAYS = ("weight", "pos_weight")

# Cases whose operands are any arrays of one shape; they have a `(N)` among their shapes, and no axis of classes.
# Gaussian terms cancel: what is promised of them is relative to their sizes, as `test_elementwise.py` has it.
ELEMENTWISE = tuple(
    c for c in CASES if "(N)" in c.axes.get("shape", ()) and "dim" not in c.constructor and c.name != "gaussian_nll_loss"
)
# What a case with an axis of classes can be given.
CLASS_KINDS: dict[str, tuple[str, ...]] = {
    "multilabel_soft_margin_loss": ("plain", "all options"),
    "cross_entropy": ("labels", "labels, all options", "probabilities", "probabilities, all options"),
    "nll_loss": ("labels", "labels, all options"),
    "multi_margin_loss": ("kept labels", "kept labels, all options"),
    "multilabel_margin_loss": ("label sets",),
    "softmax": ("plain",),
    "log_softmax": ("plain",),
}
ROWWISE = tuple((CASE[name], kind) for name, kinds in CLASS_KINDS.items() for kind in kinds)


def argnums(case: LossCase, sample: Sample) -> tuple[str, ...]:
    """The arguments that have a gradient in this call."""
    if case.name in CLASS_KINDS and len(sample.args) > 1 and np.ndim(sample.args[1]) < np.ndim(sample.args[0]):
        return ("input",)  # class indices
    return tuple(name for name in case.differentiable if name in case.operands or name in sample.kwargs)


def everything(case: LossCase, sample: Sample, reductions: tuple[str, ...] = REDUCTIONS, **options: Any) -> dict[str, Any]:
    """
    The results by name: the value in every reduction, the gradients of all but the sum. `options` go into the call.
    The value beside a gradient has the bits of the plain one.
    """
    function, names = getattr(F, case.name), argnums(case, sample)
    both = nl.value_and_grad(function, argnums=names)
    found: dict[str, Any] = {}
    with quiet():
        for reduction in reductions if case.is_loss else ("none",):
            keywords = {**sample.kwargs, **options} | ({"reduction": reduction} if case.is_loss else {})
            upstream = sample.grad_output if reduction == "none" else SCALAR_UPSTREAM
            found[reduction] = function(*sample.args, **keywords)
            if reduction == "sum":
                continue
            value, grads = both(*sample.args, grad_output=upstream, **keywords)
            assert bits(value) == bits(found[reduction]), f"{reduction}: the value beside the gradient is another one"
            found |= {f"{reduction}, d {name}": grad for name, grad in zip(names, grads, strict=True)}
    return found


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The names of results whose bits differ."""
    assert one.keys() == other.keys()
    return [name for name in one if bits(one[name]) != bits(other[name])]


def weighted(kind: str, sample: Sample) -> str:
    """The bound of that kind for a call with so many weights as the sample's."""
    weights = sum(name in sample.kwargs for name in OPTIONAL_ARRAYS)
    return kind + ("", ", 1 weight", ", 2 weights")[weights]


def with_upstream(case: LossCase, sample: Sample) -> Sample:
    """The sample without its reduction, and with an upstream gradient for 'none', no two elements of it the same."""
    kwargs = {name: value for name, value in sample.kwargs.items() if name != "reduction"}
    with quiet():
        out = np.asarray(getattr(F, case.name)(*sample.args, **kwargs, **({"reduction": "none"} if case.is_loss else {})))
    upstream = np.linspace(-1, 2, out.size).reshape(out.shape).astype(out.dtype)
    return Sample(sample.choices, sample.args, kwargs, upstream)


def batches(case: LossCase, dtype: str, rows: int) -> Iterator[Sample]:
    """Rows of random data: with the options of the case table, and without."""
    rng = np.random.default_rng([CASES.index(case), rows])
    if case.batch is None and case.is_loss:
        # Its operands have no batch axis in common: samples of the case table, far apart from each other.
        for sample in list(case.samples(rng, dtype))[:: max(len(list(case.combinations())) // 4, 1)]:
            yield with_upstream(case, sample)
        return
    if case.batch is None:
        kwargs = {"dim": 1} if "dim" in case.constructor else {}
        yield with_upstream(case, Sample({"options": "none"}, (logits(rng, (rows, 10), dtype),), kwargs, None))
        return
    drawn = case.batch(rng, dtype, rows)
    yield with_upstream(case, Sample({"options": "of the case table"}, drawn.args, drawn.kwargs, None))
    if drawn.kwargs:
        yield with_upstream(case, Sample({"options": "none"}, drawn.args, {}, None))


def flat(case: LossCase, rng: np.random.Generator, dtype: str, size: int) -> Iterator[Sample]:
    """One dimension of numbers all over the domain, its ends among them; without and with weights."""

    def operand(low: float, high: float) -> Any:
        return np.clip(rng.uniform(low - (high - low) / 50, high + (high - low) / 50, size), low, high).astype(dtype)

    args = tuple(operand(domain.low, domain.high) for domain in case.domain.values())
    if case.name == "soft_margin_loss":
        args = (args[0], np.copysign(1, args[1]).astype(dtype))  # a product of the two would be rounded first
    yield with_upstream(case, Sample({"size": str(size), "options": "none"}, args, {}, None))
    options = [name for name in OPTIONAL_ARRAYS if name in (*case.constructor, *case.axes)]
    if options:
        kwargs = {name: positive_weights(rng, (size,), dtype) for name in options}
        yield with_upstream(case, Sample({"size": str(size), "options": "all"}, args, kwargs, None))


def classes(case: LossCase, kind: str, rng: np.random.Generator, dtype: str, shape: Shape) -> Sample:
    """Operands of shape (N, C) or (N, C, inner); multi-label classes are the last axis."""
    count, rows = shape[-1 if case.name == "multilabel_soft_margin_loss" else 1], shape[:1] + shape[2:]
    x = (log_probabilities if case.name == "nll_loss" else logits)(rng, shape, dtype)
    args: tuple[Any, ...] = (x,)
    if kind.startswith("labels"):
        labels = rng.integers(0, max(count, 1), rows)
        args = (x, np.where(rng.random(rows) < 0.1, -100, labels) if "options" in kind else labels)
    elif kind.startswith("kept labels"):
        args = (x, rng.integers(0, count, rows))
    elif kind.startswith("label sets"):
        args = (x, np.where(np.arange(count) < rng.integers(0, 4, (shape[0], 1)), rng.integers(0, count, shape), -1))
    elif kind.startswith("probabilities"):
        shares = np.where(rng.random(shape) < 0.2, 0, rng.random(shape))
        args = (x, (shares / np.maximum(shares.sum(1, keepdims=True), 0.5)).astype(dtype))
    elif case.is_loss:
        args = (x, unit_targets(rng, shape, dtype, "soft"))
    kwargs: dict[str, Any] = {} if case.is_loss else {"dim": 1}
    if "options" in kind:
        kwargs["weight"] = positive_weights(rng, (count,), dtype)
        if "label_smoothing" in case.constructor:
            kwargs["label_smoothing"] = 0.125
    return with_upstream(case, Sample({"kind": kind, "shape": str(shape)}, args, kwargs, None))


def rows_of(sample: Sample, rows: slice) -> Sample:
    """Some rows of a sample: of its operands, of arrays beside them of the same shape, and of the upstream gradient."""
    shape = np.shape(sample.args[0])
    kwargs = {name: v[rows] if np.shape(v) == shape and shape else v for name, v in sample.kwargs.items()}
    return Sample(sample.choices, tuple(a[rows] for a in sample.args), kwargs, sample.grad_output[rows])


@contextmanager
def isa(name: str) -> Iterator[None]:
    """An instruction-set level, seen to be in use."""
    before = nl.get_isa()
    nl.set_isa(name)
    try:
        assert nl.get_isa() == name
        yield
    finally:
        nl.set_isa(before)


def tasks() -> set[str]:
    """The threads of this process. One that ends while they are listed hides another: they are listed several times."""
    return set().union(*(os.listdir("/proc/self/task") for _ in range(5)))


def threads_started(call: Callable[[], Any]) -> int:
    """How many threads a call starts: OpenMP keeps those of a fresh Python thread until that one ends."""
    started: set[str] = set()

    def run() -> None:
        before = tasks()
        call()
        started.update(tasks() - before)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return len(started)
