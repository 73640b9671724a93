"""How to draw the arguments of the losses of one element at a time: see `samples.py`."""

from __future__ import annotations

from typing import Any

import numpy as np

import samples
from samples import Array, Choices, Sample, Shape

PAIR_KINDS = ("float", "other float target", "int64 target", "uint8 target", "int16 input")
PAIR_SHAPES = samples.MSE_SHAPES
TRIPLE_SHAPES: dict[str, tuple[Shape, Shape, Shape]] = {
    "()": ((), (), ()),
    "(N)": ((5,), (5,), (5,)),
    "(N,D)": ((3, 4), (3, 4), (3, 4)),
    "(N,1) x (N,D) x (1,D)": ((3, 1), (3, 4), (1, 4)),
}
VARIANCE_SHAPES: dict[str, tuple[Shape, Shape, Shape]] = {
    "()": ((), (), ()),
    "(N)": ((5,), (5,), (5,)),
    "(N,D)": ((3, 4), (3, 4), (3, 4)),
    "(N) of rows": ((3, 4), (3, 4), (3,)),
    "() of a row": ((4,), (4,), ()),
    "(N,1)": ((3, 4), (3, 4), (3, 1)),
    "(1,D)": ((3, 4), (3, 4), (1, 4)),
    "target (D)": ((3, 4), (4,), (3, 4)),
    "(N) of rows, target (D)": ((3, 4), (4,), (3,)),
    "(N,D) for square (N,N)": ((3, 3), (3, 3), (3,)),
}
PAIR_AXES = {"shape": tuple(PAIR_SHAPES), "kinds": PAIR_KINDS}
EXPONENTS = {"0": 0.0, "0.5": 0.5, "1": 1.0, "2": 2.0, "inf": np.inf}
MARGINS = {"default": None, "0": 0.0, "0.5": 0.5, "-0.25": -0.25}


def converted(
    rng: np.random.Generator, pair: tuple[Array, Array], dtype: str, kind: str, low: int, high: int
) -> tuple[Array, Array]:
    """Input and target in the dtypes of one of `PAIR_KINDS`; integers come from [low, high)."""
    x, y = pair[0].astype(dtype), pair[1].astype(dtype)
    match kind.split():
        case ["other", *_]:
            y = y.astype(samples._other(dtype))
        case [name, "target"]:
            y = np.asarray(rng.integers(max(low, 0) if name == "uint8" else low, high, y.shape)).astype(name)
        case [name, "input"]:
            x = np.asarray(rng.integers(low, high, x.shape)).astype(name)
    return x, y


def real_pair(rng: np.random.Generator, dtype: str, choices: Choices) -> tuple[Array, Array]:
    shapes = PAIR_SHAPES[choices["shape"]]
    x, y = samples.reals(rng, shapes[0], dtype), samples.reals(rng, shapes[1], dtype)
    if shapes[0] == shapes[1]:
        y = np.where(rng.random(y.shape) < 0.1, x, y)  # a tie here and there
        y = np.where(rng.random(y.shape) < 0.1, x - 0.5, y)  # and an end of a parabola
    return converted(rng, (x, y), dtype, choices["kinds"], -9, 10)


def finished(rng: np.random.Generator, choices: Choices, args: tuple[Array, ...], kwargs: dict[str, Any], output: Shape) -> Sample:
    reduction = choices["reduction"]
    return Sample(choices, args, {"reduction": reduction, **kwargs}, samples.upstream(rng, output, reduction, *args))


def _pair_weight(rng: np.random.Generator, dtype: str, choices: Choices) -> dict[str, Array]:
    """Weights of input's shape; none is zero where the mean divides by their sum."""
    if choices["weight"] == "none":
        return {}
    draw = samples.weights if "delta" in choices else samples.positive_weights
    name = dtype if choices["weight"] == "given" else samples._other(dtype)
    return {"weight": draw(rng, PAIR_SHAPES[choices["shape"]][0], name)}


