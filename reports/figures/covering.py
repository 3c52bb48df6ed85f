"""What was covered: which op fed which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from reports.figures.drawing import canvas, line, text

CELL = 7.0
TOP, LEFT = 30.0, 150.0


def pairs(document: Mapping[str, Any]) -> Element | None:
    """Draw a matrix: the op of a row fed that of a column (full), could have but did not (pale), or cannot (empty)."""
    coverage = document["coverage"]
    if not coverage["pairs_possible"]:
        return None
    ops = list(coverage["ops"])
    place = {op: i for i, op in enumerate(ops)}
    side = len(ops) * CELL
    said = f"{coverage['pairs_covered']:,} of {coverage['pairs_possible']:,} possible pairs of op feeding op occurred."
    svg = canvas("pairs", LEFT + side + 10, TOP + side + 130, "Which op fed which", said)
    svg.set("data-ops", " ".join(ops))  # by which the page finds the pair under the pointer
    svg.set("data-grid", f"{LEFT:g} {TOP:g} {CELL:g}")
    covered: dict[bool, list[str]] = {True: [], False: []}
    for source, fed in coverage["pairs"].items():
        for op, count in fed.items():
            x, y = LEFT + place[op] * CELL, TOP + place[source] * CELL
            covered[bool(count)].append(f"M{x:g} {y:g}h{CELL - 1:g}v{CELL - 1:g}h-{CELL - 1:g}z")
    for there, look in ((False, "empty"), (True, "hue0")):
        SubElement(svg, "path", {"d": "".join(covered[there]), "class": look})
    text(svg, LEFT, 18, said, "quiet")
    # Names of all would run into one another; the page says which pair is under the pointer.
    for op, i in place.items():
        if i % 2 == 0:
            text(svg, LEFT - 6, TOP + i * CELL + 7, op, "tiny", "end")
            name = text(svg, 0, 0, op, "tiny", "end")
            name.set("transform", f"translate({LEFT + i * CELL + 6:g} {TOP + side + 6:g}) rotate(-90)")
    line(svg, [(LEFT, TOP), (LEFT, TOP + side), (LEFT + side, TOP + side)], "grid")
    return svg
