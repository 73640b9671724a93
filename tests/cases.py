"""
One `LossCase` per loss and activation. Every property test is parametrised over `CASES`, so a new loss is one record
here, its way to draw samples in `samples.py`, and its function in `reference.py`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import reference
import reference_elementwise
import reference_linear
import reference_margins
import reference_sequence
import reference_vectors
import samples
import samples_elementwise
import samples_linear
import samples_margins
import samples_sequence
import samples_vectors
from reference import Answer
from samples import REDUCTIONS, Array, Choices, Sample


@dataclass(frozen=True)
class Domain:
    """The interval an operand may come from; samples reach both ends where they belong to it."""

    low: float
    high: float
    closed: bool = False
    enforced: bool = False  # a value outside is an error


REALS = Domain(-10, 10)
LOGITS = Domain(-20, 20)
ANSWERS = Domain(-1, 1, closed=True)
VARIANCES = Domain(0.01, 10)
COUNTS = Domain(0, 20)
UNIT = Domain(0, 1, closed=True)
PROBABILITIES = Domain(0, 1, closed=True, enforced=True)
LOG_PROBABILITIES = Domain(-20, 0, closed=True)
CLASS_INDICES = Domain(0, samples.CLASSES - 1, closed=True)


def no_kinks(input_: Array, *_: Array) -> Array:
    return np.full(np.shape(input_), np.inf)


@dataclass(frozen=True)
class LossCase:
    """Everything a property test needs to know about one loss."""

    name: str
    class_name: str
    struct_name: str
    reference: Callable[..., Answer]
    axes: Mapping[str, tuple[str, ...]]
    draw: Callable[[np.random.Generator, str, Choices], Sample]
    domain: Mapping[str, Domain]
    differentiable: tuple[str, ...]
    constructor: tuple[str, ...]  # options the class takes; the others are the function's alone
    # n loss rows for `criterion(**kwargs)` that may be cut anywhere along axis 0, with non-negative terms; None for
    # activations, and for losses whose operands do not all have a batch axis
    batch: Callable[[np.random.Generator, str, int], Sample] | None = None
    allowed: Callable[[Choices], bool] = field(default=lambda _: True)
    # distance of each input element from where the closed form is no derivative, and the radius a difference quotient
    # must keep
    distance_to_kink: Callable[..., Array] = no_kinks
    kink_radius: float = 0.0
    # the same for every operand of a sample by name, where kinks depend on several operands or on options
    kinks: Callable[[Sample], Mapping[str, Array]] | None = None
    bare: bool = True  # the class can be made without arguments
    # the axis of the samples in every operand, where it is not the first; such a loss refuses a batch without samples
    batch_axes: tuple[int, ...] = ()
    # what the closed form assumes the first operand to come out of: it is the derivative for what goes in
    slope_through: Callable[[Array], Array] | None = None

    def __str__(self) -> str:
        return self.name

    @property
    def operands(self) -> tuple[str, ...]:
        return tuple(self.domain)

    def rows(self, args: tuple[Any, ...], rows: slice) -> tuple[Any, ...]:
        """Some samples of every operand."""
        axes = self.batch_axes or (0,) * len(args)
        return tuple(a[(slice(None),) * axis + (rows,)] for a, axis in zip(args, axes, strict=True))

    @property
    def is_loss(self) -> bool:
        return "reduction" in self.axes

    def position(self, name: str) -> int:
        """The number by which `argnums` calls an argument."""
        return (*self.operands, *(n for n in self.differentiable if n not in self.operands)).index(name)

    def combinations(self) -> Iterator[dict[str, str]]:
        """Every allowed combination of choices."""
        for values in itertools.product(*self.axes.values()):
            choices = dict(zip(self.axes, values, strict=True))
            if self.allowed(choices):
                yield choices

    def samples(self, rng: np.random.Generator, dtype: str) -> Iterator[Sample]:
        """One sample for every combination."""
        for choices in self.combinations():
            yield self.draw(rng, dtype, choices)

    def answer(self, sample: Sample, **changes: Any) -> Answer:
        """What the oracle says to this sample, without its `grad_output` unless it is among `changes`."""
        return self.reference(*sample.args, **{**sample.kwargs, **changes})


CASES: tuple[LossCase, ...] = (
    LossCase(
        name="mse_loss",
        class_name="MSELoss",
        struct_name="MSELoss",
        reference=reference.mse_loss,
        axes={
            "shape": tuple(samples.MSE_SHAPES),
            "kinds": samples.MSE_KINDS,
            "weight": ("none", "given", "other dtype"),
            "reduction": REDUCTIONS,
        },
        draw=samples.draw_mse,
        domain={"input": REALS, "target": REALS},
        differentiable=("input", "target", "weight"),
        constructor=("reduction",),
        batch=samples.batch_mse,
    ),
    LossCase(
        name="binary_cross_entropy",
        class_name="BCELoss",
        struct_name="BCELoss",
        reference=reference.binary_cross_entropy,
        axes={**samples.BCE_AXES, "reduction": REDUCTIONS},
        draw=samples.draw_bce,
        domain={"input": PROBABILITIES, "target": PROBABILITIES},
        differentiable=("input", "target"),
        constructor=("weight", "reduction", "ignore_index"),
        batch=samples.batch_bce,
        allowed=samples.weight_fits,
        distance_to_kink=samples.distance_to_clamp,
        kink_radius=0.1,
    ),
    LossCase(
        name="binary_cross_entropy_with_logits",
        class_name="BCEWithLogitsLoss",
        struct_name="BCEWithLogitsLoss",
        reference=reference.binary_cross_entropy_with_logits,
        axes={**samples.BCE_AXES, "pos_weight": ("none", "full", "last", "scalar"), "reduction": REDUCTIONS},
        draw=samples.draw_bce_with_logits,
        domain={"input": LOGITS, "target": UNIT},
        differentiable=("input", "target"),
        constructor=("weight", "reduction", "pos_weight", "ignore_index"),
        batch=samples.batch_bce_with_logits,
        allowed=lambda c: samples.weight_fits(c) and (c["shape"] != "()" or c["pos_weight"] != "last"),
    ),
    LossCase(
        name="multilabel_soft_margin_loss",
        class_name="MultiLabelSoftMarginLoss",
        struct_name="MultiLabelSoftMarginLoss",
        reference=reference.multilabel_soft_margin_loss,
        axes={
            "shape": tuple(samples.MULTILABEL_SHAPES),
            "target": samples.UNIT_TARGETS,
            "weight": samples.WEIGHTS,
            "reduction": REDUCTIONS,
        },
        draw=samples.draw_multilabel_soft_margin,
        domain={"input": LOGITS, "target": UNIT},
        differentiable=("input", "target", "weight"),
        constructor=("weight", "reduction", "ignore_index"),
        batch=samples.batch_multilabel_soft_margin,
    ),
    LossCase(
        name="cross_entropy",
        class_name="CrossEntropyLoss",
        struct_name="CrossEntropyLoss",
        reference=reference.cross_entropy,
        axes={
            **samples.CLASS_AXES,
            "target": (*samples.INDEX_DTYPES, "probabilities", "other float probabilities"),
            "label_smoothing": ("0", "0.1", "1"),
            "reduction": REDUCTIONS,
        },
        draw=samples.draw_cross_entropy,
        domain={"input": LOGITS, "target": UNIT},
        differentiable=("input", "target", "weight"),
        constructor=("weight", "ignore_index", "reduction", "label_smoothing"),
        batch=samples.batch_cross_entropy,
        allowed=samples.classes_allowed,
    ),
    LossCase(
        name="nll_loss",
        class_name="NLLLoss",
        struct_name="NLLLoss",
        reference=reference.nll_loss,
        axes={**samples.CLASS_AXES, "reduction": REDUCTIONS},
        draw=samples.draw_nll,
        domain={"input": LOG_PROBABILITIES, "target": CLASS_INDICES},
        differentiable=("input",),
        constructor=("weight", "ignore_index", "reduction"),
        batch=samples.batch_nll,
        allowed=samples.classes_allowed,
    ),
    LossCase(
        name="sigmoid",
        class_name="Sigmoid",
        struct_name="Sigmoid",
        reference=reference.sigmoid,
        axes={"shape": tuple(samples.SHAPES), "kind": samples.INPUT_KINDS},
        draw=samples.draw_sigmoid,
        domain={"input": LOGITS},
        differentiable=("input",),
        constructor=(),
    ),
    LossCase(
        name="logsigmoid",
        class_name="LogSigmoid",
        struct_name="LogSigmoid",
        reference=reference.logsigmoid,
        axes={"shape": tuple(samples.SHAPES), "kind": samples.INPUT_KINDS},
        draw=samples.draw_sigmoid,
        domain={"input": LOGITS},
        differentiable=("input",),
        constructor=(),
    ),
    LossCase(
        name="softmax",
        class_name="Softmax",
        struct_name="Softmax",
        reference=reference.softmax,
        axes=samples.SOFTMAX_AXES,
        draw=samples.draw_softmax,
        domain={"input": LOGITS},
        differentiable=("input",),
        constructor=("dim",),
        allowed=samples.softmax_allowed,
    ),
    LossCase(
        name="log_softmax",
        class_name="LogSoftmax",
        struct_name="LogSoftmax",
        reference=reference.log_softmax,
        axes=samples.SOFTMAX_AXES,
        draw=samples.draw_softmax,
        domain={"input": LOGITS},
        differentiable=("input",),
        constructor=("dim",),
        allowed=samples.softmax_allowed,
    ),
    LossCase(
        name="l1_loss",
        class_name="L1Loss",
        struct_name="L1Loss",
        reference=reference_elementwise.l1_loss,
        axes={**samples_elementwise.PAIR_AXES, "weight": ("none", "given", "other dtype"), "reduction": REDUCTIONS},
        draw=samples_elementwise.draw_l1,
        domain={"input": REALS, "target": REALS},
        differentiable=("input", "target", "weight"),
        constructor=("reduction",),
        batch=samples_elementwise.batch_reals,
        kinks=samples_elementwise.kinks_of_difference(""),
        kink_radius=1e-3,
    ),
    LossCase(
        name="smooth_l1_loss",
        class_name="SmoothL1Loss",
        struct_name="SmoothL1Loss",
        reference=reference_elementwise.smooth_l1_loss,
        axes={**samples_elementwise.PAIR_AXES, "beta": tuple(samples_elementwise.EXPONENTS), "reduction": REDUCTIONS},
        draw=samples_elementwise.draw_smooth_l1,
        domain={"input": REALS, "target": REALS},
        differentiable=("input", "target"),
        constructor=("reduction", "beta"),
        batch=samples_elementwise.batch_reals,
        kinks=samples_elementwise.kinks_of_difference("beta"),
        kink_radius=1e-3,
    ),
    LossCase(
        name="huber_loss",
        class_name="HuberLoss",
        struct_name="HuberLoss",
        reference=reference_elementwise.huber_loss,
        axes={
            **samples_elementwise.PAIR_AXES,
            "delta": ("0.5", "1", "inf"),
            "weight": ("none", "given", "other dtype"),
            "reduction": REDUCTIONS,
        },
        draw=samples_elementwise.draw_huber,
        domain={"input": REALS, "target": REALS},
        differentiable=("input", "target", "weight"),
        constructor=("reduction", "delta"),
        batch=samples_elementwise.batch_reals,
        kinks=samples_elementwise.kinks_of_difference("delta"),
        kink_radius=1e-3,
    ),
    LossCase(
        name="kl_div",
        class_name="KLDivLoss",
        struct_name="KLDivLoss",
        reference=reference_elementwise.kl_div,
        axes={
            "shape": tuple(samples_elementwise.PAIR_SHAPES),
            "kinds": ("float", "other float target"),
            "log_target": ("no", "yes"),
            "reduction": (*REDUCTIONS, "batchmean"),
        },
        draw=samples_elementwise.draw_kl_div,
        domain={"input": Domain(-20, 0), "target": Domain(0, 1)},
        differentiable=("input", "target"),
        constructor=("reduction", "log_target"),
        batch=samples_elementwise.batch_kl_div,
        kinks=samples_elementwise.kinks_of_kl_div,
        kink_radius=1e-3,
    ),
    LossCase(
        name="poisson_nll_loss",
        class_name="PoissonNLLLoss",
        struct_name="PoissonNLLLoss",
        reference=reference_elementwise.poisson_nll_loss,
        axes={
            **samples_elementwise.PAIR_AXES,
            "input": ("log", "rate"),
            "full": ("no", "yes"),
            "eps": ("default", "0.125"),
            "reduction": REDUCTIONS,
        },
        draw=samples_elementwise.draw_poisson,
        domain={"input": Domain(-5, 5), "target": COUNTS},
        differentiable=("input", "target"),
        constructor=("log_input", "full", "eps", "reduction"),
        batch=samples_elementwise.batch_poisson,
        allowed=lambda c: c["eps"] == "default" or c["input"] == "rate",
        kinks=samples_elementwise.kinks_of_poisson,
        kink_radius=1e-3,
    ),
    LossCase(
        name="gaussian_nll_loss",
        class_name="GaussianNLLLoss",
        struct_name="GaussianNLLLoss",
        reference=reference_elementwise.gaussian_nll_loss,
        axes={
            "shape": tuple(samples_elementwise.VARIANCE_SHAPES),
            "kinds": ("float", "other float var", "int64 target"),
            "full": ("no", "yes"),
            "eps": ("default", "0.125"),
            "reduction": REDUCTIONS,
        },
        draw=samples_elementwise.draw_gaussian,
        domain={"input": REALS, "target": REALS, "var": VARIANCES},
        differentiable=("input", "target", "var"),
        constructor=("full", "eps", "reduction"),
        batch=samples_elementwise.batch_gaussian,
        kinks=samples_elementwise.kinks_of_gaussian,
        kink_radius=0.0,
    ),
    LossCase(
        name="soft_margin_loss",
        class_name="SoftMarginLoss",
        struct_name="SoftMarginLoss",
        reference=reference_elementwise.soft_margin_loss,
        axes={"shape": tuple(samples.SHAPES), "target": samples_elementwise.ANSWERS, "reduction": REDUCTIONS},
        draw=samples_elementwise.draw_soft_margin,
        domain={"input": LOGITS, "target": REALS},
        differentiable=("input",),
        constructor=("reduction", "ignore_index"),
        batch=samples_elementwise.batch_soft_margin,
    ),
    LossCase(
        name="hinge_embedding_loss",
        class_name="HingeEmbeddingLoss",
        struct_name="HingeEmbeddingLoss",
        reference=reference_elementwise.hinge_embedding_loss,
        axes={
            "shape": tuple(samples_elementwise.PAIR_SHAPES),
            "target": samples_elementwise.ANSWERS,
            "margin": tuple(samples_elementwise.MARGINS),
            "reduction": REDUCTIONS,
        },
        draw=samples_elementwise.draw_hinge,
        domain={"input": REALS, "target": REALS},
        differentiable=("input",),
        constructor=("margin", "reduction", "ignore_index"),
        batch=samples_elementwise.batch_hinge,
        kinks=samples_elementwise.kinks_of_hinge,
        kink_radius=1e-3,
    ),
    LossCase(
        name="margin_ranking_loss",
        class_name="MarginRankingLoss",
        struct_name="MarginRankingLoss",
        reference=reference_elementwise.margin_ranking_loss,
        axes={
            "shape": tuple(samples_elementwise.TRIPLE_SHAPES),
            "target": samples_elementwise.ANSWERS,
            "margin": tuple(samples_elementwise.MARGINS),
            "reduction": REDUCTIONS,
        },
        draw=samples_elementwise.draw_margin_ranking,
        domain={"input1": REALS, "input2": REALS, "target": REALS},
        differentiable=("input1", "input2", "target"),
        constructor=("margin", "reduction"),
        batch=samples_elementwise.batch_margin_ranking,
        kinks=samples_elementwise.kinks_of_margin_ranking,
        kink_radius=1e-3,
    ),
    LossCase(
        name="linear_cross_entropy",
        class_name="LinearCrossEntropyLoss",
        struct_name="CrossEntropyLoss of ChunkedLogits",
        reference=reference_linear.linear_cross_entropy,
        axes={**samples_linear.LINEAR_AXES, "reduction": REDUCTIONS},
        draw=samples_linear.draw_linear,
        domain={"input": REALS, "linear_weight": Domain(-1, 1), "target": UNIT},
        differentiable=("input", "linear_weight", "target", "linear_bias", "weight"),
        constructor=("linear_bias", "weight", "reduction", "ignore_index", "label_smoothing"),
        allowed=samples_linear.linear_allowed,
        bare=False,
    ),
    LossCase(
        name="multi_margin_loss",
        class_name="MultiMarginLoss",
        struct_name="MultiMarginLoss",
        reference=reference_margins.multi_margin_loss,
        axes=samples_margins.MULTI_MARGIN_AXES,
        draw=samples_margins.draw_multi_margin,
        domain={"input": LOGITS, "target": CLASS_INDICES},
        differentiable=("input",),
        constructor=("p", "margin", "weight", "reduction"),
        batch=samples_margins.batch_multi_margin,
        allowed=samples_margins.multi_margin_allowed,
        distance_to_kink=samples_margins.multi_margin_ties,
        kink_radius=0.01,
    ),
    LossCase(
        name="multilabel_margin_loss",
        class_name="MultiLabelMarginLoss",
        struct_name="MultiLabelMarginLoss",
        reference=reference_margins.multilabel_margin_loss,
        axes=samples_margins.LABEL_SET_AXES,
        draw=samples_margins.draw_label_sets,
        domain={"input": LOGITS, "target": CLASS_INDICES},
        differentiable=("input",),
        constructor=("reduction",),
        batch=samples_margins.batch_label_sets,
        allowed=samples_margins.label_sets_allowed,
        distance_to_kink=samples_margins.label_set_ties,
        kink_radius=0.01,
    ),
    LossCase(
        name="ctc_loss",
        class_name="CTCLoss",
        struct_name="CTCLoss",
        reference=reference_sequence.ctc_loss,
        axes=samples_sequence.CTC_AXES,
        draw=samples_sequence.draw_ctc,
        domain={
            "log_probs": Domain(-20, 0),
            "targets": CLASS_INDICES,
            "input_lengths": Domain(0, samples_sequence.FRAMES, closed=True),
            "target_lengths": Domain(0, samples_sequence.LABELS, closed=True),
        },
        differentiable=("log_probs",),
        constructor=("blank", "reduction", "zero_infinity"),
        batch=samples_sequence.batch_ctc,
        allowed=samples_sequence.ctc_allowed,
        batch_axes=(1, 0, 0, 0),
        slope_through=samples_sequence.log_softmax,
    ),
    LossCase(
        name="cosine_embedding_loss",
        class_name="CosineEmbeddingLoss",
        struct_name="CosineEmbeddingLoss",
        reference=reference_vectors.cosine_embedding_loss,
        axes={
            "shape": tuple(samples_vectors.LABELLED_SHAPES),
            "kinds": ("float", "other float input2", "int64 input2"),
            "target": ("float", "other float", "int64", "int8"),
            "margin": ("default", "0.25", "-0.5"),
            "reduction": REDUCTIONS,
        },
        draw=samples_vectors.draw_cosine_embedding,
        domain={"input1": REALS, "input2": REALS, "target": Domain(-1, 1)},
        differentiable=("input1", "input2"),
        constructor=("margin", "reduction"),
        batch=samples_vectors.batch_cosine_embedding,
        kinks=samples_vectors.kinks_of_cosine_embedding,
        kink_radius=1e-3,
    ),
    LossCase(
        name="triplet_margin_loss",
        class_name="TripletMarginLoss",
        struct_name="TripletMarginLoss",
        reference=reference_vectors.triplet_margin_loss,
        axes={
            "shape": tuple(samples_vectors.TRIPLE_SHAPES),
            "kinds": ("float", "other float positive", "int64 negative"),
            "p": tuple(samples_vectors.NORMS),
            "margin": ("default", "4"),
            "eps": ("default", "0"),
            "swap": ("no", "yes"),
            "reduction": REDUCTIONS,
        },
        draw=samples_vectors.draw_triplet,
        domain={"anchor": REALS, "positive": REALS, "negative": REALS},
        differentiable=("anchor", "positive", "negative"),
        constructor=("margin", "p", "eps", "swap", "reduction"),
        batch=samples_vectors.batch_triplet,
        allowed=samples_vectors.triplet_allowed,
        kinks=samples_vectors.kinks_of_triplet,
        kink_radius=1e-3,
    ),
    LossCase(
        name="triplet_margin_with_distance_loss",
        class_name="TripletMarginWithDistanceLoss",
        struct_name="TripletMarginLoss of a named distance",
        reference=reference_vectors.triplet_margin_with_distance_loss,
        axes={
            "shape": tuple(samples_vectors.TRIPLE_SHAPES),
            "distance_function": ("default", "euclidean", "cosine", "l1"),
            "swap": ("no", "yes"),
            "reduction": REDUCTIONS,
        },
        draw=samples_vectors.draw_triplet_with_distance,
        domain={"anchor": REALS, "positive": REALS, "negative": REALS},
        differentiable=("anchor", "positive", "negative"),
        constructor=("distance_function", "margin", "swap", "reduction"),
        batch=samples_vectors.batch_triplet_with_distance,
        kinks=samples_vectors.kinks_of_triplet,
        kink_radius=1e-3,
    ),
)
CASE: dict[str, LossCase] = {case.name: case for case in CASES}
# Losses of any number of rows
LOSSES = tuple(case for case in CASES if case.batch is not None)
