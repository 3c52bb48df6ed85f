"""What a layer is: a forward that returns its own backward.

A layer is frozen data (torch.nn's constructor arguments) and two methods. ``forward`` computes the output and
returns it in a :class:`Step` together with ``backward``, a closure over just what the chain rule needs. Nothing
is kept on the layer, so one layer may run twice in a network, in two threads, on two dtypes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array: TypeAlias = NDArray[Any]
Shape: TypeAlias = tuple[int, ...]
Output: TypeAlias = "Array | tuple[Array, ...]"
Noise: TypeAlias = "np.random.Generator | Iterable[Array] | None"


@dataclass(frozen=True)
class Gradients:
    """What flows back: one gradient per input (None where it has none, as for integers), one per parameter."""

    inputs: tuple[Array | None, ...]
    parameters: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One run of a layer.

    Attributes
    ----------
    output
        An array, or a tuple of them where torch returns several (flattened, in torch's order).
    backward
        Takes the gradient of the output, in the shape of the output (for a tuple: a tuple, in which None says
        that no gradient flows in) and returns :class:`Gradients`. May be called any number of times.
    updates
        New values of buffers, by name (``running_mean`` ...).
    branches
        Who won wherever the layer decides between pieces (masks, positions of maxima). Two runs with equal
        branches lie on the same smooth piece: this tells a kink from a mistake.
    parameters_only
        Takes what ``backward`` takes and returns the gradients of the parameters alone, where that costs less: for a
        layer whose inputs are data, so that nobody asks for their gradients. None where it would save nothing.
    """

    output: Output
    backward: Callable[..., Gradients]
    updates: Mapping[str, Array] = field(default_factory=dict)
    branches: tuple[Array, ...] = ()
    parameters_only: Callable[[Any], Mapping[str, Array]] | None = None


class Layer:
    """The contract of a layer; subclasses are frozen dataclasses with the arguments of torch.nn's class."""

    holomorphic: ClassVar[bool] = False
    """Whether complex inputs are verified: torch computes the same analytic function of them, and backward conjugates
    as torch does."""

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        """Shapes of the parameters under torch's names, in torch's order; empty where there are none."""
        return {}

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        """Return parameters and buffers as torch.nn initialises them (distribution, not bits)."""
        return {}

    def forward(self, parameters: Mapping[str, Array], *inputs: Any, **options: Any) -> Step:
        """Compute the output and the function that goes back through it.

        Every layer takes ``training=True`` and ``noise=None`` (a numpy Generator, or uniform [0, 1) arrays in the
        order and shapes in which torch draws), and torch's own forward keywords. No given array is changed.
        """
        raise TypeError(f"{type(self).__name__} defines no forward")


class Composed(Layer):
    """A layer made of others, ``parts``, whose parameters carry the names of the parts: ``linear1.weight``."""

    @property
    def parts(self) -> Mapping[str, Layer]:
        """The layers that this one is made of, by torch's names, in torch's order."""
        raise TypeError(f"{type(self).__name__} defines no parts")

    @property
    def parameter_shapes(self) -> dict[str, Shape]:
        return {f"{part}.{n}": shape for part, own in self.parts.items() for n, shape in own.parameter_shapes.items()}

    def initial(self, rng: np.random.Generator, dtype: DTypeLike = np.float64) -> dict[str, Array]:
        return {
            f"{part}.{n}": array for part, own in self.parts.items() for n, array in own.initial(rng, dtype).items()
        }


def reject(layer: object, argument: str, got: object, wanted: str) -> ValueError:
    """Make the error for a wrong argument or input: it names layer, argument, what came and what is right."""
    return ValueError(f"{type(layer).__name__}: {argument} is {got!r}, wanted {wanted}")


def check_shape(layer: object, argument: str, array: Array, wanted: Sequence[int | None]) -> None:
    """Raise ValueError unless ``array`` has the wanted shape; None stands for any size."""
    if array.shape == wanted:
        return
    if array.ndim != len(wanted) or any(w not in (None, n) for n, w in zip(array.shape, wanted)):
        shown = ", ".join("*" if size is None else str(size) for size in wanted)
        raise ValueError(f"{type(layer).__name__}: {argument} has shape {array.shape}, wanted ({shown})")


def draws(noise: Noise) -> Iterator[Array] | np.random.Generator | None:
    """Turn noise into what layers of one run can take from in turn (a list becomes one shared iterator)."""
    return noise if noise is None or isinstance(noise, np.random.Generator) else iter(noise)


def draw(layer: object, noise: Noise, shape: Shape) -> Array:
    """Take the next uniform [0, 1) array of ``shape``: fresh from a Generator, or the next of the given ones.

    Raises
    ------
    ValueError
        No noise was given, it has run out, or the next array has another shape.
    """
    if isinstance(noise, np.random.Generator):
        return noise.random(shape)
    if noise is None:
        raise ValueError(f"{type(layer).__name__}: training draws noise: pass noise=numpy.random.default_rng()")
    array = next(iter(noise), None)
    if array is None:
        raise ValueError(f"{type(layer).__name__}: noise has run out, wanted one more array of shape {shape}")
    check_shape(layer, "noise", array, shape)
    return array
