"""Mistakes of memory: numbers that are right when a layer runs once, alone, on arrays that nobody else holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from backproof import NumPyImplementation
from backproof.implementations import Pass
from impl.layer import Array
from reference import Node

from .planting import Bug, plant

Grads = tuple[Sequence[Array | None], Mapping[str, Array]]


class Forgetful(NumPyImplementation):
    """impl, with one op whose passes are wrapped in something that remembers or overwrites."""

    op = ""

    def forward(
        self,
        node: Node,
        parameters: Mapping[str, Array],
        inputs: tuple[Array, ...],
        *,
        training: bool,
        noise: Sequence[Array],
    ) -> Pass:
        """Run the layer, and wrap its pass if it is the one."""
        done = super().forward(node, parameters, inputs, training=training, noise=noise)
        return self.wrapped(done, node, parameters, inputs) if node.op == self.op else done

    def wrapped(self, done: Pass, node: Node, parameters: Mapping[str, Array], inputs: tuple[Array, ...]) -> Pass:
        """Return the pass with the mistake."""
        return done


def state(op: str, words: str, source: str = "") -> Callable[[type[Forgetful]], type[Forgetful]]:
    """Register an implementation whose ``op`` keeps or overwrites what it should not; its docstring says which."""

    def register(wrong: type[Forgetful]) -> type[Forgetful]:
        wrong.op = op
        plant(Bug(f"{op}: {(wrong.__doc__ or '').rstrip('.')}", (op,), op, words, source, "state", wrong))
        return wrong

    return register


@state("Linear", "another forward", "torch/nn#1015")
class _LastInput(Forgetful):
    """Backward works on what the layer kept of its last forward, whichever that was."""

    def __init__(self) -> None:
        super().__init__()
        self.last: dict[str, Pass] = {}

    def wrapped(self, done: Pass, node: Node, parameters: Mapping[str, Array], inputs: tuple[Array, ...]) -> Pass:
        self.last[node.name] = done
        return done._replace(backward=lambda grads: self.last[node.name].backward(grads))


@state("Tanh", "second backward", "karpathy/micrograd#102")
class _Accumulating(Forgetful):
    """Gradients are added to those of the last backward, which nothing sets to zero."""

    def wrapped(self, done: Pass, node: Node, parameters: Mapping[str, Array], inputs: tuple[Array, ...]) -> Pass:
        total: list[Any] = [0.0]

        def backward(grads: tuple[Array | None, ...]) -> Grads:
            (gradient,), own = done.backward(grads)
            total[0] = total[0] + gradient
            return (total[0],), own

        return done._replace(backward=backward)


@state("Sigmoid", "second backward", "bshillingford/autobw.torch#7")
class _FirstOnly(Forgetful):
    """Only the first backward is right: later ones get its gradient from a cache, and add theirs."""

    def wrapped(self, done: Pass, node: Node, parameters: Mapping[str, Array], inputs: tuple[Array, ...]) -> Pass:
        cache: list[Array] = []

        def backward(grads: tuple[Array | None, ...]) -> Grads:
            (gradient,), own = done.backward(grads)
            assert gradient is not None
            cache.append(gradient)
            return (cache[0] if len(cache) == 1 else np.asarray(cache[0] + gradient),), own

        return done._replace(backward=backward)


@state("ReLU", "changes input 0", "BVLC/caffe#2015")
class _InPlace(Forgetful):
    """The output is written over the input, which others still read."""

    def wrapped(self, done: Pass, node: Node, parameters: Mapping[str, Array], inputs: tuple[Array, ...]) -> Pass:
        if inputs[0].flags.writeable:
            inputs[0][...] = done.outputs[0]
        return done


@state("Mul", "changes input", "axolotl-ai-cloud/axolotl#3892")
class _ReusedStorage(Forgetful):
    """Backward writes the gradient of an input over the input, which it kept."""

    def wrapped(self, done: Pass, node: Node, parameters: Mapping[str, Array], inputs: tuple[Array, ...]) -> Pass:
        def backward(grads: tuple[Array | None, ...]) -> Grads:
            (first, *others), own = done.backward(grads)
            if first is not None and inputs[0].flags.writeable:
                inputs[0][...] = first
                first = inputs[0]
            return (first, *others), own

        return done._replace(backward=backward)


@state("Softmax", "changes the gradient of output|changes the cotangent", "BVLC/caffe#4388")
class _OverwrittenCotangent(Forgetful):
    """The gradient of the input is computed in the array of the cotangent."""

    def wrapped(self, done: Pass, node: Node, parameters: Mapping[str, Array], inputs: tuple[Array, ...]) -> Pass:
        def backward(grads: tuple[Array | None, ...]) -> Grads:
            (gradient,), own = done.backward(grads)
            if grads[0] is not None and grads[0].flags.writeable:
                grads[0][...] = gradient
                gradient = grads[0]
            return (gradient,), own

        return done._replace(backward=backward)


@state("Conv2d", "buffer", "facebookarchive/fb.resnet.torch#92")
class _SharedBuffer(Forgetful):
    """All layers of one type write the gradient of their input into one buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.buffers: dict[tuple[tuple[int, ...], str], Array] = {}

    def wrapped(self, done: Pass, node: Node, parameters: Mapping[str, Array], inputs: tuple[Array, ...]) -> Pass:
        def backward(grads: tuple[Array | None, ...]) -> Grads:
            (gradient,), own = done.backward(grads)
            assert gradient is not None
            buffer = self.buffers.setdefault((gradient.shape, str(gradient.dtype)), np.empty_like(gradient))
            buffer[...] = gradient
            return (buffer,), own

        return done._replace(backward=backward)


