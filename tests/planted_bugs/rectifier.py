"""Mistakes in activations that are piecewise straight."""

import numpy as np

from impl.layer import Array, Gradients

from .planting import Run, bug


@bug("ReLU", words="cotangent|upstream", source="haifengl/smile#528")
def _(run: Run) -> Gradients:
    """The gradient is overwritten with 0 or 1, the cotangent lost."""
    return run.input((run.x > 0).astype(run.g.dtype))


@bug("ReLU", words="kink|ties|at (exactly )?(0|zero)", source="pytorch/tutorials#269")
def _(run: Run) -> Gradients:
    """Gradient 1 at exactly 0, where torch has 0."""
    return run.input(np.where(run.x < 0, 0, run.g))


@bug("ReLU", words="sign of the cotangent|cotangent")
def _(run: Run) -> Gradients:
    """The sign of the cotangent decides instead of the sign of the input."""
    return run.input(np.where(run.g > 0, run.g, 0))


@bug("LeakyReLU", words="negative_slope|one side|below (0|zero)", source="chainer/chainer#5898")
def _(run: Run) -> Gradients:
    """The sign of the output decides, which is 0 everywhere below 0 if the slope is."""
    return run.input(np.where(run.y >= 0, run.g, run.g * run.layer.negative_slope))


@bug("LeakyReLU", words="negative_slope|one side|below (0|zero)", source="pytorch/pytorch#31938")
def _(run: Run) -> Gradients:
    """The sign of the output decides, which is turned if the slope is negative."""
    return run.input(np.where(run.y > 0, run.g, run.g * run.layer.negative_slope))


@bug("LeakyReLU", words="negative_slope", source="deeplearning4j/deeplearning4j#8178")
def _(run: Run) -> Gradients:
    """The slope that was asked for is ignored: backward has the default one."""
    return run.input(np.where(run.x > 0, run.g, run.g * 0.01))


@bug("PReLU", words="output", source="PaddlePaddle/Paddle#12538")
def _(run: Run) -> Gradients:
    """Whether an entry counts for the weight is decided on the output, whose sign is turned by a negative weight."""
    return run.own(weight=lambda right: weight_gradient(run, run.y <= 0).reshape(right.shape))


@bug("PReLU", words="mean over axis 0")
def _(run: Run) -> Gradients:
    """The gradient of the weight is a mean over the batch, not a sum."""
    return run.own(weight=lambda right: right / max(len(run.x) if run.x.ndim else 1, 1))


@bug("PReLU", words="wrong axes")
def _(run: Run) -> Gradients:
    """All channels share the sum of their gradients."""
    return run.own(weight=lambda right: np.full_like(right, right.sum()))


@bug("RReLU", words="evaluation")
def _(run: Run) -> Gradients:
    """Backward has the mean slope, which is that of evaluation."""
    return run.input(np.where(run.x > 0, run.g, run.g * (run.layer.lower + run.layer.upper) / 2))


@bug("RReLU", words="one side|below (0|zero)")
def _(run: Run) -> Gradients:
    """The slope that was drawn counts twice."""
    return run.input(np.where(run.x > 0, run.g, run.dx * np.divide(run.y, run.x, where=run.x != 0, out=run.x * 0)))


@bug("Threshold", words="at the output")
def _(run: Run) -> Gradients:
    """The output is held against the threshold: a value above it lets the gradient pass."""
    return run.input(np.where(run.y > run.layer.threshold, run.g, 0))


@bug("Hardtanh", words="kink|ties", source="pytorch/pytorch#120258")
def _(run: Run) -> Gradients:
    """Gradient 1 at the bounds, as the formula in the documentation suggests, where torch has 0."""
    low, high = run.layer.bounds
    return run.input(np.where((run.x >= low) & (run.x <= high), run.g, 0))


@bug("Hardtanh", words="(min|max)_val is ignored")
def _(run: Run) -> Gradients:
    """The bounds that were asked for are ignored: backward has the default ones."""
    return run.input(np.where(np.abs(run.x) < 1, run.g, 0))


@bug("ReLU6", words="kink|ties")
def _(run: Run) -> Gradients:
    """Gradient 1 at exactly 0 and 6, where torch has 0."""
    return run.input(np.where((run.x >= 0) & (run.x <= 6), run.g, 0))


@bug("Hardsigmoid", words="where the output is 0", source="pytorch/pytorch#51408")
def _(run: Run) -> Gradients:
    """Slope 1/6 below -3, too, where the function is flat."""
    return run.input(np.where(run.x < 3, run.g / 6, 0))


@bug("Hardswish", words="kink|ties", source="pytorch/pytorch#147801")
def _(run: Run) -> Gradients:
    """The middle piece reaches to both ends: slope -1/2 at -3 and 3/2 at 3, where torch has 0 and 1."""
    return run.input(np.where(np.abs(run.x) == 3, run.g * (run.x / 3 + 0.5), run.dx))


@bug("Hardshrink", words="kink|ties", source="BobMcDear/attorch#15")
def _(run: Run) -> Gradients:
    """The gap is open: gradient 1 at both of its ends, where torch has 0."""
    return run.input(np.where(np.abs(run.x) < run.layer.lambd, 0, run.g))


@bug("Softshrink", words="kink|ties", source="BobMcDear/attorch#15")
def _(run: Run) -> Gradients:
    """The gap is open: gradient 1 at both of its ends, where torch has 0."""
    return run.input(np.where(np.abs(run.x) < run.layer.lambd, 0, run.g))


def weight_gradient(run: Run, counts: Array) -> Array:
    """The gradient of a PReLU's weight, of the entries that count."""
    axes = tuple(axis for axis in range(run.x.ndim) if axis != 1 or run.layer.num_parameters == 1)
    return np.where(counts, run.g * run.x, 0).sum(axes)
