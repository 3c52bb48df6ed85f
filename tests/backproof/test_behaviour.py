"""Behaviour: right layers are cleared, and every way to misbehave is caught, in a layer whose numbers are right."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import backproof
from backproof import NumPyImplementation, verify
from backproof.implementations import Pass
from reference import Architecture, Input, Node

TANH = Architecture((Input("x", (3, 2)),), (Node("t", "Tanh", {}, ("x",)),), ("t",))
LINEAR = Architecture(
    (Input("x", (3, 2)),), (Node("l", "Linear", {"in_features": 2, "out_features": 3}, ("x",)),), ("l",)
)


class Misbehaving(NumPyImplementation):
    """NumPy's passes, with something done before or after; the numbers of a single run stay right."""

    def __init__(self, twist: Callable[..., Pass]) -> None:
        super().__init__()
        self.twist = twist
        self.kept: dict[str, Any] = {}

    def complex_clean(self, node: Node) -> bool:
        return False

    def forward(self, node: Node, parameters: Mapping[str, Any], inputs: Any, **options: Any) -> Pass:
        right = super().forward
        return self.twist(self, lambda ps, xs: right(node, ps, xs, **options), parameters, inputs)


def after(change: Callable[[Any, Any, Any], Any]) -> Callable[..., Pass]:
    """Change what backward does: ``change(self, right backward, cotangents)``."""

    def twist(self: Any, right: Any, parameters: Any, inputs: Any) -> Pass:
        done = right(parameters, inputs)
        return done._replace(backward=lambda g: change(self, done.backward, g))

    return twist


def stale(self: Any, right: Any, parameters: Any, inputs: Any) -> Pass:
    """The classic: the layer remembers its last forward, and backward uses that."""
    self.kept["last"] = done = right(parameters, inputs)
    return done._replace(backward=lambda g: self.kept["last"].backward(g))


def scribbling(self: Any, right: Any, parameters: Any, inputs: Any) -> Pass:
    done = right(parameters, tuple(x.copy() for x in inputs))
    inputs[0][...] = 0
    return done


def output_buffer(self: Any, right: Any, parameters: Any, inputs: Any) -> Pass:
    done = right(parameters, inputs)
    y = done.outputs[0]
    buffer = self.kept.setdefault((y.shape, y.dtype.str), np.empty_like(y))
    buffer[...] = y
    return done._replace(outputs=(buffer,))


def overwriting(self: Any, backward: Any, g: Any) -> Any:
    grads, own = backward(g)
    g[0][...] = 0
    return grads, own


def buffer(self: Any, backward: Any, g: Any) -> Any:
    (grad,), own = backward(g)
    shared = self.kept.setdefault((grad.shape, grad.dtype.str), np.empty_like(grad))
    shared[...] = grad
    return (shared,), own


def accumulating(self: Any, right: Any, parameters: Any, inputs: Any) -> Pass:
    """The gradient of the weight is added to what is there, and nobody sets it to zero for a second backward."""
    done = right(parameters, inputs)
    total: dict[str, Any] = {}

    def backward(g: Any) -> Any:
        grads, own = done.backward(g)
        for name, array in own.items():
            total[name] = total.get(name, 0) + array
        return grads, dict(total)

    return done._replace(backward=backward)


def raw_memory(self: Any, backward: Any, g: Any) -> Any:
    return backward((g[0].ravel(order="K").reshape(g[0].shape),))


def raw_input(self: Any, right: Any, parameters: Any, inputs: Any) -> Pass:
    return right(parameters, (inputs[0].ravel(order="K").reshape(inputs[0].shape),))


def in_place(self: Any, backward: Any, g: Any) -> Any:
    """It writes into the cotangent and cleans up after itself: only a read-only one shows it."""
    kept = g[0].copy()
    g[0][...] *= 1
    g[0][...] = kept
    return backward(g)


def constant(self: Any, backward: Any, g: Any) -> Any:
    """A penalty on the weight that came with the gradient: right only for cotangents that are not zero."""
    grads, own = backward(g)
    return grads, {name: a + (0 if g[0].any() else 1) for name, a in own.items()}


def sign_of_cotangent(self: Any, backward: Any, g: Any) -> Any:
    """Right until the cotangent turns: its first entry decides."""
    grads, own = backward(g)
    first = self.kept.setdefault((g[0].shape, g[0].dtype.str), g[0].flat[0] > 0)
    return (grads if (g[0].flat[0] > 0) == first or not g[0].any() else tuple(-x for x in grads)), own


CASES: list[tuple[Callable[..., Pass], Architecture, str]] = [
    (stale, TANH, "another forward in between changes the gradient of input 0: state is kept between calls"),
    (scribbling, TANH, "forward changes input 0, which it was given"),
    (output_buffer, TANH, "the output is a buffer that the next forward overwrites"),
    (after(overwriting), TANH, "backward changes the gradient of output 0, which it was given"),
    (after(buffer), TANH, "the gradient of input 0 is a buffer that the next backward overwrites"),
    (accumulating, LINEAR, "a second backward gives another gradient of weight"),
    (after(raw_memory), TANH, "the gradient of input 0 depends on how the gradient of the output lies in memory"),
    (raw_input, TANH, "the gradient of input 0 depends on how the inputs and parameters lie in memory"),
    (after(in_place), TANH, "It fails on arrays that are read-only or not contiguous"),
    (after(constant), LINEAR, "the gradient of weight is not linear: zero times the gradient of the output does not"),
    (after(sign_of_cotangent), TANH, "the gradient of input 0 is not linear: -0.5 times"),
]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize(("twist", "architecture", "words"), CASES)
def test_every_misbehaviour_is_named(twist: Any, architecture: Architecture, words: str, dtype: str) -> None:
    agreement = verify(architecture, Misbehaving(twist), dtype)
    assert (agreement.culprit, agreement.fault) == (architecture.nodes[0].name, "state")
    assert words in str(agreement.diagnosis)
    assert words in str(agreement)


@given(st.integers(0, 2**32 - 1))
def test_the_layers_of_impl_behave(seed: int) -> None:
    agreement = verify(backproof.random_architecture(seed, max_nodes=4))
    assert all(t.verdict == "agree" for t in agreement.tensors if t.kind == "behaviour")
    assert sum(t.kind == "behaviour" for t in agreement.tensors) == len(agreement.architecture["nodes"])
