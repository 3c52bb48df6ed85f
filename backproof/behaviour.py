"""What a pass does besides computing: it must change nothing that it was given, and remember nothing.

A number may be right and the code wrong all the same: a layer that keeps its input on itself is right until it runs
twice. So each node runs alone, in every way that its numbers must not depend on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from backproof.implementations import Completed, Pass
from backproof.judging import within
from backproof.running import ImplementationFailed, call, cast, go_back
from reference import Node, Reference, Tensor
from reference.run import Array, is_numeric
from reference.sensitivity import LOOKS

SPREAD = 6
"""Along so many axes numbers are spread out in memory, each doubling it."""


class Misbehaviour(NamedTuple):
    """What a node does that it must not, in words, and whether it ``spoils`` the numbers of others."""

    words: str
    spoils: bool


@dataclass(frozen=True)
class _Given:
    """What a node is given: parameters, inputs, and the gradients of its outputs."""

    parameters: Mapping[str, Array]
    inputs: tuple[Array, ...]
    cotangents: tuple[Array | None, ...]

    def arrays(self) -> Iterator[tuple[str, Array]]:
        yield from self.parameters.items()
        yield from ((f"input {i}", x) for i, x in enumerate(self.inputs))
        yield from ((f"the gradient of output {i}", c) for i, c in enumerate(self.cotangents) if c is not None)

    def changed(self, forward: Callable[[Array], Array], back: Callable[[Array], Array]) -> _Given:
        """Return the same with a function applied to all that goes forward, and one to what comes back."""
        return _Given(
            {name: forward(array) for name, array in self.parameters.items()},
            tuple(forward(x) for x in self.inputs),
            tuple(None if c is None else back(c) for c in self.cotangents),
        )


class _Runner:
    """Runs one node, and compares what comes back with what came at first."""

    def __init__(
        self, implementation: Completed, node: Node, alone: Reference, bound: Callable[[Tensor, int], float]
    ) -> None:
        self.implementation, self.node, self.bound = implementation, node, bound
        self.training = alone.twin.architecture.training
        self.noise = alone.values.noise.get(node.name, ())
        self.names = [i.name for i in alone.twin.architecture.inputs]

    def forward(self, given: _Given) -> Pass:
        return call(self.implementation, self.node, given.parameters, given.inputs, self.training, self.noise)

    def backward(self, done: Pass, given: _Given) -> dict[Tensor, Array]:
        """Gradients by name; what no gradient flows to is absent."""
        grads, own = go_back(self.node, done, given.cotangents, given.inputs, given.parameters)
        found = {Tensor("input", name, "0"): g for name, g in zip(self.names, grads) if g is not None}
        return found | {Tensor("parameter", self.node.name, name): g for name, g in own.items()}

    def run(self, given: _Given) -> dict[Tensor, Array]:
        return self.backward(self.forward(given), given)

    def differs(self, found: Mapping[Tensor, Array], wanted: Mapping[Tensor, Array], factor: float = 1.0) -> str | None:
        """Name the first gradient that is not ``factor`` times the wanted one within rounding."""
        for name, want in wanted.items():
            if not self._near(found.get(name), factor * want, name, abs(factor)):
                called = name.name if name.kind == "parameter" else f"input {self.names.index(name.node)}"
                return f"gradient of {called}"
        return None

    def _near(self, got: Array | None, want: Array, name: Tensor, factor: float) -> bool:
        if got is None or np.array_equal(got, want, equal_nan=True):
            return got is not None
        return any(within(got, want, factor * self.bound(name, look)) for look in LOOKS)


def misbehaviour(
    implementation: Completed, node: Node, alone: Reference, dtype: str, bound: Callable[[Tensor, int], float]
) -> Misbehaviour | None:
    """Run a node alone in every way that must not matter, and say what did; None: nothing.

    Parameters
    ----------
    implementation, node
        What runs.
    alone
        The reference of the node alone: its values.
    dtype
        The precision to run in.
    bound
        How far rounding may move a gradient, at a glance or more closely.
    """
    values = alone.values
    cotangents = {int(end.rpartition(".")[2]): cast(c, dtype) for end, c in values.cotangents.items()}
    given = _Given(
        {name: cast(array, dtype) for name, array in values.parameters[node.name].items()},
        tuple(cast(x, dtype) for x in values.inputs.values()),
        tuple(cotangents.get(i) for i in range(len(alone.twin.architecture.outputs))),
    )
    runner = _Runner(implementation, node, alone, bound)
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

    def __init__(self, runner: _Runner, given: _Given) -> None:
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


def _changed(given: _Given, before: Mapping[str, Array], name: str) -> str:
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
            given.changed(_copy, _copy), inputs=tuple(map(_other, given.inputs))
        ),
    }

    def between(*between: _Given) -> str | None:
        done = runner.forward(given)
        outputs = [y.copy() for y in done.outputs]
        for other in between:
            runner.forward(other)
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
    if runner.differs(runner.run(given.changed(_strided, _strided)), first.wanted) is None:
        return None
    for what, laid in (
        ("gradient of the output", given.changed(_copy, _strided)),
        ("inputs and parameters", given.changed(_strided, _copy)),
        ("arrays", given.changed(_strided, _strided)),
    ):
        differs = runner.differs(runner.run(laid), first.wanted)
        if differs:
            return f"the {differs} depends on how the {what} lies in memory"
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
