"""Ways to make an architecture smaller, tried by :mod:`backproof.shrinking`: candidates, of which many are not valid.

All of them work on an architecture's plain JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from itertools import chain, combinations, islice
from math import prod
from typing import Any, TypeAlias

from reference import Architecture, Twin
from reference.ops import parameters_of

Document: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str | int, ...]

FRESH = ("real", "ties", "unit")
"""Domains of an input that takes the place of a node."""

SEEDS = 4
"""Seeds 0, 1 ... that are tried."""

TOGETHER = 64
"""Ways that are tried to let other integers follow one that changes."""


def size(architecture: Architecture) -> tuple[int, ...]:
    """What shrinking lowers, the weightiest first: nodes, ties, edges, arguments, numbers, then what is plain."""
    inputs, nodes = architecture.inputs, architecture.nodes
    document = architecture.to_dict()
    return (
        len(nodes),
        sum(node.shares is not None for node in nodes),
        sum(len(node.inputs) for node in nodes) + len(inputs) + len(architecture.outputs),
        sum(len(table) for node in document["nodes"] for _, _, table in _tables(node)),
        sum(prod(i.shape) for i in inputs),
        sum(_cost(leaf) for _, leaf in _leaves(document)),
        sum(len(i.shape) for i in inputs),
        sum((i.domain in ("ties", "wide")) + (i.ignore is not None) for i in inputs) + (not architecture.training),
        len(json.dumps(document | {"seed": 0})),
        architecture.seed,
    )


def _cost(leaf: Any) -> int:
    if isinstance(leaf, float):
        return int(abs(leaf)) if leaf.is_integer() else 3 + len(repr(leaf))
    return abs(leaf) if isinstance(leaf, int) else 0


def _leaves(document: Document) -> Iterator[tuple[Path, Any]]:
    """Yield the numbers, lists and other values of inputs and arguments, each with the way to it."""
    for i, graph_input in enumerate(document["inputs"]):
        for name in ("shape", "below", "ignore"):
            yield from _within(("inputs", i, name), graph_input.get(name))
    for i, node in enumerate(document["nodes"]):
        for path, _, table in _tables(node):
            for name, value in table.items():
                yield from _within(("nodes", i, *path, name), value)


def _tables(node: Document) -> Iterator[tuple[Path, str, Document]]:
    """Yield a node's options and arguments, and the arguments of layers among them: the way to them, and whose."""
    yield ("options",), node["op"], node.get("options", {})
    waiting: list[tuple[Path, Document]] = [((), node)]
    for way, layer in waiting:
        table = layer.get("arguments", {})
        yield (*way, "arguments"), layer["op"], table
        waiting += [((*way, "arguments", name), inner) for name, inner in table.items() if isinstance(inner, dict)]


