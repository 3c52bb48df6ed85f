"""Mistakes in activations."""

import numpy as np

from impl.layer import Gradients
from impl.layers.activation import SELU_ALPHA, SELU_SCALE, sigmoid, softplus

from .planting import Run, bug


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


@bug("CELU", words="alpha")
def _(run: Run) -> Gradients:
    """The slope is an ELU's: ``alpha exp(x / alpha)``, which has no 1 / alpha from the chain rule."""
    alpha = run.layer.alpha
    return run.input(np.where(run.x > 0, run.g, run.g * alpha * np.exp(np.minimum(run.x, 0) / alpha)))


@bug("SELU", words="one side|below (0|zero)|at the output", source="RubixML/ML#427")
def _(run: Run) -> Gradients:
    """Below 0 the slope is made of y as if it were an ELU's: ``s (y + a)`` instead of ``y + s a``."""
    return run.input(np.where(run.x > 0, run.g * SELU_SCALE, run.g * SELU_SCALE * (run.y + SELU_ALPHA)))


@bug("LogSigmoid", words="at the output|of the output", source="apache/mxnet#20371")
def _(run: Run) -> Gradients:
    """The derivative is taken at the output instead of the input."""
    return run.input(run.g * sigmoid(-run.y)[0])


@bug("LogSigmoid", words=r"exp\(y\)")
def _(run: Run) -> Gradients:
    """``s(x)`` instead of ``s(-x)``."""
    return run.input(run.g * sigmoid(run.x)[0])


@bug("Mish", words="term|factor|sigmoid|softplus")
def _(run: Run) -> Gradients:
    """The softplus inside the tangent is not differentiated: its factor s(x) is missing."""
    t = np.tanh(softplus(run.x))
    return run.input(run.g * (t + run.x * (1 - t * t)))


@bug("Softsign", words="at the output|of the output", source="apache/mxnet#11827")
def _(run: Run) -> Gradients:
    """The derivative is taken at the output instead of the input."""
    return run.input(run.g / (1 + np.abs(run.y)) ** 2)


@bug("Tanhshrink", words="sign")
def _(run: Run) -> Gradients:
    """``1 - (1 - t^2)`` is worked out as ``-t^2``."""
    return run.input(-run.dx)


@bug("Tanhshrink", words=r"y\^2")
def _(run: Run) -> Gradients:
    """The square of y is taken for that of tanh x."""
    return run.input(run.g * run.y * run.y)


@bug("GLU", words="is zero where")
def _(run: Run) -> Gradients:
    """The gate is taken for a constant: its half gets no gradient."""
    first, second = np.split(run.dx, 2, run.layer.dim)
    return run.input(np.concatenate((first, 0 * second), run.layer.dim))
