"""Wrong backward passes of the kind that people really write, planted into impl's layers.

Each is a function of the layer, its run and the cotangent, and returns the wrong gradients. All of them train.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from impl.layer import Array, Gradients, Layer, Step
from impl.layers import LAYERS


@dataclass(frozen=True)
class Run:
    """What a wrong backward sees."""

    layer: Any
    parameters: Mapping[str, Array]
    inputs: tuple[Array, ...]
    step: Step
    right: Gradients
    again: Callable[..., Step]
    """``again(parameters, *inputs)`` runs the layer's right forward on something else."""


Wrong = Callable[[Run, Any], Gradients]
BUGS: dict[str, tuple[str, Wrong]] = {}


def bug(op: str) -> Callable[[Wrong], Wrong]:
    """Register a wrong backward for an op, under the words of its docstring."""

    def register(wrong: Wrong) -> Wrong:
        assert wrong.__doc__ is not None
        BUGS[f"{op}: {wrong.__doc__.rstrip('.')}"] = (op, wrong)
        return wrong

    return register


def planted(op: str, wrong: Wrong) -> type[Layer]:
    """Return the layer of an op with a wrong backward."""
    right: Any = LAYERS[op]

    class Broken(right):
        def forward(self, parameters: Mapping[str, Array], *inputs: Array, **options: Any) -> Step:
            noise = list(options.pop("noise", None) or ())

            def again(parameters: Mapping[str, Array], *inputs: Array) -> Step:
                step: Step = right.forward(self, parameters, *inputs, noise=list(noise), **options)
                return step

            step = again(parameters, *inputs)

            def backward(g: Any) -> Gradients:
                return wrong(Run(self, parameters, inputs, step, step.backward(g), again), g)

            return replace(step, backward=backward)

    return Broken


def changed(run: Run, **parameters: Any) -> Gradients:
    """Return the right gradients but for some parameters, given as functions of the right one."""
    right = run.right.parameters
    return replace(run.right, parameters={**right, **{n: f(right[n]) for n, f in parameters.items() if n in right}})


def with_input(run: Run, first: Array) -> Gradients:
    """Return the right gradients but for the first input."""
    return replace(run.right, inputs=(first, *run.right.inputs[1:]))


@bug("Linear")
def _(run: Run, g: Array) -> Gradients:
    """The weight is off by a factor of 1.001, which gradcheck's defaults accept."""
    return changed(run, weight=lambda w: w * w.dtype.type(1.001))


@bug("Linear")
def _(run: Run, g: Array) -> Gradients:
    """One element of the weight is 10 % too large."""

    def one(w: Array) -> Array:
        w = w.copy()
        w.flat[-1] *= 1.1
        return w

    return changed(run, weight=one)


