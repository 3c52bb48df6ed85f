"""Losses of real targets: how far off a number is, and how unlikely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, pi
from typing import Any, ClassVar

import numpy as np

from impl.choice import choose
from impl.layer import Array, Noise, Step, check_shape, reject
from impl.layers.loss import Loss, joint_shape
from impl.layers.structural import fold

__all__ = ["GaussianNLLLoss", "HuberLoss", "KLDivLoss", "L1Loss", "MSELoss", "PoissonNLLLoss", "SmoothL1Loss"]


class _OfDifference(Loss):
    """A loss ``l(d)`` of the difference ``d = x - t``; backward ``dl/dx = l'(d) = -dl/dt``.

    Shapes: input x and target t ``(*)``, alike: where torch warns and broadcasts, we refuse.
    """

    def curve(self, d: Array) -> tuple[Array, Array, *tuple[Array, ...]]:
        """Return l, its derivative, and the branches taken."""
        raise TypeError(f"{type(self).__name__} defines no curve")

    def forward(
        self,
        parameters: Mapping[str, Array],
        x: Array,
        t: Array,
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        check_shape(self, "its target", t, x.shape)
        losses, slope, *branches = self.curve(x - t)

        def back(g: Array) -> tuple[Array, Array]:
            gradient = np.asarray(g * slope)
            return gradient, -gradient

        return self.reduced(np.asarray(losses), back, branches=tuple(branches))


@dataclass(frozen=True, eq=False)
class MSELoss(_OfDifference):
    """``l = (x - t)^2``, averaged over all elements, summed, or each; backward ``dl/dx = 2 (x - t) = -dl/dt``.

    Shapes: input x and target t ``(*)``, alike: where torch warns and broadcasts, we refuse.

    Source: Legendre, Nouvelles méthodes (1805), appendix.
    """

    reduction: str = "mean"

    def curve(self, d: Array) -> Any:
        return d * d, 2 * d


@dataclass(frozen=True, eq=False)
class L1Loss(_OfDifference):
    """``l = |x - t|``; backward ``dl/dx = sign(x - t) = -dl/dt``, 0 where they are equal, as torch chooses.

    Shapes: input x and target t ``(*)``, alike.

    Source: Boscovich, De litteraria expeditione (1757).
    """

    reduction: str = "mean"

    def curve(self, d: Array) -> Any:
        sign = np.sign(d.real)
        return sign * d, sign, sign


@dataclass(frozen=True, eq=False)
class SmoothL1Loss(_OfDifference):
    """``l = d^2 / (2 beta)`` where ``|d| < beta``, else ``|d| - beta / 2``, with ``d = x - t``.

    Backward: ``dl/dx = d / beta``, else ``sign d``, and ``-dl/dt``. With beta = 0 it is L1Loss.

    Shapes: input x and target t ``(*)``, alike.

    Source: Girshick, Fast R-CNN, ICCV (2015), eq. 3.
    """

    reduction: str = "mean"
    beta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beta < 0:
            raise reject(self, "beta", self.beta, "a number from 0")

    def curve(self, d: Array) -> Any:
        sign = np.sign(d.real)
        near = np.abs(d.real) < self.beta
        slope = choose(near, d / (self.beta or 1), sign)
        return choose(near, slope * d / 2, sign * d - self.beta / 2), slope, near, sign


@dataclass(frozen=True, eq=False)
class HuberLoss(_OfDifference):
    """``l = d^2 / 2`` where ``|d| <= delta``, else ``delta (|d| - delta / 2)``, with ``d = x - t``.

    Backward: ``dl/dx = d``, else ``delta sign d``, and ``-dl/dt``.

    Shapes: input x and target t ``(*)``, alike.

    Source: Huber, Annals of Mathematical Statistics 35 (1964).
    """

    reduction: str = "mean"
    delta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.delta > 0:
            raise reject(self, "delta", self.delta, "a number above 0")

    def curve(self, d: Array) -> Any:
        sign = np.sign(d.real)
        near = np.abs(d.real) <= self.delta
        slope = choose(near, d, self.delta * sign)
        return slope * choose(near, d / 2, d - sign * self.delta / 2), slope, near, sign


@dataclass(frozen=True, eq=False)
class PoissonNLLLoss(Loss):
    """``l = exp(x) - t x``, minus the logarithm of the probability of t under a Poisson law of rate ``exp x``.

    Backward: ``dl/dx = exp(x) - t``, ``dl/dt = -x``. With ``log_input=False`` x is the rate itself:
    ``l = x - t log(x + eps)``, ``dl/dx = 1 - t / (x + eps)``, ``dl/dt = -log(x + eps)``. ``full`` adds Stirling's
    ``t log t - t + log(2 pi t) / 2`` where t > 1, with the derivative ``log t + 1 / (2 t)``.

    Shapes: input x and target t ``(*)``, which broadcast.

    Source: Cameron and Trivedi, Regression Analysis of Count Data (1998), section 3.2.
    """

    log_input: bool = True
    full: bool = False
    eps: float = 1e-8
    reduction: str = "mean"

    def forward(
        self,
        parameters: Mapping[str, Array],
        x: Array,
        t: Array,
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        joint_shape(self, x, t)
        rate, log_rate = (np.exp(x), x) if self.log_input else (x, np.log(x + self.eps))
        many = t.real > 1
        count = np.where(many, t, 1)
        losses = np.asarray(rate - t * log_rate)
        if self.full:
            losses = losses + np.where(many, count * np.log(count) - count + np.log(2 * pi * count) / 2, 0)

        def back(g: Array) -> tuple[Array, Array]:
            slope = rate - t if self.log_input else 1 - t / (x + self.eps)
            rest = np.where(many, np.log(count) + 1 / (2 * count), 0) if self.full else 0
            return fold(np.asarray(g * slope), x.shape), fold(np.asarray(g * (rest - log_rate)), t.shape)

        return self.reduced(losses, back, branches=(many,) if self.full else ())


@dataclass(frozen=True, eq=False, kw_only=True)
class GaussianNLLLoss(Loss):
    """``l = (log v + (x - t)^2 / v) / 2``, ``v = max(var, eps)``: minus the log density of t under N(x, v).

    Backward: ``dl/dx = (x - t) / v = -dl/dt``, ``dl/dvar = (1 - (x - t)^2 / v) / (2 v)``, below eps too, where the
    derivative would be 0: by torch's convention the maximum counts forward only, so that a variance can leave it again.
    ``full`` adds ``log(2 pi) / 2``.

    Shapes: input x and target t ``(*)``, which broadcast; var a number, or an array of x's shape, of that without its
    last axis, or of that with one axis of size 1.

    Source: Nix and Weigend, ICNN (1994), eq. 3.
    """

    full: bool = False
    eps: float = 1e-6
    reduction: str = "mean"

    def forward(
        self,
        parameters: Mapping[str, Array],
        x: Array,
        t: Array,
        var: Array | float,
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        joint_shape(self, x, t)
        given = np.asarray(var, np.result_type(x) if isinstance(var, float | int) else None)
        if (given.real < 0).any():
            raise reject(self, "the least entry of var", float(given.real.min()), "a number from 0")
        spread = given if given.ndim == 0 and not isinstance(var, np.ndarray) else self._spread(given, x)
        v = np.where(spread.real < self.eps, np.asarray(self.eps, spread.dtype), spread)
        d = x - t
        losses = (np.log(v) + d * d / v) / 2
        if self.full:
            losses = losses + log(2 * pi) / 2

        def back(g: Array) -> tuple[Array | None, ...]:
            gradient = np.asarray(g * d / v)
            own = fold(np.asarray(g * (1 - d * d / v) / (2 * v)), spread.shape).reshape(given.shape)
            return fold(gradient, x.shape), fold(-gradient, t.shape), own if isinstance(var, np.ndarray) else None

        return self.reduced(np.asarray(losses), back, branches=(spread.real < self.eps,))

    def _spread(self, var: Array, x: Array) -> Array:
        if var.shape == x.shape[:-1] and var.shape != x.shape:
            return var[..., None]
        others = [n for n, m in zip(var.shape, x.shape) if n != m]
        if var.ndim != x.ndim or others not in ([], [1]):
            raise reject(
                self, "the shape of var", var.shape, f"{x.shape}, with one axis of size 1, or without its last"
            )
        return var


@dataclass(frozen=True, eq=False)
class KLDivLoss(Loss):
    """``l = t (log t - x)``, of a distribution t and the logarithms x of another; 0 where t = 0.

    Backward: ``dl/dx = -t``, ``dl/dt = log t + 1 - x``. With ``log_target`` t is a logarithm, too:
    ``l = exp(t) (t - x)``, ``dl/dx = -exp t``, ``dl/dt = exp(t) (t - x + 1)``. ``batchmean`` divides the sum by the
    size of x's first axis, ``mean`` by the number of elements.

    Shapes: input x and target t ``(*)``, which broadcast.

    Source: Kullback and Leibler, Annals of Mathematical Statistics 22 (1951), eq. 2.4.
    """

    reductions: ClassVar[tuple[str, ...]] = ("none", "mean", "sum", "batchmean")
    reduction: str = "mean"
    log_target: bool = False

    def forward(
        self,
        parameters: Mapping[str, Array],
        x: Array,
        t: Array,
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        joint_shape(self, x, t)
        nothing = np.zeros(t.shape, bool) if self.log_target else t.real == 0
        if self.log_target:
            p, log_p = np.exp(t), t
        else:
            p, log_p = t, np.log(np.where(nothing, 1, t))

        def back(g: Array) -> tuple[Array, Array]:
            slope = p * (t - x + 1) if self.log_target else np.where(nothing, -np.inf, log_p) + 1 - x
            return fold(np.asarray(-g * p), x.shape), fold(np.asarray(g * slope), t.shape)

        count = (x.shape[0] if x.ndim else 1) if self.reduction == "batchmean" else None
        return self.reduced(np.asarray(p * (log_p - x)), back, count, branches=(nothing,))
