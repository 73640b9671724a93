"""Every check of an argument, and every exception and warning that says so."""

from __future__ import annotations

import operator
import sys
import warnings
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np

from ndloss import _array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ndloss._typing import Array


T = TypeVar("T")


class BroadcastWarning(UserWarning):
    """Input and target have different shapes and are broadcast against each other, which is seldom what is meant."""


def warn(message: str, category: type[Warning]) -> None:
    """Warns at the caller's line: the first frame outside this package."""
    level = 1
    frame = sys._getframe(0)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "ndloss":
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)


def reduction(function: str, value: object, *, batchmean: bool = False, elementwise_mean: bool = True) -> str:
    """The reduction's name, spelled as the core knows it."""
    if value in ("none", "mean", "sum") or (batchmean and value == "batchmean"):
        return str(value)
    if elementwise_mean and value == "elementwise_mean":
        warn("reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.", UserWarning)
        return "mean"
    names = "'none', 'mean', 'sum' or 'batchmean'" if batchmean else "'none', 'mean' or 'sum'"
    kind = TypeError if not isinstance(value, str) and value is not None else ValueError
    raise kind(f"{function}: reduction must be {names}, got {value!r}")


def legacy_reduction(size_average: object, reduce: object, value: str) -> str:
    """Maps torch's old arguments, which override `reduction` where either is given."""
    if size_average is None and reduce is None:
        return value
    if reduce is not None and not reduce:
        mapped = "none"
    elif size_average is not None and not size_average:
        mapped = "sum"
    else:
        mapped = "mean"
    message = f"size_average and reduce args will be deprecated, please use reduction='{mapped}' instead."
    warn(message, DeprecationWarning)
    return mapped


def integer(function: str, argument: str, value: object) -> int:
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{function}: {argument} must be an integer, got {type(value).__name__}") from None


def number(function: str, argument: str, value: object) -> float:
    if isinstance(value, (str, bytes)) or value is None:
        raise TypeError(f"{function}: {argument} must be a number, got {type(value).__name__}")
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"{function}: {argument} must be a number, got {type(value).__name__}") from None


def at_least_zero(function: str, argument: str, value: object) -> float:
    """A number that is not negative; infinity is one."""
    result = number(function, argument, value)
    if not result >= 0.0:  # NaN too
        raise ValueError(f"{function}: {argument} must not be negative, got {result}")
    return result


def above_zero(function: str, argument: str, value: object) -> float:
    """A positive number; infinity is one."""
    result = number(function, argument, value)
    if not result > 0.0:  # NaN too
        raise ValueError(f"{function}: {argument} must be positive, got {result}")
    return result


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


def same_ndim(function: str, **arrays: Array) -> None:
    if len({array.ndim for array in arrays.values()}) > 1:
        got = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"{function}: the arguments must have the same number of dimensions, got {got}")


def ignore_index(function: str, value: object) -> int:
    index = integer(function, "ignore_index", value)
    if not -(2**63) <= index < 2**63:
        raise ValueError(f"{function}: ignore_index must fit 64 bits, got {index}")
    return index


def ignore_value(function: str, value: object) -> float | None:
    """The target of elements that do not count, if there is one."""
    if value is None:
        return None
    ignored = number(function, "ignore_index", value)
    if ignored != ignored:
        raise ValueError(
            f"{function}: ignore_index must be a number that a target can equal, got nan; mask=~np.isnan(target) does it"
        )
    return ignored


def label_smoothing(function: str, value: object) -> float:
    smoothing = number(function, "label_smoothing", value)
    if not 0.0 <= smoothing <= 1.0:  # NaN too
        raise ValueError(f"{function}: label_smoothing must be between 0.0 and 1.0, got {smoothing}")
    return smoothing


def num_threads(function: str, value: object) -> int:
    if value is None:
        return 0
    threads = integer(function, "num_threads", value)
    if not 1 <= threads <= 4096:
        raise ValueError(f"{function}: num_threads must be between 1 and 4096, got {threads}")
    return threads


def positive_margin(function: str, value: object) -> float:
    margin = number(function, "margin", value)
    if margin <= 0:  # NaN passes, as in torch
        raise ValueError(f"{function}: margin must be greater than 0, got {margin}")
    return margin


def same_dimensions(function: str, **arrays: Array) -> None:
    if len({array.ndim for array in arrays.values()}) > 1:
        got = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"{function}: the vectors must have the same number of dimensions, got {got}")


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


def distance_function(function: str, value: Any, names: Sequence[str]) -> Any:
    """A callable, or the name of a distance; None is the first name."""
    if value is None:
        return names[0]
    if not callable(value) and not isinstance(value, str):
        raise TypeError(f"{function}: distance_function must be a name or callable, got {type(value).__name__}")
    if isinstance(value, str) and value not in names:
        raise ValueError(f"{function}: distance_function must be one of {', '.join(map(repr, names))} or callable, got {value!r}")
    return value


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


