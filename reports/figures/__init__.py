"""The figures of a report, as SVG: each is drawn from the document of a run and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from xml.etree.ElementTree import Element

from reports.figures.comparing import change
from reports.figures.covering import pairs
from reports.figures.digits import kinds, layers
from reports.figures.drawing import standalone
from reports.figures.witnesses import sensitivity, three_way

FIGURES: Mapping[str, Callable[[Mapping[str, Any]], Element | None]] = {
    "layers": layers,
    "kinds": kinds,
    "three-way": three_way,
    "sensitivity": sensitivity,
    "pairs": pairs,
    "change": change,
}
"""By name; each returns None where the document has nothing to draw."""


def figures(document: Mapping[str, Any]) -> dict[str, str]:
    """Draw all figures, each as an SVG file of its own that follows the viewer's light or dark scheme."""
    drawn = {name: draw(document) for name, draw in FIGURES.items()}
    return {name: standalone(figure) for name, figure in drawn.items() if figure is not None}
