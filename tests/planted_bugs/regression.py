"""Mistakes in losses of real targets."""

import numpy as np

from impl.layer import Gradients
from impl.layers.structural import fold

from .planting import Run, bug


@bug("L1Loss", words="kinks")
def _(run: Run) -> Gradients:
    """Where input and target are equal, the slope is 1 instead of 0."""
    x, t = run.inputs
    g = run.g / x.size if run.layer.reduction == "mean" else run.g
    at = np.where(x == t, np.broadcast_to(g, x.shape), 0).astype(run.dx.dtype)
    dt = run.right.inputs[1]
    assert dt is not None
    return run.input(run.dx + at, dt - at)


@bug("SmoothL1Loss", words="beta")
def _(run: Run) -> Gradients:
    """The slope of the parabola is not divided by beta."""
    beta, (x, t) = run.layer.beta, run.inputs
    near = np.abs(x - t) < beta
    factor = np.where(near, beta, 1).astype(x.dtype)
    return run.input(*(None if d is None else d * factor for d in run.right.inputs))


@bug("HuberLoss", words="delta")
def _(run: Run) -> Gradients:
    """Beyond delta the slope is 1, as in SmoothL1Loss, instead of delta."""
    delta, (x, t) = run.layer.delta, run.inputs
    factor = np.where(np.abs(x - t) > delta, 1 / delta, 1).astype(x.dtype)
    return run.input(*(None if d is None else d * factor for d in run.right.inputs))


@bug("PoissonNLLLoss", words="full is ignored")
def _(run: Run) -> Gradients:
    """Stirling's term is taken for a constant of the target."""
    return run.again(full=False).backward(run.g)


@bug("GaussianNLLLoss", words="2 times")
def _(run: Run) -> Gradients:
    """The gradient of the variance lacks its half."""
    own = run.right.inputs[2] if len(run.right.inputs) > 2 else None
    return run.input(*run.right.inputs[:2], None if own is None else 2 * own)


@bug("KLDivLoss", words="a mean over")
def _(run: Run) -> Gradients:
    """The mean over the batch divides by the number of elements."""
    if run.layer.reduction != "batchmean":
        return run.right
    return run.again(reduction="mean").backward(run.g)


@bug("KLDivLoss", words="xlogy|a term is missing")
def _(run: Run) -> Gradients:
    """The gradient of the target lacks the 1 of the derivative of t log t."""
    x, t = run.inputs
    count = {"mean": np.broadcast(x, t).size, "batchmean": x.shape[0]}.get(run.layer.reduction, 1)
    p = np.exp(t) if run.layer.log_target else np.ones_like(t)
    missing = fold(np.asarray(np.broadcast_to(run.g / count * p, np.broadcast(x, t).shape)), t.shape)
    own = run.right.inputs[1]
    assert own is not None
    return run.input(run.dx, (own - missing).astype(t.dtype))
