"""The code of layers as it stands in the files, and what it calls."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import impl
from impl.layers import LAYERS

ROOT = Path(impl.__file__).parents[1]
CONTRACT = "impl.layer"
"""The module that every layer rests on; what it defines is not linked each time."""


@dataclass(frozen=True)
class Piece:
    """A class or function at the top of a module.

    Attributes
    ----------
    thing
        The class or function.
    text
        Its source, without the docstring if that is shown elsewhere.
    """

    thing: type | Callable[..., Any]
    text: str

    @property
    def name(self) -> str:
        return self.thing.__name__

    @property
    def module(self) -> str:
        return self.thing.__module__

    @property
    def file(self) -> str:
        """Where it stands, from the root of the repository."""
        return Path(inspect.getfile(self.thing)).relative_to(ROOT).as_posix()


def classes(op: str) -> list[type]:
    """The class of a layer and those that it is made from, the contract's left out."""
    return [c for c in LAYERS[op].__mro__ if c.__module__.startswith("impl.") and c.__module__ != CONTRACT]


@cache
def layer_code(op: str) -> list[Piece]:
    """What a layer is made of, the class itself first, and the functions that make its step: they hold its backward."""
    pieces = [_piece(c) for c in classes(op)]
    while new := [Piece(f, inspect.getsource(f)) for f in calls(pieces) if _makes_a_step(f)]:
        pieces = [*pieces, *new]
    return pieces


def _makes_a_step(thing: type | Callable[..., Any]) -> bool:
    return inspect.isfunction(thing) and thing.__annotations__.get("return") == "Step"


@cache
def _piece(cls: type) -> Piece:
    return Piece(cls, without_docstring(inspect.getsource(cls)))


def without_docstring(source: str) -> str:
    """Leave out the docstring of a class, unless nothing else stands in it."""
    [body] = (node.body for node in ast.parse(source).body if isinstance(node, ast.ClassDef))
    if len(body) == 1 or not (isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)):
        return source
    lines = source.splitlines()
    del lines[body[0].lineno - 1 : body[1].lineno - 1 - _decorators(body[1])]
    return "\n".join(lines) + "\n"


def _decorators(node: ast.stmt) -> int:
    """How many lines of decorators stand above a definition."""
    above = getattr(node, "decorator_list", [])
    return node.lineno - above[0].lineno if above else 0


def calls(pieces: list[Piece]) -> list[type | Callable[..., Any]]:
    """What of ``impl`` these pieces name and do not contain: helpers, and other layers; in order of appearance."""
    inside = {piece.thing for piece in pieces}
    found: dict[Any, None] = {}
    for piece in pieces:
        for name in _names(piece):
            thing = getattr(sys.modules[piece.module], name, None)
            defined = inspect.isclass(thing) or inspect.isfunction(thing)
            if defined and thing.__module__.startswith("impl.") and thing.__module__ != CONTRACT:
                found.setdefault(thing)
    return [thing for thing in found if thing not in inside]


@cache
def _names(piece: Piece) -> tuple[str, ...]:
    return tuple(node.id for node in ast.walk(ast.parse(piece.text)) if isinstance(node, ast.Name))


@cache
def shared_modules() -> dict[str, list[Piece]]:
    """Helpers that layers call, by module, whole modules at a time; layers and what they inherit are left out."""
    shown = {c for op in LAYERS for c in classes(op)}
    found: dict[str, list[Piece]] = {}
    new = [thing for op in LAYERS for thing in calls(layer_code(op))]
    while new:
        module = new.pop().__module__
        if module not in found:
            found[module] = [Piece(t, inspect.getsource(t)) for t in _defined(sys.modules[module]) if t not in shown]
            new += calls(found[module])
    return {module: pieces for module, pieces in sorted(found.items()) if pieces}


def _defined(module: ModuleType) -> list[type | Callable[..., Any]]:
    """Classes and functions of a module's own, in the order of its file."""
    own = [t for t in vars(module).values() if inspect.isclass(t) or inspect.isfunction(t)]
    return [t for t in own if t.__module__ == module.__name__ and hasattr(module, t.__name__)]
