"""Steps scaled by running moments of the gradient: Adam and its relatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np

from impl.layer import Array, reject
from impl.optim.contract import Descent, Memory, Named, RowByRow, SparseGradient, check_betas, lerp


class _Moments(Descent):
    """Remembers ``step`` t, and the first and second moment m = ``exp_avg`` and v = ``exp_avg_sq``."""

    betas: tuple[float, float]
    eps: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_not_negative("eps")
        check_betas(self, self.betas)

    def start(self, w: Array) -> Memory:
        return {"step": 0, "exp_avg": np.zeros(w.shape, w.dtype), "exp_avg_sq": np.zeros(w.shape, w.dtype)}

    def moments(self, g: Array, memory: Memory) -> tuple[int, Array, Array]:
        """Return t, ``m = beta1 m + (1 - beta1) g`` and ``v = beta2 v + (1 - beta2) g^2``."""
        beta1, beta2 = self.betas
        m = lerp(memory["exp_avg"], g, 1 - beta1)
        v = beta2 * memory["exp_avg_sq"] + (1 - beta2) * (g * g)
        return memory["step"] + 1, m, v


class _Adam(_Moments):
    amsgrad: bool

    def start(self, w: Array) -> Memory:
        started = super().start(w)
        return {**started, "max_exp_avg_sq": np.zeros(w.shape, w.dtype)} if self.amsgrad else started

    def update(self, w: Array, g: Array, memory: Memory) -> tuple[Array, Memory]:
        beta1, beta2 = self.betas
        w, g = self.decayed(w, g)
        t, m, v = self.moments(g, memory)
        after = {"step": t, "exp_avg": m, "exp_avg_sq": v}
        if self.amsgrad:
            after["max_exp_avg_sq"] = v = np.maximum(memory["max_exp_avg_sq"], v)
        root = np.sqrt(v) / (1 - beta2**t) ** 0.5 + self.eps
        return w - self.lr / (1 - beta1**t) * (m / root), after


@dataclass(frozen=True)
class Adam(_Adam):
    """Steps scaled by running moments of the gradient, corrected for their start at zero::

        g = gradient + weight_decay w          (-gradient to maximize)
        m = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g^2
        w = w - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)

    With amsgrad the largest v so far, ``max_exp_avg_sq``, stands under the root. With decoupled_weight_decay it is
    :class:`AdamW`.

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
    decoupled_weight_decay: bool = False


