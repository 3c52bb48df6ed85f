"""Mistakes in losses with a margin, in distances and in CTC."""

import numpy as np

from impl.layer import Array, Gradients
from impl.layers.structural import fold

from .planting import Run, bug


def each(run: Run, shape: tuple[int, ...], count: int) -> Array:
    """Return the cotangent of every element's loss."""
    return np.broadcast_to(np.asarray(run.g / count if run.layer.reduction == "mean" else run.g), shape)


@bug("HingeEmbeddingLoss", words="sign")
def _(run: Run) -> Gradients:
    """Different pairs are drawn together: the hinge's slope has the wrong sign."""
    x, t = run.inputs
    shape = np.broadcast(x, t).shape
    hinged = (np.broadcast_to(t, shape) == -1) & (run.layer.margin - x >= 0)
    flow = np.where(hinged, 2 * each(run, shape, hinged.size), 0)
    return run.input(run.dx + fold(flow, x.shape).astype(x.dtype))


@bug("SoftMarginLoss", words="sign")
def _(run: Run) -> Gradients:
    """The factor t of the chain rule is missing."""
    t = np.broadcast_to(run.inputs[1], run.x.shape).astype(run.x.dtype)
    return run.input(run.dx * t)


@bug("MarginRankingLoss", words="margin|kink")
def _(run: Run) -> Gradients:
    """The mask of what is beyond the margin is forgotten."""
    x1, x2, t = run.inputs
    shape = np.broadcast(x1, x2, t).shape
    flow = each(run, shape, int(np.prod(shape))) * t
    return run.input(fold(-flow, x1.shape).astype(x1.dtype), fold(flow, x2.shape).astype(x1.dtype))


@bug("MarginRankingLoss", words="target|input 2", source="mlpack/mlpack#3167")
def _(run: Run) -> Gradients:
    """The inputs get the gradient of the target."""
    x1, x2, t = run.inputs
    shape = np.broadcast(x1, x2, t).shape
    costs = run.layer.margin - t * (x1 - x2) >= 0
    wrong = np.where(costs, each(run, shape, int(np.prod(shape))) * (x2 - x1), 0)
    return run.input(fold(wrong, x1.shape).astype(x1.dtype), fold(wrong, x2.shape).astype(x1.dtype))


@bug("CosineEmbeddingLoss", words="a term is missing")
def _(run: Run) -> Gradients:
    """The derivative of the length is missing from the cosine's: the gradient points along x2."""
    x1, x2, _ = run.inputs
    units = [x / np.sqrt((x * x).sum(-1, keepdims=True) + x.dtype.type(1e-12)) for x in (x1, x2)]
    cosine = (units[0] * units[1]).sum(-1, keepdims=True)
    sine = 1 - cosine * cosine
    along = (run.dx * units[1]).sum(-1, keepdims=True) / np.where(sine > 1e-3, sine, np.inf)
    return run.input((run.dx + along * cosine * units[0]).astype(x1.dtype))


@bug("MultiLabelMarginLoss", words="a mean over")
def _(run: Run) -> Gradients:
    """The mean over the classes is missing."""
    return run.input(run.dx * (run.x.shape[-1] if run.x.ndim else 1))


@bug("MultiMarginLoss", words="p is ignored")
def _(run: Run) -> Gradients:
    """With p = 2, the slope is that of p = 1."""
    return run.again(p=1).backward(run.g)


@bug("MultiMarginLoss", words="is zero|at index")
def _(run: Run) -> Gradients:
    """The class that is meant gets no gradient."""
    x, target = run.inputs
    meant = np.arange(x.shape[-1]) == target.reshape(-1, 1)
    return run.input(np.where(meant.reshape(x.shape), 0, run.dx).astype(x.dtype))


@bug("TripletMarginLoss", words="swap")
def _(run: Run) -> Gradients:
    """With swap, the gradient of the negative's distance flows to the anchor all the same."""
    return run.again(swap=False).backward(run.g) if run.layer.swap else run.right


@bug("TripletMarginLoss", words="sign")
def _(run: Run) -> Gradients:
    """The negative is drawn near, as the positive is."""
    da, dp, dn = run.right.inputs
    assert dn is not None
    return run.input(da, dp, -dn)


