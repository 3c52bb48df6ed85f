"""What an optimizer is, and what most have in common: they move one parameter at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from impl.layer import Array, Shape, check_shape, reject

Named: TypeAlias = Mapping[str, Array]
Memory: TypeAlias = Mapping[str, Any]
Closure: TypeAlias = Callable[[Named], tuple[Any, Named]]
"""``closure(parameters)`` returns the loss there, one number, and its gradients by name."""


@dataclass(frozen=True, eq=False)
class SparseGradient:
    """A gradient that is zero but for some rows of its parameter, as a lookup table has it.

    Parameters
    ----------
    indices
        ``(k,)``: the rows, in any order. A row that stands there twice has the sum of both as its gradient.
    values
        ``(k, *)``: ``values[i]`` belongs to row ``indices[i]``.

    Notes
    -----
    This is what torch's ``Embedding(sparse=True)`` gives, before it is coalesced: the indices that were looked up, and
    the gradients of what came out.

    Raises
    ------
    ValueError
        The indices are no integers on one axis, or are not as many as the values.
    """

    indices: Array
    values: Array

    def __post_init__(self) -> None:
        if self.indices.dtype.kind not in "iu":
            raise reject(self, "the dtype of indices", str(self.indices.dtype), "integers")
        check_shape(self, "indices", self.indices, self.values.shape[:1])

    def __neg__(self) -> SparseGradient:
        return SparseGradient(self.indices, -self.values)

    def coalesced(self, dtype: DTypeLike) -> tuple[Array, Array]:
        """Return every row once, in order, and the sum of its values."""
        rows, places = np.unique(self.indices, return_inverse=True)
        sums = np.zeros((len(rows), *self.values.shape[1:]), dtype)
        np.add.at(sums, places, self.values.astype(dtype))
        return rows, sums

    def dense(self, shape: Shape, dtype: DTypeLike) -> Array:
        """Return it with all its zeros, in the shape of its parameter."""
        full = np.zeros(shape, dtype)
        rows, sums = self.coalesced(dtype)
        full[rows] = sums
        return full


class Optimizer(Protocol):
    """The contract of an optimizer."""

    def step(
        self, parameters: Named, gradients: Mapping[str, Any], state: Memory | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return new parameters and the state for the next step; nothing given is changed.

        Parameters
        ----------
        parameters
            By name. What has no gradient (a buffer) comes back as it is.
        gradients
            dE/d(parameter), by the same names, in the same shapes; SGD, Adagrad and SparseAdam also take a
            :class:`SparseGradient`.
        state
            What the last step returned; None at first. By the parameter's name, then by torch's name for it
            (``step``, ``exp_avg`` ...).

        Raises
        ------
        ValueError
            A gradient belongs to no parameter, or has another shape than its parameter.
        """


