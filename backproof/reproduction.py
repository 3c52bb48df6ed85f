"""A failure as a few lines of Python, to be run as they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reference import Architecture

LINES, WIDTH = 10, 120
"""More lines there never are; longer ones only where there is one node, or the architecture stands as JSON."""


def reproduction(architecture: Architecture, implementation: str, dtype: str, second_order: bool = False) -> str:
    """Write a Python program of at most ten lines that verifies an architecture again and prints the agreement."""
    given = f"implementation={implementation!r}, dtype={dtype!r}{', second_order=True' if second_order else ''}"
    verified = f"print(verify(architecture, {given}))"
    for in_columns in (False, True):
        head = ["from backproof import Architecture, Input, Node, verify", *([] if in_columns else [""])]
        lines = [*head, *_built(architecture, in_columns), verified]
        if len(architecture.nodes) == 1 or (len(lines) <= LINES and max(map(len, lines)) <= WIDTH):
            return "\n".join([*lines, ""])
    read = f"architecture = Architecture.from_json({architecture.to_json()!r})"
    return "\n".join(["from backproof import Architecture, verify", "", read, verified, ""])


def _built(architecture: Architecture, in_columns: bool) -> list[str]:
    """Write the constructor, with every node in a line of its own if so wanted."""
    inputs = []
    for i in architecture.inputs:
        given = {name: value for name, value in vars(i).items() if name not in ("name", "shape")}
        inputs.append(_called("Input", (i.name, i.shape), given | {"domain": i.domain if i.domain != "real" else None}))
    nodes = []
    for n in architecture.nodes:
        rest = {"options": n.options or None, "shares": n.shares}
        nodes.append(_called("Node", (n.name, n.op, dict(n.arguments), n.inputs), rest))
    training = "" if architecture.training else " training=False,"
    return [
        "architecture = Architecture(",
        f"    inputs={_tuple(inputs)},",
        *(["    nodes=(", *(f"        {node}," for node in nodes), "    ),"] if in_columns else ()),
        *(() if in_columns else [f"    nodes={_tuple(nodes)},"]),
        f"    outputs={architecture.outputs!r}, seed={architecture.seed},{training}",
        ")",
    ]


def _tuple(entries: Sequence[str]) -> str:
    return f"({', '.join(entries)}{',' * (len(entries) == 1)})"


def _called(name: str, arguments: Iterable[Any], keywords: Mapping[str, Any]) -> str:
    several = [*map(repr, arguments), *(f"{word}={value!r}" for word, value in keywords.items() if value is not None)]
    return f"{name}({', '.join(several)})"
