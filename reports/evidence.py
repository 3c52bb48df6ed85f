"""What a diagnosis rests on: arrays and words from whoever knows the layer, and when an array explains another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np

from reports.agreement import Array

APART = 4.0
"""A candidate differs from the reference by more than so many times the error that is allowed to it."""

ROUNDING = 64.0
"""Units in the last place that a candidate of another size than the reference may be off."""

Alternative: TypeAlias = tuple[str, Callable[[], "Array | None"]]
Family: TypeAlias = tuple[str, float, Callable[[float], "Array | None"]]


@dataclass(frozen=True)
class Evidence:
    """What is known around one array; nothing in it is needed, and all shapes are the array's own.

    Attributes
    ----------
    sizes
        Sizes by what they are called, ``{"axis 0 of input 0": 8}``: what a mean may run over.
    constants
        Other numbers, by what they are called, ``{"1 - p": 0.7}``: what a factor may be.
    terms
        Arrays of which the array may be off by a multiple, ``{"the input": x}``.
    places
        Masks by what is true there, ``{"where the input is 0": x == 0}``.
    parts
        Names of the equal blocks that an axis consists of, by axis: ``{0: ("gate i", "gate f", "gate g", "gate o")}``.
    families
        What the array would be with a number at another value: its name, its value, and a function of the value.
    kinks
        Mask of where the array jumps if what it is made of hardly changes: at kinks and ties; None: unknown.
    alternatives
        What other mistakes would give: a clause, ``"is that of the layer with eps=0"``, and a function that returns the
        whole array, or None where there is no such thing. It is called only if it comes to that.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    constants: Mapping[str, float] = field(default_factory=dict)
    terms: Mapping[str, Array] = field(default_factory=dict)
    places: Mapping[str, Array] = field(default_factory=dict)
    parts: Mapping[int, Sequence[str]] = field(default_factory=dict)
    families: Iterable[Family] = ()
    kinks: Array | None = None
    alternatives: Iterable[Alternative] = ()


@dataclass(frozen=True, eq=False)
class Case:
    """Two arrays of one shape, in float64, that differ by more than the bound.

    Attributes
    ----------
    got, want
        What came, and the reference.
    bound
        The error that rounding explains, absolute, for each entry.
    eps
        Unit of rounding of the dtype in which ``got`` was computed.
    evidence
        What is known around them.
    """

    got: Array
    want: Array
    bound: Array
    eps: float
    evidence: Evidence

    @cached_property
    def wrong(self) -> Array:
        """Where the array is wrong."""
        return np.asarray(~((np.abs(self.got - self.want) <= self.bound) | (self.got == self.want)))

    @cached_property
    def offset(self) -> Array:
        """By how much."""
        return np.asarray(self.got - self.want)

    @cached_property
    def telling(self) -> Array:
        """Where the reference is so large that a factor on it would show."""
        return np.asarray(np.abs(self.want) > APART * (self.bound + self.eps * ROUNDING * np.abs(self.want)))

    def allowed(self, candidate: Array) -> Array:
        """Error allowed to a candidate: the bound, and rounding where the candidate is larger than the reference."""
        largest, own = float(np.abs(candidate).max(initial=0)), float(np.abs(self.want).max(initial=0))
        grown = max(1.0, largest / own) if own else 1.0
        return np.asarray(self.bound * grown + (ROUNDING * self.eps * largest if largest > own else 0.0))

    def fits(self, candidate: Array) -> bool:
        """Whether a candidate explains every entry of what came, and could not be mistaken for the reference."""
        allowed = self.allowed(candidate)
        close = (np.abs(self.got - candidate) <= allowed) | (self.got == candidate)
        return bool(close.all() and (np.abs(candidate - self.want) > APART * allowed).any())

    def alternatives(self) -> Iterator[tuple[str, Array]]:
        """Yield what other mistakes would give, where that can be told from the reference; each is evaluated once."""
        yield from self._known
        for found in self._rest:
            self._known.append(found)
            yield found

    @cached_property
    def _known(self) -> list[tuple[str, Array]]:
        return []

    @cached_property
    def _rest(self) -> Iterator[tuple[str, Array]]:
        return self._evaluated()

    def _evaluated(self) -> Iterator[tuple[str, Array]]:
        for words, evaluate in self.evidence.alternatives:
            candidate = evaluate()
            if candidate is not None and candidate.shape == self.want.shape and np.isfinite(candidate).all():
                candidate = candidate.astype(np.float64)
                if (np.abs(candidate - self.want) > APART * self.allowed(candidate)).any():
                    yield words, candidate
