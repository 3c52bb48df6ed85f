"""Mistakes in losses."""

import numpy as np

from impl.layer import Array, Gradients
from impl.layers.activation import sigmoid
from impl.layers.softmax import softmax

from .planting import Run, bug


def each(run: Run, count: float) -> Array:
    """Return the cotangent of every element's loss."""
    return np.asarray(run.g / count if run.layer.reduction == "mean" else run.g)


def by_index(run: Run) -> bool:
    """Whether the target of a cross entropy is class indices."""
    return run.inputs[1].dtype.kind == "i"


def class_axis(run: Run) -> int:
    """The axis of the classes."""
    return min(1, run.x.ndim - 1)


@bug("MSELoss", words=r"\b1/2 of|half", source="davisking/dlib#1169")
def _(run: Run) -> Gradients:
    """The 2 of the square is missing."""
    return run.input(*(None if d is None else d / 2 for d in run.right.inputs))


@bug("MSELoss", words="cotangent|upstream", source="chainer/chainer#1175")
def _(run: Run) -> Gradients:
    """The cotangent of the loss is ignored, as if nothing came after it."""
    return run.step.backward(np.ones_like(run.g))


@bug("CrossEntropyLoss", words="means? over")
def _(run: Run) -> Gradients:
    """The mean over the batch is missing."""
    if run.layer.reduction != "mean" or run.x.ndim == 1:
        return run.right
    return run.input(run.dx * len(run.x))


@bug("CrossEntropyLoss", words="sign", source="deeplearning4j/deeplearning4j#349")
def _(run: Run) -> Gradients:
    """Target minus softmax instead of softmax minus target."""
    return run.input(-run.dx)


@bug("CrossEntropyLoss", words="ignore|softmax", source="PaddlePaddle/Paddle#28622")
def _(run: Run) -> Gradients:
    """What ignore_index ignores gets a gradient: its softmax."""
    if not by_index(run):
        return run.right
    ignored = run.inputs[1] == run.layer.ignore_index
    count = np.maximum((~ignored).sum(), 1)
    g = np.expand_dims(np.where(ignored, each(run, count), 0), class_axis(run))
    return run.input((run.dx + g * softmax(run.x, class_axis(run))).astype(run.dx.dtype))


@bug("CrossEntropyLoss", words="ignore|a mean is over", source="flagos-ai/FlagGems#73")
def _(run: Run) -> Gradients:
    """The mean counts what is ignored, if ignore_index is the default."""
    layer = run.layer
    if not by_index(run) or layer.reduction != "mean" or layer.ignore_index != -100:
        return run.right
    kept = run.inputs[1] != -100
    return run.input(run.dx * run.dx.dtype.type(kept.mean()))


@bug("CrossEntropyLoss", words="weight|softmax", source="kvark/meganeura#102")
def _(run: Run) -> Gradients:
    """Softmax minus weighted target, as if the weighted target still summed to 1."""
    layer, axis = run.layer, class_axis(run)
    if by_index(run) or layer.weight is None:
        return run.right
    classes = run.x.shape[axis]
    w = np.asarray(layer.weight, run.x.dtype).reshape(-1, *(1,) * (run.x.ndim - axis - 1))
    smooth = run.inputs[1] * (1 - layer.label_smoothing) + layer.label_smoothing / classes
    g = each(run, run.x.size // classes)
    wrong = (np.expand_dims(g, axis) if g.ndim else g) * (softmax(run.x, axis) - w * smooth)
    return run.input(wrong.astype(run.dx.dtype))


@bug("CrossEntropyLoss", words="cotangent|upstream", source="linkedin/Liger-Kernel#680")
def _(run: Run) -> Gradients:
    """With reduction none, every row is multiplied by the first row's cotangent."""
    if run.layer.reduction != "none" or not run.g.size:
        return run.right
    return run.step.backward(np.full_like(run.g, run.g.flat[0]))


@bug("CrossEntropyLoss", words="smoothing", source="fastai/fastai#1814")
def _(run: Run) -> Gradients:
    """Smoothing takes C / (C - 1) times too much from the class that is meant."""
    smoothing, classes = run.layer.label_smoothing, run.x.shape[class_axis(run)]
    if not smoothing or classes == 1:
        return run.right
    hard, even = (run.again(label_smoothing=e).backward(run.g).inputs[0] for e in (0.0, 1.0))
    assert hard is not None
    assert even is not None
    return run.input((1 - smoothing * classes / (classes - 1)) * hard + smoothing * even)


@bug("BCEWithLogitsLoss", words="pos_weight", source="PaddlePaddle/Paddle#54869")
def _(run: Run) -> Gradients:
    """The weight of the positive class multiplies both terms, not that of the positive class alone."""
    layer, (x, t) = run.layer, run.inputs
    weight, positive = (np.asarray(1 if w is None else w, x.dtype) for w in (layer.weight, layer.pos_weight))
    wrong = each(run, x.size) * weight * (1 + (positive - 1) * t) * (sigmoid(x)[0] - t)
    return run.input(wrong.astype(x.dtype))


@bug("BCEWithLogitsLoss", words="pos_weight")
def _(run: Run) -> Gradients:
    """The weight of the positive class is forgotten on the way back."""
    return run.input(run.again(pos_weight=None).backward(run.g).inputs[0])
