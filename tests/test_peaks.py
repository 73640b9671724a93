"""The peak of memory of calls that raise, and of calls that write where they are told: nothing of the size of an operand."""

from __future__ import annotations

import pytest

from memory import excess_of, peak_of
from strategies import HAS_ML_DTYPES

SPARE_MIB = 8

PREPARATION = """
import numpy as np
import ndloss as nl, ndloss.functional as F

rows, columns = 1_000_000, 8
half = np.full((rows, columns), 0.5, np.float16)
bad = half.copy()
bad[-1, 3] = 1.5
sets = np.full((rows, columns), -1, np.int8)
sets[rows - 7, 2] = 99

def message_of(function, *args, **options):
    try:
        function(*args, **options)
    except (ValueError, IndexError) as error:
        return str(error)
    raise AssertionError("it was taken")
"""

# A call, and where its bad number stands; an array of 8-byte indices of any of these operands has 61 MiB.
NAMED = {
    "an operand": ("F.binary_cross_entropy, bad, half", "input[999999, 3] is 1.5"),
    "an operand that is broadcast": ("F.gaussian_nll_loss, half, half, 1 - bad[:, 3:4]", "var[999999, 0] is -0.5"),
    "a label set": ("F.multilabel_margin_loss, half, sets", "target[999993, 2] is 99"),
    "a label set of another axis": ("F.multilabel_margin_loss, half.T, sets.T", "target[2, 999993] is 99"),
}


@pytest.mark.parametrize("what", NAMED)
def test_a_bad_number_is_named_without_memory(what: str) -> None:
    call, said = NAMED[what]
    options = ", axis=0" if "another axis" in what else ""
    assert peak_of(f"{PREPARATION}\ndef call():\n    assert {said!r} in message_of({call}{options})\n") < SPARE_MIB


HALF = "__import__('ml_dtypes').bfloat16" if HAS_ML_DTYPES else "np.float16"
WRITTEN = {
    "a loss": "F.mse_loss(half, bad, reduction='none', out=out)",
    "a gradient": "nl.grad(F.mse_loss)(half, bad, out=out)",
    "a gradient of rows": "nl.grad(F.cross_entropy)(half, bad, out=out)",
    "a Hessian": "nl.grad_hess(F.cross_entropy)(half, bad, out=(out, beside))",
}


@pytest.mark.parametrize("dtype", [HALF, "np.float16", "np.float32", "np.float64"])
@pytest.mark.parametrize("what", WRITTEN)
def test_a_result_of_any_dtype_is_written_in_place(what: str, dtype: str) -> None:
    places = f"out, beside = np.ones(half.shape, {dtype}), np.ones(half.shape, {dtype})"
    assert peak_of(f"{PREPARATION}\n{places}\ndef call():\n    {WRITTEN[what]}\n") < SPARE_MIB


SPEECH = """
import numpy as np
import ndloss as nl, ndloss.functional as F

frames, batch, classes = 300, 200, 150
array = np.full((frames, batch, classes), -3, np.float32)
swapped, half = array.astype(">f4"), array.astype(np.float16)
transposed = np.full((classes, batch, frames), -3, np.float32).T
shifted = np.frombuffer(b"\\0" + array.tobytes(), np.uint8)[1:].view(np.float32).reshape(array.shape)
labels = np.ones((batch, 20), np.int64)
lengths = [frames] * batch, [20] * batch
"""


@pytest.mark.parametrize("x", ["array", "swapped", "half", "transposed", "shifted"])
@pytest.mark.parametrize("function", ["F.ctc_loss", "nl.value_and_grad(F.ctc_loss)"])
def test_log_probs_of_any_layout_are_not_copied(function: str, x: str) -> None:
    assert excess_of(f"{SPEECH}\ndef call():\n    return {function}({x}, labels, *lengths)\n") < SPARE_MIB


def test_the_measure_sees_a_temporary() -> None:
    assert peak_of(f"{PREPARATION}\ndef call():\n    half.astype(np.float32).sum()\n") > SPARE_MIB
