"""
Arrays of other packages go in as they are: without a copy where their memory can be read, with an error that says what
to call where it cannot. What a package is not there for is not tested.
"""

from __future__ import annotations

import array
import functools
import importlib
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ndloss as nl
import ndloss.functional as F
from calls import bits
from ndloss import _array, _interchange

NUMBERS = np.random.default_rng(4).normal(0, 2, (50, 3)).astype(np.float32)
COLUMN = np.ascontiguousarray(NUMBERS[:, 0])
MISSING = [1.0, None, 2.0]


def package(name: str) -> ModuleType:
    return pytest.importorskip(name)


class OnlyDLPack:
    """An array that speaks DLPack and nothing else."""

    def __init__(self, numbers: Any, device: tuple[int, int] = (1, 0)) -> None:
        self.numbers, self.device = numbers, device

    def __dlpack__(self, **how: Any) -> Any:
        return self.numbers.__dlpack__(**how)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


class OnlyArray:
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return COLUMN


class OnAGpu:
    __cuda_array_interface__ = None


# Objects of every package that hold COLUMN, over its own memory...
SHARED: dict[str, Callable[[], Any]] = {
    "memoryview": lambda: memoryview(COLUMN),
    "memmap": lambda: COLUMN.view(np.memmap),
    "DLPack": lambda: OnlyDLPack(COLUMN),
    "__array__": OnlyArray,
    "torch": lambda: package("torch").from_numpy(COLUMN),
    "torch, transposed": lambda: package("torch").from_numpy(COLUMN[:, None]).T[0],
    "pyarrow": lambda: package("pyarrow").array(COLUMN),
    "pyarrow, one chunk": lambda: package("pyarrow").chunked_array([package("pyarrow").array(COLUMN)]),
    "pandas": lambda: package("pandas").Series(COLUMN, copy=False),
    "pandas frame": lambda: package("pandas").DataFrame(COLUMN[:, None], copy=False),
    "pandas of pyarrow": lambda: package("pandas").Series(
        package("pyarrow").array(COLUMN), dtype=package("pandas").ArrowDtype(package("pyarrow").float32())
    ),
    "polars": lambda: package("polars").Series(COLUMN),
}
# ... and over a copy, or one that the package makes.
COPIED: dict[str, Callable[[], Any]] = {
    "array.array": lambda: array.array("f", COLUMN.tolist()),
    "jax": lambda: package("jax.numpy").asarray(COLUMN),
    "torch parameter": lambda: package("torch").nn.Parameter(package("torch").from_numpy(COLUMN), requires_grad=False),
    "pyarrow, two chunks": lambda: package("pyarrow").chunked_array([COLUMN[:20], COLUMN[20:]]),
    "pandas, nullable": lambda: package("pandas").Series(COLUMN, dtype="Float32"),
    "pandas index": lambda: package("pandas").Index(COLUMN),
    "polars frame": lambda: package("polars").DataFrame({"x": COLUMN}),
}


@pytest.mark.parametrize("kind", [*SHARED, *COPIED])
def test_arrays_of_other_packages_are_like_numpys(kind: str) -> None:
    x = {**SHARED, **COPIED}[kind]()
    flat = np.asarray(COLUMN) if np.ndim(x) == 1 or not hasattr(x, "shape") else COLUMN[:, None]
    target = np.zeros_like(flat)
    for given, plain in (((x, target), (flat, target)), ((target, x), (target, flat))):
        value, grad = nl.value_and_grad(F.mse_loss, argnums=(0, 1))(*given)
        due, due_grad = nl.value_and_grad(F.mse_loss, argnums=(0, 1))(*plain)
        assert bits(value) == bits(due)
        assert [bits(g) for g in grad] == [bits(g) for g in due_grad]
        assert bits(F.mse_loss(*given, reduction="none", weight=x)) == bits(F.mse_loss(*plain, reduction="none", weight=flat))


@pytest.mark.parametrize("kind", SHARED)
def test_memory_that_can_be_read_is_not_copied(kind: str) -> None:
    x = SHARED[kind]()
    seen, weak = _array.as_array("loss", "input", x)
    assert not weak
    assert np.shares_memory(seen, COLUMN) or not seen.flags.owndata, kind
    if kind.startswith(("memory", "DLPack", "torch", "__array__")):
        assert np.shares_memory(seen, COLUMN)


