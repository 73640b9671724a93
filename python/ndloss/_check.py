"""Every check of an argument that is no array, and every exception and warning that says so.

What arrays must be like is in `_check_shapes` and `_check_targets`.
"""

from __future__ import annotations

import operator
import sys
import warnings
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np

from ndloss import _array

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


T = TypeVar("T")


class BroadcastWarning(UserWarning):
    """Input and target have different shapes and are broadcast against each other, which is seldom what is meant."""


def warn(message: str, category: type[Warning]) -> None:
    """Warns at the caller's line: the first frame outside this package."""
    level = 3
    frame = sys._getframe(1).f_back
    while frame is not None and frame.f_globals.get("__package__") == __package__:
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


def byte_count(function: str, name: str, value: object) -> int:
    count = integer(function, name, value)
    if not 0 <= count <= sys.maxsize:
        raise ValueError(f"{function}: {name} must be a number of bytes from 0 to {sys.maxsize}, got {count}")
    return count


def positive_margin(function: str, value: object) -> float:
    margin = number(function, "margin", value)
    if margin <= 0:  # NaN passes, as in torch
        raise ValueError(f"{function}: margin must be greater than 0, got {margin}")
    return margin


def distance_function(function: str, value: Any, names: Sequence[str]) -> Any:
    """A callable, or the name of a distance; None is the first name."""
    if value is None:
        return names[0]
    if not callable(value) and not isinstance(value, str):
        raise TypeError(f"{function}: distance_function must be a name or callable, got {type(value).__name__}")
    if isinstance(value, str) and value not in names:
        raise ValueError(f"{function}: distance_function must be one of {', '.join(map(repr, names))} or callable, got {value!r}")
    return value


def options(function: str, given: Mapping[str, object], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            unknown_option(function, name)


def unknown_option(function: str, name: str) -> NoReturn:
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


def no_divisor(function: str, wanted: bool) -> None:
    """An unreduced loss is divided by nothing."""
    if wanted:
        raise ValueError(f"{function}: return_divisor is for a reduced loss, not for reduction='none'")


def no_hessian(function: str) -> NoReturn:
    raise TypeError(f"{function}: no Hessian: the loss has no diagonal Hessian in closed form")


def hinge_power(function: str, value: object) -> int:
    power = number(function, "p", value)
    if power not in (1.0, 2.0):
        raise ValueError(f"{function}: p must be 1 or 2, got {value!r} (only p == 1 and p == 2 supported)")
    return int(power)


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


def argument_numbers(
    function: str, argnums: object, names: Sequence[str], reasons: Mapping[str, str]
) -> tuple[tuple[str, ...], bool]:
    """The names that `argnums` asks for, and whether it asks for a tuple."""
    if not isinstance(argnums, tuple):
        return (_argument_name(function, argnums, names, reasons),), False
    wanted: list[str] = []
    for item in argnums:
        name = _argument_name(function, item, names, reasons)
        if name in wanted:
            raise ValueError(f"{function}: argnums names {name!r} twice")
        wanted.append(name)
    if not wanted:
        raise ValueError(f"{function}: argnums must name at least one argument")
    return tuple(wanted), True


def _argument_name(function: str, item: Any, names: Sequence[str], reasons: Mapping[str, str]) -> str:
    if isinstance(item, str):
        if item in names:
            return item
        _no_gradient(function, repr(item), reasons.get(item, "it is no differentiable argument"), names)
    try:
        index = operator.index(item)
    except TypeError:
        raise TypeError(f"{function}: argnums must be an int, a name or a tuple of them, got {item!r}") from None
    if 0 <= index < len(names):
        return names[index]
    rest = list(reasons)
    if 0 <= index - len(names) < len(rest):
        name = rest[index - len(names)]
        _no_gradient(function, repr(name), reasons[name], names)
    raise TypeError(f"{function}: argnums must be below {len(names)} ({_differentiable(names)}), got {index}")


def _no_gradient(function: str, what: str, reason: str, names: Sequence[str]) -> NoReturn:
    raise TypeError(f"{function}: no gradient for {what}: {reason} ({_differentiable(names)})")


def _differentiable(names: Sequence[str]) -> str:
    return f"differentiable: {', '.join(map(repr, names))}"


def scalar_grad_output(function: str, value: object) -> float:
    """grad_output of a reduced loss."""
    if value is None:
        return 1.0
    array, _ = _array.as_array(function, "grad_output", value)
    if array.size != 1:
        raise ValueError(f"{function}: grad_output must be one number for a reduced loss, got shape {array.shape}")
    return float(_array.rounded(array, _array.FLOAT64).reshape(())[()])
