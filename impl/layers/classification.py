"""Losses of classes: one of many, or each for itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import nan
from typing import TypeAlias

import numpy as np

from impl.choice import keep
from impl.layer import Array, Noise, Shape, Step, check_shape, reject
from impl.layers.activation import sigmoid, softplus
from impl.layers.loss import Loss, check_classes, class_weights, entries, joint_shape, spread
from impl.layers.softmax import log_softmax, log_softmax_at
from impl.layers.structural import fold

__all__ = ["BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "MultiLabelSoftMarginLoss", "NLLLoss"]

LEAST_LOGARITHM, LEAST_VARIANCE = -100.0, float(np.float32(1e-12))
"""Torch's bounds in BCELoss, of log x, and of ``x (1 - x)`` where it divides, a number that it has in float32."""

Found: TypeAlias = tuple[Array, Callable[[Array], Array]]
"""What a function found, and what takes dE/d of that to dE/d of its input."""


def value_at(x: Array, at: tuple[Array, ...], axis: int) -> Found:
    """Return ``x[at]``, one entry of each sample along an axis, and what takes its gradient to dE/dx."""

    def back(g: Array) -> Array:
        dx = np.zeros(x.shape, g.dtype)
        dx[at] = g
        return dx

    return np.asarray(x[at]), back


@dataclass(frozen=True, eq=False)
class _OfClasses(Loss):
    """What losses of one class in many share: where the classes are, their weights, which one is meant."""

    weight: Array | None = None
    ignore_index: int = -100
    reduction: str = "mean"

    def layout(self, x: Array) -> tuple[int, Shape]:
        """Return the axis of the classes and the shape of the samples."""
        if x.ndim == 0:
            raise reject(self, "the shape of its input", x.shape, "(C,), (N, C) or (N, C, d1, ...)")
        axis = min(1, x.ndim - 1)
        return axis, (*x.shape[:axis], *x.shape[axis + 1 :])

    def meant(self, target: Array, classes: int) -> tuple[Array, Array]:
        """Return the class that each sample means, 0 where it is ignored, and which samples are not.

        Raises
        ------
        ValueError
            One of them means a class that there is not.
        """
        counted = target != self.ignore_index
        chosen = target if np.count_nonzero(counted) == target.size else keep(counted, target)
        check_classes(self, "a class in its target", chosen if classes else target[counted], 0, classes)
        return chosen, counted

    def at_the_meant(
        self, x: Array, target: Array, axis: int, found: Callable[[Array, tuple[Array, ...], int], Found]
    ) -> Step:
        """Reduce ``l = -w_t y_t``: ``found`` takes y_t from x at the class t that each sample means."""
        weights = class_weights(self, self.weight, x.shape[axis], x)
        chosen, counted = self.meant(target, x.shape[axis])
        if not len(weights):  # so that all are ignored
            return self.reduced(np.zeros(target.shape, x.dtype), lambda g: (np.zeros_like(x), None), 0)
        y, back_found = found(x, entries(chosen, axis), axis)
        w = weights[chosen]

        def only_counted(a: Array) -> Array:
            return np.asarray(a) if chosen is target else keep(counted, np.asarray(a))

        def back(g: Array) -> tuple[Array, None]:
            # What is not counted is not even multiplied: a mean over nothing would make it 0 times infinity.
            return back_found(only_counted(-w * g)), None

        return self.reduced(only_counted(-w * y), back, only_counted(w).sum())


