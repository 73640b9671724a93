"""Arrays of other packages, seen as NumPy arrays without a copy where their memory allows it.

No package is imported here that the object at hand does not come from.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ndloss._array import BFLOAT16_BITS

if TYPE_CHECKING:
    from ndloss._typing import Array

# DLDeviceType of memory that the CPU reads: kDLCPU, kDLCUDAHost, kDLROCMHost.
HOST_MEMORY = (1, 3, 11)

TORCH_FLOAT8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu")

# What to call, by the kind of a dtype that holds no real numbers.
HINTS = {
    "O": "; objects that are numbers become floats by .astype(float)",
    "c": "; the parts of complex numbers are .real and .imag",
    "U": "; words for numbers become floats by .astype(float)",
    "S": "; words for numbers become floats by .astype(float)",
    "T": "; words for numbers become floats by .astype(float)",
    "M": "; times become integers by .astype('int64')",
    "m": "; times become integers by .astype('int64')",
    "f": "; .astype('float64') rounds it",
}


def imported(function: str, argument: str, value: object) -> Array:
    """The argument as an array of whatever dtype."""
    if isinstance(value, np.ma.MaskedArray):
        refuse(function, argument, "is a masked array", ".filled() or, with mask=~numpy.ma.getmaskarray(x), x.data")
    kind: Any = type(value)
    return _read(function, argument, value, _reader(kind))


@functools.lru_cache(maxsize=64)
def _reader(kind: type) -> Reader:
    """By the package that the type, or one it inherits from, belongs to."""
    for base in kind.__mro__:
        package = str(base.__module__).partition(".")[0]
        if package in PACKAGES:
            return PACKAGES[package]
    return _any


def carries_dtype(value: object) -> bool:
    """Whether its elements have a type of their own, as those of lists and of Python's numbers have not."""
    if isinstance(value, (int, float, complex, str, list, tuple, type(None))) and not isinstance(value, np.generic):
        return False
    if any(hasattr(value, name) for name in ("dtype", "__array__", "__array_interface__", "__dlpack__")):
        return True
    try:
        memoryview(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True


def not_real(function: str, argument: str, dtype: np.dtype[Any]) -> NoReturn:
    hint = f"; a field of it is x[{dtype.names[0]!r}]" if dtype.names is not None else HINTS.get(dtype.kind, "")
    raise TypeError(f"{function}: {argument} must hold real numbers of at most 64 bits, got dtype {dtype}{hint}")


def refuse(function: str, argument: str, what: str, call: str) -> NoReturn:
    raise TypeError(f"{function}: {argument} {what}; pass {argument if call.startswith('.') else ''}{call}")


Reader = Callable[[str, str, Any], "Array"]


def _read(function: str, argument: str, value: object, reader: Reader) -> Array:
    try:
        return reader(function, argument, value)
    except (ValueError, TypeError, RuntimeError, BufferError) as error:
        if str(error).startswith(f"{function}: "):
            raise
        raise TypeError(f"{function}: {argument} must be array-like, got {type(value).__name__} ({error})") from None


def _any(function: str, argument: str, value: Any) -> Array:
    """Whatever NumPy takes, and what speaks DLPack alone."""
    if hasattr(value, "__cuda_array_interface__"):
        refuse(function, argument, f"is in the memory of a GPU ({type(value).__name__})", "a copy of it: .get() or .cpu()")
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__") and not hasattr(value, "__array_interface__"):
        device = value.__dlpack_device__()[0]
        if device not in HOST_MEMORY:
            refuse(
                function, argument, f"is not in the memory of the CPU ({type(value).__name__})", "a copy of it: .get() or .cpu()"
            )
        return np.from_dlpack(value)
    array = np.asarray(value)
    if array.dtype == object and array.ndim == 0 and not isinstance(value, np.generic | np.ndarray):
        raise TypeError(f"{function}: {argument} must be array-like, got {type(value).__name__}")
    return array


def _torch(function: str, argument: str, value: Any) -> Array:
    import torch

    if not isinstance(value, torch.Tensor):
        return _any(function, argument, value)
    if value.dtype is not torch.bfloat16:
        try:
            usual: Array = value.numpy()
            return usual
        except (RuntimeError, TypeError):
            pass  # for one of these reasons, or a dtype that NumPy lacks
    calls = [
        (value.requires_grad, "requires a gradient", ".detach()"),
        (value.layout != torch.strided, "is sparse", ".to_dense()"),
        (value.device.type == "meta", "has no data", "a tensor that has"),
        (value.device.type not in ("cpu", "meta"), f"is on {value.device}", ".cpu()"),
        (value.is_quantized, "is quantized", ".dequantize()"),
        (value.is_neg(), "is negated lazily", ".resolve_neg()"),
    ]
    due = [(what, call) for applies, what, call in calls if applies]
    if due:
        refuse(function, argument, "is a tensor that " + " and ".join(what for what, _ in due), "".join(call for _, call in due))
    name = str(value.dtype).partition(".")[2]
    if name == "bfloat16":
        numbers = _ml_dtypes()
        dtype = BFLOAT16_BITS if numbers is None else np.dtype(numbers.bfloat16)
        return np.asarray(value.view(torch.int16).numpy().view(dtype))
    if name in TORCH_FLOAT8:
        numbers = _ml_dtypes()
        if numbers is None:
            refuse(function, argument, f"is a tensor of {name}, which takes the package ml_dtypes", ".float(), or install it")
        return np.asarray(value.view(torch.uint8).numpy().view(getattr(numbers, name)))
    last: Array = value.numpy()
    return last


def _jax(function: str, argument: str, value: Any) -> Array:
    import jax

    if isinstance(value, jax.core.Tracer):
        refuse(function, argument, "is a tracer, which has no data", "its numbers by way of jax.pure_callback")
    if isinstance(value, jax.Array):
        others = sorted({device.platform for device in value.devices()} - {"cpu"})
        if others:
            refuse(function, argument, f"is an array on {others[0]}", "jax.device_get(x)")
    return _any(function, argument, value)


def _pyarrow(function: str, argument: str, value: Any) -> Array:
    if getattr(value, "null_count", 0):
        refuse(function, argument, f"has {value.null_count} nulls", ".fill_null(number) or .drop_null()")
    # A chunked array of one chunk needs no joining.
    if getattr(value, "num_chunks", 0) == 1:
        value = value.chunk(0)
    return np.asarray(value)


def _pandas(function: str, argument: str, value: Any) -> Array:
    dtypes = list(value.dtypes) if getattr(value, "ndim", 0) == 2 and hasattr(value, "dtypes") else [getattr(value, "dtype", None)]
    extended = [dtype for dtype in dtypes if not isinstance(dtype, np.dtype)]
    if extended and hasattr(value, "isna") and np.asarray(value.isna()).any():
        refuse(function, argument, "has missing values (pandas.NA)", ".fillna(number) or .dropna()")
    if len(dtypes) == 1 and hasattr(value, "to_numpy"):
        dtype = dtypes[0]
        if type(dtype).__name__ == "ArrowDtype":
            arrow = getattr(value, "array", value).__arrow_array__()
            return _pyarrow(function, argument, arrow)
        plain = getattr(dtype, "numpy_dtype", None)  # of a nullable dtype
        if isinstance(plain, np.dtype):
            return np.asarray(value.to_numpy(dtype=plain))
    elif extended:
        plains = [getattr(dtype, "numpy_dtype", dtype) for dtype in dtypes]
        if all(isinstance(plain, np.dtype) for plain in plains):
            return np.asarray(value.to_numpy(dtype=np.result_type(*plains)))
    return np.asarray(value)


def _polars(function: str, argument: str, value: Any) -> Array:
    columns = value.get_columns() if hasattr(value, "get_columns") else [value]
    nulls = sum(column.null_count() for column in columns if hasattr(column, "null_count"))
    if nulls:
        refuse(function, argument, f"has {nulls} nulls", ".fill_null(number) or .drop_nulls()")
    return np.asarray(value)


def _scipy(function: str, argument: str, value: Any) -> Array:
    if hasattr(value, "toarray"):
        refuse(function, argument, f"is sparse ({type(value).__name__})", ".toarray()")
    return _any(function, argument, value)


def _ml_dtypes() -> Any:
    """The package, if there is one."""
    try:
        return importlib.import_module("ml_dtypes")
    except ImportError:
        return None


PACKAGES: dict[str, Reader] = {
    "torch": _torch,
    "jax": _jax,
    "jaxlib": _jax,
    "pyarrow": _pyarrow,
    "pandas": _pandas,
    "polars": _polars,
    "scipy": _scipy,
}
