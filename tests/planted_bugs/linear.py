"""Mistakes in linear maps."""

import numpy as np

from impl.layer import Array, Gradients

from .planting import Run, bug


@bug("Linear", words=r"1\.001")
def _(run: Run) -> Gradients:
    """The weight is off by a factor of 1.001, which gradcheck's defaults accept."""
    return run.own(weight=lambda w: w * w.dtype.type(1.001))


@bug("Linear", words=r"\b1 of \d|one (entry|element|coordinate)|single")
def _(run: Run) -> Gradients:
    """One element of the weight is 10 % too large."""

    def one(w: Array) -> Array:
        w = w.copy()
        w.flat[-1] *= 1.1
        return w

    return run.own(weight=one)


@bug("Linear", words="means? over|not summed", source="kvfrans/notes#5")
def _(run: Run) -> Gradients:
    """The bias is averaged over the batch instead of summed."""
    return run.own(bias=lambda b: b / (run.g.size // b.size))


@bug("Linear", words="not summed", source="mlpack/mlpack#3679")
def _(run: Run) -> Gradients:
    """The gradient of the bias is the cotangent itself, not summed over the batch."""
    return run.own(bias=lambda b: run.g)


@bug("Linear", words="summed over axis|summed over the wrong axes|for all", source="rasbt/stat453-deep-learning-ss21#5")
def _(run: Run) -> Gradients:
    """The bias is summed over the outputs, too: every one gets the same gradient."""
    return run.own(bias=lambda b: np.full_like(b, b.sum()))


@bug("Linear", words=r"\b2 times|twice", source="itskonrad/miniMNIST-c#7")
def _(run: Run) -> Gradients:
    """What flows back to the input is added up twice, once before and once within the weight's loop."""
    return run.input(2 * run.dx)


@bug("Bilinear", words="cotangent|upstream", source="torch/nn#658")
def _(run: Run) -> Gradients:
    """The cotangent is left out of the gradients of both inputs."""
    return run.input(*run.step.backward(np.ones_like(run.g)).inputs)


@bug("Bilinear", words="shape", source="pytorch/pytorch#1571")
def _(run: Run) -> Gradients:
    """The gradient of the weight is made for one output only, and lacks that axis."""
    return run.own(weight=lambda w: w[-1])
