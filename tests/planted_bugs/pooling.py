"""Mistakes in poolings."""

from math import prod

import numpy as np

from impl.layer import Array, Gradients
from impl.layers import LAYERS
from impl.pooling import plain, sliding, spread, wide
from impl.windows import per_axis

from .planting import Run, bug


def rows(run: Run, array: Array) -> Array:
    """Return an array with one row per plane."""
    return array.reshape(prod(run.x.shape[: -run.layer.rank]), -1)


def arriving(run: Run) -> Array:
    """Return the gradient of the maxima, one row per plane."""
    return rows(run, run.g[0] if isinstance(run.g, tuple) else run.g)


def candidates(run: Run) -> tuple[Array, Array]:
    """Return where each window looks, ``(elements of the kernel, windows)``, and what it sees there, row by row."""
    layer, spatial = run.layer, run.x.shape[-run.layer.rank :]
    kernel, padding, dilation = (per_axis(layer, n, layer.rank, 0) for n in ("kernel_size", "padding", "dilation"))
    stride = kernel if layer.stride is None else per_axis(layer, "stride", layer.rank, 1)
    places = np.zeros((1, 1), np.int64)
    outside = np.zeros((1, 1), bool)
    for size, *window in zip(spatial, kernel, stride, padding, dilation):
        along = sliding(size, *window, layer.ceil_mode)[None, :, None]
        places = (places[:, None, :, None] * size + along).reshape(len(places) * along.shape[1], -1)
        outside = (outside[:, None, :, None] | (along == size)).reshape(places.shape)
    places = np.where(outside, 0, places)
    return places, np.where(outside, -np.inf, rows(run, run.x)[:, places])


def handed_out(run: Run, indices: Array) -> Gradients:
    """Hand the gradient of every window to the element at ``indices``, row by row."""
    g = arriving(run)
    given = np.zeros_like(rows(run, run.dx))
    np.add.at(given, (np.arange(len(g))[:, None], indices), g)
    return run.input(given.reshape(run.x.shape))


def overwritten(run: Run) -> Gradients:
    """Where windows overlap the last one overwrites instead of adding."""
    indices = rows(run, run.again(return_indices=True).output[1])
    given = np.zeros_like(rows(run, run.dx))
    for row, places, gradients in zip(given, indices, arriving(run)):
        row[places] = gradients
    return run.input(given.reshape(run.x.shape))


def means(run: Run) -> Array:
    """Return what each element of each window gets, summed over windows, if the window's mean is not taken."""
    return spread(wide(run.g), plain(run.x.shape, run.layer._windows(run.x))).astype(run.dx.dtype)


OVERWRITTEN = "overwrit|instead of (adding|accumulat)"

bug("MaxPool2d", words=OVERWRITTEN, source="FluxML/NNlib.jl#205")(overwritten)
for _op in ("MaxPool1d", "AdaptiveMaxPool2d", "FractionalMaxPool2d"):
    bug(_op, words=OVERWRITTEN)(overwritten)


@bug("MaxPool2d", words=r"\bties?\b|kink", source="FluxML/NNlib.jl#205")
def _(run: Run) -> Gradients:
    """Of equal maxima the first in column-major order gets the gradient, not the first in row-major order."""
    places, seen = candidates(run)
    turned = np.arange(len(places)).reshape(per_axis(run.layer, "kernel_size", 2, 1)).T.ravel()
    winner = turned[seen[:, turned].argmax(axis=1)]
    return handed_out(run, places[winner, np.arange(places.shape[1])])


@bug("MaxPool2d", words=r"\bties?\b|kink", source="Theano/Theano#4568")
def _(run: Run) -> Gradients:
    """All of several equal maxima get the gradient of their window."""
    places, seen = candidates(run)
    g, given = arriving(run), np.zeros_like(rows(run, run.dx))
    for k, at in enumerate(places):
        share = np.where(seen[:, k] == seen.max(axis=1), g, 0)
        np.add.at(given, (np.arange(len(g))[:, None], np.broadcast_to(at, g.shape)), share)
    return run.input(given.reshape(run.x.shape))


@bug("MaxPool3d", words=r"\bties?\b|kink")
def _(run: Run) -> Gradients:
    """The last of several equal maxima gets the gradient."""
    places, seen = candidates(run)
    winner = len(places) - 1 - seen[:, ::-1].argmax(axis=1)
    return handed_out(run, places[winner, np.arange(places.shape[1])])


@bug("AdaptiveMaxPool3d", words="places of one another")
def _(run: Run) -> Gradients:
    """The first element of each window gets the gradient, not the greatest."""
    axes = [places[0] for places in run.layer._windows(run.x)]
    first = np.ravel_multi_index(np.meshgrid(*axes, indexing="ij"), run.x.shape[-3:]).ravel()
    return handed_out(run, np.broadcast_to(first, arriving(run).shape))