@dataclass(frozen=True)
class AdamW(_Adam):
    """:class:`Adam` whose weights decay by themselves, not through the gradient: ``w = (1 - lr weight_decay) w`` first.

    Source: Loshchilov and Hutter, ICLR (2019), algorithm 2.

    Raises
    ------
    ValueError
        lr, eps or weight_decay is negative, or a beta lies outside [0, 1).
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 1e-2
    amsgrad: bool = False
    _: KW_ONLY
    maximize: bool = False
    decoupled_weight_decay: bool = field(default=True, init=False, repr=False)


@dataclass(frozen=True)
class Adamax(_Moments):
    """Adam with the largest gradient of the past, discounted, instead of the root of the second moment::

        g = gradient + weight_decay w          (-gradient to maximize)
        m = beta1 m + (1 - beta1) g;   u = max(beta2 u, |g| + eps)
        w = w - lr / (1 - beta1^t) m / u

    Remembers u as ``exp_inf``.

    Source: Kingma and Ba, ICLR (2015), algorithm 2.

    Raises
    ------
    ValueError
        lr, eps or weight_decay is negative, or a beta lies outside [0, 1).
    """

    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    _: KW_ONLY
    maximize: bool = False

    def start(self, w: Array) -> Memory:
        return {"step": 0, "exp_avg": np.zeros(w.shape, w.dtype), "exp_inf": np.zeros(w.shape, w.dtype)}

    def update(self, w: Array, g: Array, memory: Memory) -> tuple[Array, Memory]:
        beta1, beta2 = self.betas
        t = memory["step"] + 1
        w, g = self.decayed(w, g)
        m = lerp(memory["exp_avg"], g, 1 - beta1)
        u = np.maximum(beta2 * memory["exp_inf"], np.abs(g) + self.eps)
        return w - self.lr / (1 - beta1**t) * (m / u), {"step": t, "exp_avg": m, "exp_inf": u}


@dataclass(frozen=True)
class NAdam(_Moments):
    """Adam with Nesterov's look ahead, whose momentum mu grows towards beta1::

        g, m and v as in Adam;   mu_t = beta1 (1 - 0.5 * 0.96^(t momentum_decay)),  M_t = mu_1 ... mu_t
        w = w - lr ((1 - mu_t) / (1 - M_t) g + mu_{t+1} / (1 - M_{t+1}) m) / (sqrt(v / (1 - beta2^t)) + eps)

    Remembers M as ``mu_product``. Weights decay as in Adam, or as in AdamW with decoupled_weight_decay.

    Source: Dozat, ICLR workshop (2016), algorithm 8.

    Raises
    ------
    ValueError
        lr, eps, weight_decay or momentum_decay is negative, or a beta lies outside [0, 1).
    """

    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum_decay: float = 4e-3
    decoupled_weight_decay: bool = False
    _: KW_ONLY
    maximize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_not_negative("momentum_decay")

    def start(self, w: Array) -> Memory:
        return {**super().start(w), "mu_product": 1.0}

    def update(self, w: Array, g: Array, memory: Memory) -> tuple[Array, Memory]:
        beta1, beta2 = self.betas
        w, g = self.decayed(w, g)
        t, m, v = self.moments(g, memory)
        mu, ahead = (beta1 * (1 - 0.5 * 0.96 ** (k * self.momentum_decay)) for k in (t, t + 1))
        product = memory["mu_product"] * mu
        root = np.sqrt(v / (1 - beta2**t)) + self.eps
        w = w - self.lr * (1 - mu) / (1 - product) * (g / root)
        w = w - self.lr * ahead / (1 - product * ahead) * (m / root)
        return w, {"step": t, "exp_avg": m, "exp_avg_sq": v, "mu_product": float(product)}


@dataclass(frozen=True)
class RAdam(_Moments):
    """Adam that trusts its second moment only once enough gradients have come in::

        g, m and v as in Adam;   n = 2 / (1 - beta2) - 1,  n_t = n - 2 t beta2^t / (1 - beta2^t)
        w = w - lr / (1 - beta1^t) m                                          while n_t <= 5
        w = w - lr / (1 - beta1^t) m r sqrt(1 - beta2^t) / (sqrt(v) + eps)    from then on, where
        r = sqrt((n_t - 4) (n_t - 2) n / ((n - 4) (n - 2) n_t))

    Weights decay as in Adam, or as in AdamW with decoupled_weight_decay.

    Source: Liu et al., ICLR (2020), algorithm 2.

    Raises
    ------
    ValueError
        lr, eps or weight_decay is negative, or a beta lies outside [0, 1).
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    decoupled_weight_decay: bool = False
    _: KW_ONLY
    maximize: bool = False

    def update(self, w: Array, g: Array, memory: Memory) -> tuple[Array, Memory]:
        beta1, beta2 = self.betas
        w, g = self.decayed(w, g)
        t, m, v = self.moments(g, memory)
        step = m / (1 - beta1**t) * self.lr
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * t * beta2**t / (1 - beta2**t)
        if length > 5:
            rectified = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
            step = step * ((1 - beta2**t) ** 0.5 / (np.sqrt(v) + self.eps)) * rectified**0.5
        return w - step, {"step": t, "exp_avg": m, "exp_avg_sq": v}


@dataclass(frozen=True)
class SparseAdam(RowByRow, _Moments):
    """Adam for sparse gradients: rows that have none stay, and so do their moments, as if the step had not been::

        m = beta1 m + (1 - beta1) g;   v = beta2 v + (1 - beta2) g^2          (-gradient to maximize)
        w = w - lr sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + eps)

    t counts all steps of the parameter, not those of the row. eps is added before the bias is corrected, unlike in
    :class:`Adam`.

    Source: Kingma and Ba, ICLR (2015), section 2, last paragraph.

    Raises
    ------
    ValueError
        lr or eps is not positive, a beta lies outside [0, 1), or a gradient is no :class:`SparseGradient`.
    """

    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    maximize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for argument in ("lr", "eps"):
            if not getattr(self, argument) > 0:
                raise reject(self, argument, getattr(self, argument), "more than 0")

    def step(
        self, parameters: Named, gradients: Mapping[str, Array | SparseGradient], state: Memory | None = None
    ) -> tuple[dict[str, Array], dict[str, Any]]:
        for name, gradient in gradients.items():
            if not isinstance(gradient, SparseGradient):
                raise reject(self, f"the gradient of {name}", type(gradient).__name__, "a SparseGradient, or Adam")
        return super().step(parameters, gradients, state)

    def update(self, w: Array, g: Array, memory: Memory) -> tuple[Array, Memory]:
        beta1, beta2 = self.betas
        t, m, v = self.moments(g, memory)
        size = self.lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        return w - size * (m / (np.sqrt(v) + self.eps)), {"step": t, "exp_avg": m, "exp_avg_sq": v}
