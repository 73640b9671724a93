"""Every check of class indices and of what belongs to them, and what is said of a bad number that the core has found."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import numpy as np

from ndloss import _array
from ndloss._check import class_axis, integer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ndloss._typing import Array


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
