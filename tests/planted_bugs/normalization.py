"""Mistakes in normalisations."""

from dataclasses import replace

import numpy as np

from impl.layer import Array, Gradients

from .planting import Run, as_channels, bug


def by_batch(run: Run) -> bool:
    """Whether a batch norm takes its statistics from the batch."""
    return bool(run.options["training"] or not run.layer.track_running_stats)


def batch_axes(run: Run) -> tuple[int, ...]:
    """The axes that a batch norm averages over."""
    return (0, *range(2, run.x.ndim))


def layer_axes(run: Run) -> tuple[int, ...]:
    """The axes that a layer norm, or a norm by root mean square, averages over."""
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


@bug("BatchNorm3d", words="statistics|term")
def _(run: Run) -> Gradients:
    """The term that flows through the variance is missing."""
    if not by_batch(run):
        return run.right
    axes = batch_axes(run)
    g, z, scale = scaled(run, axes)
    return run.input(run.dx + z * (g * z).mean(axis=axes, keepdims=True) * scale)


@bug("GroupNorm", words="num_groups", source="brainpy/BrainPy#765")
def _(run: Run) -> Gradients:
    """The statistics are those of all groups together."""
    return run.again(num_groups=1).backward(run.g)


@bug("GroupNorm", words=r"\bmean\b|term|constant")
def _(run: Run) -> Gradients:
    """The term that flows through the mean has the wrong sign."""
    groups = (len(run.x), run.layer.num_groups, -1)
    x = run.x.reshape(groups)
    weight = run.parameters.get("weight", np.ones(run.x.shape[1], run.x.dtype))
    g = (run.g * as_channels(weight, run.x.ndim)).reshape(groups)
    scale = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + run.layer.eps)
    return run.input(run.dx + (2 * scale * g.mean(axis=-1, keepdims=True) * np.ones_like(x)).reshape(run.x.shape))


@bug("InstanceNorm1d", words="evaluation|statistics")
def _(run: Run) -> Gradients:
    """In training the gradient is that of evaluation: the map is taken for affine."""
    return run.again(options={"training": False}).backward(run.g)


@bug("InstanceNorm2d", words="last|overwrit|index|axis 0")
def _(run: Run) -> Gradients:
    """Weight and bias keep the gradient of the last sample alone."""
    if run.x.ndim == 3:
        return run.right
    last = np.zeros_like(run.g)
    last[-1] = run.g[-1]
    alone = run.step.backward(last).parameters
    return run.own(weight=lambda _: alone["weight"], bias=lambda _: alone["bias"])


@bug("InstanceNorm3d", words="eps")
def _(run: Run) -> Gradients:
    """Backward takes statistics anew, without eps."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return run.again(eps=0.0).backward(run.g)


def by_root(run: Run) -> tuple[Array, Array, Array]:
    """Return the weight of a norm by root mean square, what it divided, and by what it was multiplied."""
    eps = np.finfo(run.x.dtype).eps if run.layer.eps is None else run.layer.eps
    scale = 1 / np.sqrt((run.x**2).mean(axis=layer_axes(run), keepdims=True) + run.x.dtype.type(eps))
    return run.parameters.get("weight", np.ones((), run.x.dtype)), run.x * scale, scale


@bug("RMSNorm", words="term|weight|multiple", source="NVIDIA/Megatron-LM#6859")
def _(run: Run) -> Gradients:
    """The term that flows through the root is multiplied by the weight twice."""
    weight, z, scale = by_root(run)
    along = z * (run.g * weight * z).mean(axis=layer_axes(run), keepdims=True) * scale
    return run.input(run.dx + along - weight * along)


@bug("RMSNorm", words=r"\bmean\b|term|constant")
def _(run: Run) -> Gradients:
    """The mean is taken off on the way back, as in layer normalisation."""
    weight, _, scale = by_root(run)
    return run.input(run.dx - scale * (run.g * weight).mean(axis=layer_axes(run), keepdims=True))


@bug("LocalResponseNorm", words="diagonal|one index|Jacobian|axis 1")
def _(run: Run) -> Gradients:
    """Each channel keeps to itself: what flows through its neighbours' sums is missing."""
    own = np.zeros_like(run.dx)
    for c in range(run.x.shape[1]):
        alone = np.zeros_like(run.g)
        alone[:, c] = run.g[:, c]
        dx = run.step.backward(alone).inputs[0]
        assert dx is not None
        own[:, c] = dx[:, c]
    return run.input(own)


@bug("LocalResponseNorm", words="alpha|size", source="MarcBS/keras#4")
def _(run: Run) -> Gradients:
    """Alpha is not divided by the size."""
    return run.again(alpha=run.layer.alpha * run.layer.size).backward(run.g)


@bug("CrossMapLRN2d", words="size|alpha|a term is missing")
def _(run: Run) -> Gradients:
    """Alpha is not divided by the size in what flows through the sum of squares."""
    direct = run.g * np.where(run.x == 0, 0, run.y / np.where(run.x == 0, 1, run.x))
    return run.input(np.where(run.x == 0, run.dx, direct + (run.dx - direct) * run.layer.size))
