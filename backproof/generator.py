"""Random architectures: one generator, fed by Hypothesis (which shrinks) or by a seeded random.Random."""

from __future__ import annotations

import difflib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import TypeVar

from hypothesis import strategies as st

from backproof.catalogue import Chooser, Draw, Need, Row, rows
from reference import Architecture, Input, Node, Reference, Twin, draw_values
from reference.ops import STRUCTURAL

T = TypeVar("T")
Shape = tuple[int, ...]
Takes = Callable[[Node, Sequence[Shape]], bool]
"""Whether a node on inputs of these shapes may be drawn: what an implementation says that it runs."""

ELEMENTS = 400
"""No array between nodes is larger: every coordinate is differentiated, so cost grows with it."""

RANKS = (2, 3, 4, 1, 5)
"""Of the first input, where a layer takes it as it is."""

ATTEMPTS = 20
FRESH_STARTS = 1000
"""How often drawing begins anew, with another first input, where an implementation took nothing of what was drawn."""

MOVES, MARGIN = 3, 2.0**-18
"""How often values are drawn anew that lie nearer to a kink than a relative 32 units of float32."""


class RandomChooser:
    """Choices from a seeded generator of the standard library, the same on every platform."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def integer(self, lo: int, hi: int) -> int:
        """Choose uniformly from [lo, hi]."""
        return self._random.randint(lo, hi)

    def one_of(self, options: Sequence[T]) -> T:
        """Choose uniformly."""
        return options[self._random.randrange(len(options))]

    def boolean(self) -> bool:
        """Toss a coin."""
        return self._random.random() < 0.5


class HypothesisChooser:
    """Choices that Hypothesis makes, and shrinks."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def integer(self, lo: int, hi: int) -> int:
        """Choose from [lo, hi]; shrinks towards the end that is nearer to 0."""
        return self._draw(st.integers(lo, hi))

    def one_of(self, options: Sequence[T]) -> T:
        """Choose an option; shrinks towards the first."""
        return self._draw(st.sampled_from(options))

    def boolean(self) -> bool:
        """Choose False or True; shrinks towards False."""
        return self._draw(st.booleans())


@st.composite
def architectures(
    draw: st.DrawFn, layers: Sequence[str] | None = None, max_nodes: int = 8, takes: Takes | None = None
) -> Architecture:
    """Hypothesis strategy for architectures.

    Parameters
    ----------
    layers
        Ops to draw from, by default the whole catalogue. Structural ops (``Add``, ``Reshape`` ...) that join and fit
        the layers are always among them.
    max_nodes
        How many nodes an architecture has at most.
    takes
        Whether a node, on inputs of these shapes, may be drawn; None: all may. ``Completed(implementation).takes``
        draws just what an implementation runs.

    Raises
    ------
    ValueError
        A layer is not in the catalogue, or nothing of what is drawn is taken.
    """
    return _grow(HypothesisChooser(draw), layers, max_nodes, takes).twin.architecture


def random_architecture(
    seed: int, layers: Sequence[str] | None = None, max_nodes: int = 8, takes: Takes | None = None
) -> Architecture:
    """Draw the architecture of an integer: what :func:`architectures` draws, without Hypothesis."""
    return random_reference(seed, layers, max_nodes, takes).twin.architecture


def random_reference(
    seed: int, layers: Sequence[str] | None = None, max_nodes: int = 8, takes: Takes | None = None
) -> Reference:
    """Draw the architecture of an integer, with what PyTorch says of it."""
    return _grow(RandomChooser(seed), layers, max_nodes, takes)


def drawable(layers: Sequence[str] | None) -> list[Row]:
    """Rows of the catalogue for the named layers, the structural ones included; None: all of them.

    Raises
    ------
    ValueError
        A layer is not in the catalogue.
    """
    catalogue = rows()
    for name in layers or ():
        if name not in catalogue:
            spelled = {op.lower(): op for op in catalogue}
            near = [spelled[close] for close in difflib.get_close_matches(name.lower(), spelled, n=1)]
            hint = f": did you mean {near[0]}?" if near else ": `backproof layers` lists what is covered"
            raise ValueError(f"no layer {name!r} in the catalogue{hint}")
    return [row for op, row in catalogue.items() if layers is None or op in layers or op in STRUCTURAL]


