"""Mistakes in dropout."""

import numpy as np

from impl.layer import Array, Gradients

from .planting import Run, bug


def scale(run: Run) -> float:
    """What the kept elements are multiplied by; 1 where nothing is dropped."""
    return 1 / (1 - run.layer.p) if run.options["training"] and run.layer.p < 1 else 1.0


def kept(run: Run) -> Array:
    """Where the elements are kept."""
    if not run.options["training"] or run.layer.p in (0, 1):
        return np.full(run.x.shape, run.layer.p < 1 or not run.options["training"])
    return run.noise[0] < 1 - run.layer.p


@bug("Dropout", words="drop|mask|kept|p=0", source="ddbourgin/numpy-ml#94")
def _(run: Run) -> Gradients:
    """The mask is not applied: what was dropped gets a gradient, too."""
    return run.input((run.g * scale(run)).astype(run.g.dtype))


@bug("Dropout", words="input is (0|zero)|at (0|zero)|ties", source="kaldi-asr/kaldi#3890")
def _(run: Run) -> Gradients:
    """The mask is read off ``y / x``; where x is 0 all of the cotangent goes back."""
    return run.input(np.where(run.x == 0, run.g, run.dx))


@bug("Dropout", words="input is (0|zero)|at (0|zero)|ties", source="sony/nnabla#884")
def _(run: Run) -> Gradients:
    """The mask is read off the output: an input of 0 counts as dropped."""
    return run.input(np.where(run.y == 0, 0, run.dx))


@bug("Dropout", words=r"\b1 - p\b|\bp\b|drop")
def _(run: Run) -> Gradients:
    """What is kept is not scaled by 1 / (1 - p)."""
    return run.input(np.where(kept(run), run.g, 0))


@bug("Dropout1d", words=r"\b1 - p\b|\bp\b|drop")
def _(run: Run) -> Gradients:
    """What is kept is scaled twice."""
    return run.input((run.dx * scale(run)).astype(run.g.dtype))


@bug("Dropout2d", words="drop|mask|kept|p=0")
def _(run: Run) -> Gradients:
    """The mask is not applied: channels that were dropped get a gradient, too."""
    return run.input((run.g * scale(run)).astype(run.g.dtype))


@bug("Dropout3d", words=r"\b1 - p\b|\bp\b|drop")
def _(run: Run) -> Gradients:
    """What is kept is not scaled by 1 / (1 - p)."""
    return run.input((run.dx / scale(run)).astype(run.g.dtype))


@bug("AlphaDropout", words="p is ignored")
def _(run: Run) -> Gradients:
    """The p that was asked for is ignored: backward has the default one."""
    return run.again(p=0.5).backward(run.g) if run.noise else run.right


@bug("FeatureAlphaDropout", words="evaluation|p=0")
def _(run: Run) -> Gradients:
    """Backward hands the gradient on, in training too."""
    return run.input(run.g)
