"""Optimizers: from gradients to better parameters. Pure functions of what they are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from impl.layer import Array, reject

__all__ = ["SGD", "Adam", "Optimizer"]

Named = Mapping[str, Array]


class Optimizer(Protocol):
    """The contract of an optimizer."""

    def step(
        self, parameters: Named, gradients: Named, state: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return new parameters and the state for the next step; nothing given is changed.

        Parameters
        ----------
        parameters
            By name. What has no gradient (a buffer) comes back as it is.
        gradients
            dE/d(parameter), by the same names.
        state
            What the last step returned; None at first.
        """


@dataclass(frozen=True, kw_only=True)
class _Descent:
    """What both share: the learning rate, decay of weights, the direction."""

    lr: float = 1e-3
    weight_decay: float = 0.0
    maximize: bool = False

    def __post_init__(self) -> None:
        for argument in ("lr", "weight_decay"):
            if not getattr(self, argument) >= 0:
                raise reject(self, argument, getattr(self, argument), "0 or more")

    def decayed(self, parameter: Array, gradient: Array) -> Array:
        """Return the gradient to go down by: turned round to maximize, and with the decay of the weight."""
        g = -gradient if self.maximize else gradient
        return g + self.weight_decay * parameter if self.weight_decay else g


@dataclass(frozen=True, kw_only=True)
class SGD(_Descent):
    """Gradient descent, with momentum if wanted::

        g = gradient + weight_decay w
        b = g at first, then momentum b + (1 - dampening) g
        w = w - lr b, or w - lr (g + momentum b) with nesterov

    Source: Polyak (1964); in this form Sutskever et al., ICML (2013), section 2.
    """

    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.momentum >= 0:
            raise reject(self, "momentum", self.momentum, "0 or more")
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise reject(self, "nesterov", True, "False without momentum, or with dampening")

    def step(
        self, parameters: Named, gradients: Named, state: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """See :meth:`Optimizer.step`; the state holds b by name."""
        after, buffers = dict(parameters), dict(state or {})
        for name, gradient in gradients.items():
            g = self.decayed(parameters[name], gradient)
            if self.momentum:
                b = buffers.get(name)
                buffers[name] = b = g if b is None else self.momentum * b + (1 - self.dampening) * g
                g = g + self.momentum * b if self.nesterov else b
            after[name] = np.asarray(parameters[name] - self.lr * g)
        return after, buffers


@dataclass(frozen=True, kw_only=True)
class Adam(_Descent):
    """Steps scaled by running moments of the gradient, corrected for their start at zero::

        g = gradient + weight_decay w
        m = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g^2
        w = w - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)

    With amsgrad the largest v so far stands under the root.

    Source: Kingma and Ba, ICLR (2015), algorithm 1; amsgrad: Reddi, Kale and Kumar, ICLR (2018).
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    amsgrad: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(0 <= beta < 1 for beta in self.betas):
            raise reject(self, "betas", self.betas, "two numbers from 0 up to, but not, 1")
        if not self.eps >= 0:
            raise reject(self, "eps", self.eps, "0 or more")

    def step(
        self, parameters: Named, gradients: Named, state: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """See :meth:`Optimizer.step`; the state holds t, m, v and the largest v by name, for parameters come and go."""
        after, moments = dict(parameters), dict(state or {})
        beta1, beta2 = self.betas
        for name, gradient in gradients.items():
            g = self.decayed(parameters[name], gradient)
            t, m, v, largest = moments.get(name, (0, 0 * g, 0 * g, 0 * g))
            t = t + 1
            m = m + (1 - beta1) * (g - m)
            v = beta2 * v + (1 - beta2) * (g * g)
            largest = np.maximum(largest, v) if self.amsgrad else v
            moments[name] = (t, m, v, largest)
            root = np.sqrt(largest) / (1 - beta2**t) ** 0.5 + self.eps
            after[name] = np.asarray(parameters[name] - self.lr / (1 - beta1**t) * (m / root))
        return after, moments
