"""Optimizers: from gradients to better parameters. Pure functions of what they are given.

They carry the names, arguments and defaults of torch.optim's classes, without ``foreach``, ``fused``, ``capturable``
and ``differentiable``, which change no numbers. See :mod:`impl.optim.contract` for their contract,
:mod:`impl.optim.schedules` for what changes their learning rate, :mod:`impl.optim.clipping` for gradients that are
too large, and :class:`Groups` for optimizers that share a network.
"""

from impl.optim.adagrad import Adadelta, Adafactor, Adagrad, RMSprop
from impl.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam, SparseAdam
from impl.optim.clipping import clip_grad_norm, clip_grad_value
from impl.optim.contract import Closure, ClosureOptimizer, Optimizer, SparseGradient
from impl.optim.groups import Groups
from impl.optim.lbfgs import LBFGS
from impl.optim.muon import Muon
from impl.optim.rprop import Rprop
from impl.optim.sgd import ASGD, SGD

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Closure",
    "ClosureOptimizer",
    "Groups",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "SparseGradient",
    "clip_grad_norm",
    "clip_grad_value",
]
