"""Mistakes in losses of classes."""

import numpy as np

from impl.layer import Gradients

from .planting import Run, bug


@bug("NLLLoss", words="a mean over")
def _(run: Run) -> Gradients:
    """The weighted mean divides by the number of samples, not by the sum of their weights."""
    layer, (x, target) = run.layer, run.inputs
    if layer.reduction != "mean" or layer.weight is None:
        return run.right
    kept = target[target != layer.ignore_index]
    total = np.asarray(layer.weight, x.dtype)[kept].sum()
    return run.input(run.dx * x.dtype.type(total / max(kept.size, 1)))


@bug("NLLLoss", words="ignore|set to index 0")
def _(run: Run) -> Gradients:
    """What ignore_index ignores passes a gradient on to the first class."""
    layer, (x, target) = run.layer, run.inputs
    ignored = np.asarray(target == layer.ignore_index)
    wrong = run.dx.copy()
    first = np.moveaxis(wrong, min(1, x.ndim - 1), 0)
    each = run.g / max(np.sum(~ignored), 1) if layer.reduction == "mean" else run.g
    first[0] -= np.where(ignored, each, 0).astype(x.dtype)
    return run.input(wrong)


@bug("BCELoss", words="logit|sigmoid")
def _(run: Run) -> Gradients:
    """The gradient of the logits, x - t, where probabilities came in."""
    x = run.x
    return run.input(run.dx * x * (1 - x))


@bug("BCELoss", words="weight is ignored")
def _(run: Run) -> Gradients:
    """The weight of the elements is forgotten on the way back."""
    return run.again(weight=None).backward(run.g)


@bug("MultiLabelSoftMarginLoss", words="a mean over")
def _(run: Run) -> Gradients:
    """The mean over the classes is missing."""
    classes = run.x.shape[-1]
    return run.input(*(None if d is None else d * classes for d in run.right.inputs))


@bug("LinearCrossEntropyLoss", words="a mean over axis 0")
def _(run: Run) -> Gradients:
    """The gradient of the bias is that of one sample."""
    if run.x.ndim == 1 or not len(run.x):
        return run.right
    return run.own(**{"linear.bias": lambda g: g / len(run.x)})


@bug("LinearCrossEntropyLoss", words="weight is ignored")
def _(run: Run) -> Gradients:
    """The class weights are forgotten on the way back."""
    return run.again(weight=None).backward(run.g)


@bug("AdaptiveLogSoftmaxWithLoss", words="a mean over")
def _(run: Run) -> Gradients:
    """The loss adds its gradient to each sample's without the mean over the samples."""
    each, loss = run.g
    count = run.y.size
    return run.step.backward((each, None if loss is None else loss * count))


@bug("AdaptiveLogSoftmaxWithLoss", words="zero everywhere")
def _(run: Run) -> Gradients:
    """Nothing flows from the clusters of rare classes back to the input and to the first of their maps."""
    tails = {name for name in run.parameters if name.startswith("tail")}
    cut = {name: np.zeros_like(run.parameters[name]) for name in tails}
    flat = run.again(parameters=cut).backward(run.g)
    return Gradients(
        flat.inputs, {**run.right.parameters, **{n: flat.parameters[n] for n in tails if n.endswith("0.weight")}}
    )
