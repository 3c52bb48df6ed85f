"""Digits of agreement: how they are spread over each layer, and the fewest of every kind of array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element

from reports.figures.drawing import LETTER, canvas, hue, line, link, rectangle, text
from reports.samples import MOST_DIGITS, PER_DIGIT

KINDS = {
    "output": "output",
    "update": "new buffer",
    "adjoint": "adjoint",
    "input": "input",
    "parameter": "parameter",
    "direction": "direction",
    "curvature": "2nd order",
}
"""Kinds of arrays of which there are digits; inputs and parameters stand for their gradients."""

ROW, DIGIT, TOP = 16.0, 26.0, 58.0
CELL = 62.0


def layers(document: Mapping[str, Any]) -> Element | None:
    """Draw, for every layer and dtype, the share of arrays by their digits: the darker, the more."""
    rows = [row for row in document["layers"] if any(map(any, row["histogram"].values()))]
    if not rows:
        return None
    dtypes = list(document["dtypes"])
    left = _widest(row["op"] for row in rows)
    width, height = left + MOST_DIGITS * DIGIT + 70, TOP + len(rows) * ROW + 12
    said = f"The digits of {len(rows)} layers, from {_least(rows):.1f} to 16, in {', '.join(dtypes)}."
    svg = canvas("layers", width, height, "Digits of agreement with PyTorch's autograd, layer by layer", said, "group")
    _key(svg, left, dtypes)
    for tick in range(0, MOST_DIGITS + 1, 4):
        x = left + tick * DIGIT
        line(svg, [(x, TOP - 4), (x, height - 8)], "grid")
        text(svg, x, TOP - 10, f"{tick} digits" if tick == MOST_DIGITS else str(tick), "quiet", "middle")
    for number, row in enumerate(rows):
        y = TOP + number * ROW
        text(link(svg, target(row["op"])), left - 8, y + 11.5, row["op"], anchor="end")
        _strip(svg, row, dtypes, left, y + 2, ROW - 4, DIGIT)
    return svg


def strip(row: Mapping[str, Any], dtypes: Sequence[str]) -> Element | None:
    """Draw the line of one layer alone."""
    if not any(map(any, row["histogram"].values())):
        return None
    worst = (f"{d} from {least:.1f}" for d, least in row["worst_digits"].items() if least is not None)
    name = f"strip-{row['op']}".replace(" ", "-")
    svg = canvas(name, MOST_DIGITS * 14, 14, f"{row['op']}: digits", f"{', '.join(worst)} digits")
    for tick in range(0, MOST_DIGITS + 1, 4):
        line(svg, [(tick * 14, 0), (tick * 14, 14)], "grid")
    _strip(svg, row, dtypes, 0, 1, 12, 14)
    return svg


def _strip(
    svg: Element, row: Mapping[str, Any], dtypes: Sequence[str], left: float, y: float, height: float, digit: float
) -> None:
    width = digit / PER_DIGIT
    for index, dtype in enumerate(dtypes):
        counts = row["histogram"][dtype]
        most = max(counts, default=0)
        for bin, count in enumerate(counts):
            if count:
                span = f"{bin / PER_DIGIT:g} to {(bin + 1) / PER_DIGIT:g} digits"
                said = f"{row['op']}, {dtype}: {count:,} arrays with {span}"
                shade = 0.18 + 0.82 * (count / most) ** 0.5
                rectangle(svg, left + bin * width, y, width - 0.5, height, hue(index), said, shade)


def kinds(document: Mapping[str, Any]) -> Element | None:
    """Draw the fewest digits of every layer and kind of array, one square for each dtype: the paler, the fewer."""
    rows = [row for row in document["layers"] if any(map(any, row["histogram"].values()))]
    dtypes = list(document["dtypes"])
    fewest = {row["op"]: _fewest(row) for row in rows}
    shown = [kind for kind in KINDS if any(kind in found for of_op in fewest.values() for found, _ in of_op)]
    if not shown:
        return None
    left, wide = _widest(row["op"] for row in rows), CELL * len(dtypes) * 0.62 + 16
    width, height = left + wide * len(shown) + 10, TOP + len(rows) * ROW + 10
    said = "A heat map: layers from top to bottom, kinds of arrays from left to right, one cell for each dtype."
    svg = canvas("kinds", width, height, "The fewest digits of every layer and kind of array", said, "group")
    _key(svg, left, dtypes)
    for column, kind in enumerate(shown):
        text(svg, left + column * wide, TOP - 10, KINDS[kind], "quiet")
    for number, row in enumerate(rows):
        y = TOP + number * ROW
        text(link(svg, target(row["op"])), left - 8, y + 11.5, row["op"], anchor="end")
        for column, kind in enumerate(shown):
            for index, dtype in enumerate(dtypes):
                x = left + column * wide + index * CELL * 0.62
                _cell(svg, x, y + 1, row["op"], kind, dtype, index, fewest[row["op"]].get((kind, dtype)))
    return svg


def _cell(
    svg: Element, x: float, y: float, op: str, kind: str, dtype: str, index: int, found: tuple[float | None, int] | None
) -> None:
    width, name = CELL * 0.62 - 3, f"{op}, {KINDS[kind]}, {dtype}"
    if found is None:
        rectangle(svg, x, y, width, ROW - 3, "empty", f"{name}: none")
        return
    least, wrong = found
    if wrong:
        rectangle(svg, x, y, width, ROW - 3, "no", f"{name}: {wrong:,} disagree")
        return
    if least is None:
        rectangle(svg, x, y, width, ROW - 3, "empty", f"{name}: no digits are counted")
        return
    # The dtypes differ in what they can hold: each is shaded by its own most.
    shade = max(0.08, min(1.0, least / MOST_OF.get(dtype, 15.7)))
    rectangle(svg, x, y, width, ROW - 3, hue(index), f"{name}: at least {least:.1f} digits", shade**2)
    words = text(svg, x + width / 2, y + 10, f"{least:.1f}", "number", "middle")
    words.set("class", "number on" if shade**2 > 0.5 else "number")


MOST_OF = {"float64": 15.7, "complex128": 15.7, "float32": 6.9, "float16": 3.0}
"""Digits that a dtype holds: ``-log10(epsilon)``."""


def _fewest(row: Mapping[str, Any]) -> dict[tuple[str, str], tuple[float | None, int]]:
    """Of each kind and dtype, the fewest digits against whomever, and how many arrays disagree."""
    found: dict[tuple[str, str], tuple[float | None, int]] = {}
    for arrays in row["arrays"]:
        if arrays["kind"] in KINDS:
            key = arrays["kind"], arrays["dtype"]
            before, wrong = found.get(key, (None, 0))
            digits = [d for d in (before, arrays["worst_digits"]) if d is not None]
            found[key] = min(digits, default=None), wrong + arrays["disagree"]
    return found


def target(op: str) -> str:
    """Return the link to a layer's view."""
    return f"#/layer?op={quote(op)}"


def _key(svg: Element, left: float, dtypes: Sequence[str]) -> None:
    x = left
    for index, dtype in enumerate(dtypes):
        rectangle(svg, x, 8, 12, 12, hue(index))
        text(svg, x + 18, 18, dtype)
        x += 36 + LETTER * len(dtype)


def _widest(names: Any) -> float:
    return 16 + LETTER * min(max(map(len, names), default=0), 32)


def _least(rows: Sequence[Mapping[str, Any]]) -> float:
    return min((d for row in rows for d in row["worst_digits"].values() if d is not None), default=0.0)