def _within(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    yield path, value
    for i, entry in enumerate(value if isinstance(value, list) else ()):
        yield from _within((*path, i), entry)


def _edited(document: Document, changes: Mapping[Path, Any]) -> Document:
    made = deepcopy(document)
    for path, value in sorted(changes.items(), key=lambda change: len(change[0])):
        place: Any = made
        try:
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = deepcopy(value)
        except IndexError:  # beyond the end of a list that has become shorter
            continue
    return made


def _slot(reference: str) -> tuple[str, int]:
    name, _, index = reference.partition(".")
    return name, int(index or 0)


def _pruned(document: Document) -> Document:
    """Leave out what no output depends on. Where the owner of tied parameters goes, the next node owns them."""
    needed = {_slot(reference)[0] for reference in document["outputs"]}
    nodes: list[Document] = []
    for node in reversed(document["nodes"]):
        if node["name"] in needed:
            needed |= {_slot(reference)[0] for reference in node["inputs"]}
            nodes.insert(0, dict(node))
    heirs = {node["name"]: node["name"] for node in nodes}
    for node in nodes:
        if "shares" in node:
            heir = heirs.setdefault(node.pop("shares"), node["name"])
            if heir != node["name"]:
                node["shares"] = heir
    return document | {"inputs": [i for i in document["inputs"] if i["name"] in needed], "nodes": nodes}


def _floating(twin: Twin, name: str) -> list[str]:
    """Return references to the outputs of a node that have gradients."""
    several = enumerate(twin.outputs[name])
    return [f"{name}.{i}" if i else name for i, y in several if y.is_floating_point()]


def _cut(document: Document, twin: Twin, kept: set[str], domain: str) -> Document:
    """Keep some nodes; what the others handed to them becomes an input."""
    known = {graph_input["name"] for graph_input in document["inputs"]}
    fresh: dict[str, Document] = {}

    def source(reference: str) -> str:
        name, index = _slot(reference)
        if name in kept or name in known:
            return reference
        unused = next(f"x{i}" for i in range(len(known) + len(fresh) + 1) if f"x{i}" not in known | taken())
        shape = list(twin.outputs[name][index].shape)
        return str(fresh.setdefault(reference, {"name": unused, "shape": shape, "domain": domain})["name"])

    def taken() -> set[str]:
        return {made["name"] for made in fresh.values()}

    nodes = [n | {"inputs": [source(r) for r in n["inputs"]]} for n in document["nodes"] if n["name"] in kept]
    outputs = [reference for reference in document["outputs"] if _slot(reference)[0] in kept]
    return document | {"inputs": [*document["inputs"], *fresh.values()], "nodes": nodes, "outputs": outputs}


def _one_alone(document: Document, twin: Twin) -> Iterator[Document]:
    for seed in dict.fromkeys((document["seed"], 0, 1)):
        for domain in FRESH:
            for node in document["nodes"]:
                name = node["name"]
                made = _cut(document, twin, {name}, domain)
                yield _pruned(made | {"outputs": _floating(twin, name), "seed": seed})


def _fewer_outputs(document: Document, twin: Twin) -> Iterator[Document]:
    outputs = document["outputs"]
    for node in document["nodes"]:
        yield from (_pruned(document | {"outputs": [reference]}) for reference in _floating(twin, node["name"]))
    for left_out in outputs:
        yield _pruned(document | {"outputs": [reference for reference in outputs if reference != left_out]})


def _fewer_nodes(document: Document, twin: Twin) -> Iterator[Document]:
    names = [node["name"] for node in document["nodes"]]
    for node in document["nodes"]:
        for domain in FRESH:
            yield _pruned(_cut(document, twin, {*names} - {node["name"]}, domain))
        for reference in node["inputs"]:
            yield _pruned(_bypassed(document, node["name"], reference))


def _bypassed(document: Document, name: str, instead: str) -> Document:
    """Take a node out and hand on what came in; the twin refuses it where the shape does not fit."""
    nodes = [
        node | {"inputs": [instead if r == name else r for r in node["inputs"]]}
        for node in document["nodes"]
        if node["name"] != name
    ]
    inside = any(node["name"] == _slot(instead)[0] for node in nodes)
    ends = [instead if _slot(r)[0] == name else r for r in document["outputs"] if inside or _slot(r)[0] != name]
    return document | {"nodes": nodes, "outputs": list(dict.fromkeys(ends))}


def _fewer_edges(document: Document, twin: Twin) -> Iterator[Document]:
    for i, node in enumerate(document["nodes"]):
        if "shares" in node:
            yield _edited(document, {("nodes", i): {k: v for k, v in node.items() if k != "shares"}})
        inputs = node["inputs"]
        for fewer in (inputs[:1], *([*inputs[:j], *inputs[j + 1 :]] for j in range(len(inputs)))):
            yield _pruned(_edited(document, {("nodes", i, "inputs"): fewer}))


def _fewer_arguments(document: Document, twin: Twin) -> Iterator[Document]:
    for node in document["nodes"]:
        for path, op, table in _tables(node):
            for left_out, value in table.items():
                made = deepcopy(document)
                for other in made["nodes"]:
                    if other.get("shares", other["name"]) == node.get("shares", node["name"]):
                        tables = {way: own for way, _, own in _tables(other)}
                        tables.get(path, {}).pop(left_out, None)  # tied nodes have the same arguments
                if path[-1] == "options" or not _grows(op, left_out, value):
                    yield made


def _grows(op: str, name: str, value: Any) -> bool:
    """Whether the default of an argument is a larger number: the 2048 of a Transformer is no simplification."""
    parameter = parameters_of(op).get(name)
    return parameter is not None and type(value) is type(parameter.default) is int and parameter.default > value


def _inner_layers(document: Document, twin: Twin) -> Iterator[Document]:
    """Put a layer that is an argument in the place of the one that takes it."""
    for i, node in enumerate(document["nodes"]):
        for value in node.get("arguments", {}).values():
            if isinstance(value, dict):
                inner = {"name": node["name"], "arguments": {}, **value}
                for inputs in (node["inputs"], node["inputs"][:1]):
                    yield _pruned(_edited(document, {("nodes", i): {**inner, "inputs": inputs}}))


def _smaller_integers(document: Document, twin: Twin) -> Iterator[Document]:
    """Lower one integer (the size of an axis, an argument), and with it some of those that may have to follow.

    These are the integers that are equal to it or a multiple of it, and lists of that length (weights of classes,
    masks); which of them, the twin knows.
    """
    leaves = [(path, leaf) for path, leaf in _leaves(document) if type(leaf) in (int, list)]
    numbers = [(path, leaf) for path, leaf in leaves if type(leaf) is int]
    for path, n in sorted(numbers, key=lambda number: -abs(number[1])):
        for m in sorted({0, 1, 2, n // 2, n - 1} & set(range(n)) if n > 0 else {0} - {n}):
            follow: dict[Path, Any] = {p: m for p, k in numbers if p != path and k == n}
            if n > 1:
                follow |= {p: k // n * m for p, k in numbers if k > n and k % n == 0}
                follow |= {p: k[:m] for p, k in leaves if type(k) is list and len(k) == n and p[2] != "shape"}
            for paths in islice(_subsets(list(follow)), TOGETHER):
                changes = {path: m, **{p: follow[p] for p in paths}}
                if not any(p[2] in ("shape", "below") and value == 0 for p, value in changes.items()):
                    yield _edited(document, changes)


def _subsets(paths: list[Path]) -> Iterator[Iterable[Path]]:
    """None, all, then one, two ..."""
    yield ()
    yield paths
    yield from chain.from_iterable(combinations(paths, count) for count in range(1, len(paths)))


def _fewer_axes(document: Document, twin: Twin) -> Iterator[Document]:
    shapes: list[list[int]] = [graph_input["shape"] for graph_input in document["inputs"]]
    for i, shape in enumerate(shapes):
        for axis in range(len(shape)) if len(shape) > 1 else ():
            shorter = [*shape[:axis], *shape[axis + 1 :]]
            yield _edited(document, {("inputs", i, "shape"): shorter})
            yield _edited(document, {("inputs", j, "shape"): shorter for j, s in enumerate(shapes) if s == shape})


def _simpler_values(document: Document, twin: Twin) -> Iterator[Document]:
    for path, leaf in _leaves(document):
        if isinstance(leaf, float):
            yield from (_edited(document, {path: x}) for x in (0.0, 1.0, 2.0))
        elif leaf is True:
            yield _edited(document, {path: False})
    lists = {path: leaf for path, leaf in _leaves(document) if isinstance(leaf, list) and leaf and path[2] != "shape"}
    for end in (0, -1):
        yield from (_edited(document, {path: leaf[end]}) for path, leaf in lists.items())
        yield _edited(document, {path: leaf[end] for path, leaf in lists.items()})
    for i, graph_input in enumerate(document["inputs"]):
        if graph_input["domain"] in ("ties", "wide"):
            yield _edited(document, {("inputs", i, "domain"): "real"})
        yield _edited(document, {("inputs", i): {k: v for k, v in graph_input.items() if k != "ignore"}})
    yield document | {"training": True}


def _plain_names(document: Document, twin: Twin) -> Iterator[Document]:
    """Names and a small seed at once: every array is drawn from both."""
    inputs, nodes = document["inputs"], document["nodes"]
    ops = [node["op"].lower() for node in nodes]
    names = {i["name"]: f"x{k}" if len(inputs) > 1 else "x" for k, i in enumerate(inputs)}
    names |= {n["name"]: f"{op}{k}" if ops.count(op) > 1 else op for k, (n, op) in enumerate(zip(nodes, ops))}

    def renamed(reference: str) -> str:
        name, index = _slot(reference)
        return f"{names[name]}.{index}" if index else names[name]

    made = document | {
        "inputs": [i | {"name": names[i["name"]]} for i in inputs],
        "nodes": [
            n
            | {"name": names[n["name"]], "inputs": [renamed(r) for r in n["inputs"]]}
            | ({"shares": names[n["shares"]]} if "shares" in n else {})
            for n in nodes
        ],
        "outputs": [renamed(r) for r in document["outputs"]],
    }
    yield from (made | {"seed": seed} for seed in (*range(SEEDS), document["seed"]))
    yield from (document | {"seed": seed} for seed in range(SEEDS))


def _smaller_on_other_values(document: Document, twin: Twin) -> Iterator[Document]:
    """Change the size and the seed at once: what shows at some values only is not to be lost with those at hand."""
    for seed in range(SEEDS):
        for simpler in (_smaller_integers, _fewer_axes):
            yield from (made | {"seed": seed} for made in simpler(document, twin))


Pass: TypeAlias = Callable[[Document, Twin], Iterator[Document]]
PASSES: tuple[Pass, ...] = (
    _one_alone,
    _fewer_outputs,
    _fewer_nodes,
    _fewer_edges,
    _inner_layers,
    _fewer_arguments,
    _smaller_integers,
    _simpler_values,
    _fewer_axes,
    _plain_names,
    _smaller_on_other_values,
)