@bug("FractionalMaxPool3d", words="places of one another")
def _(run: Run) -> Gradients:
    """Backward takes the random numbers of depth for width, and those of width for depth."""
    turned = [np.ascontiguousarray(noise[..., ::-1]) for noise in run.noise]
    return LAYERS["FractionalMaxPool3d"].forward(run.layer, run.parameters, run.x, noise=turned).backward(run.g)


@bug("AvgPool2d", words="ceil_mode|border|divisor|last", source="tracel-ai/burn#5604")
def _(run: Run) -> Gradients:
    """The window that ceil_mode lets hang over is divided by the whole kernel, not by what of it counts."""
    layer = run.layer
    if not (layer.ceil_mode and layer.count_include_pad) or layer.divisor_override:
        return run.right
    return run.again(divisor_override=prod(per_axis(layer, "kernel_size", 2, 1))).backward(run.g)


@bug("AvgPool1d", words="count_include_pad|border|padding|divisor")
@bug("AvgPool2d", words="count_include_pad|border|padding|divisor", source="deeplearning4j/deeplearning4j#5219")
def _(run: Run) -> Gradients:
    """Backward counts the padding, though forward does not."""
    return run.again(count_include_pad=True).backward(run.g)


@bug("AvgPool2d", words="window|kernel|means? over")
def _(run: Run) -> Gradients:
    """The mean is forgotten: every pixel gets the whole gradient of its window."""
    return run.input(run.dx * prod(per_axis(run.layer, "kernel_size", 2, 1)))


@bug("AvgPool3d", words="divisor_override|divisor")
def _(run: Run) -> Gradients:
    """Backward divides by the size of the window whatever divisor_override says."""
    return run.again(divisor_override=None).backward(run.g)


@bug("LPPool1d", words="sign where the input is below 0")
def _(run: Run) -> Gradients:
    """The power p - 1 is taken of the magnitude: the sign of the input is lost."""
    return run.input(run.dx * np.where(run.x < 0, -1, 1).astype(run.dx.dtype))


@bug("LPPool2d", words="norm_type")
def _(run: Run) -> Gradients:
    """The p of the inner derivative is kept, though the outer one divides by it."""
    return run.input(run.dx * run.dx.dtype.type(run.layer.norm_type))


@bug("LPPool3d", words="times x")
def _(run: Run) -> Gradients:
    """The inner derivative is x^p, not x^(p - 1)."""
    return run.input(run.dx * run.x)


@bug("AdaptiveAvgPool1d", words="mean over")
def _(run: Run) -> Gradients:
    """The mean is forgotten: every element gets the whole gradient of its windows."""
    return run.input(means(run))


@bug("AdaptiveAvgPool2d", words="mean over")
def _(run: Run) -> Gradients:
    """All windows are taken to be of one size, what the output goes into the input."""
    return run.input((means(run) * (prod(run.y.shape[-2:]) / prod(run.x.shape[-2:]))).astype(run.dx.dtype))


@bug("MaxUnpool1d", words="place|order")
def _(run: Run) -> Gradients:
    """Element i gets the gradient of output i, wherever its index says it went."""
    return run.input(np.resize(run.g, (*run.x.shape[:-1], run.g.shape[-1]))[..., np.arange(run.x.shape[-1])])


def unpooled(run: Run, indices: Array) -> Gradients:
    """Gather the gradient at other indices, row by row."""
    found = np.take_along_axis(rows(run, run.g), rows(run, indices), axis=1)
    return run.input(found.reshape(run.x.shape))


@bug("MaxUnpool2d", words="plane|axis 1")
def _(run: Run) -> Gradients:
    """The indices of the first plane serve for all."""
    first = rows(run, run.inputs[1])[:1]
    return unpooled(run, np.broadcast_to(first, rows(run, run.x).shape))


@bug("MaxUnpool3d", words="zero where input 0 is below 0")
def _(run: Run) -> Gradients:
    """Only elements above 0 get a gradient, as if all came from a rectifier."""
    return run.input(run.dx * (run.x > 0))


@bug("Upsample", words="align_corners")
def _(run: Run) -> Gradients:
    """Backward aligns the corners where forward does not, and the other way round."""
    if not run.layer.mode.endswith(("linear", "cubic")):
        return run.right
    return run.again(align_corners=not run.layer.align_corners).backward(run.g)


@bug("UpsamplingNearest2d", words="where a sum belongs")
def _(run: Run) -> Gradients:
    """The copies of a pixel hand back their mean, not their sum."""
    copies = run.step.backward(np.ones_like(run.g)).inputs[0]
    assert copies is not None
    return run.input(run.dx / np.maximum(copies, 1))


@bug("UpsamplingBilinear2d", words="align_corners|corner")
def _(run: Run) -> Gradients:
    """Backward does not align the corners, as Upsample does not by default."""
    smooth = LAYERS["Upsample"](run.layer.size, run.layer.scale_factor, "bilinear", False)
    return smooth.forward({}, run.x).backward(run.g)
