"""Mistakes in poolings."""

from math import prod

import numpy as np

from impl.layer import Array, Gradients
from impl.windows import per_axis

from .planting import Run, bug


def arriving(run: Run) -> Array:
    """Return the gradient of the maxima, one row per channel."""
    g = run.g[0] if isinstance(run.g, tuple) else run.g
    return np.asarray(g).reshape(-1, prod(g.shape[-2:]))


def candidates(run: Run) -> tuple[Array, Array]:
    """Return where each window looks, ``(elements of the kernel, windows)``, and what it sees there, row by row."""
    layer = run.layer
    places = layer._places(layer._axes(run.x, per_axis(layer, "dilation", 2, 1), layer.ceil_mode))
    return places, run.x.reshape(-1, prod(run.x.shape[-2:]))[:, places]


@bug("MaxPool2d", words="overwrit|instead of (adding|accumulat)", source="FluxML/NNlib.jl#205")
def _(run: Run) -> Gradients:
    """Where windows overlap the last one overwrites instead of adding."""
    (winners,) = run.step.branches
    g = arriving(run)
    spread = np.zeros((len(g), prod(run.x.shape[-2:])), g.dtype)
    for row, (places, gradients) in enumerate(zip(winners, g)):
        spread[row, places] = gradients
    return run.input(spread.reshape(run.x.shape))


@bug("MaxPool2d", words=r"\bties?\b|kink", source="FluxML/NNlib.jl#205")
def _(run: Run) -> Gradients:
    """Of equal maxima the first in column-major order gets the gradient, not the first in row-major order."""
    places, seen = candidates(run)
    kernel = per_axis(run.layer, "kernel_size", 2, 1)
    turned = np.arange(len(places)).reshape(kernel).T.ravel()
    winner = turned[seen[:, turned].argmax(axis=1)]
    indices = places[winner, np.arange(places.shape[1])]
    g = arriving(run)
    spread = np.zeros((len(g), prod(run.x.shape[-2:])), g.dtype)
    np.add.at(spread, (np.arange(len(g))[:, None], indices), g)
    return run.input(spread.reshape(run.x.shape))


@bug("MaxPool2d", words=r"\bties?\b|kink", source="Theano/Theano#4568")
def _(run: Run) -> Gradients:
    """All of several equal maxima get the gradient of their window."""
    places, seen = candidates(run)
    g = arriving(run)
    spread = np.zeros((len(g), prod(run.x.shape[-2:])), g.dtype)
    greatest = seen.max(axis=1)
    for k, at in enumerate(places):
        new = ~(places[:k] == at).any(axis=0)  # padding stands for a neighbour, which counts once
        share = np.where((seen[:, k] == greatest) & new, g, 0)
        np.add.at(spread, (np.arange(len(g))[:, None], np.broadcast_to(at, g.shape)), share)
    return run.input(spread.reshape(run.x.shape))


@bug("AvgPool2d", words="ceil_mode|border|divisor|last", source="tracel-ai/burn#5604")
def _(run: Run) -> Gradients:
    """The window that ceil_mode lets hang over is divided by the whole kernel, not by what of it counts."""
    layer = run.layer
    if not (layer.ceil_mode and layer.count_include_pad) or layer.divisor_override:
        return run.right
    return run.again(divisor_override=prod(per_axis(layer, "kernel_size", 2, 1))).backward(run.g)


@bug("AvgPool2d", words="count_include_pad|border|padding|divisor", source="deeplearning4j/deeplearning4j#5219")
def _(run: Run) -> Gradients:
    """Backward counts the padding, though forward does not."""
    return run.again(count_include_pad=True).backward(run.g)


@bug("AvgPool2d", words="window|kernel|means? over")
def _(run: Run) -> Gradients:
    """The mean is forgotten: every pixel gets the whole gradient of its window."""
    return run.input(run.dx * prod(per_axis(run.layer, "kernel_size", 2, 1)))
