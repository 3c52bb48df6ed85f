"""Digits over the steps of trainings, optimizer by optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TypeAlias
from xml.etree.ElementTree import Element

from reports.figures.drawing import canvas, hue, line, rectangle, text
from reports.samples import MOST_DIGITS

Courses: TypeAlias = Sequence[Sequence[float]]
"""Of each training, the digits after each step."""

WIDTH, HEIGHT, APART, TOP = 150.0, 110.0, 26.0, 62.0
COLUMNS = 5


def training(courses: Mapping[str, Mapping[str, Courses]]) -> Element:
    """Draw a panel for each optimizer: the median over its trainings as a line, and the fewest digits dotted.

    Parameters
    ----------
    courses
        By optimizer, then by whose gradients each side followed: trainings of equal length, one at least.
    """
    rows = -(-len(courses) // COLUMNS)
    width = 40 + COLUMNS * (WIDTH + APART)
    followed = list(dict.fromkeys(whose for of_one in courses.values() for whose in of_one))
    fewest = {name: min(d for lot in of_one.values() for c in lot for d in c) for name, of_one in courses.items()}
    said = "; ".join(f"{name}: at least {digits:.1f}" for name, digits in fewest.items())
    svg = canvas("training", width, TOP + rows * (HEIGHT + 52), "Digits over the steps of a training", said)
    x = 34.0
    for index, whose in enumerate(followed):
        rectangle(svg, x, 10, 12, 12, hue(index))
        x += 18
        text(svg, x, 20, whose)
        x += 9 * len(whose)
    text(svg, x, 20, "line: median of the trainings; dotted: fewest; digits up, steps across", "quiet")
    for number, (name, of_one) in enumerate(courses.items()):
        left, top = 34 + number % COLUMNS * (WIDTH + APART), TOP + number // COLUMNS * (HEIGHT + 52)
        text(svg, left, top - 8, name)
        _grid(svg, left, top, max(len(c) for lot in of_one.values() for c in lot), first=number % COLUMNS == 0)
        for whose, lot in of_one.items():
            look = f"{hue(followed.index(whose))} curve"
            for summary, extra in ((median, ""), (min, " dotted")):
                digits = [summary(step) for step in zip(*lot)]
                across = WIDTH / max(1, len(digits) - 1)
                ways = [(left + i * across, top + HEIGHT * (1 - d / MOST_DIGITS)) for i, d in enumerate(digits)]
                line(svg, ways, look + extra)
    return svg


def _grid(svg: Element, left: float, top: float, steps: int, first: bool) -> None:
    for tick in range(0, MOST_DIGITS + 1, 4):
        y = top + HEIGHT * (1 - tick / MOST_DIGITS)
        line(svg, [(left, y), (left + WIDTH, y)], "grid")
        if first:
            text(svg, left - 6, y + 4, str(tick), "quiet", "end")
    text(svg, left, top + HEIGHT + 15, "1", "quiet", "middle")
    text(svg, left + WIDTH, top + HEIGHT + 15, str(steps), "quiet", "middle")
