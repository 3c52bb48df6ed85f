"""Which errors do the checkers catch, and which correct layers do they blame? Counted, case by case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, NamedTuple

from benchmarks import peers
from benchmarks.injection import RELATIONS, Case, Coordinate, Error, Relation, cases
from reports import Agreement

TARGETS: Mapping[tuple[str, Relation], int] = {
    ("backproof float64", "value"): 9,
    ("backproof float64", "scale"): 9,
    ("backproof float32", "scale"): 4,
}
"""An error of 10 to the minus this, or a larger one, that a checker overlooks is listed one by one."""

OUTCOMES = ("caught", "missed", "inconclusive", "rounding")
"""What becomes of an error; the last: it was not caught, and is no larger than rounding in the correct layer."""

PATIENCE = 2
"""A checker that did not catch this many sizes in a row is not asked about smaller ones."""


class Answer(NamedTuple):
    """What a checker said: whether something is wrong; failing that, whether it could not tell; arrays by verdict."""

    wrong: bool
    unsure: bool = False
    verdicts: Mapping[str, int] = {}


Ask = Callable[[Coordinate | None], Answer]
"""Asks a checker about a case as it is now, with an error at the coordinate, or with none."""


class Checker(NamedTuple):
    """A checker of gradients in one dtype, and the exponent of the smallest error that it is asked about."""

    name: str
    dtype: str
    smallest: int
    on: Callable[[Case], Ask]


def checkers() -> list[Checker]:
    """Backproof in three dtypes, gradcheck in both modes, and JAX where it is installed."""
    others: dict[str, Callable[[Case], peers.Accepts]] = {
        "gradcheck slow": partial(peers.gradcheck, fast=False),
        "gradcheck fast": partial(peers.gradcheck, fast=True),
    }
    if peers.has_jax():
        others["jax check_grads"] = peers.jax_check_grads
    return [
        *(
            Checker(f"backproof {dtype}", dtype, smallest, partial(_backproof, dtype=dtype))
            for dtype, smallest in (("float64", 12), ("float32", 6), ("float16", 3))
        ),
        *(Checker(name, "float64", 12, partial(_peer, build=build)) for name, build in others.items()),
    ]


def _backproof(case: Case, dtype: str) -> Ask:
    def ask(coordinate: Coordinate | None) -> Answer:
        agreement: Agreement = case.verification.agreement(dtype)
        concerned = [
            t
            for t in agreement.tensors
            if coordinate is None or (t.node, t.kind, t.name) == (case.node.name, coordinate.kind, coordinate.name)
        ]
        unsure = any(t.verdict == "inconclusive" for t in concerned)
        return Answer(not agreement.agrees, unsure, Counter(t.verdict for t in agreement.tensors))

    return ask


def _peer(case: Case, build: Callable[[Case], peers.Accepts]) -> Ask:
    accepts = build(case)
    return lambda coordinate: Answer(not accepts())


@dataclass
class Sensitivity:
    """Counts of answers about errors of every size, and about the same layers without an error.

    Attributes
    ----------
    checkers
        Who is asked.
    counts
        By checker, op, relation and exponent, the outcomes of errors. Who blames the correct layer is not asked about
        errors in it.
    correct
        By checker, the outcomes without an error: ``alarm``, ``inconclusive`` or ``right``.
    arrays
        By checker, the verdicts on single arrays without an error.
    cases
        By op, how many.
    findings
        False alarms of backproof's, and errors above its target that it overlooked: where to look.
    """

    checkers: Sequence[Checker]
    counts: dict[tuple[str, str, Relation, int], Counter[str]] = field(default_factory=dict)
    correct: dict[str, Counter[str]] = field(default_factory=dict)
    arrays: dict[str, Counter[str]] = field(default_factory=dict)
    cases: Counter[str] = field(default_factory=Counter)
    findings: list[dict[str, Any]] = field(default_factory=list)

    def add(self, case: Case) -> None:
        """Ask every checker about a case, without an error and with errors of every size."""
        for checker in self.checkers:
            ask = checker.on(case)
            if self._accepts(checker, case, ask):
                for relation in RELATIONS:
                    self._add_errors(checker, case, ask, relation)
        self.cases[case.op] += 1

    def _accepts(self, checker: Checker, case: Case, ask: Ask) -> bool:
        """Ask about the case without an error."""
        case.implementation.error = None
        answer = ask(None)
        outcome = "alarm" if answer.wrong else "inconclusive" if answer.unsure else "right"
        self.correct.setdefault(checker.name, Counter())[outcome] += 1
        self.arrays.setdefault(checker.name, Counter()).update(answer.verdicts)
        if answer.wrong and checker.name.startswith("backproof"):
            self.findings.append({"checker": checker.name, "op": case.op, "seed": case.seed, "error": None})
        return not answer.wrong

    def _add_errors(self, checker: Checker, case: Case, ask: Ask, relation: Relation) -> None:
        coordinate = case.coordinates[relation]
        uncaught, said = 0, "missed"
        for exponent in range(1, checker.smallest + 1):
            size = 10.0**-exponent
            if uncaught < PATIENCE:
                case.implementation.error = Error(coordinate, size, relation)
                answer = ask(coordinate)
                said = "caught" if answer.wrong else "inconclusive" if answer.unsure else "missed"
                uncaught = 0 if answer.wrong else uncaught + 1
            hidden = said != "caught" and size <= case.rounding[checker.dtype, relation]
            outcome = "rounding" if hidden else said
            self.counts.setdefault((checker.name, case.op, relation, exponent), Counter())[outcome] += 1
            overlooked = outcome in ("missed", "inconclusive")
            if overlooked and exponent <= TARGETS.get((checker.name, relation), 0):
                error = {"size": size, "relation": relation, **asdict(coordinate)}
                self.findings.append({"checker": checker.name, "op": case.op, "seed": case.seed, "error": error})

    def document(self) -> dict[str, Any]:
        """Return the counts, and what follows from them, as plain JSON."""
        errors = [
            {"checker": checker, "op": op, "relation": relation, "size": 10.0**-exponent, **_outcomes(counter)}
            for (checker, op, relation, exponent), counter in self.counts.items()
        ]
        return {
            "checkers": [checker.name for checker in self.checkers],
            "cases": dict(self.cases),
            "errors": errors,
            "caught": [
                {"checker": c.name, "relation": relation, "size": 10.0**-exponent, **_outcomes(counter)}
                for c in self.checkers
                for relation in RELATIONS
                for exponent in range(1, c.smallest + 1)
                if (counter := self._total(c.name, relation, exponent))
            ],
            "smallest": [
                {
                    "checker": c.name,
                    "relation": relation,
                    "op": op,
                    "all": self._smallest(c, relation, op, 1.0),
                    "nearly all": self._smallest(c, relation, op, 0.99),
                }
                for c in self.checkers
                for relation in RELATIONS
                for op in [*sorted(self.cases), None]
            ],
            "correct": [
                {
                    "checker": c.name,
                    **{outcome: self.correct[c.name][outcome] for outcome in ("right", "alarm", "inconclusive")},
                    "arrays": dict(self.arrays[c.name]),
                }
                for c in self.checkers
                if c.name in self.correct
            ],
            "findings": self.findings,
        }

    def _total(self, checker: str, relation: Relation, exponent: int, op: str | None = None) -> Counter[str]:
        ops = self.cases if op is None else (op,)
        return sum((self.counts.get((checker, name, relation, exponent), Counter()) for name in ops), Counter())

    def _smallest(self, checker: Checker, relation: Relation, op: str | None, share: float) -> float | None:
        """Return the smallest size down to which at least that share is caught at every size; None: at no size."""
        found = None
        for exponent in range(1, checker.smallest + 1):
            if caught_share(self._total(checker.name, relation, exponent, op)) < share:
                break
            found = 10.0**-exponent
        return found


def caught_share(outcomes: Mapping[str, int]) -> float:
    """Return the share of errors that are caught, of those that rounding does not hide."""
    seen = sum(outcomes[outcome] for outcome in OUTCOMES if outcome != "rounding")
    return outcomes["caught"] / seen if seen else 0.0


def _outcomes(counter: Counter[str]) -> dict[str, int]:
    return {outcome: counter[outcome] for outcome in OUTCOMES}


def round_robin(ops: Sequence[str], count: int, seed: int, dtypes: Sequence[str]) -> Generator[Case]:
    """Draw cases of all ops in turn, so that whoever stops early has seen all alike."""
    sources = [cases(op, count, seed, dtypes) for op in ops]
    for _ in range(count):
        for source in sources:
            case = next(source, None)
            if case is not None:
                yield case
