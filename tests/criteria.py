"""Classes whose constructors take more than options, made from a sample so that they are called as their function is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import ndloss as nl
from samples import Sample


class OfLinearSample:
    """`LinearCrossEntropyLoss` with the sample's parameters; the call's own `linear_weight` is what it has already."""

    def __init__(self, sample: Sample) -> None:
        _, w, _ = sample.args
        kwargs = dict(sample.kwargs)
        b = kwargs.pop("linear_bias", None)
        self.shapes = {"linear_weight": np.shape(w), "linear_bias": np.shape(b)}
        outer = np.shape(w)[1:-1]
        self.criterion = nl.LinearCrossEntropyLoss(np.shape(w)[-1], len(w), out_features=outer, bias=b is not None, **kwargs)
        self.criterion.linear.weight = np.reshape(w, self.criterion.linear.weight.shape)
        if b is not None:
            self.criterion.linear.bias = np.reshape(b, -1)

    def __call__(self, input: Any, linear_weight: Any, target: Any) -> Any:
        return self.criterion(input, target)

    def value_and_grad(self, input: Any, linear_weight: Any, target: Any, **how: Any) -> Any:
        value, grads = self.criterion.value_and_grad(input, target, **how)
        names = how.get("argnums", 0)
        if isinstance(names, tuple):
            return value, tuple(g.reshape(self.shapes.get(n, g.shape)) for n, g in zip(names, grads, strict=True))
        return value, grads.reshape(self.shapes.get(names, grads.shape))

    def grad(self, *args: Any, **how: Any) -> Any:
        return self.value_and_grad(*args, **how)[1]


MAKERS: dict[str, Callable[[Sample], Any]] = {"linear_cross_entropy": OfLinearSample}
