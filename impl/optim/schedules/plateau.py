"""A schedule that waits for a metric to stop improving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from impl.layer import reject
from impl.optim.schedules.contract import Group, Memory, Optimizing, Schedule


@dataclass(frozen=True)
class ReduceLROnPlateau(Schedule):
    """``lr = max(lr * factor, min_lr)`` once a metric has not improved for more than ``patience`` epochs.

    A metric improves if it is below ``best (1 - threshold)`` ("rel") or ``best - threshold`` ("abs"); for mode "max"
    above ``best (1 + threshold)`` or ``best + threshold``. After a reduction ``cooldown`` epochs are not counted. A
    reduction by ``eps`` or less is left out.

    Raises
    ------
    ValueError
        factor is 1 or more, or mode or threshold_mode is unknown.
    """

    mode: str = "min"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    min_lr: float | Sequence[float] = 0
    eps: float = 1e-8

    def __post_init__(self) -> None:
        if not self.factor < 1:
            raise reject(self, "factor", self.factor, "less than 1")
        if self.mode not in ("min", "max"):
            raise reject(self, "mode", self.mode, "'min' or 'max'")
        if self.threshold_mode not in ("rel", "abs"):
            raise reject(self, "threshold_mode", self.threshold_mode, "'rel' or 'abs'")

    def begin(self, groups: list[Group]) -> Memory:
        self.per_group("min_lr", groups)
        worst = inf if self.mode == "min" else -inf
        return {"last_epoch": 0, "best": worst, "num_bad_epochs": 0, "cooldown_counter": 0}

    def step(
        self, optimizer: Optimizing, state: Mapping[str, Any], metric: float | None = None
    ) -> tuple[Optimizing, dict[str, Any]]:
        """Take in the metric of an epoch; see :meth:`impl.optim.schedules.Schedule.step`."""
        if metric is None:
            raise reject(self, "metric", None, "a number: step(optimizer, state, metric)")
        return super().step(optimizer, {**state, "memory": {**state["memory"], "metric": float(metric)}})

    def advance(self, groups: list[Group], memory: Memory, initial: bool = False) -> Memory:
        best, bad, cooling = memory["best"], memory["num_bad_epochs"] + 1, memory["cooldown_counter"]
        if self._better(memory["metric"], best):
            best, bad = memory["metric"], 0
        if cooling > 0:
            cooling, bad = cooling - 1, 0
        if bad > self.patience:
            for group, lowest in zip(groups, self.per_group("min_lr", groups)):
                reduced = max(group["lr"] * self.factor, lowest)
                if group["lr"] - reduced > self.eps:
                    group["lr"] = reduced
            cooling, bad = self.cooldown, 0
        epoch = memory["last_epoch"] + 1
        return {"last_epoch": epoch, "best": best, "num_bad_epochs": bad, "cooldown_counter": cooling}

    def _better(self, metric: float, best: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        bar = best * (1.0 + sign * self.threshold) if self.threshold_mode == "rel" else best + sign * self.threshold
        return sign * metric > sign * bar
