"""Every check of arrays by their shapes and dtypes: operands that go together, weights, and where results go."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np

from ndloss import _array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ndloss._typing import Array

# Steps that NumPy may take to tell whether two arrays have an element in common: any views of one array take few.
OVERLAP_WORK = 100_000


def weight_like_input(function: str, weight: Array, input: Array) -> None:
    if weight.shape != input.shape:
        raise ValueError(
            f"{function}: weight must have the shape of input, got weight {weight.shape} and input {input.shape}. "
            f"Weights and input must have the same size."
        )


def variance(function: str, var: Array, input: Array) -> Array:
    """A variance array in the shape it broadcasts with: torch's rules."""
    if var.shape == input.shape:
        return var
    if var.shape == input.shape[:-1] and input.ndim:
        return var[..., None]
    # One axis of input has a 1 in var.
    if var.ndim == input.ndim and sum(n for n, wanted in zip(var.shape, input.shape, strict=True) if n != wanted) == 1:
        return var
    raise ValueError(
        f"{function}: var must have the shape of input, that without its last axis, or a 1 in place of one of its sizes, "
        f"got var {var.shape} and input {input.shape}. var is of incorrect size."
    )


def same_ndim(function: str, what: str, **arrays: Array) -> None:
    if len({array.ndim for array in arrays.values()}) > 1:
        got = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"{function}: the {what} must have the same number of dimensions, got {got}")


def one_label_per_vector(function: str, input1: Array, input2: Array, target: Array, axis: int) -> tuple[int, ...]:
    """The shape that two arrays of vectors and their labels broadcast to; the features lie on an axis."""
    expected = {0: 1, 1: 2}.get(target.ndim)
    if expected is None:
        raise ValueError(f"{function}: target must have 0 or 1 dimensions, got shape {target.shape}. multi-target not supported")
    if input1.ndim != expected or input2.ndim != expected:
        raise ValueError(
            f"{function}: {target.ndim}D target expects {expected}D inputs, got input1 {input1.shape} and input2 {input2.shape}"
        )
    shape = broadcast_shape(function, input1=input1, input2=input2)
    rows = shape[:axis] + shape[axis + 1 :]
    try:
        rows = np.broadcast_shapes(rows, target.shape)
    except ValueError:
        raise ValueError(
            f"{function}: target must have one element for each of {rows[0]} vectors, got shape {target.shape}"
        ) from None
    return (*rows[:axis], shape[axis], *rows[axis:])


def distance_and_slopes(function: str, found: Any) -> tuple[Array, Array | None, Array | None]:
    """What a distance function has returned: distances, or a tuple of them and their derivatives by either vector."""
    if isinstance(found, tuple) and len(found) != 3:
        raise ValueError(f"{function}: distance_function must return distances or (d, dd/da, dd/db), got a tuple of {len(found)}")
    parts = found if isinstance(found, tuple) else (found, None, None)
    names = ("distance", "derivative by the first vector", "derivative by the second vector")
    d, by_first, by_second = (
        None if part is None else _array.as_array(function, name, part)[0] for name, part in zip(names, parts, strict=True)
    )
    if d is None:
        raise TypeError(f"{function}: distance_function must return distances, got None")
    return d, by_first, by_second


def derivative_of_distance(function: str, part: Array | None) -> Array:
    if part is None:
        raise TypeError(f"{function}: for gradients distance_function must return (d, dd/da, dd/db), got distances alone")
    return part


def mask(function: str, array: Array | None) -> Array | None:
    """A mask holds truth: True keeps an element."""
    if array is not None and array.dtype.kind not in "biu":
        raise TypeError(f"{function}: mask must be bool (True keeps an element, False leaves it out), got dtype {array.dtype}")
    return array


def loss_shaped(function: str, argument: str, array: Array, shape: tuple[int, ...]) -> Array:
    """The array, broadcast to the shape of the unreduced loss by NumPy's rule."""
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        hint = ""
        if array.ndim == 1 and len(shape) > 1 and array.shape[0] == shape[0]:
            index = ", ".join([":", *["None"] * (len(shape) - 1)])
            hint = f"; one for each sample is {argument}[{index}]"
        raise ValueError(
            f"{function}: {argument} must broadcast to the shape {shape} of the unreduced loss, got {array.shape}{hint}"
        ) from None


def out_shape(function: str, name: str, out: Array, shape: tuple[int, ...]) -> None:
    if out.shape != shape:
        raise ValueError(f"{function}: {name} must have shape {shape}, got {out.shape}")


