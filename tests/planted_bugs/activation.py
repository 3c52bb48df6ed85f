"""Mistakes in activations."""

import numpy as np

from impl.layer import Gradients
from impl.layers.activation import sigmoid

from .planting import Run, bug


@bug("ReLU", words="cotangent|upstream", source="haifengl/smile#528")
def _(run: Run) -> Gradients:
    """The gradient is overwritten with 0 or 1, the cotangent lost."""
    return run.input((run.x > 0).astype(run.g.dtype))


@bug("ReLU", words="kink|ties|at (exactly )?(0|zero)", source="pytorch/tutorials#269")
def _(run: Run) -> Gradients:
    """Gradient 1 at exactly 0, where torch has 0."""
    return run.input(np.where(run.x < 0, 0, run.g))


@bug("ReLU", words="sign of the cotangent|cotangent")
def _(run: Run) -> Gradients:
    """The sign of the cotangent decides instead of the sign of the input."""
    return run.input(np.where(run.g > 0, run.g, 0))


@bug("LeakyReLU", words="negative_slope|one side|below (0|zero)", source="chainer/chainer#5898")
def _(run: Run) -> Gradients:
    """The sign of the output decides, which is 0 everywhere below 0 if the slope is."""
    return run.input(np.where(run.y >= 0, run.g, run.g * run.layer.negative_slope))


@bug("LeakyReLU", words="negative_slope|one side|below (0|zero)", source="pytorch/pytorch#31938")
def _(run: Run) -> Gradients:
    """The sign of the output decides, which is turned if the slope is negative."""
    return run.input(np.where(run.y > 0, run.g, run.g * run.layer.negative_slope))


@bug("LeakyReLU", words="negative_slope", source="deeplearning4j/deeplearning4j#8178")
def _(run: Run) -> Gradients:
    """The slope that was asked for is ignored: backward has the default one."""
    return run.input(np.where(run.x > 0, run.g, run.g * 0.01))


@bug("ELU", words="alpha|one side|below (0|zero)|at the output", source="pytorch/pytorch#47671")
def _(run: Run) -> Gradients:
    """The sign of the output decides, which is turned if alpha is negative."""
    return run.input(np.where(run.y > 0, run.g, run.g * (run.y + run.layer.alpha)))


@bug("Softplus", words="threshold|one side", source="pytorch/pytorch#55587")
def _(run: Run) -> Gradients:
    """Backward holds the output against the threshold, forward the input."""
    beta = run.layer.beta
    linear = run.y * beta > run.layer.threshold
    return run.input(np.where(linear, run.g, run.g * sigmoid(run.x * beta)[0]))


@bug("SiLU", words="bracket|parenthes", source="chelsea0x3b/dfdx#915")
def _(run: Run) -> Gradients:
    """Brackets are missing: ``1 + e + x e / (1 + e)^2`` instead of ``(1 + e + x e) / (1 + e)^2``."""
    e = np.exp(-run.x)
    return run.input(run.g * (1 + e + run.x * e / (1 + e) ** 2))


@bug("Sigmoid", words="at the output|of the output|sigmoid of", source="dwhitena/gophernet#6")
def _(run: Run) -> Gradients:
    """The derivative is taken at the output instead of the input."""
    return run.input(run.g * sigmoid(run.y)[1])


@bug("Sigmoid", words=r"x \(1 - x\)|at the input")
def _(run: Run) -> Gradients:
    """X (1 - x) instead of y (1 - y)."""
    return run.input(run.g * run.x * (1 - run.x))


@bug("GELU", words="approximat", source="harvard-edge/cs249r_book#1399")
def _(run: Run) -> Gradients:
    """The derivative of the other approximation."""
    return run.again(approximate="none" if run.layer.approximate == "tanh" else "tanh").backward(run.g)


@bug("Softmax", words="term|diagonal|Jacobian|keeps to one index", source="deeplearning4j/libnd4j#440")
def _(run: Run) -> Gradients:
    """Only the diagonal of the Jacobian."""
    return run.input(run.g * run.y * (1 - run.y))


@bug("LogSoftmax", words="term|softmax|cotangent", source="mlpack/mlpack#2360")
def _(run: Run) -> Gradients:
    """The softmax is added to the cotangent instead of taken off, times its sum."""
    return run.input(run.g + np.exp(run.y))
