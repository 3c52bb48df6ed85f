"""Plain gradient descent: SGD, and ASGD, which averages its path."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np

from impl.layer import Array, reject
from impl.optim.contract import Descent, Memory, SparseGradient, refuse_decay


@dataclass(frozen=True)
class SGD(Descent):
    """Gradient descent, with momentum if wanted::

        g = gradient + weight_decay w          (-gradient to maximize)
        b = g at first, then momentum b + (1 - dampening) g
        w = w - lr b, or w - lr (g + momentum b) with nesterov

    Remembers b as ``momentum_buffer``, if there is momentum.

    Source: Polyak, USSR Comp. Math. 4 (1964); nesterov: Sutskever et al., ICML (2013), section 2, in torch's form,
    where lr scales the whole step.

    Raises
    ------
    ValueError
        lr, momentum or weight_decay is negative, or nesterov comes without momentum or with dampening.
    """

    lr: float = 1e-3
    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False
    _: KW_ONLY
    maximize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_not_negative("momentum")
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise reject(self, "nesterov", True, "False without momentum, or with dampening")

    def update(self, w: Array, g: Array, memory: Memory) -> tuple[Array, Memory]:
        w, g = self.decayed(w, g)
        if self.momentum:
            b = memory.get("momentum_buffer")
            b = g if b is None else self.momentum * b + (1 - self.dampening) * g
            memory = {"momentum_buffer": b}
            g = g + self.momentum * b if self.nesterov else b
        return w - self.lr * g, memory

    def update_rows(self, w: Array, gradient: SparseGradient, memory: Memory) -> tuple[Array, Memory]:
        """Momentum carries all rows on, those without a gradient too: so they are all moved."""
        refuse_decay(self)
        return self.update(w, gradient.dense(w.shape, w.dtype), memory)


@dataclass(frozen=True)
class ASGD(Descent):
    """Averaged gradient descent::

        g = gradient + weight_decay w          (-gradient to maximize)
        w = w (1 - lambd eta) - eta g
        ax = ax + mu (w - ax)                  (the average; w itself as long as mu = 1)
        eta = lr / (1 + lambd lr t)^alpha,  mu = 1 / max(1, t - t0)    (for the next step)

    Remembers ``step`` t, ``eta``, ``mu`` and the average ``ax``, which is the result once training ends.

    Source: Polyak and Juditsky, SIAM J. Control Optim. 30 (1992); the schedule: Bottou, COMPSTAT (2010).

    Raises
    ------
    ValueError
        lr or weight_decay is negative.
    """

    lr: float = 1e-2
    lambd: float = 1e-4
    alpha: float = 0.75
    t0: float = 1e6
    weight_decay: float = 0.0
    _: KW_ONLY
    maximize: bool = False

    def start(self, w: Array) -> Memory:
        return {"step": 0, "eta": self.lr, "mu": 1.0, "ax": np.zeros(w.shape, w.dtype)}

    def update(self, w: Array, g: Array, memory: Memory) -> tuple[Array, Memory]:
        t, eta, mu, ax = memory["step"] + 1, memory["eta"], memory["mu"], memory["ax"]
        w, g = self.decayed(w, g)
        w = w * (1 - self.lambd * eta) - eta * g
        ax = w.copy() if mu == 1 else ax + mu * (w - ax)
        eta = self.lr / (1 + self.lambd * self.lr * t) ** self.alpha
        return w, {"step": t, "eta": float(eta), "mu": 1 / max(1, t - self.t0), "ax": ax}
