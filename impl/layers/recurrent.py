"""Recurrent layers: LSTM, on a driver that stacks layers and directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, draws, reject, uniform
from impl.layers.activation import sigmoid, tanh
from impl.layers.dropout import Dropout
from impl.layers.linear import matrix_gradient

__all__ = ["LSTM"]

States: TypeAlias = tuple[Array, ...]
Back: TypeAlias = Callable[[Array, States], tuple[Array, States, dict[str, Array]]]


class _Recurrent(Layer):
    """Runs a cell over time, in one or both directions, layer upon layer, with dropout between the layers.

    A subclass says how many ``gates`` its cell has, names the ``states`` it starts from, and writes ``sequence``.
    """

    gates: ClassVar[int]
    states: ClassVar[tuple[str, ...]]
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int = 0

    def __post_init__(self) -> None:
        for argument in ("input_size", "hidden_size", "num_layers"):
            if getattr(self, argument) < 1:
                raise reject(self, argument, getattr(self, argument), "at least 1")
        if not 0 <= self.dropout <= 1:
            raise reject(self, "dropout", self.dropout, "a probability, 0 to 1")
        if not 0 <= self.proj_size < self.hidden_size:
            raise reject(self, "proj_size", self.proj_size, f"0 to hidden_size - 1 ({self.hidden_size - 1})")

    def sequence(self, weights: Mapping[str, Array], x: Array, states: States) -> tuple[Array, States, Back]:
        """Run the cell forward in time over x ``(T, N, in)``, from states ``(N, size)``.

        Returns the outputs ``(T, N, out)``, the last states, and the function that goes back through time: it
        takes their gradients and returns those of x, of the first states, and of the weights.
        """
        raise TypeError(f"{type(self).__name__} defines no sequence")

    @property
    def _suffixes(self) -> list[list[str]]:
        """What ends the parameters' names: a list per layer, an entry per direction."""
        ways = ("", "_reverse") if self.bidirectional else ("",)
        return [[f"_l{layer}{way}" for way in ways] for layer in range(self.num_layers)]

    @property
    def _sizes(self) -> list[int]:
        """Features of the states; a projection changes the first of them, which is what the cell shows."""
        return [self.proj_size or self.hidden_size, *(self.hidden_size for _ in self.states[1:])]

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {}
        out, rows = self._sizes[0], self.gates * self.hidden_size
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
        turned = self.batch_first and batched
        self._check(parameters, x, first)
        y = x.swapaxes(0, 1) if turned else _add_batch(x, batched)
        ways = len(self._suffixes[0])
        states = [_add_batch(s, batched) for s in first] or [
            np.zeros((self.num_layers * ways, y.shape[1], size), x.dtype) for size in self._sizes
        ]
        dropped: list[Step] = []
        backs: list[Back] = []
        ends: list[States] = []
        for layer, suffixes in enumerate(self._suffixes):
            if layer:
                dropped.append(Dropout(self.dropout).forward({}, y, training=training, noise=noise))
                y = np.asarray(dropped[-1].output)
            outputs = []
            for way, suffix in enumerate(suffixes):
                weights = {n.removesuffix(suffix): a for n, a in parameters.items() if n.endswith(suffix)}
                start = tuple(s[len(backs)] for s in states)
                shown, end, back = self.sequence(weights, _turn(y, way), start)
                outputs.append(_turn(shown, way))
                backs.append(back)
                ends.append(end)
            y = np.concatenate(outputs, axis=-1)
        output = (
            y.swapaxes(0, 1) if turned else _drop_batch(y, batched),
            *(_drop_batch(np.stack(s), batched) for s in zip(*ends)),
        )

        def backward(grads: Sequence[Array | None]) -> Gradients:
            g, *g_states = (np.zeros_like(y) if g is None else g for g, y in zip(grads, output))
            g = g.swapaxes(0, 1) if turned else _add_batch(g, batched)
            g_ends = list(zip(*(_add_batch(s, batched) for s in g_states)))
            g_starts = list(g_ends)
            gradients: dict[str, Array] = {}
            for layer, suffixes in reversed(list(enumerate(self._suffixes))):
                pieces = []
                for way, (suffix, piece) in enumerate(zip(suffixes, np.split(g, ways, axis=-1))):
                    k = layer * ways + way
                    g_x, g_starts[k], own = backs[k](_turn(piece, way), g_ends[k])
                    pieces.append(_turn(g_x, way))
                    gradients |= {name + suffix: gradient for name, gradient in own.items()}
                g = sum(pieces[1:], pieces[0])
                if layer:
                    g = np.asarray(dropped[layer - 1].backward(g).inputs[0])
            g_first = (_drop_batch(np.stack(s), batched) for s in zip(*g_starts)) if first else ()
            return Gradients((g.swapaxes(0, 1) if turned else _drop_batch(g, batched), *g_first), gradients)

        return Step(output, backward)

    def _check(self, parameters: Mapping[str, Array], x: Array, first: States) -> None:
        time = 1 if self.batch_first and x.ndim == 3 else 0
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size or x.shape[time] == 0:
            layout = "N, T" if self.batch_first else "T, N"
            wanted = f"({layout}, {self.input_size}) or (T, {self.input_size}), T at least 1"
            raise reject(self, "the shape of its input", x.shape, wanted)
        for name, shape in self.parameter_shapes.items():
            check_shape(self, name, parameters[name], shape)
        if len(first) not in (0, len(self.states)):
            raise reject(self, "the number of its first states", len(first), f"0 or {len(self.states)}")
        batch = (x.shape[1 - time],) if x.ndim == 3 else ()
        for name, state, size in zip(self.states, first, self._sizes):
            check_shape(self, name, state, (self.num_layers * len(self._suffixes[0]), *batch, size))


