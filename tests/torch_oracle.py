"""
The same call in torch. Only golden/make_golden.py and the live half of the parity tests import this, so only they
need torch.

`sample_call` gives torch what it accepts (labels as int64, one floating dtype throughout): the differences D1-D4 and
D21 are about which dtypes are accepted, and numbers can only be compared where both sides answer. `outcome` calls
torch with exactly what was given.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional

from cases import CASE, LossCase
from samples import Sample

Array = npt.NDArray[Any]

# The arrays are a few dozen numbers; threads that wait for them cost more than the work.
torch.set_num_threads(1)
FUNCTIONS: dict[str, Any] = {"sigmoid": torch.sigmoid}
# What our names of distances mean.
DISTANCES: dict[str, Any] = {
    "euclidean": torch.nn.functional.pairwise_distance,
    "cosine": lambda a, b: 1 - torch.nn.functional.cosine_similarity(a, b, dim=-1),
    "l1": lambda a, b: torch.nn.functional.pairwise_distance(a, b, p=1),
}


def function(name: str) -> Any:
    return FUNCTIONS.get(name) or getattr(torch.nn.functional, name)


def tensor(value: Any, dtype: npt.DTypeLike | None = None) -> torch.Tensor:
    # torch has no tensor for read-only, byte-swapped or negatively strided arrays; a copy has none of these.
    return torch.from_numpy(np.array(value, dtype=dtype, order="C"))


def sample_call(case: LossCase, sample: Sample) -> tuple[Array, dict[str, Array]]:
    """Value and gradients (of every argument the oracle has one for), `grad_output` applied to the gradients only."""
    answer = case.answer(sample)
    named: dict[str, Any] = dict(zip(case.operands, sample.args, strict=True)) | dict(sample.kwargs)
    classes = ("cross_entropy", "nll_loss", "linear_cross_entropy", "multi_margin_loss", "multilabel_margin_loss")
    indices = case.name in classes and "target" not in answer.grads
    dtype = answer.dtype
    if isinstance(named.get("dtype"), np.dtype):
        dtype = named["input"].dtype if named["input"].dtype.kind == "f" else np.dtype(np.float32)
        named["dtype"] = torch.float64 if named["dtype"] == np.float64 else torch.float32
    integers = {"targets", "input_lengths", "target_lengths"} | ({"target"} if indices else set())
    for name, value in named.items():
        if isinstance(value, np.ndarray | np.integer):
            named[name] = tensor(value, np.int64 if name in integers else dtype)
    if "distance_function" in named:
        named["distance_function"] = DISTANCES[named["distance_function"]]
    for name in answer.grads:
        named[name].requires_grad_(True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # broadcasting
        value = function(case.name)(**named)
    upstream = torch.as_tensor(np.asarray(sample.grad_output), dtype=value.dtype)
    inputs = [named[name] for name in answer.grads]
    # A norm of p = 0 has no gradient in torch: that is one of 0.
    grads = torch.autograd.grad(value, inputs, upstream.expand(value.shape), allow_unused=True, materialize_grads=True)
    return value.detach().numpy(), {name: g.numpy() for name, g in zip(answer.grads, grads, strict=True)}


def outcome(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], wrt: tuple[str, ...] = ()) -> dict[str, Any]:
    """What torch does with a call as it stands: value and gradients, or the exception; and the warnings either way."""

    def given(value: Any) -> Any:
        return tensor(value) if isinstance(value, np.ndarray | np.generic) else value

    named: dict[str, Any] = {}
    positional: list[Any] = []
    result: dict[str, Any] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            named = {key: given(value) for key, value in kwargs.items()}
            positional = [given(value) for value in args]
            value = function(name)(*positional, **named)
            numbers = torch.view_as_real(value) if value.is_complex() else value
            result = {
                "value": numbers.tolist(),
                "shape": list(value.shape),
                "dtype": str(value.dtype).removeprefix("torch."),
            }
        except Exception as error:  # whatever torch raises is what is to be recorded
            result = {"exception": [type(error).__name__, str(error)]}
    result["warnings"] = sorted({(w.category.__name__, str(w.message)) for w in caught})
    if "value" in result and wrt:
        result["grads"] = _gradients(name, positional, named, wrt)
    return result


def _gradients(name: str, positional: list[Any], named: dict[str, Any], wrt: tuple[str, ...]) -> dict[str, Any]:
    where: dict[str, tuple[Any, Any]] = {argument: (positional, k) for k, argument in enumerate(CASE[name].operands)}
    where |= {argument: (named, argument) for argument in named}
    found: dict[str, Any] = {}
    for argument in wrt:
        container, key = where[argument]
        if not container[key].is_floating_point():
            continue
        container[key] = container[key].detach().requires_grad_(True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = function(name)(*positional, **named)
        try:
            (slope,) = torch.autograd.grad(value.sum(), [container[key]])
            found[argument] = slope.tolist()
        except RuntimeError as error:
            found[argument] = f"RuntimeError: {error}"
        container[key] = container[key].detach()
    return found
