"""What a wrong gradient of a function looks like, where nothing is known but its arrays and its own forward."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from backproof.alone import Alone
from backproof.alternatives import Again, Tensors
from backproof.differencing import differentiated
from backproof.evidence import gather_around
from reference import Node, Perturbation, Reference, Run, Tensor, Values
from reference.differences import derivative_of_each
from reference.run import Array
from reports import Evidence, Suspect, most_telling

if TYPE_CHECKING:
    from backproof.single import Check

MOST = 2**20
"""A Jacobian with more entries is not looked at."""

ROWS = 512
"""Nor is that of more coordinates: each is a dozen runs."""

SHARE = 1 / 16
"""What explains a mistake may be off by this share of the mistake: it comes of differences, too."""


class Wanted(Reference):
    """What differences say of a function, in the place of what PyTorch says of a node."""

    def __init__(self, values: Values, tensors: Mapping[Tensor, Array]) -> None:
        self.values, self._found = values, Run(tensors)

    @cached_property
    def run(self) -> Run:
        """Outputs, and what the gradients should be."""
        return self._found


@dataclass(frozen=True)
class ByJacobian(Again):
    """A function under other cotangents, by its Jacobian."""

    check: Check

    @property
    def own(self) -> Node:
        """The function."""
        return self.check.case.node

    def __call__(
        self,
        node: Node | None = None,
        training: bool | None = None,
        perturb: Perturbation | None = None,
        changed: Mapping[str, Mapping[str, Array]] | None = None,
    ) -> Tensors | None:
        """Return its gradients for other cotangents; None: nothing else can be changed, or it is too large."""
        cotangents = (changed or {}).get("cotangents")
        if cotangents is None:
            return None
        found: dict[Tensor, Array] = {}
        for name in self.check.derivatives:
            jacobian = self._jacobian(name)
            if jacobian is not None:
                flat = np.concatenate([np.asarray(c, np.float64).reshape(-1) for c in cotangents.values()])
                found[name] = (jacobian @ flat).reshape(self.check.case.array(name).shape)
        return found

    def _jacobian(self, name: Tensor) -> Array | None:
        """Slopes of all outputs along every coordinate of one array, a row for each."""
        words = f"jacobian of {name}"
        if words not in self.memory:
            rows = _slopes(self.check, name)
            self.memory[words] = None if rows is None else {name: rows}
        return (self.memory[words] or {}).get(name)


def _slopes(check: Check, name: Tensor) -> Array | None:
    given = check.wide
    ones = tuple(None if c is None else np.ones_like(c) for c in given.cotangents)
    forward = Alone(check.case.subject, check.case.node, replace(given, cotangents=ones))
    key = next(key for key, own in check.case.names.items() if own == name)
    x = forward.every[key].astype(np.longdouble) if forward.precise() else forward.every[key]
    if x.size > ROWS or x.size * sum(c.size for c in ones if c is not None) > MOST:
        return None
    terms, rows = forward.moving(key), []
    for k in range(x.size):
        unit = np.zeros(x.size, x.dtype)
        unit[k] = 1
        unit = unit.reshape(x.shape)
        along = derivative_of_each(partial(_shifted, terms, x, unit), x, unit)
        rows.append(np.nan_to_num(along.value))
    return np.array(rows)


def _shifted(terms: Any, x: Array, unit: Array, t: float) -> Array:
    return np.asarray(terms(x + t * unit))


def explain(check: Check, wrong: Iterable[Tensor]) -> str | None:
    """Name the mistake in a function's gradients by the array that tells most of it."""
    names = list(check.case.given.inputs)
    found = most_telling(_suspects(check, wrong))

    def called(match: re.Match[str]) -> str:
        number = int(match[1])
        return f"input {names[number]}" if number < len(names) else match[0]

    return re.sub(r"\binput (\d+)\b", called, found) if found else None


def _suspects(check: Check, wrong: Iterable[Tensor]) -> Iterator[Suspect]:
    case, got = check.case, check.noise.here
    claims = {name: next(d.claims(got.get(name), check.bound(name, 1))) for name, d in check.derivatives.items()}
    wide = check.wide
    real = not any(
        np.iscomplexobj(claim.want) or claim.want.shape != case.array(n).shape for n, claim in claims.items()
    )
    outputs = {Tensor("output", case.node.name, str(i)): y for i, y in enumerate(check.outputs)}
    cotangents = {f"{case.node.name}.{i}": c for i, c in enumerate(wide.cotangents) if c is not None}
    values = Values({case.node.name: wide.parameters}, wide.inputs, cotangents, {})
    reference = Wanted(values, {**outputs, **{name: claim.want for name, claim in claims.items()}})
    memory: dict[str, Tensors | None] = {}
    for name in wrong:
        claim, derivative = claims[name], check.derivatives[name]
        what = f"gradient of {case.labels(name)['name']}"
        given, want, bound = claim.got, claim.want, claim.bound
        evidence = Evidence()
        if given is None or given.shape != want.shape:
            pass
        elif len(derivative.signs):  # only some coordinates are known
            given, want, bound = (
                a.reshape(-1)[derivative.at] for a in (given, want, np.broadcast_to(bound, want.shape))
            )
        elif real:
            kinks = np.asarray(derivative.coordinates.kinks).reshape(want.shape)
            evidence = gather_around(ByJacobian(reference, name, memory, check), kinks)
        else:
            evidence = Evidence(alternatives=_conjugate(check, name))
        if given is not None and given.shape == want.shape:
            bound = _loosened(given.astype(np.float64), want, bound)
        yield Suspect(what, given, want, bound, evidence)


def _loosened(got: Array, want: Array, bound: Array) -> Array:
    """Explanations come of differences, too: allow them a share of the mistake, but never so much as to hide it."""
    mistake = np.abs(got - want)
    wrong = mistake > bound
    smallest = float(mistake[wrong & np.isfinite(mistake)].min(initial=np.inf))
    return np.asarray(np.minimum(16 * bound, np.maximum(bound, SHARE * smallest)))


def _conjugate(check: Check, name: Tensor) -> Iterator[tuple[str, Callable[[], Array | None]]]:
    words = "takes the derivative where its conjugate belongs, by PyTorch's convention"
    yield words, partial(_unconjugated, check, name)


def _unconjugated(check: Check, name: Tensor) -> Array | None:
    """What a backward gives that multiplies by derivatives: the conjugate of what it gives for the conjugate."""
    given = check.wide
    turned = replace(given, cotangents=tuple(None if c is None else np.conj(c) for c in given.cotangents))
    forward = Alone(check.case.subject, check.case.node, turned)
    key = next(key for key, own in check.case.names.items() if own == name)
    found = differentiated(forward, {key: name}, False)[name].coordinates.value
    want = np.asarray(found).reshape(check.derivatives[name].shape)
    return want * np.array([1.0, -1.0]) if np.iscomplexobj(forward.every[key]) else None