def options(function: str, given: Mapping[str, object], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")


def positive_integer(function: str, argument: str, value: object) -> int:
    result = integer(function, argument, value)
    if result < 1:
        raise ValueError(f"{function}: {argument} must be at least 1, got {result}")
    return result


def size(function: str, argument: str, value: object) -> int:
    result = integer(function, argument, value)
    if result < 0:
        raise ValueError(f"{function}: {argument} must be at least 0, got {result}")
    return result


def instance(function: str, argument: str, value: Any, kind: type[T]) -> T | None:
    """The value, which is of this type or None."""
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{function}: {argument} must be {kind.__name__} or None, got {type(value).__name__}")
    return value


def floating(function: str, argument: str, value: object) -> np.dtype[Any]:
    """A native floating dtype that the core computes with."""
    try:
        dtype = np.dtype(value)  # type: ignore[call-overload]
    except TypeError:
        raise TypeError(f"{function}: {argument} must be a dtype, got {value!r}") from None
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise TypeError(f"{function}: {argument} must be float16, float32 or float64, got {dtype}")
    result: np.dtype[Any] = dtype.newbyteorder("=")
    return result


def cpu(function: str, device: object) -> None:
    if device is not None and str(device) != "cpu":
        raise ValueError(f"{function}: device must be None or 'cpu', got {device!r}")


def flag(function: str, argument: str, value: object) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{function}: {argument} must be True or False, got {value!r}")
    return bool(value)


def one_of(function: str, argument: str, value: object, names: Sequence[str]) -> str:
    if value not in names:
        raise ValueError(f"{function}: {argument} must be one of {', '.join(map(repr, names))}, got {value!r}")
    return str(value)


def result_dtype(function: str, value: object) -> np.dtype[Any] | None:
    """The floating dtype that is asked for, if one is."""
    if value is None:
        return None
    try:
        dtype = np.dtype(value)  # type: ignore[call-overload]
    except TypeError:
        raise TypeError(f"{function}: dtype must be a floating dtype, got {value!r}") from None
    if not _array.is_result(dtype):
        raise TypeError(f"{function}: dtype must be float16, bfloat16, float32 or float64, got {dtype}")
    native: np.dtype[Any] = dtype.newbyteorder("=")
    return native


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


def out_shape(function: str, out: Array, shape: tuple[int, ...]) -> None:
    if out.shape != shape:
        raise ValueError(f"{function}: out must have shape {shape}, got {out.shape}")


def no_divisor(function: str, wanted: bool) -> None:
    """An unreduced loss is divided by nothing."""
    if wanted:
        raise ValueError(f"{function}: return_divisor is for a reduced loss, not for reduction='none'")


def no_hessian(function: str) -> NoReturn:
    raise TypeError(f"{function}: no Hessian: the loss has no diagonal Hessian in closed form")


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


def class_weight(function: str, weight: Array | None, classes: int) -> list[float]:
    """One weight per class, or none."""
    if weight is None:
        return []
    if weight.shape != (classes,):
        raise ValueError(
            f"{function}: weight must have one element for each of {classes} classes, got shape {weight.shape} "
            f"(weight tensor should be defined either for all {classes} classes or no classes)"
        )
    numbers: list[float] = _array.rounded(weight, _array.FLOAT64).tolist()
    return numbers


def row_axis(function: str, value: object, input: Array) -> int:
    """The axis of the classes: 1, or 0 if input is one-dimensional, where none is given."""
    if value is None:
        return 1 if input.ndim > 1 else 0
    return class_axis(function, "axis", value, input.ndim)


def last_axis_of_sparse(function: str, axis: object) -> None:
    if axis is not None and integer(function, "axis", axis) not in (-1, 1):
        raise ValueError(f"{function}: axis must be the last beside a sparse target, got {axis}; pass input.T and target.T")


def class_indices(function: str, input: Array, target: Array, axis: int) -> None:
    """Target holds one class index for each row of input, whose classes lie on an axis."""
    if target.dtype.kind not in "iub":
        raise TypeError(f"{function}: target must hold class indices (integers), got dtype {target.dtype}")
    if input.ndim == 0:
        raise ValueError(f"{function}: input must have 1 or more dimensions, got 0")
    expected = input.shape[:axis] + input.shape[axis + 1 :]
    if target.shape == expected or (input.ndim == 1 and target.shape == (1,)):
        return
    if axis == 1 and target.ndim > 0 and target.shape[0] != input.shape[0]:
        raise ValueError(
            f"{function}: target must have shape {expected} for input {input.shape}, got {target.shape}. "
            f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({target.shape[0]})."
        )
    raise ValueError(f"{function}: target must have shape {expected} for input {input.shape}, got {target.shape}")


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


def linear_target(function: str, target: Array, logits: tuple[int, ...], *, batched: bool, ignore_index: int | None) -> None:
    """Target holds a class index for each row of logits, or a probability for each of them."""
    if target.shape == logits:
        if not _array.is_floating(target.dtype):
            raise TypeError(
                f"{function}: target has the shape {logits} of the logits, which makes it class probabilities, and those must be "
                f"floating; got dtype {target.dtype}. A one-hot target becomes class indices by target.argmax({int(batched)}). "
                f"(Expected floating point type for target with class probabilities.)"
            )
        if ignore_index is not None:
            raise ValueError(f"{function}: ignore_index cannot be specified when target contains probabilities, got {ignore_index}")
        return
    if target.dtype.kind not in "iub":
        raise TypeError(f"{function}: target must hold class indices (integers), got dtype {target.dtype}")
    expected = logits[:1] + logits[2:] if batched else ()
    if target.shape != expected and (batched or target.shape != (1,)):
        raise ValueError(f"{function}: target must have shape {expected} for logits {logits}, got {target.shape}")


def hinge_power(function: str, value: object) -> int:
    power = number(function, "p", value)
    if power not in (1.0, 2.0):
        raise ValueError(f"{function}: p must be 1 or 2, got {value!r} (only p == 1 and p == 2 supported)")
    return int(power)


def margin_weight(function: str, weight: Array | None) -> Array | None:
    if weight is not None and weight.ndim != 1:
        raise ValueError(f"{function}: weight must be one-dimensional, got shape {weight.shape}")
    return weight


def margin_rows(function: str, input: Array, axis: int) -> None:
    """Input holds one row of at least one class, or any number of them."""
    if input.ndim > 2 or (input.ndim > 0 and input.shape[axis] == 0):
        raise ValueError(f"{function}: input must have shape (C,) or (N, C) with at least one class, got {input.shape}")


def margin_labels(function: str, input: Array, target: Array, axis: int) -> None:
    """Target holds one class index for each row; for a single row its dimension may be missing or extra."""
    if target.dtype.kind not in "iub":
        raise TypeError(f"{function}: target must hold class indices (integers), got dtype {target.dtype}")
    rows = input.shape[1 - axis] if input.ndim > 1 else 1
    if target.shape != (rows,) and not (rows == 1 and target.shape == ()):
        raise ValueError(
            f"{function}: target must have one class index for each of {rows} rows of input {input.shape}, got {target.shape}"
        )


def margin_label_sets(function: str, input: Array, target: Array) -> None:
    """Target has the shape of input; one class may stand with or without its dimension."""
    if target.dtype.kind not in "iub":
        raise TypeError(f"{function}: target must hold class indices (integers), got dtype {target.dtype}")
    if target.shape != input.shape and not (input.ndim < 2 and target.ndim < 2 and target.size == input.size):
        raise ValueError(f"{function}: target must have the shape of input, got target {target.shape} and input {input.shape}")


def class_axis(function: str, argument: str, value: object, ndim: int) -> int:
    """A dimension number, made non-negative. A 0-d array is seen as one of one dimension."""
    axis = integer(function, argument, value)
    ndim = max(ndim, 1)
    if not -ndim <= axis < ndim:
        raise np.exceptions.AxisError(  # a ValueError and an IndexError
            f"{function}: {argument} is out of range: Dimension out of range "
            f"(expected to be in range of [{-ndim}, {ndim - 1}], but got {axis})"
        )
    return axis % ndim


def _place(argument: str, index: int, shape: tuple[int, ...]) -> str:
    if not shape:
        return argument
    return f"{argument}[{', '.join(str(int(i)) for i in np.unravel_index(index, shape))}]"


def bad_number(function: str, argument: str, index: int, shape: tuple[int, ...], value: float, domain: str) -> NoReturn:
    raise ValueError(f"{function}: {_place(argument, index, shape)} is {value:g}, outside {domain}.")


def bad_class(function: str, index: int, shape: tuple[int, ...], value: int, classes: int, lowest: int = 0) -> NoReturn:
    place = _place("target", index, shape)
    raise IndexError(f"{function}: {place} is {value}, outside [{lowest}, {classes}). Target {value} is out of bounds.")


def lengths(
    function: str, argument: str, value: object, samples: int, largest: int | None, kept: Sequence[bool] | None = None
) -> list[int]:
    """One length for each sample, as integers that are nobody else's; a single sample's may be a number.

    Lengths of samples that are not kept are not looked at.
    """
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise TypeError(f"{function}: {argument} must be array-like, got {type(value).__name__} ({error})") from None
    if array.dtype.kind not in "iu" and (array.size or hasattr(value, "dtype")):
        raise TypeError(f"{function}: {argument} must hold integers, got dtype {array.dtype} ({argument} must be integral)")
    if array.shape != (samples,) and not (samples == 1 and array.shape == ()):
        raise ValueError(
            f"{function}: {argument} must have one element for each of {samples} samples, got shape {array.shape} "
            f"({argument} must be of size batch_size)"
        )
    numbers: list[int] = array.ravel().tolist()
    for index, number in enumerate(numbers):
        if kept is not None and not kept[index]:
            continue
        place = _place(argument, index, array.shape)
        if number < 0:
            raise ValueError(
                f"{function}: {place} is {number}, expected at least 0 "
                f"(Expected {argument} to have value at least 0, but got value {number})"
            )
        if largest is not None and number > largest:
            raise ValueError(
                f"{function}: {place} is {number}, expected at most {largest}, the number of frames of log_probs "
                f"(Expected {argument} to have value at most {largest}, but got value {number})"
            )
    return numbers


def transcripts(function: str, targets: Array, target_lengths: Sequence[int], kept: Sequence[bool] | None = None) -> Array:
    """Labels of all samples: a row for each, or one after the other."""
    if targets.dtype.kind not in "iub":
        if targets.size == 0:
            return targets.astype(np.int64)
        raise TypeError(f"{function}: targets must hold labels (integers), got dtype {targets.dtype}")
    if targets.ndim not in (1, 2):
        raise ValueError(f"{function}: targets must have 1 or 2 dimensions, got shape {targets.shape}")
    samples = len(target_lengths)
    if targets.ndim == 1:
        if len(targets) != sum(target_lengths):
            raise ValueError(
                f"{function}: targets must have {sum(target_lengths)} labels, the sum of target_lengths, got {len(targets)}"
            )
        return targets
    if len(targets) != samples:
        raise ValueError(f"{function}: targets must have one row for each of {samples} samples, got shape {targets.shape}")
    longest = max((n for i, n in enumerate(target_lengths) if kept is None or kept[i]), default=0)
    if targets.shape[1] < longest:
        raise ValueError(
            f"{function}: targets must have at least {longest} columns, the largest of target_lengths, got shape {targets.shape}"
        )
    return targets


def bad_label(function: str, ndim: int, places: Sequence[int], sample: int, place: int, value: int, classes: int) -> NoReturn:
    """`places` says where the labels of each sample begin in targets of one dimension."""
    one_by_one = f"targets[{places[sample] + place}], label {place} of sample {sample},"
    where = f"targets[{sample}, {place}]" if ndim == 2 else one_by_one
    raise IndexError(f"{function}: {where} is {value}, outside [0, {classes}). Target {value} is out of bounds.")


def argument_numbers(
    function: str, argnums: object, names: Sequence[str], reasons: Mapping[str, str]
) -> tuple[tuple[str, ...], bool]:
    """The names that `argnums` asks for, and whether it asks for a tuple."""
    several = isinstance(argnums, tuple)
    wanted: list[str] = []
    for item in argnums if isinstance(argnums, tuple) else (argnums,):
        name = _argument_name(function, item, names, reasons)
        if name in wanted:
            raise ValueError(f"{function}: argnums names {name!r} twice")
        wanted.append(name)
    if not wanted:
        raise ValueError(f"{function}: argnums must name at least one argument")
    return tuple(wanted), several


def _argument_name(function: str, item: Any, names: Sequence[str], reasons: Mapping[str, str]) -> str:
    known = ", ".join(repr(name) for name in names)
    if isinstance(item, str):
        if item in names:
            return item
        reason = reasons.get(item, "it is no differentiable argument")
        raise TypeError(f"{function}: no gradient for {item!r}: {reason} (differentiable: {known})")
    try:
        index = operator.index(item)
    except TypeError:
        raise TypeError(f"{function}: argnums must be an int, a name or a tuple of them, got {item!r}") from None
    if 0 <= index < len(names):
        return names[index]
    rest = list(reasons)
    if 0 <= index - len(names) < len(rest):
        name = rest[index - len(names)]
        raise TypeError(f"{function}: no gradient for {name!r}: {reasons[name]} (differentiable: {known})")
    raise TypeError(f"{function}: argnums must be below {len(names)} (differentiable: {known}), got {index}")


def scalar_grad_output(function: str, value: object) -> float:
    """grad_output of a reduced loss."""
    if value is None:
        return 1.0
    array, _ = _array.as_array(function, "grad_output", value)
    if array.size != 1:
        raise ValueError(f"{function}: grad_output must be one number for a reduced loss, got shape {array.shape}")
    return float(_array.rounded(array, _array.FLOAT64).reshape(())[()])
