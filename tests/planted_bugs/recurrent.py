"""Mistakes in the LSTM, mostly where gradients are carried through time."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from backproof import NumPyImplementation
from impl.layer import Array, Gradients
from impl.layers import LAYERS
from impl.layers.activation import sigmoid, tanh
from impl.layers.linear import matrix_gradient

from .planting import Bug, Run, bug, plant


@bug("LSTM", words="output 2|last (cell )?state|c_n", source="deeplearning4j/deeplearning4j#8838")
def _(run: Run) -> Gradients:
    """The gradient of the last cell state is not taken in."""
    output, hidden, _ = run.g
    return run.step.backward((output, hidden, None))


@bug("LSTM", words="gate", source="hanbt/learn_dl#53")
def _(run: Run) -> Gradients:
    """The biases of the input and the output gate get the gradient of the forget gate's."""

    def forgetful(b: Array) -> Array:
        _, f, g, _ = np.split(b, 4)
        return np.concatenate((f, f, g, f))

    return run.own(**{name: forgetful for name in run.parameters if name.startswith("bias")})


def wrong_sequence(mistake: str) -> type:
    """Return the LSTM with its pass through time written anew, with one mistake in it."""
    right: Any = LAYERS["LSTM"]

    def sequence(self: Any, weights: Mapping[str, Array], x: Array, states: tuple[Array, ...]) -> Any:
        ys, ends, right_back = right.sequence(self, weights, x, states)
        if self.proj_size:
            return ys, ends, right_back
        h, c = states
        w_ih, w_hh = weights["weight_ih"], weights["weight_hh"]
        bias = weights["bias_ih"] + weights["bias_hh"] if self.bias else 0
        kept = []
        for x_t, y in zip(x, ys):
            i, f, g, o = np.split(x_t @ w_ih.T + h @ w_hh.T + bias, 4, axis=-1)
            i, f, g, o = sigmoid(i)[0], sigmoid(f)[0], tanh(g)[0], sigmoid(o)[0]
            kept.append((i, f, g, o, c, h))
            c, h = f * c + i * g, y

        def back(g_y: Array, g_end: tuple[Array, ...]) -> Any:
            (dh, dc), cell = g_end, c
            rows = []
            for t in reversed(range(len(ys))):
                i, f, g, o, before, _ = kept[t]
                dh = dh + g_y[t]
                shown = np.tanh(cell)
                through = dh * o * (1 - shown**2)
                dc = through if mistake == "overwritten" else dc + through
                slope = sigmoid(f)[0] if mistake == "slope" else f * (1 - f)
                da = (dc * g * i * (1 - i), dc * before * slope, dc * i * (1 - g**2), dh * shown * o * (1 - o))
                rows.append(np.concatenate(da, axis=-1))
                dc, dh, cell = dc * f, rows[-1] @ w_hh, before
                if mistake == "carry":
                    dc, dh = np.zeros_like(dc), np.zeros_like(dh)
            a = np.stack(rows[::-1])
            own = {"weight_ih": matrix_gradient(a, x), "weight_hh": matrix_gradient(a, np.stack([k[-1] for k in kept]))}
            if self.bias:
                own |= {name: a.sum(axis=(0, 1)) for name in ("bias_ih", "bias_hh")}
            return lambda: a @ w_ih, (dh, dc), own

        return ys, ends, back

    return type("LSTM", (right,), {"sequence": sequence})


def plant_sequence(mistake: str, name: str, words: str, source: str) -> None:
    """Register an LSTM with that mistake in its pass through time."""
    layer = wrong_sequence(mistake)
    plant(Bug(f"LSTM: {name}", ("LSTM",), "LSTM", words, source, "layer", lambda: NumPyImplementation({"LSTM": layer})))


plant_sequence(
    "slope", "The forget gate's derivative is the sigmoid of the gate", "gate", "CaptainE/RNN-LSTM-in-numpy#2"
)
plant_sequence(
    "carry", "Nothing is carried back to the step before", "time|carried|step", "CaptainE/RNN-LSTM-in-numpy#1"
)
plant_sequence(
    "overwritten",
    "The cell's gradient is overwritten at every step, not added to",
    "time|cell|carried",
    "apache/mxnet#4057",
)
