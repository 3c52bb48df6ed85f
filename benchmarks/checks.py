"""Part two: checking the whole gradient of a network by finite differences, ours beside gradcheck and check_grads."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from importlib.util import find_spec
from math import log10
from typing import Any

import numpy as np
import torch
from torch import nn

from backproof.differencing import Derivative, at_every_coordinate
from backproof.running import outputs, run
from backproof.verification import Verification
from backproof.whole import along_one_direction
from benchmarks.clock import interleaved, set_threads, summary
from benchmarks.libraries import MLP, OURS, jax_loss, torch_module
from benchmarks.workloads import Layers, chain, classes, convolution, mlp, recurrent
from reference import Architecture, Tensor, Values
from reference.run import Array, magnitude

SLOW, FAST, JAX = "gradcheck slow", "gradcheck fast", "jax check_grads"
SECONDS, LEAST = 8.0, 3
EPS = 1e-6
"""The step of gradcheck's differences, where nobody asks for another."""

SMALL_CNN: Layers = (
    convolution(1, 4),
    ("ReLU", {}),
    ("MaxPool2d", {"kernel_size": 2}),
    convolution(4, 8),
    ("ReLU", {}),
    ("Flatten", {}),
    ("Linear", {"in_features": 8 * 4 * 4, "out_features": 10}),
)

NETWORKS: Mapping[str, Architecture] = {
    "MLP 32-64-64-10, batch 8": mlp(32, 64, 64, 10, batch=8),
    "CNN 1-4-8, 8x8, batch 4": chain((4, 1, 8, 8), SMALL_CNN, "CrossEntropyLoss", classes(4, below=10)),
    "LSTM 16-32, T=10, batch 4": recurrent("LSTM", 16, 32, steps=10, batch=4),
}


class Checked:
    """A network whose gradient is checked: of all its parameters and of ``x``, in float64.

    Attributes
    ----------
    coordinates
        How many numbers that gradient has.
    """

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture
        self.verification = Verification(architecture)
        self.alone = self.verification.alone  # the numbers on which nodes run, made before, as those of the others are
        self.values: Values = self.verification.reference.values
        self.parameters = {
            f"{owner}.{name}": array for owner, own in self.values.parameters.items() for name, array in own.items()
        }
        self.coordinates = self.values.inputs["x"].size + sum(array.size for array in self.parameters.values())

    def ours(self) -> tuple[dict[Tensor, Derivative], float]:
        """Check every node alone at every coordinate, and the whole network along a direction through everything.

        Returns the derivatives, and how far at most a gradient is from one, relative to its array.
        """
        verification, reference = self.verification, self.verification.reference
        implementation = verification.implementation
        found: dict[Tensor, Derivative] = {}
        worst = 0.0
        for node in self.architecture.nodes:
            alone = self.alone[node.name]
            gradients = run(implementation, alone.twin, alone.values, "float64").run.tensors
            derivatives = at_every_coordinate(implementation, node, alone)
            for name, derivative in derivatives.items():
                for claim in derivative.claims(gradients[name], 0.0):
                    worst = max(worst, magnitude(np.asarray(claim.got) - claim.want) / magnitude(claim.want))
            found |= {Tensor(name.kind, f"{node.name}/{name.node}", name.name): d for name, d in derivatives.items()}
        whole = run(implementation, verification.twin, self.values, "float64").run
        estimate, claimed, _ = along_one_direction(
            lambda values: outputs(implementation, verification.twin, values, "float64"),
            whole,
            reference,
            analytic=True,
        )
        return found, max(worst, abs(claimed - float(estimate.value[0])) / abs(claimed))

    def gradcheck(self, fast: bool) -> Callable[[], bool]:
        """``torch.autograd.gradcheck`` of the module that one writes, with its default settings."""
        loss, leaves = self._torch()
        return lambda: torch.autograd.gradcheck(lambda *_: loss(), leaves, fast_mode=fast, raise_exception=False)

    def _torch(self) -> tuple[Callable[[], torch.Tensor], list[torch.Tensor]]:
        """Return the loss as a function of leaves, which gradcheck changes in place, and these leaves, ``x`` last."""
        module = torch_module(self.architecture, self.parameters)
        criterion = getattr(nn, self.architecture.nodes[-1].op)()
        x = torch.tensor(self.values.inputs["x"], requires_grad=True)
        target = torch.tensor(self.values.inputs["target"])

        def loss() -> torch.Tensor:
            error: torch.Tensor = criterion(module(x), target)
            return error

        return loss, [*module.parameters(), x]

    def check_grads(self) -> Callable[[], bool]:
        """``jax.test_util.check_grads`` in reverse mode, with its default settings."""
        from jax.test_util import check_grads

        loss, target = jax_loss(self.architecture), self.values.inputs["target"]
        given = (self.parameters, self.values.inputs["x"])

        def accepts() -> bool:
            try:
                check_grads(lambda parameters, x: loss(parameters, x, target), given, order=1, modes=["rev"])
            except AssertionError:
                return False
            return True

        return accepts

    def our_digits(self) -> float:
        """To how many digits our differences come near to autograd, at the worst coordinate of every node alone."""
        worst = 0.0
        for node in self.architecture.nodes:
            alone = self.alone[node.name]
            for name, derivative in at_every_coordinate(self.verification.implementation, node, alone).items():
                right = alone.run.tensors[name]
                far = derivative.coordinates.value - right.reshape(-1)[derivative.at]
                worst = max(worst, magnitude(far) / magnitude(right))
        return _digits(worst)

    def gradcheck_digits(self) -> float:
        """The same of the central differences that gradcheck takes, for the network as a whole."""
        loss, leaves = self._torch()
        rights = torch.autograd.grad(loss(), leaves)
        worst = 0.0
        for leaf, right in zip(leaves, rights):
            found = _central(loss, leaf.detach().reshape(-1)).reshape(leaf.shape)
            worst = max(worst, magnitude(found - right.numpy()) / magnitude(right.numpy()))
        return _digits(worst)


