"""The JSON Schema of a document, and whether a stranger's document keeps to it.

``document.schema.json`` is the one place that says what stands in a document. It is read here with the few words of
JSON Schema (draft 2020-12) that it uses; the tests hold that the ``jsonschema`` package comes to the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from math import isfinite
from typing import Any

TYPES: Mapping[str, tuple[type, ...]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "null": (type(None),),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}
IN_WORDS = {"array": "an array", "boolean": "true or false", "integer": "a whole number", "null": "null"}
IN_WORDS |= {"number": "a number", "object": "an object", "string": "text"}


@cache
def schema() -> dict[str, Any]:
    """Return the schema."""
    text = resources.files("reports").joinpath("document.schema.json").read_text(encoding="utf-8")
    read: dict[str, Any] = json.loads(text)
    return read


def violation(document: Any) -> str | None:
    """Say where a document breaks the schema first, and how: ``layers[0]: op: is 3, wanted text``; None: nowhere."""
    return next(_violations(document, schema(), ""), None)


def _violations(value: Any, rules: Mapping[str, Any], where: str) -> Iterator[str]:
    if "$ref" in rules:
        yield from _violations(value, schema()["$defs"][rules["$ref"].rpartition("/")[2]], where)
    if "anyOf" in rules:
        found = [next(_violations(value, option, where), None) for option in rules["anyOf"]]
        if None not in found:
            yield found[0] or ""
        return
    if wrong := _of_another_type(value, rules) or _impossible(value, rules):
        yield f"{where}{wrong}"
    elif isinstance(value, dict):
        yield from _within_object(value, rules, where)
    elif isinstance(value, list) and "items" in rules:
        for i, item in enumerate(value):
            yield from _violations(item, rules["items"], f"{where.removesuffix(': ')}[{i}]: ")


def _of_another_type(value: Any, rules: Mapping[str, Any]) -> str | None:
    wanted = rules.get("type", [])
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if not wanted or any(_is(value, name) for name in wanted):
        return None
    return f"is {show(value)}, wanted {' or '.join(IN_WORDS[name] for name in wanted)}"


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, TYPES[name]) and not (isinstance(value, float) and not isfinite(value))


def _impossible(value: Any, rules: Mapping[str, Any]) -> str | None:
    if "const" in rules and (value != rules["const"] or isinstance(value, bool)):
        return f"is {show(value)}, wanted {rules['const']}"
    if "enum" in rules and value not in rules["enum"]:
        return f"is {show(value)}, wanted one of {', '.join(rules['enum'])}"
    if isinstance(value, str) and "pattern" in rules and not re.fullmatch(rules["pattern"], value):
        return f"is {show(value)}, wanted text like {rules['pattern']}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < rules.get("minimum", value):
            return f"is {show(value)}, wanted at least {rules['minimum']}"
        if value > rules.get("maximum", value):
            return f"is {show(value)}, wanted at most {rules['maximum']}"
    if isinstance(value, list) and not rules.get("minItems", 0) <= len(value) <= rules.get("maxItems", len(value)):
        return f"has {len(value):,} entries, wanted {rules['minItems']}"
    if isinstance(value, dict) and len(value) > rules.get("maxProperties", len(value)):
        return f"has {len(value):,} entries, at most {rules['maxProperties']}"
    return None


def _within_object(value: Mapping[str, Any], rules: Mapping[str, Any], where: str) -> Iterator[str]:
    yield from (f"{where}{name}: is missing" for name in rules.get("required", ()) if name not in value)
    known, others = rules.get("properties", {}), rules.get("additionalProperties", {})
    for name, entry in value.items():
        for wrong in _violations(name, rules.get("propertyNames", {}), ""):
            yield f"{where}the name {wrong}"
        yield from _violations(entry, known.get(name, others), f"{where}{name if name in known else show(name)}: ")


def show(value: Any) -> str:
    """Show a value of a stranger's in a few characters, all of them printable."""
    text = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= 40 else f"{text[:40]}..."