@bug("Linear")
def _(run: Run, g: Array) -> Gradients:
    """The bias is averaged over the batch instead of summed."""
    return changed(run, bias=lambda b: b / (g.size // b.size))


@bug("ReLU")
def _(run: Run, g: Array) -> Gradients:
    """The sign of the cotangent decides instead of the sign of the input."""
    return with_input(run, np.where(g > 0, g, 0))


@bug("ReLU")
def _(run: Run, g: Array) -> Gradients:
    """Gradient 1 at exactly 0, where torch has 0."""
    return with_input(run, np.where(run.inputs[0] < 0, 0, g))


@bug("Sigmoid")
def _(run: Run, g: Array) -> Gradients:
    """X (1 - x) instead of y (1 - y)."""
    return with_input(run, g * run.inputs[0] * (1 - run.inputs[0]))


@bug("GELU")
def _(run: Run, g: Array) -> Gradients:
    """The derivative of the other approximation."""
    other = replace(run.layer, approximate="none" if run.layer.approximate == "tanh" else "tanh")
    step = LAYERS["GELU"].forward(other, run.parameters, *run.inputs)
    return step.backward(g)


@bug("Softmax")
def _(run: Run, g: Array) -> Gradients:
    """Only the diagonal of the Jacobian."""
    y = run.step.output
    assert isinstance(y, np.ndarray)
    return with_input(run, g * y * (1 - y))


@bug("Conv2d")
def _(run: Run, g: Array) -> Gradients:
    """The kernel is not flipped on the way back to the input."""
    flipped = run.again({**run.parameters, "weight": run.parameters["weight"][:, :, ::-1, ::-1]}, *run.inputs)
    return with_input(run, flipped.backward(g).inputs[0])


@bug("Conv2d")
def _(run: Run, g: Array) -> Gradients:
    """The bias misses the last column of the image."""
    return changed(run, bias=lambda b: b - g[..., -1].sum(axis=(-1, 0) if g.ndim == 4 else -1))


@bug("MaxPool2d")
def _(run: Run, g: Any) -> Gradients:
    """Where windows overlap the last one overwrites instead of adding."""
    whole = run.right.inputs[0]
    assert whole is not None
    g = g[0] if isinstance(g, tuple) else g
    spread = np.zeros_like(whole)
    for place in np.ndindex(g.shape):
        one = np.zeros_like(g)
        one[place] = g[place]
        part = run.step.backward((one, None) if isinstance(run.step.output, tuple) else one).inputs[0]
        spread = np.where(part != 0, part, spread)
    return with_input(run, spread)


@bug("AvgPool2d")
def _(run: Run, g: Array) -> Gradients:
    """The mean is forgotten: every pixel gets the whole gradient of its window."""
    whole = run.right.inputs[0]
    assert whole is not None
    size = run.layer.kernel_size
    return with_input(run, whole * (size * size if isinstance(size, int) else int(np.prod(size))))


@bug("BatchNorm2d")
def _(run: Run, g: Array) -> Gradients:
    """The batch's mean and variance are taken for constants."""
    x = run.inputs[0]
    if run.right.inputs[0] is None or not run.step.updates:
        return run.right
    axes = (0, *range(2, x.ndim))
    spread = x.var(axis=axes, keepdims=True, dtype=x.dtype)
    weight = run.parameters.get("weight", np.ones(x.shape[1], x.dtype)).reshape(spread.shape)
    return with_input(run, (g * weight / np.sqrt(spread + run.layer.eps)).astype(x.dtype))


@bug("LayerNorm")
def _(run: Run, g: Array) -> Gradients:
    """The input misses the term of the mean: it is off by a constant per row."""
    whole = run.right.inputs[0]
    assert whole is not None
    shape = run.layer.normalized_shape
    axes = tuple(range(-(1 if isinstance(shape, int) else len(shape)), 0))
    return with_input(run, whole + g.mean(axis=axes, keepdims=True))


@bug("Dropout")
def _(run: Run, g: Array) -> Gradients:
    """What is kept is not scaled by 1 / (1 - p)."""
    kept = run.right.inputs[0]
    assert kept is not None
    return with_input(run, np.where(kept != 0, g, 0))


@bug("Embedding")
def _(run: Run, g: Array) -> Gradients:
    """Repeated indices overwrite instead of adding up."""
    table = np.zeros_like(run.parameters["weight"])
    table[run.inputs[0]] = g
    return changed(run, weight=lambda w: np.where(w != 0, table, 0))


@bug("LSTM")
def _(run: Run, g: Any) -> Gradients:
    """The recurrent weight misses the last time step."""
    output, *state = g
    if output is None or run.inputs[0].ndim == 2:
        return run.right
    last = np.zeros_like(output)
    at = (slice(None), -1) if run.layer.batch_first else (-1,)
    last[at] = output[at]
    part = run.step.backward((last, *(None for _ in state))).parameters["weight_hh_l0"]
    return changed(run, weight_hh_l0=lambda w: w - part)


@bug("MultiheadAttention")
def _(run: Run, g: Any) -> Gradients:
    """The query misses the scale 1 / sqrt(d)."""
    scale = (run.layer.embed_dim // run.layer.num_heads) ** 0.5
    if scale == 1:
        return run.right
    whole = run.right.inputs[0]
    assert whole is not None
    return with_input(run, whole * whole.dtype.type(scale))


@bug("MSELoss")
def _(run: Run, g: Array) -> Gradients:
    """The 2 of the square is missing."""
    return replace(run.right, inputs=tuple(None if x is None else x / 2 for x in run.right.inputs))


@bug("CrossEntropyLoss")
def _(run: Run, g: Array) -> Gradients:
    """The mean over the batch is missing."""
    if run.layer.reduction != "mean" or run.inputs[0].ndim == 1:
        return run.right
    whole = run.right.inputs[0]
    assert whole is not None
    return with_input(run, whole * len(run.inputs[0]))


@bug("BCEWithLogitsLoss")
def _(run: Run, g: Array) -> Gradients:
    """The weight of the positive class is forgotten on the way back."""
    plain = LAYERS["BCEWithLogitsLoss"].forward(replace(run.layer, pos_weight=None), run.parameters, *run.inputs)
    return with_input(run, plain.backward(g).inputs[0])
