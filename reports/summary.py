"""What many agreements say together, gathered one at a time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from reports.agreement import FAULTS, REFUSED, Agreement, TensorAgreement, Verdict
from reports.coverage import Coverage
from reports.pictured import Pictured
from reports.samples import MOST_DIGITS, PER_DIGIT, WHOLE, Samples

SCHEMA = 2
"""Of documents; the first had no samples, no counts of arrays by kind, and no counts of failures by op."""
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
KEPT = 50
"""Failures and inconclusive arrays that are kept in full; beyond that they are counted."""
DRAWN = 3
"""Arrays of a failure whose every error is kept, to be drawn."""


@dataclass
class _Arrays:
    """What is known about the arrays of one op that are of one kind, between two witnesses, in one dtype."""

    verdicts: Counter[str] = field(default_factory=Counter)
    counted: int = 0
    worst: float | None = None

    def add(self, tensor: TensorAgreement) -> None:
        self.verdicts[tensor.verdict] += 1
        if tensor.digits is not None and tensor.verdict != "inconclusive":
            self.counted += 1
            self.worst = tensor.digits if self.worst is None else min(tensor.digits, self.worst)

    def include(self, counts: Mapping[str, Any]) -> None:
        self.verdicts.update({verdict: counts[verdict] for verdict in VERDICTS})
        self.counted += counts["counted"]
        self.worst = min((d for d in (self.worst, counts["worst_digits"]) if d is not None), default=None)


@dataclass
class _Row:
    """What is known about one op."""

    cases: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    worst: dict[str, float] = field(default_factory=dict)
    histogram: dict[str, list[int]] = field(default_factory=dict)
    arrays: dict[tuple[str, str, str], _Arrays] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)
    crashed: Counter[str] = field(default_factory=Counter)

    def add(self, tensor: TensorAgreement, dtype: str) -> None:
        self.verdicts[tensor.verdict] += 1
        self.arrays.setdefault((tensor.kind, tensor.against, dtype), _Arrays()).add(tensor)
        if tensor.digits is not None and tensor.against == "autograd" and tensor.verdict != "inconclusive":
            self.worst[dtype] = min(tensor.digits, self.worst.get(dtype, tensor.digits))
            bins = self.histogram.setdefault(dtype, [0] * MOST_DIGITS * PER_DIGIT)
            bins[min(int(tensor.digits * PER_DIGIT), len(bins) - 1)] += 1

    def include(self, counts: Mapping[str, Any]) -> None:
        self.cases += counts["cases"]
        self.verdicts.update({verdict: counts[verdict] for verdict in VERDICTS})
        for dtype, digits in counts["worst_digits"].items():
            _keep_least(self.worst, dtype, digits)
        for dtype, bins in counts["histogram"].items():
            before = self.histogram.get(dtype, [0] * len(bins))
            self.histogram[dtype] = [a + b for a, b in zip(before, bins, strict=True)]
        for arrays in counts["arrays"]:
            key = (arrays["kind"], arrays["against"], arrays["dtype"])
            self.arrays.setdefault(key, _Arrays()).include(arrays)
        self.failed.update(counts["failed"])
        self.crashed.update(counts["crashed"])


def _keep_least(least: dict[str, float], key: str, digits: float | None) -> None:
    if digits is not None:
        least[key] = min(digits, least.get(key, digits))


@dataclass
class Summary:
    """Counts, worst digits and failures, in memory that does not grow with the number of agreements.

    Parameters
    ----------
    dtypes
        Names of the dtypes that are verified.
    about
        Anything else for the document (seed, environment ...), plain JSON.
    coverage
        Counts what was covered of what can be drawn.
    """

    dtypes: Sequence[str]
    about: Mapping[str, Any] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=lambda: Coverage({}))
    architectures: int = 0
    seconds: float = 0.0
    rows: dict[str, _Row] = field(default_factory=dict)
    verdicts: dict[str, Counter[str]] = field(default_factory=dict)
    against: dict[str, Counter[str]] = field(default_factory=dict)
    least: dict[str, float] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    worst: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    inconclusive: list[dict[str, Any]] = field(default_factory=list)
    failed: int = 0
    crashed: int = 0
    samples: Samples = field(default_factory=Samples)
    pictured: Pictured = field(default_factory=Pictured)
    corpus: list[dict[str, Any]] = field(default_factory=list)

    def add(self, agreements: Sequence[Agreement]) -> None:
        """Take in the agreements on one architecture, one per dtype."""
        self.architectures += 1
        self.samples.draw(agreements[0].digest)
        self.coverage.add(agreements[0].architecture, agreements[0].shapes)
        for node in agreements[0].architecture["nodes"]:
            self.rows.setdefault(node["op"], _Row()).cases += 1
        self.rows.setdefault(WHOLE, _Row()).cases += 1
        for agreement in agreements:
            self._add(agreement)

    def _add(self, agreement: Agreement) -> None:
        self.samples.add(agreement)
        self.pictured.add(agreement)
        for tensor in agreement.tensors:
            self.rows.setdefault(tensor.op or WHOLE, _Row()).add(tensor, agreement.dtype)
            self.verdicts.setdefault(agreement.dtype, Counter())[tensor.verdict] += 1
            self.against.setdefault(tensor.against, Counter())[tensor.verdict] += 1
            if tensor.digits is not None and tensor.verdict == "agree":
                self.least[tensor.against] = min(tensor.digits, self.least.get(tensor.against, tensor.digits))
            if tensor.note.startswith(REFUSED) and (tensor.op or tensor.kind != "curvature"):  # a node has said it
                self.refused.setdefault(tensor.op or WHOLE, tensor.note.removeprefix(REFUSED))
            if tensor.verdict == "inconclusive" and len(self.inconclusive) < KEPT:
                self.inconclusive.append({"digest": agreement.digest, "dtype": agreement.dtype, **_shown(tensor)})
            elif tensor.against == "autograd" and tensor.digits is not None and tensor.verdict == "agree":
                so_far = self.worst.get(agreement.dtype)
                if so_far is None or tensor.digits < so_far["digits"]:
                    self.worst[agreement.dtype] = {"digest": agreement.digest, **_shown(tensor)}
        if not agreement.agrees:
            blamed = self.rows.setdefault(agreement.op or WHOLE, _Row())
            blamed.failed[agreement.dtype] += 1
            blamed.crashed[agreement.dtype] += agreement.failure is not None
            self._fail(agreement)

    def replay(self, file: str, agreements: Sequence[Agreement], unsupported: str = "") -> None:
        """Take in the agreements on one saved architecture, which was not drawn: it is listed, and counts nowhere else.

        Parameters
        ----------
        file
            Where it was saved.
        unsupported
            Why there are none, if so.
        """
        if unsupported:
            self.corpus.append({"file": file, "digest": "", "dtype": "", "verdict": "unsupported", "note": unsupported})
        for agreement in agreements:
            unsure = sum(t.verdict == "inconclusive" for t in agreement.tensors)
            verdict = "crash" if agreement.failure else "disagree" if agreement.disagreements else "agree"
            self.corpus.append(
                {
                    "file": file,
                    "digest": agreement.digest,
                    "dtype": agreement.dtype,
                    "verdict": verdict,
                    "note": f"{len(agreement.tensors)} arrays, {unsure} inconclusive",
                }
            )
            if not agreement.agrees:
                self._fail(agreement, file)

    def _fail(self, agreement: Agreement, file: str = "") -> None:
        wrong = agreement.disagreements
        drawn: dict[str, TensorAgreement] = {}
        for tensor in sorted(wrong, key=lambda t: t.node != agreement.culprit):
            if tensor.errors:  # nearly the same whoever the witness is, so each array is drawn once
                drawn.setdefault(tensor.label, tensor)
        self.failed += 1
        self.crashed += agreement.failure is not None
        if len(self.failures) < KEPT:
            self.failures.append(
                {
                    "architecture": dict(agreement.architecture),
                    "digest": agreement.digest,
                    "implementation": agreement.implementation,
                    "dtype": agreement.dtype,
                    "culprit": agreement.culprit,
                    "op": agreement.op,
                    "fault": FAULTS[agreement.fault] if agreement.fault else None,
                    "diagnosis": agreement.diagnosis,
                    "failure": agreement.failure,
                    "tensors": [_shown(tensor) for tensor in wrong[:20]],
                    "errors": [
                        {"tensor": t.label, "against": t.against, "shape": list(t.shape), "errors": list(t.errors)}
                        for t in [*drawn.values()][:DRAWN]
                    ],
                    "corpus": file,
                    # Filled in by whoever shrinks it: the smallest architecture that still fails, a program
                    # that shows it, and what there is to say of how it was found.
                    "minimal": None,
                    "reproduction": None,
                    "shrinking": "",
                }
            )

    def include(self, document: Mapping[str, Any]) -> None:
        """Take in what another summary gathered, in another process say, from its document."""
        self.dtypes = tuple(dict.fromkeys((*self.dtypes, *document["dtypes"])))
        self.architectures += document["architectures"]
        self.seconds += document["seconds"]
        self.failed += document["failed"]
        self.crashed += document["crashed"]
        for dtype, counts in document["dtypes"].items():
            self.verdicts.setdefault(dtype, Counter()).update(counts)
        for pair, counts in document["against"].items():
            self.against.setdefault(pair, Counter()).update({verdict: counts[verdict] for verdict in VERDICTS})
            _keep_least(self.least, pair, counts["worst_digits"])
        for counts in document["layers"]:
            self.rows.setdefault(counts["op"], _Row()).include(counts)
        for dtype, tensor in document["worst"].items():
            if dtype not in self.worst or tensor["digits"] < self.worst[dtype]["digits"]:
                self.worst[dtype] = tensor
        self.refused = {**document["refused"], **self.refused}
        self.coverage.include(document["coverage"])
        self.samples.include(document["drawn"], document["samples"])
        self.pictured.include(document["pictured"])
        self.corpus += document["corpus"]
        self.failures += document["failures"][: KEPT - len(self.failures)]
        self.inconclusive += document["inconclusive_tensors"][: KEPT - len(self.inconclusive)]

    def worst_digits(self) -> dict[str, float | None]:
        """Per dtype, the fewest digits among the arrays that were compared with autograd; None: none were."""
        return {d: min((r.worst[d] for r in self.rows.values() if d in r.worst), default=None) for d in self.dtypes}

    def document(self) -> dict[str, Any]:
        """Return everything as plain JSON; floats are finite."""
        total: Counter[str] = sum(self.verdicts.values(), Counter())
        return {
            "schema": SCHEMA,
            **self.about,
            "architectures": self.architectures,
            "drawn": self.samples.fingerprint,
            "tensors": total.total(),
            **_counts(total),
            "failed": self.failed,
            "crashed": self.crashed,
            "seconds": round(self.seconds, 3),
            "worst_digits": self.worst_digits(),
            "worst": self.worst,
            "dtypes": {d: _counts(self.verdicts.get(d, Counter())) for d in self.dtypes},
            "against": {
                pair: _counts(counter) | {"worst_digits": self.least.get(pair)}
                for pair, counter in sorted(self.against.items())
            },
            "refused": dict(sorted(self.refused.items())),
            "layers": [
                {
                    "op": op,
                    "cases": row.cases,
                    **_counts(row.verdicts),
                    "worst_digits": {d: row.worst.get(d) for d in self.dtypes},
                    "histogram": {d: row.histogram.get(d, [0] * MOST_DIGITS * PER_DIGIT) for d in self.dtypes},
                    "failed": {d: row.failed[d] for d in self.dtypes},
                    "crashed": {d: row.crashed[d] for d in self.dtypes},
                    "arrays": [
                        {"kind": kind, "against": pair, "dtype": dtype}
                        | _counts(found.verdicts)
                        | {"counted": found.counted, "worst_digits": found.worst}
                        for (kind, pair, dtype), found in sorted(row.arrays.items())
                    ],
                }
                for op, row in sorted(self.rows.items(), key=lambda item: (item[0] == WHOLE, item[0]))
            ],
            "samples": self.samples.document(),
            "pictured": self.pictured.document(),
            "corpus": self.corpus,
            "coverage": self.coverage.document(),
            "failures": self.failures,
            "inconclusive_tensors": self.inconclusive,
        }


def _counts(verdicts: Counter[str]) -> dict[str, int]:
    return {verdict: verdicts[verdict] for verdict in VERDICTS}


def _shown(tensor: TensorAgreement) -> dict[str, Any]:
    """Return what a report shows of one array; numbers that are not finite, or complex, become text."""
    numbers = {name: getattr(tensor, name) for name in ("digits", "bound", "got", "want", "max_ulp")}
    plain = {
        name: x if x is None or (not isinstance(x, complex) and abs(x) < float("inf")) else f"{x:.7g}"
        for name, x in numbers.items()
    }
    return {
        "tensor": tensor.label,
        "op": tensor.op,
        "against": tensor.against,
        "index": list(tensor.index),
        **plain,
        "note": tensor.note,
    }


def distinct(failures: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the first failure of every kind, first one of every op, then the second of those that have several.

    The same op and diagnosis, numbers aside, are one kind in all dtypes; so are those that shrank to the same
    architecture.
    """
    kinds: dict[tuple[str, str], dict[str, Any]] = {}
    for failure in failures:
        what = re.sub(r"node \w+|[\d.]+", "", failure["failure"] or failure["diagnosis"] or "")
        kinds.setdefault((failure["op"] or "", what), failure)
    once = {str(failure["minimal"] or failure["digest"]): failure for failure in reversed(kinds.values())}
    several: Counter[str | None] = Counter()
    ranked: list[tuple[int, dict[str, Any]]] = []
    for failure in reversed(once.values()):
        ranked.append((several[failure["op"]], failure))
        several[failure["op"]] += 1
    return [failure for _, failure in sorted(ranked, key=lambda pair: pair[0])]


