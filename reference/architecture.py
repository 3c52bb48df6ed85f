"""The language of architectures: a directed acyclic graph of torch.nn layers as frozen, plain data.

An architecture can be written to JSON, mailed in a bug report and replayed. Reading one never executes anything.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, prod
from typing import Any, Literal, NoReturn, TypeAlias, get_args

from reference import ops

SCHEMA = 1
LIMITS = {"nodes": 1000, "bytes": 4 * 1024 * 1024, "integer": 1 << 16, "elements": 1 << 22, "layers": 64, "depth": 4}

Domain: TypeAlias = Literal[
    "real", "ties", "wide", "unit", "simplex", "index", "distinct", "sign", "positive", "probability", "log_simplex"
]
DOMAINS: tuple[str, ...] = get_args(Domain)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")


class ArchitectureError(ValueError):
    """An architecture that is malformed: the message names the node and the field."""


class _InALine:
    """Prints its repr where Hypothesis and IPython would give every field a line of its own."""

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))


@dataclass(frozen=True, repr=False)
class Input(_InALine):
    """An input of the whole graph.

    Attributes
    ----------
    name, shape
        The shape includes the batch.
    domain
        Which values it takes: ``real`` (standard normal), ``ties`` (from {-1, -1/2, 0, 1/2, 1}, or six times these:
        zeros, kinks and equal values are common), ``wide`` (standard normal, each entry times 1/100, 1 or 100: where
        curves saturate), ``unit`` (inside [0, 1]), ``simplex`` (positive, sums to 1 over the class axis: axis 1, or 0
        where there is no other), ``index`` (integers in [0, below), some of them ``ignore`` where that is given),
        ``distinct`` (the same, but none twice in the last ``axes`` axes taken together), ``sign`` (the integers -1 and
        1), ``positive`` (from 1/8, some beyond 1), ``probability`` (well inside (0, 1)), ``log_simplex`` (logarithms of
        positive numbers that sum to 1 over the last axis).
    below, ignore, axes
        ``below`` for ``index`` and ``distinct`` only, ``ignore`` for the former, ``axes`` for the latter.
    """

    name: str
    shape: tuple[int, ...]
    domain: Domain = "real"
    below: int | None = None
    ignore: int | None = None
    axes: int | None = None

    def __repr__(self) -> str:
        rest = {"domain": self.domain if self.domain != "real" else None, "below": self.below}
        return _called("Input", (self.name, self.shape), {**rest, "ignore": self.ignore, "axes": self.axes})


@dataclass(frozen=True, repr=False)
class Node(_InALine):
    """One layer: ``getattr(torch.nn, op)(**arguments)`` applied to ``inputs``.

    Attributes
    ----------
    name, op, arguments
        A tensor-valued constructor argument (class weights) is a list of numbers; one that is a layer (``norm``,
        ``encoder_layer``) is ``{"op": ..., "arguments": {...}}``.
    inputs
        Names of graph inputs or earlier nodes; ``"lstm.1"`` is the second output of the node ``lstm``.
    options
        torch's forward keywords (``need_weights=False``, ``attn_mask=[[...]]``); masks are lists.
    shares
        The node whose parameters this one reuses: tied weights.
    """

    name: str
    op: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    shares: str | None = None

    def __post_init__(self) -> None:
        # As JSON has it, so that an architecture equals what is read back from its file.
        object.__setattr__(self, "arguments", {name: _plain(value) for name, value in self.arguments.items()})
        object.__setattr__(self, "options", {name: _plain(value) for name, value in self.options.items()})

    def __repr__(self) -> str:
        rest = {"options": self.options or None, "shares": self.shares}
        return _called("Node", (self.name, self.op, self.arguments, self.inputs), rest)

    @property
    def all_arguments(self) -> dict[str, Any]:
        """The arguments, with torch's defaults for those that are not given."""
        known = ops.parameters_of(self.op).items()
        return {name: p.default for name, p in known if p.default is not p.empty} | dict(self.arguments)

    @property
    def owner(self) -> str:
        """The node under whose name the parameters stand."""
        return self.shares or self.name


