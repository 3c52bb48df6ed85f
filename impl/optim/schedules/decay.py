"""Schedules that lower (or raise) the rate along a curve.

Where torch multiplies the last rate, so do these: several chained ones then multiply one another's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi
from typing import TypeAlias

from impl.layer import reject
from impl.optim.schedules.contract import Group, Memory, Schedule

Curve: TypeAlias = Callable[[int], float]


@dataclass(frozen=True)
class LambdaLR(Schedule):
    """``lr = initial lr * lr_lambda(epoch)``; one function, or one for each group."""

    lr_lambda: Curve | Sequence[Curve]

    def rates(self, groups: list[Group], memory: Memory, initial: bool) -> list[float]:
        curves = self.per_group("lr_lambda", groups)
        return [base * curve(memory["last_epoch"]) for base, curve in zip(memory["base_lrs"], curves)]


@dataclass(frozen=True)
class MultiplicativeLR(Schedule):
    """``lr = lr * lr_lambda(epoch)`` from epoch 1 on; one function, or one for each group."""

    lr_lambda: Curve | Sequence[Curve]

    def rates(self, groups: list[Group], memory: Memory, initial: bool) -> list[float]:
        curves = self.per_group("lr_lambda", groups)
        return [g["lr"] if initial else g["lr"] * curve(memory["last_epoch"]) for g, curve in zip(groups, curves)]


@dataclass(frozen=True)
class StepLR(Schedule):
    """``lr = lr * gamma`` every ``step_size`` epochs."""

    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        if self.step_size < 1:
            raise reject(self, "step_size", self.step_size, "at least 1")

    def rate(self, lr: float, base: float, epoch: int, initial: bool) -> float:
        return lr if epoch == 0 or epoch % self.step_size else lr * self.gamma

    def first(self, base: float) -> float:
        return base


@dataclass(frozen=True)
class MultiStepLR(Schedule):
    """``lr = lr * gamma`` at each of the ``milestones``, twice where one stands there twice."""

    milestones: Sequence[int]
    gamma: float = 0.1

    def rate(self, lr: float, base: float, epoch: int, initial: bool) -> float:
        return lr * self.gamma ** list(self.milestones).count(epoch)

    def first(self, base: float) -> float:
        return base * self.gamma ** bisect_right(sorted(self.milestones), 0)


@dataclass(frozen=True)
class ConstantLR(Schedule):
    """``lr = lr * factor`` for the first ``total_iters`` epochs, then back: ``lr = lr / factor``.

    Raises
    ------
    ValueError
        factor lies outside [0, 1].
    ZeroDivisionError
        factor is 0, and ``total_iters`` epochs are over.
    """

    factor: float = 1.0 / 3
    total_iters: int = 5

    def __post_init__(self) -> None:
        if not 0 <= self.factor <= 1:
            raise reject(self, "factor", self.factor, "a number from 0 to 1")

    def rate(self, lr: float, base: float, epoch: int, initial: bool) -> float:
        if epoch == 0:
            return lr * self.factor
        return lr * (1.0 / self.factor) if epoch == self.total_iters else lr

    def first(self, base: float) -> float:
        return base * (self.factor + (self.total_iters <= 0) * (1 - self.factor))


@dataclass(frozen=True)
class LinearLR(Schedule):
    """``lr = initial lr * f``, where f goes straight from ``start_factor`` to ``end_factor`` in ``total_iters`` epochs.

    Raises
    ------
    ValueError
        start_factor lies outside (0, 1], end_factor outside [0, 1], or total_iters is less than 1.
    """

    start_factor: float = 1.0 / 3
    end_factor: float = 1.0
    total_iters: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.start_factor <= 1:
            raise reject(self, "start_factor", self.start_factor, "a number above 0 and up to 1")
        if not 0 <= self.end_factor <= 1:
            raise reject(self, "end_factor", self.end_factor, "a number from 0 to 1")
        if self.total_iters < 1:
            raise reject(self, "total_iters", self.total_iters, "at least 1")

    def rate(self, lr: float, base: float, epoch: int, initial: bool) -> float:
        if epoch == 0:
            return lr * self.start_factor
        if epoch > self.total_iters:
            return lr
        slope = self.end_factor - self.start_factor
        return lr * (1.0 + slope / (self.total_iters * self.start_factor + (epoch - 1) * slope))

    def first(self, base: float) -> float:
        return base * self.start_factor


@dataclass(frozen=True)
class ExponentialLR(Schedule):
    """``lr = lr * gamma`` at every epoch."""

    gamma: float

    def rate(self, lr: float, base: float, epoch: int, initial: bool) -> float:
        return lr if initial else lr * self.gamma

    def first(self, base: float) -> float:
        return base


@dataclass(frozen=True)
class PolynomialLR(Schedule):
    """``lr = initial lr * (1 - epoch / total_iters)^power``, and 0 from ``total_iters`` on."""

    total_iters: int = 5
    power: float = 1.0

    def __post_init__(self) -> None:
        if self.total_iters < 1:
            raise reject(self, "total_iters", self.total_iters, "at least 1")

    def rate(self, lr: float, base: float, epoch: int, initial: bool) -> float:
        if initial or epoch > self.total_iters:
            return lr
        left, before = (1.0 - k / self.total_iters for k in (epoch, epoch - 1))
        return float(lr * (left / before) ** self.power)

    def first(self, base: float) -> float:
        return base


@dataclass(frozen=True)
class CosineAnnealingLR(Schedule):
    """``lr = eta_min + (initial lr - eta_min) (1 + cos(pi epoch / T_max)) / 2``.

    Half a wave down to ``eta_min`` in ``T_max`` epochs, and up again in as many. Written as torch does it, by what the
    rate changes from epoch to epoch.

    Source: Loshchilov and Hutter, ICLR (2017), eq. 5, without the restarts.
    """

    T_max: int
    eta_min: float = 0.0

    def __post_init__(self) -> None:
        if self.T_max < 1:
            raise reject(self, "T_max", self.T_max, "at least 1")

    def rate(self, lr: float, base: float, epoch: int, initial: bool) -> float:
        if initial:
            return lr
        if (epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # at the bottom the quotient below is 0 / 0
            return lr + (base - self.eta_min) * (1 - cos(pi / self.T_max)) / 2
        now, before = (1 + cos(pi * k / self.T_max) for k in (epoch, epoch - 1))
        return now / before * (lr - self.eta_min) + self.eta_min

    def first(self, base: float) -> float:
        return base