def in_words(architecture: Mapping[str, Any]) -> str:
    """Write an architecture's JSON in a line: ``x (2, 1) -> Linear(in_features=1, out_features=1)``."""
    inputs, nodes = architecture["inputs"], architecture["nodes"]
    said = ", ".join(_input_in_words(graph_input) for graph_input in inputs)
    before = [[graph_input["name"] for graph_input in inputs], *([node["name"]] for node in nodes)]
    if all(node["inputs"] == used and "shares" not in node for node, used in zip(nodes, before)):
        said = " -> ".join([said, *map(op_in_words, nodes)])
    else:
        said = "; ".join([said, *(f"{n['name']} = {op_in_words(n)} of {', '.join(n['inputs'])}" for n in nodes)])
    return said if architecture["training"] else f"{said}, in evaluation"


def _input_in_words(graph_input: Mapping[str, Any]) -> str:
    domains = {
        "real": "",
        "ties": " with ties",
        "wide": " of wide range",
        "unit": " in [0, 1]",
        "simplex": " on the simplex",
        "index": f" of indices below {graph_input.get('below')}",
        "distinct": f" of distinct indices below {graph_input.get('below')}",
        "sign": " of -1 and 1",
        "positive": " of positive numbers",
        "probability": " inside (0, 1)",
        "log_simplex": " of logarithms of a simplex",
    }
    return f"{graph_input['name']} {tuple(graph_input['shape'])}{domains[graph_input.get('domain', 'real')]}"