class _RawMemory(Forgetful):
    def wrapped(self, done: Pass, node: Node, parameters: Mapping[str, Array], inputs: tuple[Array, ...]) -> Pass:
        def raw(g: Array | None) -> Array | None:
            return None if g is None else g.ravel(order="K").reshape(g.shape)

        return done._replace(backward=lambda grads: done.backward(tuple(map(raw, grads))))


@state("Mean", "lies in memory|contiguous", "torch/nn#345")
class _MeanRawMemory(_RawMemory):
    """The cotangent is read in the order in which it lies in memory."""


@state("Reshape", "lies in memory|contiguous", "torch/DEPRECEATED-torch7-distro#5")
class _ReshapeRawMemory(_RawMemory):
    """The cotangent is taken for contiguous."""


@state("MultiheadAttention", "lies in memory|contiguous", "Dao-AILab/flash-attention#355")
class _AttentionRawMemory(_RawMemory):
    """Strides of the cotangent are ignored."""


@state("Bilinear", "changes weight", "VikParuchuri/zero_to_gpt#12")
class _UpdatedTooSoon(Forgetful):
    """The weight takes its step of gradient descent before the gradient is pulled through it."""

    def wrapped(self, done: Pass, node: Node, parameters: Mapping[str, Array], inputs: tuple[Array, ...]) -> Pass:
        def backward(grads: tuple[Array | None, ...]) -> Grads:
            _, own = done.backward(grads)
            if parameters["weight"].flags.writeable:
                parameters["weight"][...] -= parameters["weight"].dtype.type(0.1) * own["weight"]
            inner, _ = done.backward(grads)
            return inner, own

        return done._replace(backward=backward)


@state("Embedding", "equal|state|another forward")
class _KeyedByValue(Forgetful):
    """What backward needs is looked up by the values of the weight, and equal ones are taken for one."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[bytes, Pass] = {}

    def wrapped(self, done: Pass, node: Node, parameters: Mapping[str, Array], inputs: tuple[Array, ...]) -> Pass:
        key = parameters["weight"].tobytes() + str(inputs[0].shape).encode()
        self.kept[key] = done
        return done._replace(backward=lambda grads: self.kept[key].backward(grads))
