"""Make the real model outputs that `python -m ndloss demo` runs on, by training on scikit-learn's bundled data.

Every number written is an output on samples the model never saw. Run from anywhere:

    python bench/make_demo_data.py

It needs scikit-learn alone (the data sets come inside the package; nothing is downloaded) and takes a few seconds. The
files are committed, because the last digits of a fit depend on the linear-algebra library; a new run gives new files of
the same quality.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer, StandardScaler

Arrays = Mapping[str, NDArray[Any]]

ROOT = Path(__file__).resolve().parents[1]
SPLIT = "stratified half of the samples held out, train_test_split(test_size=0.5, random_state=0)"
SIZE_LIMIT = 200_000

# The segments of a seven-segment display that show each digit: a top, b upper right, c lower right, d bottom,
# e lower left, f upper left, g middle.
SEGMENTS = ("abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg")


def split(data: NDArray[Any], target: NDArray[Any], by: NDArray[Any] | None) -> list[NDArray[Any]]:
    """Return train and held-out data, then train and held-out target."""
    return list(train_test_split(data, target, test_size=0.5, random_state=0, stratify=by))


def digits() -> tuple[Arrays, dict[str, object]]:
    """Ten-class logits: a multinomial logistic regression on the 8 x 8 images of handwritten digits."""
    data, target = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = split(data, target, target)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=1000)).fit(train_x, train_y)
    arrays = {"logits": model.decision_function(test_x).astype(np.float32), "target": test_y.astype(np.int64)}
    return arrays, {
        "title": "handwritten digits, 10 classes",
        "dataset": "sklearn.datasets.load_digits: 1797 images of 8 x 8 pixels (UCI, handwritten digits)",
        "model": "StandardScaler + LogisticRegression(C=0.05), multinomial; logits are decision_function",
        "split": SPLIT,
        "held_out_accuracy": round(float(model.score(test_x, test_y)), 4),
    }


def breast_cancer() -> tuple[Arrays, dict[str, object]]:
    """One logit and one probability a sample: a logistic regression that tells benign from malignant tumours."""
    data, target = load_breast_cancer(return_X_y=True)
    train_x, test_x, train_y, test_y = split(data, target, target)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(train_x, train_y)
    arrays = {
        "logits": model.decision_function(test_x).astype(np.float32),
        "probabilities": model.predict_proba(test_x)[:, 1].astype(np.float32),
        "target": test_y.astype(np.uint8),
    }
    return arrays, {
        "title": "breast tumours, benign (1) or malignant (0)",
        "dataset": "sklearn.datasets.load_breast_cancer: 569 samples of 30 measurements (Wisconsin diagnostic)",
        "model": "StandardScaler + LogisticRegression(); logits are decision_function, probabilities predict_proba",
        "split": SPLIT,
        "held_out_accuracy": round(float(model.score(test_x, test_y)), 4),
    }


def segments() -> tuple[Arrays, dict[str, object]]:
    """Seven yes/no logits a sample: which segments of a display show the digit in the image."""
    data, digit = load_digits(return_X_y=True)
    binarizer = MultiLabelBinarizer(classes=list("abcdefg"))
    target = binarizer.fit_transform([SEGMENTS[d] for d in digit])
    train_x, test_x, train_y, test_y = split(data, target, digit)
    model = make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression(C=0.05, max_iter=1000)))
    model.fit(train_x, train_y)
    logits = model.decision_function(test_x)
    arrays = {"logits": logits.astype(np.float32), "target": test_y.astype(np.uint8)}
    return arrays, {
        "title": "segments a-g of a display that show the handwritten digit, 7 labels",
        "dataset": "sklearn.datasets.load_digits; labels: the segments that a display lights for the digit",
        "model": "StandardScaler + one LogisticRegression(C=0.05) a segment; logits are decision_function",
        "split": SPLIT,
        "held_out_label_accuracy": round(float(((logits > 0) == test_y).mean()), 4),
    }


def diabetes() -> tuple[Arrays, dict[str, object]]:
    """Predicted and measured disease progression: a ridge regression on ten measurements of a patient."""
    data, target = load_diabetes(return_X_y=True)
    train_x, test_x, train_y, test_y = split(data, target, None)
    model = make_pipeline(StandardScaler(), RidgeCV()).fit(train_x, train_y)
    arrays = {"prediction": model.predict(test_x).astype(np.float32), "target": test_y.astype(np.float32)}
    return arrays, {
        "title": "diabetes progression after one year, regression",
        "dataset": "sklearn.datasets.load_diabetes: 442 patients, ten measurements",
        "model": "StandardScaler + RidgeCV(); prediction is predict",
        "split": SPLIT.removeprefix("stratified "),
        "held_out_r2": round(float(model.score(test_x, test_y)), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "python" / "ndloss" / "demo", help="folder of the .npz files")
    folder: Path = parser.parse_args().out
    versions = {"python": platform.python_version(), "numpy": np.__version__, "scikit-learn": sklearn.__version__}
    total = 0
    for make in (digits, breast_cancer, segments, diabetes):
        arrays, facts = make()
        record = {**facts, "versions": versions, "script": "bench/make_demo_data.py"}
        path = folder / f"{make.__name__}.npz"
        contents: dict[str, Any] = {"record": np.array(json.dumps(record)), **arrays}
        np.savez_compressed(path, **contents)
        total += path.stat().st_size
        shapes = ", ".join(f"{name} {a.shape} {a.dtype}" for name, a in arrays.items())
        print(f"{path.name}: {path.stat().st_size} bytes; {shapes}; {list(facts.items())[-1]}")
    if total > SIZE_LIMIT:
        raise SystemExit(f"the files hold {total} bytes together, more than {SIZE_LIMIT}")
    print(f"{total} bytes together")


if __name__ == "__main__":
    main()