@bug("TripletMarginWithDistanceLoss", words="nothing flowing back")
def _(run: Run) -> Gradients:
    """The anchor's gradient through the negative overwrites that through the positive."""
    if run.layer.swap or run.layer.reduction != "none":
        return run.right
    anchor, positive, _ = run.inputs
    near = run.layer.distance.forward({}, anchor, positive)
    flow = np.where(run.y > 0, run.g, 0).astype(anchor.dtype)
    lost = near.backward(fold(np.asarray(flow), np.shape(near.output)))
    assert lost.inputs[0] is not None
    return run.input(run.dx - lost.inputs[0])


@bug("PairwiseDistance", words="p is ignored")
def _(run: Run) -> Gradients:
    """Every norm has the derivative of the second."""
    return run.again(p=2.0).backward(run.g) if run.layer.p else run.right


@bug("PairwiseDistance", words="sign")
def _(run: Run) -> Gradients:
    """The second input has the gradient of the first."""
    dx2 = run.right.inputs[1]
    assert dx2 is not None
    return run.input(run.dx, -dx2)


@bug("CosineSimilarity", words="a term is missing|nothing flowing back")
def _(run: Run) -> Gradients:
    """The lengths are taken for constants."""
    axis = run.layer.dim
    shape = np.broadcast(*run.inputs).shape
    wide = [np.broadcast_to(x, shape) for x in run.inputs]
    lengths = [np.maximum(np.sqrt((x * x).sum(axis, keepdims=True)), run.layer.eps) for x in wide]
    g = np.expand_dims(run.g, axis)
    wrong = [g * wide[1 - i] / (lengths[0] * lengths[1]) for i in (0, 1)]
    return run.input(*(fold(w, x.shape).astype(x.dtype) for w, x in zip(wrong, run.inputs)))


@bug("CTCLoss", words="of div")
def _(run: Run) -> Gradients:
    """The mean over the batch does not divide by the lengths of the targets."""
    if run.layer.reduction != "mean":
        return run.right
    lengths = np.maximum(np.asarray(run.options["target_lengths"]), 1).astype(run.x.dtype)
    return run.input(run.dx * (lengths[:, None] if run.x.ndim == 3 else lengths[0]))


@bug("CTCLoss", words="softmax", source="tensorflow/tensorflow#41280")
def _(run: Run) -> Gradients:
    """Steps beyond the input's length get the gradient of a softmax that says nothing."""
    x = run.x if run.x.ndim == 3 else run.x[:, None]
    over = np.arange(len(x))[:, None] >= np.asarray(run.options["input_lengths"])
    g = np.reshape(run.g, -1) / (x.shape[1] if run.layer.reduction == "mean" else 1)
    wrong = run.dx.reshape(x.shape) + np.where(over, g, 0)[..., None] * np.exp(x)
    return run.input(wrong.reshape(run.x.shape).astype(run.x.dtype))


@bug("CTCLoss", words="softmax")
def _(run: Run) -> Gradients:
    """The plain derivative by the logarithms, without the exp(x) of the log_softmax before them."""
    x = run.x if run.x.ndim == 3 else run.x[:, None]
    within = np.arange(len(x))[:, None] < np.asarray(run.options["input_lengths"])
    lengths = np.maximum(np.asarray(run.options["target_lengths"]), 1)
    g = np.reshape(run.g, -1) / (x.shape[1] * lengths if run.layer.reduction == "mean" else 1)
    wrong = run.dx.reshape(x.shape) - np.where(within, g, 0)[..., None] * np.exp(x)
    return run.input(wrong.reshape(run.x.shape).astype(run.x.dtype))


@bug("CTCLoss", words="zero_infinity|softmax", source="rwth-i6/returnn#1835")
def _(run: Run) -> Gradients:
    """Where no alignment fits, zero_infinity zeroes the loss, but its gradient is the softmax."""
    if not run.layer.zero_infinity:
        return run.right
    x = run.x if run.x.ndim == 3 else run.x[:, None]
    each_loss = np.reshape(run.again(zero_infinity=False, reduction="none").output, -1)
    within = np.arange(len(x))[:, None] < np.asarray(run.options["input_lengths"])
    lengths = np.maximum(np.asarray(run.options["target_lengths"]), 1)
    g = np.reshape(run.g, -1) / (x.shape[1] * lengths if run.layer.reduction == "mean" else 1)
    wrong = run.dx.reshape(x.shape) + np.where(within & np.isinf(each_loss), g, 0)[..., None] * np.exp(x)
    return run.input(wrong.reshape(run.x.shape).astype(run.x.dtype))
