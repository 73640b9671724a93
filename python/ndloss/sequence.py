"""Losses of sequences without an alignment."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from ndloss import _array, _check, _check_targets, _core, _options
from ndloss._doc import documented
from ndloss._loss import Loss, differentiable
from ndloss._options import loss_options
from ndloss._sequence import SequenceProblem

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ndloss._typing import ArrayLike, CallOptions, FloatArray, FloatScalar, LossOptions, Policy, WithDivisor

__all__ = [
    "CTCLoss",
    "ctc_loss",
]


# ---- connectionist temporal classification ----


@overload
def ctc_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    input_lengths: ArrayLike,
    target_lengths: ArrayLike,
    blank: int = 0,
    *,
    reduction: Literal["none"],
    zero_infinity: bool = False,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def ctc_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    input_lengths: ArrayLike,
    target_lengths: ArrayLike,
    blank: int,
    reduction: Literal["none"],
    zero_infinity: bool = False,
    **options: Unpack[LossOptions],
) -> FloatArray: ...
@overload
def ctc_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    input_lengths: ArrayLike,
    target_lengths: ArrayLike,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
    *,
    return_divisor: Literal[True],
    **options: Unpack[CallOptions],
) -> WithDivisor: ...
@overload
def ctc_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    input_lengths: ArrayLike,
    target_lengths: ArrayLike,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
    **options: Unpack[LossOptions],
) -> FloatScalar: ...
@differentiable
def ctc_loss(
    log_probs: ArrayLike,
    targets: ArrayLike,
    input_lengths: ArrayLike,
    target_lengths: ArrayLike,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
    **options: Any,
) -> Any:
    """Connectionist temporal classification of log-probabilities with label sequences. See `CTCLoss`."""
    plain = _core.ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity, options)
    if plain is not None:
        return plain
    function = "ctc_loss"
    settings, request = loss_options(function, options)
    reduction = _check.reduction(function, reduction)
    x, x_weak = _array.as_array(function, "log_probs", log_probs)
    if x.ndim not in (2, 3):
        raise ValueError(f"{function}: log_probs must have shape (T, N, C) or (T, C), got {x.shape}")
    if x.size == 0:
        raise ValueError(f"{function}: log_probs must not be empty, got shape {x.shape} (log_probs tensor must not be empty)")
    frames, classes = x.shape[0], x.shape[-1]
    samples = x.shape[1] if x.ndim == 3 else 1
    blank = _check.integer(function, "blank", blank)
    if not 0 <= blank < classes:
        raise ValueError(f"{function}: blank is {blank}, outside [0, {classes}) (blank must be in label range)")
    y, _ = _array.as_array(function, "targets", targets)
    mask = settings.spread("mask", x.shape[1:-1])
    kept = None if mask is None else mask.astype(bool).ravel().tolist()
    inputs = _check_targets.lengths(function, "input_lengths", input_lengths, samples, frames, kept)
    # Lengths say where the labels of later samples are, if these stand one after the other.
    labels = _check_targets.lengths(function, "target_lengths", target_lengths, samples, None, kept if y.ndim == 2 else None)
    y = _check_targets.transcripts(function, y, labels, kept)
    places = [0, *accumulate(labels)]
    if kept is not None:
        if y.ndim == 1:
            y = y[np.repeat(kept, labels)]
        inputs, labels = ([n if keep else 0 for n, keep in zip(those, kept, strict=True)] for those in (inputs, labels))
    return request(
        SequenceProblem(function, (x, x_weak), y, inputs, labels, blank, bool(zero_infinity), reduction, settings, places)
    )


@documented
class CTCLoss(Loss):
    """Connectionist temporal classification: label sequences of frames without an alignment.

    ``-log(sum of the probabilities of all alignments)`` for each sample, where an alignment names a class for each frame and
    reads as the target once its repeats are merged and its blanks removed

    Parameters
    ----------
    blank : int, default 0
        The class that stands for no label.
    {reduction}
        'mean' divides the loss of each sample by the number of its labels, or 1, and averages over the samples.
    zero_infinity : bool, default False
        Makes the loss and the gradient of a sample without an alignment 0 in place of infinity and NaN.
    {policy}
    {options}

    Shape
    -----
    log_probs : (T, N, C) or (T, C), floating: log-probabilities, as of `log_softmax`
    targets : (N, S), of which the first labels of each row count, or (sum of target_lengths,), one sample after the other, any
        integer dtype: labels in [0, C)
    input_lengths : (N,) or (), integers in [0, T]
    target_lengths : (N,) or (), integers in [0, S]
    output : (N,), or () for (T, C), for 'none', else a scalar

    Returns
    -------
    numpy scalar or ndarray
        {dtypes}

    Raises
    ------
    IndexError
        If a label is not in [0, C): its sample, place and value are named. torch reads outside its arrays.
    ValueError
        If shapes or lengths do not match, log_probs is empty, or blank is not in [0, C).
    TypeError
        If targets or lengths do not hold integers.

    Notes
    -----
    Gradient for log_probs, as torch has it: ``exp(log_probs)`` less the probability that the frame belongs to the class. That
    is the gradient for the logits of which log_probs is the log-softmax (applied through log_softmax it stays what it is), not
    the derivative by log_probs itself. It is 0 beyond a sample's frames and NaN within those of a sample without an alignment.
    Where log_probs is -inf it is 0, where torch gives NaN. Labels equal to blank are taken as they are; lengths may be arrays,
    lists, tuples or numbers.

    Every sum runs in double with exponents of its own, so that nothing underflows: the loss is off by at most 3 eps T, with
    the eps of float64 for every dtype, and by its one rounding; the gradient by its rounding and 6 eps T.

    References
    ----------
    A. Graves et al., Connectionist Temporal Classification: Labelling Unsegmented Sequence Data with Recurrent Neural Networks
    (2006), equations 6 to 16. Matches torch.nn.CTCLoss of 2.13.

    Examples
    --------
    >>> import numpy as np, ndloss as nl
    >>> log_probs = np.log(np.full((3, 1, 2), 0.5, np.float32))
    >>> print(nl.CTCLoss(reduction="sum")(log_probs, [[1]], (3,), (1,)))
    0.2876821
    >>> value, grad = nl.CTCLoss().value_and_grad(log_probs, [[1, 1]], [3], [2])
    >>> print(value, grad[:, 0].tolist())
    1.0397208 [[0.25, -0.25], [-0.25, 0.25], [0.25, -0.25]]
    """

    _parameters = ("blank", "reduction", "zero_infinity")

    def __init__(
        self,
        blank: int = 0,
        reduction: str = "mean",
        zero_infinity: bool = False,
        **policy: Unpack[Policy],
    ) -> None:
        self.blank = _check.integer("CTCLoss", "blank", blank)
        self.reduction = _check.reduction("CTCLoss", reduction)
        self.zero_infinity = bool(zero_infinity)
        self.policy = _options.policy("CTCLoss", policy)

    def __call__(
        self,
        log_probs: ArrayLike,
        targets: ArrayLike,
        input_lengths: ArrayLike,
        target_lengths: ArrayLike,
        **options: Any,
    ) -> Any:
        return ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            self.reduction,
            self.zero_infinity,
            **{**self.policy, **options},
        )
