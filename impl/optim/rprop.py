"""Resilient backpropagation: only the sign of the gradient counts."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np

from impl.layer import Array, reject
from impl.optim.contract import Descent, Memory


@dataclass(frozen=True)
class Rprop(Descent):
    """Every number has a step of its own, which grows while the gradient keeps its sign and shrinks where it turns::

        f = etas[1] where g p > 0, etas[0] where g p < 0, else 1     (p: the gradient before; -gradient to maximize)
        s = clip(f s, *step_sizes)             (from lr)
        g = 0 where it turned                  (so the step after a turn is not counted as another turn)
        w = w - sign(g) s

    Remembers ``step``, p as ``prev`` and s as ``step_size``.

    Source: Riedmiller and Braun, ICNN (1993), in the variant without backtracking: Igel and Huesken, NC (2000),
    "Rprop-".

    Raises
    ------
    ValueError
        lr is negative, or the etas are not below and above 1.
    """

    lr: float = 1e-2
    etas: tuple[float, float] = (0.5, 1.2)
    step_sizes: tuple[float, float] = (1e-6, 50)
    _: KW_ONLY
    maximize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.etas) != 2 or not 0 < self.etas[0] < 1 < self.etas[1]:
            raise reject(self, "etas", self.etas, "a number between 0 and 1, and one above 1")

    def start(self, w: Array) -> Memory:
        return {"step": 0, "prev": np.zeros(w.shape, w.dtype), "step_size": np.full(w.shape, self.lr, w.dtype)}

    def update(self, w: Array, g: Array, memory: Memory) -> tuple[Array, Memory]:
        turn = g * memory["prev"]
        factor = np.select([turn > 0, turn < 0], self.etas[::-1], 1.0).astype(w.dtype)
        size = np.clip(memory["step_size"] * factor, *self.step_sizes)
        g = np.where(turn < 0, 0, g)
        # Unlike numpy.sign, and like torch's: what is no number has the sign 0.
        return w - np.subtract(g > 0, g < 0, dtype=w.dtype) * size, {
            "step": memory["step"] + 1,
            "prev": g,
            "step_size": size,
        }
