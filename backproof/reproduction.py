"""A failure as a few lines of Python, to be run as they are."""

from __future__ import annotations

import inspect
import sys

from backproof.implementations import Verifiable
from reference import Architecture

LINES, WIDTH = 10, 120
"""More lines there never are; longer ones only where there is one node, or the architecture stands as JSON."""


def reproduction(
    architecture: Architecture, implementation: str | Verifiable, dtype: str, second_order: bool = False
) -> str:
    """Write a Python program of at most ten lines that verifies an architecture again and prints the agreement.

    An implementation that is found under no name stands there as ``implementation``, to be filled in.
    """
    said = implementation if isinstance(implementation, str) else found_as(implementation)
    written = repr(said) if said else "implementation"
    given = f"implementation={written}, dtype={dtype!r}{', second_order=True' if second_order else ''}"
    verified = f"print(verify(architecture, {given}))"
    for in_columns in (False, True):
        head = ["from backproof import Architecture, Input, Node, verify", *([] if in_columns else [""])]
        lines = [*head, *_built(architecture, in_columns), verified]
        if len(architecture.nodes) == 1 or (len(lines) <= LINES and max(map(len, lines)) <= WIDTH):
            return "\n".join([*lines, ""])
    read = f"architecture = Architecture.from_json({architecture.to_json()!r})"
    return "\n".join(["from backproof import Architecture, verify", "", read, verified, ""])


def found_as(implementation: Verifiable) -> str | None:
    """Return ``module:object`` or ``module:Class``, by which an implementation is found again, if there is such a name.

    A class whose constructor takes anything may have been given something: it is no name of what it made.
    """
    kind = type(implementation)
    of_module = vars(sys.modules[kind.__module__])
    named = [name for name, value in of_module.items() if value is implementation]
    if not named and of_module.get(kind.__name__) is kind and not inspect.signature(kind).parameters:
        named = [kind.__name__]
    return f"{kind.__module__}:{named[0]}" if named else None


def _built(architecture: Architecture, in_columns: bool) -> list[str]:
    """Write the constructor, with every node in a line of its own if so wanted."""
    training = "" if architecture.training else " training=False,"
    return [
        "architecture = Architecture(",
        f"    inputs={architecture.inputs!r},",
        *(["    nodes=(", *(f"        {node!r}," for node in architecture.nodes), "    ),"] if in_columns else ()),
        *(() if in_columns else [f"    nodes={architecture.nodes!r},"]),
        f"    outputs={architecture.outputs!r}, seed={architecture.seed},{training}",
        ")",
    ]
