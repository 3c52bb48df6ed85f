"""The definition of a campaign, as a store keeps it: what its results depend on, and what there was to draw."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reports.coverage import Facts


def read_definition(text: Any) -> dict[str, Any]:
    """Read the JSON of a definition.

    Raises
    ------
    ValueError
        It is none.
    """
    kinds = {"implementation": str, "seed": int, "dtypes": list, "facts": dict, "environment": dict}
    try:
        definition: dict[str, Any] = json.loads(text)
        wrong = [name for name, kind in kinds.items() if type(definition[name]) is not kind]
        wrong += [str(name) for name in definition["dtypes"] if not isinstance(name, str)]
        wrong += [name for name, value in definition["environment"].items() if not isinstance(value, str)]
        named = [*definition["unsupported"], *(definition["chosen"] or ())]
        wrong += [str(name) for name in named if not isinstance(name, str)]
        facts_of(definition)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"{error!r:.80}") from None
    if wrong:
        raise ValueError(f"a strange {wrong[0]:.80}")
    return definition


def facts_of(definition: Mapping[str, Any]) -> dict[str, Facts]:
    """Return what there was to draw."""
    return {
        op: Facts(tuple(map(int, known["ranks"])), dict(known["defaults"]), bool(known["loss"]))
        for op, known in definition["facts"].items()
    }


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Say what differs between two definitions, in one line."""
    told = []
    for name in sorted({*there, *here} - {"facts"}):
        one, other = there.get(name), here.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            told += [
                f"{key} {one.get(key)} there, {other.get(key)} here"
                for key in sorted({*one, *other})
                if one.get(key) != other.get(key)
            ]
        elif one != other:
            told.append(f"{name} {_brief(one)} there, {_brief(other)} here")
    return ", ".join(told) or "other facts about the layers"


def _brief(value: Any) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
