"""Mistakes in paddings."""

import numpy as np

from impl.layer import Array, Gradients
from impl.padding import Margins, unpad

from .planting import Run, bug


def place(run: Run, axis: int) -> Array:
    """Where the entries of the output lie along an axis of the input, counted from the back; outside where copied."""
    before, _ = run.layer.margins[axis]
    return (np.arange(run.g.shape[axis]) - before).reshape(-1, *(1,) * (-axis - 1))


def outside(run: Run, axis: int) -> Array:
    """Which of them lie before or after the input."""
    return (place(run, axis) < 0) | (place(run, axis) >= run.x.shape[axis])


def added(run: Run) -> Margins:
    """Return the margins, with nothing where something is taken away."""
    return [(max(before, 0), max(after, 0)) for before, after in run.layer.margins]


@bug("ConstantPad1d", words="padding")
def _(run: Run) -> Gradients:
    """Left and right are exchanged."""
    return run.input(unpad(run.g, [(after, before) for before, after in run.layer.margins], "zeros"))


@bug("ConstantPad2d", words="shape", source="ml-explore/mlx#4441")
def _(run: Run) -> Gradients:
    """What was added to the height is taken off the width, and the other way round."""
    return run.input(unpad(run.g, run.layer.margins[::-1], "zeros"))


@bug("ConstantPad3d", words="shape")
def _(run: Run) -> Gradients:
    """Only what was added is taken off; what was taken away is not filled up with zeros."""
    return run.input(unpad(run.g, added(run), "zeros"))


@bug("ZeroPad1d", words="shape")
def _(run: Run) -> Gradients:
    """The padding is taken off in front alone."""
    ((before, _),) = run.layer.margins
    return run.input(unpad(run.g, [(before, 0)], "zeros"))


@bug("ZeroPad2d", words="shape|remainder", source="data61/MP-SPDZ#1206")
def _(run: Run) -> Gradients:
    """The padding is not taken off: the gradient comes back as large as the padded input."""
    return run.input(run.g)


@bug("ReflectionPad1d", words="edge|mirror")
def _(run: Run) -> Gradients:
    """The mirror stands on the edge instead of the last element: each copy's gradient goes one place too far out."""
    size, at = run.x.shape[-1], place(run, -1)
    source = np.where(at < 0, -at - 1, np.where(at >= size, 2 * size - 1 - at, at))
    spread = np.zeros(run.x.shape, run.g.dtype)
    np.add.at(np.moveaxis(spread, -1, 0), source, np.moveaxis(run.g, -1, 0))
    return run.input(spread)


@bug("ReflectionPad2d", words="lacks|missing", source="intel/torch-xpu-ops#2901")
def _(run: Run) -> Gradients:
    """A column that is mirrored on both sides gets the gradient of its left mirror image alone."""
    size, at = run.x.shape[-1], place(run, -1)
    before, _ = run.layer.margins[-1]
    twice = (at >= size) & (2 * (size - 1) - at > 0) & (2 * (size - 1) - at <= before)
    return run.step.backward(np.where(twice, 0, run.g))


@bug("ReflectionPad3d", words="overwrit|instead of (adding|accumulat)")
def _(run: Run) -> Gradients:
    """The gradients of copies along the width overwrite instead of adding."""
    g = unpad(run.g, [*run.layer.margins[:-1], (0, 0)], "reflect")
    size, spread = run.x.shape[-1], np.zeros(run.x.shape, run.g.dtype)
    spread[..., size - 1 - abs(size - 1 - abs(place(run, -1)))] = g
    return run.input(spread)


@bug("ReplicationPad1d", words="averages")
def _(run: Run) -> Gradients:
    """The mean of the gradients of all copies instead of their sum."""
    copies = run.step.backward(np.ones_like(run.g)).inputs[0]
    return run.input(run.dx / np.maximum(copies, 1))


@bug("ReplicationPad2d", words="corner|border|edge|padding")
def _(run: Run) -> Gradients:
    """The corners of the padding are left out: they lie outside along both axes."""
    return run.step.backward(np.where(outside(run, -1) & outside(run, -2), 0, run.g))


@bug("ReplicationPad3d", words="lacks")
def _(run: Run) -> Gradients:
    """The copies behind the last slice are forgotten."""
    return run.step.backward(np.where(place(run, -3) >= run.x.shape[-3], 0, run.g))


@bug("CircularPad1d", words="ReplicationPad1d")
def _(run: Run) -> Gradients:
    """What was copied from the other end gives its gradient to the end beside it."""
    return run.input(unpad(run.g, run.layer.margins, "replicate"))


@bug("CircularPad2d", words="ZeroPad2d")
def _(run: Run) -> Gradients:
    """The padding is cut off, as if it had been zeros."""
    return run.input(unpad(run.g, run.layer.margins, "zeros"))
