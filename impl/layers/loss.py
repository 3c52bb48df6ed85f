"""Losses: what the network is told that it did wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import nan

import numpy as np

from impl.layer import Array, Gradients, Layer, Noise, Shape, Step, check_shape, reject
from impl.layers.activation import log_softmax, sigmoid, softplus

__all__ = ["BCEWithLogitsLoss", "CrossEntropyLoss", "MSELoss"]


class _Loss(Layer):
    """What losses share: the reduction of the losses of the elements."""

    reduction: str

    def __post_init__(self) -> None:
        if self.reduction not in ("none", "mean", "sum"):
            raise reject(self, "reduction", self.reduction, "'none', 'mean' or 'sum'")

    def reduced(
        self, losses: Array, back: Callable[[Array], tuple[Array | None, ...]], count: float | None = None
    ) -> Step:
        """Sum the losses of the elements, divide the sum by ``count`` (their number) for a mean.

        ``back`` takes the gradient of each element's loss to those of the inputs. A mean over nothing is NaN.
        """
        divisor = (losses.size if count is None else count) or nan

        def backward(g: Array) -> Gradients:
            each = g / divisor if self.reduction == "mean" else g
            return Gradients(back(np.broadcast_to(each, losses.shape)))

        if self.reduction == "none":
            return Step(np.asarray(losses), backward)
        with np.errstate(invalid="ignore"):  # a complex number over NaN
            total = losses.sum() / (divisor if self.reduction == "mean" else 1)
        return Step(np.asarray(total), backward)


@dataclass(frozen=True, eq=False)
class MSELoss(_Loss):
    """``l = (x - t)^2``, averaged over all elements, summed, or each; backward ``dl/dx = 2 (x - t) = -dl/dt``.

    Shapes: input x and target t ``(*)``, alike: where torch warns and broadcasts, we refuse.

    Source: Legendre, Nouvelles méthodes (1805), appendix.
    """

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
        check_shape(self, "its target", t, x.shape)
        d = x - t

        def back(g: Array) -> tuple[Array, Array]:
            gradient = 2 * d * g
            return gradient, -gradient

        return self.reduced(d * d, back)


@dataclass(frozen=True, eq=False)
class CrossEntropyLoss(_Loss):
    """``l = -sum_c a_c log softmax(x)_c``, the cross entropy of a distribution and what the scores x say.

    Backward: ``dl/dx_c = softmax(x)_c sum a - a_c``, ``dl/dq = -b log softmax(x)``.

    ``a = w q'`` with class weights w and the target's distribution, smoothed: ``q' = (1 - e) q + e/C``, so
    ``b = w (1 - e)``. A target of class indices is the q that is 1 at its class; a sample whose index is
    ``ignore_index`` has a = 0. The mean divides by the sum of w at the classes that are meant, or, for a target of
    probabilities, by the number of samples.

    Shapes: input x ``(C,)``, ``(N, C)`` or ``(N, C, d1, d2, ...)``; target ``()``, ``(N,)`` or ``(N, d1, d2, ...)`` of
    class indices, or x's shape of probabilities; l as the target of indices.

    Source: Bridle, NIPS 2 (1989); smoothing: Szegedy et al., CVPR (2016), section 7.
    """

    weight: Array | None = None
    ignore_index: int = -100
    reduction: str = "mean"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.label_smoothing <= 1:
            raise reject(self, "label_smoothing", self.label_smoothing, "a number from 0 to 1")

    def forward(
        self,
        parameters: Mapping[str, Array],
        x: Array,
        target: Array,
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        if x.ndim == 0:
            raise reject(self, "the shape of its input", x.shape, "(C,), (N, C) or (N, C, d1, ...)")
        axis = min(1, x.ndim - 1)
        classes = x.shape[axis]
        indices = target.dtype.kind in "iu"
        samples = (*x.shape[:axis], *x.shape[axis + 1 :])
        check_shape(self, "its target", target, samples if indices else x.shape)
        w = self._class_weights(classes, x).reshape(classes, *(1,) * (x.ndim - axis - 1))
        if indices:
            ignored = np.expand_dims(target == self.ignore_index, axis)
            q = np.expand_dims(target, axis) == np.arange(classes).reshape(w.shape)
            known = q.any(axis) | (target == self.ignore_index)
            if not known.all():
                raise reject(self, "a class in its target", int(target[~known].flat[0]), f"0 to {classes - 1}")
            counted = ~ignored & (q | (self.label_smoothing > 0))
            count = np.where(ignored, 0, w * q).sum()
        else:
            if self.ignore_index >= 0:
                raise reject(self, "ignore_index", self.ignore_index, "negative for a target of probabilities")
            ignored = np.zeros((), bool)
            q, counted, count = target, np.True_, x.size / max(classes, 1)
        rest = self.label_smoothing / max(classes, 1)
        a = np.where(counted, w * (q * w.dtype.type(1 - self.label_smoothing) + w.dtype.type(rest)), 0)
        log_p = log_softmax(x, axis)

        def back(g: Array) -> tuple[Array, Array | None]:
            g = np.expand_dims(g, axis)
            # What is not counted is not even multiplied: a mean over nothing would make it 0 times infinity.
            grad_x = np.where(ignored, 0, g) * (np.exp(log_p) * a.sum(axis, keepdims=True) - a)
            return grad_x, None if indices else g * w * (self.label_smoothing - 1) * log_p

        return self.reduced(-(a * np.where(counted, log_p, 0)).sum(axis), back, count)

    def _class_weights(self, classes: int, x: Array) -> Array:
        if self.weight is None:
            return np.ones(classes, x.real.dtype)
        weight = np.asarray(self.weight, x.real.dtype)
        check_shape(self, "weight", weight, (classes,))
        return weight


@dataclass(frozen=True, eq=False)
class BCEWithLogitsLoss(_Loss):
    """``l = w ((1 - t) x + a log(1 + exp(-x)))``, ``a = 1 + (p - 1) t``: cross entropy of t and sigmoid(x), stable.

    Backward: ``dl/dx = w (1 - t - a sigmoid(-x))``, ``dl/dt = w ((p - 1) log(1 + exp(-x)) - x)``. The weight w of the
    elements and the weight p of the positive class broadcast to the shape of x.

    Shapes: input x and target t ``(*)``, alike.

    Source: Cox, J. R. Stat. Soc. B 20 (1958).
    """

    weight: Array | None = None
    reduction: str = "mean"
    pos_weight: Array | None = None

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
        w, p = (self._spread(name, x.shape, x.real.dtype) for name in ("weight", "pos_weight"))
        a = 1 + (p - 1) * t
        rest = softplus(-x)

        def back(g: Array) -> tuple[Array, Array]:
            return g * w * (1 - t - a * sigmoid(-x)[0]), g * w * ((p - 1) * rest - x)

        return self.reduced(np.asarray(w * ((1 - t) * x + a * rest)), back)

    def _spread(self, name: str, shape: Shape, dtype: np.dtype) -> Array:
        given = np.asarray(1 if getattr(self, name) is None else getattr(self, name), dtype)
        try:
            return np.broadcast_to(given, shape)
        except ValueError:
            raise reject(self, f"the shape of {name}", given.shape, f"one that broadcasts to {shape}") from None
