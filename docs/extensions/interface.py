"""A page for each package: its public names, from their docstrings."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from impl.layers import LAYERS

PACKAGES = (
    "backproof",
    "reference",
    "reports",
    "impl",
    "impl.training",
    "impl.init",
    "impl.optim",
    "impl.optim.schedules",
)
BESIDE = {
    "impl": ("impl.layer",),
    "impl.optim": ("impl.optim.contract", "impl.optim.clipping"),
    "impl.optim.schedules": ("impl.optim.schedules.contract",),
}
"""Modules whose docstring says more about a package; its own refers to them."""


def pages() -> dict[str, str]:
    """All pages of the interface, by path without suffix."""
    return {"api/index": index()} | {f"api/{package}": page(package) for package in PACKAGES}


def index() -> str:
    """List the packages, each with what it says of itself."""
    listed = [f"| [{package}]({package}.md) | {_summary(import_module(package))} |" for package in PACKAGES]
    toctree = ["```{toctree}", ":hidden:", "", *PACKAGES, "```"]
    return "\n".join(["# Python interface", "", "| package | |", "|---|---|", *listed, "", *toctree, ""])


def page(package: str) -> str:
    """Every name in ``__all__`` but layers, which have pages of their own; what is imported stands at home."""
    module = import_module(package)
    lines = [f"# {package}", "", "```{eval-rst}", f".. py:module:: {package}", "", *_said(module), ""]
    for more in BESIDE.get(package, ()):
        lines += [f".. py:module:: {more}", "", *_said(import_module(more)), ""]
    lines += [f".. py:currentmodule:: {package}", ""]
    for name in module.__all__:
        thing = getattr(module, name)
        if thing is not LAYERS and name not in LAYERS:
            home = next(
                p for p in HOMES if name in (known := import_module(p)).__all__ and getattr(known, name) is thing
            )
            lines += _documented(home, name, thing) if home == package else [f"* :py:obj:`{name} <{home}.{name}>`", ""]
    lines += ["```", ""]
    if package == "impl":
        lines += [f"And the [{len(LAYERS)} layers](../layers/index.md).", ""]
    return "\n".join(lines)


HOMES = (*PACKAGES[1:], PACKAGES[0])
"""Where a name that several packages export is described: not in the one that gathers them."""


def _documented(package: str, name: str, thing: Any) -> list[str]:
    if inspect.isclass(thing):
        kind = "autoexception" if issubclass(thing, BaseException) else "autoclass"
        fields = ", ".join(getattr(thing, "_fields", ()))  # of a named tuple, whose own docstring for them says nothing
        hidden = [f"   :exclude-members: {fields}"] if fields else []
        return [f".. {kind}:: {package}.{name}", "   :members:", *hidden, ""]
    return [f".. {'autofunction' if inspect.isfunction(thing) else 'autodata'}:: {package}.{name}", ""]


def _said(module: Any) -> list[str]:
    """The docstring of a module, without what it says to pytest."""
    said = inspect.getdoc(module) or ""
    return [line for line in said.partition("PYTEST_DONT_REWRITE")[0].splitlines() if not line.startswith("PYTEST")]


def _summary(module: Any) -> str:
    return " ".join((inspect.getdoc(module) or "").split("\n\n")[0].split())
