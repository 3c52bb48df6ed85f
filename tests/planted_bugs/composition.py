"""Mistakes of what composes layers: every node is right, and the network is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from backproof import NumPyImplementation
from backproof.implementations import Pass
from impl.layer import Array
from reference import Architecture, Node, Run, Tensor, Values

from .planting import Bug, plant

Slot = tuple[str, int]


@dataclass
class Tape:
    """A network that has run forward, and the gradients that have arrived so far."""

    architecture: Architecture
    passes: dict[str, Pass] = field(default_factory=dict)
    adjoints: dict[Slot, Array] = field(default_factory=dict)
    parameters: dict[tuple[str, str], Array] = field(default_factory=dict)

    def arriving(self, node: Node) -> tuple[Array | None, ...]:
        """Return the gradients of a node's outputs."""
        return tuple(self.adjoints.get((node.name, i)) for i in range(len(self.passes[node.name].outputs)))

    def uses(self, slot: Slot) -> int:
        """Count how often an array is used, as an output of the network included."""
        taken = [*(r for node in self.architecture.nodes for r in node.inputs), *self.architecture.outputs]
        return sum(self.architecture.slot(reference) == slot for reference in taken)


class ByHand(NumPyImplementation):
    """Runs networks of impl's layers forward and backward, rightly; each subclass gets one thing wrong."""

    def supports(self, node: Node) -> bool:
        """All layers without buffers."""
        return super().supports(node) and not node.op.startswith("BatchNorm")

    def run(self, architecture: Architecture, values: Values) -> Run:
        """Run a network forward and backward."""
        tape = Tape(architecture)
        arrays: dict[Slot, Array] = {(name, 0): x for name, x in values.inputs.items()}
        for node in architecture.nodes:
            own = values.parameters.get(node.owner, {})
            inputs = tuple(arrays[architecture.slot(reference)] for reference in node.inputs)
            noise = values.noise.get(node.name, ())
            done = self.forward(node, own, inputs, training=architecture.training, noise=noise)
            tape.passes[node.name] = done
            arrays |= {(node.name, i): y for i, y in enumerate(done.outputs)}
        self.backward(tape, values)
        tensors = {Tensor("output", n.name, str(i)): arrays[n.name, i] for n, i in _outputs(tape)}
        for (name, i), gradient in tape.adjoints.items():
            tensors[Tensor("input" if name in values.inputs else "adjoint", name, str(i))] = gradient
        tensors |= {Tensor("parameter", *key): gradient for key, gradient in tape.parameters.items()}
        return Run(tensors)

    def backward(self, tape: Tape, values: Values) -> None:
        """Go through the nodes in reverse."""
        for reference, cotangent in values.cotangents.items():
            self.flow(tape, tape.architecture.slot(reference), cotangent)
        for node in reversed(tape.architecture.nodes):
            self.go_back(tape, node)

    def go_back(self, tape: Tape, node: Node) -> None:
        """Hand a node what has arrived at it, and pass on what it returns."""
        arriving = tape.arriving(node)
        if all(gradient is None for gradient in arriving):
            return
        grads, own = tape.passes[node.name].backward(arriving)
        self.pass_on(tape, node, [(tape.architecture.slot(r), g) for r, g in zip(node.inputs, grads) if g is not None])
        for name, gradient in own.items():
            self.collect(tape, (node.owner, name), gradient)

    def pass_on(self, tape: Tape, node: Node, gradients: list[tuple[Slot, Array]]) -> None:
        """Let the gradients of a node's inputs flow."""
        for slot, gradient in gradients:
            self.flow(tape, slot, gradient)

    def flow(self, tape: Tape, slot: Slot, gradient: Array) -> None:
        """Add what flows along one branch to what has arrived."""
        tape.adjoints[slot] = np.asarray(tape.adjoints[slot] + gradient) if slot in tape.adjoints else gradient

    def collect(self, tape: Tape, key: tuple[str, str], gradient: Array) -> None:
        """Add the gradient of a parameter to that of its other uses."""
        tape.parameters[key] = np.asarray(tape.parameters[key] + gradient) if key in tape.parameters else gradient