def sample(row: Row, count: int) -> Iterator[Node]:
    """Draw an op with its arguments, without a network around it, the same ones every time."""
    choose = RandomChooser(0)
    for _ in range(count):
        shape = tuple(choose.integer(1, 6) for _ in range(choose.one_of(row.ranks)))
        given = row.first(choose, shape).shape if row.first else shape
        drawn = row.draw(choose, given, choose.boolean())
        if drawn is not None:
            inputs = (f"x{i}" for i in range(1 + len(drawn.needs)))
            yield Node(row.op.lower(), row.op, drawn.arguments, tuple(inputs), drawn.options)


@dataclass
class _Growing:
    """An architecture under construction: what there is to build on, and its twin that knows the shapes."""

    choose: Chooser
    training: bool
    ranks: Sequence[int]
    takes: Takes | None
    inputs: list[Input] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    draws: dict[str, tuple[Shape, Draw]] = field(default_factory=dict)
    pool: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    unused: dict[str, None] = field(default_factory=dict)
    attempts: int = 0
    refused: bool = False

    def __post_init__(self) -> None:
        shape = self.shape_of_rank(self.choose.one_of(self.ranks))
        first = Input("x0", shape, self.choose.one_of(("real", "real", "real", "ties", "wide")))
        self.inputs.append(first)
        self.pool.append("x0")
        self.twin = Twin(Architecture((first,), (), ("x0",), training=self.training), device="cpu")

    def shape_of_rank(self, rank: int) -> Shape:
        """Draw a small shape; sizes of 1 are common. The first axes leave room for 2 along each that follows."""
        shape: Shape = ()
        for after in reversed(range(rank)):
            room = ELEMENTS // 2 // (prod(shape) * 2**after)
            shape += (self.choose.one_of([n for n in (2, 3, 4, 1, 5, 6) if n <= room]),)
        return shape

    def shape(self, reference: str) -> Shape:
        """Shape of what a reference stands for."""
        name, _, index = reference.partition(".")
        return tuple(self.twin.outputs[name][int(index or 0)].shape)

    def fresh(self, need: Need) -> str:
        """Make a new graph input."""
        domain = need.domain
        if domain == "real":
            domain = self.choose.one_of(("real", "real", "real", "ties", "wide"))
        new = Input(f"x{len(self.inputs)}", need.shape, domain, need.below, need.ignore, need.axes)
        self.inputs.append(new)
        self.twin.add_input(new)
        if need.domain == "real" and need.shape:
            self.pool.append(new.name)
        return new.name

    def satisfy(self, need: Need) -> str:
        """Find something of that shape, or make a new input."""
        found = [r for r in (*reversed(self.pool), *self.losses) if self.shape(r) == need.shape]
        if need.domain == "real" and found and self.choose.one_of((True, True, True, False)):
            return self.choose.one_of(found)
        return self.fresh(need)

    def place(self, row: Row) -> bool:
        """Add a node of this op; False where nothing fits it."""
        if row.first is not None:
            need = row.first(self.choose, self.shape(self.pool[-1]))
            drawn = row.draw(self.choose, need.shape, self.training)
            return drawn is not None and self.add(row, self.satisfy(need), need.shape, drawn)
        candidates = [*reversed(self.pool), *(self.losses if 0 in row.ranks else ())]
        start = self.choose.one_of((candidates[0], self.choose.one_of(candidates)))
        fitted = self.fit(start, row.ranks)
        if fitted is None:
            return False
        drawn = row.draw(self.choose, self.shape(fitted), self.training)
        if drawn is not None and drawn.first is not None:
            fitted = self.fresh(drawn.first)
        return drawn is not None and self.add(row, fitted, self.shape(fitted), drawn)

    def fit(self, reference: str, ranks: tuple[int, ...]) -> str | None:
        """Reshape something to a rank that an op takes: split its longest axis or merge its last; None if too large."""
        shape = self.shape(reference)
        if len(shape) in ranks:
            return reference
        rank = self.choose.one_of([r for r in ranks if r])
        while len(shape) > rank:
            shape = (*shape[:-2], shape[-2] * shape[-1])
        while len(shape) < rank:
            longest = max(shape)
            at = shape.index(longest)
            divisor = self.choose.one_of([d for d in range(1, longest + 1) if longest % d == 0])
            shape = (*shape[:at], longest // divisor, divisor, *shape[at + 1 :])
        row = rows()["Reshape"]
        added = self.add(row, reference, self.shape(reference), Draw({"shape": list(shape)}))
        return self.nodes[-1].name if added else None

    def tie(self) -> bool:
        """Run an earlier layer once more, with the same parameters."""
        owners = [n for n in self.nodes if n.shares is None and self.twin.parameter_shapes.get(n.name)]
        owners = [n for n in owners if not self.twin.buffers[n.name] and rows()[n.op].first is None]
        pairs = [(n, r) for n in owners for r in self.pool if self.shape(r) == self.draws[n.name][0]]
        if not pairs:
            return False
        node, reference = self.choose.one_of(pairs)
        shape, drawn = self.draws[node.name]
        return self.add(rows()[node.op], reference, shape, drawn, shares=node.name)

    def add(self, row: Row, first: str, shape: Shape, drawn: Draw, shares: str | None = None) -> bool:
        """Add a node, unless the implementation does not take it, or what it puts out is too large."""
        self.attempts += 1
        inputs = (first, *(self.satisfy(need) for need in drawn.needs))
        node = Node(f"{row.op.lower()}{self.attempts}", row.op, drawn.arguments, inputs, drawn.options, shares)
        if self.takes is not None and not self.takes(node, [self.shape(reference) for reference in inputs]):
            self.refused = True
            return False
        self.twin.add(node)
        outputs = self.twin.outputs[node.name]
        if sum(y.numel() for y in outputs) > ELEMENTS:
            return False
        self.nodes.append(node)
        self.draws[node.name] = (shape, drawn)
        for reference in inputs:
            self.unused.pop(reference, None)
        names = [node.name, *(f"{node.name}.{i}" for i in range(1, len(outputs)))]
        floating = [name for name, y in zip(names, outputs) if y.is_floating_point()]
        self.unused |= dict.fromkeys(floating)
        (self.losses if row.loss else self.pool).extend(
            name for name in floating if prod(self.shape(name)) and (row.loss or self.shape(name))
        )
        return True

    def finish(self, seed: int) -> Architecture:
        """Make every loose end an output, and drop inputs that nothing uses."""
        used = {reference for node in self.nodes for reference in node.inputs}
        ends: list[str] = []
        for node in self.nodes:
            loose = [r for r in self.unused if r.partition(".")[0] == node.name]
            # Of several outputs some may stay unused: their gradients are then absent, not zero.
            kept = [r for r in loose if len(loose) == 1 or self.choose.one_of((True, True, False))]
            idle = not kept and not any(r.partition(".")[0] == node.name for r in used)
            ends += loose[:1] if idle else kept
        inputs = tuple(i for i in self.inputs if i.name in used)
        return Architecture(inputs, tuple(self.nodes), tuple(ends), seed, self.training)


def _grow(choose: Chooser, layers: Sequence[str] | None, max_nodes: int, takes: Takes | None) -> Reference:
    if max_nodes < 1:
        raise ValueError(f"max_nodes is {max_nodes}, wanted at least 1")
    available = drawable(layers)
    wanted = [row for row in available if layers is None or row.op in layers]
    ranks = [rank for rank in RANKS if any(rank in row.ranks for row in wanted)]
    for _ in range(FRESH_STARTS):
        growing = _Growing(choose, choose.one_of((True, True, True, False)), ranks or RANKS, takes)
        count = choose.integer(1, max_nodes)
        for _ in range(ATTEMPTS + count):
            if len(growing.nodes) >= count:
                break
            if choose.integer(0, 9) == 9 and growing.tie():
                continue
            named = choose.one_of((True, True, False)) or not growing.nodes
            growing.place(choose.one_of(wanted if named else available))
        if growing.nodes or not growing.refused:
            break
    if growing.refused and not growing.nodes:
        names = ", ".join(row.op for row in wanted)
        raise ValueError(f"nothing of {names} was taken: their arguments, or the shapes of their inputs, are refused")
    while not growing.nodes:  # nothing that was drawn fitted the first input
        growing.place(rows()["Reshape"])
    return away_from_kinks(growing.twin.of(growing.finish(choose.integer(0, 2**32 - 1))))


def away_from_kinks(twin: Twin) -> Reference:
    """Take the next seed, a few times, while a value lies so near a kink that float32 may round to its other side.

    Kinks that are hit on purpose (inputs that are ``ties``) stay hit: arithmetic on them is exact.
    """
    for _ in range(MOVES):
        reference = Reference(twin, draw_values(twin.architecture, twin))
        if not reference.near_kink(MARGIN):
            return reference
        twin = twin.of(replace(twin.architecture, seed=(twin.architecture.seed + 1) % 2**32))
    return Reference(twin, draw_values(twin.architecture, twin))
