"""Recurrent cells: a single step (RNNCell, LSTMCell, GRUCell), and the run through time of the sequence layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from impl.buffers import room
from impl.gates import open_gates, slopes, tanh_slopes
from impl.init import all_uniform
from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, reject

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]

States: TypeAlias = tuple[Array, ...]
Below: TypeAlias = Callable[[], Array]
Back: TypeAlias = Callable[[Array, States], tuple[Below, States, dict[str, Array]]]


class Recurrence(Layer):
    """A cell over time. A subclass says how many ``gates`` it has, names its ``states``, and writes ``sequence``.

    Within a sequence the features stand before the batch: ``W h`` of ``(rows, size)`` and ``(size, N)`` took half the
    time of ``h W^T`` at 512 x 128 and 16 samples, and every gate lies in one piece.
    """

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
        takes their gradients and returns a function that computes the one of x, for those who ask for it, and the
        gradients of the first states and of the weights.
        """
        raise TypeError(f"{type(self).__name__} defines no sequence")

    def branches(self, outputs: Array) -> tuple[Array, ...]:
        """Return who won in a run through time, which its outputs tell."""
        return ()

    def arriving(self, weights: Mapping[str, Array], x: Array, states: States, *biases: str) -> Array:
        """Return what arrives from below, at all times at once, ``W_ih x_t`` and the biases: ``(T, rows, N)``."""
        w_ih = weights["weight_ih"].reshape(self.gates, self.hidden_size, x.shape[2])
        a = room((len(x), self.gates, self.hidden_size, x.shape[1]), x, *states, *weights.values())
        # Laid out anew, for OpenBLAS has fast kernels for small matrices, but none for this one transposed.
        np.matmul(w_ih, x.swapaxes(1, 2).copy()[:, None], out=a)
        a = a.reshape(len(x), self.gates * self.hidden_size, x.shape[1])
        if self.bias:
            first, *more = (weights[name] for name in biases)
            a += _columns(sum(more, first), x.shape[1])
        return a

    def leaving(
        self, weights: Mapping[str, Array], x: Array, before: Array, rows: Array, hidden_rows: Array
    ) -> tuple[Below, dict[str, Array]]:
        """Return what computes the gradient of x, and the gradients of the weights.

        They follow from those of ``W_ih x_t`` and ``W_hh h_(t-1)``, ``(rows, T N)``, and the states ``before``,
        ``(T, size, N)``.
        """
        gradients = {
            "weight_ih": rows @ x.conj().reshape(rows.shape[1], x.shape[2]),
            "weight_hh": hidden_rows @ _flat(before).conj().T,
        }
        if self.bias:
            gradients["bias_ih"] = rows.sum(axis=1)
            gradients["bias_hh"] = gradients["bias_ih"].copy() if hidden_rows is rows else hidden_rows.sum(axis=1)

        def below() -> Array:
            g_x = weights["weight_ih"].conj().T @ rows
            return g_x.reshape(x.shape[2], *x.shape[:2]).transpose(1, 2, 0)

        return below, gradients


def _columns(bias: Array, batch: int) -> Array:
    """Stand a bias beside itself, once for each sample: added as one column it takes four times as long."""
    return np.repeat(bias[:, None], batch, axis=1)


def _product(w: Array, x: Array, out: Array) -> Array:
    """Write ``w x`` into ``out``: ``(rows, N)`` from ``(rows, columns)`` and ``(columns, N)``.

    OpenBLAS computes a product of 2^18 multiplications on one thread, and a larger one on all. To wake the others
    gained a sixth of the time at 2^20 while nothing else ran, and cost four times as much while they were busy. So
    a product of that size is taken by quarters.
    """
    if len(w) % 4 == 0 and 2**18 < w.size * x.shape[1] <= 2**20:
        np.matmul(w.reshape(4, -1, w.shape[1]), x, out=out.reshape(4, -1, x.shape[1]))
        return out
    return np.matmul(w, x, out=out)


def _flat(x: Array) -> Array:
    """Turn ``(T, features, N)`` into ``(features, T N)``, all times side by side."""
    return x.swapaxes(0, 1).reshape(x.shape[1], x.shape[0] * x.shape[2])


def _over_time(start: Array, a: Array) -> Array:
    """Make room for a state before and after every step, ``(T + 1, size, N)``; before the first it is ``start``."""
    states = np.empty_like(a, shape=(len(a) + 1, *start.T.shape))
    states[0] = start.T
    return states


