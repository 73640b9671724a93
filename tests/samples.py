"""How to draw the arguments of every loss: one sample for each combination of choices, and large batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import reference

Array = npt.NDArray[Any]
Choices = Mapping[str, str]
Shape = tuple[int, ...]

FLOATS = ("float32", "float64")
REDUCTIONS = ("none", "mean", "sum")
INDEX_DTYPES = ("int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "bool")


@dataclass(frozen=True)
class Sample:
    """
    One call: the data operands, the options, an upstream gradient that fits the output, and what was chosen on each
    axis.
    """

    choices: Choices
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    grad_output: Any

    def __str__(self) -> str:
        return ", ".join(f"{axis} {choice}" for axis, choice in self.choices.items())


def _other(dtype: str) -> str:
    return "float64" if dtype == "float32" else "float32"


def _sprinkle(rng: np.random.Generator, values: Array, specials: tuple[float, ...], share: float = 0.1) -> Array:
    """Some elements replaced by special ones, so that boundaries and tails are met everywhere."""
    return np.where(rng.random(values.shape) < share, rng.choice(specials, values.shape), values)


def reals(rng: np.random.Generator, shape: Shape, dtype: str) -> Array:
    return _sprinkle(rng, rng.normal(0, 3, shape), (0.0, -0.0, 1e-3, -1.0, 300.0)).astype(dtype)


def logits(rng: np.random.Generator, shape: Shape, dtype: str) -> Array:
    return _sprinkle(rng, rng.normal(0, 4, shape), (0.0, -0.0, 17.0, -17.0, 40.0, -40.0, 80.0, -80.0, 1e4, -1e4)).astype(dtype)


def probabilities(rng: np.random.Generator, shape: Shape, dtype: str) -> Array:
    return _sprinkle(rng, rng.random(shape), (0.0, 1.0, 0.5, 1e-6, 1e-30, 1 - 2.0**-20), 0.2).astype(dtype)


def log_probabilities(rng: np.random.Generator, shape: Shape, dtype: str) -> Array:
    return _sprinkle(rng, -rng.exponential(4, shape), (0.0, -90.0, 0.5)).astype(dtype)


def positive_weights(rng: np.random.Generator, shape: Shape, dtype: str) -> Array:
    """Multiples of 1/64, so that they are the same numbers in every dtype."""
    return np.asarray(rng.integers(8, 256, shape) / 64, dtype=dtype)


def weights(rng: np.random.Generator, shape: Shape, dtype: str) -> Array:
    """As above with some zeros, which are weights like any other."""
    return np.where(rng.random(shape) < 0.1, 0, positive_weights(rng, shape, dtype)).astype(dtype)


def unit_targets(rng: np.random.Generator, shape: Shape, dtype: str, kind: str) -> Array:
    soft = _sprinkle(rng, rng.random(shape), (0.0, 1.0, 0.5), 0.3)
    hard = np.asarray(rng.random(shape) < 0.5)
    kinds: dict[str, Array] = {
        "soft": soft.astype(dtype),
        "hard": hard.astype(dtype),
        "other float": soft.astype(_other(dtype)),
    }
    return kinds[kind] if kind in kinds else hard.astype(kind)


UNIT_TARGETS = ("soft", "hard", "other float", "int64", "uint8", "bool")


def upstream(rng: np.random.Generator, shape: Shape, reduction: str, *operands: Any) -> Any:
    """A gradient that fits the output, in the result's dtype; a Python float exact in float32 for scalars."""
    if reduction == "none":
        return np.asarray(rng.normal(0, 1, shape), dtype=reference.result_dtype(*operands))
    return float(np.float32(rng.normal(0, 2)))


def option(name: str, value: Any) -> dict[str, Any]:
    return {} if value is None else {name: value}


