"""The others who compute the same losses: torch eager and compiled, jax, scikit-learn's private ones, NumPy and SciPy.

Each builder returns a callable that takes nothing and gives the answer in its own type (`plain` turns it into NumPy's),
or None where the rival has no such loss or mode. Operands are converted before the clock starts.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

from timing import Contestant
from workloads import Array, Workload

Call = Callable[[], Any]

BCE_FAMILY = ("binary_cross_entropy_with_logits", "multilabel_soft_margin_loss")
WRITTEN_OUT = (*BCE_FAMILY, "mse_loss", "binary_cross_entropy", "nll_loss", "multi_margin_loss", "cross_entropy")


def contestants(workload: Workload, mode: str, threads: int, only: list[str]) -> list[Contestant]:
    """Every rival that is installed, wanted, and able."""
    found = []
    for name, (package, build) in RIVALS.items():
        if only and not any(word in name for word in only):
            continue
        if importlib.util.find_spec(package) is None:
            continue
        call = build(workload, mode, threads)
        if call is not None:
            found.append(Contestant(name, call))
    return found


def plain(answer: object) -> Any:
    """Return an answer as NumPy sees it: an array or number, or a pair of value and gradient."""
    if isinstance(answer, tuple):
        return tuple(np.asarray(part) for part in answer)
    return np.asarray(answer)


def torch_eager(workload: Workload, mode: str, threads: int) -> Call:
    return _torch(workload, mode, threads, compiled=False)


def torch_compile(workload: Workload, mode: str, threads: int) -> Call:
    return _torch(workload, mode, threads, compiled=True)


def _torch(workload: Workload, mode: str, threads: int, *, compiled: bool) -> Call:
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    loss = getattr(F, workload.loss)
    reduction = "none" if mode == "none" else "mean"

    def function(x: Any, *others: Any) -> Any:
        return loss(x, *others, reduction=reduction)

    run: Callable[[Any, Any], Any] = function
    if compiled:
        torch._dynamo.reset()
        run = torch.compile(function, dynamic=False)
    x, *others = map(torch.from_numpy, workload.operands)
    if mode != "value_and_grad":
        return lambda: run(x, *others)
    leaf = x.detach().requires_grad_(True)

    def forward_backward() -> tuple[Any, Any]:
        leaf.grad = None
        value = run(leaf, *others)
        value.backward()
        return value.detach(), leaf.grad

    return forward_backward


def jax_jit(workload: Workload, mode: str, threads: int) -> Call | None:
    jax: Any = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", workload.input.dtype == np.float64)
    unreduced = _optax(workload.loss)
    if unreduced is None:
        return None

    def mean(x: Any, y: Any) -> Any:
        return unreduced(x, y).mean()

    function = {"value": mean, "none": unreduced, "value_and_grad": jax.value_and_grad(mean)}[mode]
    run = jax.jit(function)
    x, y = jax.numpy.asarray(workload.input), jax.numpy.asarray(workload.target)
    return lambda: jax.block_until_ready(run(x, y))


def _optax(loss: str) -> Callable[[Any, Any], Any] | None:
    if importlib.util.find_spec("optax") is None:
        return None
    import optax

    named: dict[str, Callable[[Any, Any], Any]] = {
        "mse_loss": optax.losses.squared_error,
        "binary_cross_entropy_with_logits": optax.losses.sigmoid_binary_cross_entropy,
        "multilabel_soft_margin_loss": lambda x, y: optax.losses.sigmoid_binary_cross_entropy(x, y).mean(axis=-1),
        "cross_entropy": lambda x, y: optax.losses.softmax_cross_entropy_with_integer_labels(x, y, axis=1),
    }
    return named.get(loss)


def sklearn_loss(workload: Workload, mode: str, threads: int) -> Call | None:
    """scikit-learn's private losses give per-sample values and gradients; the mean is a second pass of NumPy's."""
    from sklearn import _loss as losses

    x, y = workload.input, workload.target
    scale = 1.0
    if workload.loss == "mse_loss":
        criterion, scale = losses.HalfSquaredError(), 2.0
    elif workload.loss == "binary_cross_entropy_with_logits":
        criterion = losses.HalfBinomialLoss()
    elif workload.loss == "cross_entropy" and x.ndim == 2:
        criterion = losses.HalfMultinomialLoss(n_classes=x.shape[1])
        y = y.astype(x.dtype)
    else:
        return None
    if mode == "none":
        return lambda: scale * criterion.loss(y_true=y, raw_prediction=x, n_threads=threads)
    if mode == "value":
        return lambda: scale * criterion.loss(y_true=y, raw_prediction=x, n_threads=threads).mean()

    def value_and_grad() -> tuple[Any, Any]:
        value, grad = criterion.loss_gradient(y_true=y, raw_prediction=x, n_threads=threads)
        grad *= x.dtype.type(scale / len(y))
        return scale * value.mean(), grad

    return value_and_grad


def numpy_scipy(workload: Workload, mode: str, threads: int) -> Call | None:
    """What one writes without a library of losses. NumPy uses one thread for all of this."""
    if mode == "value_and_grad" or workload.loss not in WRITTEN_OUT:
        return None
    if workload.loss == "cross_entropy" and importlib.util.find_spec("scipy") is None:
        return None
    x, y = workload.input, workload.target
    unreduced = _written_out(workload.loss, x, y)
    return unreduced if mode == "none" else lambda: unreduced().mean()


def _written_out(loss: str, x: Array, y: Array) -> Call:
    if loss == "mse_loss":
        return lambda: np.square(x - y)
    if loss == "binary_cross_entropy":
        return lambda: -(y * np.log(x) + (1 - y) * np.log1p(-x))
    if loss in BCE_FAMILY:
        if loss == "multilabel_soft_margin_loss":
            return lambda: (np.logaddexp(0, x) - y * x).mean(axis=-1)
        return lambda: np.logaddexp(0, x) - y * x
    if loss == "nll_loss":
        return lambda: -np.take_along_axis(x, y[:, None], axis=1)[:, 0]
    if loss == "multi_margin_loss":  # the target's own term is the margin, 1
        return lambda: (np.maximum(1 - np.take_along_axis(x, y[:, None], axis=1) + x, 0).sum(axis=1) - 1) / x.shape[1]
    from scipy.special import logsumexp

    return lambda: logsumexp(x, axis=1) - np.take_along_axis(x, y[:, None], axis=1)[:, 0]


RIVALS: dict[str, tuple[str, Callable[[Workload, str, int], Call | None]]] = {
    "torch eager": ("torch", torch_eager),
    "torch.compile": ("torch", torch_compile),
    "jax.jit": ("jax", jax_jit),
    "scikit-learn _loss": ("sklearn", sklearn_loss),
    "NumPy / SciPy": ("numpy", numpy_scipy),
}