@dataclass(frozen=True, eq=False)
class NLLLoss(_OfClasses):
    """``l = -w_t x_t``, of logarithms x of probabilities and the class t that is meant.

    Backward: ``dl/dx_t = -w_t``, and 0 at the other classes. A sample whose class is ``ignore_index`` counts nowhere.
    The mean divides by the sum of w at the classes that are meant.

    Shapes: input x ``(C,)``, ``(N, C)`` or ``(N, C, d1, d2, ...)``; target ``()``, ``(N,)`` or ``(N, d1, d2, ...)``; l
    as the target.

    Source: Fisher, Phil. Trans. R. Soc. A 222 (1922), section 6.
    """

    def forward(
        self,
        parameters: Mapping[str, Array],
        x: Array,
        target: Array,
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        axis, samples = self.layout(x)
        check_shape(self, "its target", target, samples)
        return self.at_the_meant(x, target, axis, value_at)


@dataclass(frozen=True, eq=False)
class CrossEntropyLoss(_OfClasses):
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
        axis, samples = self.layout(x)
        indices = target.dtype.kind in "iu"
        check_shape(self, "its target", target, samples if indices else x.shape)
        if indices and not self.label_smoothing:
            return self.at_the_meant(x, target, axis, log_softmax_at)
        classes = x.shape[axis]
        w = class_weights(self, self.weight, classes, x).reshape(-1, *(1,) * (x.ndim - axis - 1))
        if indices:
            chosen, counted = (np.expand_dims(a, axis) for a in self.meant(target, classes))
            q = chosen == np.arange(classes).reshape(w.shape)
            count = (w * (q & counted)).sum()
        else:
            if self.ignore_index >= 0:
                raise reject(self, "ignore_index", self.ignore_index, "negative for a target of probabilities")
            q, counted, count = target, np.ones((), bool), x.size / max(classes, 1)
        rest = self.label_smoothing / max(classes, 1)
        a = keep(counted, w * (q * w.dtype.type(1 - self.label_smoothing) + w.dtype.type(rest)))
        log_p = log_softmax(x, axis)

        def back(g: Array) -> tuple[Array, Array | None]:
            g = np.expand_dims(g, axis)
            # What is not counted is not even multiplied: a mean over nothing would make it 0 times infinity.
            grad_x = keep(counted, g) * (np.exp(log_p) * a.sum(axis, keepdims=True) - a)
            return grad_x, None if indices else g * w * (self.label_smoothing - 1) * log_p

        return self.reduced(-(a * keep(counted, log_p)).sum(axis), back, count)


@dataclass(frozen=True, eq=False)
class BCELoss(Loss):
    """``l = -w (t log x + (1 - t) log(1 - x))``, the cross entropy of t and the probability x.

    Logarithms are at least -100, so that ``x = 0`` and ``x = 1`` have a loss. Backward:
    ``dl/dx = w (x - t) / max(x (1 - x), 1e-12)``, a bound of torch's that keeps the slope finite where the loss is
    flat; ``dl/dt = w (log(1 - x) - log x)``. The weight w of the elements broadcasts to the shape of x.

    Shapes: input x and target t ``(*)``, alike, of numbers from 0 to 1.

    Source: Cox, J. R. Stat. Soc. B 20 (1958).
    """

    weight: Array | None = None
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
        for name, array in (("an entry of its input", x.real), ("an entry of its target", t.real)):
            wrong = array[~((array >= 0) & (array <= 1))]
            if wrong.size:
                raise reject(self, name, float(wrong.flat[0]), "a number from 0 to 1")
        w = spread(self, "weight", np.asarray(1 if self.weight is None else self.weight, x.real.dtype), x.shape)
        with np.errstate(divide="ignore"):
            logarithms = np.log(x), np.log1p(-x)
        bounded = [log.real < LEAST_LOGARITHM for log in logarithms]
        log_x, log_rest = (np.where(least, LEAST_LOGARITHM, log) for least, log in zip(bounded, logarithms))

        def back(g: Array) -> tuple[Array, Array]:
            least = max(LEAST_VARIANCE, float(np.finfo(x.real.dtype).tiny))
            slope = (x - t) / np.where((x * (1 - x)).real < least, x.real.dtype.type(least), x * (1 - x))
            return np.asarray(g * w * slope), np.asarray(g * w * (log_rest - log_x))

        return self.reduced(np.asarray(-w * (t * log_x + (1 - t) * log_rest)), back, branches=tuple(bounded))


@dataclass(frozen=True, eq=False)
class BCEWithLogitsLoss(Loss):
    """``l = w ((1 - t) log(1 + exp(x)) + p t log(1 + exp(-x)))``: the cross entropy of t and sigmoid(x).

    Backward: ``dl/dx = w ((1 - t) sigmoid(x) - p t sigmoid(-x))`` and
    ``dl/dt = w (p log(1 + exp(-x)) - log(1 + exp(x)))``, which is ``-w x`` for p = 1: no term but these two can cancel.
    The weight w of the elements and the weight p of the positive class broadcast to the shape of x.

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
        weights = {"weight": self.weight, "pos_weight": self.pos_weight}
        w, p = (
            spread(self, name, np.asarray(1 if given is None else given, x.real.dtype), x.shape)
            for name, given in weights.items()
        )
        right, wrong = softplus(-x), softplus(x)

        def back(g: Array) -> tuple[Array, Array]:
            to_t = -x if self.pos_weight is None else p * right - wrong
            return g * w * ((1 - t) * sigmoid(x)[0] - p * t * sigmoid(-x)[0]), g * w * to_t

        return self.reduced(np.asarray(w * ((1 - t) * wrong + p * t * right)), back)


@dataclass(frozen=True, eq=False)
class MultiLabelSoftMarginLoss(Loss):
    """``l = 1/C sum_c w_c (t_c log(1 + exp(-x_c)) + (1 - t_c) log(1 + exp(x_c)))``: each class for itself.

    Backward: ``dl/dx_c = w_c ((1 - t_c) sigmoid(x_c) - t_c sigmoid(-x_c)) / C``, ``dl/dt_c = -w_c x_c / C``.

    Shapes: input x ``(C,)`` or ``(*, C)``, the target t and the weight w broadcast with it; l ``(*)``.

    Source: as BCEWithLogitsLoss, whose mean over the classes it is.
    """

    weight: Array | None = None
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
        if x.ndim == 0:
            raise reject(self, "the shape of its input", x.shape, "(C,) or (*, C)")
        w = np.asarray(1 if self.weight is None else self.weight, x.real.dtype)
        shape = joint_shape(self, x, t, w)
        axis, classes = x.ndim - 1, x.shape[-1] or nan
        elements = np.broadcast_to(w * (t * softplus(-x) + (1 - t) * softplus(x)), shape)

        def back(g: Array) -> tuple[Array, Array]:
            each = np.broadcast_to(np.expand_dims(g / classes, axis) * w, shape)
            slope = (1 - t) * sigmoid(x)[0] - t * sigmoid(-x)[0]
            return fold(each * slope, x.shape), fold(-each * x, t.shape)

        return self.reduced(np.asarray(elements.sum(axis) / classes), back)