class Elman(Recurrence):
    """The plain recurrence of RNN and RNNCell."""

    gates: ClassVar[int] = 1
    states: ClassVar[tuple[str, ...]] = ("h_0",)
    nonlinearity: str

    def check_nonlinearity(self) -> None:
        """Raise ValueError unless there is such a curve."""
        if self.nonlinearity not in ("tanh", "relu"):
            raise reject(self, "nonlinearity", self.nonlinearity, "'tanh' or 'relu'")

    def branches(self, outputs: Array) -> tuple[Array, ...]:
        return (outputs.real > 0,) if self.nonlinearity == "relu" else ()

    def sequence(self, weights: Mapping[str, Array], x: Array, states: States) -> tuple[Array, States, Back]:
        w_hh = weights["weight_hh"]
        a = self.arriving(weights, x, states, "bias_ih", "bias_hh")
        h = _over_time(states[0], a)
        recalled = np.empty_like(a[0])
        for t in range(len(a)):
            a[t] += _product(w_hh, h[t], recalled)
            if self.nonlinearity == "tanh":
                np.tanh(a[t], out=h[t + 1])
            else:
                h[t + 1] = np.where(a[t].real <= 0, 0, a[t])

        def back(g_y: Array, g_end: States) -> tuple[Below, States, dict[str, Array]]:
            rows = tanh_slopes(a).conj() if self.nonlinearity == "tanh" else np.where(a.real <= 0, 0, np.ones_like(a))
            dh, back_hh = g_end[0].T.copy(), w_hh.conj().T
            for row, g in zip(rows[::-1], g_y[::-1]):
                dh += g.T
                row *= dh
                _product(back_hh, row, dh)
            rows = _flat(rows)
            below, own = self.leaving(weights, x, h[:-1], rows, rows)
            return below, (dh.T,), own

        return h[1:].swapaxes(1, 2), (h[-1].T,), back


class LongShortTerm(Recurrence):
    """The recurrence of LSTM and LSTMCell."""

    holomorphic: ClassVar[bool] = True

    gates: ClassVar[int] = 4
    states: ClassVar[tuple[str, ...]] = ("h_0", "c_0")

    def sequence(self, weights: Mapping[str, Array], x: Array, states: States) -> tuple[Array, States, Back]:
        w_hh, w_hr = weights["weight_hh"], weights.get("weight_hr")
        a = self.arriving(weights, x, states, "bias_ih", "bias_hh")
        before = a.reshape(len(a), 4, self.hidden_size, a.shape[2])  # the same memory, gate by gate
        gates, recalled = np.empty_like(before), np.empty_like(a[0])
        h, c = (_over_time(state, a) for state in states)
        g, shown = np.empty_like(c[1:]), np.empty_like(c[1:])
        m = h[1:] if w_hr is None else np.empty_like(shown)
        with np.errstate(over="ignore"):
            for t in range(len(a)):
                a[t] += _product(w_hh, h[t], recalled)
                np.tanh(before[t, 2], out=g[t])
                before[t, 2] *= 2  # for tanh'(x) = 4 s'(2 x), s the sigmoid
                open_gates(before[t], gates[t])
                np.multiply(gates[t, 1], c[t], out=c[t + 1])
                c[t + 1] += gates[t, 0] * g[t]
                np.tanh(c[t + 1], out=shown[t])
                np.multiply(gates[t, 3], shown[t], out=m[t])
                if w_hr is not None:
                    _product(w_hr, m[t], h[t + 1])

        def back(g_y: Array, g_end: States) -> tuple[Below, States, dict[str, Array]]:
            f, m_to_c = gates[:, 1].conj(), (gates[:, 3] * tanh_slopes(c[1:])).conj()
            da = slopes(before, gates)
            da[:, 0] *= g
            da[:, 1] *= c[:-1]
            da[:, 2] *= 4 * gates[:, 0]
            da[:, 3] *= shown
            da = da.conj()
            rows = da.reshape(a.shape)  # the same memory
            dhs = np.empty_like(h[1:])
            dh, dc = (state.T.copy() for state in g_end)
            back_hh = w_hh.conj().T
            for t in reversed(range(len(a))):
                dh += g_y[t].T
                dm = dh
                if w_hr is not None:
                    dhs[t] = dh
                    dm = w_hr.conj().T @ dh
                dc += dm * m_to_c[t]
                da[t, :3] *= dc
                da[t, 3] *= dm
                dc *= f[t]
                _product(back_hh, rows[t], dh)
            rows = _flat(rows)
            below, own = self.leaving(weights, x, h[:-1], rows, rows)
            if w_hr is not None:
                own["weight_hr"] = _flat(dhs) @ _flat(m).conj().T
            return below, (dh.T, dc.T), own

        return h[1:].swapaxes(1, 2), (h[-1].T, c[-1].T), back


