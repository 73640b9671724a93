"""Time and memory of `linear_cross_entropy` beside its matrix products alone and torch, each in a process of its own.

    python bench/bench_linear.py                       # 2048 x 768 -> 50,257, float32
    python bench/bench_linear.py --samples 512 --classes 8192 --repeats 5

"products" are those that no method can do without, made by NumPy chunk by chunk: X W^T for the value; that, G W and G^T X for the
gradients of input and weight. Memory is the peak resident size above what the process holds with the operands made, the results
(gradients) included. `OPENBLAS_CORETYPE` and `OPENBLAS_L2_SIZE` are taken out of the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

import peaks
from machine import cores, describe
from results import of_threads, parser, table, write

MODES = ("value", "value and gradients")
CONTESTANTS = ("products", "ndloss", "torch, options=", "torch")
VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
MIB = 2**20


@dataclass(frozen=True)
class Linear:
    """One contestant in one mode. Without figures when it failed; `why` says so."""

    layer: str
    mode: str
    contestant: str
    seconds: float | None = None
    spread: float | None = None
    products: float | None = None  # times the time of the products
    mib: float | None = None
    loss: float | None = None
    why: str = ""


def main() -> int:
    options = _options()
    if options.one is not None:
        print(json.dumps(_one(options, *options.one)))
        return 0
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    for name in VARIABLES:
        os.environ.pop(name, None)
    facts = describe(ours=True)
    layer = f"{options.samples} x {options.features} -> {options.classes}, {options.dtype}, {of_threads(options.threads)}"
    rows: list[Linear] = []
    for mode in MODES:
        products = 0.0
        for contestant in CONTESTANTS:
            command = [sys.executable, __file__, *sys.argv[1:], "--one", contestant, mode]
            run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
            if run.returncode != 0:
                rows.append(Linear(layer, mode, contestant, why=run.stderr.strip().splitlines()[-1]))
                continue
            found = json.loads(run.stdout)
            products = found["seconds"] if contestant == "products" else products
            found["loss"] = None if isnan(found["loss"]) else found["loss"]
            ratio = found["seconds"] / products if products else None
            rows.append(Linear(layer, mode, contestant, products=ratio, **found))
    write(options, "linear", "Linear cross entropy", facts, rows, body(rows))
    return 1 if any(row.why and row.contestant == "ndloss" for row in rows) else 0


def body(rows: Sequence[Linear]) -> list[str]:
    """Return the table of all contestants."""
    found = []
    for row in rows:
        if row.seconds is None or row.mib is None:
            found.append([row.mode, row.contestant, row.why, "", "", ""])
            continue
        ratio = "" if row.products is None else f"{row.products:.2f}"
        loss = "" if row.loss is None else f"{row.loss:.6f}"
        found.append([row.mode, row.contestant, f"{row.seconds:.3g}", ratio, f"{row.mib:.0f}", loss])
    layers = ", ".join(dict.fromkeys(row.layer for row in rows))
    return [f"{layers}:", "", *table(["mode", "contestant", "s", "of the products", "MiB", "loss"], found, left=2)]


def _options() -> argparse.Namespace:
    options = parser(__doc__)
    options.add_argument("--samples", type=int, default=2048)
    options.add_argument("--features", type=int, default=768)
    options.add_argument("--classes", type=int, default=50_257)
    options.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    options.add_argument("--threads", type=int, default=len(cores()))
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--one", nargs=2, metavar=("CONTESTANT", "MODE"), help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.quick:
        chosen.samples, chosen.features, chosen.classes = 128, 64, 4096
    return chosen


def _one(options: argparse.Namespace, contestant: str, mode: str) -> dict[str, float]:
    rng = np.random.default_rng(20261101)
    x = rng.standard_normal((options.samples, options.features), dtype=options.dtype)
    w = rng.standard_normal((options.classes, options.features), dtype=options.dtype)
    w *= 0.05
    y = rng.integers(0, options.classes, options.samples)
    makers = {"products": _products, "ndloss": _ndloss, "torch": _torch, "torch, options=": _torch_chunked}
    call = makers[contestant](options, mode == MODES[1], x, w, y)
    before = peaks.resident()
    seconds = []
    loss = float("nan")
    for _ in range(options.repeats + 1):
        start = time.perf_counter()
        loss = call()
        seconds.append(time.perf_counter() - start)
    best = min(seconds[1:])
    spread = statistics.median(seconds[1:]) / best - 1
    return {"seconds": best, "spread": spread, "mib": (peaks.peak() - before) / MIB, "loss": loss}


def _products(options: argparse.Namespace, gradients: bool, x: Any, w: Any, y: Any) -> Callable[[], float]:
    rows = max(64 * MIB // (options.classes * x.itemsize), 1)
    logits = np.empty((rows, options.classes), x.dtype)

    def call() -> float:
        dx, dw = np.empty_like(x), np.empty_like(w)
        for start in range(0, len(x), rows):
            part = x[start : start + rows]
            slopes = logits[: len(part)]
            np.matmul(part, w.T, out=slopes)
            if gradients:
                np.matmul(slopes, w, out=dx[start : start + rows])
                np.matmul(slopes.T, part, out=dw)
        return float("nan")

    return call


def _ndloss(options: argparse.Namespace, gradients: bool, x: Any, w: Any, y: Any) -> Callable[[], float]:
    import ndloss as nl
    import ndloss.functional as F

    nl.set_num_threads(options.threads)
    both = nl.value_and_grad(F.linear_cross_entropy, argnums=("input", "linear_weight"))
    if gradients:
        return lambda: float(both(x, w, y)[0])
    return lambda: float(F.linear_cross_entropy(x, w, y))


def _torch(options: argparse.Namespace, gradients: bool, x: Any, w: Any, y: Any, how: Any = None) -> Callable[[], float]:
    import torch
    from torch.nn.functional import linear_cross_entropy

    torch.set_num_threads(options.threads)
    a, b, c = map(torch.from_numpy, (x, w, y))
    if gradients:
        a.requires_grad_(True)
        b.requires_grad_(True)

    def call() -> float:
        loss = linear_cross_entropy(a, b, c, options=how)
        if gradients:
            torch.autograd.grad(loss, (a, b))
        return float(loss.detach())

    return call


def _torch_chunked(options: argparse.Namespace, gradients: bool, x: Any, w: Any, y: Any) -> Callable[[], float]:
    import torch

    return _torch(options, gradients, x, w, y, torch.nn.LinearCrossEntropyOptions())


if __name__ == "__main__":
    sys.exit(main())