def _outputs(tape: Tape) -> Iterator[tuple[Node, int]]:
    for node in tape.architecture.nodes:
        yield from ((node, i) for i in range(len(tape.passes[node.name].outputs)))


def composition(layers: str, words: str, source: str) -> Callable[[type[ByHand]], type[ByHand]]:
    """Register a wrong composition, to be seen in networks of some layers; its docstring says what is wrong."""

    def register(wrong: type[ByHand]) -> type[ByHand]:
        mistake = (wrong.__doc__ or "").rstrip(".")
        plant(Bug(f"Composition: {mistake}", tuple(layers.split()), None, words, source, "composition", wrong))
        return wrong

    return register


@composition("Tanh Add", "overwrite", "sony/nnabla#532")
class _Overwriting(ByHand):
    """What flows along a branch overwrites what came along the others."""

    def flow(self, tape: Tape, slot: Slot, gradient: Array) -> None:
        tape.adjoints[slot] = gradient


@composition("Linear", "overwrite|tied", "NVIDIA/TransformerEngine#3552")
class _Assigning(ByHand):
    """The gradient of a tied weight is assigned by each of its uses, so that one remains."""

    def collect(self, tape: Tape, key: tuple[str, str], gradient: Array) -> None:
        tape.parameters[key] = gradient


@composition("Tanh Add", "twice|again|wrong order|more than once", "karpathy/micrograd#2")
class _Recursive(ByHand):
    """Each gradient that arrives at a node sends all that has arrived on, again and again."""

    def backward(self, tape: Tape, values: Values) -> None:
        nodes = {node.name: node for node in tape.architecture.nodes}

        def send(name: str) -> None:
            if name in nodes:
                self.go_back(tape, nodes[name])
                for reference in nodes[name].inputs:
                    send(tape.architecture.slot(reference)[0])

        for reference, cotangent in values.cotangents.items():
            self.flow(tape, tape.architecture.slot(reference), cotangent)
            send(tape.architecture.slot(reference)[0])


@composition("Tanh Add", "wrong order|before all|lost|arrive", "lucasdelimanogueira/PyNorch#90")
class _DepthFirst(ByHand):
    """Nodes go back depth first, each once: before all of its gradient has arrived where branches meet."""

    def backward(self, tape: Tape, values: Values) -> None:
        nodes = {node.name: node for node in tape.architecture.nodes}
        gone: set[str] = set()

        def visit(name: str) -> None:
            if name in nodes and name not in gone:
                gone.add(name)
                self.go_back(tape, nodes[name])
                for reference in nodes[name].inputs:
                    visit(tape.architecture.slot(reference)[0])

        for reference, cotangent in values.cotangents.items():
            self.flow(tape, tape.architecture.slot(reference), cotangent)
        for reference in values.cotangents:
            visit(tape.architecture.slot(reference)[0])


@composition("Mul MatMul", "same|lost|twice|one another|overwrite", "PaddlePaddle/Paddle#11977")
class _OnceForEachNode(ByHand):
    """An array that one node takes twice gets the gradient of one of the two."""

    def pass_on(self, tape: Tape, node: Node, gradients: list[tuple[Slot, Array]]) -> None:
        for slot, gradient in dict(gradients).items():
            self.flow(tape, slot, gradient)


@composition("Tanh Add", "lost|only what", "paiml/entrenar#313")
class _WithoutSkips(ByHand):
    """Through an Add nothing flows back into what another node uses, too: the skip connection is forgotten."""

    def pass_on(self, tape: Tape, node: Node, gradients: list[tuple[Slot, Array]]) -> None:
        for slot, gradient in gradients:
            if node.op != "Add" or tape.uses(slot) == 1:
                self.flow(tape, slot, gradient)


@composition("Cat MatMul", "twice", "ictxiangxin/paradox#3")
class _FirstOperand(ByHand):
    """A node that takes an array twice sends it the first of the two gradients twice."""

    def pass_on(self, tape: Tape, node: Node, gradients: list[tuple[Slot, Array]]) -> None:
        first: dict[Slot, Array] = {}
        for slot, gradient in gradients:
            self.flow(tape, slot, first.setdefault(slot, gradient))
