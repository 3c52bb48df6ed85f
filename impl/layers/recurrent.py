"""Recurrent layers: LSTM, on a driver that stacks layers and directions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, draws, reject, uniform
from impl.layers.activation import sigmoid
from impl.layers.dropout import Dropout
from impl.layers.linear import matrix_gradient

__all__ = ["LSTM"]

States: TypeAlias = tuple[Array, ...]
Back: TypeAlias = Callable[[Array, States], tuple[Array, States, dict[str, Array]]]


class _Recurrent(Layer):
    """Runs a cell over time, in one or both directions, layer upon layer, with dropout between the layers.

    A subclass says how many ``gates`` its cell has, how many ``states`` it hands on, and writes ``sequence``.
    """

    gates: ClassVar[int]
    states: ClassVar[int]
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int

    def __post_init__(self) -> None:
        for argument in ("hidden_size", "num_layers"):
            if getattr(self, argument) < 1:
                raise reject(self, argument, getattr(self, argument), "at least 1")
        if not 0 <= self.dropout <= 1:
            raise reject(self, "dropout", self.dropout, "a probability, 0 to 1")
        if not 0 <= self.proj_size < self.hidden_size:
            raise reject(self, "proj_size", self.proj_size, f"0 or less than hidden_size ({self.hidden_size})")

    @abstractmethod
    def sequence(self, weights: Mapping[str, Array], x: Array, states: States) -> tuple[Array, States, Back]:
        """Run the cell forward in time over x ``(T, N, in)``, from states ``(N, size)``.

        Returns the outputs ``(T, N, out)``, the last states, and the function that goes back through time: it takes
        their gradients and returns those of x, of the first states, and of the weights.
        """

    @property
    def _suffixes(self) -> list[list[str]]:
        ways = ("", "_reverse") if self.bidirectional else ("",)
        return [[f"_l{layer}{way}" for way in ways] for layer in range(self.num_layers)]

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {}
        out, rows = self.proj_size or self.hidden_size, self.gates * self.hidden_size
        for layer, suffixes in enumerate(self._suffixes):
            for suffix in suffixes:
                width = len(suffixes) * out if layer else self.input_size
                shapes |= {f"weight_ih{suffix}": (rows, width), f"weight_hh{suffix}": (rows, out)}
                if self.bias:
                    shapes |= {f"bias_ih{suffix}": (rows,), f"bias_hh{suffix}": (rows,)}
                if self.proj_size:
                    shapes[f"weight_hr{suffix}"] = (self.proj_size, self.hidden_size)
        return shapes

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        bound = self.hidden_size**-0.5
        return {name: uniform(rng, bound, shape, dtype) for name, shape in self.parameter_shapes.items()}

    def forward(
        self,
        parameters: Mapping[str, Array],
        x: Array,
        *first: Array,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        """Run all layers. The first states are zero unless all of them are given."""
        batched, noise = x.ndim == 3, draws(noise)
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size or x.shape[self._time(batched)] == 0:
            raise reject(self, "the shape of its input", x.shape, f"([N,] T, {self.input_size}), T at least 1")
        for name, shape in self.parameter_shapes.items():
            check_shape(self, name, parameters[name], shape)
        layer_input = self._time_major(x, batched)
        suffixes = [suffix for level in self._suffixes for suffix in level]
        ways = len(self._suffixes[0])
        starts = self._starts(first, len(suffixes), layer_input, batched)
        backs: list[Back] = []
        ends: list[States] = []
        between: list[Step] = []
        for level in self._suffixes:
            outputs = []
            for way, suffix in enumerate(level):
                weights = {n.removesuffix(suffix): a for n, a in parameters.items() if n.endswith(suffix)}
                y, end, back = self.sequence(weights, _turned(layer_input, way), starts[len(backs)])
                outputs.append(_turned(y, way))
                backs.append(back)
                ends.append(end)
            layer_input = np.concatenate(outputs, axis=-1)
            if level is not self._suffixes[-1] and len(backs) < len(suffixes):
                between.append(Dropout(self.dropout).forward({}, layer_input, training=training, noise=noise))
                layer_input = np.asarray(between[-1].output)
        last = tuple(np.stack(states) for states in zip(*ends))
        output = (
            self._time_major(layer_input, batched, back=True),
            *(s if batched else s[:, 0] for s in last),
        )

        def backward(grads: Sequence[Array | None]) -> Gradients:
            g, *g_last = (np.zeros_like(y) if g is None else g for g, y in zip(grads, output))
            g = self._time_major(g, batched)
            g_states = [s if batched else s[:, None] for s in g_last]
            g_first: list[States] = [()] * len(suffixes)
            gradients: dict[str, Array] = {}
            for level in reversed(range(self.num_layers)):
                if level < self.num_layers - 1:
                    g = np.asarray(between[level].backward(g).inputs[0])
                pieces = []
                for way, piece in enumerate(np.split(g, ways, axis=-1)):
                    k = level * ways + way
                    g_x, g_first[k], own = backs[k](_turned(piece, way), tuple(s[k] for s in g_states))
                    pieces.append(_turned(g_x, way))
                    gradients |= {name + suffixes[k]: gradient for name, gradient in own.items()}
                g = sum(pieces[1:], pieces[0])
            g_starts = (np.stack(states) for states in zip(*g_first)) if first else ()
            return Gradients(
                (
                    self._time_major(g, batched, back=True),
                    *(s if batched else s[:, 0] for s in g_starts),
                ),
                gradients,
            )

        return Step(output, backward)

    def _time(self, batched: bool) -> int:
        return 1 if batched and self.batch_first else 0

    def _time_major(self, x: Array, batched: bool, back: bool = False) -> Array:
        """Bring x to (T, N, features), or back to how it came."""
        if not batched:
            return x[:, 0] if back else x[:, None]
        return x.swapaxes(0, 1) if self.batch_first else x

    def _starts(self, first: States, count: int, x: Array, batched: bool) -> list[States]:
        sizes = (self.proj_size or self.hidden_size, *(self.hidden_size,) * (self.states - 1))
        if not first:
            first = tuple(np.zeros((count, x.shape[1], size), x.dtype) for size in sizes)
        elif len(first) != self.states:
            raise reject(self, "the number of its first states", len(first), f"0 or {self.states}")
        else:
            for name, state, size in zip(("h_0", "c_0"), first, sizes):
                check_shape(self, name, state, (count, x.shape[1], size) if batched else (count, size))
            first = tuple(s if batched else s[:, None] for s in first)
        return list(zip(*first))


def _turned(x: Array, way: int) -> Array:
    """Reverse the time of the second direction."""
    return x[::-1] if way else x


@dataclass(frozen=True, eq=False)
class LSTM(_Recurrent):
    """Long short-term memory: gates decide what a cell forgets, takes in and shows.

    With ``a_t = W_ih x_t + b_ih + W_hh h_(t-1) + b_hh`` cut into four::

        i, f, o = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o);   g = tanh(a_g)
        c_t = f c_(t-1) + i g;   m = o tanh(c_t);   h_t = m, or W_hr m with a projection

    Backward goes through time in reverse and carries dE/dh and dE/dc along::

        dm = dh, or W_hr^T dh;   dc += dm o (1 - tanh(c_t)^2)
        da = (dc g i(1-i), dc c_(t-1) f(1-f), dc i (1-g^2), dm tanh(c_t) o(1-o))
        dc_(t-1) = dc f;   dh_(t-1) = W_hh^T da;   dx_t = W_ih^T da;   dW_ih = sum da x_t^T ...

    Shapes: x ``(T, N, input_size)``, ``(N, T, input_size)`` with batch_first, or ``(T, input_size)``; h_0 ``(layers *
    directions, N, proj_size or hidden_size)``, c_0 ``(..., hidden_size)``, zero if not given. Output: y as x with
    ``directions * (proj_size or hidden_size)`` features, h_n, c_n. Dropout takes noise of the time-major shape.

    Source: Hochreiter and Schmidhuber, Neural Computation 9 (1997); Gers et al. (2000) for f; Sak et al. (2014) for
    W_hr.
    """

    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2
    input_size: int
    hidden_size: int
    num_layers: int = 1
    bias: bool = True
    batch_first: bool = False
    dropout: float = 0.0
    bidirectional: bool = False
    proj_size: int = 0

    def sequence(self, weights: Mapping[str, Array], x: Array, states: States) -> tuple[Array, States, Back]:
        h, c = states
        w_ih, w_hh, w_hr = weights["weight_ih"], weights["weight_hh"], weights.get("weight_hr")
        arriving = x @ w_ih.T
        if self.bias:
            arriving = arriving + (weights["bias_ih"] + weights["bias_hh"])
        kept, before, ys = [], [], []
        for a_x in arriving:
            a = a_x + h @ w_hh.T
            s, slope = sigmoid(a)
            i, f, _, o = np.split(s, 4, axis=-1)
            g = np.tanh(np.split(a, 4, axis=-1)[2])
            np.split(slope, 4, axis=-1)[2][...] = 1 - g * g
            before.append(h)
            c, c_before = f * c + i * g, c
            shown = np.tanh(c)
            m = o * shown
            h = m if w_hr is None else m @ w_hr.T
            kept.append((i, f, g, o, c_before, shown, slope, m))
            ys.append(h)

        def back(g_y: Array, g_states: States) -> tuple[Array, States, dict[str, Array]]:
            dh, dc = g_states
            das, dhs = [], []
            for g_h, (i, f, g, o, c_before, shown, slope, _) in zip(g_y[::-1], reversed(kept)):
                dh = dh + g_h
                dhs.append(dh)
                dm = dh if w_hr is None else dh @ w_hr
                dc = dc + dm * o * (1 - shown * shown)
                da = np.concatenate((dc * g, dc * c_before, dc * i, dm * shown), axis=-1) * slope
                das.append(da)
                dc = dc * f
                dh = da @ w_hh
            da = np.stack(das[::-1])
            gradients = {
                "weight_ih": matrix_gradient(da, x),
                "weight_hh": matrix_gradient(da, np.stack(before)),
            }
            if self.bias:
                gradients |= {name: da.sum(axis=(0, 1)) for name in ("bias_ih", "bias_hh")}
            if w_hr is not None:
                gradients["weight_hr"] = matrix_gradient(np.stack(dhs[::-1]), np.stack([m for *_, m in kept]))
            return da @ w_ih, (dh, dc), gradients

        return np.stack(ys), (h, c), back
