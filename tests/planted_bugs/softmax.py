"""Mistakes in softmaxes."""

import numpy as np

from impl.layer import Gradients

from .planting import Run, bug


@bug("Softmax", words="term|diagonal|Jacobian|keeps to one index", source="deeplearning4j/libnd4j#440")
def _(run: Run) -> Gradients:
    """Only the diagonal of the Jacobian."""
    return run.input(run.g * run.y * (1 - run.y))


@bug("LogSoftmax", words="term|softmax|cotangent", source="mlpack/mlpack#2360")
def _(run: Run) -> Gradients:
    """The softmax is added to the cotangent instead of taken off, times its sum."""
    return run.input(run.g + np.exp(run.y))


@bug("Softmin", words="sign")
def _(run: Run) -> Gradients:
    """The sign of ``-x`` is forgotten on the way back."""
    return run.input(-run.dx)


@bug("Softmax2d", words="axis|diagonal")
def _(run: Run) -> Gradients:
    """The sum runs over the last axis instead of the channels."""
    return run.input(run.y * (run.g - (run.g * run.y).sum(-1, keepdims=True)))
