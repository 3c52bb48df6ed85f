"""What a run has covered: every op, every class of values of its arguments, every op that can feed another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Facts:
    """What can be drawn of an op.

    Attributes
    ----------
    ranks
        Ranks that its first input may have; empty where no other op can feed it (it takes indices).
    defaults
        Its arguments, and the default of those that have one.
    loss
        Whether only an op that takes a scalar is fed by it.
    """

    ranks: tuple[int, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    loss: bool = False


@dataclass
class Coverage:
    """Counts over architectures, beside what there is to count.

    Parameters
    ----------
    catalogue
        The ops that are drawn.
    """

    catalogue: Mapping[str, Facts]
    cases: Counter[str] = field(default_factory=Counter)
    arguments: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    ranks: dict[str, set[int]] = field(default_factory=dict)

    def add(self, architecture: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> None:
        """Count one architecture.

        Parameters
        ----------
        architecture
            As plain JSON.
        shapes
            Of its nodes' floating outputs, by reference: ``linear1``, ``lstm2.1``.
        """
        ops = {node["name"]: node["op"] for node in architecture["nodes"]}
        for reference, shape in shapes.items():
            self.ranks.setdefault(ops[reference.partition(".")[0]], set()).add(len(shape))
        for node in architecture["nodes"]:
            op, given = node["op"], {**node.get("arguments", {}), **node.get("options", {})}
            self.cases[op] += 1
            defaults = self._facts(op).defaults
            classes = {name: value_class(value, defaults.get(name)) for name, value in given.items()}
            for name, value in (dict.fromkeys(defaults, "default") | classes).items():
                self.arguments.setdefault((op, name), Counter())[value] += 1
            feeding = (ops.get(reference.partition(".")[0]) for reference in node["inputs"])
            self.pairs.update((source, op) for source in feeding if source is not None)

    def include(self, document: Mapping[str, Any]) -> None:
        """Take in what another coverage counted, from its document; ranks do not stand there."""
        self.cases.update(document["ops"])
        for op, arguments in document["arguments"].items():
            for name, counts in arguments.items():
                self.arguments.setdefault((op, name), Counter()).update(counts)
        for source, fed in document["pairs"].items():
            self.pairs.update({(source, op): count for op, count in fed.items()})

    def _facts(self, op: str) -> Facts:
        return self.catalogue.get(op, Facts(()))

    def possible(self) -> set[tuple[str, str]]:
        """Pairs of ops of which the first can feed the second: a rank that it puts out is one that the other takes."""
        fits = {
            (source, op)
            for source, ranks in self.ranks.items()
            for op, facts in self.catalogue.items()
            if any(rank in facts.ranks for rank in ranks) and not (self._facts(source).loss and 0 not in facts.ranks)
        }
        return fits | set(self.pairs)

    def one_sided(self) -> list[str]:
        """Arguments that always had their default, or never: ``Conv2d.stride``."""
        return [
            f"{op}.{name}"
            for (op, name), counts in sorted(self.arguments.items())
            if name in self._facts(op).defaults and (set(counts) == {"default"} or "default" not in counts)
        ]

    def document(self) -> dict[str, Any]:
        """Return everything as plain JSON; a pair that is possible but did not occur counts 0."""
        possible = sorted(self.possible())
        pairs: dict[str, dict[str, int]] = {}
        for source, op in possible:
            pairs.setdefault(source, {})[op] = self.pairs[source, op]
        arguments: dict[str, dict[str, dict[str, int]]] = {}
        for (op, name), counts in sorted(self.arguments.items()):
            arguments.setdefault(op, {})[name] = dict(sorted(counts.items()))
        return {
            "ops": {op: self.cases[op] for op in sorted({*self.catalogue, *self.cases})},
            "arguments": arguments,
            "one_sided": self.one_sided(),
            "pairs": pairs,
            "pairs_possible": len(possible),
            "pairs_covered": sum(1 for pair in possible if self.pairs[pair]),
        }


def value_class(value: Any, default: Any) -> str:
    """Name the class of an argument's value: ``default``, ``True``, ``0``, ``above 1``, ``a list``."""
    if isinstance(default, tuple):
        default = list(default)
    if value == default and isinstance(value, bool) == isinstance(default, bool):
        return "default"
    if value is None or isinstance(value, bool | str):
        return str(value)
    if isinstance(value, Mapping):
        return str(value["op"])
    if isinstance(value, list | tuple):
        return "a list" if len(value) else "an empty list"
    if value in (0, 1):
        return f"{value:g}"
    return "negative" if value < 0 else "between 0 and 1" if value < 1 else "above 1"


def in_brief(coverage: Mapping[str, Any]) -> str:
    """Say a coverage document in a line."""
    ops, pairs = coverage["ops"], f"{coverage['pairs_covered']:,} of {coverage['pairs_possible']:,}"
    classes = sum(len(counts) for arguments in coverage["arguments"].values() for counts in arguments.values())
    drawn = sum(1 for count in ops.values() if count)
    return f"covered: {drawn} of {len(ops)} ops, {classes:,} classes of arguments, {pairs} pairs of op feeding op."
