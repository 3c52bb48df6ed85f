"""Losses with a margin: what is right by more than the margin costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from impl.layer import Array, Layer, Noise, Step, check_shape, reject
from impl.layers.activation import sigmoid, softplus
from impl.layers.distance import PairwiseDistance
from impl.layers.loss import Loss, check_classes, class_weights, joint_shape, spread
from impl.layers.structural import fold

__all__ = [
    "CosineEmbeddingLoss",
    "HingeEmbeddingLoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiMarginLoss",
    "SoftMarginLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]

SQUARE = float(np.float32(1e-12))
"""What torch adds to the squared lengths in CosineEmbeddingLoss: it has the number in float32."""


@dataclass(frozen=True, eq=False)
class HingeEmbeddingLoss(Loss):
    """``l = x`` where t = 1, ``max(0, margin - x)`` where t = -1: a distance x is to be small, or beyond the margin.

    Backward: ``dl/dx = 1``, ``-[x <= margin]``: the slope at the margin is torch's. Another t takes the sum of both.

    Shapes: input x and target t ``(*)``, which broadcast.

    Source: Hadsell, Chopra and LeCun, CVPR (2006), without their squares.
    """

    margin: float = 1.0
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
        shape = joint_shape(self, x, t)
        similar, different = t.real != -1, t.real != 1
        beyond = (self.margin - x).real < 0
        losses = np.where(similar, x, 0) + np.where(different & ~beyond, self.margin - x, 0)

        def back(g: Array) -> tuple[Array, None]:
            return fold(np.where(similar, g, 0) - np.where(different & ~beyond, g, 0), x.shape), None

        return self.reduced(np.broadcast_to(losses, shape), back, branches=(beyond,))


@dataclass(frozen=True, eq=False)
class SoftMarginLoss(Loss):
    """``l = log(1 + exp(-t x))``, t = 1 or -1; backward ``dl/dx = -t sigmoid(-t x)``. Never overflows, as torch's does.

    Shapes: input x ``(*)``, the target t broadcasts to it.

    Source: Cox, J. R. Stat. Soc. B 20 (1958).
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
        sign = spread(self, "its target", t, x.shape).astype(x.dtype)

        def back(g: Array) -> tuple[Array, None]:
            return np.asanyarray(-g * sign * sigmoid(-sign * x)[0]), None

        return self.reduced(np.asanyarray(softplus(-sign * x)), back)


