"""Mistakes in normalisations."""

from dataclasses import replace

import numpy as np

from impl.layer import Array, Gradients

from .planting import Run, bug


def by_batch(run: Run) -> bool:
    """Whether a batch norm takes its statistics from the batch."""
    return bool(run.options["training"] or not run.layer.track_running_stats)


def batch_axes(run: Run) -> tuple[int, ...]:
    """The axes that a batch norm averages over."""
    return (0, *range(2, run.x.ndim))


def layer_axes(run: Run) -> tuple[int, ...]:
    """The axes that a layer norm averages over."""
    shape = run.layer.normalized_shape
    return tuple(range(-(1 if isinstance(shape, int) else len(shape)), 0))


def scaled(run: Run, axes: tuple[int, ...]) -> tuple[Array, Array, Array]:
    """Return the cotangent of what was standardised, what was standardised, and by what it was multiplied."""
    x, weight = run.x, run.parameters.get("weight", np.ones(1, run.x.dtype))
    channels = (1, -1, *(1,) * (x.ndim - 2)) if 0 in axes and weight.size > 1 else weight.shape
    centred = x - x.mean(axis=axes, keepdims=True)
    scale = (1 / np.sqrt((centred**2).mean(axis=axes, keepdims=True) + run.layer.eps)).astype(x.dtype)
    return run.g * weight.reshape(channels), centred * scale, scale


@bug("BatchNorm2d", words="statistics|term", source="facebookresearch/CrypTen#143")
def _(run: Run) -> Gradients:
    """The batch's mean and variance are taken for constants."""
    if not by_batch(run):
        return run.right
    g, _, scale = scaled(run, batch_axes(run))
    return run.input(g * scale)


@bug("BatchNorm1d", words=r"\bmean\b|term", source="mlpack/mlpack#1923")
def _(run: Run) -> Gradients:
    """The term that flows through the mean is summed over the batch, not averaged."""
    if not by_batch(run):
        return run.right
    axes = batch_axes(run)
    g, _, scale = scaled(run, axes)
    return run.input(run.dx + scale * (g.mean(axis=axes, keepdims=True) - g.sum(axis=axes, keepdims=True)))


@bug("BatchNorm2d", words="statistics|training|running", source="pytorch/xla#913")
def _(run: Run) -> Gradients:
    """In evaluation the gradient is that of training: it goes through the batch's statistics."""
    if by_batch(run) or run.x.size == run.x.shape[1]:
        return run.right
    return run.again(options={"training": True}).backward(run.g)


@bug("BatchNorm1d", words="eps", source="chainer/chainer#4191")
def _(run: Run) -> Gradients:
    """Eps is missing where backward takes the root of the variance."""
    if not by_batch(run):
        return run.right
    variance = run.x.var(axis=batch_axes(run), keepdims=True)
    return run.input(run.dx * np.sqrt(1 + run.layer.eps / np.maximum(variance, np.finfo(run.x.dtype).tiny)))


@bug("BatchNorm1d", words="term|statistics", source="RubixML/ML#423")
def _(run: Run) -> Gradients:
    """Backward averages by the number of features where the size of the batch belongs."""
    if not by_batch(run) or run.x.ndim > 2:
        return run.right
    g, z, scale = scaled(run, (0,))
    width = run.x.shape[1]
    return run.input((g - g.sum(axis=0) / width - z * (g * z).sum(axis=0) / width) * scale)


@bug("BatchNorm2d", words="missing", source="paiml/aprender#2200")
def _(run: Run) -> Gradients:
    """No gradient reaches weight and bias: the output was made off the tape."""
    return replace(run.right, parameters={})


@bug("LayerNorm", words=r"\bmean\b|term|constant", source="mlpack/mlpack#1930")
def _(run: Run) -> Gradients:
    """The term that flows through the mean is summed over the features, not averaged."""
    axes = layer_axes(run)
    g, _, scale = scaled(run, axes)
    return run.input(run.dx + scale * (g.mean(axis=axes, keepdims=True) - g.sum(axis=axes, keepdims=True)))


@bug("LayerNorm", words=r"\bmean\b|term|constant")
def _(run: Run) -> Gradients:
    """The input misses the term of the mean, and is off by a constant per row."""
    axes = layer_axes(run)
    g, _, scale = scaled(run, axes)
    return run.input(run.dx + scale * g.mean(axis=axes, keepdims=True))
