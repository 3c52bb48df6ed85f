"""Mistakes where windows become columns, and numbers change their places."""

import numpy as np

from impl.layer import Array, Gradients
from impl.windows import per_axis

from .planting import Run, bug


@bug("Fold", words="places|blocks")
def _(run: Run) -> Gradients:
    """The rows and the columns of the kernel are exchanged in what a column stands for."""
    height, width = per_axis(run.layer, "kernel_size", 2, 1)
    table = run.dx.reshape(*run.dx.shape[:-2], -1, height, width, run.dx.shape[-1])
    return run.input(table.swapaxes(-2, -3).reshape(run.dx.shape))


@bug("Unfold", words="overwrit|instead of (adding|accumulat)")
def _(run: Run) -> Gradients:
    """Where windows overlap the last one overwrites instead of adding."""
    # Numbers instead of pixels tell from which pixel each entry of a column came.
    numbers = run.again(1.0 + np.arange(run.x.size).reshape(run.x.shape)).output
    assert isinstance(numbers, np.ndarray)
    sources, g = numbers.ravel().astype(int), run.g.ravel()
    spread = np.zeros(run.x.size + 1, g.dtype)
    spread[sources] = g
    return run.input(spread[1:].reshape(run.x.shape))


def blocks(x: Array, r: int) -> Array:
    """Look at an image as blocks of r by r pixels: ``(*, C, H, r, W, r)``."""
    *lead, height, width = x.shape
    return x.reshape(*lead, height // r, r, width // r, r)


@bug("PixelShuffle", words="places|blocks")
def _(run: Run) -> Gradients:
    """The rows and the columns of each block of pixels are exchanged."""
    r = run.layer.upscale_factor
    return run.step.backward(blocks(run.g, r).swapaxes(-1, -3).reshape(run.g.shape))


@bug("PixelUnshuffle", words="places", source="microsoft/onnxscript#2891")
def _(run: Run) -> Gradients:
    """The channels are taken to be dealt out by pixel first, as in TensorFlow."""
    *lead, channels, height, width = run.g.shape
    r = run.layer.downscale_factor
    table = run.g.reshape(*lead, r * r, channels // (r * r), height, width)
    return run.step.backward(np.moveaxis(table, -4, -3).reshape(run.g.shape))


@bug("ChannelShuffle", words="Jacobian|groups", source="megvii-model/ShuffleNet-Series#17")
def _(run: Run) -> Gradients:
    """Groups and channels per group are exchanged: the gradient is shuffled once more instead of back."""
    return run.input(run.again(run.g).output)
