"""Real model outputs, shipped for `python -m ndloss demo` and the tutorials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NAMES", "load", "record"]

NAMES = ("digits", "breast_cancer", "segments", "diabetes")


def load(name: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of one data set by name, for example `logits` and `target`."""
    with np.load(_path(name), allow_pickle=False) as file:
        return {key: file[key] for key in file.files if key != "record"}


def record(name: str) -> dict[str, Any]:
    """Return what the making script wrote about one data set: data, model, split, versions, score."""
    with np.load(_path(name), allow_pickle=False) as file:
        facts: dict[str, Any] = json.loads(str(file["record"]))
    return facts


def _path(name: str) -> Path:
    if name not in NAMES:
        raise ValueError(f"demo data set must be one of {', '.join(NAMES)}, got {name!r}")
    return Path(__file__).with_name(f"{name}.npz")
