"""Mistakes where branches join and part."""

import numpy as np

from impl.layer import Gradients

from .planting import Run, bug


def broadcast(run: Run) -> bool:
    """Whether an input was repeated to the output's shape."""
    return any(x.shape != run.y.shape for x in run.inputs)


@bug("Add", words="not summed", source="deeplearning4j/nd4j#2424")
def _(run: Run) -> Gradients:
    """A summand that was broadcast gets the gradient of the sum's shape, not summed."""
    return run.input(*(run.g for _ in run.inputs))


@bug("Add", words="means? over", source="tensorflow/tfjs-core#398")
def _(run: Run) -> Gradients:
    """A summand that was broadcast gets the mean over its copies instead of their sum."""
    return run.input(*(None if d is None else d * (d.size / run.y.size) for d in run.right.inputs))


@bug("Add", words=r"\b2 times|twice", source="zou-group/textgrad#101")
def _(run: Run) -> Gradients:
    """The line that hands the gradient on stands there twice."""
    return run.input(*(None if d is None else 2 * d for d in run.right.inputs))


@bug("Mul", words="cotangent|upstream", source="deeplearning4j/deeplearning4j#5978")
def _(run: Run) -> Gradients:
    """Where a factor was broadcast the cotangent is left out."""
    return run.step.backward(np.ones_like(run.g)) if broadcast(run) else run.right


@bug("MatMul", words="not summed", source="tensorflow/tfjs#8721")
def _(run: Run) -> Gradients:
    """The gradient of a matrix for the whole batch is not summed over the batch."""
    a, _ = run.inputs
    return run.input(run.dx, a.swapaxes(-1, -2) @ run.g)


@bug("Mean", words="means? over", source="kakaobrain/trident#66")
def _(run: Run) -> Gradients:
    """The division by the number of averaged elements is missing."""
    return run.input(run.dx * (run.x.size // run.y.size))


@bug("Chunk", words="zero", source="kvark/meganeura#115")
def _(run: Run) -> Gradients:
    """Only the first piece hands its gradient on; the others' is silently zero."""
    first, *others = run.g
    return run.step.backward((first, *(None for _ in others)))


@bug("Cat", words="piece|gradient of another")
def _(run: Run) -> Gradients:
    """The gradient of each piece is cut from the front."""
    axis = run.layer.dim % run.g.ndim
    return run.input(*(np.take(run.g, range(x.shape[axis]), axis) for x in run.inputs))