def output(function: str, name: str, given: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array that a result of that shape and dtype can be written to."""
    if not isinstance(given, np.ndarray):
        raise TypeError(f"{function}: {name} must be an ndarray, got {type(given).__name__}")
    out_shape(function, name, given, shape)
    if not given.flags.writeable:
        raise ValueError(f"{function}: {name} is read-only")
    if not np.can_cast(dtype, given.dtype, "same_kind"):
        raise TypeError(f"{function}: {name} must take {dtype} by same-kind casting, got dtype {given.dtype}")
    return given


def output_tuple(function: str, given: object, names: Sequence[str]) -> tuple[object, ...]:
    if not isinstance(given, tuple) or len(given) != len(names):
        raise TypeError(f"{function}: out must be a tuple of {len(names)} arrays or None, one for each of {', '.join(names)}")
    return given


def output_pair(function: str, given: object) -> tuple[object, object]:
    if not isinstance(given, tuple) or len(given) != 2:
        raise TypeError(f"{function}: out must be a pair, of the gradient and of the second derivative")
    return given


def outputs_apart(function: str, given: Sequence[object]) -> None:
    """No memory holds two results. Where that is hard to tell (strides nothing makes but as_strided), both are written in turn."""
    arrays = [array for array in given if isinstance(array, np.ndarray)]
    for number, array in enumerate(arrays):
        for other in arrays[:number]:
            with contextlib.suppress(np.exceptions.TooHardError):
                if np.shares_memory(array, other, max_work=OVERLAP_WORK):  # type: ignore[arg-type]  # its stub takes -1 and 0 alone
                    raise ValueError(f"{function}: the arrays of out must not overlap each other")


def same_shape(function: str, input: Array, target: Array) -> None:
    if input.shape != target.shape:
        raise ValueError(
            f"{function}: target must have the shape of input, got target {target.shape} and input {input.shape}. "
            f"Please ensure they have the same size."
        )


def broadcast_shape(function: str, **arrays: Array) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError:
        got = " and ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"{function}: the arguments do not broadcast against each other, got {got}") from None


def strict_shapes(function: str, **arrays: Array) -> None:
    """What broadcast=False asks for."""
    if len({array.shape for array in arrays.values()}) > 1:
        got = " and ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"{function}: the arguments must have one shape, as broadcast=False asks for, got {got}")


def strict_rows(function: str, argument: str, array: Array, rows: tuple[int, ...]) -> None:
    """What broadcast=False asks of an array with one element for each row."""
    if array.shape != rows:
        raise ValueError(f"{function}: {argument} must have shape {rows}, as broadcast=False asks for, got {array.shape}")


def broadcasts_to(function: str, argument: str, array: Array, shape: tuple[int, ...], of: str) -> Array:
    """The array, broadcast to `shape`."""
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(
            f"{function}: {argument} must broadcast to the shape of {of}, got {argument} {array.shape} and {of} {shape}"
        ) from None


def linear_shapes(function: str, input: Array, linear_weight: Array, linear_bias: Array | None) -> tuple[int, ...]:
    """The shape of the logits."""
    if input.ndim not in (1, 2):
        raise ValueError(
            f"{function}: input must have 1 or 2 dimensions, got {input.ndim} (expected input with dimensionality 1 or 2)"
        )
    if linear_weight.ndim < 2:
        raise ValueError(f"{function}: linear_weight must have 2 or more dimensions, (C, ..., in), got {linear_weight.ndim}")
    if input.shape[-1] != linear_weight.shape[-1]:
        raise ValueError(
            f"{function}: linear_weight must have the last dimension of input, got input {input.shape} and linear_weight "
            f"{linear_weight.shape} (expected equal input and linear_weight last dimensions (in_features))"
        )
    if linear_bias is not None and linear_bias.shape != linear_weight.shape[:-1]:
        raise ValueError(
            f"{function}: linear_bias must have shape {linear_weight.shape[:-1]} for linear_weight {linear_weight.shape}, "
            f"got {linear_bias.shape}"
        )
    if input.ndim == 1 and linear_weight.ndim > 2:
        raise ValueError(
            f"{function}: input must be (N, in_features) for linear_weight {linear_weight.shape}, got {input.shape} "
            f"(a K-dimensional loss requires batched input)"
        )
    return (*input.shape[:-1], *linear_weight.shape[:-1])
