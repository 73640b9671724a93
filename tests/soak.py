"""
Random calls for minutes: memory, threads, open files and answers must not drift.

    python tests/soak.py [--minutes 10]

A fixed round of calls is repeated: every loss in every reduction, with gradients, accumulators and refused data. Every
round must give the bytes of the first one. After a warm-up of a tenth of the time, the resident memory may grow by
1 MiB, the numbers of threads and of open files not at all.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import ndloss as nl

MEMORY_LIMIT = 2**20
CALLS = 60


def criteria(rng: np.random.Generator, classes: int, reduction: str) -> list[tuple[Any, str]]:
    """One criterion of each class with random options, and the kind of target it takes."""
    weight = rng.uniform(0.1, 2, classes)
    return [
        (nl.MSELoss(reduction=reduction), "real"),
        (nl.BCELoss(weight=weight, reduction=reduction), "probability"),
        (nl.BCEWithLogitsLoss(pos_weight=weight, reduction=reduction), "probability"),
        (nl.MultiLabelSoftMarginLoss(weight=weight, reduction=reduction), "probability"),
        (nl.CrossEntropyLoss(weight=weight, label_smoothing=0.1, reduction=reduction), "label"),
        (nl.CrossEntropyLoss(reduction=reduction), "probability"),
        (nl.NLLLoss(weight=weight, reduction=reduction), "label"),
    ]


def one_call(rng: np.random.Generator, digest: hashlib._Hash) -> None:
    rows = int(rng.integers(1, 3000))
    classes = int(rng.choice([2, 10, 63, 64, 130]))
    dtype = rng.choice([np.float32, np.float64])
    reduction = str(rng.choice(["none", "mean", "sum"]))
    numbers = rng.normal(0, 4, (rows, classes)).astype(dtype)
    shares = rng.random((rows, classes)).astype(dtype)
    labels = rng.integers(0, classes, rows)
    for criterion, kind in criteria(rng, classes, reduction):
        input = shares if isinstance(criterion, nl.BCELoss) else numbers
        target = {"real": numbers[::-1], "probability": shares, "label": labels}[kind]
        value, grad = criterion.value_and_grad(input, target, grad_output=None if reduction != "none" else 1.0)
        digest.update(np.asarray(value).tobytes())
        digest.update(grad.tobytes())
        if reduction != "none":
            half = pickle.loads(pickle.dumps(criterion.accumulator()))
            half.update(input[: rows // 2], target[: rows // 2])
            rest = criterion.accumulator()
            rest.update(input[rows // 2 :], target[rows // 2 :])
            half.merge(rest)
            digest.update(np.asarray(half.compute()).tobytes())
    labels[-1] = classes
    with contextlib.suppress(IndexError):
        nl.CrossEntropyLoss()(numbers, labels)
        raise AssertionError("a label out of range was accepted")


def one_round() -> str:
    """The digest of all answers of a fixed set of calls."""
    rng = np.random.default_rng(7)
    digest = hashlib.sha256()
    for _ in range(CALLS):
        one_call(rng, digest)
    return digest.hexdigest()


def resident() -> int:
    """Bytes of memory in use."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def count(folder: str) -> int:
    """Threads, or open files, of this process."""
    return len(os.listdir(f"/proc/self/{folder}"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    seconds = 60 * parser.parse_args().minutes

    start = time.monotonic()
    answer = one_round()
    rounds = 1
    while time.monotonic() - start < seconds / 10:
        assert one_round() == answer, f"round {rounds} gave other answers"
        rounds += 1
    before = resident(), count("task"), count("fd")
    while time.monotonic() - start < seconds:
        assert one_round() == answer, f"round {rounds} gave other answers"
        rounds += 1
    after = resident(), count("task"), count("fd")

    grown = after[0] - before[0]
    print(f"{rounds} rounds of {CALLS}: {grown / 2**10:+.0f} KiB, {after[1]} threads, {after[2]} files, {answer[:16]}")
    drifted = grown > MEMORY_LIMIT or after[1:] != before[1:]
    if drifted:
        print(f"before: {before}, after: {after}", file=sys.stderr)
    return 1 if drifted else 0


if __name__ == "__main__":
    sys.exit(main())
