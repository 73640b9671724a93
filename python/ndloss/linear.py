"""Losses that make their own logits from a linear layer."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from ndloss import _array, _check, _check_shapes, _check_targets, _options
from ndloss._doc import documented
from ndloss._loss import Loss, differentiable
from ndloss._options import loss_options
from ndloss._record import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from typing_extensions import Unpack

    from ndloss._typing import Array, ArrayLike, CallOptions, Choices, FloatArray, FloatScalar, LossOptions, WithDivisor

__all__ = [
    "LinearCrossEntropyLoss",
    "LinearCrossEntropyOptions",
    "linear_cross_entropy",
]

FUNCTION = "linear_cross_entropy"
CHUNK_BYTES = 64 * 2**20


class LinearCrossEntropyOptions(Record):
    """How `linear_cross_entropy` is cut into chunks of samples.

    Parameters
    ----------
    batch_chunk_size : int, optional
        Samples of a chunk. By default as many as `chunk_bytes` holds.
    chunk_bytes : int, default 64 MiB
        The memory of a chunk: its logits and what products pass through. One sample is a chunk at least.

    Notes
    -----
    torch's other options (`chunking_method`, `acc_policy`, `acc_dtype`, `allow_retain_graph`) speak of graphs and of GPUs and are
    not here.

    Examples
    --------
    >>> import ndloss as nl
    >>> nl.LinearCrossEntropyOptions(batch_chunk_size=256)
    LinearCrossEntropyOptions(batch_chunk_size=256, chunk_bytes=67108864)
    """

    batch_chunk_size: int | None = None
    chunk_bytes: int = CHUNK_BYTES

    def __post_init__(self) -> None:
        if self.batch_chunk_size is not None:
            _check.positive_integer("LinearCrossEntropyOptions", "batch_chunk_size", self.batch_chunk_size)
        _check.positive_integer("LinearCrossEntropyOptions", "chunk_bytes", self.chunk_bytes)


DEFAULT_OPTIONS = LinearCrossEntropyOptions()


@overload
def linear_cross_entropy(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    reduction: Literal["none"],
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
    **call: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def linear_cross_entropy(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    return_divisor: Literal[True],
    linear_bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
    **call: Unpack[CallOptions],
) -> WithDivisor: ...
@overload
def linear_cross_entropy(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
    **call: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def linear_cross_entropy(
    input: ArrayLike,
    linear_weight: ArrayLike,
    target: ArrayLike,
    *,
    linear_bias: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
    **call: Any,
) -> Any:
    """Cross entropy of ``input @ linear_weight.T + linear_bias``. See `LinearCrossEntropyLoss`."""
    settings, request = loss_options(FUNCTION, call)
    reduction = _check.reduction(FUNCTION, reduction)
    ignored = None if ignore_index is None else _check.ignore_index(FUNCTION, ignore_index)
    smoothing = _check.label_smoothing(FUNCTION, label_smoothing)
    chunks = _check.instance(FUNCTION, "options", options, LinearCrossEntropyOptions) or DEFAULT_OPTIONS
    x = _array.as_array(FUNCTION, "input", input)
    matrix = _array.as_array(FUNCTION, "linear_weight", linear_weight)
    bias = None if linear_bias is None else _array.as_array(FUNCTION, "linear_bias", linear_bias)
    y, y_weak = _array.as_array(FUNCTION, "target", target)
    logits = _check_shapes.linear_shapes(FUNCTION, x[0], matrix[0], None if bias is None else bias[0])
    probable = y.shape == logits
    _check_targets.linear_target(FUNCTION, y, logits, batched=x[0].ndim == 2, ignore_index=ignored)
    from ndloss._linear import LinearProblem  # seldom needed

    return request(
        LinearProblem(
            x,
            matrix,
            bias,
            reduction,
            settings,
            labels=None if probable else y,
            probabilities=(y, y_weak) if probable else None,
            weight=_array.optional(FUNCTION, "weight", weight),
            ignore_index=-100 if ignored is None else ignored,
            label_smoothing=smoothing,
            chunk_rows=chunks.batch_chunk_size,
            chunk_bytes=chunks.chunk_bytes,
        )
    )


class _Linear:
    """The parameters of a linear layer, as torch.nn.Linear names and stores them."""

    def __init__(self, weight: Array, bias: Array | None) -> None:
        self.weight = weight
        self.bias = bias

    @property
    def in_features(self) -> int:
        return int(self.weight.shape[1])

    @property
    def out_features(self) -> int:
        return int(self.weight.shape[0])

    def __repr__(self) -> str:
        return f"Linear(in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None})"


@documented
class LinearCrossEntropyLoss(Loss):
    """Cross entropy of a linear layer's logits, which never exist as a whole.

    ``cross_entropy(input @ linear.weight.T + linear.bias, target)``: see `CrossEntropyLoss`. Value and gradients are made in one
    sweep over chunks of samples, each chunk's logits in the place of the last one's.

    Parameters
    ----------
    in_features : int
        Size of a sample.
    num_classes : int
        C, the number of classes.
    out_features : tuple of int, default ()
        d1, ..., dK: each sample has one row of logits for every place.
    bias : bool, default False
        Whether the layer adds a bias.
    device : None
        For torch's signature: anything but None or 'cpu' is refused.
    dtype : dtype, default float32
        Of the parameters.
    {reduction}
    {class_weight}
    ignore_index : int, optional
        Rows with this target count neither in the loss nor in the divisor nor in the gradient; None is -100. Not to be given with
        class probabilities.
    label_smoothing : float in [0, 1], default 0.0
        The share of every target that is spread evenly over the classes.
    options : LinearCrossEntropyOptions, optional
        The size of a chunk: at most 64 MiB by default.
    rng : numpy.random.Generator or int, optional
        Draws the parameters as torch.nn.Linear does, evenly within 1 / sqrt(in_features) of 0; a number seeds one.
    {choices}
    {options}

    Attributes
    ----------
    linear.weight : ndarray of shape (C * d1 * ... * dK, in_features)
    linear.bias : ndarray of shape (C * d1 * ... * dK,), or None
        The parameters. Assign to them, or change them in place, to train.

    Shape
    -----
    input : (in_features,) or (N, in_features), floating
    target : (), (N,) or (N, d1, ..., dK), any integer dtype: class indices in [0, C);
        or (C,), (N, C) or (N, C, d1, ..., dK), floating: class probabilities. The shape alone decides.
    output : the shape of the class indices for 'none', else a scalar

    Returns
    -------
    numpy scalar or ndarray
        Of the widest floating dtype among input, parameters and probabilities; integers, Python numbers and lists take no part.

    Raises
    ------
    IndexError
        If a class index is neither in [0, C) nor `ignore_index`: its position and value are named.
    ValueError
        If the shapes do not match, `label_smoothing` lies outside [0, 1], or `ignore_index` is given with probabilities.
    TypeError
        If an integer target has the shape of the logits, as a one-hot one has.

    Notes
    -----
    Gradients for input, linear_weight and linear_bias; with class probabilities also for target and weight. Those of the class
    have the shape of linear.weight and linear.bias. Beside the gradients themselves a call needs one chunk of memory (and a
    converted copy of what does not have the compute type: float16 is computed in float32).

    The logits are NumPy's matrix products: their last bits depend on its BLAS and its threads, on the size of a chunk, and so on
    the number of samples. From the logits on everything is as in `CrossEntropyLoss`. Error: 3 ULP and that of the products, at
    most in_features * eps * sum |x w|.

    torch without `options` makes the whole logits, and with them takes int64 targets without smoothing or K dimensions only; here
    every call is chunked. Ignored samples have no part in any gradient, even where they hold NaN. There is no graph, so nothing to
    retain.

    References
    ----------
    Matches torch.nn.LinearCrossEntropyLoss of 2.13; E. Wijmans et al., Cut Your Losses in Large-Vocabulary Language Models (2025)
    for the idea.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> criterion = nl.LinearCrossEntropyLoss(2, 3)
    >>> criterion.linear.weight = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], np.float32)
    >>> x, y = np.array([[2.0, 0.5], [-1.0, 1.0]], np.float32), np.array([0, 2])
    >>> print(criterion(x, y))
    0.80903035
    >>> loss, grad = criterion.value_and_grad(x, y, argnums="linear_weight")
    >>> criterion.linear.weight -= 0.5 * grad
    >>> print(criterion(x, y))
    0.57540107
    """

    _parameters = (
        "num_classes", "out_features", "reduction", "weight", "ignore_index", "label_smoothing", "options", "linear_weight",
        "linear_bias",
    )  # fmt: skip

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        out_features: Sequence[int] = (),
        bias: bool = False,
        device: Literal["cpu"] | None = None,
        dtype: npt.DTypeLike | None = None,
        reduction: str = "mean",
        weight: ArrayLike | None = None,
        ignore_index: int | None = None,
        label_smoothing: float = 0.0,
        options: LinearCrossEntropyOptions | None = None,
        rng: np.random.Generator | int | None = None,
        **policy: Unpack[Choices],
    ) -> None:
        name = type(self).__name__
        _check.cpu(name, device)
        features = _check.size(name, "in_features", in_features)
        self.num_classes = _check.size(name, "num_classes", num_classes)
        self.out_features = tuple(_check.size(name, "out_features", d) for d in out_features)
        self.reduction = _check.reduction(name, reduction)
        self.weight = _array.optional(name, "weight", weight)
        _check_targets.class_weight(name, self.weight, self.num_classes)
        self.ignore_index = None if ignore_index is None else _check.ignore_index(name, ignore_index)
        self.label_smoothing = _check.label_smoothing(name, label_smoothing)
        self.options = _check.instance(name, "options", options, LinearCrossEntropyOptions)
        self.policy = _options.policy(name, policy)
        kind = _check.result_dtype(name, dtype) or _array.FLOAT32
        columns = self.num_classes * prod(self.out_features)
        within = 1.0 / features**0.5 if features else 0.0
        draw = np.random.default_rng(rng)
        self.linear = _Linear(
            draw.uniform(-within, within, (columns, features)).astype(kind),
            draw.uniform(-within, within, columns).astype(kind) if bias else None,
        )

    @property
    def linear_weight(self) -> Array:
        """linear.weight with the shape that `linear_cross_entropy` takes: (C, d1, ..., dK, in_features)."""
        weight = self.linear.weight
        return weight.reshape(self.num_classes, *self.out_features, weight.shape[-1])

    @property
    def linear_bias(self) -> Array | None:
        """linear.bias with the shape that `linear_cross_entropy` takes: (C, d1, ..., dK)."""
        bias = self.linear.bias
        return None if bias is None else bias.reshape(self.num_classes, *self.out_features)

    def __call__(self, input: ArrayLike, target: ArrayLike, **call: Any) -> Any:
        return linear_cross_entropy(
            input,
            self.linear_weight,
            target,
            linear_bias=self.linear_bias,
            weight=self.weight,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
            options=self.options,
            **{**self.policy, **call},
        )

    def value_and_grad(self, *operands: Any, argnums: object = 0, grad_output: Any = None, **call: Any) -> Any:
        """As for every loss, see `Loss.value_and_grad`; by name also for the parameters, 'linear_weight' and 'linear_bias'."""
        from ndloss._linear import named

        wanted = named(argnums, ("input", "target"))
        value, grads = super().value_and_grad(*operands, argnums=wanted, grad_output=grad_output, **call)

        def shaped(name: object, grad: Array) -> Array:
            layer = {"linear_weight": self.linear.weight, "linear_bias": self.linear.bias}.get(str(name))
            return grad if layer is None else grad.reshape(layer.shape)

        if isinstance(wanted, tuple):
            return value, tuple(map(shaped, wanted, grads))
        return value, shaped(wanted, grads)

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={value}"
            for name, value in (
                ("in_features", self.linear.in_features),
                ("num_classes", self.num_classes),
                ("out_features", self.out_features),
                ("bias", self.linear.bias is not None),
                ("reduction", self.reduction),
                ("ignore_index", self.ignore_index),
                ("label_smoothing", self.label_smoothing),
                ("options", self.options),
            )
        )
        shown += f", {self._described()}" if self.policy else ""
        return f"{type(self).__name__}(\n  {shown}\n  (linear): {self.linear!r}\n)"
