"""The loss functions of torch.nn for NumPy arrays, without torch.

Classes as in torch.nn (`CrossEntropyLoss`), functions in `ndloss.functional`, gradients by `value_and_grad`, data in chunks by
`criterion.accumulator()`.
"""

from ndloss import activations as _activations
from ndloss import binary as _binary
from ndloss import classification as _classification
from ndloss import distances as _distances
from ndloss import distribution as _distribution
from ndloss import embedding as _embedding
from ndloss import functional
from ndloss import likelihood as _likelihood
from ndloss import linear as _linear
from ndloss import margins as _margins
from ndloss import ranking as _ranking
from ndloss import regression as _regression
from ndloss import robust as _robust
from ndloss import sequence as _sequence
from ndloss import soft_margins as _soft_margins
from ndloss import triplets as _triplets
from ndloss._accumulator import LossAccumulator
from ndloss._check import BroadcastWarning
from ndloss._core import version as __version__
from ndloss._loss import Loss, grad, grad_hess, value_and_grad
from ndloss._runtime import (
    available_isas,
    empty_cache,
    get_cache_limit,
    get_cache_memory,
    get_isa,
    get_num_threads,
    num_threads,
    set_cache_limit,
    set_isa,
    set_num_threads,
    show_config,
)
from ndloss.activations import *  # noqa: F403
from ndloss.binary import *  # noqa: F403
from ndloss.classification import *  # noqa: F403
from ndloss.distances import *  # noqa: F403
from ndloss.distribution import *  # noqa: F403
from ndloss.embedding import *  # noqa: F403
from ndloss.likelihood import *  # noqa: F403
from ndloss.linear import *  # noqa: F403
from ndloss.margins import *  # noqa: F403
from ndloss.ranking import *  # noqa: F403
from ndloss.regression import *  # noqa: F403
from ndloss.robust import *  # noqa: F403
from ndloss.sequence import *  # noqa: F403
from ndloss.soft_margins import *  # noqa: F403
from ndloss.triplets import *  # noqa: F403

_FAMILIES = (
    _activations,
    _binary,
    _classification,
    _distances,
    _distribution,
    _embedding,
    _likelihood,
    _linear,
    _margins,
    _ranking,
    _regression,
    _robust,
    _sequence,
    _soft_margins,
    _triplets,
)

__all__ = [
    "BroadcastWarning",
    "Loss",
    "LossAccumulator",
    "__version__",
    "available_isas",
    "empty_cache",
    "functional",
    "get_cache_limit",
    "get_cache_memory",
    "get_isa",
    "get_num_threads",
    "grad",
    "grad_hess",
    "num_threads",
    "set_cache_limit",
    "set_isa",
    "set_num_threads",
    "show_config",
    "value_and_grad",
    *(name for family in _FAMILIES for name in family.__all__),
]
