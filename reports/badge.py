"""A badge: the result in a few letters, as an SVG for the top of a README."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from reports.characters import printable
from reports.summary import sentence

GREEN, RED, YELLOW = "#2d7d32", "#c62828", "#8a6100"
"""White letters stand out from each by more than 4.5 to 1 (https://www.w3.org/TR/WCAG22/#contrast-minimum)."""
LETTER, MARGIN = 6.3, 12
"""Pixels that a letter of 11 takes on average, and that are left beside the text; the text is fitted to its place."""

SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{label}">
<title>{title}</title>
<rect width="{width}" height="20" rx="3" fill="{colour}"/>
<path d="M3 0H{left}V20H3a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z" fill="#444"/>
<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11" \
aria-hidden="true">
<text x="{left_middle}" y="14" textLength="{left_text}" lengthAdjust="spacingAndGlyphs">{subject}</text>
<text x="{right_middle}" y="14" textLength="{right_text}" lengthAdjust="spacingAndGlyphs">{result}</text>
</g>
</svg>
"""
SUBJECT = "gradients"


def badge(document: Mapping[str, Any]) -> str:
    """Draw a badge: the fewest digits in the first dtype in green, the number of wrong ops in red, doubts in yellow."""
    result, colour = verdict(document)
    left_text, right_text = (round(LETTER * len(text)) for text in (SUBJECT, result))
    left, right = left_text + MARGIN, right_text + MARGIN
    return SVG.format(
        width=left + right,
        left=left,
        left_text=left_text,
        right_text=right_text,
        left_middle=left / 2,
        right_middle=left + right / 2,
        colour=colour,
        subject=SUBJECT,
        result=escape(result),
        label=escape(f"{SUBJECT}: {result}"),
        title=escape(printable(sentence(document))),
    )


def verdict(document: Mapping[str, Any]) -> tuple[str, str]:
    """Return the result in a few letters, and its colour."""
    if document["failed"]:
        wrong = sum(any(row["failed"].values()) for row in document["layers"])
        return f"{wrong or document['failed']} wrong", RED
    if not document["agree"]:
        return "inconclusive" if document["inconclusive"] else "nothing verified", YELLOW
    least = next((digits for digits in document["worst_digits"].values() if digits is not None), None)
    digits = "agree" if least is None else f"{least:.1f} digits"
    return (f"{digits}, interrupted", YELLOW) if document.get("interrupted") else (digits, GREEN)