def op_in_words(node: Mapping[str, Any]) -> str:
    """Write a node's JSON in a line: ``Linear(in_features=1, out_features=1)``."""
    given = {**node.get("arguments", {}), **node.get("options", {})}
    tied = [f"parameters of {node['shares']}"] if "shares" in node else []
    return f"{node['op']}({', '.join([*(f'{name}={value!r}' for name, value in given.items()), *tied])})"


def sentence(document: Mapping[str, Any]) -> str:
    """Say the result in one sentence."""
    count, name = document["architectures"], document["implementation"]
    against = document["against"]
    alone = bool(against) and not any(pair.startswith("autograd") for pair in against)
    networks = f"{count:,} {'check' if alone else 'random architecture'}{'' if count == 1 else 's'}"
    saved = len({result["digest"] for result in document["corpus"]} - {""})
    if saved:
        networks += f" and {saved} saved one{'' if saved == 1 else 's'}"
    if document["failed"]:
        blamed = sorted({failure["op"] for failure in document["failures"] if failure["op"]})
        wrong = f": {', '.join(blamed)}" if blamed else ""
        names = sorted({failure["implementation"] for failure in document["failures"]})
        whom = "finite differences of its own forward" if alone else "PyTorch"
        name, disagree = ", ".join(names), "disagree" if len(names) > 1 else "disagrees"
        what = "raised on" if document["crashed"] == document["failed"] else f"{disagree} with {whom} on"
        wrongs = len({failure["digest"] for failure in document["failures"]})
        more = "at least " if document["failed"] > len(document["failures"]) else ""
        return f"{name} {what} {more}{wrongs} of {networks}{wrong}."
    if not count and not saved:
        return f"{name}: nothing was verified."
    digits = [f"{least:.1f} in {dtype}" for dtype, least in document["worst_digits"].items() if least is not None]
    least = f"; fewest digits: {', '.join(digits)}" if digits else ""
    whom = "finite differences of its own forward" if alone else "PyTorch autograd and with finite differences"
    agree = "agree" if ", " in name else "agrees"
    return f"{name} {agree} with {whom} on {networks}{least}."
