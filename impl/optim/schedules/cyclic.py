"""Schedules that raise the rate as well: cycles, restarts, and the way to a rate for averaging."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, floor, pi

from impl.layer import reject
from impl.optim.schedules.contract import Group, Memory, MomentumSchedule, Schedule, set_momentum


@dataclass(frozen=True)
class CosineAnnealingWarmRestarts(Schedule):
    """``lr = eta_min + (initial lr - eta_min) (1 + cos(pi t / T)) / 2``, t epochs after the last restart.

    After T epochs it restarts; T is ``T_0`` at first and grows by ``T_mult`` each time.

    Source: Loshchilov and Hutter, ICLR (2017), eq. 5.

    Raises
    ------
    ValueError
        T_0 or T_mult is no integer, or less than 1.
    """

    T_0: int
    T_mult: int = 1
    eta_min: float = 0.0

    def __post_init__(self) -> None:
        for argument in ("T_0", "T_mult"):
            if not isinstance(getattr(self, argument), int) or getattr(self, argument) < 1:
                raise reject(self, argument, getattr(self, argument), "an integer, at least 1")

    def advance(self, groups: list[Group], memory: Memory, initial: bool = False) -> Memory:
        since, period = (0, self.T_0) if initial else (memory["T_cur"] + 1, memory["T_i"])
        if since >= period:
            since, period = since % period, period * self.T_mult
        return super().advance(groups, {**memory, "T_cur": since, "T_i": period}, initial)

    def rates(self, groups: list[Group], memory: Memory, initial: bool) -> list[float]:
        wave = 1 + cos(pi * memory["T_cur"] / memory["T_i"])
        return [self.eta_min + (base - self.eta_min) * wave / 2 for base in memory["base_lrs"]]


@dataclass(frozen=True)
class CyclicLR(MomentumSchedule):
    """The rate goes up and down between ``base_lr`` and ``max_lr``; the momentum goes the other way::

        lr = base_lr + (max_lr - base_lr) h s;   momentum = max_momentum - (max_momentum - base_momentum) h s

    h rises from 0 to 1 in ``step_size_up`` steps and falls back in ``step_size_down`` (None: as many). s is
    ``scale_fn``, of the number of the cycle (from 1) or of the step, as ``scale_mode`` says; without it: 1 for
    "triangular", ``2^(1 - cycle)`` for "triangular2", ``gamma^step`` for "exp_range".

    Source: Smith, WACV (2017).

    Raises
    ------
    ValueError
        The mode is unknown and there is no scale_fn, or an optimizer has no momentum to cycle.
    """

    base_lr: float | Sequence[float]
    max_lr: float | Sequence[float]
    step_size_up: int = 2000
    step_size_down: int | None = None
    mode: str = "triangular"
    gamma: float = 1.0
    scale_fn: Callable[[float], float] | None = None
    scale_mode: str = "cycle"
    cycle_momentum: bool = True
    base_momentum: float | Sequence[float] = 0.8
    max_momentum: float | Sequence[float] = 0.9

    def __post_init__(self) -> None:
        if self.mode not in ("triangular", "triangular2", "exp_range") and self.scale_fn is None:
            raise reject(self, "mode", self.mode, "'triangular', 'triangular2' or 'exp_range', or a scale_fn")
        if self.step_size_up <= 0:
            raise reject(self, "step_size_up", self.step_size_up, "more than 0")

    def begin(self, groups: list[Group]) -> Memory:
        lowest = self.per_group("base_lr", groups)
        for group, rate in zip(groups, lowest):
            group["lr"] = rate
        return {**super().begin(groups), "base_lrs": lowest}

    def rates(self, groups: list[Group], memory: Memory, initial: bool) -> list[float]:
        up = float(self.step_size_up)
        total = up + (up if self.step_size_down is None else float(self.step_size_down))
        step, turn = memory["last_epoch"], up / total
        cycle = floor(1 + step / total)
        place = 1.0 + step / total - cycle
        height = place / turn if place <= turn else (place - 1) / (turn - 1)
        scale = self._scale(cycle, step)
        if self.cycle_momentum:
            bounds = zip(groups, self.per_group("base_momentum", groups), self.per_group("max_momentum", groups))
            for group, lowest, highest in bounds:
                set_momentum(group, highest - (highest - lowest) * height * scale)
        rates = zip(memory["base_lrs"], self.per_group("max_lr", groups))
        return [base + (highest - base) * height * scale for base, highest in rates]

    def _scale(self, cycle: int, step: int) -> float:
        if self.scale_fn is not None:
            return self.scale_fn(cycle if self.scale_mode == "cycle" else step)
        if self.mode == "exp_range":
            return float(self.gamma**step)
        return 1.0 if self.mode == "triangular" else 1 / (2.0 ** (cycle - 1))


@dataclass(frozen=True)
class OneCycleLR(MomentumSchedule):
    """One cycle over all of training: up to ``max_lr``, down to far below the start; the momentum goes the other way.

    From ``max_lr / div_factor`` up in the first ``pct_start`` of the steps, then down to
    ``max_lr / div_factor / final_div_factor``; with ``three_phase`` back to the start in as many steps, and down in the
    rest. Between them half a wave of a cosine, or a straight line. The steps are ``total_steps``, or ``epochs`` times
    ``steps_per_epoch``.

    Source: Smith and Topin, arXiv 1708.07120 (2017).

    Raises
    ------
    ValueError
        The number of steps is missing or less than 1, pct_start lies outside [0, 1] or leaves a phase no step, the
        strategy is unknown, an optimizer has no momentum to cycle, or more steps are taken than there are.
    """

    max_lr: float | Sequence[float]
    total_steps: int | None = None
    epochs: int | None = None
    steps_per_epoch: int | None = None
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    cycle_momentum: bool = True
    base_momentum: float | Sequence[float] = 0.85
    max_momentum: float | Sequence[float] = 0.95
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False

    def __post_init__(self) -> None:
        if self.total_steps is None and (self.epochs is None or self.steps_per_epoch is None):
            raise reject(self, "total_steps", None, "a number, or epochs and steps_per_epoch")
        if self._total < 1:
            raise reject(self, "the number of steps", self._total, "at least 1")
        if not 0 <= self.pct_start <= 1:
            raise reject(self, "pct_start", self.pct_start, "a number from 0 to 1")
        if self.anneal_strategy not in ("cos", "linear"):
            raise reject(self, "anneal_strategy", self.anneal_strategy, "'cos' or 'linear'")

    @property
    def _total(self) -> int:
        return (self.epochs or 0) * (self.steps_per_epoch or 0) if self.total_steps is None else self.total_steps

    @property
    def _phases(self) -> list[tuple[float, str, str, str, str]]:
        """Where each phase ends, its rates and its momenta."""
        turn, end = self.pct_start * self._total, self._total - 1
        up = (turn - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")
        if not self.three_phase:
            return [up, (end, "max_lr", "min_lr", "base_momentum", "max_momentum")]
        down = (2 * turn - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum")
        return [up, down, (end, "initial_lr", "min_lr", "max_momentum", "max_momentum")]

    def begin(self, groups: list[Group]) -> Memory:
        for group, highest in zip(groups, self.per_group("max_lr", groups)):
            start = highest / self.div_factor
            group |= {"initial_lr": start, "max_lr": highest, "min_lr": start / self.final_div_factor}
        return super().begin(groups)

    def rates(self, groups: list[Group], memory: Memory, initial: bool) -> list[float]:
        step, start, phases = memory["last_epoch"], 0.0, self._phases
        if step > self._total:
            raise reject(self, "the number of steps taken", step, f"{self._total} at most")
        while step > phases[0][0] and len(phases) > 1:
            start, phases = phases[0][0], phases[1:]
        end, lr_from, lr_to, momentum_from, momentum_to = phases[0]
        if end == start:
            raise reject(self, "pct_start", self.pct_start, "one that leaves each phase a step")
        part = (step - start) / (end - start)
        if self.cycle_momentum:
            for group in groups:
                set_momentum(group, self._between(group[momentum_from], group[momentum_to], part))
        return [self._between(group[lr_from], group[lr_to], part) for group in groups]

    def _between(self, start: float, end: float, part: float) -> float:
        if self.anneal_strategy == "linear":
            return (end - start) * part + start
        return end + (start - end) / 2.0 * (cos(pi * part) + 1)


@dataclass(frozen=True)
class SWALR(Schedule):
    """The rate goes to ``swa_lr`` in ``anneal_epochs`` epochs, for weights to be averaged from then on::

        lr = a swa_lr + (1 - a) l

    where a goes from 0 to 1, along half a wave of a cosine or a straight line, and l is the rate that led to the last
    lr in the same way; so another schedule may change the rate on its way.

    Source: Izmailov et al., UAI (2018).

    Raises
    ------
    ValueError
        anneal_epochs is no integer or negative, or the strategy is unknown.
    """

    swa_lr: float | Sequence[float]
    anneal_epochs: int = 10
    anneal_strategy: str = "cos"

    def __post_init__(self) -> None:
        if self.anneal_strategy not in ("cos", "linear"):
            raise reject(self, "anneal_strategy", self.anneal_strategy, "'cos' or 'linear'")
        if not isinstance(self.anneal_epochs, int) or self.anneal_epochs < 0:
            raise reject(self, "anneal_epochs", self.anneal_epochs, "an integer, 0 or more")

    def rates(self, groups: list[Group], memory: Memory, initial: bool) -> list[float]:
        step = memory["steps"] - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        return [
            goal * now + (goal if before == 1 else (group["lr"] - before * goal) / (1 - before)) * (1 - now)
            for group, goal in zip(groups, self.per_group("swa_lr", groups))
        ]

    def _share(self, step: int) -> float:
        part = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - cos(pi * part)) / 2 if self.anneal_strategy == "cos" else part