def draw_l1(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    x, y = real_pair(rng, dtype, choices)
    kwargs = _pair_weight(rng, dtype, choices)
    return finished(rng, choices, (x, y), kwargs, np.broadcast_shapes(x.shape, y.shape))


def draw_smooth_l1(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    x, y = real_pair(rng, dtype, choices)
    return finished(rng, choices, (x, y), {"beta": EXPONENTS[choices["beta"]]}, np.broadcast_shapes(x.shape, y.shape))


def draw_huber(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    x, y = real_pair(rng, dtype, choices)
    kwargs = {"delta": EXPONENTS[choices["delta"]], **_pair_weight(rng, dtype, choices)}
    return finished(rng, choices, (x, y), kwargs, np.broadcast_shapes(x.shape, y.shape))


def batch_reals(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    return samples.batch_mse(rng, dtype, n)


def draw_kl_div(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    shapes = PAIR_SHAPES[choices["shape"]]
    x = samples._sprinkle(rng, -rng.exponential(4, shapes[0]), (0.0, -90.0, 0.5)).astype(dtype)
    if choices["log_target"] == "yes":
        y = samples._sprinkle(rng, -rng.exponential(3, shapes[1]), (0.0, -90.0, 0.25))
    else:
        y = samples._sprinkle(rng, rng.random(shapes[1]), (1.0, 0.5, 1e-30, 2.0))
    y = y.astype(samples._other(dtype) if choices["kinds"] == "other float target" else dtype)
    kwargs = {"log_target": True} if choices["log_target"] == "yes" else {}
    return finished(rng, choices, (x, y), kwargs, np.broadcast_shapes(*shapes))


def batch_kl_div(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    """Rows whose every term is positive: the input is less likely than the target everywhere."""
    y = rng.uniform(0.25, 1, (n, 3))
    return Sample({}, ((np.log(y) - rng.exponential(1, (n, 3)) - 0.25).astype(dtype), y.astype(dtype)), {}, None)


def draw_poisson(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    shapes = PAIR_SHAPES[choices["shape"]]
    by_log = choices["input"] == "log"
    x = rng.normal(0, 2, shapes[0]) if by_log else samples._sprinkle(rng, rng.exponential(4, shapes[0]), (1.0, 1e-6, 40.0))
    # Up to 1 Stirling's term is missing, and torch's slope of it is no number up to 0 (D17): there is no count of 0 with it.
    y = samples._sprinkle(rng, rng.poisson(3, shapes[1]) + 0.5 * rng.random(shapes[1]), (1.0, 0.25, 100.0), 0.2)
    x, y = converted(rng, (x, y), dtype, choices["kinds"], 1, 9)
    if choices["full"] == "yes":
        y = np.where(y <= 0, 1, y).astype(y.dtype)
    kwargs: dict[str, Any] = {} if by_log else {"log_input": False}
    kwargs |= {"full": True} if choices["full"] == "yes" else {}
    kwargs |= {"eps": 0.125} if choices["eps"] == "0.125" else {}
    return finished(rng, choices, (x, y), kwargs, np.broadcast_shapes(*shapes))


def batch_poisson(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    """Rates above counts: no term is negative."""
    y = rng.poisson(2, (n, 3))
    return Sample({}, (rng.normal(0, 1, (n, 3)).clip(-3, 3).astype(dtype), np.minimum(y, 2).astype(dtype)), {"full": True}, None)


def variances(rng: np.random.Generator, shape: Shape, dtype: str) -> Array:
    return samples._sprinkle(rng, rng.exponential(2, shape) + 0.01, (1.0, 0.25, 0.0, 1e-9, 300.0), 0.15).astype(dtype)


def draw_gaussian(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    shapes = VARIANCE_SHAPES[choices["shape"]]
    x, y = (samples._sprinkle(rng, rng.normal(0, 3, s), (0.0, 1.0, -1.0)).astype(dtype) for s in shapes[:2])
    v = variances(rng, shapes[2], samples._other(dtype) if choices["kinds"] == "other float var" else dtype)
    if choices["kinds"] == "int64 target":
        y = np.asarray(rng.integers(-5, 6, shapes[1]))
    kwargs: dict[str, Any] = {"full": True} if choices["full"] == "yes" else {}
    kwargs |= {"eps": 0.125} if choices["eps"] == "0.125" else {}
    return finished(rng, choices, (x, y, v), kwargs, np.broadcast_shapes(shapes[0], shapes[1]))


def batch_gaussian(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    """Variances above 1: no term is negative."""
    x, y = (rng.normal(0, 3, (n, 3)).astype(dtype) for _ in range(2))
    return Sample({}, (x, y, (1.0625 + rng.exponential(2, (n, 3))).astype(dtype)), {"full": True}, None)


def answers(rng: np.random.Generator, shape: Shape, kind: str, dtype: str) -> Array:
    """1 and -1 in several dtypes; 'any' has other numbers among them."""
    hard = np.where(rng.random(shape) < 0.5, 1, -1)
    if kind == "any":
        return np.where(rng.random(shape) < 0.3, rng.choice([0.0, 2.0, -0.5], shape), hard).astype(dtype)
    return hard.astype({"hard": dtype, "other float": samples._other(dtype)}.get(kind, kind))


ANSWERS = ("hard", "any", "other float", "int64", "int8")


def draw_soft_margin(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    shape = samples.SHAPES[choices["shape"]]
    x = samples._sprinkle(rng, rng.normal(0, 4, shape), (0.0, -0.0, 17.0, -17.0, 40.0, -40.0)).astype(dtype)
    return finished(rng, choices, (x, answers(rng, shape, choices["target"], dtype)), {}, shape)


def batch_soft_margin(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    return Sample({}, (rng.normal(0, 4, (n, 3)).astype(dtype), answers(rng, (n, 3), "hard", dtype)), {}, None)


def draw_hinge(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    shapes = PAIR_SHAPES[choices["shape"]]
    x = samples._sprinkle(rng, rng.normal(0, 3, shapes[0]), (0.0, 1.0, 0.5, -0.25, 300.0)).astype(dtype)
    kwargs = samples.option("margin", MARGINS[choices["margin"]])
    y = answers(rng, shapes[1], choices["target"], dtype)
    return finished(rng, choices, (x, y), kwargs, np.broadcast_shapes(*shapes))


def batch_hinge(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    x = np.abs(rng.normal(0, 1, (n, 3))).astype(dtype)
    return Sample({}, (x, answers(rng, (n, 3), "hard", dtype)), {"margin": 8.0}, None)


def draw_margin_ranking(rng: np.random.Generator, dtype: str, choices: Choices) -> Sample:
    shapes = TRIPLE_SHAPES[choices["shape"]]
    a, b = (samples._sprinkle(rng, rng.normal(0, 3, s), (0.0, 1.0, 0.5, -2.0)).astype(dtype) for s in shapes[:2])
    kwargs = samples.option("margin", MARGINS[choices["margin"]])
    y = answers(rng, shapes[2], choices["target"], dtype)
    return finished(rng, choices, (a, b, y), kwargs, np.broadcast_shapes(*shapes))


def batch_margin_ranking(rng: np.random.Generator, dtype: str, n: int) -> Sample:
    a, b = (rng.normal(0, 1, (n, 3)).astype(dtype) for _ in range(2))
    return Sample({}, (a, b, answers(rng, (n, 3), "hard", dtype)), {"margin": 8.0}, None)


# ---- how far every operand's elements are from where a closed form is no derivative ----


def _nearest(distance: Array, args: tuple[Array, ...], names: tuple[str, ...]) -> dict[str, Array]:
    """For each operand, the least distance among the elements it is broadcast to."""
    found = {}
    for name, array in zip(names, args, strict=True):
        shape = array.shape
        if len(shape) == distance.ndim - 1 and shape == distance.shape[:-1] and name == "var":
            found[name] = distance.min(-1)
            continue
        least = distance.min(axis=tuple(range(distance.ndim - len(shape))))
        stretched = tuple(i for i, n in enumerate(shape) if n == 1 and least.shape[i] != 1)
        found[name] = np.asarray(least.min(axis=stretched, keepdims=True))
    return found


def kinks_of_difference(width: str) -> Any:
    """Of a loss of input - target: the tie, and where the option `width` is reached."""

    def kinks(sample: Sample) -> dict[str, Array]:
        x, y = (np.asarray(a, float) for a in sample.args)
        end = sample.kwargs.get(width, 1.0)
        distance = np.abs(x - y) if width == "" or end == 0 else np.abs(np.abs(x - y) - end)
        return _nearest(distance, (x, y), ("input", "target")) | {"weight": np.full(x.shape, np.inf)}

    return kinks


def kinks_of_poisson(sample: Sample) -> dict[str, Array]:
    x, y = (np.asarray(a, float) for a in sample.args)
    jump = np.abs(y - 1) if sample.kwargs.get("full") else np.full(y.shape, np.inf)
    shift = 1.0 if sample.kwargs.get("log_input", True) else np.nan
    low = np.full(x.shape, np.inf) if shift == 1.0 else np.asarray(x / 100)  # a rate near 0 bends too sharply
    return {"input": low, "target": jump}


def kinks_of_kl_div(sample: Sample) -> dict[str, Array]:
    x, y = (np.asarray(a, float) for a in sample.args)
    low = np.full(y.shape, np.inf) if sample.kwargs.get("log_target") else np.asarray(y / 100)
    return {"input": np.full(x.shape, np.inf), "target": low}


def kinks_of_gaussian(sample: Sample) -> dict[str, Array]:
    x, y, v = (np.asarray(a, float) for a in sample.args)
    shaped = v[..., None] if v.shape == x.shape[:-1] and x.ndim else v
    distance = np.broadcast_to((shaped - sample.kwargs.get("eps", 1e-6)) / 100 - 1e-3, np.broadcast_shapes(x.shape, y.shape))
    return _nearest(np.array(distance), (x, y, v), ("input", "target", "var"))


def kinks_of_hinge(sample: Sample) -> dict[str, Array]:
    x, y = (np.asarray(a, float) for a in sample.args)
    distance = np.abs(x - sample.kwargs.get("margin", 1.0)) + 0 * y
    return {"input": _nearest(np.asarray(distance), (x, y), ("input", "target"))["input"]}


def kinks_of_margin_ranking(sample: Sample) -> dict[str, Array]:
    a, b, y = (np.asarray(o, float) for o in sample.args)
    distance = np.abs(sample.kwargs.get("margin", 0.0) - y * (a - b))
    return _nearest(np.asarray(distance), (a, b, y), ("input1", "input2", "target"))
