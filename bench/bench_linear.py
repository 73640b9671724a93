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
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from machine import cores, describe

MODES = ("value", "value and gradients")
CONTESTANTS = ("products", "ndloss", "torch, options=", "torch")
VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
MIB = 2**20


def main() -> int:
    options = _options()
    if options.one is not None:
        print(json.dumps(_one(options, *options.one)))
        return 0
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    for name in VARIABLES:
        os.environ.pop(name, None)
    for name, text in describe(ours=True).items():
        print(f"{name}: {text}")
    print(f"\n{options.samples} x {options.features} -> {options.classes}, {options.dtype}, {options.threads} threads\n")
    print("| mode | contestant | s | spread | of products | MiB | loss |\n|---|---|---|---|---|---|---|")
    for mode in MODES:
        products = 0.0
        for contestant in CONTESTANTS:
            command = [sys.executable, __file__, *sys.argv[1:], "--one", contestant, mode]
            run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
            if run.returncode != 0:
                print(f"| {mode} | {contestant} | {run.stderr.strip().splitlines()[-1]} |")
                continue
            found = json.loads(run.stdout)
            products = found["seconds"] if contestant == "products" else products
            ratio = f"{found['seconds'] / products:.2f}" if products else ""
            print(
                f"| {mode} | {contestant} | {found['seconds']:.3f} | {found['spread']:.0%} | {ratio} | {found['mib']:.0f} "
                f"| {found['loss']:.6f} |",
                flush=True,
            )
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2048)
    parser.add_argument("--features", type=int, default=768)
    parser.add_argument("--classes", type=int, default=50_257)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--threads", type=int, default=len(cores()))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("CONTESTANT", "MODE"), help=argparse.SUPPRESS)
    return parser.parse_args()


def _one(options: argparse.Namespace, contestant: str, mode: str) -> dict[str, float]:
    rng = np.random.default_rng(20261101)
    x = rng.standard_normal((options.samples, options.features), dtype=options.dtype)
    w = rng.standard_normal((options.classes, options.features), dtype=options.dtype)
    w *= 0.05
    y = rng.integers(0, options.classes, options.samples)
    makers = {"products": _products, "ndloss": _ndloss, "torch": _torch, "torch, options=": _torch_chunked}
    call = makers[contestant](options, mode == MODES[1], x, w, y)
    before = _resident()
    seconds = []
    loss = float("nan")
    for _ in range(options.repeats + 1):
        start = time.perf_counter()
        loss = call()
        seconds.append(time.perf_counter() - start)
    best = min(seconds[1:])
    spread = statistics.median(seconds[1:]) / best - 1
    return {"seconds": best, "spread": spread, "mib": (_peak() - before) / MIB, "loss": loss}


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


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
