"""Learning rates that change as training goes on: pure, like the optimizers whose rate they change.

They carry the names, arguments and defaults of the classes in torch.optim.lr_scheduler and torch.optim.swa_utils,
without ``optimizer`` and ``last_epoch``: a schedule is given its optimizer at every step, and whoever wants to go on
later keeps its state. See :mod:`impl.optim.schedules.contract`.
"""

from impl.optim.schedules.composite import ChainedScheduler, SequentialLR
from impl.optim.schedules.contract import Schedule
from impl.optim.schedules.cyclic import SWALR, CosineAnnealingWarmRestarts, CyclicLR, OneCycleLR
from impl.optim.schedules.decay import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from impl.optim.schedules.plateau import ReduceLROnPlateau

__all__ = [
    "SWALR",
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "Schedule",
    "SequentialLR",
    "StepLR",
]
