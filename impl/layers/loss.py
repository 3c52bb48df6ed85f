"""What all losses share: the reduction of the losses of the elements."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan, nan
from typing import ClassVar

import numpy as np

from impl.layer import Array, Gradients, Layer, Shape, Step, check_shape, reject

__all__: list[str] = []


class Loss(Layer):
    """A loss: each element's, their sum, or their mean."""

    reductions: ClassVar[tuple[str, ...]] = ("none", "mean", "sum")
    reduction: str

    def __post_init__(self) -> None:
        if self.reduction not in self.reductions:
            wanted = ", ".join(map(repr, self.reductions[:-1])) + f" or {self.reductions[-1]!r}"
            raise reject(self, "reduction", self.reduction, wanted)

    def reduced(
        self,
        losses: Array,
        back: Callable[[Array], tuple[Array | None, ...]],
        count: float | None = None,
        branches: tuple[Array, ...] = (),
    ) -> Step:
        """Sum the losses of the elements, divide the sum by ``count`` (their number) for a mean.

        ``back`` takes the gradient of each element's loss to those of the inputs. A mean over nothing is NaN.
        """
        divisor = (losses.size if count is None else count) or nan
        mean = self.reduction not in ("none", "sum")

        def backward(g: Array) -> Gradients:
            each = g / divisor if mean else g
            return Gradients(back(each if each.shape == losses.shape else np.broadcast_to(each, losses.shape)))

        if self.reduction == "none":
            return Step(np.asarray(losses), backward, branches=branches)
        total = losses.sum()
        if mean:
            total = losses.dtype.type(nan) if isnan(divisor) else total / divisor
        return Step(np.asarray(total), backward, branches=branches)


def joint_shape(layer: object, *arrays: Array) -> Shape:
    """Return the shape that the arrays broadcast to.

    Raises
    ------
    ValueError
        They do not.
    """
    try:
        return np.broadcast_shapes(*(array.shape for array in arrays))
    except ValueError:
        shapes = tuple(array.shape for array in arrays)
        raise reject(layer, "the shapes of its inputs", shapes, "shapes that broadcast") from None


def class_weights(layer: object, weight: Array | None, classes: int, x: Array) -> Array:
    """Return the weights of the classes in the dtype of x, 1 where there are none; ValueError for another number."""
    weights = np.ones(classes, x.real.dtype) if weight is None else np.asarray(weight, x.real.dtype)
    check_shape(layer, "weight", weights, (classes,))
    return weights


def entries(chosen: Array, axis: int) -> tuple[Array, ...]:
    """Return the index of one chosen entry of each sample: ``x[entries(chosen, axis)]`` has the shape of chosen."""
    grid = [np.arange(n).reshape(n, *(1,) * (chosen.ndim - 1 - i)) for i, n in enumerate(chosen.shape)]
    return (*grid[:axis], chosen, *grid[axis:])


def check_classes(layer: object, name: str, target: Array, least: int, classes: int) -> None:
    """Raise ValueError unless every entry of a target is a class, from ``least`` up to ``classes - 1``."""
    wrong = (target < least) | (target >= classes)
    if np.count_nonzero(wrong):
        raise reject(layer, name, int(target[wrong].flat[0]), f"{least} to {classes - 1}")


def spread(layer: object, name: str, array: Array, shape: Shape) -> Array:
    """Broadcast an array to a shape.

    Raises
    ------
    ValueError
        It does not.
    """
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise reject(layer, f"the shape of {name}", array.shape, f"one that broadcasts to {shape}") from None
