"""Mistakes in Transformers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from impl.layer import Array, Gradients

from .planting import Run, bug


def going_back(
    run: Run, path: str, change: Callable[[tuple[Array | None, ...]], tuple[Array | None, ...]]
) -> Gradients:
    """Go back through the network that the layer is, what one of its nodes hands to its inputs being changed."""
    step: Any = run.again()
    *around, name = path.split("/")
    inside = step
    for part in around:
        inside = inside.steps[part]
    right = inside.steps[name]

    def backward(g: Any) -> Gradients:
        gradients = right.backward(g)
        return replace(gradients, inputs=change(gradients.inputs))

    inside.steps[name] = replace(right, backward=backward)
    gradients: Gradients = step.backward(run.g)
    return gradients


@bug("TransformerEncoderLayer", words="zero")
def _(run: Run) -> Gradients:
    """The gradient goes through attention, and not past it."""
    return going_back(run, "sum1", lambda grads: (np.zeros_like(grads[0]), grads[1]))


@bug("TransformerDecoderLayer", words="nothing flowing back")
def _(run: Run) -> Gradients:
    """The memory has the gradient of the values, which overwrites that of the keys."""
    return going_back(run, "multihead_attn", lambda grads: (grads[0], np.zeros_like(grads[1]), grads[2]))


@bug("TransformerEncoder", words="num_layers")
def _(run: Run) -> Gradients:
    """Backward goes through the first layer alone."""
    if run.layer.num_layers == 1:
        return run.right
    first = run.again(num_layers=1).backward(run.g)
    return Gradients(first.inputs, {**run.right.parameters, **first.parameters})


@bug("TransformerDecoder", words="nothing flowing back")
def _(run: Run) -> Gradients:
    """The memory has the gradient of the last layer alone."""
    if run.layer.num_layers == 1:
        return run.right
    return going_back(run, "layers/0", lambda grads: (grads[0], np.zeros_like(grads[1])))


@bug("Transformer", words="zero")
def _(run: Run) -> Gradients:
    """No gradient goes from the decoder back to the encoder."""
    return going_back(run, "decoder", lambda grads: (grads[0], np.zeros_like(grads[1])))
