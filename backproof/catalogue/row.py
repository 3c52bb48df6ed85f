"""What a row of the catalogue is: which inputs an op takes, and how its arguments are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, TypeVar

from reference.architecture import Domain

Shape: TypeAlias = tuple[int, ...]
Convention: TypeAlias = Mapping[str | int, str]
T = TypeVar("T")


class Chooser(Protocol):
    """Where the choices come from: Hypothesis (which shrinks them) or a seeded random.Random.

    Options are listed from the simplest to the strangest, for Hypothesis shrinks towards the first.
    """

    def integer(self, lo: int, hi: int) -> int:
        """Choose an integer in [lo, hi], both included."""

    def one_of(self, options: Sequence[T]) -> T:
        """Choose one of the options."""

    def boolean(self) -> bool:
        """Choose True or False."""


@dataclass(frozen=True)
class Need:
    """A further input that the drawn layer takes: an earlier node of that shape if ``real``, else a fresh one."""

    shape: Shape
    domain: Domain = "real"
    below: int | None = None
    ignore: int | None = None
    axes: int | None = None


@dataclass(frozen=True)
class Draw:
    """One way to apply an op: constructor arguments, the inputs after the first, forward keywords.

    ``first`` is a fresh first input, where with these arguments it cannot be just any numbers (a rate is positive).
    """

    arguments: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[Need, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    first: Need | None = None


@dataclass(frozen=True)
class Row:
    """How an op is drawn.

    Attributes
    ----------
    op
        Its name in torch.nn, or of a structural op.
    ranks
        Ranks that its first input may have; the generator reshapes what it has to one of them.
    draw
        ``draw(chooser, shape, training)`` for a first input of ``shape``, or None where no arguments fit it.
    first
        The first input, where it is not a real tensor (an index for Embedding) or few shapes will do:
        ``first(chooser, shape)``, the shape being that of the latest node.
    convention
        For arguments with which the gradient of a parameter or an input is by definition not the derivative:
        ``convention(arguments)`` gives ``{parameter: reason}`` or ``{number of the input: reason}``.
    loss
        A loss ends a branch: its scalar is not fed on, except into Add.
    limits
        What is not covered of it, and why; empty: nothing.
    """

    op: str
    ranks: tuple[int, ...]
    draw: Callable[[Chooser, Shape, bool], Draw | None]
    first: Callable[[Chooser, Shape], Need] | None = None
    convention: Callable[[Mapping[str, Any]], Convention] | None = None
    loss: bool = False
    limits: str = ""


def axis(choose: Chooser, shape: Shape) -> int:
    """Choose an axis, counted from the front or from the back."""
    return choose.integer(-len(shape), len(shape) - 1)
