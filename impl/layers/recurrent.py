"""Recurrent layers: RNN, LSTM and GRU, on a driver that stacks layers and directions of a cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from impl.layer import Array, Gradients, Noise, Shape, Step, check_shape, draws, reject
from impl.layers.cells import Back, Below, Elman, Gated, LongShortTerm, Recurrence, States
from impl.layers.dropout import Dropout

__all__ = ["GRU", "LSTM", "RNN"]


class _Recurrent(Recurrence):
    """Runs a cell over time, in one or both directions, layer upon layer, with dropout between the layers."""

    num_layers: int
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
        branches: list[Array] = []
        for layer, suffixes in enumerate(self._suffixes):
            if layer:
                dropped.append(Dropout(self.dropout).forward({}, y, training=training, noise=noise))
                y = cast(Array, dropped[-1].output)
            outputs = []
            for way, suffix in enumerate(suffixes):
                weights = {n.removesuffix(suffix): a for n, a in parameters.items() if n.endswith(suffix)}
                start = tuple(s[len(backs)] for s in states)
                shown, end, back = self.sequence(weights, _turn(y, way), start)
                outputs.append(_turn(shown, way))
                backs.append(back)
                ends.append(end)
                branches += self.branches(shown)
            y = np.concatenate(outputs, axis=-1) if self.bidirectional else outputs[0]
        output = (
            y.swapaxes(0, 1) if turned else _drop_batch(y, batched),
            *(_drop_batch(np.stack(s), batched) for s in zip(*ends)),
        )

        def through(grads: Sequence[Array | None]) -> tuple[list[Below], list[States], dict[str, Array]]:
            g, *g_states = (np.zeros_like(y) if g is None else g for g, y in zip(grads, output))
            g = g.swapaxes(0, 1) if turned else _add_batch(g, batched)
            g_starts = list(zip(*(_add_batch(s, batched) for s in g_states)))
            gradients: dict[str, Array] = {}
            belows: list[Below] = []
            for layer, suffixes in reversed(list(enumerate(self._suffixes))):
                if belows:
                    g = np.asarray(dropped[layer].backward(_sum_of_ways(belows)).inputs[0])
                    belows = []
                for way, (suffix, piece) in enumerate(zip(suffixes, np.split(g, ways, axis=-1))):
                    k = layer * ways + way
                    below, g_starts[k], own = backs[k](_turn(piece, way), g_starts[k])
                    belows.append(below)
                    gradients |= {name + suffix: gradient for name, gradient in own.items()}
            return belows, g_starts, gradients

        def backward(grads: Sequence[Array | None]) -> Gradients:
            belows, g_starts, own = through(grads)
            g = _sum_of_ways(belows)
            g_first = (_drop_batch(np.stack(s), batched) for s in zip(*g_starts)) if first else ()
            return Gradients((g.swapaxes(0, 1) if turned else _drop_batch(g, batched), *g_first), own)

        return Step(output, backward, branches=tuple(branches), parameters_only=lambda grads: through(grads)[2])

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


def _sum_of_ways(belows: Sequence[Below]) -> Array:
    """Add up what the directions send back to what they read."""
    forwards, *backwards = (_turn(below(), way) for way, below in enumerate(belows))
    return sum(backwards, forwards)


def _add_batch(x: Array, batched: bool) -> Array:
    return x if batched else x[:, None]


def _drop_batch(x: Array, batched: bool) -> Array:
    return x if batched else x[:, 0]


@dataclass(frozen=True, eq=False)
class RNN(_Recurrent, Elman):
    """A plain recurrent network: ``h_t = f(a_t)``, ``a_t = W_ih x_t + b_ih + W_hh h_(t-1) + b_hh``, f tanh or relu.

    Backward goes through time in reverse, with ``dh = dE/dh_t`` carried along::

        da = dh f'(a_t), where relu has the slope 0 at 0
        dh_(t-1) = W_hh^T da + what arrives from above
        dx_t = W_ih^T da;   dW_ih = sum_t da x_t^T;   dW_hh = sum_t da h_(t-1)^T;   db = sum_t da

    Shapes: x ``(T, N, input_size)``, with batch_first ``(N, T, input_size)``, unbatched ``(T, input_size)``;
    h_0 ``(num_layers D, N, hidden_size)``, zero if not given, with D directions. Output: y as x with D hidden_size
    features, h_n as h_0. Noise: ``(T, N, D hidden_size)`` for every layer but the last, time first in any case.

    Source: Elman, Cognitive Science 14 (1990); Werbos, Proceedings of the IEEE 78 (1990), for the way back.
    """

    input_size: int
    hidden_size: int
    num_layers: int = 1
    nonlinearity: str = "tanh"
    bias: bool = True
    batch_first: bool = False
    dropout: float = 0.0
    bidirectional: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_nonlinearity()


@dataclass(frozen=True, eq=False)
class LSTM(_Recurrent, LongShortTerm):
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

    input_size: int
    hidden_size: int
    num_layers: int = 1
    bias: bool = True
    batch_first: bool = False
    dropout: float = 0.0
    bidirectional: bool = False
    proj_size: int = 0


@dataclass(frozen=True, eq=False)
class GRU(_Recurrent, Gated):
    """Gated recurrent unit: one gate says what the new state recalls, another how much of the old one stays.

    With ``a = W_ih x_t + b_ih`` and ``u = W_hh h_(t-1) + b_hh``, both cut into three::

        r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z);   n = tanh(a_n + r u_n)
        h_t = n + z (h_(t-1) - n)

    Backward goes through time in reverse, with ``dh = dE/dh_t`` carried along::

        da_n = dh (1 - z) (1 - n^2);   da_r = da_n u_n r(1-r);   da_z = dh (h_(t-1) - n) z(1-z)
        du = (da_r, da_z, da_n r);   dh_(t-1) = dh z + W_hh^T du + what arrives from above
        dx_t = W_ih^T da;   dW_ih = sum_t da x_t^T;   dW_hh = sum_t du h_(t-1)^T;   db_ih = sum_t da;   db_hh = sum_t du

    Shapes: as :class:`RNN`.

    Source: Cho et al., EMNLP (2014), eq. 5-8, with r behind the matrix as in cuDNN.
    """

    input_size: int
    hidden_size: int
    num_layers: int = 1
    bias: bool = True
    batch_first: bool = False
    dropout: float = 0.0
    bidirectional: bool = False
