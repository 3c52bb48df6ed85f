"""A network: a directed acyclic graph of layers, itself a layer with the same contract.

Backpropagation lives here: run forward in order, then go through the nodes in reverse, hand every node the sum of
what flowed back along all its uses, and add up the gradients of parameters that are used more than once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from impl.layer import Array, Composed, Gradients, Layer, Noise, Step, draws


@dataclass(frozen=True, eq=False)
class Node:
    """A layer at its place in a network.

    Attributes
    ----------
    name
        Without dots; the parameters are called ``name.weight`` ...
    layer
        Anything with the contract of :class:`impl.layer.Layer`, a network included.
    inputs
        Names of network inputs or earlier nodes; ``"lstm.1"`` is the second output of the node ``lstm``.
    shares
        The earlier node whose parameters this one reuses (tied weights).
    options
        Keywords handed to the layer's forward at every run.
    """

    name: str
    layer: Layer
    inputs: Sequence[str]
    shares: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class NetworkStep(Step):
    """A step that also shows the steps of all nodes, by name: their outputs, and their own backward."""

    steps: Mapping[str, Step] = field(default_factory=dict)


@dataclass(frozen=True)
class NetworkGradients(Gradients):
    """Gradients that also show dE/d(output) of every node and input, by name: one per output, None where none flows."""

    adjoints: Mapping[str, tuple[Array | None, ...]] = field(default_factory=dict)


class Network(Composed):
    """A directed acyclic graph of layers.

    Parameters
    ----------
    inputs
        Names of the inputs, in the order in which ``forward`` takes them.
    nodes
        In an order in which every node stands after those that it uses.
    outputs
        What ``forward`` returns: one name gives an array, several give a tuple.

    Raises
    ------
    ValueError
        A name is used twice or holds a dot, or a node or output refers to what does not stand before it.
    """

    def __init__(self, inputs: Sequence[str], nodes: Iterable[Node], outputs: Sequence[str]) -> None:
        self.inputs = tuple(inputs)
        self.nodes = tuple(nodes)
        self._plan: list[tuple[Node, str, list[tuple[str, int]]]] = []
        known = set(self.inputs)
        if len(known) < len(self.inputs):
            raise ValueError(f"Network: an input name stands twice in {self.inputs}")
        for node in self.nodes:
            if "." in node.name or node.name in known:
                raise ValueError(f"Network: the name {node.name!r} is used twice or holds a dot")
            slots = [self._slot(reference, known, f"node {node.name!r}") for reference in node.inputs]
            if node.shares is not None and node.shares not in known - set(self.inputs):
                raise ValueError(f"Network: node {node.name!r} shares {node.shares!r}, no node before it")
            known.add(node.name)
            self._plan.append((node, node.shares or node.name, slots))
        self.outputs = tuple(outputs)
        self._results = [self._slot(reference, known, "outputs") for reference in self.outputs]

    @staticmethod
    def _slot(reference: str, known: set[str], where: str) -> tuple[str, int]:
        name, _, index = reference.partition(".")
        if name not in known or (index and not index.isdecimal()):
            raise ValueError(f"Network: {where} uses {reference!r}, which does not stand before it")
        return name, int(index or 0)

    @property
    def parts(self) -> dict[str, Layer]:
        """The layers of the nodes that own their parameters."""
        return {node.name: node.layer for node in self.nodes if node.shares is None}

    def _asked(self, data: Collection[str], with_parameters: Collection[str]) -> set[str]:
        """Return the inputs that are no data, and the nodes that a gradient is asked of: theirs, or of one before."""
        asked = set(self.inputs).difference(data)
        for node, owner, slots in self._plan:
            if owner in with_parameters or not asked.isdisjoint([name for name, _ in slots]):
                asked.add(node.name)
        return asked

    def forward(
        self, parameters: Mapping[str, Array], *inputs: Array, training: bool = True, noise: Noise = None
    ) -> NetworkStep:
        """Run the nodes in order. Noise given as arrays is taken by the nodes in turn.

        The backward of its step takes, after the gradient of the output, the names of inputs that are ``data``: what
        only their gradients would need is not computed.

        Raises
        ------
        ValueError
            The number of inputs is wrong.
        """
        if len(inputs) != len(self.inputs):
            raise ValueError(f"Network: got {len(inputs)} inputs, wanted {len(self.inputs)}: {self.inputs}")
        noise = draws(noise)
        scoped: dict[str, dict[str, Array]] = {}
        for key, array in parameters.items():
            owner, _, name = key.partition(".")
            if owner not in scoped:
                scoped[owner] = {}
            scoped[owner][name] = array
        values: dict[str, tuple[Array, ...]] = {name: (x,) for name, x in zip(self.inputs, inputs)}
        steps: dict[str, Step] = {}
        updates: dict[str, Array] = {}
        branches: tuple[Array, ...] = ()
        for node, owner, slots in self._plan:
            arrays = [values[name][index] for name, index in slots]
            step = node.layer.forward(scoped.get(owner, {}), *arrays, training=training, noise=noise, **node.options)
            steps[node.name] = step
            values[node.name] = step.output if isinstance(step.output, tuple) else (step.output,)
            branches += step.branches
            if step.updates:
                # A layer that runs twice updates its buffers twice, so the second run starts from the first's.
                scoped[owner] = scoped.get(owner, {}) | dict(step.updates)
                updates.update((f"{owner}.{name}", array) for name, array in step.updates.items())
        results = tuple([values[name][index] for name, index in self._results])

        def back(
            grad_output: Any, data: Collection[str], kept: bool
        ) -> tuple[dict[str, list[Array | None]], dict[str, Array]]:
            """Return the adjoints, of nodes only if they are to be kept, and the gradients of the parameters."""
            adjoints: dict[str, list[Array | None]] = {name: [None] * len(v) for name, v in values.items()}
            asked = self._asked(data, scoped)

            def flow(slots: list[tuple[str, int]], gradients: Iterable[Array | None]) -> None:
                for (name, index), gradient in zip(slots, gradients):
                    if gradient is not None and name in asked:
                        so_far = adjoints[name][index]
                        adjoints[name][index] = gradient if so_far is None else np.asarray(so_far + gradient)

            flow(self._results, (grad_output,) if len(results) == 1 else grad_output)
            total: dict[str, Array] = {}
            for node, owner, slots in reversed(self._plan):
                # What no one else will look at makes room in memory for what the nodes before this one return.
                arriving = tuple(adjoints[node.name] if kept else adjoints.pop(node.name))
                if node.name not in asked or all(gradient is None for gradient in arriving):
                    continue
                step = steps[node.name]
                g = arriving if isinstance(step.output, tuple) else arriving[0]
                if step.parameters_only and asked.isdisjoint([name for name, _ in slots]):
                    own = step.parameters_only(g)
                else:
                    gradients = step.backward(g)
                    flow(slots, gradients.inputs)
                    own = gradients.parameters
                for name, gradient in own.items():
                    key = f"{owner}.{name}"
                    total[key] = np.asarray(total[key] + gradient) if key in total else gradient
            return adjoints, total

        def backward(grad_output: Any, data: Collection[str] = ()) -> NetworkGradients:
            adjoints, total = back(grad_output, data, kept=True)
            return NetworkGradients(
                tuple(adjoints[name][0] for name in self.inputs),
                total,
                {name: tuple(arrays) for name, arrays in adjoints.items()},
            )

        return NetworkStep(
            results[0] if len(results) == 1 else results,
            backward,
            updates,
            branches,
            lambda grad_output: back(grad_output, self.inputs, kept=False)[1],
            steps,
        )


def Sequential(*layers: Layer) -> Network:
    """Chain layers into a network whose nodes are named "0", "1" ..., as in torch.nn.Sequential."""
    names = ["input", *map(str, range(len(layers)))]
    return Network(names[:1], [Node(n, layer, (p,)) for p, n, layer in zip(names, names[1:], layers)], names[-1:])
