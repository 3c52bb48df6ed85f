"""What a schedule is: it turns an optimizer into the same optimizer with another learning rate.

::

    optimizer, state = schedule.start(optimizer)            # what torch's constructor does to the rate
    for ...:
        parameters, memory = optimizer.step(parameters, gradients, memory)
        optimizer, state = schedule.step(optimizer, state)

Optimizers are frozen, so nothing changes but the names. The rate is ``optimizer.lr``; schedules that move the momentum
against it change ``momentum`` or the first of the ``betas``. For :class:`impl.optim.Groups` every group is scheduled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, TypeAlias, TypeVar

from impl.layer import reject
from impl.optim.groups import Groups

Optimizing = TypeVar("Optimizing")
Group: TypeAlias = dict[str, Any]
"""The hyperparameters of one group that a schedule may set, and what schedules noted on it (``initial_lr`` ...)."""
Memory: TypeAlias = dict[str, Any]
MOVED = ("lr", "momentum", "betas")


class Schedule:
    """The contract of a schedule; a subclass says how the rate changes.

    Inside, ``begin`` and ``advance`` write into groups, which are copies, and return what is to be remembered.
    """

    def start(self, optimizer: Optimizing) -> tuple[Optimizing, dict[str, Any]]:
        """Return the optimizer for the first step, and the state of the schedule."""
        groups = [moved_by_schedules(part) for part in _parts(optimizer)]
        memory = self.begin(groups)
        return _scheduled(optimizer, groups), {"groups": _notes(groups), "memory": memory}

    def step(self, optimizer: Optimizing, state: Mapping[str, Any]) -> tuple[Optimizing, dict[str, Any]]:
        """Return the optimizer for the next step, and the next state; nothing given is changed."""
        groups = self._groups(optimizer, state)
        memory = self.advance(groups, state["memory"])
        return _scheduled(optimizer, groups), {"groups": _notes(groups), "memory": memory}

    def _groups(self, optimizer: object, state: Mapping[str, Any]) -> list[Group]:
        parts = _parts(optimizer)
        if len(parts) != len(state["groups"]):
            raise reject(self, "the number of groups", len(parts), f"{len(state['groups'])}, as at the start")
        return [{**noted, **moved_by_schedules(part)} for part, noted in zip(parts, state["groups"])]

    def begin(self, groups: list[Group]) -> Memory:
        """Take up the groups: their rates now are those to start from."""
        for group in groups:
            group.setdefault("initial_lr", group["lr"])
        memory = {"last_epoch": -1, "steps": 0, "base_lrs": [group["initial_lr"] for group in groups]}
        return self.advance(groups, memory, initial=True)

    def advance(self, groups: list[Group], memory: Memory, initial: bool = False) -> Memory:
        """Set the rates of the next step; the initial one is part of the start."""
        memory = {**memory, "last_epoch": memory["last_epoch"] + 1, "steps": memory["steps"] + 1}
        self._set(groups, self.rates(groups, memory, initial))
        return memory

    def restart(self, groups: list[Group], memory: Memory) -> Memory:
        """Set the rates of epoch 0, for a schedule whose turn comes later."""
        memory = {**memory, "last_epoch": 0}
        firsts = [self.first(base) for base in memory["base_lrs"]]
        self._set(groups, [r for r in firsts if r is not None] or self.rates(groups, memory, initial=False))
        return memory

    @staticmethod
    def _set(groups: list[Group], rates: Sequence[float]) -> None:
        for group, rate in zip(groups, rates):
            group["lr"] = rate

    def first(self, base: float) -> float | None:
        """Return the rate of epoch 0, where a formula without memory gives it."""
        return None

    def rates(self, groups: list[Group], memory: Memory, initial: bool) -> list[float]:
        """Return the rate of every group at the epoch in memory."""
        epoch = memory["last_epoch"]
        return [self.rate(group["lr"], base, epoch, initial) for group, base in zip(groups, memory["base_lrs"])]

    def rate(self, lr: float, base: float, epoch: int, initial: bool) -> float:
        """Return the rate of one group at ``epoch``, from the one before and the one at the start."""
        raise TypeError(f"{type(self).__name__} defines no rate")

    def per_group(self, argument: str, groups: Sequence[Group]) -> list[Any]:
        """Return an argument for every group: it is one for all, or as many as there are groups."""
        value = getattr(self, argument)
        if not isinstance(value, list | tuple):
            return [value] * len(groups)
        if len(value) != len(groups):
            raise reject(self, argument, value, f"one value, or {len(groups)}, as there are groups")
        return list(value)


class MomentumSchedule(Schedule):
    """Moves the momentum against the rate: high while the rate is low."""

    cycle_momentum: bool

    def begin(self, groups: list[Group]) -> Memory:
        if self.cycle_momentum:
            bounds = zip(groups, self.per_group("base_momentum", groups), self.per_group("max_momentum", groups))
            for group, lowest, highest in bounds:
                if "momentum" not in group and "betas" not in group:
                    raise reject(self, "cycle_momentum", True, "False for an optimizer without momentum and betas")
                set_momentum(group, highest)
                group |= {"base_momentum": lowest, "max_momentum": highest}
        return super().begin(groups)


def set_momentum(group: Group, momentum: float) -> None:
    """Set the momentum, which is the first of the betas where there are some."""
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum


def moved_by_schedules(optimizer: object) -> Group:
    """Return the hyperparameters that a schedule may set."""
    return {name: getattr(optimizer, name) for name in MOVED if hasattr(optimizer, name)}


def _parts(optimizer: object) -> list[Any]:
    return [part for part, _ in optimizer.groups] if isinstance(optimizer, Groups) else [optimizer]


def _scheduled(optimizer: Any, groups: Sequence[Group]) -> Any:
    parts = [copy(part) for part in _parts(optimizer)]
    for part, group in zip(parts, groups):
        for name in moved_by_schedules(part):
            # Past the frozen class and its checks: a schedule may end at a rate that a constructor refuses, as torch's.
            object.__setattr__(part, name, group[name])
    if not isinstance(optimizer, Groups):
        return parts[0]
    return Groups([(part, names) for part, (_, names) in zip(parts, optimizer.groups)])


def _notes(groups: Sequence[Group]) -> list[Group]:
    return [{name: value for name, value in group.items() if name not in MOVED} for group in groups]