def test_lists_and_numbers_alone_are_weak() -> None:
    for weak in ([1.0], (1, 2), 1.5, True, range(3), [np.float32(1)]):
        assert _array.as_array("loss", "input", weak)[1], repr(weak)
    for strong in (np.float16(1), memoryview(COLUMN), array.array("d", [1]), bytearray(b"a"), OnlyDLPack(COLUMN), OnlyArray()):
        assert not _array.as_array("loss", "input", strong)[1], repr(strong)
    assert F.mse_loss(array.array("d", [1.0]), np.float32([0])).dtype == np.float64


def refused() -> dict[str, tuple[Callable[[], Any], str]]:
    """What is refused, and what the error says to call."""
    torch, pa, pd, pl = (functools.partial(package, name) for name in ("torch", "pyarrow", "pandas", "polars"))
    return {
        "requires grad": (lambda: torch().ones(3, requires_grad=True), "requires a gradient; pass input.detach()"),
        "sparse tensor": (lambda: torch().eye(3).to_sparse(), "is sparse; pass input.to_dense()"),
        "sparse with grad": (
            lambda: torch().eye(3).to_sparse().requires_grad_(),
            "requires a gradient and is sparse; pass input.detach().to_dense()",
        ),
        "meta": (lambda: torch().ones(3, device="meta"), "has no data"),
        "complex tensor": (lambda: torch().ones(3, dtype=torch().complex64), ".real"),
        "pyarrow nulls": (lambda: pa().array(MISSING), "has 1 nulls; pass input.fill_null(number)"),
        "pyarrow chunks": (lambda: pa().chunked_array([MISSING, [1.0]]), "has 1 nulls"),
        "pyarrow strings": (lambda: pa().array(["a"]), ".astype(float)"),
        "pandas NA": (lambda: pd().Series([1, None], dtype="Int64"), "missing values (pandas.NA); pass input.fillna(number)"),
        "pandas frame NA": (lambda: pd().DataFrame({"a": pd().array([1, None], dtype="Int64"), "b": 1.5}), "pandas.NA"),
        "pandas of pyarrow NA": (lambda: (pa(), pd().Series(MISSING, dtype="float[pyarrow]"))[1], "pandas.NA"),
        "pandas strings": (lambda: pd().Series(["a"], dtype=object), ".astype(float)"),
        "pandas times": (lambda: pd().Series(pd().to_datetime(["2020-01-01"])), ".astype('int64')"),
        "polars nulls": (lambda: pl().Series(MISSING), "has 1 nulls; pass input.fill_null(number)"),
        "polars frame": (lambda: pl().DataFrame({"a": MISSING}), "has 1 nulls"),
        "scipy": (lambda: package("scipy.sparse").csr_matrix(np.eye(3)), "is sparse (csr_matrix); pass input.toarray()"),
        "a GPU": (OnAGpu, "is in the memory of a GPU (OnAGpu); pass a copy of it"),
        "a GPU's DLPack": (lambda: OnlyDLPack(COLUMN, (2, 0)), "is not in the memory of the CPU (OnlyDLPack); pass a copy of it"),
        "masked": (lambda: np.ma.array(COLUMN), "is a masked array; pass input.filled()"),
        "objects": (lambda: COLUMN.astype(object), "objects that are numbers become floats by .astype(float)"),
        "complex": (lambda: COLUMN.astype(complex), ".real and .imag"),
        "words": (lambda: COLUMN.astype(str), "words for numbers become floats by .astype(float)"),
        "times": (lambda: np.zeros(3, "m8[s]"), ".astype('int64')"),
        "longdouble": (lambda: COLUMN.astype(np.longdouble), ".astype('float64') rounds it"),
        "a record": (lambda: np.zeros(3, [("a", float)]), "x['a']"),
        "two bytes": (lambda: np.zeros(3, "V2"), "must hold real numbers"),
        "a dict": (lambda: {"a": 1}, "must be array-like, got dict"),
        "None": (lambda: None, "must be array-like, got NoneType"),
    }


