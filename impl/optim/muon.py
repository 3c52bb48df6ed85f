"""Muon: momentum whose singular values are brought close to 1."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from impl.layer import Array, reject
from impl.optim.contract import Descent, Memory, lerp


@dataclass(frozen=True)
class Muon(Descent):
    """A step whose singular values are all about 1, for matrices::

        b = momentum b + (1 - momentum) g;   u = momentum b + (1 - momentum) g, or b without nesterov
        x = u / max(|u|, eps), transposed if it has more rows than columns
        x = a x + (b' x x^T + c (x x^T)^2) x   ns_steps times, with (a, b', c) = ns_coefficients
        w = (1 - lr weight_decay) w - lr k x

    where k for a weight of R rows and C columns is ``sqrt(max(1, R / C))`` ("original", or None), or
    ``0.2 sqrt(max(R, C))`` ("match_rms_adamw"). Remembers b as ``momentum_buffer``.

    x is rounded to bfloat16 (8 significant bits) after each product, whatever the dtype of w, for so does torch: these
    steps were chosen for speed, and three digits of a direction are enough.

    Biases are no matrices: give them another optimizer, see :class:`impl.optim.Groups`.

    Source: Jordan, https://kellerjordan.github.io/posts/muon (2024); "match_rms_adamw": Liu et al., arXiv 2502.16982
    (2025), eq. 4.

    Raises
    ------
    ValueError
        lr, momentum or weight_decay is negative, ns_coefficients are not three, ns_steps is 100 or more, adjust_lr_fn
        is unknown, or a parameter is no matrix.
    """

    lr: float = 1e-3
    weight_decay: float = 0.1
    momentum: float = 0.95
    nesterov: bool = True
    ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315)
    eps: float = 1e-7
    ns_steps: int = 5
    adjust_lr_fn: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_not_negative("momentum")
        if self.adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise reject(self, "adjust_lr_fn", self.adjust_lr_fn, "None, 'original' or 'match_rms_adamw'")
        if self.ns_steps >= 100:
            raise reject(self, "ns_steps", self.ns_steps, "less than 100")
        if len(self.ns_coefficients) != 3:
            raise reject(self, "ns_coefficients", self.ns_coefficients, "three numbers")

    def start(self, w: Array) -> Memory:
        return {"momentum_buffer": np.zeros(w.shape, w.dtype)}

    def update(self, w: Array, g: Array, memory: Memory) -> tuple[Array, Memory]:
        if w.ndim != 2:
            raise reject(self, "the shape of a parameter", w.shape, "a matrix (see Groups)")
        b = lerp(memory["momentum_buffer"], g, 1 - self.momentum)
        direction = self._orthogonal(lerp(g, b, self.momentum) if self.nesterov else b).astype(w.dtype)
        rows, columns = w.shape
        fitted = sqrt(max(1, rows / columns))
        if self.adjust_lr_fn == "match_rms_adamw":
            fitted = 0.2 * sqrt(max(rows, columns))
        return w * (1 - self.lr * self.weight_decay) - self.lr * fitted * direction, {"momentum_buffer": b}

    def _orthogonal(self, u: Array) -> Array:
        """Newton's and Schulz's iteration: an odd polynomial of the singular values, again and again."""
        first, third, fifth = np.array(self.ns_coefficients, np.float32)
        x = _bfloat16(u if u.shape[0] <= u.shape[1] else u.T)
        norm = _bfloat16(np.sqrt(np.sum(x * x)))
        x = _bfloat16(x / np.maximum(norm, _bfloat16(np.asarray(self.eps))))
        for _ in range(self.ns_steps):
            gram = _bfloat16(x @ x.T)
            x = _bfloat16(first * x + _bfloat16(third * gram + fifth * (gram @ gram)) @ x)
        return x if u.shape[0] <= u.shape[1] else x.T


def _bfloat16(x: Array) -> Array:
    """Round to the nearest number of 8 significant bits, the even one of two; as float32, for NumPy has no bfloat16."""
    bits = np.asarray(x, np.float32, order="C").view(np.uint32)
    half = np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    return np.asarray((bits + half & np.uint32(0xFFFF0000)).view(np.float32))
