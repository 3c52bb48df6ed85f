"""What is checked: a function with a backward of its own, and what it is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from backproof.alone import Given
from backproof.implementations import Pass
from backproof.randomness import Held
from backproof.running import call, go_back
from reference import Node, Tensor
from reference.run import Array, is_numeric
from reports import TensorAgreement
from reports.agreement import Verdict

ITSELF = "itself"


class Malformed(Exception):
    """A function returned what it should not; the message needs no type of an exception before it."""


class Subject(ABC):
    """A function that is checked, with the contract of an implementation; who runs arrays otherwise overrides it."""

    def __init__(self, name: str, clean: bool = False) -> None:
        self.name, self.clean = name, clean
        self.dtype: str | None = None
        """Its coarsest dtype, if that is none of NumPy's; known when it has run."""
        self.randomness = Held()

    def supports(self, node: Node) -> bool:
        """Whether it is that node: there is no other."""
        return True

    @abstractmethod
    def forward(
        self,
        node: Node,
        parameters: Mapping[str, Array],
        inputs: tuple[Array, ...],
        *,
        training: bool,
        noise: Any,
    ) -> Pass:
        """Run it."""

    def flowing(self, outputs: tuple[Array, ...]) -> tuple[bool, ...]:
        """Which outputs a gradient may come from."""
        return tuple(map(is_numeric, outputs))

    @abstractmethod
    def program(self, case: Case, name: Tensor, index: tuple[int, ...]) -> str:
        """Write a few lines that show one entry of a gradient, and its difference quotient."""


@dataclass(frozen=True)
class Case:
    """What is checked, and how.

    Attributes
    ----------
    subject, given
        The function, and what it runs on in its own dtypes; cotangents are drawn by the seed.
    checked
        Names of the parameters and inputs of which the gradients are checked.
    nondet_tol
        How far two runs may differ; None: within rounding.
    tolerance
        An absolute and a relative error that is agreement all the same.
    check_grad_dtypes
        Whether gradients must have the dtype of what they are gradients of.
    more
        Further comparisons, made when those of the gradients are: with the case, what comes of it.
    """

    subject: Subject
    given: Given
    checked: tuple[str, ...]
    nondet_tol: float | None = None
    tolerance: tuple[float, float] = (0.0, 0.0)
    check_grad_dtypes: bool = False
    backward: bool = True
    more: tuple[Callable[[Case], Iterator[TensorAgreement]], ...] = ()

    @cached_property
    def node(self) -> Node:
        """The function as a node of its own."""
        return Node(_identifier(self.subject.name), self.subject.name, {}, tuple(self.given.inputs))

    def named(self, names: Mapping[str, Array]) -> str:
        """Say what there is, with shapes."""
        return ", ".join(f"{name} {x.dtype} {x.shape}" for name, x in names.items())

    def run(self, given: Given) -> Pass:
        """Run forward, on copies."""
        own = {name: array.copy() for name, array in given.parameters.items()}
        inputs = tuple(x.copy() for x in given.inputs.values())
        return call(self.subject, self.node, own, inputs, given.training, given.noise)

    def back(self, done: Pass, given: Given) -> dict[Tensor, Array]:
        """Run backward, and return the gradients of what is checked."""
        grads, own = go_back(self.node, done, given.cotangents, tuple(given.inputs.values()), given.parameters)
        found = {Tensor("input", name, "0"): g for name, g in zip(given.inputs, grads) if g is not None}
        found |= {Tensor("parameter", self.node.name, name): g for name, g in own.items()}
        return {name: g for name, g in found.items() if name in self.names.values()}

    @cached_property
    def names(self) -> dict[str | int, Tensor]:
        """What is checked, by its key."""
        names: dict[str | int, Tensor] = {}
        names |= {p: Tensor("parameter", self.node.name, p) for p in self.given.parameters if p in self.checked}
        return names | {i: Tensor("input", n, "0") for i, n in enumerate(self.given.inputs) if n in self.checked}

    def array(self, name: Tensor) -> Array:
        """The array of which a gradient is one."""
        return self.given.parameters[name.name] if name.kind == "parameter" else self.given.inputs[name.node]

    def labels(self, name: Tensor) -> dict[str, Any]:
        """What to call a gradient."""
        own = name.name if name.kind == "parameter" else name.node
        return {"node": self.node.name, "op": self.node.op, "kind": name.kind, "name": own}

    def told(
        self, note: str, kind: str = "behaviour", name: str = "", verdict: Verdict = "disagree"
    ) -> TensorAgreement:
        """Say something of it that is no number."""
        return TensorAgreement(self.node.name, self.node.op, kind, name, ITSELF, verdict, note=note)


def _identifier(name: str) -> str:
    word = "".join(c if c.isascii() and c.isalnum() else "_" for c in name).strip("_")[:64]
    return word if word[:1].isalpha() else f"function_{word}"[:64].rstrip("_")


def cotangent(output: Array, number: int, seed: int, dtype: str) -> Array:
    """Draw the gradient that is handed to backward for one output: standard normal, by the seed and its number.

    It is 0 where the output is not finite: there is no derivative.
    """
    rng = np.random.default_rng([seed, number])
    drawn = rng.standard_normal(output.shape)
    if np.iscomplexobj(output):
        drawn = drawn + 1j * rng.standard_normal(output.shape)
    return np.where(np.isfinite(output), in_dtype(drawn, dtype), 0).astype(output.dtype)


def in_dtype(array: Array, dtype: str) -> Array:
    """Round numbers to a dtype, and keep them in the one that they have."""
    if dtype != "bfloat16":
        return array
    mantissa, exponent = np.frexp(array)
    return np.asarray(np.ldexp(np.rint(mantissa * 256) / 256, exponent))


def dtype_of(array: Array) -> str:
    """Name the dtype of an array, whatever the machine calls its longdouble."""
    return "longdouble" if array.dtype == np.longdouble else str(array.dtype)