@pytest.mark.parametrize("kind", refused())
def test_what_cannot_be_read_is_refused_with_what_to_call(kind: str) -> None:
    make, says = refused()[kind]
    bad = make()
    for call in (F.mse_loss, F.cross_entropy, nl.value_and_grad(F.huber_loss)):
        with pytest.raises(TypeError) as caught:
            call(bad, COLUMN)
        message = str(caught.value)
        assert message.startswith(("mse_loss: input ", "cross_entropy: input ", "huber_loss: input "))
        assert says in message


def test_a_tracer_is_refused() -> None:
    jax = package("jax")
    with pytest.raises(TypeError, match="input is a tracer, which has no data"):
        jax.jit(lambda x: F.mse_loss(x, COLUMN))(COLUMN)


# ---- bfloat16 and float8 ----


def bfloat16_of(wide: Any) -> Any:
    """The bits of float32 numbers rounded to nearest, ties to even: an independent rounding."""
    numbers = np.asarray(wide, np.float32).view(np.uint32)
    return ((numbers + 0x7FFF + ((numbers >> 16) & 1)) >> 16).astype(np.uint16)


def test_bfloat16_is_computed_in_float32_and_rounded_once() -> None:
    ml_dtypes = package("ml_dtypes")
    x, y = (np.random.default_rng(k).normal(0, 3, (400, 7)).astype(ml_dtypes.bfloat16) for k in (1, 2))
    for layout in (
        lambda a: a,
        lambda a: a.T.copy().T,
        lambda a: a.astype(a.dtype.newbyteorder()),
        lambda a: np.repeat(a, 2, 0)[::2],
    ):
        for reduction in ("none", "mean", "sum"):
            upstream = 1.5 if reduction != "none" else np.linspace(-1, 1, x.size, dtype=np.float32).reshape(x.shape)
            both = nl.value_and_grad(F.huber_loss, argnums=(0, 1))
            value, grads = both(layout(x), layout(y), reduction=reduction, grad_output=upstream)
            wide, wide_grads = both(x.astype(np.float32), y.astype(np.float32), reduction=reduction, grad_output=upstream)
            for got, due in zip((value, *grads), (wide, *wide_grads), strict=True):
                assert got.dtype == ml_dtypes.bfloat16
                assert np.array_equal(np.asarray(got).view(np.uint16), bfloat16_of(due)), reduction
    value, grad = nl.value_and_grad(F.cross_entropy)(x, np.zeros(400, np.int64))
    assert value.dtype == grad.dtype == ml_dtypes.bfloat16
    assert F.mse_loss(x, x.astype(np.float16)).dtype == np.float32
    assert F.mse_loss(x, x.astype(np.float64)).dtype == np.float64
    assert F.softmax(x, 1).dtype == ml_dtypes.bfloat16


def test_scalars_are_rounded_to_bfloat16_once() -> None:
    """By way of float32 1 + 2^-8 + 2^-40 would come down to the tie, and from there to 1."""
    bfloat16 = np.dtype(package("ml_dtypes").bfloat16)
    for value, due in {
        1 + 2.0**-8 + 2.0**-40: 1 + 2.0**-7,
        1 + 2.0**-8: 1.0,
        -(1 + 3 * 2.0**-8): -(1 + 2.0**-6),
        2.0**-134: 0.0,
        2.0**-134 + 2.0**-180: 2.0**-133,
        3.4e38: np.inf,
        1e300: np.inf,
        -np.inf: -np.inf,
        0.0: 0.0,
        5e-324: 0.0,
    }.items():
        got = _array.scalar(value, bfloat16)
        assert got.dtype == bfloat16
        assert float(got) == due, value
    assert np.isnan(float(_array.scalar(np.nan, bfloat16)))


FLOAT8 = ("e3m4", "e4m3", "e4m3b11fnuz", "e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e8m0fnu")