def _central(loss: Callable[[], torch.Tensor], entries: torch.Tensor) -> Array:
    """Move entry after entry, in place, by ``EPS`` to both sides: (f(x + eps) - f(x - eps)) / 2 eps."""
    slopes = np.zeros(len(entries))
    with torch.no_grad():
        for i, entry in enumerate(entries.tolist()):
            entries[i] = entry + EPS
            above = loss().item()
            entries[i] = entry - EPS
            slopes[i] = (above - loss().item()) / (2 * EPS)
            entries[i] = entry
    return slopes


def _digits(error: float) -> float:
    return -log10(max(error, 1e-17))


def absent() -> list[str]:
    """Name the peers that are not installed."""
    return [] if find_spec("jax") else [JAX]


def total() -> int:
    """How many ticks there will be."""
    return len(NETWORKS)


def rows(threads: int, tick: Callable[[], object]) -> Generator[dict[str, Any]]:
    """Measure network after network."""
    for name, architecture in NETWORKS.items():
        set_threads(threads)
        yield {"network": name, **measured(Checked(architecture))}
        tick()


def measured(checked: Checked) -> dict[str, Any]:
    """Time everyone on one network, and say what was looked at, and to how many digits."""
    derivatives, disagreement = checked.ours()
    others = {SLOW: checked.gradcheck(fast=False), FAST: checked.gradcheck(fast=True)}
    if not absent() and all(node.op in MLP for node in checked.architecture.nodes):
        others[JAX] = checked.check_grads()
    first = f"{checked.architecture.nodes[0].name}/"
    own = [d for name, d in derivatives.items() if name.kind == "parameter" or name.node.startswith(first)]
    looked = sum(len(derivative.at) for derivative in own)
    return {
        "coordinates": checked.coordinates,
        "one_by_one": looked,
        "between": sum(len(derivative.at) for derivative in derivatives.values()) - looked,
        "accepted": {
            OURS: checked.verification.agreement("float64").agrees,
            **{who: accepts() for who, accepts in others.items()},
        },
        "disagreement": disagreement,
        "digits": {OURS: checked.our_digits(), SLOW: checked.gradcheck_digits()},
        "seconds": summary(interleaved({OURS: checked.ours, **others}, SECONDS, LEAST, warm_up=1)),
    }


def rate(row: Mapping[str, Any], who: str) -> float:
    """Return the coordinates of the gradient of the network that someone looks at one by one, in a second.

    Fast checks see all of them at once along a random direction.
    """
    looked = row["one_by_one"] if who == OURS else row["coordinates"]
    return float(looked / row["seconds"][who]["median"])
