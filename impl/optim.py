"""Optimizers: from gradients to better parameters. Pure functions of what they are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Protocol

import numpy as np

from impl.layer import Array, check_shape, reject

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
            dE/d(parameter), by the same names, in the same shapes.
        state
            What the last step returned; None at first.

        Raises
        ------
        ValueError
            A gradient belongs to no parameter, or has another shape than its parameter.
        """


class _Descent:
    """What all share: the learning rate, decay of weights, the direction."""

    lr: float
    weight_decay: float
    maximize: bool

    def __post_init__(self) -> None:
        for argument in ("lr", "weight_decay"):
            self.check_not_negative(argument)

    def check_not_negative(self, argument: str) -> None:
        """Raise ValueError for a negative number, and for NaN."""
        if not getattr(self, argument) >= 0:
            raise reject(self, argument, getattr(self, argument), "0 or more")

    def directions(self, parameters: Named, gradients: Named) -> Iterator[tuple[str, Array, Array]]:
        """Yield name, parameter w and the g to go down by: turned round to maximize, with ``weight_decay w`` added."""
        for name, gradient in gradients.items():
            if name not in parameters:
                raise reject(self, "the name of a gradient", name, f"one of {', '.join(parameters)}")
            w = parameters[name]
            check_shape(self, f"the gradient of {name}", gradient, w.shape)
            g = np.array(-gradient if self.maximize else gradient, w.dtype)
            yield name, w, np.asarray(g + self.weight_decay * w) if self.weight_decay else g


@dataclass(frozen=True)
class SGD(_Descent):
    """Gradient descent, with momentum if wanted::

        g = gradient + weight_decay w          (-gradient to maximize)
        b = g at first, then momentum b + (1 - dampening) g
        w = w - lr b, or w - lr (g + momentum b) with nesterov

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
    _: KW_ONLY
    nesterov: bool = False
    maximize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_not_negative("momentum")
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise reject(self, "nesterov", True, "False without momentum, or with dampening")

    def step(
        self, parameters: Named, gradients: Named, state: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """See :meth:`Optimizer.step`; the state holds b by name."""
        after, buffers = dict(parameters), dict(state or {})
        for name, w, g in self.directions(parameters, gradients):
            if self.momentum:
                b = buffers.get(name)
                buffers[name] = b = g if b is None else self.momentum * b + (1 - self.dampening) * g
                g = g + self.momentum * b if self.nesterov else b
            after[name] = np.asarray(w - self.lr * g, w.dtype)
        return after, buffers


@dataclass(frozen=True)
class Adam(_Descent):
    """Steps scaled by running moments of the gradient, corrected for their start at zero::

        g = gradient + weight_decay w          (-gradient to maximize)
        m = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g^2
        w = w - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)

    With amsgrad the largest v so far stands under the root.

    Source: Kingma and Ba, ICLR (2015), algorithm 1; amsgrad: Reddi, Kale and Kumar, ICLR (2018), algorithm 2.

    Raises
    ------
    ValueError
        lr, eps or weight_decay is negative, or a beta lies outside [0, 1).
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    amsgrad: bool = False
    _: KW_ONLY
    maximize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_not_negative("eps")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise reject(self, "betas", self.betas, "two numbers from 0 up to, but not, 1")

    def step(
        self, parameters: Named, gradients: Named, state: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        """See :meth:`Optimizer.step`; the state holds t, m, v and the largest v by name: not all need start at once."""
        after, moments = dict(parameters), dict(state or {})
        beta1, beta2 = self.betas
        for name, w, g in self.directions(parameters, gradients):
            t, m, v, largest = moments.get(name, (0, *(np.zeros_like(g),) * 3))
            t = t + 1
            # torch's lerp: of two forms, the one that is exact at its end, m as beta1 nears 1, and g at 0.
            m = m + (1 - beta1) * (g - m) if beta1 > 0.5 else g - beta1 * (g - m)
            v = beta2 * v + (1 - beta2) * (g * g)
            largest = np.maximum(largest, v) if self.amsgrad else v
            moments[name] = (t, m, v, largest)
            root = np.sqrt(largest) / (1 - beta2**t) ** 0.5 + self.eps
            after[name] = np.asarray(w - self.lr / (1 - beta1**t) * (m / root), w.dtype)
        return after, moments