def _turn(x: Array, way: int) -> Array:
    """Reverse time for the second direction, which reads from the end."""
    return x[::-1] if way else x


def _add_batch(x: Array, batched: bool) -> Array:
    return x if batched else x[:, None]


def _drop_batch(x: Array, batched: bool) -> Array:
    return x if batched else x[:, 0]


@dataclass(frozen=True, eq=False)
class LSTM(_Recurrent):
    """Long short-term memory: gates decide what a cell takes in, forgets and shows.

    With ``a = W_ih x_t + b_ih + W_hh h_(t-1) + b_hh`` cut into four::

        i, f, g, o = sigmoid(a_i), sigmoid(a_f), tanh(a_g), sigmoid(a_o)
        c_t = f c_(t-1) + i g;   m = o tanh(c_t);   h_t = m, or W_hr m with a projection

    Backward goes through time in reverse, with ``dh = dE/dh_t`` and ``dc = dE/dc_t`` carried along::

        dm = dh, or W_hr^T dh;   dc += dm o (1 - tanh(c_t)^2)
        da = (dc g i(1-i), dc c_(t-1) f(1-f), dc i (1-g^2), dm tanh(c_t) o(1-o))
        dc_(t-1) = dc f;   dh_(t-1) = W_hh^T da + what arrives from above
        dx_t = W_ih^T da;   dW_ih = sum_t da x_t^T;   dW_hh = sum_t da h_(t-1)^T;   db = sum_t da

    Shapes: x ``(T, N, input_size)``, with batch_first ``(N, T, input_size)``, unbatched ``(T, input_size)``;
    h_0 ``(num_layers D, N, H)`` and c_0 ``(num_layers D, N, hidden_size)``, zero if not given, with D directions and
    H = proj_size or hidden_size. Output: y as x with D H features, h_n as h_0, c_n as c_0. Noise: ``(T, N, D H)``
    for every layer but the last, time first in any case.

    Source: Hochreiter and Schmidhuber, Neural Computation 9 (1997); Gers, Schmidhuber and Cummins, Neural
    Computation 12 (2000), for f; Sak, Senior and Beaufays, Interspeech (2014), for W_hr.
    """

    gates: ClassVar[int] = 4
    states: ClassVar[tuple[str, ...]] = ("h_0", "c_0")
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
        kept = []
        for a_x in arriving:
            a = (a_x + h @ w_hh.T).reshape(len(h), 4, self.hidden_size)
            s, slope = sigmoid(a)
            g, slope[:, 2] = tanh(a[:, 2])
            i, f, o = s[:, 0], s[:, 1], s[:, 3]
            before, c = (h, c), f * c + i * g
            shown, shown_slope = tanh(c)
            m = o * shown
            h = m if w_hr is None else m @ w_hr.T
            kept.append((i, f, g, o, slope, *before, shown, shown_slope, m, h))
        *most, ys = (np.stack(step) for step in zip(*kept))

        def back(g_y: Array, g_end: States) -> tuple[Array, States, dict[str, Array]]:
            i, f, g, o, slope, h_before, c_before, shown, shown_slope, m = most
            from_c = slope[:, :, :3] * np.stack((g, c_before, i), axis=2)
            from_m, m_to_c = slope[:, :, 3] * shown, o * shown_slope
            da, dhs = np.empty_like(slope), np.empty_like(ys)
            rows = da.reshape(arriving.shape)  # the same memory
            dh, dc = g_end
            for t in reversed(range(len(ys))):
                dhs[t] = dh = dh + g_y[t]
                dm = dh if w_hr is None else dh @ w_hr
                dc = dc + dm * m_to_c[t]
                da[t, :, :3], da[t, :, 3] = from_c[t] * dc[:, None], from_m[t] * dm
                dc = dc * f[t]
                dh = rows[t] @ w_hh
            gradients = {"weight_ih": matrix_gradient(rows, x), "weight_hh": matrix_gradient(rows, h_before)}
            if self.bias:
                gradients |= {name: rows.sum(axis=(0, 1)) for name in ("bias_ih", "bias_hh")}
            if w_hr is not None:
                gradients["weight_hr"] = matrix_gradient(dhs, m)
            return rows @ w_ih, (dh, dc), gradients

        return ys, (h, c), back
