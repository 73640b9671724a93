"""The C++ core. Private."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

version: str
compiler: str
elementwise_block: int
elementwise_names: tuple[str, ...]
rowwise_names: tuple[str, ...]
sequence_names: tuple[str, ...]

class Accumulator:
    def __init__(self) -> None: ...
    @property
    def total(self) -> float: ...
    @property
    def divisor(self) -> float: ...
    @property
    def count(self) -> int: ...
    @property
    def bad(self) -> tuple[int, int, int] | None: ...
    def compute(self, reduction: str) -> float: ...
    def merge(self, other: Accumulator) -> None: ...
    def per_row(self, classes: int, divisor: int) -> None: ...
    def share_divisor(self, elements: int) -> None: ...
    def copy(self) -> Accumulator: ...

class StreamSums:
    done: Accumulator  # a copy, as total is
    total: Accumulator
    rooms: tuple[Array, ...]
    filled: int
    item_size: int
    key: bytes
    def __init__(self) -> None: ...
    @property
    def tail(self) -> tuple[Array, ...]: ...
    def copy(self) -> StreamSums: ...

class ElementwiseCall:
    def __init__(
        self,
        name: str,
        parameters: Sequence[float],
        operands: tuple[Array, ...],
        weight: Array | None,
        twice: bool,
        threads: int,
        row_divisor: int,
        sample_weight: Array | None = None,
        mask: Array | None = None,
        ignore_value: float | None = None,
    ) -> None: ...
    def accumulate(self, initial: Accumulator, begin: int = 0, end: int = -1, raw: bool = False) -> Accumulator: ...
    def map(self, out: Array) -> tuple[int, int, int] | None: ...
    def scale(self, reduction: str) -> float: ...
    def gradients(
        self,
        scale: float,
        upstream: Array | None,
        grads: tuple[Array | None, ...],
        value: Array | None,
        curvatures: tuple[Array | None, ...] = (),
        initial: Accumulator | None = None,
        begin: int = 0,
        end: int = -1,
        raw: bool = False,
    ) -> Accumulator: ...
    def weight_gradient(
        self, scale: float, offset: float, upstream: Array | None, out: Array, begin: int = 0, end: int = -1
    ) -> tuple[int, int, int] | None: ...

class BroadcastSum:
    def __init__(self, shape: Sequence[int], to: Array, threads: int = 0) -> None: ...
    def add(self, slab: Array) -> None: ...

class RowCall:
    def __init__(
        self,
        name: str,
        input: Array,
        axis: int,
        labels: Array | None,
        probabilities: Array | None,
        weight: Sequence[float],
        ignore_index: int,
        label_smoothing: float,
        twice: bool,
        threads: int,
        label_sets: Array | None = None,
        p: int = 1,
        margin: float = 1.0,
        sample_weight: Array | None = None,
        mask: Array | None = None,
    ) -> None: ...
    def accumulate(self, initial: Accumulator, begin: int = 0, end: int = -1) -> Accumulator: ...
    def map(self, out: Array) -> Accumulator: ...
    def scale(self, reduction: str) -> float: ...
    def gradients(
        self,
        scale: float,
        upstream: Array | None,
        grads: tuple[Array | None, ...],
        value: Array | None,
        curvature: Array | None = None,
        initial: Accumulator | None = None,
        begin: int = 0,
        end: int = -1,
    ) -> Accumulator: ...

class VectorCall:
    def __init__(
        self,
        kind: str,
        family: str,
        margin: float,
        p: float,
        eps: float,
        swap: bool,
        operands: tuple[Array, ...],
        label: Array | None,
        twice: bool,
        threads: int,
    ) -> None: ...
    def accumulate(self, initial: Accumulator, begin: int = 0, end: int = -1) -> Accumulator: ...
    def map(self, out: Array, begin: int = 0, end: int = -1) -> None: ...
    def scale(self, reduction: str) -> float: ...
    def gradients(
        self,
        scale: float,
        upstream: Array | None,
        grads: tuple[Array | None, ...],
        value: Array | None,
        dense: Sequence[bool] = (),
        initial: Accumulator | None = None,
        begin: int = 0,
        end: int = -1,
        dense_upstream: bool = False,
        mask: Array | None = None,
    ) -> Accumulator: ...

def vector_block(features: int) -> int: ...
def weighted_sum(weights: tuple[Array, ...], parts: tuple[Array, ...], out: Array, begin: int = 0) -> None: ...

class SequenceCall:
    def __init__(
        self,
        log_probs: Array,
        targets: Array,
        input_lengths: Sequence[int],
        target_lengths: Sequence[int],
        blank: int,
        zero_infinity: bool,
        twice: bool,
        threads: int,
    ) -> None: ...
    def accumulate(self, initial: Accumulator, by_length: bool) -> Accumulator: ...
    def map(self, out: Array) -> Accumulator: ...
    def gradients(
        self, by_length: bool, factor: float, upstream: Sequence[float], grad: Array, value: Array | None
    ) -> Accumulator: ...

class Plain(Protocol):
    """A call of a loss by position, its options last: what was asked for, or None where the call is not plain."""

    def __call__(self, *args: object) -> Any: ...

def __getattr__(loss: str) -> Plain: ...  # every loss of losses.hpp that a plain call can have
def read_others(as_array: Callable[[str, str, object], tuple[Array, bool]]) -> None: ...
def answer_requests(value_and_grad: type, grad_hess: type, feed: type) -> None: ...
def warn_by(warn_of_broadcast: Callable[[tuple[int, ...], tuple[int, ...]], None]) -> None: ...
def activate(name: str, input: Array, axis: int, upstream: Array | None, twice: bool, out: Array, threads: int) -> None: ...
def row_block(name: str, classes: int) -> int: ...
def double_of_bits(bits: int) -> float: ...
def available_isas() -> list[str]: ...
def get_isa() -> str: ...
def set_isa(name: str) -> None: ...
def get_num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array: ...
def empty_cache() -> None: ...
def get_cache_limit() -> int: ...
def get_cache_memory() -> int: ...
def set_cache_limit(limit: int) -> None: ...
def set_local_num_threads(threads: int) -> int: ...
def openmp_runtime() -> str: ...
