"""What was measured about each layer, cut down to what its page shows.

``backproof verify --examples 5000 --seed 23 --json - | python -m docs.extensions.measured > docs/measured.json``
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "measured.json"
CONDITIONS = ("architectures", "seed", "environment")
DRAWS = 30
"""Enough for every convention of a layer to be among them."""


@dataclass(frozen=True)
class Arrays:
    """What was found of the arrays of one kind, against one witness, in one dtype; ``digits`` are the fewest."""

    kind: str
    against: str
    dtype: str
    agree: int
    disagree: int
    inconclusive: int
    digits: float | None

    @property
    def count(self) -> int:
        return self.agree + self.disagree + self.inconclusive


@dataclass(frozen=True)
class Measured:
    """What is known about one layer."""

    cases: int
    arguments: Mapping[str, Mapping[str, int]]
    conventions: tuple[str, ...]
    complex: str
    arrays: tuple[Arrays, ...]


def reduce(document: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a run's document what the pages of layers show, and ask the catalogue for what else it knows."""
    from backproof.catalogue import convention, rows
    from backproof.complex_numbers import complex_numbers
    from backproof.generator import random_architecture

    def conventions(op: str) -> list[str]:
        drawn = (random_architecture(seed, [op], max_nodes=1) for seed in range(DRAWS) if rows()[op].convention)
        return sorted({f"{_whose(k)}: {why}" for a in drawn for n in a.nodes for k, why in convention(n).items()})

    return {name: document[name] for name in CONDITIONS} | {
        "dtypes": list(document["dtypes"]),
        "layers": {
            row["op"]: {
                "cases": row["cases"],
                "arguments": document["coverage"]["arguments"].get(row["op"], {}),
                "conventions": conventions(row["op"]),
                "complex": complex_numbers(row["op"]),
                "arrays": [_shortened(arrays) for arrays in row["arrays"]],
            }
            for row in document["layers"]
            if row["op"] in rows()
        },
    }


def _shortened(arrays: Mapping[str, Any]) -> list[Any]:
    digits = arrays["worst_digits"]
    names = ("kind", "against", "dtype", "agree", "disagree", "inconclusive")
    return [*(arrays[name] for name in names), None if digits is None else round(digits, 1)]


def _whose(key: str | int) -> str:
    return f"input {key}" if isinstance(key, int) else key


def written(document: Mapping[str, Any]) -> str:
    """Write it as JSON, a line for each layer."""
    layers = ",\n".join(f'"{op}": {json.dumps(found)}' for op, found in document["layers"].items())
    conditions = {name: value for name, value in document.items() if name != "layers"}
    return f'{json.dumps(conditions, indent=1)[:-2]},\n"layers": {{\n{layers}\n}}\n}}\n'


@cache
def conditions() -> Mapping[str, Any]:
    """Return what was committed: architectures, seed, environment, dtypes, and the layers as plain JSON."""
    document: Mapping[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return document


def measured(op: str) -> Measured | None:
    """Return what is known about a layer; None: it was not there yet when the rest was measured."""
    found = conditions()["layers"].get(op)
    if found is None:
        return None
    known = dict(found) | {
        "arrays": tuple(Arrays(*a) for a in found["arrays"]),
        "conventions": tuple(found["conventions"]),
    }
    return Measured(**known)


if __name__ == "__main__":
    sys.stdout.write(written(reduce(json.load(sys.stdin))))
