"""Schedules made of schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from impl.layer import reject
from impl.optim.schedules.contract import Group, Memory, Schedule
from impl.optim.schedules.plateau import ReduceLROnPlateau


class _Composite(Schedule):
    schedulers: Sequence[Schedule]

    def __post_init__(self) -> None:
        if not self.schedulers:
            raise reject(self, "schedulers", self.schedulers, "at least one")
        for schedule in self.schedulers:
            if isinstance(schedule, ReduceLROnPlateau):
                raise reject(self, "one of schedulers", "ReduceLROnPlateau", "schedules that need no metric")


@dataclass(frozen=True)
class ChainedScheduler(_Composite):
    """All at once: each changes the rate that the one before has left.

    Raises
    ------
    ValueError
        There is no schedule, or one that needs a metric.
    """

    schedulers: Sequence[Schedule]

    def begin(self, groups: list[Group]) -> Memory:
        return {"schedulers": [schedule.begin(groups) for schedule in self.schedulers]}

    def advance(self, groups: list[Group], memory: Memory, initial: bool = False) -> Memory:
        pairs = zip(self.schedulers, memory["schedulers"])
        return {"schedulers": [schedule.advance(groups, own) for schedule, own in pairs]}


@dataclass(frozen=True)
class SequentialLR(_Composite):
    """One after the other: the next takes over at each of the ``milestones``, from its own epoch 0.

    Raises
    ------
    ValueError
        There is no schedule, one that needs a metric or is itself made of others, or the milestones are not one fewer.
    """

    schedulers: Sequence[Schedule]
    milestones: Sequence[int]

    def __post_init__(self) -> None:
        super().__post_init__()
        for schedule in self.schedulers:
            if isinstance(schedule, _Composite):  # torch accepts them and fails, or starts their parts twice
                raise reject(self, "one of schedulers", type(schedule).__name__, "schedules that are not composed")
        if len(self.milestones) != len(self.schedulers) - 1:
            raise reject(self, "the number of milestones", len(self.milestones), f"{len(self.schedulers) - 1}")

    def begin(self, groups: list[Group]) -> Memory:
        begun = [schedule.begin(groups) for schedule in self.schedulers]
        for group in groups:
            group["lr"] = group["initial_lr"]
        memories = [{**memory, "last_epoch": -1} for memory in begun]
        active = bisect_right(self.milestones, 0)
        memories[active] = self.schedulers[active].advance(groups, {**memories[active], "steps": 0}, initial=True)
        return {"last_epoch": 0, "schedulers": memories}

    def advance(self, groups: list[Group], memory: Memory, initial: bool = False) -> Memory:
        epoch, memories = memory["last_epoch"] + 1, list(memory["schedulers"])
        active = bisect_right(self.milestones, epoch)
        schedule = self.schedulers[active]
        begins = active > 0 and self.milestones[active - 1] == epoch
        memories[active] = (schedule.restart if begins else schedule.advance)(groups, memories[active])
        return {"last_epoch": epoch, "schedulers": memories}
