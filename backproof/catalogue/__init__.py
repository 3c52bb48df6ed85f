"""The catalogue: one row per op, found in the modules beside this file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from inspect import Parameter
from pkgutil import iter_modules

from backproof.catalogue.row import Chooser, Convention, Draw, Need, Row
from reference.architecture import Node
from reference.ops import parameters_of
from reports import Facts

__all__ = ["Chooser", "Draw", "Need", "Row", "convention", "facts", "rows"]

UNDRAWN = frozenset(["inplace", "size_average", "reduce"])
"""Arguments that change no number, and deprecated ones."""


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


def facts(ops: Iterable[str]) -> dict[str, Facts]:
    """Return what can be drawn of these ops, for their coverage to be measured."""
    return {op: _facts(rows()[op]) for op in ops}


def _facts(row: Row) -> Facts:
    given = {name: p.default for name, p in parameters_of(row.op).items() if name not in UNDRAWN}
    defaults = {name: default for name, default in given.items() if default is not Parameter.empty}
    return Facts(() if row.first else row.ranks, defaults, row.loss)
