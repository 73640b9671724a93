"""
A call needs next to no memory beyond its arguments and results, whatever dtype and layout the arguments have; and their
sizes may be beyond 32 bits. Peaks are measured by processes of their own.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from memory import peaks_of

SPARE_MIB = 16
ROWS, COLUMNS = 500_000, 32  # 32 MiB of float16, 64 of float32

# Each line gives the MiB of the peak beyond arguments and results, and what was called.
PEAKS = """
import warnings
from pathlib import Path
import numpy as np, ndloss as nl, ndloss.functional as F
warnings.simplefilter("ignore")
rows, columns = {rows}, {columns}

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{{field}}:")))

def size(result):
    return sum(map(size, result)) if isinstance(result, tuple) else result.nbytes

def show(what, call):
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    results = size(call())
    print((status("VmHWM") - before) / 1024 - results / 2**20, what)

half = np.full((rows, columns), 0.5, np.float16)
dtypes = {{
    "float16": half,
    "byte-swapped float32": np.full((rows, columns), 0.5, ">f4"),
    "float64 as every second": np.full((rows, 2 * columns), 0.5)[:, ::2],
    "transposed float32": np.full((columns, rows), 0.5, np.float32).T,
    "reversed uint8": np.ones((rows, columns), np.uint8)[::-1],
    "one row": np.broadcast_to(np.full((1, columns), 0.5, np.float32), (rows, columns)),
}}
labels = {{"int64": np.ones(rows, np.int64), "every second int32": np.ones(2 * rows, np.int32)[::2]}}
labels["uint8"] = labels["int64"].astype(np.uint8)
sets = np.zeros((rows, columns), np.int16)

def elementwise(x):
    return {{
        "mse_loss": (x, half),
        "mse_loss, weight": (x, half, {{"weight": x}}),
        "binary_cross_entropy": (x, half),
        "binary_cross_entropy_with_logits": (x, half, half[:1]),
        "huber_loss": (half, x),
        "kl_div": (half, x),
        "gaussian_nll_loss": (half, x, half),
        "soft_margin_loss": (half, x),
        "margin_ranking_loss": (half, half, x),
        "multilabel_soft_margin_loss": (x, half),
    }}

def calls():
    for dtype, x in dtypes.items():
        for name, args in elementwise(x).items():
            yield f"{{name}} of {{dtype}}", getattr(F, name.partition(",")[0]), args
        if x.dtype.kind == "f":
            for kind, y in labels.items():
                for name in ("cross_entropy", "nll_loss", "multi_margin_loss"):
                    yield f"{{name}} of {{dtype}}, {{kind}}", getattr(F, name), (x, y)
            yield f"cross_entropy of {{dtype}}, probabilities", F.cross_entropy, (x, half)
            yield f"multilabel_margin_loss of {{dtype}}", F.multilabel_margin_loss, (x, sets)

for what, function, args in calls():
    options = args[-1] if isinstance(args[-1], dict) else {{}}
    args = args[: len(args) - bool(options)]
    for reduction in {reductions}:
        show(f"{{what}}: {{reduction}}", lambda: {call})
