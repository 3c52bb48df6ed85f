"""Losses of classes with a linear map of their own, from features to scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import nan, prod

import numpy as np

from impl.layer import Array, Composed, Gradients, Noise, Step, check_shape, reject
from impl.layers.classification import CrossEntropyLoss
from impl.layers.linear import Linear
from impl.layers.loss import Loss, check_classes
from impl.layers.softmax import log_softmax

__all__ = ["AdaptiveLogSoftmaxWithLoss", "LinearCrossEntropyLoss"]


class _WithLinears(Composed):
    """What losses share whose parts are linear maps: to run one of them."""

    def mapped(
        self, name: str, parameters: Mapping[str, Array], x: Array
    ) -> tuple[Array, Callable[[Array], tuple[Array, dict[str, Array]]]]:
        """Run a map; return y, and what takes dE/dy to dE/dx and the gradients of the map's parameters."""
        own = self.parts[name]
        step = own.forward({n: parameters[f"{name}.{n}"] for n in own.parameter_shapes}, x)

        def back(g: Array) -> tuple[Array, dict[str, Array]]:
            gradients = step.backward(g)
            dx = gradients.inputs[0]
            assert dx is not None
            return dx, {f"{name}.{n}": gradient for n, gradient in gradients.parameters.items()}

        return np.asarray(step.output), back