MSE_SHAPES: dict[str, tuple[Shape, Shape]] = {
    "()": ((), ()),
    "(N)": ((5,), (5,)),
    "(N,D)": ((3, 4), (3, 4)),
    "(N,D,E)": ((2, 3, 2), (2, 3, 2)),
    "(N,1) x (N)": ((3, 1), (3,)),
    "(D) x (N,D)": ((3,), (2, 3)),
    "(N,D) x (N,1)": ((2, 3), (2, 1)),
    "() x (N)": ((), (4,)),
}
MSE_KINDS = ("float", "other float target", "int64 target", "bool target", "int16 input", "both uint8", "both int64")


def draw_mse(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    shapes = MSE_SHAPES[choices["shape"]]
    x, y = reals(rng, shapes[0], dtype), reals(rng, shapes[1], dtype)
    if shapes[0] == shapes[1]:
        y = np.where(rng.random(y.shape) < 0.1, x, y)  # a tie here and there
    whole = {"int64": (-9, 10), "int16": (-300, 300), "uint8": (0, 256), "bool": (0, 2)}

    def integers(shape: Shape, kind: str) -> Array:
        return np.asarray(rng.integers(*whole[kind], shape)).astype(kind)

    match choices["kinds"].split():
        case ["other", *_]:
            y = y.astype(_other(dtype))
        case [kind, "target"]:
            y = integers(shapes[1], kind)
        case [kind, "input"]:
            x = integers(shapes[0], kind)
        case ["both", kind]:
            x, y = integers(shapes[0], kind), integers(shapes[1], kind)
    w = None
    if choices["weight"] != "none":
        w = positive_weights(rng, shapes[0], dtype if choices["weight"] == "given" else _other(dtype))
    reduction = choices["reduction"]
    kwargs = {"reduction": reduction, **option("weight", w)}
    return Sample(choices, (x, y), kwargs, upstream(rng, np.broadcast_shapes(*shapes), reduction, x, y))


def batch_mse(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    return Sample({}, (rng.normal(0, 3, (n, 3)).astype(dtype), rng.normal(0, 3, (n, 3)).astype(dtype)), {}, None)


SHAPES: dict[str, Shape] = {"()": (), "(N)": (5,), "(N,D)": (3, 4), "(N,D,E)": (2, 3, 2)}
WEIGHTS = ("none", "full", "last", "first", "scalar", "other dtype")


def broadcast_weight(rng: np.random.Generator, shape: Shape, dtype: str, choice: str) -> Array | None:
    """A weight of every shape that broadcasts to `shape`."""
    if choice == "none":
        return None
    shapes = {"last": shape[-1:], "first": shape[:1] + (1,) * (len(shape) - 1), "scalar": ()}
    return weights(rng, shapes.get(choice, shape), _other(dtype) if choice == "other dtype" else dtype)


def weight_fits(choices: Choices) -> bool:
    return choices["shape"] != "()" or choices["weight"] not in ("last", "first")


def draw_bce(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    shape, reduction = SHAPES[choices["shape"]], choices["reduction"]
    x, y = probabilities(rng, shape, dtype), unit_targets(rng, shape, dtype, choices["target"])
    w = broadcast_weight(rng, shape, dtype, choices["weight"])
    kwargs = {"reduction": reduction, **option("weight", w)}
    return Sample(choices, (x, y), kwargs, upstream(rng, shape, reduction, x, y))


def batch_bce(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    x, y = rng.random((n, 3)).astype(dtype), unit_targets(rng, (n, 3), dtype, "soft")
    return Sample({}, (x, y), {"weight": positive_weights(rng, (3,), dtype)}, None)


def distance_to_clamp(x: Array, *_: Array) -> Array:
    return np.asarray(np.minimum(x, 1 - x))


def draw_bce_with_logits(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    shape, reduction = SHAPES[choices["shape"]], choices["reduction"]
    x, y = logits(rng, shape, dtype), unit_targets(rng, shape, dtype, choices["target"])
    w = broadcast_weight(rng, shape, dtype, choices["weight"])
    p = broadcast_weight(rng, shape, dtype, choices["pos_weight"])
    kwargs = {"reduction": reduction, **option("weight", w), **option("pos_weight", p)}
    return Sample(choices, (x, y), kwargs, upstream(rng, shape, reduction, x, y))


def batch_bce_with_logits(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    x, y = rng.normal(0, 4, (n, 3)).astype(dtype), unit_targets(rng, (n, 3), dtype, "soft")
    kwargs = {"weight": positive_weights(rng, (3,), dtype), "pos_weight": positive_weights(rng, (3,), dtype)}
    return Sample({}, (x, y), kwargs, None)


MULTILABEL_SHAPES: dict[str, tuple[Shape, Shape]] = {
    "(C)": ((4,), (4,)),
    "(N,C)": ((3, 4), (3, 4)),
    "(N,d,C)": ((2, 3, 2), (2, 3, 2)),
    "(N,C) x (C)": ((3, 4), (4,)),
    "(N,C) x (N,1)": ((3, 4), (3, 1)),
    "(N,1) x (N,C)": ((2, 1), (2, 3)),
}


def draw_multilabel_soft_margin(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    shapes, reduction = MULTILABEL_SHAPES[choices["shape"]], choices["reduction"]
    shape = np.broadcast_shapes(*shapes)
    x, y = logits(rng, shapes[0], dtype), unit_targets(rng, shapes[1], dtype, choices["target"])
    w = broadcast_weight(rng, shape, dtype, choices["weight"])
    kwargs = {"reduction": reduction, **option("weight", w)}
    return Sample(choices, (x, y), kwargs, upstream(rng, shape[:-1], reduction, x, y))


def batch_multilabel_soft_margin(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    x, y = rng.normal(0, 4, (n, 5)).astype(dtype), unit_targets(rng, (n, 5), dtype, "soft")
    return Sample({}, (x, y), {"weight": positive_weights(rng, (5,), dtype)}, None)


CLASSES = 4
CLASS_SHAPES: dict[str, Shape] = {
    "(C)": (CLASSES,),
    "(N,C)": (6, CLASSES),
    "(N,C,d1)": (2, CLASSES, 3),
    "(N,C,d1,d2)": (2, CLASSES, 2, 2),
    "(N,C,d1,d2,d3)": (2, CLASSES, 1, 2, 2),
}
CLASS_WEIGHTS = ("none", "given", "other dtype")
IGNORED = {"default": -100, "inside": 1, "outside": 127, "negative": -1}


def class_indices(rng: np.random.Generator, shape: Shape, kind: str, ignored: int) -> Array:
    """Labels of which about a quarter is to be ignored, as far as the dtype can say so."""
    if kind == "bool":
        return np.asarray(rng.random(shape) < 0.5)
    labels = rng.integers(0, CLASSES, shape)
    if np.iinfo(kind).min <= ignored <= np.iinfo(kind).max:
        labels = np.where(rng.random(shape) < 0.25, ignored, labels)
    return np.asarray(labels).astype(kind)


def draw_classes(rng: np.random.Generator, dtype: str, choices: Choices, input_: Array) -> Sample:
    """Target and options of cross_entropy and nll_loss alike."""
    shape, reduction, kind = input_.shape, choices["reduction"], choices["target"]
    rows = shape[:1] * (len(shape) > 1) + shape[2:]
    kwargs: dict[str, Any] = {"reduction": reduction}
    if kind.endswith("probabilities"):
        q = np.where(rng.random(shape) < 0.2, 0, rng.random(shape))
        y = (q / np.maximum(q.sum(min(1, len(shape) - 1), keepdims=True), 0.5)).astype(_other(dtype) if "other" in kind else dtype)
    else:
        ignored = IGNORED[choices["ignore_index"]]
        y = class_indices(rng, rows, kind, ignored)
        kwargs |= {} if choices["ignore_index"] == "default" else {"ignore_index": ignored}
    if choices["weight"] != "none":
        kwargs["weight"] = weights(rng, (CLASSES,), _other(dtype) if choices["weight"] == "other dtype" else dtype)
    if choices.get("label_smoothing", "0") != "0":
        kwargs["label_smoothing"] = float(choices["label_smoothing"])
    operands = (input_, y) if kind.endswith("probabilities") else (input_,)
    return Sample(choices, (input_, y), kwargs, upstream(rng, rows, reduction, *operands))


def classes_allowed(choices: Choices) -> bool:
    """
    int64 labels and probabilities meet every option; the other dtypes every ignore_index, once flat and once with an
    inner axis.
    """
    kind, ignored = choices["target"], choices["ignore_index"]
    if kind.endswith("probabilities"):
        return ignored == "default" and (kind == "probabilities" or choices["weight"] == "given")
    if kind == "int64":
        return True
    return (
        choices["shape"] in ("(N,C)", "(N,C,d1)")
        and choices["weight"] == "given"
        and choices.get("label_smoothing", "0.1") == "0.1"
        and (ignored != "outside" or kind != "bool")
        and (ignored != "negative" or np.issubdtype(kind, np.signedinteger))
    )


def draw_cross_entropy(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    return draw_classes(rng, dtype, choices, logits(rng, CLASS_SHAPES[choices["shape"]], dtype))


def draw_nll(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    return draw_classes(rng, dtype, choices, log_probabilities(rng, CLASS_SHAPES[choices["shape"]], dtype))


def batch_cross_entropy(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    x = rng.normal(0, 4, (n, 10)).astype(dtype)
    y = np.where(rng.random(n) < 0.1, -100, rng.integers(0, 10, n))
    return Sample({}, (x, y), {"weight": positive_weights(rng, (10,), dtype), "label_smoothing": 0.125}, None)


def batch_nll(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    x = -rng.exponential(2, (n, 10)).astype(dtype)
    y = np.where(rng.random(n) < 0.1, -100, rng.integers(0, 10, n))
    return Sample({}, (x, y), {"weight": positive_weights(rng, (10,), dtype)}, None)


INPUT_KINDS = ("float", "int64", "uint8", "bool")


def activation_input(rng: np.random.Generator, shape: Shape, dtype: str, kind: str) -> Array:
    return logits(rng, shape, dtype) if kind == "float" else np.asarray(rng.integers(0, 2, shape)).astype(kind)


def draw_sigmoid(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    x = activation_input(rng, SHAPES[choices["shape"]], dtype, choices["kind"])
    return Sample(choices, (x,), {}, upstream(rng, x.shape, "none", x))


def draw_softmax(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    x = activation_input(rng, SHAPES[choices["shape"]], dtype, choices["kind"])
    dim = {"first": 0, "middle": 1, "last": -1}[choices["dim"]]
    kwargs = {"dim": dim, **option("dtype", None if choices["dtype"] == "none" else np.dtype(choices["dtype"]))}
    g = np.asarray(rng.normal(0, 1, x.shape), dtype=kwargs.get("dtype", reference.result_dtype(x)))
    return Sample(choices, (x,), kwargs, g)


SOFTMAX_AXES = {
    "shape": tuple(SHAPES),
    "dim": ("first", "middle", "last"),
    "dtype": ("none", "float32", "float64"),
    "kind": INPUT_KINDS,
}
CLASS_AXES = {
    "shape": tuple(CLASS_SHAPES),
    "target": INDEX_DTYPES,
    "weight": CLASS_WEIGHTS,
    "ignore_index": tuple(IGNORED),
}
BCE_AXES = {"shape": tuple(SHAPES), "target": UNIT_TARGETS, "weight": WEIGHTS}


def softmax_allowed(choices: Choices) -> bool:
    """Integers need `dtype=`, as in torch; a middle axis needs two dimensions."""
    if choices["kind"] != "float" and choices["dtype"] == "none":
        return False
    return choices["dim"] != "middle" or len(SHAPES[choices["shape"]]) > 1
