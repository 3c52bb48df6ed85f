"""Mistakes in lookup tables."""

import numpy as np

from impl.layer import Gradients

from .planting import Run, bug


@bug("Embedding", words="overwrit|repeated|instead of (adding|accumulat)", source="joey00072/Tinytorch#2")
def _(run: Run) -> Gradients:
    """Repeated indices overwrite instead of adding up."""
    table = np.zeros_like(run.parameters["weight"])
    table[run.x] = run.g
    return run.own(weight=lambda w: np.where(w != 0, table, 0))


@bug("Embedding", words="padding", source="pytorch/pytorch#26302")
def _(run: Run) -> Gradients:
    """The row of the padding gets a gradient."""
    return run.again(padding_idx=None).backward(run.g)


@bug("Embedding", words=r"(into|to) (row|index) 0\b|one row", source="tsotchke/eshkol#392")
def _(run: Run) -> Gradients:
    """The indices are not at hand: all that arrives goes to row 0."""
    return run.again(np.zeros_like(run.x)).backward(run.g)


@bug("Embedding", words="scale_grad_by_freq|freq")
def _(run: Run) -> Gradients:
    """The scaling by frequency is ignored."""
    return run.again(scale_grad_by_freq=False).backward(run.g)


@bug("EmbeddingBag", words="mode", source="flagos-ai/FlagGems#5220")
def _(run: Run) -> Gradients:
    """The gradient of the maximum is that of the mean."""
    if run.layer.mode != "max":
        return run.right
    return run.again(mode="mean").backward(run.g)


@bug("EmbeddingBag", words="mode|sum")
def _(run: Run) -> Gradients:
    """The mean is not divided on the way back by how many there are."""
    if run.layer.mode != "mean":
        return run.right
    return run.again(mode="sum").backward(run.g)


@bug("EmbeddingBag", words="padding", source="flagos-ai/FlagGems#3683")
def _(run: Run) -> Gradients:
    """The weight of a sample that is padding gets a gradient."""
    return run.input(*run.again(padding_idx=None).backward(run.g).inputs)
