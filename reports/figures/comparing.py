"""Two runs beside one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from reports.figures.drawing import canvas, hue, line, square, text
from reports.samples import MOST_DIGITS

LEFT, TOP, SIDE, BOTTOM = 60.0, 34.0, 420.0, 46.0


def change(document: Mapping[str, Any]) -> Element | None:
    """Draw the mean digits of every op and kind of array, before (across) and now (up)."""
    means = (document.get("comparison") or {}).get("means")
    if not means:
        return None
    dtypes = sorted({entry["dtype"] for entry in means})
    worse = {(c["op"], c["kind"], c["dtype"]) for c in document["comparison"]["worse"] if c["what"] == "digits"}
    better = {(c["op"], c["kind"], c["dtype"]) for c in document["comparison"]["better"] if c["what"] == "digits"}
    said = f"{len(means):,} means: {len(worse):,} got worse, {len(better):,} better."
    svg = canvas("change", LEFT + SIDE + 20, TOP + SIDE + BOTTOM + 18, "Mean digits before and now", said)
    digit = SIDE / MOST_DIGITS
    square(svg, LEFT, TOP, SIDE, "mean digits before", "now")
    line(svg, [(LEFT, TOP + SIDE), (LEFT + SIDE, TOP)], "axis")
    text(svg, LEFT, 20, f"{said} Below the line: fewer digits than before.", "quiet")
    for entry in means:
        key = entry["op"], entry["kind"], entry["dtype"]
        dot = SubElement(svg, "circle", cx=f"{LEFT + entry['base'] * digit:.1f}", r="5" if key in worse else "3")
        dot.set("cy", f"{TOP + SIDE - entry['new'] * digit:.1f}")
        dot.set("class", "no" if key in worse else "yes" if key in better else hue(dtypes.index(entry["dtype"])))
        dot.set("fill-opacity", "0.9" if key in worse | better else "0.45")
        SubElement(dot, "title").text = f"{' '.join(key)}: {entry['base']:.2f} before, {entry['new']:.2f} now"
    return svg
