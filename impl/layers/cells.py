"""Recurrent cells: a single step (RNNCell, LSTMCell, GRUCell), and the run through time of the sequence layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from impl.init import all_uniform
from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, reject
from impl.layers.activation import sigmoid, tanh
from impl.layers.linear import matrix_gradient

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]

States: TypeAlias = tuple[Array, ...]
Back: TypeAlias = Callable[[Array, States], tuple[Array, States, dict[str, Array]]]


class Recurrence(Layer):
    """A cell over time. A subclass says how many ``gates`` it has, names its ``states``, and writes ``sequence``."""

    gates: ClassVar[int]
    states: ClassVar[tuple[str, ...]]
    input_size: int
    hidden_size: int
    bias: bool

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        bound = self.hidden_size**-0.5 if self.hidden_size else 0.0
        return all_uniform(self, rng, bound, dtype=dtype)

    def sequence(self, weights: Mapping[str, Array], x: Array, states: States) -> tuple[Array, States, Back]:
        """Run the cell forward in time over x ``(T, N, in)``, from states ``(N, size)``.

        Returns the outputs ``(T, N, out)``, the last states, and the function that goes back through time: it
        takes their gradients and returns those of x, of the first states, and of the weights.
        """
        raise TypeError(f"{type(self).__name__} defines no sequence")

    def branches(self, outputs: Array) -> tuple[Array, ...]:
        """Return who won in a run through time, which its outputs tell."""
        return ()

    def arriving(self, weights: Mapping[str, Array], x: Array, *biases: str) -> Array:
        """Return what arrives from below, at all times at once: ``W_ih x_t`` and the biases."""
        a = x @ weights["weight_ih"].T
        return a + sum(weights[name] for name in biases) if self.bias else a

    def leaving(
        self, weights: Mapping[str, Array], x: Array, before: Array, rows: Array, hidden_rows: Array
    ) -> tuple[Array, dict[str, Array]]:
        """Return the gradients of x and of the weights, from those of ``W_ih x_t`` and ``W_hh h_(t-1)`` at any time."""
        gradients = {"weight_ih": matrix_gradient(rows, x), "weight_hh": matrix_gradient(hidden_rows, before)}
        if self.bias:
            gradients |= {"bias_ih": rows.sum(axis=(0, 1)), "bias_hh": hidden_rows.sum(axis=(0, 1))}
        return rows @ weights["weight_ih"].conj(), gradients


class Elman(Recurrence):
    """The plain recurrence of RNN and RNNCell."""

    gates: ClassVar[int] = 1
    states: ClassVar[tuple[str, ...]] = ("h_0",)
    nonlinearity: str

    def check_nonlinearity(self) -> None:
        """Raise ValueError unless there is such a curve."""
        if self.nonlinearity not in _CURVES:
            raise reject(self, "nonlinearity", self.nonlinearity, "'tanh' or 'relu'")

    def branches(self, outputs: Array) -> tuple[Array, ...]:
        return (outputs.real > 0,) if self.nonlinearity == "relu" else ()

    def sequence(self, weights: Mapping[str, Array], x: Array, states: States) -> tuple[Array, States, Back]:
        (h,), w_hh, curve = states, weights["weight_hh"], _CURVES[self.nonlinearity]
        kept = []
        for a in self.arriving(weights, x, "bias_ih", "bias_hh"):
            before = h
            h, slope = curve(a + h @ w_hh.T)
            kept.append((before, slope, h))
        befores, slopes, ys = (np.stack(step) for step in zip(*kept))

        def back(g_y: Array, g_end: States) -> tuple[Array, States, dict[str, Array]]:
            (dh,), rows = g_end, np.empty_like(ys)
            for t in reversed(range(len(ys))):
                rows[t] = (dh + g_y[t]) * slopes[t].conj()
                dh = rows[t] @ w_hh.conj()
            g_x, own = self.leaving(weights, x, befores, rows, rows)
            return g_x, (dh,), own

        return ys, (h,), back


class LongShortTerm(Recurrence):
    """The recurrence of LSTM and LSTMCell."""

    holomorphic: ClassVar[bool] = True

    gates: ClassVar[int] = 4
    states: ClassVar[tuple[str, ...]] = ("h_0", "c_0")

    def sequence(self, weights: Mapping[str, Array], x: Array, states: States) -> tuple[Array, States, Back]:
        h, c = states
        w_hh, w_hr = weights["weight_hh"], weights.get("weight_hr")
        kept = []
        for a_x in self.arriving(weights, x, "bias_ih", "bias_hh"):
            a = (a_x + h @ w_hh.T).reshape(len(h), 4, self.hidden_size)
            s, slope = sigmoid(a)
            g, slope[:, 2] = tanh(a[:, 2])
            i, f, o = s[:, 0], s[:, 1], s[:, 3]
            h_before, c_before, c = h, c, f * c + i * g
            shown, shown_slope = tanh(c)
            m = o * shown
            h = m if w_hr is None else m @ w_hr.T
            kept.append((i, f, g, o, slope, shown, shown_slope, c_before, h_before, m, h))
        *most, h_before, m, ys = (np.stack(step) for step in zip(*kept))

        def back(g_y: Array, g_end: States) -> tuple[Array, States, dict[str, Array]]:
            i, f, g, o, slope, shown, shown_slope, c_before = (a.conj() for a in most)
            from_c = slope[:, :, :3] * np.stack((g, c_before, i), axis=2)
            from_m, m_to_c = slope[:, :, 3] * shown, o * shown_slope
            da, dhs = np.empty_like(slope), np.empty_like(ys)
            rows = da.reshape(*x.shape[:2], 4 * self.hidden_size)  # the same memory
            dh, dc = g_end
            for t in reversed(range(len(ys))):
                dhs[t] = dh = dh + g_y[t]
                dm = dh if w_hr is None else dh @ w_hr.conj()
                dc = dc + dm * m_to_c[t]
                da[t, :, :3], da[t, :, 3] = from_c[t] * dc[:, None], from_m[t] * dm
                dc = dc * f[t]
                dh = rows[t] @ w_hh.conj()
            g_x, own = self.leaving(weights, x, h_before, rows, rows)
            if w_hr is not None:
                own["weight_hr"] = matrix_gradient(dhs, m)
            return g_x, (dh, dc), own

        return ys, (h, c), back


class Gated(Recurrence):
    """The recurrence of GRU and GRUCell."""

    holomorphic: ClassVar[bool] = True

    gates: ClassVar[int] = 3
    states: ClassVar[tuple[str, ...]] = ("h_0",)

    def sequence(self, weights: Mapping[str, Array], x: Array, states: States) -> tuple[Array, States, Back]:
        (h,), w_hh = states, weights["weight_hh"]
        b_hh = weights["bias_hh"] if self.bias else 0
        kept = []
        for row in self.arriving(weights, x, "bias_ih"):
            a_x, a_h = (a.reshape(len(h), 3, self.hidden_size) for a in (row, h @ w_hh.T + b_hh))
            s, slope = sigmoid(a_x[:, :2] + a_h[:, :2])
            r, z = s[:, 0], s[:, 1]
            n, n_slope = tanh(a_x[:, 2] + r * a_h[:, 2])
            before, h = h, n + z * (h - n)
            kept.append((r, z, n, slope, n_slope, a_h[:, 2], before, h))
        *most, before, ys = (np.stack(step) for step in zip(*kept))

        def back(g_y: Array, g_end: States) -> tuple[Array, States, dict[str, Array]]:
            r, z, n, slope, n_slope, recalled = (a.conj() for a in most)
            to_n, n_to_r, to_z = (1 - z) * n_slope, recalled * slope[:, :, 0], (before.conj() - n) * slope[:, :, 1]
            da, da_h = np.empty((2, *z.shape[:2], 3, self.hidden_size), ys.dtype)
            rows, hidden_rows = (a.reshape(*x.shape[:2], 3 * self.hidden_size) for a in (da, da_h))  # the same memory
            (dh,) = g_end
            for t in reversed(range(len(ys))):
                dh = dh + g_y[t]
                da[t, :, 2] = dh * to_n[t]
                da[t, :, 0], da[t, :, 1] = da[t, :, 2] * n_to_r[t], dh * to_z[t]
                da_h[t, :, :2], da_h[t, :, 2] = da[t, :, :2], da[t, :, 2] * r[t]
                dh = dh * z[t] + hidden_rows[t] @ w_hh.conj()
            g_x, own = self.leaving(weights, x, before, rows, hidden_rows)
            return g_x, (dh,), own

        return ys, (h,), back


class _Cell(Recurrence):
    """One step of a recurrence: a sequence of a single one."""

    def __post_init__(self) -> None:
        for argument in ("input_size", "hidden_size"):
            if getattr(self, argument) < 0:
                raise reject(self, argument, getattr(self, argument), "at least 0")

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        rows = self.gates * self.hidden_size
        shapes: dict[str, Shape] = {"weight_ih": (rows, self.input_size), "weight_hh": (rows, self.hidden_size)}
        return shapes | ({"bias_ih": (rows,), "bias_hh": (rows,)} if self.bias else {})

    def forward(
        self, parameters: Mapping[str, Array], x: Array, *first: Array, training: bool = True, noise: Noise = None
    ) -> Step:
        """Take one step. The states are zero unless all of them are given."""
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise reject(self, "the shape of its input", x.shape, f"(N, {self.input_size}) or ({self.input_size})")
        for name, shape in self.parameter_shapes.items():
            check_shape(self, name, parameters[name], shape)
        if len(first) not in (0, len(self.states)):
            raise reject(self, "the number of its states", len(first), f"0 or {len(self.states)}")
        wanted = (*x.shape[:-1], self.hidden_size)
        for name, state in zip(self.states, first):
            check_shape(self, name, state, wanted)
        states = tuple(_with_axes(s, 2) for s in first or [np.zeros(wanted, x.dtype) for _ in self.states])
        ys, ends, back = self.sequence(parameters, _with_axes(x, 3), states)
        output = tuple(end.reshape(wanted) for end in ends)

        def backward(g: Array | Sequence[Array | None]) -> Gradients:
            grads = g if isinstance(g, Sequence) else (g,)
            given = (np.zeros_like(y) if g is None else g for g, y in zip(grads, output))
            g_x, g_first, own = back(np.zeros_like(ys), tuple(_with_axes(g, 2) for g in given))
            return Gradients((g_x.reshape(x.shape), *(g.reshape(wanted) for g in g_first if first)), own)

        return Step(output if len(output) > 1 else output[0], backward, branches=self.branches(ys))


def _with_axes(x: Array, rank: int) -> Array:
    """Put axes of size 1 in front: a single time, a batch of one."""
    return x.reshape(*(1,) * (rank - x.ndim), *x.shape)


def _relu(a: Array) -> tuple[Array, Array]:
    off = a.real <= 0
    return np.where(off, 0, a), np.where(off, 0, np.ones_like(a))


_CURVES: Mapping[str, Callable[[Array], tuple[Array, Array]]] = {"tanh": tanh, "relu": _relu}


@dataclass(frozen=True, eq=False)
class RNNCell(_Cell, Elman):
    """One step of a plain recurrent network: ``h' = f(W_ih x + b_ih + W_hh h + b_hh)``, f tanh or relu.

    Backward, with ``da = g f'`` (0 where relu is given 0): ``dE/dx = W_ih^T da``, ``dE/dh = W_hh^T da``,
    ``dE/dW_ih = sum da x^T``, ``dE/dW_hh = sum da h^T``, and ``sum da`` for both biases.

    Shapes: x ``(N, input_size)`` or ``(input_size)``; h, zero if not given, and h' ``(N, hidden_size)``.

    Source: Elman, Cognitive Science 14 (1990).
    """

    input_size: int
    hidden_size: int
    bias: bool = True
    nonlinearity: str = "tanh"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_nonlinearity()


@dataclass(frozen=True, eq=False)
class LSTMCell(_Cell, LongShortTerm):
    """One step of an :class:`~impl.layers.recurrent.LSTM` layer, whose equations hold: x, h and c lead to h' and c'.

    Shapes: x ``(N, input_size)`` or ``(input_size)``; h and c, zero if not given, and both outputs
    ``(N, hidden_size)``.

    Source: Hochreiter and Schmidhuber, Neural Computation 9 (1997).
    """

    input_size: int
    hidden_size: int
    bias: bool = True


@dataclass(frozen=True, eq=False)
class GRUCell(_Cell, Gated):
    """One step of a :class:`~impl.layers.recurrent.GRU` layer, whose equations hold: x and h lead to h'.

    Shapes: x ``(N, input_size)`` or ``(input_size)``; h, zero if not given, and h' ``(N, hidden_size)``.

    Source: Cho et al., EMNLP (2014).
    """

    input_size: int
    hidden_size: int
    bias: bool = True