@dataclass(frozen=True, eq=False)
class MarginRankingLoss(Loss):
    """``l = max(0, margin - t (x1 - x2))``: x1 is to be larger than x2 where t = 1, smaller where t = -1.

    Backward, where ``l`` is not cut off, its 0 included: ``dl/dx1 = -t = -dl/dx2``, ``dl/dt = x2 - x1``.

    Shapes: x1, x2 and target t ``(*)``, of equal rank, which broadcast.

    Source: Joachims, KDD (2002), eq. 13.
    """

    margin: float = 0.0
    reduction: str = "mean"

    def forward(
        self,
        parameters: Mapping[str, Array],
        x1: Array,
        x2: Array,
        t: Array,
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        joint_shape(self, x1, x2, t)
        if not x1.ndim == x2.ndim == t.ndim:
            raise reject(self, "the shapes of its inputs", (x1.shape, x2.shape, t.shape), "equally many axes")
        sign = t.astype(x1.dtype) if t.dtype.kind in "iu" else t
        short = self.margin - sign * (x1 - x2)
        beyond = short.real < 0

        def back(g: Array) -> tuple[Array | None, ...]:
            g = np.where(beyond, 0, g)
            own = None if t.dtype.kind in "iu" else fold(g * (x2 - x1), t.shape)
            return fold(-g * sign, x1.shape), fold(g * sign, x2.shape), own

        return self.reduced(np.where(beyond, 0, short), back, branches=(beyond,))


@dataclass(frozen=True, eq=False)
class CosineEmbeddingLoss(Loss):
    """``l = 1 - c`` where t = 1, ``max(0, c - margin)`` where t = -1, with the cosine ``c = x1 . x2 / sqrt(m1 m2)``.

    Backward: ``dc/dx1 = x2 / sqrt(m1 m2) - c x1 / m1`` and its like; ``dl/dc = -1``, or ``[c >= margin]``. The squared
    lengths ``m = x . x + 1e-12`` are never 0.

    Shapes: x1 and x2 ``(D,)`` or ``(N, D)``, which broadcast, target t ``()`` or ``(N,)``; l as t.

    Source: Bromley et al., NIPS 6 (1993).
    """

    margin: float = 0.0
    reduction: str = "mean"

    def forward(
        self,
        parameters: Mapping[str, Array],
        x1: Array,
        x2: Array,
        t: Array,
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        joint_shape(self, x1, x2)
        if t.ndim > 1 or not x1.ndim == x2.ndim == t.ndim + 1:
            shapes = (x1.shape, x2.shape, t.shape)
            raise reject(self, "the shapes of its inputs", shapes, "(D,), (D,) and (), or (N, D), (N, D) and (N,)")
        square = max(SQUARE, float(np.finfo(x1.real.dtype).tiny))
        m1, m2 = ((x * x).sum(-1, keepdims=True) + square for x in (x1, x2))
        length = np.sqrt(m1) * np.sqrt(m2)  # their product may be beyond float16
        cosine = ((x1 * x2).sum(-1, keepdims=True) / length)[..., 0]
        joint_shape(self, cosine, t)
        beyond = (cosine - self.margin).real < 0
        alike, different = t.real == 1, (t.real == -1) & ~beyond
        losses = np.where(alike, 1 - cosine, np.where(different, cosine - self.margin, 0))

        def back(g: Array) -> tuple[Array | None, ...]:
            along = np.expand_dims(np.where(alike, -g, np.where(different, g, 0)), -1)
            c = np.expand_dims(cosine, -1)
            first, second = along * (x2 / length - c * x1 / m1), along * (x1 / length - c * x2 / m2)
            return fold(first, x1.shape), fold(second, x2.shape), None

        return self.reduced(losses, back, branches=(beyond,))


@dataclass(frozen=True, eq=False)
class MultiLabelMarginLoss(Loss):
    """``l = 1/C sum max(0, 1 - (x_j - x_i))`` over all j that are meant and all i that are not.

    Backward: each term above 0 adds -1/C to ``dl/dx_j`` and 1/C to ``dl/dx_i``. A sample's target lists its classes, up
    to the first -1; one that is listed twice counts twice.

    Shapes: input x ``(C,)`` or ``(N, C)``, target likewise; l ``()`` or ``(N,)``.

    Source: Elisseeff and Weston, NIPS 14 (2001).
    """

    reduction: str = "mean"

    def forward(
        self,
        parameters: Mapping[str, Array],
        x: Array,
        target: Array,
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        if x.ndim > 2 or x.shape[-1:] == (0,):
            raise reject(self, "the shape of its input", x.shape, "(C,) or (N, C), C at least 1")
        check_shape(self, "its target", target, x.shape)
        classes = x.shape[-1] if x.ndim else 1
        check_classes(self, "a class in its target", target, -1, classes)
        scores, listed = x.reshape(-1, classes), target.reshape(-1, classes)
        used = np.logical_and.accumulate(listed >= 0, axis=1)
        meant = used[:, :, None] & (listed[:, :, None] == np.arange(classes))
        others = ~meant.any(1)[:, None, :]
        own = np.take_along_axis(scores, np.where(used, listed, 0), 1)
        short = 1 - own[:, :, None] + scores[:, None, :]
        costs = used[:, :, None] & others & (short.real > 0)
        losses = np.where(costs, short, 0).sum((1, 2)) / classes

        def back(g: Array) -> tuple[Array, None]:
            counts = costs.sum(1) - (costs.sum(2)[:, :, None] * meant).sum(1)
            return (counts.astype(g.dtype) * (g.reshape(-1, 1) / classes)).reshape(x.shape), None

        return self.reduced(losses.reshape(x.shape[:-1]), back, branches=(costs,))


@dataclass(frozen=True, eq=False)
class MultiMarginLoss(Loss):
    """``l = 1/C sum max(0, margin - x_t + x_i)^p w_t`` over all classes i but the class t that is meant, p = 1 or 2.

    Backward: with z the base of the power, ``dl/dx_i = [z > 0] p z^(p - 1) w_t / C``, and ``dl/dx_t`` is minus their
    sum.

    Shapes: input x ``(C,)`` or ``(N, C)``, target ``()`` or ``(N,)``; l as the target.

    Source: Crammer and Singer, JMLR 2 (2001).
    """

    p: int = 1
    margin: float = 1.0
    weight: Array | None = None
    reduction: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p not in (1, 2):
            raise reject(self, "p", self.p, "1 or 2")

    def forward(
        self,
        parameters: Mapping[str, Array],
        x: Array,
        target: Array,
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        if x.ndim > 2 or x.shape[-1:] == (0,):
            raise reject(self, "the shape of its input", x.shape, "(C,) or (N, C), C at least 1")
        classes = x.shape[-1] if x.ndim else 1
        scores = x.reshape(-1, classes)
        if target.ndim > 1 or target.size != len(scores):
            raise reject(self, "the shape of its target", target.shape, f"({len(scores)},), or () for one sample")
        check_classes(self, "a class in its target", target, 0, classes)
        meant = target.reshape(-1, 1)
        w = class_weights(self, self.weight, classes, x)[meant] / classes
        short = self.margin - np.take_along_axis(scores, meant, 1) + scores
        costs = (short.real > 0) & (meant != np.arange(classes))
        z = np.where(costs, short, 0)
        losses = ((z if self.p == 1 else z * z) * w).sum(1)

        def back(g: Array) -> tuple[Array, None]:
            each = np.where(costs, g.reshape(-1, 1) * w, 0) * (1 if self.p == 1 else 2 * z)
            own = np.where(meant == np.arange(classes), each.sum(1, keepdims=True), 0)
            return (each - own).reshape(x.shape), None

        return self.reduced(losses.reshape(target.shape), back, branches=(costs,))


class _Triplet(Loss):
    """What the triplet losses share: ``l = max(0, margin + d(a, p) - d(a, n))`` for a distance d."""

    margin: float
    swap: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.margin > 0:
            raise reject(self, "margin", self.margin, "a number above 0")

    @property
    def distance(self) -> Layer:
        """The distance, a layer of two inputs."""
        raise TypeError(f"{type(self).__name__} defines no distance")

    def forward(
        self,
        parameters: Mapping[str, Array],
        anchor: Array,
        positive: Array,
        negative: Array,
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        shapes = (anchor.shape, positive.shape, negative.shape)
        if not anchor.ndim == positive.ndim == negative.ndim:
            raise reject(self, "the shapes of its inputs", shapes, "equally many axes")
        joint_shape(self, anchor, positive, negative)
        # In one dtype, so that equal distances are equal where a complex step moves one of three.
        dtype = np.result_type(anchor, positive, negative)
        anchor, positive, negative = (x.astype(dtype, copy=False) for x in (anchor, positive, negative))
        pairs = [(0, anchor, 1, positive), (0, anchor, 2, negative), (1, positive, 2, negative)]
        steps = [self.distance.forward({}, x, y) for _, x, _, y in (pairs if self.swap else pairs[:2])]
        near, far, *others = (np.asanyarray(step.output) for step in steps)
        share, farness = np.ones_like(far), far
        if others:  # of two negatives that are equally far, each gets half of the gradient
            share = (np.sign((others[0] - far).real) + 1) / 2
            farness = np.where(share == 1, far, np.where(share == 0, others[0], (far + others[0]) / 2))
        short = self.margin + near - farness
        beyond = short.real < 0

        def back(g: Array) -> tuple[Array, ...]:
            g = np.where(beyond, 0, g)
            gradients = [np.zeros(shape, g.dtype) for shape in shapes]
            for step, flow, (i, _, j, _) in zip(steps, (g, -g * share, -g * (1 - share)), pairs):
                first, second = step.backward(fold(flow, np.shape(step.output))).inputs
                gradients[i], gradients[j] = gradients[i] + first, gradients[j] + second
            return tuple(gradients)

        branches = tuple(branch for step in steps for branch in step.branches)
        return self.reduced(np.where(beyond, 0, short), back, branches=(*branches, share, beyond))


@dataclass(frozen=True, eq=False)
class TripletMarginLoss(_Triplet):
    """``l = max(0, margin + d(a, p) - d(a, n))``, d the distance of PairwiseDistance with p and eps.

    Backward, where l is not cut off, its 0 included, through each distance: g into ``d(a, p)``, -g into ``d(a, n)``.
    With ``swap`` the negative's distance is the smaller one of ``d(a, n)`` and ``d(p, n)``, and the -g flows there,
    half into each where they are equal.

    Shapes: anchor a, positive p and negative n ``(*, D)``, which broadcast; l ``(*)``.

    Source: Balntas et al., BMVC (2016), eq. 2 and section 3.
    """

    margin: float = 1.0
    p: float = 2.0
    eps: float = 1e-6
    swap: bool = False
    reduction: str = "mean"

    @property
    def distance(self) -> Layer:
        return PairwiseDistance(self.p, self.eps)


@dataclass(frozen=True, eq=False, kw_only=True)
class TripletMarginWithDistanceLoss(_Triplet):
    """``l = max(0, margin + d(a, p) - d(a, n))``, as TripletMarginLoss, for any distance d.

    ``distance_function`` is a layer of two inputs, without parameters; None: PairwiseDistance.

    Backward: g goes back through ``d(a, p)``, and -g through ``d(a, n)``, where the loss is above 0.

    Shapes: anchor a, positive p and negative n as d takes them; l as d.

    Source: as TripletMarginLoss.
    """

    distance_function: Layer | None = None
    margin: float = 1.0
    swap: bool = False
    reduction: str = "mean"

    @property
    def distance(self) -> Layer:
        return self.distance_function or PairwiseDistance()