"""


def excesses(reductions: tuple[str, ...], call: str) -> list[str]:
    code = PEAKS.format(rows=ROWS, columns=COLUMNS, reductions=reductions, call=call)
    return peaks_of(code)


def test_a_reduction_needs_no_memory_to_speak_of() -> None:
    assert_spare(excesses(("mean", "sum"), "function(*args, **options, reduction=reduction)"))


def test_unreduced_losses_need_no_memory_beside_themselves() -> None:
    assert_spare(excesses(("none",), "function(*args, **options, reduction=reduction)"))


def test_gradients_need_no_memory_beside_themselves() -> None:
    assert_spare(excesses(("mean",), "nl.value_and_grad(function)(*args, **options, reduction=reduction)"))


def assert_spare(lines: list[str]) -> None:
    assert len(lines) > 50
    assert [line for line in lines if float(line.split()[0]) > SPARE_MIB] == []


def test_the_measure_sees_a_copy() -> None:
    """A whole float32 copy of the float16 array has twice its size."""
    seen = peaks_of(
        PEAKS.format(rows=ROWS, columns=COLUMNS, reductions=(), call="None") + 'show("copy", lambda: half.astype(np.float32)[0, 0])'
    )
    assert float(seen[0].split()[0]) > ROWS * COLUMNS * 4 / 2**20 - 1


# ---- sizes ----

BILLIONS = 2**32 + 7


def test_zero_size_and_no_dimension() -> None:
    for shape in ((0,), (0, 2**31), (2**40, 0), (2**33, 0, 2**20)):
        x = np.empty(shape, np.float16)
        for function in (F.mse_loss, F.binary_cross_entropy_with_logits, F.huber_loss):
            assert function(x, x, reduction="sum") == 0
            assert math.isnan(function(x, x))
            assert function(x, x, reduction="none").shape == shape
            assert nl.grad(function)(x, x).shape == shape
    assert F.mse_loss(np.float32(3), np.float32(1)) == 4


@pytest.mark.huge
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8"])
def test_more_than_32_bits_of_elements_are_summed(dtype: str) -> None:
    """Zero-stride arrays: 2^32 + 7 elements in a few bytes. Every one is 1, and so is the mean; the sum counts them."""
    x = np.broadcast_to(np.ones(1, dtype), (BILLIONS,))
    zero = np.broadcast_to(np.zeros(1, dtype), (BILLIONS,))
    assert F.mse_loss(x, zero) == 1
    total = F.l1_loss(x, zero, reduction="sum")
    with np.errstate(all="ignore"):
        assert total == np.float64(BILLIONS).astype(total.dtype)


@pytest.mark.huge
def test_more_than_32_bits_of_rows_are_summed() -> None:
    x = np.broadcast_to(np.zeros((1, 2), np.float32), (BILLIONS, 2))
    y = np.broadcast_to(np.ones(1, np.uint8), (BILLIONS,))
    assert abs(float(F.cross_entropy(x, y)) - math.log(2)) < 2**-24
    assert F.multi_margin_loss(x, y) == 0.5


@pytest.mark.huge
def test_a_bad_value_far_out_is_named_where_it_stands() -> None:
    y = np.broadcast_to(np.zeros(1, np.uint8), (BILLIONS,))
    x = np.lib.stride_tricks.as_strided(np.full(1, 1.5, np.float32), (BILLIONS,), (0,))
    with pytest.raises(ValueError, match=r"input\[0\] is 1.5, outside"):
        F.binary_cross_entropy(x, y)


@pytest.mark.huge
def test_results_of_more_than_31_bits_of_elements(tmp_path: Path) -> None:
    """Into a sparse file: only its blocks that hold numbers take room, and pages are given back."""
    rows = 2**31 // 4096 + 3
    x = np.broadcast_to(np.arange(4096, dtype=np.float16) / 4096, (rows, 4096))
    out = np.memmap(tmp_path / "out", np.float16, "w+", shape=x.shape)
    assert F.l1_loss(x, np.broadcast_to(np.float16(0), x.shape), reduction="none", out=out) is out
    for row in (0, rows // 2, rows - 1):
        assert np.array_equal(out[row], x[row])


def far_labels() -> Any:
    return np.broadcast_to(np.zeros(1, np.int64), (2**31 // 8 + 5,))


@pytest.mark.huge
def test_gradients_of_more_than_31_bits_of_elements() -> None:
    labels = far_labels()
    x = np.broadcast_to(np.zeros((1, 8), np.float16), (len(labels), 8))
    grad = nl.grad(F.cross_entropy)(x, labels, reduction="sum")
    assert np.array_equal(grad[-1], np.float16([-7 / 8] + [1 / 8] * 7))
    assert np.array_equal(grad[len(labels) // 2], grad[0])
