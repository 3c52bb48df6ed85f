"""How a network is trained: hyperparameters of torch's optimizers and schedules, drawn."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import optim as torch_optim

from backproof.catalogue import Chooser
from impl import optim
from impl.optim import schedules
from impl.optim.schedules import Schedule

ARGUMENTS: Mapping[str, tuple[Any, ...]] = {
    "lr": (0.01, 0.1, 1e-3, 0.5),
    "weight_decay": (0.0, 0.01, 0.3),
    "maximize": (False, False, True),
    "momentum": (0.0, 0.9, 0.5),
    "dampening": (0.0, 0.5),
    "nesterov": (False, True),
    "betas": ((0.9, 0.999), (0.5, 0.9), (0.0, 0.99)),
    "eps": (1e-8, 1e-3),
    "amsgrad": (False, True),
    "decoupled_weight_decay": (False, True),
    "momentum_decay": (4e-3, 0.1),
    "lambd": (1e-4, 0.1),
    "alpha": (0.75, 0.95),
    "t0": (1e6, 10),
    "lr_decay": (0.0, 0.1),
    "initial_accumulator_value": (0.0, 0.1),
    "rho": (0.9, 0.5),
    "beta2_decay": (-0.8, -0.3),
    "d": (1.0, 2.0),
    "centered": (False, True),
    "etas": ((0.5, 1.2), (0.3, 1.5)),
    "step_sizes": ((1e-6, 50), (1e-3, 0.1)),
    "max_iter": (1, 3),
    "max_eval": (None, 6),
    "tolerance_grad": (1e-7, 1e-2),
    "tolerance_change": (1e-9, 1e-4),
    "history_size": (100, 2),
    "line_search_fn": (None, "strong_wolfe"),
    "ns_coefficients": ((3.4445, -4.775, 2.0315), (2.0, -1.5, 0.5)),
    "ns_steps": (5, 3),
    "adjust_lr_fn": (None, "original", "match_rms_adamw"),
}
"""What an argument of that name is drawn from."""
OWN: Mapping[tuple[str, str], tuple[Any, ...]] = {
    ("Adafactor", "eps"): ((None, 1e-3), (1e-3, 0.1)),
    ("LBFGS", "lr"): (1.0, 0.1),
    ("Adadelta", "lr"): (1.0, 0.1),
}
SCHEDULES: tuple[Callable[[bool], Schedule | None], ...] = (
    lambda cycled: None,
    lambda cycled: schedules.StepLR(7, 0.5),
    lambda cycled: schedules.MultiStepLR([3, 20]),
    lambda cycled: schedules.LambdaLR(lambda epoch: 1 / (1 + epoch)),
    lambda cycled: schedules.MultiplicativeLR(lambda epoch: 0.9 + 0.1 * (epoch % 2)),
    lambda cycled: schedules.PolynomialLR(60, 2.0),
    lambda cycled: schedules.CosineAnnealingLR(20, 1e-3),
    lambda cycled: schedules.CosineAnnealingWarmRestarts(5, 2),
    lambda cycled: schedules.SWALR(0.05),
    lambda cycled: schedules.CyclicLR(1e-3, 0.1, 8, cycle_momentum=cycled),
    lambda cycled: schedules.OneCycleLR(0.1, 60, cycle_momentum=cycled),
    lambda cycled: schedules.SequentialLR([schedules.LinearLR(0.1, total_iters=8), schedules.ExponentialLR(0.9)], [8]),
    lambda cycled: schedules.ChainedScheduler([schedules.ConstantLR(0.5, 10), schedules.CosineAnnealingLR(30)]),
)
"""Rates over time; without ReduceLROnPlateau, which decides by rounding where a metric is better by rounding alone."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    op
        Name of the optimizer in torch.optim.
    optimizer
        The class that is verified.
    groups
        Names of parameters, and the arguments of their group.
    schedule
        Of the learning rate; None: it stays.
    """

    op: str
    optimizer: type
    groups: Sequence[tuple[Sequence[str], Mapping[str, Any]]]
    schedule: Schedule | None


def optimizers() -> list[str]:
    """Names of torch's optimizers, in the order of the alphabet."""
    found = [n for n, c in vars(torch_optim).items() if inspect.isclass(c) and issubclass(c, torch_optim.Optimizer)]
    return sorted({*found} - {"Optimizer"}, key=str.lower)


def draw(op: str, optimizer: type, names: Sequence[str], choose: Chooser) -> Recipe:
    """Draw hyperparameters, one group or two, and a schedule for an optimizer of these parameters."""
    first = _arguments(op, choose)
    groups = [(names, first)]
    if len(names) > 1 and op != "LBFGS" and choose.boolean():
        # torch gives some arguments (Adagrad's initial_accumulator_value) to all groups alike: only these two differ.
        other: dict[str, Any] = {
            name: choose.one_of(ARGUMENTS[name]) for name in ("lr", "weight_decay") if name in first
        }
        groups = [(names[::2], first), (names[1::2], {**first, **other})]
    schedule = choose.one_of(SCHEDULES) if choose.boolean() else SCHEDULES[0]
    return Recipe(op, optimizer, groups, schedule("momentum" in first or "betas" in first))


def _arguments(op: str, choose: Chooser) -> dict[str, Any]:
    names = [name for name in inspect.signature(getattr(optim, op)).parameters if name in ARGUMENTS]
    while True:
        drawn = {name: choose.one_of(OWN.get((op, name), ARGUMENTS[name])) for name in names}
        try:
            getattr(optim, op)(**drawn)
        except ValueError:  # nesterov without momentum, say
            continue
        return drawn


def torchs_schedule(schedule: Schedule, optimizer: torch_optim.Optimizer) -> Any:
    """Make the same schedule in torch."""
    home = torch_optim.swa_utils if isinstance(schedule, schedules.SWALR) else torch_optim.lr_scheduler
    arguments = dict(vars(schedule))
    if "schedulers" in arguments:
        arguments["schedulers"] = [torchs_schedule(part, optimizer) for part in arguments["schedulers"]]
    return getattr(home, type(schedule).__name__)(**arguments, optimizer=optimizer)
