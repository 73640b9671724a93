"""The loss functions of torch.nn for NumPy arrays, without torch.

Classes as in torch.nn (`CrossEntropyLoss`), functions in `ndloss.functional`, gradients by `value_and_grad`, data in chunks by
`criterion.accumulator()`.
"""

from ndloss import activations as _activations
from ndloss import classification as _classification
from ndloss import functional
from ndloss import regression as _regression
from ndloss._accumulator import LossAccumulator
from ndloss._check import BroadcastWarning
from ndloss._core import version as __version__
from ndloss._loss import Loss, grad, value_and_grad
from ndloss._runtime import (
    available_isas,
    get_isa,
    get_num_threads,
    num_threads,
    set_isa,
    set_num_threads,
    show_config,
)
from ndloss.activations import *  # noqa: F403
from ndloss.classification import *  # noqa: F403
from ndloss.regression import *  # noqa: F403

__all__ = [
    "BroadcastWarning",
    "Loss",
    "LossAccumulator",
    "__version__",
    "available_isas",
    "functional",
    "get_isa",
    "get_num_threads",
    "grad",
    "num_threads",
    "set_isa",
    "set_num_threads",
    "show_config",
    "value_and_grad",
    *(name for module in (_activations, _classification, _regression) for name in module.__all__),
]
