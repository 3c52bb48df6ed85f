"""Connectionist temporal classification: the probability of a sequence of labels, summed over all alignments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from impl.layer import Array, Noise, Step, check_shape, reject
from impl.layers.loss import Loss, check_classes

__all__ = ["CTCLoss"]


def log_sum_exp(x: Array) -> Array:
    """Return ``log sum exp(x)`` over the first axis; -inf where all are."""
    highest = x.real.max(0)
    shift = np.where(np.isfinite(highest), highest, 0)
    with np.errstate(divide="ignore"):
        return np.asanyarray(np.log(np.exp(x - shift).sum(0)) + shift)


def moved(x: Array, by: int) -> Array:
    """Move the last axis by some places; what comes in is -inf."""
    out = np.full_like(x, -np.inf)
    if by > 0:
        out[..., by:] = x[..., :-by]
    else:
        out[..., :by] = x[..., -by:]
    return out


@dataclass(frozen=True, eq=False)
class CTCLoss(Loss):
    """``l = -log P``, P the sum over all alignments of the target with the time steps of ``exp(sum_t x_t)`` along them.

    An alignment says a label or ``blank`` at each step; repeated labels melt into one, then blanks fall out. Over the
    labels s with blanks between and around them, forward and backward sums, all in logarithms:

        a_t(s) = x_t(s) + log(exp a_{t-1}(s) + exp a_{t-1}(s - 1) + exp a_{t-1}(s - 2))
        b_t(s) = log(exp (b + x)_{t+1}(s) + exp (b + x)_{t+1}(s + 1) + exp (b + x)_{t+1}(s + 2))

    where a step of two is allowed if it passes a blank between two different labels, so that
    ``exp(a_t(s) + b_t(s) + l)`` is how probable s is at step t, given the target. Backward:
    ``dl/dx_t(c) = exp(x_t(c)) -`` the probability of label c at step t.

    That is not the derivative by x, which has no ``exp(x_t)``: it is torch's convention, the derivative by the scores
    of which x is the log_softmax. Behind a log_softmax both give the same, for its backward takes the difference away.

    Where no alignment fits into the steps, the loss is infinite and its gradient NaN; ``zero_infinity`` makes both 0.
    The mean divides each loss by the length of its target first, at least 1.

    Shapes: logarithms of probabilities x ``(T, N, C)`` or ``(T, C)``; targets ``(N, S)``, padded, or one after another
    ``(sum of target_lengths,)``; input_lengths and target_lengths ``(N,)``, or one number; l ``(N,)`` or ``()``.

    Source: Graves et al., ICML (2006), eq. 5 to 16.
    """

    blank: int = 0
    reduction: str = "mean"
    zero_infinity: bool = False

    def forward(
        self,
        parameters: Mapping[str, Array],
        log_probs: Array,
        targets: Array,
        input_lengths: Array | Sequence[int],
        target_lengths: Array | Sequence[int],
        *,
        training: bool = True,
        noise: Noise = None,
    ) -> Step:
        if log_probs.ndim not in (2, 3) or not log_probs.size:
            raise reject(self, "the shape of its input", log_probs.shape, "(T, N, C) or (T, C), nothing of it 0")
        x = log_probs if log_probs.ndim == 3 else log_probs[:, None]
        steps, samples, classes = x.shape
        if not 0 <= self.blank < classes:
            raise reject(self, "blank", self.blank, f"a class, 0 to {classes - 1}")
        ends = self._lengths("input_lengths", input_lengths, samples, steps)
        labels, lengths = self._labels(np.asanyarray(targets, np.int64), target_lengths, samples, classes)

        path = np.full((samples, 2 * labels.shape[1] + 1), self.blank)
        path[:, 1::2] = labels
        said = np.take_along_axis(x, np.broadcast_to(path, (steps, *path.shape)), 2)
        leaps = np.zeros(path.shape, bool)
        leaps[:, 2:] = path[:, 2:] != path[:, :-2]
        last = 2 * lengths[:, None] - np.arange(path.shape[1])
        final = np.where((last == 0) | (last == 1), 0, -np.inf).astype(x.dtype)

        before = np.where(np.arange(path.shape[1]) < 2, 0, -np.inf).astype(x.dtype) + np.zeros(path.shape, x.dtype)
        ahead: list[Array] = []
        for t in range(steps):
            if t:
                ways = [ahead[-1], moved(ahead[-1], 1), np.where(leaps, moved(ahead[-1], 2), -np.inf)]
                before = log_sum_exp(np.stack(ways))
            ahead.append(np.where(t < ends[:, None], before + said[t], ahead[-1] if t else -np.inf))
        losses = -log_sum_exp((ahead[-1] + final).T)
        losses = np.where((ends == 0) & (lengths == 0), 0, losses)
        infinite = losses.real == np.inf
        if self.zero_infinity:
            losses = np.where(infinite, 0, losses)
        weights = 1 / np.maximum(lengths, 1) if self.reduction == "mean" else np.ones(samples)

        def back(g: Array) -> tuple[Array | None, ...]:
            occupied = np.zeros(x.shape, x.dtype)
            behind = final
            for t in reversed(range(steps)):
                if t + 1 < steps:
                    through = behind + said[t + 1]
                    ways = [through, moved(through, -1), moved(np.where(leaps, through, -np.inf), -2)]
                    behind = np.where(t + 1 < ends[:, None], log_sum_exp(np.stack(ways)), final)
                odds = np.exp(ahead[t] + behind + np.where(infinite, 0, losses)[:, None])
                np.add.at(occupied[t], (np.arange(samples)[:, None], path), odds)
            gradient = np.exp(x) - occupied
            gradient[:, infinite] = 0 if self.zero_infinity else np.nan
            gradient[np.arange(steps)[:, None] >= ends] = 0
            each = (g.reshape(samples) * weights.astype(x.real.dtype))[:, None]
            return (gradient * each).reshape(log_probs.shape), None, None, None

        return self.reduced((losses * weights.astype(x.real.dtype)).reshape(log_probs.shape[1:-1]), back)

    def _lengths(self, name: str, given: Array | Sequence[int], samples: int, longest: int) -> Array:
        lengths = np.asanyarray(given, np.int64).reshape(-1)
        check_shape(self, name, lengths, (samples,))
        if ((lengths < 0) | (lengths > longest)).any():
            raise reject(self, name, lengths.tolist(), f"numbers from 0 to {longest}")
        return lengths

    def _labels(
        self, targets: Array, target_lengths: Array | Sequence[int], samples: int, classes: int
    ) -> tuple[Array, Array]:
        """Return the labels of each sample, padded with blanks, and how many they are."""
        together = targets.ndim == 1
        lengths = self._lengths("target_lengths", target_lengths, samples, targets.shape[-1] if targets.ndim else 0)
        check_shape(self, "targets", targets, (int(lengths.sum()),) if together else (samples, None))
        within = np.arange(int(lengths.max())) < lengths[:, None]
        labels = np.full(within.shape, self.blank)
        labels[within] = targets if together else targets[:, : within.shape[1]][within]
        check_classes(self, "a label in targets", labels, 0, classes)
        return labels, lengths
