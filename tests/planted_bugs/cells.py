"""Mistakes in the plain and the gated recurrence, and in single steps."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from backproof import NumPyImplementation
from impl.layer import Array, Gradients
from impl.layers import LAYERS
from impl.layers.activation import sigmoid

from .planting import Bug, Run, bug, plant


def plant_layer(op: str, name: str, words: str, source: str, **wrong: Any) -> None:
    """Register a layer with some methods replaced."""
    layer = type(op, (LAYERS[op],), wrong)
    plant(Bug(f"{op}: {name}", (op,), op, words, source, "layer", lambda: NumPyImplementation({op: layer})))


def cut_off(self: Any, weights: Mapping[str, Array], x: Array, states: tuple[Array, ...]) -> Any:
    """Run through time with every step differentiated for itself."""
    right: Any = LAYERS["RNN"]
    ys, ends, _ = right.sequence(self, weights, x, states)

    def back(g_y: Array, g_end: tuple[Array, ...]) -> Any:
        before = (*states, *ys[:-1])
        carried = [np.zeros_like(before[0])] * (len(ys) - 1) + [*g_end]
        steps = [
            right.sequence(self, weights, x[t : t + 1], (before[t],))[2](g_y[t : t + 1], (carried[t],))
            for t in range(len(ys))
        ]
        own = {name: sum(step[2][name] for step in steps) for name in steps[0][2]}
        return lambda: np.concatenate([step[0]() for step in steps]), steps[0][1], own

    return ys, ends, back


def one_step_late(self: Any, weights: Any, x: Array, before: Array, rows: Array, hidden_rows: Array) -> Any:
    """Pair each gradient with the state of the step after."""
    later = np.concatenate((before[1:], before[-1:]))
    return LAYERS["RNN"].leaving(self, weights, x, later, rows, hidden_rows)


plant_layer(
    "RNN",
    "Nothing is carried back to the step before",
    "time|carried|step|nothing flowing",
    "qixianbiao/RNN#2",
    sequence=cut_off,
)
plant_layer(
    "RNN",
    "The gradient of weight_hh takes the hidden state of the step itself, not of the one before",
    "time|step|later|shifted",
    "VikParuchuri/zero_to_gpt#9",
    leaving=one_step_late,
)


@bug("GRU", words="bias_ih|gate n")
def _(run: Run) -> Gradients:
    """The hidden bias gets the gradient of the other one, as if no gate stood before it."""
    hidden = {name: name.replace("_hh", "_ih") for name in run.right.parameters if name.startswith("bias_hh")}
    own = {name: run.right.parameters[other].copy() for name, other in hidden.items()}
    return replace(run.right, parameters={**run.right.parameters, **own})


@bug("GRU", words="output 1|last|all but what the cotangent of output 0")
def _(run: Run) -> Gradients:
    """The gradient of the last hidden state is not taken in."""
    return run.step.backward((run.g[0], None))


@bug("RNNCell", words="tanh|relu|threshold|derivative|times")
def _(run: Run) -> Gradients:
    """The gradient of the input goes past the curve."""
    return run.input(run.g @ run.parameters["weight_ih"])


@bug("LSTMCell", words="another input|input 2|input 1|exchanged")
def _(run: Run) -> Gradients:
    """The gradients of the hidden and the cell state are exchanged."""
    x, *states = run.right.inputs
    return replace(run.right, inputs=(x, *reversed(states)))


@bug("LSTMCell", words="gate")
def _(run: Run) -> Gradients:
    """The rows of the gates stand as i, g, f, o."""

    def mixed(weight: Array) -> Array:
        i, f, g, o = np.split(weight, 4)
        return np.concatenate((i, g, f, o))

    return run.own(weight_ih=mixed, weight_hh=mixed)


@bug("GRUCell", words="gate")
def _(run: Run) -> Gradients:
    """The rows of the gates stand as z, r, n, in the order of Keras."""

    def mixed(weight: Array) -> Array:
        r, z, n = np.split(weight, 3)
        return np.concatenate((z, r, n))

    return run.own(weight_ih=mixed, weight_hh=mixed)


@bug("GRUCell", words="off by|nothing flowing|input 1")
def _(run: Run) -> Gradients:
    """What the update gate hands on does not go back to the old state."""
    if len(run.inputs) == 1:
        return run.right
    own, before = run.parameters, run.inputs[1]
    a = run.x @ own["weight_ih"].T + before @ own["weight_hh"].T
    if run.layer.bias:
        a = a + own["bias_ih"] + own["bias_hh"]
    z = sigmoid(np.split(a, 3, axis=-1)[1])[0]
    dx, dh = run.right.inputs
    return run.input(dx, None if dh is None else dh - run.g * z)
