"""What the witnesses say of one another: three ways at once, and how small an error each pair would have caught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from reports.figures.drawing import canvas, hue, line, square, text
from reports.samples import ALONE, MOST_DIGITS, PER_DIGIT, THOUSANDTHS

LEFT, TOP, BOTTOM = 56.0, 34.0, 46.0
SIDE = 320.0

QUESTIONS = {
    "autograd": "whole network, autograd",
    ALONE: "node alone, autograd",
    "differences": "node alone, differences",
    "autograd against differences": "autograd itself, differences",
}
DASHES = ("", "dashed", "dotted", "mixed")


def three_way(document: Mapping[str, Any]) -> Element | None:
    """Draw architectures by the digits with autograd (across) and with finite differences (up), a square a dtype.

    The size of a dot is the number of architectures; its shade is how well PyTorch's autograd agrees with differences.
    """
    known = document["pictured"]["three_way"]
    places = {dtype: known[dtype] for dtype in document["dtypes"] if known.get(dtype)}
    if not places:
        return None
    width = LEFT + (SIDE + LEFT) * len(places)
    said = "; ".join(
        f"{dtype}: {sum(p[2] for p in of_dtype):,} architectures, "
        f"at least {min(p[0] for p in of_dtype) / PER_DIGIT:g} digits with autograd "
        f"and {min(p[1] for p in of_dtype) / PER_DIGIT:g} with differences"
        for dtype, of_dtype in places.items()
    )
    title = "Hand-written, autograd and finite differences: the fewest digits of every architecture's nodes"
    svg = canvas("three-way", width, TOP + SIDE + BOTTOM, title, said)
    for index, (dtype, of_dtype) in enumerate(places.items()):
        _square(svg, LEFT + index * (SIDE + LEFT), index, dtype, of_dtype)
    return svg


def _square(svg: Element, left: float, index: int, dtype: str, places: Sequence[Sequence[int]]) -> None:
    digit = SIDE / MOST_DIGITS
    text(svg, left, 20, dtype)
    square(svg, left, TOP, SIDE, "digits with autograd", "with differences")
    most = max(1, *(place[2] for place in places))
    for x, y, count, known, total in places:
        across, up = left + (x + 0.5) * digit / PER_DIGIT, TOP + SIDE - (y + 0.5) * digit / PER_DIGIT
        dot = SubElement(svg, "circle", cx=f"{across:.1f}", cy=f"{up:.1f}")
        dot.set("r", f"{1.8 + 5.5 * (count / most) ** 0.5:.1f}")
        dot.set("class", hue(index))
        mean = total / known / THOUSANDTHS if known else None
        dot.set("fill-opacity", f"{0.3 + 0.6 * min(1.0, mean / 15):.2f}" if mean is not None else "0.75")
        own = "" if mean is None else f"; autograd has {mean:.1f} with differences"
        SubElement(dot, "title").text = (
            f"{dtype}: {count:,} architectures, {x / PER_DIGIT:g} digits with autograd, "
            f"{y / PER_DIGIT:g} with differences{own}"
        )


def sensitivity(document: Mapping[str, Any]) -> Element | None:
    """Draw which share of the arrays an error is caught in, in whatever entry, by its size relative to the array's."""
    dtypes = list(document["dtypes"])
    limits = [
        counts
        for counts in document["pictured"]["limits"]
        if any(counts["histogram"]) and counts["dtype"] in dtypes and counts["against"] in QUESTIONS
    ]
    limits.sort(key=lambda counts: (dtypes.index(counts["dtype"]), list(QUESTIONS).index(counts["against"])))
    if not limits:
        return None
    width, height, digit = 560.0, 250.0, 560.0 / MOST_DIGITS
    key = TOP + height + BOTTOM + 14
    said = "; ".join(
        f"{c['dtype']}, {QUESTIONS[c['against']]}: nine of ten arrays from 1e-{_quantile(c['histogram']):g} on"
        for c in limits
    )
    title = "How small an error would have been caught"
    svg = canvas("sensitivity", LEFT + width + 20, key + 18 * len(limits) + 8, title, said)
    for tick in range(0, MOST_DIGITS + 1, 2):
        x = LEFT + tick * digit
        line(svg, [(x, TOP), (x, TOP + height)], "grid")
        text(svg, x, TOP + height + 16, f"1e-{tick}" if tick else "1", "quiet", "middle")
    for share in (0, 25, 50, 75, 100):
        y = TOP + height * (1 - share / 100)
        line(svg, [(LEFT, y), (LEFT + width, y)], "grid")
        text(svg, LEFT - 6, y + 4, f"{share} %", "quiet", "end")
    text(svg, LEFT, 20, "share of arrays in which an error is caught, whatever entry it is in", "quiet")
    across = "size of the error, relative to the largest entry of the array"
    text(svg, LEFT + width / 2, TOP + height + 36, across, "quiet", "middle")
    for number, counts in enumerate(limits):
        look = f"{hue(dtypes.index(counts['dtype']))} curve {DASHES[list(QUESTIONS).index(counts['against'])]}".strip()
        total, caught, points = sum(counts["histogram"]), sum(counts["histogram"]), [(LEFT, TOP)]
        for bin, count in enumerate(counts["histogram"]):
            points.append((LEFT + bin * digit / PER_DIGIT, TOP + height * (1 - caught / total)))
            caught -= count
        points.append((LEFT + width, TOP + height * (1 - caught / total)))
        line(svg, points, look)
        y = key + 18 * number
        line(svg, [(LEFT, y), (LEFT + 28, y)], look)
        text(svg, LEFT + 36, y + 4, f"{counts['dtype']}: {QUESTIONS[counts['against']]}, {total:,} arrays")
    return svg


def _quantile(histogram: Sequence[int]) -> float:
    """The digits that nine of ten arrays reach."""
    total, below = sum(histogram), 0
    for bin, count in enumerate(histogram):
        below += count
        if below > total / 10:
            return bin / PER_DIGIT
    return float(MOST_DIGITS)
