"""An architecture drawn in text: a line for each node, lanes for what flows on beside it, shapes on the edges.

::

    o     x
    |       (4, 3)
    +-.
    | X   linear1  Linear(in_features=3, out_features=3)
    | |     <- its backward is wrong
    | |     (4, 3)
    +-'
    o     add2 of x, linear1  Add()
    v       (4, 3), an output
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from reports.summary import op_in_words

Architecture: TypeAlias = Mapping[str, Any]
Directions: TypeAlias = tuple[bool, bool, bool, bool]

_JOINTS: Mapping[Directions, str] = {
    (up, down, left, right): glyph
    for glyph, up, down, left, right in (
        ("├", True, True, False, True),
        ("┤", True, True, True, False),
        ("┼", True, True, True, True),
        ("╰", True, False, False, True),
        ("╯", True, False, True, False),
        ("┴", True, False, True, True),
        ("╭", False, True, False, True),
        ("╮", False, True, True, False),
        ("┬", False, True, True, True),
    )
}
"""By whether a line goes up, down, left and right from there."""

ASCII = str.maketrans(dict(zip("├┤┼┴┬╰╯╭╮│─○●↓←", [*"+++++`'..|-oXv", "<-"])))


@dataclass(frozen=True)
class Line:
    """One line of a drawing; ``marked`` if it is of a culprit."""

    text: str
    marked: bool = False


@dataclass
class _Lanes:
    """Who flows down in which lane, and the lines that are drawn by now: the lanes, the text, whether it is marked."""

    last_use: Mapping[str, int]
    held: list[str | None] = field(default_factory=list)
    lines: list[tuple[str, str, bool]] = field(default_factory=list)

    def add(self, number: int, name: str, sources: Sequence[str], text: str, said: str | None) -> int:
        """Draw a node or an input below what it takes, with what is said of a culprit, and return its lane."""
        taken = [self.held.index(source) for source in sources]
        ending = [lane for lane in taken if self.last_use[self.held[lane] or ""] <= number]
        lane = min(ending) if ending else self._free()
        if {*taken} - {lane}:
            self.lines.append((self._joined({*taken}, lane, {*ending}), "", False))
        for ended in ending:
            self.held[ended] = None
        self.held[lane] = name
        dot, marked = ("○", False) if said is None else ("●", True)
        self.lines.append((self._down(lane, dot), text, marked))
        if said:
            self.lines.append((self._down(lane, "│"), f"  ← {said}", True))
        return lane

    def label(self, lane: int, text: str, ends: bool) -> None:
        """Draw the edge below a node, and what flows there."""
        if ends:
            self.held[lane] = None
        self.lines.append((self._down(lane, "↓" if ends else "│"), f"  {text}", False))

    def _down(self, lane: int, glyph: str) -> str:
        return " ".join(glyph if i == lane else self._edge(i) for i in range(len(self.held)))

    def _free(self) -> int:
        if None not in self.held:
            self.held.append(None)
        return self.held.index(None)

    def _edge(self, lane: int) -> str:
        return " " if self.held[lane] is None else "│"

    def _joined(self, taken: set[int], lane: int, ending: set[int]) -> str:
        """Draw a line across from the lanes that are taken to the lane of the node; other lanes pass over it."""
        low, high = min(taken | {lane}), max(taken | {lane})
        drawn = ""
        for i in range(len(self.held)):
            across = low < i < high
            if i in taken or i == lane:
                drawn += _JOINTS[i in taken, i == lane or i not in ending, i > low, i < high]
            else:
                drawn += "─" if across and self.held[i] is None else self._edge(i)
            drawn += "─" if low <= i < high else " "
        return drawn


def drawn(
    architecture: Architecture, shapes: Mapping[str, Sequence[int]], culprits: Mapping[str, str], *, ascii_only: bool
) -> list[Line]:
    """Draw an architecture, as plain JSON.

    Parameters
    ----------
    architecture
        What to draw; a reference to nothing is not drawn.
    shapes
        Of its nodes' outputs, by reference; others are left out.
    culprits
        By name of the nodes that are marked: what is said of them.
    ascii_only
        Draw without line-drawing characters.
    """
    steps = list(_steps(architecture))
    last_use = {name: -1 for name, *_ in steps}
    for number, (_, sources, *_) in enumerate(steps):
        last_use |= dict.fromkeys(sources, number)
    lanes = _Lanes(last_use)
    outputs = {reference.partition(".")[0] for reference in architecture["outputs"]}
    for number, (name, sources, text, shape) in enumerate(steps):
        lane = lanes.add(number, name, sources, text, culprits.get(name))
        flowing = shape or [tuple(s) for reference, s in shapes.items() if reference.partition(".")[0] == name]
        label = [", ".join(map(str, flowing)), *(["an output"] if name in outputs else [])]
        lanes.label(lane, ", ".join(filter(None, label)), ends=last_use[name] < 0)
    width = max((len(graph) for graph, *_ in lanes.lines), default=0)
    lines = [Line(f"{graph:{width}}  {text}".rstrip(), marked) for graph, text, marked in lanes.lines]
    return [Line(line.text.translate(ASCII), line.marked) for line in lines] if ascii_only else lines


def _steps(architecture: Architecture) -> Iterator[tuple[str, list[str], str, list[tuple[int, ...]]]]:
    """Yield name, producers, text and shapes of inputs and nodes, each input just before it is first used."""
    waiting = {graph_input["name"]: tuple(graph_input["shape"]) for graph_input in architecture["inputs"]}
    known = set(waiting)
    for node in architecture["nodes"]:
        sources = [name for ref in node["inputs"] if (name := ref.partition(".")[0]) in known]
        for name in dict.fromkeys(sources):
            if name in waiting:
                yield name, [], name, [waiting.pop(name)]
        plainly = len(node["inputs"]) == 1 and node["inputs"] == sources
        of = "" if plainly else f" of {', '.join(node['inputs'])}"
        yield node["name"], list(dict.fromkeys(sources)), f"{node['name']}{of}  {op_in_words(node)}", []
        known.add(node["name"])
