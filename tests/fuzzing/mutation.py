"""Damage to files: bytes changed anywhere, and JSON whose values are exchanged for hostile ones."""

import json
from random import Random
from typing import Any

STRANGE: tuple[Any, ...] = (
    *(None, True, False, "", [], {}, [[]], {"": ""}),
    *(0, -1, 1, 3, 2**16 + 1, -(2**31), 2**63, 2**64, 10**30, -0.0, 1e308, -1e-320, 0.5),
    *("x0", "linear1", "lstm1.1", "lstm1.999", ".", "..", "../../etc/passwd", "/dev/zero", "~/x", "a" * 10_000),
    *("Linear", "Module", "Sequential", "ModuleList", "Identity", "utils", "modules", "functional", "__init__", "eval"),
    *("__class__.__mro__", "__import__('os').system('touch /tmp/x')", "{0.__class__}", "%s%s%n", "${jndi:ldap://x}"),
    *("[red]x[/]", "<script>alert(1)</script>", "\x00", "\x1b[2J", "\ud800", "\u202e", "é", "☃" * 70, "NaN", "cuda"),
    *({"op": "Linear", "arguments": {"in_features": 1, "out_features": 1}}, {"op": "LayerNorm"}, {"op": "eval"}),
    *([1] * 300, [[1] * 9] * 9, [-1], [2**22], [2**22, 2**22], [0], [1.5], ["x"], [None]),
)
"""What stands in hostile files: sizes, names of attributes, paths, markup, control characters, layers in layers."""

INSERTED = (b"[" * 5000, b'{"a":' * 2000, b"9" * 5000, b"NaN", b"-Infinity", b"1e999", b"\xff")
"""What is put between bytes: nesting without end, numbers without end, what is no JSON and no text."""


def mutated(text: str, rng: Random) -> bytes:
    """Damage a file: its JSON, its bytes, or both."""
    damaged = text.encode("utf-8", "surrogatepass")
    way = rng.randrange(4)
    if way:
        damaged = json.dumps(_exchanged(json.loads(text), rng)).encode("utf-8", "surrogatepass")
    return _bytes(damaged, rng) if way in (0, 3) else damaged


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Return every container and key within a document."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((value, key), *_places(value[key]))]


def _exchanged(document: Any, rng: Random) -> Any:
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        places = _places(document)
        if not places:
            return rng.choice(STRANGE)
        container, key = rng.choice(places)
        other, its_key = rng.choice(places)
        way = rng.randrange(10)
        if way < 4:  # small changes go further
            container[key] = _near(container[key], rng)
        elif way < 6:
            container[key] = _copied(rng.choice(STRANGE))
        elif way < 8:
            container[key] = _copied(other[its_key])
        elif way == 8:
            container.pop(key)
        else:
            _added(container, key, rng)
    return document


def _copied(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _near(value: Any, rng: Random) -> Any:
    if type(value) in (int, float):
        return value + rng.choice((-1, 1, 1000, -value, value))
    if isinstance(value, str):
        return value + rng.choice(("1", ".1", " ", "\n", value))
    return [value] if rng.randrange(2) else value


def _added(container: Any, key: Any, rng: Random) -> None:
    if isinstance(container, list):
        container.extend([_copied(container[key])] * rng.choice((1, 2, 50)))
    else:
        container[str(rng.choice(("padding", "inplace", "device", "dtype", "__class__", "weight", "bias", key)))] = (
            _copied(rng.choice(STRANGE))
        )


def _bytes(damaged: bytes, rng: Random) -> bytes:
    text = bytearray(damaged)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(text) + 1)
        way = rng.randrange(6)
        if way == 0:
            del text[at:]
        elif way == 1:
            text[at : at + 1] = bytes([rng.randrange(256)])
        elif way == 2:
            text[at:at] = rng.choice(
                (b"[" * 5000, b'{"a":' * 2000, b"9" * 5000, b"NaN", b"-Infinity", b"1e999", b"\xff")
            )
        elif way == 3:
            del text[at : at + rng.randrange(1, 40)]
        elif way == 4:
            text[at:at] = text[rng.randrange(len(text) + 1) :][: rng.randrange(1, 200)]
        else:
            text[at : at + 1] = bytes([(text[at] if at < len(text) else 0) ^ (1 << rng.randrange(8))])
    return bytes(text)


def damaged_bytes(file: bytes, rng: Random) -> bytes:
    """Damage a binary file: single bits, whole pages, its length, its head."""
    text = bytearray(file)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        at = rng.randrange(len(text) or 1)
        way = rng.randrange(6)
        if way == 0:
            text[at : at + 1] = bytes([rng.randrange(256)])
        elif way == 1:
            page = at // 4096 * 4096
            text[page : page + 4096] = rng.randbytes(len(text[page : page + 4096]))
        elif way == 2:
            head = rng.randrange(100)
            text[head : head + 1] = bytes([rng.randrange(256)])
        elif way == 3 and rng.randrange(8) == 0:
            del text[at:]
        elif way == 4:
            other, size = rng.randrange(len(text) or 1), rng.randrange(1, 512)
            text[at : at + size] = text[other : other + size]
        else:
            text[at : at + 4] = (0xFFFFFFFF).to_bytes(4, "big")
    return bytes(text)
