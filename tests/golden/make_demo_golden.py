"""Record what torch gives for every row of `python -m ndloss demo`, as `demo.json` beside this file.

    python tests/golden/make_demo_golden.py

Torch computes in float64 from the shipped float32 arrays, so the figures are those of the data, free of float32
rounding. It reads the arrays itself and does not import ndloss.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "python" / "ndloss" / "demo"


def tensors(name: str) -> dict[str, Tensor]:
    """The arrays of one data set; everything floating in float64."""
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files if key != "record"}
    return {key: torch.tensor(a.astype(np.float64) if a.dtype.kind == "f" else a) for key, a in arrays.items()}


def row(make: Callable[..., nn.Module], data: str, input: Tensor, target: Tensor, **options: Any) -> dict[str, Any]:
    """One line of the demo's table."""
    input = input.clone().requires_grad_(True)
    mean = make(reduction="mean", **options)(input, target)
    (grad,) = torch.autograd.grad(mean, input)
    arguments = ", ".join(f"{name}={float(value):g}" for name, value in options.items())
    return {
        "loss": f"{make.__name__}({arguments})",
        "data": data,
        "none_shape": list(make(reduction="none", **options)(input, target).shape),
        "mean": mean.item(),
        "sum": make(reduction="sum", **options)(input, target).item(),
        "grad_norm": grad.norm().item(),
    }


def main() -> None:
    digits, cancer, segments, diabetes = map(tensors, ("digits", "breast_cancer", "segments", "diabetes"))
    logits, target = digits["logits"], digits["target"]
    benign, lit = cancer["target"].double(), segments["target"].double()
    rows = [
        row(nn.CrossEntropyLoss, "digits", logits, target),
        row(nn.CrossEntropyLoss, "digits", logits, target, label_smoothing=0.1),
        row(nn.NLLLoss, "digits", torch.log_softmax(logits, 1), target),
        row(nn.BCEWithLogitsLoss, "breast_cancer", cancer["logits"], benign),
        row(nn.BCEWithLogitsLoss, "breast_cancer", cancer["logits"], benign, pos_weight=torch.tensor(2.0)),
        row(nn.BCELoss, "breast_cancer", cancer["probabilities"], benign),
        row(nn.BCEWithLogitsLoss, "segments", segments["logits"], lit),
        row(nn.MultiLabelSoftMarginLoss, "segments", segments["logits"], lit),
        row(nn.MSELoss, "diabetes", diabetes["prediction"], diabetes["target"]),
    ]
    by_class = []
    for label in range(logits.shape[1]):
        kept = target == label
        mean = nn.functional.cross_entropy(logits[kept], target[kept]).item()
        by_class.append({"label": label, "count": int(kept.sum()), "mean": mean})
    document = {"torch": torch.__version__, "losses": rows, "by_class": by_class}
    (HERE / "demo.json").write_text(json.dumps(document, indent=2) + "\n")
    print(f"demo.json: {len(rows)} losses, {len(by_class)} classes, torch {torch.__version__}")


if __name__ == "__main__":
    main()
