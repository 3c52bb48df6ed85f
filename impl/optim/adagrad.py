"""Steps scaled by what the squares of the gradient add up to: Adagrad, RMSprop, Adadelta, Adafactor."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from math import inf

import numpy as np

from impl.layer import Array, reject
from impl.optim.contract import Descent, Memory, RowByRow, lerp


@dataclass(frozen=True)
class Adagrad(RowByRow):
    """Steps that shrink where gradients have been large::

        g = gradient + weight_decay w          (-gradient to maximize)
        s = s + g^2                            (from initial_accumulator_value)
        w = w - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)

    Remembers ``step`` t and s as ``sum``.

    Source: Duchi, Hazan and Singer, JMLR 12 (2011), figure 1 with a diagonal matrix.

    Raises
    ------
    ValueError
        A hyperparameter is negative, or weights should decay under a sparse gradient.
    """

    lr: float = 1e-2
    lr_decay: float = 0.0
    weight_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    eps: float = 1e-10
    _: KW_ONLY
    maximize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for argument in ("lr_decay", "initial_accumulator_value", "eps"):
            self.check_not_negative(argument)

    def start(self, w: Array) -> Memory:
        return {"step": 0, "sum": np.full(w.shape, self.initial_accumulator_value, w.dtype)}

    def update(self, w: Array, g: Array, memory: Memory) -> tuple[Array, Memory]:
        w, g = self.decayed(w, g)
        t, s = memory["step"] + 1, memory["sum"] + g * g
        return w - self.lr / (1 + (t - 1) * self.lr_decay) * (g / (np.sqrt(s) + self.eps)), {"step": t, "sum": s}


@dataclass(frozen=True)
class RMSprop(Descent):
    """Steps scaled by a running root mean square of the gradient::

        g = gradient + weight_decay w          (-gradient to maximize)
        v = alpha v + (1 - alpha) g^2;   a = alpha a + (1 - alpha) g
        d = g / (sqrt(v) + eps), or g / (sqrt(v - a^2) + eps) if centered
        w = w - lr d, or w - lr b with momentum, where b = momentum b + d

    Remembers ``step``, v as ``square_avg``, a as ``grad_avg`` and b as ``momentum_buffer``.

    Source: Hinton, lecture 6e of Neural Networks for Machine Learning (2012); centered: Graves, arXiv 1308.0850 (2013),
    eq. 38-45.

    Raises
    ------
    ValueError
        A hyperparameter is negative.
    """

    lr: float = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0
    centered: bool = False
    _: KW_ONLY
    maximize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for argument in ("alpha", "eps", "momentum"):
            self.check_not_negative(argument)

    def start(self, w: Array) -> Memory:
        wanted = {"square_avg": True, "momentum_buffer": self.momentum > 0, "grad_avg": self.centered}
        return {"step": 0, **{name: np.zeros(w.shape, w.dtype) for name, kept in wanted.items() if kept}}

    def update(self, w: Array, g: Array, memory: Memory) -> tuple[Array, Memory]:
        w, g = self.decayed(w, g)
        v = variance = self.alpha * memory["square_avg"] + (1 - self.alpha) * (g * g)
        after = {"step": memory["step"] + 1, "square_avg": v}
        if self.centered:
            after["grad_avg"] = a = lerp(memory["grad_avg"], g, 1 - self.alpha)
            variance = v - a * a
        d = g / (np.sqrt(variance) + self.eps)
        if self.momentum > 0:
            after["momentum_buffer"] = d = self.momentum * memory["momentum_buffer"] + d
        return w - self.lr * d, after


@dataclass(frozen=True)
class Adadelta(Descent):
    """Steps in the units of the parameter: the root mean square of past steps stands over that of gradients::

        g = gradient + weight_decay w          (-gradient to maximize)
        v = rho v + (1 - rho) g^2;   d = sqrt(u + eps) / sqrt(v + eps) g;   u = rho u + (1 - rho) d^2
        w = w - lr d

    Remembers ``step``, v as ``square_avg`` and u as ``acc_delta``.

    Source: Zeiler, arXiv 1212.5701 (2012), algorithm 1.

    Raises
    ------
    ValueError
        lr, eps or weight_decay is negative, or rho lies outside [0, 1].
    """

    lr: float = 1.0
    rho: float = 0.9
    eps: float = 1e-6
    weight_decay: float = 0.0
    _: KW_ONLY
    maximize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_not_negative("eps")
        if not 0 <= self.rho <= 1:
            raise reject(self, "rho", self.rho, "a number from 0 to 1")

    def start(self, w: Array) -> Memory:
        return {"step": 0, "square_avg": np.zeros(w.shape, w.dtype), "acc_delta": np.zeros(w.shape, w.dtype)}

    def update(self, w: Array, g: Array, memory: Memory) -> tuple[Array, Memory]:
        w, g = self.decayed(w, g)
        u = memory["acc_delta"]
        v = self.rho * memory["square_avg"] + (1 - self.rho) * (g * g)
        d = np.sqrt(u + self.eps) / np.sqrt(v + self.eps) * g
        u = self.rho * u + (1 - self.rho) * (d * d)
        return w - self.lr * d, {"step": memory["step"] + 1, "square_avg": v, "acc_delta": u}


@dataclass(frozen=True)
class Adafactor(Descent):
    """Second moments kept by rows and columns only, steps relative to the size of the parameter::

        a = max(eps2, rms(w)) min(lr, 1 / sqrt(t));   w = (1 - lr weight_decay) w
        r = lerp(r, mean of g^2 along each row, t^beta2_decay);   c likewise along each column
        v = r c / max(mean of r, eps1)         (v = lerp(v, g^2, ...) where w has fewer than two axes)
        u = g / sqrt(max(v, eps1^2))           (-g to maximize)
        w = w - a u / max(1, rms(u) / d)

    with ``eps = (eps1, eps2)``; eps1 None is the epsilon of w's dtype. Remembers ``step`` t, r as ``row_var`` and c as
    ``col_var``, or v as ``variance``.

    Source: Shazeer and Stern, ICML (2018), algorithms 4 and 5, in torch's form.

    Raises
    ------
    ValueError
        lr, an eps or weight_decay is negative, beta2_decay is positive or d less than 1.
    """

    lr: float = 1e-2
    beta2_decay: float = -0.8
    eps: tuple[float | None, float] = (None, 1e-3)
    d: float = 1.0
    weight_decay: float = 0.0
    _: KW_ONLY
    maximize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.beta2_decay <= 0:
            raise reject(self, "beta2_decay", self.beta2_decay, "0 or less")
        if len(self.eps) != 2 or not all(eps is None or 0 <= eps < inf for eps in self.eps) or self.eps[1] is None:
            raise reject(self, "eps", self.eps, "None or a number of 0 or more, and a number of 0 or more")
        if not self.d >= 1:
            raise reject(self, "d", self.d, "1 or more")

    def start(self, w: Array) -> Memory:
        if w.ndim < 2:
            return {"step": 0, "variance": np.zeros(w.shape, w.dtype)}
        rows, columns = (*w.shape[:-1], 1), (*w.shape[:-2], 1, w.shape[-1])
        return {"step": 0, "row_var": np.zeros(rows, w.dtype), "col_var": np.zeros(columns, w.dtype)}

    def update(self, w: Array, g: Array, memory: Memory) -> tuple[Array, Memory]:
        t = memory["step"] + 1
        floor = float(np.finfo(w.dtype).eps) if self.eps[0] is None else self.eps[0]
        share = t**self.beta2_decay
        size = max(self.eps[1], _root_mean_square(w)) * min(self.lr, t**-0.5)
        if self.weight_decay:
            w = w * (1 - self.lr * self.weight_decay)
        if g.ndim < 2:
            v = lerp(memory["variance"], g * g, share)
            after = {"step": t, "variance": v}
        else:
            r, c = (
                lerp(memory[name], (g * g).mean(axis, keepdims=True), share)
                for name, axis in (("row_var", -1), ("col_var", -2))
            )
            v = r @ c / np.maximum(r.mean(-2, keepdims=True), floor)
            after = {"step": t, "row_var": r, "col_var": c}
        u = g / np.sqrt(np.maximum(v, floor * floor))
        return w - size / max(1.0, _root_mean_square(u) / self.d) * u, after


def _root_mean_square(array: Array) -> float:
    return float(np.linalg.norm(array.astype(np.float64)) / array.size**0.5)