class Gated(Recurrence):
    """The recurrence of GRU and GRUCell."""

    holomorphic: ClassVar[bool] = True

    gates: ClassVar[int] = 3
    states: ClassVar[tuple[str, ...]] = ("h_0",)

    def sequence(self, weights: Mapping[str, Array], x: Array, states: States) -> tuple[Array, States, Back]:
        w_hh = weights["weight_hh"]
        a = self.arriving(weights, x, states, "bias_ih")
        b_hh = _columns(weights["bias_hh"], a.shape[2]) if self.bias else np.zeros_like(a[0])
        a = a.reshape(len(a), 3, self.hidden_size, a.shape[2])
        h, gates = _over_time(states[0], a), np.empty_like(a[:, :2])
        n, u_n, u = np.empty_like(h[1:]), np.empty_like(h[1:]), np.empty_like(a[0])
        u_rows = u.reshape(b_hh.shape)  # the same memory
        with np.errstate(over="ignore"):
            for t in range(len(a)):
                _product(w_hh, h[t], u_rows)
                u_rows += b_hh
                u_n[t] = u[2]
                a[t, :2] += u[:2]
                open_gates(a[t, :2], gates[t])
                a[t, 2] += gates[t, 0] * u_n[t]
                np.tanh(a[t, 2], out=n[t])
                np.subtract(h[t], n[t], out=h[t + 1])
                h[t + 1] *= gates[t, 1]
                h[t + 1] += n[t]

        def back(g_y: Array, g_end: States) -> tuple[Below, States, dict[str, Array]]:
            z = gates[:, 1].conj()
            da_n = tanh_slopes(a[:, 2]).conj()
            da_n *= 1 - z
            du = np.empty_like(a)
            du[:, :2] = slopes(a[:, :2], gates)
            du[:, 0] *= u_n
            du[:, 1] *= h[:-1] - n
            du[:, 2] = gates[:, 0]
            du = du.conj()
            hidden_rows = du.reshape(len(a), 3 * self.hidden_size, a.shape[3])  # the same memory
            back_hh = w_hh.conj().T
            dh, recalled = g_end[0].T.copy(), np.empty_like(h[0])
            for t in reversed(range(len(a))):
                dh += g_y[t].T
                da_n[t] *= dh
                du[t, ::2] *= da_n[t]
                du[t, 1] *= dh
                dh *= z[t]
                dh += _product(back_hh, hidden_rows[t], recalled)
            hidden_rows = _flat(hidden_rows)
            rows = hidden_rows.copy()
            rows[2 * self.hidden_size :] = _flat(da_n)
            below, own = self.leaving(weights, x, h[:-1], rows, hidden_rows)
            return below, (dh.T,), own

        return h[1:].swapaxes(1, 2), (h[-1].T,), back


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

        def through(g: Array | Sequence[Array | None]) -> tuple[Below, States, dict[str, Array]]:
            grads = g if isinstance(g, Sequence) else (g,)
            given = (np.zeros_like(y) if g is None else g for g, y in zip(grads, output))
            return back(np.zeros_like(ys), tuple(_with_axes(g, 2) for g in given))

        def backward(g: Array | Sequence[Array | None]) -> Gradients:
            below, g_first, own = through(g)
            return Gradients((below().reshape(x.shape), *(g.reshape(wanted) for g in g_first if first)), own)

        return Step(
            output if len(output) > 1 else output[0],
            backward,
            branches=self.branches(ys),
            parameters_only=lambda g: through(g)[2],
        )


def _with_axes(x: Array, rank: int) -> Array:
    """Put axes of size 1 in front: a single time, a batch of one."""
    return x.reshape(*(1,) * (rank - x.ndim), *x.shape)


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
    """One step of an :class:`~impl.layers.recurrent.LSTM` layer, forward and backward: x, h and c lead to h' and c'.

    Shapes: x ``(N, input_size)`` or ``(input_size)``; h and c, zero if not given, and both outputs
    ``(N, hidden_size)``.

    Source: Hochreiter and Schmidhuber, Neural Computation 9 (1997).
    """

    input_size: int
    hidden_size: int
    bias: bool = True


@dataclass(frozen=True, eq=False)
class GRUCell(_Cell, Gated):
    """One step of a :class:`~impl.layers.recurrent.GRU` layer, forward and backward: x and h lead to h'.

    Shapes: x ``(N, input_size)`` or ``(input_size)``; h, zero if not given, and h' ``(N, hidden_size)``.

    Source: Cho et al., EMNLP (2014).
    """

    input_size: int
    hidden_size: int
    bias: bool = True
