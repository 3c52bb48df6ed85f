"""What a pass does besides computing: it must change nothing that it was given, and remember nothing.

A number may be right and the code wrong all the same: a layer that keeps its input on itself is right until it runs
twice. So each node runs alone, in every way that its numbers must not depend on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from backproof.alone import Given, called
from backproof.implementations import Implementation, Pass
from backproof.judging import within
from backproof.running import ImplementationFailed, WrongArray, call, go_back
from reference import Node, Tensor
from reference.run import Array, is_numeric
from reference.sensitivity import LOOKS

SPREAD = 6
"""Along so many axes numbers are spread out in memory, each doubling it."""


class Misbehaviour(NamedTuple):
    """What a node does that it must not, in words, and whether it ``spoils`` the numbers of others."""

    words: str
    spoils: bool


class _Runner:
    """Runs one node, and compares what comes back with what came at first."""

    def __init__(
        self,
        implementation: Implementation,
        node: Node,
        bound: Callable[[Tensor, int], float],
        takes_all: bool,
        draws: bool,
    ) -> None:
        self.implementation, self.node, self.bound = implementation, node, bound
        self.takes_all, self.draws = takes_all, draws

    def forward(self, given: Given) -> Pass:
        inputs = tuple(given.inputs.values())
        return call(self.implementation, self.node, given.parameters, inputs, given.training, given.noise)

    def backward(self, done: Pass, given: Given) -> dict[Tensor, Array]:
        """Gradients by name; what no gradient flows to is absent."""
        grads, own = go_back(self.node, done, given.cotangents, tuple(given.inputs.values()), given.parameters)
        found = {Tensor("input", name, "0"): g for name, g in zip(given.inputs, grads) if g is not None}
        return found | {Tensor("parameter", self.node.name, name): g for name, g in own.items()}

    def run(self, given: Given) -> dict[Tensor, Array]:
        return self.backward(self.forward(given), given)

    def differs(self, found: Mapping[Tensor, Array], wanted: Mapping[Tensor, Array], factor: float = 1.0) -> str | None:
        """Name the first gradient that is not ``factor`` times the wanted one within rounding."""
        for name, want in wanted.items():
            if not self._near(found.get(name), factor * want, name, abs(factor)):
                return f"gradient of {name.name if name.kind == 'parameter' else called(name.node)}"
        return None

    def interrupt(self, other: Given) -> None:
        """Run forward on other numbers."""
        try:
            self.forward(other)
        except (ImplementationFailed, WrongArray):
            if self.takes_all:
                raise

    def _near(self, got: Array | None, want: Array, name: Tensor, factor: float) -> bool:
        if got is None or np.array_equal(got, want, equal_nan=True):
            return got is not None
        return any(within(got, want, factor * self.bound(name, look)) for look in LOOKS)


def misbehaviour(
    implementation: Implementation,
    node: Node,
    given: Given,
    bound: Callable[[Tensor, int], float],
    takes_all: bool = True,
    draws: bool = False,
) -> Misbehaviour | None:
    """Run a node alone in every way that must not matter, and say what did; None: nothing.

    Parameters
    ----------
    implementation, node
        What runs.
    given
        What it runs on, in the precision to run in.
    bound
        How far rounding may move a gradient, at a glance or more closely.
    takes_all
        Whether it must take other numbers of the same kind, too; a stranger's function may refuse them.
    draws
        Whether it draws random numbers, perhaps in the order in which its inputs lie in memory.
    """
    runner = _Runner(implementation, node, bound, takes_all, draws)
    with np.errstate(all="ignore"):
        try:
            first = _Once(runner, given)
            if first.words:
                return Misbehaviour(first.words, spoils=True)
        except ImplementationFailed as error:
            return Misbehaviour(f"It fails when it runs a second time: {error}", spoils=True)
        for probe in (_repeated, _linear, _interrupted, _laid_out):
            try:
                words = probe(first)
            except ImplementationFailed as error:
                words = f"{probe.__doc__}: {error}"
            if words is not None:
                return Misbehaviour(words, spoils=False)
    return None


class _Once:
    """One run forward and backward, with which the others are compared; in ``words``, what it changes."""

    def __init__(self, runner: _Runner, given: Given) -> None:
        self.runner, self.given = runner, given
        before, ours = dict(given.changed(_copy, _copy).arrays()), given.changed(_copy, _copy)
        self.done = runner.forward(ours)
        outputs = [y.copy() for y in self.done.outputs]
        self.words = _changed(ours, before, "forward")
        self.wanted = {} if self.words else runner.backward(self.done, ours)
        if not self.words:
            self.words = _changed(ours, before, "backward")
        if not self.words and not all(map(_same, self.done.outputs, outputs)):
            self.words = "backward changes the output"


def _changed(given: Given, before: Mapping[str, Array], name: str) -> str:
    changed = (what for what, array in given.arrays() if not _same(array, before[what]))
    return next((f"{name} changes {what}, which it was given" for what in changed), "")


def _copy(array: Array) -> Array:
    return array.copy()


def _same(a: Array, b: Array) -> bool:
    return np.array_equal(a, b, equal_nan=is_numeric(a))


def _repeated(first: _Once) -> str | None:
    """It fails when backward runs twice"""
    runner, given = first.runner, first.given
    kept = {name: gradient.copy() for name, gradient in first.wanted.items()}
    runner.backward(first.done, given.changed(_copy, lambda c: _times(0.5, np.flip(c))))
    for name, gradient in first.wanted.items():
        if not _same(gradient, kept[name]):
            return f"the {runner.differs({}, {name: gradient})} is a buffer that the next backward overwrites"
    differs = runner.differs(runner.backward(first.done, given), kept)
    return f"a second backward gives another {differs}" if differs else None


def _interrupted(first: _Once) -> str | None:
    """It fails when another forward comes between forward and backward"""
    runner, given = first.runner, first.given
    others = {
        "another forward": given.changed(_other, _copy),
        "another forward with equal parameters": replace(
            given.changed(_copy, _copy), inputs={name: _other(x) for name, x in given.inputs.items()}
        ),
    }

    def between(*between: Given) -> str | None:
        done = runner.forward(given)
        outputs = [y.copy() for y in done.outputs]
        for other in between:
            runner.interrupt(other)
        if not all(map(_same, done.outputs, outputs)):
            return ""
        return runner.differs(runner.backward(done, given), first.wanted)

    if between(*others.values()) is None:
        return None
    for words, other in others.items():
        differs = between(other)
        if differs == "":
            return "the output is a buffer that the next forward overwrites"
        if differs:
            return f"{words} in between changes the {differs}: state is kept between calls"
    return "two other forwards in between change something: state is kept between calls"


def _other(x: Array) -> Array:
    """Other numbers of the same domain: in another order, and real ones smaller."""
    turned = np.flip(x, axis=0) if x.ndim else x
    return np.array(turned * x.dtype.type(0.5) if is_numeric(x) else turned)


def _laid_out(first: _Once) -> str | None:
    """It fails on arrays that are read-only or not contiguous"""
    runner, given = first.runner, first.given
    ahead = _copy if runner.draws else _strided
    if runner.differs(runner.run(given.changed(ahead, _strided)), first.wanted) is None:
        return None
    for what, laid in (
        ("gradient of the output lies", given.changed(_copy, _strided)),
        ("inputs and parameters lie", given.changed(ahead, _copy)),
        ("arrays lie", given.changed(ahead, _strided)),
    ):
        differs = runner.differs(runner.run(laid), first.wanted)
        if differs:
            return f"the {differs} depends on how the {what} in memory"
    return None


def _strided(array: Array) -> Array:
    """The same numbers, spread out in memory the axes in reverse, and read-only; of very many axes along the first."""
    gaps = [2 if axis < SPREAD else 1 for axis in range(array.ndim)]
    spread: Any = np.full([gap * n for gap, n in zip(gaps, array.shape)][::-1], 7, array.dtype).T
    view = spread[(*(slice(None, None, gap) for gap in gaps), ...)]
    view[...] = array
    view.flags.writeable = False
    return np.asarray(view)


def _times(factor: float, array: Array) -> Array:
    return np.asarray(array * array.dtype.type(factor))


def _linear(first: _Once) -> str | None:
    """It fails on a gradient of zeros"""
    runner, wanted = first.runner, first.wanted
    for factor in (-0.5, 0.0):
        scaled = first.given.changed(_copy, partial(_times, factor))
        differs = runner.differs(runner.backward(first.done, scaled), wanted, factor)
        if differs and all(np.isfinite(g).all() for g in wanted.values()):
            times = f"{factor:g} times" if factor else "zero times"
            return f"the {differs} is not linear: {times} the gradient of the output does not give {times} of it"
    return None