@dataclass(frozen=True)
class Architecture:
    """A network as plain data.

    Attributes
    ----------
    inputs, nodes
        Nodes stand in an order in which each comes after those that it uses.
    outputs
        References (``"conv"``, ``"lstm.1"``) to what the network returns; each gets a random cotangent.
    seed
        From it all values are drawn: parameters, inputs, cotangents, noise.
    training
        Whether layers run as in training (batch statistics, dropout).

    Raises
    ------
    ArchitectureError
        Malformed, cyclic, dangling or beyond the limits; the message names node and field.
    """

    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    seed: int = 0
    training: bool = True

    def __post_init__(self) -> None:
        check(self)

    def __hash__(self) -> int:
        return hash(self.digest)

    def slot(self, reference: str) -> tuple[str, int]:
        """Split ``"lstm.1"`` into ``("lstm", 1)``; a bare name means output 0."""
        name, _, index = reference.partition(".")
        return name, int(index or 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, without the fields that have their default value."""
        inputs = [{k: list(v) if k == "shape" else v for k, v in vars(i).items() if v is not None} for i in self.inputs]
        nodes = [{k: list(v) if k == "inputs" else v for k, v in vars(n).items() if v} for n in self.nodes]
        head = {"schema": SCHEMA, "seed": self.seed, "training": self.training}
        return {**head, "inputs": inputs, "nodes": nodes, "outputs": list(self.outputs)}

    def to_json(self, indent: int | None = None) -> str:
        """Write strict JSON."""
        return json.dumps(self.to_dict(), indent=indent, allow_nan=False)

    @property
    def digest(self) -> str:
        """A name for the architecture: the first 16 hexadecimal digits of the SHA-256 of its JSON, keys sorted."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @classmethod
    def from_json(cls, text: str | bytes) -> Architecture:
        """Read what :meth:`to_json` wrote. Nothing is executed.

        Raises
        ------
        ArchitectureError
            It is not JSON, not an architecture, or beyond the limits.
        """
        if len(text) > LIMITS["bytes"]:
            raise ArchitectureError(f"{len(text)} bytes of JSON; an architecture has at most {LIMITS['bytes']}")
        try:
            try:
                document = json.loads(text, parse_constant=_no_constant)
            except ValueError as error:
                raise ArchitectureError(f"not JSON: {error}") from None
            return cls.from_dict(document)
        except RecursionError:
            raise ArchitectureError("not an architecture: the JSON is nested too deeply") from None

    @classmethod
    def from_dict(cls, document: Any) -> Architecture:
        """Read a parsed document, strictly: an unknown or missing field is an error."""
        known = {"schema": int, "seed": int, "training": bool, "inputs": list, "nodes": list, "outputs": list}
        fields = _fields(document, "architecture", known, required=("schema", "inputs", "nodes", "outputs"))
        if fields.pop("schema") != SCHEMA:
            raise ArchitectureError(f"schema: is {document['schema']!r}, this version reads {SCHEMA}")
        for name in ("inputs", "nodes", "outputs"):
            if len(fields[name]) > LIMITS["nodes"]:
                raise ArchitectureError(f"{name}: has {len(fields[name])} entries, at most {LIMITS['nodes']}")
        fields["inputs"] = tuple(_input(entry, i) for i, entry in enumerate(fields["inputs"]))
        fields["nodes"] = tuple(_node(entry, i) for i, entry in enumerate(fields["nodes"]))
        fields["outputs"] = _names(fields["outputs"], "outputs")
        return cls(**fields)


def _called(name: str, arguments: Iterable[Any], keywords: Mapping[str, Any]) -> str:
    """Write a call, without the keywords that are None."""
    several = [*map(repr, arguments), *(f"{word}={value!r}" for word, value in keywords.items() if value is not None)]
    return f"{name}({', '.join(several)})"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _fields(document: Any, where: str, known: Mapping[str, Any], required: Sequence[str]) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise ArchitectureError(f"{where}: is {_show(document)}, wanted an object")
    for name, value in document.items():
        if name not in known:
            raise ArchitectureError(f"{where}: unknown field {_show(name)}, known are {', '.join(known)}")
        if type(value) is not known[name]:
            raise ArchitectureError(f"{where}: {name} is {_show(value)}, wanted {known[name].__name__}")
    for name in required:
        if name not in document:
            raise ArchitectureError(f"{where}: {name} is missing")
    return dict(document)


def _input(entry: Any, position: int) -> Input:
    known = {"name": str, "shape": list, "domain": str, "below": int, "ignore": int, "axes": int}
    fields = _fields(entry, f"inputs[{position}]", known, required=("name", "shape"))
    return Input(**fields | {"shape": tuple(fields["shape"])})


def _node(entry: Any, position: int) -> Node:
    known = {"name": str, "op": str, "arguments": dict, "inputs": list, "options": dict, "shares": str}
    fields = _fields(entry, f"nodes[{position}]", known, required=("name", "op", "inputs"))
    return Node(**fields | {"inputs": _names(fields["inputs"], f"nodes[{position}]: inputs")})


def _names(entries: list[Any], where: str) -> tuple[str, ...]:
    for entry in entries:
        if not isinstance(entry, str):
            raise ArchitectureError(f"{where}: {_show(entry)} is not a name")
    return tuple(entries)


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def check(architecture: Architecture) -> None:
    """Raise ArchitectureError unless the architecture is well formed (shapes are checked by its twin)."""
    if type(architecture.seed) is not int or not 0 <= architecture.seed < 1 << 64:
        raise ArchitectureError(f"seed: is {_show(architecture.seed)}, wanted an integer in [0, 2^64)")
    names = [*(i.name for i in architecture.inputs), *(n.name for n in architecture.nodes)]
    for kind, name in zip(["input"] * len(architecture.inputs) + ["node"] * len(architecture.nodes), names):
        if not isinstance(name, str) or not _NAME.match(name):
            raise ArchitectureError(f"{kind} {_show(name)}: name: letters, digits and _ only, at most 64 of them")
    for name in names:
        if names.count(name) > 1:
            raise ArchitectureError(f"node {name}: name: stands twice")
    for graph_input in architecture.inputs:
        _check_input(graph_input)
    known = {i.name for i in architecture.inputs}
    later = set(names) - known
    owners: dict[str, Node] = {}
    for node in architecture.nodes:
        where = f"node {node.name}"
        if not ops.is_op(node.op):
            raise ArchitectureError(f"{where}: op: {_show(node.op)} is no layer of torch.nn and no structural op")
        if not node.inputs:
            raise ArchitectureError(f"{where}: inputs: is empty, wanted at least one name")
        for reference in node.inputs:
            _check_reference(reference, known, later, f"{where}: inputs")
        _check_arguments(node.op, node.arguments, where, LIMITS["layers"])
        for name, value in node.options.items():
            _check_plain(value, f"{where}: options: {name}", LIMITS["integer"])
        if node.shares is not None:
            owner = owners.get(node.shares)
            if owner is None or owner.shares is not None:
                raise ArchitectureError(
                    f"{where}: shares: {_show(node.shares)} is no earlier node with its own parameters"
                )
            if (owner.op, owner.arguments) != (node.op, node.arguments):
                raise ArchitectureError(f"{where}: shares: {owner.name} has another op or other arguments")
        owners[node.name] = node
        known.add(node.name)
        later.discard(node.name)
    if not architecture.outputs:
        raise ArchitectureError("outputs: is empty, wanted at least one name")
    for reference in architecture.outputs:
        _check_reference(reference, known, later, "outputs")
    if len(set(architecture.outputs)) < len(architecture.outputs):
        raise ArchitectureError("outputs: a name stands twice")


def _check_input(graph_input: Input) -> None:
    where = f"input {graph_input.name}"
    if len(graph_input.shape) > 8:
        raise ArchitectureError(f"{where}: shape: has {len(graph_input.shape)} axes, at most 8")
    for size in graph_input.shape:
        if type(size) is not int or not 0 <= size <= LIMITS["elements"]:
            raise ArchitectureError(f"{where}: shape: {_show(size)} is no size in [0, {LIMITS['elements']}]")
    if prod(graph_input.shape) > LIMITS["elements"]:
        raise ArchitectureError(f"{where}: shape: {prod(graph_input.shape)} elements, at most {LIMITS['elements']}")
    if graph_input.domain not in DOMAINS:
        raise ArchitectureError(f"{where}: domain: {_show(graph_input.domain)} is none of {', '.join(DOMAINS)}")
    if (graph_input.below is not None) != (graph_input.domain in ("index", "distinct")):
        raise ArchitectureError(f"{where}: below: goes with the domains index and distinct, and only with them")
    if graph_input.below is not None and not 1 <= graph_input.below <= LIMITS["integer"]:
        raise ArchitectureError(f"{where}: below: is {graph_input.below}, wanted 1 to {LIMITS['integer']}")
    _check_distinct(graph_input, where)


def _check_distinct(graph_input: Input, where: str) -> None:
    axes, rank = graph_input.axes, len(graph_input.shape)
    if (axes is not None) != (graph_input.domain == "distinct"):
        raise ArchitectureError(f"{where}: axes: goes with the domain distinct, and only with it")
    if axes is not None and not 1 <= axes <= rank:
        raise ArchitectureError(f"{where}: axes: is {axes}, wanted 1 to {rank}")
    if axes is not None and prod(graph_input.shape[-axes:]) > (graph_input.below or 0):
        raise ArchitectureError(f"{where}: below: is {graph_input.below}, too few for distinct {graph_input.shape}")
    if axes is not None and prod(graph_input.shape[:-axes]) * (graph_input.below or 0) > LIMITS["elements"]:
        raise ArchitectureError(f"{where}: below: is {graph_input.below}, too many to choose from for each plane")


def _check_reference(reference: str, known: set[str], later: set[str], where: str) -> None:
    name, dot, index = reference.partition(".")
    if name in later:
        raise ArchitectureError(f"{where}: {_show(reference)} stands later, or depends on this: a cycle")
    if name not in known or (dot and not (index.isdecimal() and index.isascii() and len(index) <= 3)):
        raise ArchitectureError(f"{where}: {_show(reference)} is no input, node or output of a node")


def _check_arguments(op: str, arguments: Mapping[str, Any], where: str, layers: int, depth: int = 0) -> None:
    """Check constructor arguments, and those of layers among them, of which ``layers`` copies may be made in all."""
    known = ops.parameters_of(op)
    for name in arguments:
        if name not in known:
            raise ArchitectureError(f"{where}: arguments: {op} has no {_show(name)}, it has {', '.join(known)}")
    for name, value in arguments.items():
        inside = f"{where}: arguments: {name}"
        if not isinstance(value, dict):
            _check_plain(value, inside, layers if "layers" in name else LIMITS["integer"])
        elif not ops.is_layer_argument(op, name):
            raise ArchitectureError(f"{inside}: {_show(value)} is a mapping, but {op} takes no layer there")
        elif depth == LIMITS["depth"]:
            raise ArchitectureError(f"{inside}: layers stand in one another more than {depth} deep")
        else:
            fields = _fields(value, inside, {"op": str, "arguments": dict}, required=("op",))
            if fields["op"] not in ops.torch_layers():
                raise ArchitectureError(f"{inside}: op: {_show(fields['op'])} is no layer of torch.nn")
            copies = [n for count, n in arguments.items() if "layers" in count and type(n) is int and n > 0]
            _check_arguments(
                fields["op"], fields.get("arguments", {}), inside, layers // max(copies, default=1), depth + 1
            )


def _check_plain(value: Any, where: str, limit: int, depth: int = 0) -> None:
    if isinstance(value, list | tuple) and depth < 8:
        if len(value) > LIMITS["integer"]:
            raise ArchitectureError(f"{where}: has {len(value)} entries, at most {LIMITS['integer']}")
        for entry in value:
            _check_plain(entry, where, limit, depth + 1)
    elif type(value) is int and abs(value) > limit:
        raise ArchitectureError(f"{where}: {_show(value)} is beyond {limit}")
    elif type(value) is float and not isfinite(value):
        raise ArchitectureError(f"{where}: {value} is not a finite number")
    elif type(value) is str and len(value) > 64:
        raise ArchitectureError(f"{where}: {_show(value)} is longer than 64 characters")
    elif not (value is None or type(value) in (bool, int, float, str)):
        raise ArchitectureError(f"{where}: {_show(value)} is no plain value")
