"""Every check of an argument, and every exception and warning that says so."""

from __future__ import annotations

import operator
import sys
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ndloss._typing import Array


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


def ignore_index(function: str, value: object) -> int:
    index = integer(function, "ignore_index", value)
    if not -(2**63) <= index < 2**63:
        raise ValueError(f"{function}: ignore_index must fit 64 bits, got {index}")
    return index


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


def options(function: str, given: Mapping[str, object], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")


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
    return [float(w) for w in weight]


def class_indices(function: str, input: Array, target: Array) -> None:
    """Target holds one class index for each row of input, with the classes on axis 1 (0 if input is one-dimensional)."""
    if target.dtype.kind not in "iub":
        raise TypeError(f"{function}: target must hold class indices (integers), got dtype {target.dtype}")
    if input.ndim == 0:
        raise ValueError(f"{function}: input must have 1 or more dimensions, got 0")
    expected = input.shape[:1] + input.shape[2:] if input.ndim > 1 else ()
    if target.shape == expected or (input.ndim == 1 and target.shape == (1,)):
        return
    if input.ndim > 1 and target.ndim > 0 and target.shape[0] != input.shape[0]:
        raise ValueError(
            f"{function}: target must have shape {expected} for input {input.shape}, got {target.shape}. "
            f"Expected input batch_size ({input.shape[0]}) to match target batch_size ({target.shape[0]})."
        )
    raise ValueError(f"{function}: target must have shape {expected} for input {input.shape}, got {target.shape}")


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


def bad_class(function: str, index: int, shape: tuple[int, ...], value: int, classes: int) -> NoReturn:
    place = _place("target", index, shape)
    raise IndexError(f"{function}: {place} is {value}, outside [0, {classes}). Target {value} is out of bounds.")


def lengths(function: str, argument: str, value: object, samples: int, largest: int | None) -> list[int]:
    """One length for each sample, as integers that are nobody else's; a single sample's may be a number."""
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


def transcripts(function: str, targets: Array, target_lengths: Sequence[int]) -> Array:
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
    if targets.shape[1] < max(target_lengths):
        raise ValueError(
            f"{function}: targets must have at least {max(target_lengths)} columns, the largest of target_lengths, "
            f"got shape {targets.shape}"
        )
    return targets


def bad_label(
    function: str, targets: Array, target_lengths: Sequence[int], sample: int, place: int, value: int, classes: int
) -> NoReturn:
    if targets.ndim == 2:
        where = f"targets[{sample}, {place}]"
    else:
        where = f"targets[{sum(target_lengths[:sample]) + place}], label {place} of sample {sample},"
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
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "fiub":
        raise ValueError(
            f"{function}: grad_output must be a number for a reduced loss, got shape {array.shape} and dtype {array.dtype}"
        )
    return float(array.reshape(())[()])
