"""Mistakes in paddings."""

import numpy as np

from impl.layer import Array, Gradients
from impl.padding import Margins, unpad

from .planting import Run, bug


def outside(run: Run, axis: int) -> Array:
    """Which places of the output lie before or after the input along an axis, counted from the back."""
    before, after = run.layer.margins[axis]
    place = np.arange(run.g.shape[axis]) - before
    there = (place < 0) | (place >= run.x.shape[axis])
    return there.reshape(-1, *(1,) * (-axis - 1))


def added(run: Run) -> Margins:
    """Return the margins, with nothing where something is taken away."""
    return [(max(before, 0), max(after, 0)) for before, after in run.layer.margins]


@bug("ConstantPad1d", words="border|ends?\\b|first|last")
def _(run: Run) -> Gradients:
    """The gradient of the constant goes to the ends of the input, as if they had been copied."""
    return run.input(unpad(run.g, run.layer.margins, "replicate"))


@bug("ConstantPad2d", words="shape", source="ml-explore/mlx#4441")
def _(run: Run) -> Gradients:
    """What was added to the height is taken off the width, and the other way round."""
    return run.input(unpad(run.g, run.layer.margins[::-1], "zeros"))


@bug("ConstantPad3d", words="shape")
def _(run: Run) -> Gradients:
    """Only what was added is taken off; what was taken away is not filled up with zeros."""
    return run.input(unpad(run.g, added(run), "zeros"))


@bug("ZeroPad1d", words="padding|shift|moved|revers")
def _(run: Run) -> Gradients:
    """Left and right are exchanged."""
    return run.input(unpad(run.g, [(after, before) for before, after in run.layer.margins], "zeros"))


@bug("ZeroPad2d", words="shape|remainder", source="data61/MP-SPDZ#1206")
def _(run: Run) -> Gradients:
    """The padding is not taken off: the gradient comes back as large as the padded input."""
    return run.input(run.g)


@bug("ReflectionPad1d", words="padding|border|edge|ends?\\b|first|last")
def _(run: Run) -> Gradients:
    """The mirror stands on the edge instead of the last element: each copy's gradient goes one place too far out."""
    before, after = run.layer.margins[-1]
    size = run.x.shape[-1]
    place = np.arange(-before, size + after)
    source = np.where(place < 0, -place - 1, np.where(place >= size, 2 * size - 1 - place, place))
    spread = np.zeros_like(run.x, run.g.dtype)
    np.add.at(np.moveaxis(spread, -1, 0), source, np.moveaxis(run.g, -1, 0))
    return run.input(spread)


@bug("ReflectionPad2d", words="lacks|missing", source="intel/torch-xpu-ops#2901")
def _(run: Run) -> Gradients:
    """A column that is mirrored on both sides gets the gradient of its left mirror image alone."""
    before, after = run.layer.margins[-1]
    size, g = run.x.shape[-1], run.g.copy()
    for place in range(max(size, size - after), size + after):
        if 0 < 2 * (size - 1) - place <= before:
            g[..., before + place] = 0
    return run.step.backward(g)


@bug("ReflectionPad3d", words="overwrit|instead of (adding|accumulat)")
def _(run: Run) -> Gradients:
    """The gradients of copies along the width overwrite instead of adding."""
    *others, (before, after) = run.layer.margins
    g = unpad(run.g, [*others, (0, 0)], "reflect")
    size = run.x.shape[-1]
    place = np.arange(-before, size + after)
    spread = np.zeros_like(run.x, run.g.dtype)
    spread[..., size - 1 - abs(size - 1 - abs(place))] = g
    return run.input(spread)


@bug("ReplicationPad1d", words="means? over|divided")
def _(run: Run) -> Gradients:
    """The mean of the gradients of all copies instead of their sum."""
    copies = run.step.backward(np.ones_like(run.g)).inputs[0]
    return run.input(run.dx / np.maximum(copies, 1))


@bug("ReplicationPad2d", words="corner|border|edge|padding")
def _(run: Run) -> Gradients:
    """The corners of the padding are left out: they lie outside along both axes."""
    return run.step.backward(np.where(outside(run, -1) & outside(run, -2), 0, run.g))


@bug("ReplicationPad3d", words="padding|lacks|first|last")
def _(run: Run) -> Gradients:
    """The copies in front and behind are forgotten."""
    return run.step.backward(np.where(outside(run, -3), 0, run.g))


@bug("CircularPad1d", words="padding|ends?\\b|border|first|last")
def _(run: Run) -> Gradients:
    """What was copied from the other end gives its gradient to the end beside it."""
    return run.input(unpad(run.g, run.layer.margins, "replicate"))


@bug("CircularPad2d", words="padding|lacks|border")
def _(run: Run) -> Gradients:
    """The padding is cut off, as if it had been zeros."""
    return run.input(unpad(run.g, run.layer.margins, "zeros"))
