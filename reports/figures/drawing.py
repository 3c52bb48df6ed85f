"""What all figures share: the canvas, axes, colours by name, and how a number of digits is spread over a width."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

from reports.characters import for_xml
from reports.samples import MOST_DIGITS

STYLE = Path(__file__).parent / "figure.css"
"""Colours and letters, for light and dark: part of the page, and of every file."""

LETTER = 6.6
"""Units that a letter of 12 units' height is wide, about."""


def canvas(name: str, width: float, height: float, title: str, said: str, role: str = "img") -> Element:
    """Return an empty figure; ``said`` is what it shows, for who cannot see it. With links in it, it is a ``group``."""
    svg = Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "class": "figure",
            "viewBox": f"0 0 {_short(width)} {_short(height)}",
            "width": _short(width),
            "height": _short(height),
            "role": role,
            "aria-labelledby": f"figure-{name}-title figure-{name}-said",
        },
    )
    for tag, identity, text in (("title", "title", title), ("desc", "said", said)):
        SubElement(svg, tag, id=f"figure-{name}-{identity}").text = for_xml(text)
    return svg


def standalone(svg: Element) -> str:
    """Write a figure as a file of its own."""
    style = Element("style")
    style.text = STYLE.read_text(encoding="utf-8")
    svg.insert(0, style)
    text = tostring(svg, encoding="unicode")
    svg.remove(style)
    return text + "\n"


def inline(svg: Element) -> str:
    """Write a figure as a part of a page, which has the style."""
    return tostring(svg, encoding="unicode")


def text(parent: Element, x: float, y: float, words: str, look: str = "", anchor: str = "start") -> Element:
    """Write words."""
    written = _part(parent, "text", look, x=_short(x), y=_short(y))
    written.set("text-anchor", anchor)
    written.text = for_xml(words)
    return written


def rectangle(
    parent: Element, x: float, y: float, width: float, height: float, look: str, said: str = "", opacity: float = 1.0
) -> Element:
    """Draw a rectangle; ``said`` appears where the pointer rests on it."""
    drawn = _part(parent, "rect", look, x=_short(x), y=_short(y), width=_short(width), height=_short(height))
    if opacity < 1.0:
        drawn.set("fill-opacity", f"{opacity:.2f}")
    if said:
        SubElement(drawn, "title").text = for_xml(said)
    return drawn


def line(parent: Element, points: Iterable[tuple[float, float]], look: str) -> Element:
    """Draw a line through points."""
    way = "L".join(f"{_short(x)} {_short(y)}" for x, y in points)
    return _part(parent, "path", look, d=f"M{way}")


def square(parent: Element, left: float, top: float, side: float, across: str, up: str) -> None:
    """Draw the axes of a square over digits on both, with a grid."""
    digit = side / MOST_DIGITS
    for tick in range(0, MOST_DIGITS + 1, 4):
        x, y = left + tick * digit, top + side - tick * digit
        line(parent, [(x, top), (x, top + side)], "grid")
        line(parent, [(left, y), (left + side, y)], "grid")
        text(parent, x, top + side + 16, str(tick), "quiet", "middle")
        text(parent, left - 6, y + 4, str(tick), "quiet", "end")
    text(parent, left + side / 2, top + side + 36, across, "quiet", "middle")
    turned = text(parent, 0, 0, up, "quiet", "middle")
    turned.set("transform", f"translate({_short(left - 34)} {_short(top + side / 2)}) rotate(-90)")


def link(parent: Element, target: str) -> Element:
    """Return a group that leads to a view of the page."""
    return SubElement(parent, "a", href=target)


def hue(index: int) -> str:
    """Name the colour of the dtype, or whatever, with this number."""
    return f"hue{index % 3}"


def _short(number: float) -> str:
    return f"{number:.1f}".rstrip("0").rstrip(".")


def _part(parent: Element, tag: str, look: str, **attributes: str) -> Element:
    return SubElement(parent, tag, {**attributes, "class": look} if look else attributes)
