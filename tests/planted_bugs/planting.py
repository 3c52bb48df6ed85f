"""How a wrong backward pass is planted into impl, and the register of all that are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from backproof import NumPyImplementation
from impl.layer import Array, Gradients, Layer, Step
from impl.layers import LAYERS

Kind = Literal["layer", "composition", "state"]


@dataclass(frozen=True)
class Bug:
    """A mistake that somebody made, and what must be said of it.

    Attributes
    ----------
    name
        The op and the mistake in a sentence.
    layers
        Ops that the architectures are drawn from.
    culprit
        The op that must be convicted; None for a composition, of which no node is guilty.
    words
        A regular expression: a diagnosis that it finds nothing in does not name the mistake.
    source
        Where the mistake was reported: ``owner/repository#number``, or "" for one without a public reference.
    kind
        Of one layer alone, of what composes them, or of what they remember and overwrite.
    implementation
        Makes a fresh implementation that makes the mistake.
    """

    name: str
    layers: tuple[str, ...]
    culprit: str | None
    words: str
    source: str
    kind: Kind
    implementation: Callable[[], Any]


BUGS: dict[str, Bug] = {}
"""All bugs by name, in the order in which they are planted."""


def plant(bug: Bug) -> None:
    """Add a bug to the register."""
    assert bug.name not in BUGS, bug.name
    BUGS[bug.name] = bug


@dataclass(frozen=True)
class Run:
    """What a wrong backward sees: a run of the right layer, and the cotangent."""

    layer: Any
    parameters: Mapping[str, Array]
    inputs: tuple[Array, ...]
    options: Mapping[str, Any]
    noise: tuple[Array, ...]
    step: Step
    g: Any
    right: Gradients = field(repr=False)

    @property
    def x(self) -> Array:
        """The first input."""
        return self.inputs[0]

    @property
    def y(self) -> Array:
        """The first output."""
        return self.step.output[0] if isinstance(self.step.output, tuple) else self.step.output

    @property
    def dx(self) -> Array:
        """The right gradient of the first input."""
        dx = self.right.inputs[0]
        assert dx is not None
        return dx

    def again(
        self,
        *inputs: Array,
        parameters: Mapping[str, Array] | None = None,
        options: Mapping[str, Any] | None = None,
        **arguments: Any,
    ) -> Step:
        """Run the right forward with other inputs, parameters, forward keywords or constructor arguments."""
        layer = replace(self.layer, **arguments)
        step: Step = LAYERS[type(self.layer).__name__].forward(
            layer,
            self.parameters | (parameters or {}),
            *(inputs or self.inputs),
            **(self.options | (options or {})),
            noise=list(self.noise),
        )
        return step

    def input(self, *gradients: Array | None) -> Gradients:
        """Return the right gradients, but for those of the first inputs."""
        return replace(self.right, inputs=(*gradients, *self.right.inputs[len(gradients) :]))

    def own(self, **parameters: Callable[[Array], Array]) -> Gradients:
        """Return the right gradients, but for those of some parameters, where the layer has them."""
        right = self.right.parameters
        return replace(self.right, parameters=right | {n: f(right[n]) for n, f in parameters.items() if n in right})


Wrong = Callable[[Run], Gradients]


def bug(op: str, *, words: str, source: str = "") -> Callable[[Wrong], Wrong]:
    """Register a wrong backward of an op; its docstring says what is wrong with it."""

    def register(wrong: Wrong) -> Wrong:
        mistake = (wrong.__doc__ or "").split("\n")[0].rstrip(".")
        plant(
            Bug(
                f"{op}: {mistake}",
                (op,),
                op,
                words,
                source,
                "layer",
                lambda: NumPyImplementation({op: planted(op, wrong)}),
            )
        )
        return wrong

    return register


def planted(op: str, wrong: Wrong) -> type[Layer]:
    """Return the layer of an op with a wrong backward; its forward is right."""
    right: Any = LAYERS[op]

    def forward(self: Any, parameters: Mapping[str, Array], *inputs: Array, **options: Any) -> Step:
        noise = tuple(options.pop("noise", None) or ())
        step: Step = right.forward(self, parameters, *inputs, **options, noise=list(noise))

        def backward(g: Any) -> Gradients:
            return wrong(Run(self, parameters, inputs, options, noise, step, g, step.backward(g)))

        return replace(step, backward=backward)

    return type(op, (right,), {"forward": forward})


def batch_mean(x: Array) -> Array:
    """Return the mean over all axes but the second, kept: what batch normalisation takes it over."""
    return x.mean(axis=(0, *range(2, x.ndim)), keepdims=True)


def as_channels(values: Array, rank: int) -> Array:
    """Shape one value per channel so that it broadcasts over ``(N, C, *)``."""
    return np.reshape(values, (1, -1, *(1,) * (rank - 2)))
