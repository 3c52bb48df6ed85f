"""The catalogue: one row per op, found in the modules beside this file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from backproof.catalogue.row import Chooser, Convention, Draw, Need, Row
from reference.architecture import Node

__all__ = ["Chooser", "Draw", "Need", "Row", "convention", "rows"]


@cache
def rows() -> Mapping[str, Row]:
    """All rows by op, in alphabetical order of ops."""
    found: list[Row] = []
    for module in iter_modules(__path__):
        if module.name != "row":
            found += import_module(f"{__name__}.{module.name}").ROWS
    return {row.op: row for row in sorted(found, key=lambda row: row.op)}


def convention(node: Node) -> Convention:
    """Parameters, and inputs by number, whose gradient is by torch's convention not the derivative, with the reason."""
    row = rows().get(node.op)
    return row.convention(node.arguments) if row and row.convention else {}