@dataclass(frozen=True, eq=False)
class LinearCrossEntropyLoss(_WithLinears, Loss):
    """CrossEntropyLoss of the scores ``x W^T + b``: Linear first, of C times prod(out_features) outputs.

    Backward through both. ``ignore_index`` None is -100 for a target of class indices; a target of probabilities takes
    no other. ``options`` is refused: torch saves memory by it, and computes the same.

    Shapes: input x ``(in_features,)`` or ``(N, in_features)``; target ``()``, ``(N,)`` or ``(N, *out_features)`` of
    class indices, or ``(C,)`` or ``(N, C, *out_features)`` of probabilities; l as the target of indices.

    Source: as Linear and CrossEntropyLoss.
    """

    in_features: int
    num_classes: int
    out_features: Sequence[int] = field(default=(), kw_only=True)
    bias: bool = field(default=False, kw_only=True)
    reduction: str = field(default="mean", kw_only=True)
    weight: Array | None = field(default=None, kw_only=True)
    ignore_index: int | None = field(default=None, kw_only=True)
    label_smoothing: float = field(default=0.0, kw_only=True)
    options: None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.label_smoothing <= 1:
            raise reject(self, "label_smoothing", self.label_smoothing, "a number from 0 to 1")
        if self.options is not None:
            raise reject(self, "options", self.options, "None: they save memory, and change no number")
        if self.weight is not None:
            check_shape(self, "weight", np.asarray(self.weight), (self.num_classes,))

    @property
    def parts(self) -> dict[str, Linear]:
        return {"linear": Linear(self.in_features, self.num_classes * prod(self.out_features), self.bias)}

    def forward(
        self,
        parameters: Mapping[str, Array],
        x: Array,
        target: Array,
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        check_shape(self, "its input", x, (None, self.in_features) if x.ndim > 1 else (self.in_features,))
        if x.ndim == 1 and self.out_features:
            raise reject(self, "the shape of its input", x.shape, f"(N, {self.in_features}), with out_features")
        ignored = -100 if self.ignore_index is None else self.ignore_index
        if target.dtype.kind not in "iu" and self.ignore_index is not None:
            raise reject(self, "ignore_index", self.ignore_index, "None for a target of probabilities")
        flat, back = self.mapped("linear", parameters, x)
        scores = flat.reshape(*x.shape[:-1], self.num_classes, *self.out_features)
        step = CrossEntropyLoss(self.weight, ignored, self.reduction, self.label_smoothing).forward({}, scores, target)

        def backward(g: Array) -> Gradients:
            d_scores, d_target = step.backward(g).inputs
            assert d_scores is not None
            dx, own = back(d_scores.reshape(flat.shape))
            return Gradients((dx, d_target), own)

        return Step(step.output, backward)


@dataclass(frozen=True, eq=False)
class AdaptiveLogSoftmaxWithLoss(_WithLinears):
    """The logarithm of the probability of the class t that is meant, and the loss ``-mean`` of it.

    The most frequent classes, below the first cutoff, stand in the head, beside one entry for each cluster of rarer
    ones (between two cutoffs), which has scores of its own from a smaller space:
    ``y = log softmax(head x)_t``, or ``y = log softmax(head x)_cluster + log softmax(V U x)_t``, with U to
    ``in_features // div_value^i`` features for cluster i = 1, 2 ...

    Backward: with ``r = g - g_loss / N``, ``dE/d(scores) = r (e_t - softmax(scores))`` for each softmax, then through
    the linear maps.

    Shapes: input x ``(in_features,)`` or ``(N, in_features)``, target ``()`` or ``(N,)``; y as the target, the loss
    ``()``.

    Source: Grave et al., ICML (2017), section 4.
    """

    in_features: int
    n_classes: int
    cutoffs: Sequence[int]
    div_value: float = 4.0
    head_bias: bool = False

    def __post_init__(self) -> None:
        bounds = [0, *self.cutoffs, self.n_classes]
        if len(bounds) == 2 or any(int(c) != c for c in bounds) or any(a >= b for a, b in pairwise(bounds)):
            wanted = f"increasing integers from 1 to {self.n_classes - 1}"
            raise reject(self, "cutoffs", list(self.cutoffs), wanted)

    @property
    def parts(self) -> dict[str, Linear]:
        maps = {"head": Linear(self.in_features, self.cutoffs[0] + len(self.cutoffs), self.head_bias)}
        for i, (low, high) in enumerate(pairwise([*self.cutoffs, self.n_classes])):
            width = int(self.in_features // self.div_value ** (i + 1))
            maps[f"tail.{i}.0"] = Linear(self.in_features, width, bias=False)
            maps[f"tail.{i}.1"] = Linear(width, high - low, bias=False)
        return maps

    def forward(
        self,
        parameters: Mapping[str, Array],
        x: Array,
        target: Array,
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        if target.ndim > 1:
            raise reject(self, "the shape of its target", target.shape, "() or (N,)")
        check_shape(self, "its input", x, (*target.shape, self.in_features))
        check_classes(self, "a class in its target", target, 0, self.n_classes)
        samples, classes = x.reshape(-1, self.in_features), target.reshape(-1)
        cluster = np.searchsorted(self.cutoffs, classes, side="right")
        entry = np.where(cluster == 0, classes, self.cutoffs[0] + cluster - 1)
        found, back_head = self._chosen(("head",), parameters, samples, entry)
        output, tails = found, []
        for i, low in enumerate(self.cutoffs):
            rows = np.flatnonzero(cluster == i + 1)
            names = (f"tail.{i}.0", f"tail.{i}.1")
            found, back = self._chosen(names, parameters, samples[rows], classes[rows] - low)
            placed = np.zeros_like(found, shape=output.shape)
            placed[rows] = found
            output = output + placed
            tails.append((rows, back))
        count = len(samples) or nan

        def backward(g: tuple[Array | None, Array | None]) -> Gradients:
            each = np.zeros_like(output) if g[0] is None else g[0].reshape(output.shape)
            if g[1] is not None:
                each = each - g[1] / count
            dx, own = back_head(each)
            for rows, back in tails:
                gradient, gradients = back(each[rows])
                dx[rows] += gradient
                own |= gradients
            return Gradients((dx.reshape(x.shape), None), own)

        return Step((output.reshape(target.shape), np.asarray(-output.sum() / count)), backward)

    def _chosen(
        self, names: tuple[str, ...], parameters: Mapping[str, Array], x: Array, chosen: Array
    ) -> tuple[Array, Callable[[Array], tuple[Array, dict[str, Array]]]]:
        """Return the log_softmax of linear maps, one after another, at the chosen entries, and what goes back."""
        backs = []
        for name in names:
            x, back_map = self.mapped(name, parameters, x)
            backs.append(back_map)
        log_p = log_softmax(x, 1)
        at = np.expand_dims(chosen, 1)

        def back(g: Array) -> tuple[Array, dict[str, Array]]:
            flow = np.expand_dims(g, 1) * ((np.arange(log_p.shape[1]) == at) - np.exp(log_p))
            gradients: dict[str, Array] = {}
            for back_map in reversed(backs):
                flow, own = back_map(flow)
                gradients |= own
            return flow, gradients

        return np.take_along_axis(log_p, at, 1)[:, 0], back