@pytest.mark.parametrize("name", FLOAT8)
def test_every_float8_is_read_right(name: str) -> None:
    kind = np.dtype(getattr(package("ml_dtypes"), f"float8_{name}", None) or pytest.skip(f"this ml_dtypes has no {name}"))
    codes = np.arange(256, dtype=np.uint8).view(kind)
    wide = codes.astype(np.float32)
    for given, plain in ((codes, wide), (codes[::-3], wide[::-3]), (codes.reshape(16, 16).T, wide.reshape(16, 16).T)):
        value, grad = nl.value_and_grad(F.l1_loss)(given, np.zeros_like(plain), reduction="none")
        assert value.dtype == grad.dtype == np.float32
        assert bits(value) == bits(np.abs(plain))
        assert bits(grad) == bits(nl.grad(F.l1_loss)(plain, np.zeros_like(plain), reduction="none"))
        assert bits(F.l1_loss(given, np.zeros(plain.shape), reduction="none")) == bits(np.abs(plain).astype(np.float64))


def test_torch_tensors_of_every_dtype_are_like_numpys() -> None:
    torch = package("torch")
    package("ml_dtypes")
    x, y = torch.from_numpy(NUMBERS), torch.from_numpy(NUMBERS[::-1].copy())
    names = ["float16", "bfloat16", "float64", "int8", "uint8", "int16", "int32", "int64", "bool", "float8_e4m3fn", "float8_e5m2"]
    for name in names:
        given = x.to(getattr(torch, name))
        plain = given.to(torch.float64 if name == "float64" else torch.float32).numpy()
        for change in (lambda a: a, lambda a: a.T, lambda a: a[::2], lambda a: a[3]):
            assert bits(F.mse_loss(change(given), change(y))) == bits(F.mse_loss(change(plain), change(y.numpy()))), name
    half = nl.value_and_grad(F.mse_loss)(x.bfloat16(), y.bfloat16())
    assert {part.dtype.name for part in half} == {"bfloat16"}
    assert np.shares_memory(
        _array.as_array("loss", "input", tensor := x.bfloat16())[0].view(np.uint16), tensor.view(torch.int16).numpy()
    )


def test_without_ml_dtypes_bfloat16_tensors_give_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = package("torch")
    x, y = (torch.from_numpy(a.copy()).bfloat16() for a in (NUMBERS, NUMBERS[::-1]))
    wide = x.float().numpy(), y.float().numpy()
    labels, w = np.arange(50) % 3, torch.tensor([0.5, 1.0, 2.0]).bfloat16()
    q = torch.softmax(y.float(), 1).bfloat16()
    monkeypatch.setattr(_interchange, "_ml_dtypes", lambda: None)
    assert bits(F.mse_loss(x, y)) == bits(F.mse_loss(*wide))
    assert bits(F.mse_loss(x.T, y.T, reduction="none")) == bits(F.mse_loss(wide[0].T, wide[1].T, reduction="none"))
    for got, due in zip(nl.value_and_grad(F.mse_loss)(x, y), nl.value_and_grad(F.mse_loss)(*wide), strict=True):
        assert bits(got) == bits(due)
    assert bits(F.cross_entropy(x, labels, weight=w)) == bits(F.cross_entropy(wide[0], labels, weight=w.float().numpy()))
    assert bits(F.cross_entropy(x, q)) == bits(F.cross_entropy(wide[0], q.float().numpy()))
    with pytest.raises(
        TypeError, match=r"input is a tensor of float8_e5m2, which takes the package ml_dtypes; pass input.float\(\)"
    ):
        F.mse_loss(x.to(torch.float8_e5m2), y)


# ---- no package is imported for the question ----


def test_no_package_is_imported() -> None:
    code = (
        "import sys, numpy as np, ndloss.functional as F\n"
        "before = set(sys.modules)\n"
        "class Own:\n"
        "    def __array__(self, dtype=None, copy=None): return np.ones(3)\n"
        "F.mse_loss(Own(), [1.0, 2, 3])\n"
        "F.binary_cross_entropy_with_logits(Own(), memoryview(np.ones(3)))\n"
        f"names = {sorted(_interchange.PACKAGES)!r} + ['ml_dtypes']\n"
        "print(sorted({m.partition('.')[0] for m in set(sys.modules) - before} & set(names)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert importlib.import_module("ndloss") is nl
