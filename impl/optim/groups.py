"""Parameter groups: parts of a network that are trained differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from impl.layer import Array, reject
from impl.optim.contract import Memory, Named, Optimizer, known


@dataclass(frozen=True)
class Groups:
    """Several optimizers for one network, each for some of its parameters; itself an optimizer.

    torch's parameter groups are several optimizers of one class with other hyperparameters::

        Groups([(SGD(lr=0.1), ["0.weight", "2.weight"]), (SGD(lr=0.2, momentum=0.9), ["0.bias", "2.bias"])])

    but any may stand beside any other, as for Muon, which takes matrices only.

    Parameters
    ----------
    groups
        Pairs of an optimizer and the names of its parameters. A parameter of no group stays as it is.

    Raises
    ------
    ValueError
        A parameter stands in two groups; in a step: a group names what is no parameter.
    """

    groups: Sequence[tuple[Optimizer, Sequence[str]]]

    def __post_init__(self) -> None:
        names = [name for _, members in self.groups for name in members]
        for name in names:
            if names.count(name) > 1:
                raise reject(self, "a parameter of two groups", name, "each in one group")

    def step(
        self, parameters: Named, gradients: Mapping[str, Any], state: Memory | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """See :meth:`impl.optim.Optimizer.step`."""
        after, memories = dict(parameters), dict(state or {})
        for name in gradients:
            known(self, parameters, name)
        for optimizer, names in self.groups:
            for name in names:
                if name not in parameters:
                    raise reject(self, "a name in a group", name, f"one of {', '.join(parameters)}")
            own = {name: gradients[name] for name in names if name in gradients}
            after, memories = optimizer.step(after, own, memories)
        return after, memories
