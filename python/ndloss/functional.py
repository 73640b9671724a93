"""The functions of ndloss, named as in torch.nn.functional: ``import ndloss.functional as F``."""

from ndloss import activations as _activations
from ndloss import classification as _classification
from ndloss import regression as _regression
from ndloss.activations import *  # noqa: F403
from ndloss.classification import *  # noqa: F403
from ndloss.regression import *  # noqa: F403

__all__ = [name for module in (_activations, _classification, _regression) for name in module.__all__ if name[0].islower()]