class ClosureOptimizer(Protocol):
    """The contract of an optimizer that looks at more than one point per step: LBFGS."""

    def step(
        self, parameters: Named, closure: Closure, state: Memory | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return new parameters and the state for the next step; nothing given is changed.

        Parameters
        ----------
        parameters
            By name. What has no gradient (a buffer) comes back as it is.
        closure
            ``closure(parameters)`` returns the loss, one number, and its gradients by name. It is called as often as
            the optimizer likes, each time with parameters of its choice.
        state
            What the last step returned; None at first.

        Raises
        ------
        ValueError
            A gradient belongs to no parameter, or has another shape than its parameter.
        """


class Descent:
    """Moves every parameter by itself: a subclass says how, with ``start`` and ``update``."""

    lr: float
    weight_decay: float = 0.0
    decoupled_weight_decay: bool = False
    maximize: bool = False

    def __post_init__(self) -> None:
        for argument in ("lr", "weight_decay"):
            self.check_not_negative(argument)

    def check_not_negative(self, argument: str) -> None:
        """Raise ValueError for a negative number, and for NaN."""
        if not getattr(self, argument) >= 0:
            raise reject(self, argument, getattr(self, argument), "0 or more")

    def start(self, w: Array) -> Memory:
        """Return what is remembered of a parameter before its first step."""
        return {}

    def update(self, w: Array, g: Array, memory: Memory) -> tuple[Array, Memory]:
        """Take one step against g: return the new w, and what is to be remembered."""
        raise TypeError(f"{type(self).__name__} defines no update")

    def update_rows(self, w: Array, gradient: SparseGradient, memory: Memory) -> tuple[Array, Memory]:
        """Take one step against a sparse gradient; most optimizers refuse."""
        raise reject(self, "a gradient", "sparse", "an array")

    def step(
        self, parameters: Named, gradients: Mapping[str, Array | SparseGradient], state: Memory | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """See :meth:`impl.optim.Optimizer.step`."""
        after, memories = dict(parameters), dict(state or {})
        for name, gradient in gradients.items():
            w = known(self, parameters, name)
            memory = memories.get(name) or self.start(w)
            signed = -gradient if self.maximize else gradient
            if isinstance(signed, SparseGradient):
                self._check_rows(name, signed, w)
                moved, memory = self.update_rows(w, signed, memory)
            else:
                check_shape(self, f"the gradient of {name}", signed, w.shape)
                moved, memory = self.update(w, np.array(signed, w.dtype), memory)
            after[name] = np.asarray(moved, w.dtype)
            # Hyperparameters that are NumPy scalars must not widen what is remembered.
            kept = {key: np.asarray(v, w.dtype) if hasattr(v, "shape") else v for key, v in memory.items()}
            memories |= {name: kept} if kept else {}
        return after, memories

    def _check_rows(self, name: str, gradient: SparseGradient, w: Array) -> None:
        check_shape(self, f"the values of the gradient of {name}", gradient.values, (None, *w.shape[1:]))
        strange = gradient.indices[(gradient.indices < 0) | (gradient.indices >= len(w))]
        if strange.size:
            raise reject(self, f"a row of the gradient of {name}", int(strange[0]), f"0 to {len(w) - 1}")

    def decayed(self, w: Array, g: Array) -> tuple[Array, Array]:
        """Let weights decay: w itself shrinks by ``lr weight_decay`` if decoupled, or g grows by ``weight_decay w``."""
        if not self.weight_decay:  # an infinite weight times 0 would spoil g
            return w, g
        if self.decoupled_weight_decay:
            return w * (1 - self.lr * self.weight_decay), g
        return w, g + self.weight_decay * w


class RowByRow(Descent):
    """Takes sparse gradients as well: rows without a gradient stay as they are, and so does what is remembered of them.

    Weights cannot decay then, for all rows would have to.
    """

    def update_rows(self, w: Array, gradient: SparseGradient, memory: Memory) -> tuple[Array, Memory]:
        refuse_decay(self)
        rows, sums = gradient.coalesced(w.dtype)
        part = {key: v[rows] if hasattr(v, "shape") else v for key, v in memory.items()}
        moved, changed = self.update(w[rows], sums, part)
        after = {key: _put(memory[key], rows, v) if hasattr(v, "shape") else v for key, v in changed.items()}
        return _put(w, rows, moved), after


def _put(array: Array, rows: Array, values: Array) -> Array:
    """Return a copy with other rows."""
    copy = array.copy()
    copy[rows] = values
    return copy


def refuse_decay(optimizer: Descent) -> None:
    """Raise ValueError where weights decay and a gradient is sparse."""
    if optimizer.weight_decay:
        raise reject(optimizer, "weight_decay", optimizer.weight_decay, "0 with a sparse gradient")


def known(optimizer: object, parameters: Named, name: str) -> Array:
    """Return the parameter that a gradient belongs to; ValueError if there is none."""
    if name not in parameters:
        raise reject(optimizer, "the name of a gradient", name, f"one of {', '.join(parameters)}")
    return parameters[name]


def check_betas(optimizer: object, betas: tuple[float, float]) -> None:
    """Raise ValueError unless they are two shares of the past."""
    if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
        raise reject(optimizer, "betas", betas, "two numbers from 0 up to, but not, 1")


def lerp(start: Array, end: Array, weight: float) -> Array:
    """Go a part of the way from start to end, as torch does: of two forms, the one that is exact at the nearer end."""
    return np.asarray(start + weight * (end - start) if weight < 0.5 else end - (end - start) * (1 - weight))
