"""Two runs beside one another: what got worse, what got better, what is new, what is gone; chance is no regression."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from math import log10
from typing import Any, Literal, TypeAlias

from reports.chance import Tested, how_many_count, lower, more, signed_rank
from reports.samples import THOUSANDTHS, WHOLE

Document: TypeAlias = Mapping[str, Any]
What: TypeAlias = Literal["crash", "disagreement", "unsupported", "inconclusive", "digits", "new", "gone"]
Key: TypeAlias = tuple[str, str, str]

ALARM = 1e-3
"""Two correct implementations are called a regression of one another in fewer comparisons than this share."""

SLIGHT = log10(2.0) / 2
"""Digits that are lost where errors grow by the square root of 2: as many roundings again, which is no mistake."""

ORDER: Sequence[What] = ("crash", "disagreement", "unsupported", "inconclusive", "digits", "new", "gone")


@dataclass(frozen=True)
class Change:
    """One difference between two runs.

    Attributes
    ----------
    what
        ``digits`` (mean digits), ``inconclusive`` (architectures with such an array), ``disagreement`` and ``crash``
        (architectures on which the op is blamed), ``unsupported`` (no longer drawn, though nobody chose so), ``new``
        and ``gone`` (architectures with it).
    op, kind, dtype
        Of which op, arrays and dtype; the file instead of the op where it is one of the corpus. Empty: all of them.
    base, new
        The digits, or how many of ``base_cases`` and ``new_cases`` architectures.
    base_cases, new_cases
        Architectures on either side.
    chance
        How likely chance alone would show as much anywhere in the comparison, at most; None where chance has no part.
    """

    what: What
    op: str
    kind: str
    dtype: str
    base: float
    new: float
    base_cases: int
    new_cases: int
    chance: float | None = None


@dataclass
class Comparison:
    """What :func:`compare` found.

    Attributes
    ----------
    before, now
        Both runs: their implementation, seed and number of architectures.
    worse, better, new, gone
        The changes, the gravest first. A regression is what got worse.
    slight
        How many means of digits certainly changed, but by less than :data:`SLIGHT`.
    means
        Of all that both have: ``op``, ``kind``, ``dtype`` and the mean digits, ``base`` and ``new``.
    paired
        Whether both runs verified the same architectures, so that each is compared with itself.
    judged
        Whether digits and inconclusive arrays can be compared at all.
    notes
        What one must know to read it: other settings, versions, an interruption.
    """

    before: dict[str, Any]
    now: dict[str, Any]
    worse: list[Change] = field(default_factory=list)
    better: list[Change] = field(default_factory=list)
    new: list[Change] = field(default_factory=list)
    gone: list[Change] = field(default_factory=list)
    slight: int = 0
    means: list[dict[str, Any]] = field(default_factory=list)
    paired: bool = False
    judged: bool = False
    notes: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"regression": bool(self.worse), **asdict(self)}

    @classmethod
    def from_document(cls, document: Document) -> Comparison:
        """Read what :meth:`document` returned; fields of a later version are left out."""
        known: dict[str, Any] = {f.name: document[f.name] for f in fields(cls)}
        for name in ("worse", "better", "new", "gone"):
            known[name] = [Change(**{f.name: change[f.name] for f in fields(Change)}) for change in known[name]]
        return cls(**known)


def check_comparable(base: Document, dtypes: Iterable[str], chosen: Iterable[str] | None) -> None:
    """Refuse a baseline that a run in these dtypes, over the layers that were chosen, has nothing in common with.

    Raises
    ------
    ValueError
        There is nothing to compare.
    """
    if not {*dtypes} & base["dtypes"].keys():
        before, now = (", ".join(names) or "none" for names in (base["dtypes"], dtypes))
        raise ValueError(f"nothing to compare: the dtypes are {before} before and {now} now")
    if chosen and base.get("chosen") and not {*chosen} & {*base["chosen"]}:
        raise ValueError("nothing to compare: the layers that were chosen before and now have none in common")


def compare(base: Document, new: Document) -> Comparison:
    """Compare the documents of two runs, as :func:`reports.documents.read` returned them.

    What disagrees, crashes or is unsupported where it did not before is worse, whatever the numbers. Digits and shares
    of inconclusive architectures are compared with what chance does; docs/regression.md derives how.
    """
    dtypes = [dtype for dtype in base["dtypes"] if dtype in new["dtypes"]]
    found = Comparison(_brief(base), _brief(new), notes=list(_notes(base, new)))
    found.paired = bool(base["drawn"]) and base["drawn"] == new["drawn"]
    found.judged = found.paired or _alike(base, new)
    if not found.judged:
        found.notes.append(
            "the architectures are not drawn alike (other layers, another version or none), "
            "so digits and inconclusive arrays are not compared: write a new baseline"
        )
    pairs = _samples(base, new, dtypes) if found.judged else {}
    _compare_digits(found, pairs)
    _compare_counts(found, _inconclusive(pairs))
    _compare_counts(found, _blamed(base, new, dtypes), grave=True)
    found.worse += _unsupported(base, new)
    _compare_corpora(found, base, new, dtypes)
    _compare_presence(found, base, new, dtypes)
    for changes in (found.worse, found.better, found.new, found.gone):
        changes.sort(key=lambda c: (ORDER.index(c.what), -abs(c.new - c.base), c.op, c.kind, c.dtype))
    return found


def _brief(document: Document) -> dict[str, Any]:
    return {name: document.get(name) for name in ("implementation", "seed", "architectures")}


def _rows(document: Document) -> dict[str, Document]:
    return {row["op"]: row for row in document["layers"]}


def _samples(base: Document, new: Document, dtypes: Sequence[str]) -> dict[Key, tuple[Document, Document]]:
    """Pair up what both have, in the dtypes that both have."""
    before, after = ({(s["op"], s["kind"], s["dtype"]): s for s in d["samples"]} for d in (base, new))
    return {key: (before[key], after[key]) for key in before if key in after and key[2] in dtypes}


def _compare_digits(found: Comparison, pairs: Mapping[Key, tuple[Document, Document]]) -> None:
    """Half of the alarms that are allowed is for digits, shared by all samples that could raise one."""
    pairs = {key: (b, n) for key, (b, n) in pairs.items() if b["blocks"] and n["blocks"]}
    test = _paired if found.paired else _apart
    tested = {key: test(b, n) for key, (b, n) in pairs.items()}
    tests = how_many_count([least for (_, least), _ in tested.values()], ALARM / 2)
    for key, (worse, better) in tested.items():
        (before, b_cases), (after, n_cases) = (_mean(sample) for sample in pairs[key])
        found.means.append(dict(zip(("op", "kind", "dtype"), key)) | {"base": round(before, 3), "new": round(after, 3)})
        chance = min(1.0, 2 * tests * (worse if after < before else better)[0])
        if chance > ALARM:
            continue
        if abs(after - before) < SLIGHT:
            found.slight += 1
        else:
            change = Change("digits", *key, before, after, b_cases, n_cases, chance)
            (found.worse if after < before else found.better).append(change)


def _paired(base: Document, new: Document) -> tuple[Tested, Tested]:
    """Test the differences of the means, block by block; where there is none, both sides did the very same."""
    shared = [block for block in base["blocks"] if block in new["blocks"]]
    means = [[sample["blocks"][b][1] / sample["blocks"][b][0] for b in shared] for sample in (base, new)]
    losses = [before - after for before, after in zip(*means)]
    return signed_rank(losses), signed_rank([-loss for loss in losses])


def _apart(base: Document, new: Document) -> tuple[Tested, Tested]:
    before, after = ({int(bin): count for bin, count in s["histogram"].items()} for s in (base, new))
    return lower(before, after), lower(after, before)


def _mean(sample: Document) -> tuple[float, int]:
    count, total = (sum(counted[i] for counted in sample["blocks"].values()) for i in (0, 1))
    return total / count / THOUSANDTHS, count


def _inconclusive(pairs: Mapping[Key, tuple[Document, Document]]) -> Iterator[Change]:
    for key, (b, n) in pairs.items():
        yield Change("inconclusive", *key, b["unsure"], n["unsure"], b["cases"], n["cases"])


def _blamed(base: Document, new: Document, dtypes: Sequence[str]) -> Iterator[Change]:
    """How often each op is blamed, for crashes and for the rest."""
    before, after = _rows(base), _rows(new)
    counts = (base["architectures"], new["architectures"])
    for op in sorted({*before, *after}):
        rows = before.get(op), after.get(op)
        for dtype in dtypes:
            crashed, failed = ([row[f][dtype] if row else 0 for row in rows] for f in ("crashed", "failed"))
            yield Change("crash", op, "", dtype, crashed[0], crashed[1], *counts)
            yield Change("disagreement", op, "", dtype, failed[0] - crashed[0], failed[1] - crashed[1], *counts)


def _compare_counts(found: Comparison, counted: Iterable[Change], grave: bool = False) -> None:
    """Compare shares: half of the alarms is for all of these; what is grave is worse already where it never was."""
    shares = [c for c in counted if c.base or c.new]
    tested = [_shares(c) for c in shares]
    tests = how_many_count([least for (_, least), _ in tested], ALARM / 4)
    for change, (worse, better) in zip(shares, tested):
        for side, (probability, _) in ((found.worse, worse), (found.better, better)):
            chance = min(1.0, 4 * tests * probability)
            if grave and not change.base and side is found.worse:
                side.append(change)
            elif chance <= ALARM or (grave and found.paired and not change.new and side is found.better):
                side.append(Change(**asdict(change) | {"chance": chance}))


def _shares(c: Change) -> tuple[Tested, Tested]:
    base, new = int(c.base), int(c.new)
    return more(base, c.base_cases, new, c.new_cases), more(new, c.new_cases, base, c.base_cases)


def _alike(base: Document, new: Document) -> bool:
    """Whether both runs drew from the same distribution: the same generator, over the same layers."""
    random = all(document.get("seed") is not None and document["samples"] for document in (base, new))
    versions = {document["environment"].get("backproof") for document in (base, new)}
    return random and drawn(base) == drawn(new) and len(versions) == 1


def drawn(document: Document) -> set[str]:
    """Ops that could be drawn, or that were there."""
    return {*document["coverage"]["ops"], *_rows(document)} - {WHOLE}


def _unsupported(base: Document, new: Document) -> Iterator[Change]:
    """Layers that were drawn before, and are not any more although nobody chose others."""
    random = all(document.get("seed") is not None and "chosen" in document for document in (base, new))
    if random and base["chosen"] == new["chosen"]:
        before = _rows(base)
        for op in sorted(before.keys() & drawn(base) - drawn(new)):
            yield Change("unsupported", op, "", "", before[op]["cases"], 0, base["architectures"], new["architectures"])


def _compare_corpora(found: Comparison, base: Document, new: Document, dtypes: Sequence[str]) -> None:
    """Architecture by architecture: chance has no part in what is replayed."""
    before, after = ({(r["digest"], r["dtype"]): r for r in d.get("corpus", ())} for d in (base, new))
    fails: Mapping[str, What] = {"disagree": "disagreement", "crash": "crash"}
    for key in sorted(before.keys() | after.keys()):
        b, n = before.get(key), after.get(key)
        name = (n or b or {})["file"]
        if key[1] not in dtypes:
            continue
        if n and n["verdict"] in fails and (b is None or b["verdict"] not in fails):
            found.worse.append(Change(fails[n["verdict"]], name, "corpus", key[1], 0, 1, int(b is not None), 1))
        elif b and n and b["verdict"] in fails and n["verdict"] not in fails:
            found.better.append(Change(fails[b["verdict"]], name, "corpus", key[1], 1, 0, 1, 1))
        elif b is None or n is None:
            what: What = "new" if b is None else "gone"
            _only_in_one(found, Change(what, name, "corpus", key[1], int(b is not None), int(n is not None), 1, 1))


def _compare_presence(found: Comparison, base: Document, new: Document, dtypes: Sequence[str]) -> None:
    """What only one of the two has: whole layers, else the arrays of one kind."""
    before, after = _rows(base), _rows(new)
    counts = (base["architectures"], new["architectures"])
    for op in sorted(before.keys() ^ after.keys()):
        cases = tuple(rows[op]["cases"] if op in rows else 0 for rows in (before, after))
        _only_in_one(found, Change("new" if op in after else "gone", op, "", "", cases[0], cases[1], *counts))
    if not (base["samples"] and new["samples"]):
        return
    kinds = [{(s["op"], s["kind"], s["dtype"]): s["cases"] for s in document["samples"]} for document in (base, new)]
    for key in sorted(kinds[0].keys() ^ kinds[1].keys()):
        if key[0] in before and key[0] in after and key[2] in dtypes and key[1] != "curvature":
            cases = tuple(of_kind.get(key, 0) for of_kind in kinds)
            _only_in_one(found, Change("new" if key in kinds[1] else "gone", *key, cases[0], cases[1], *counts))


def _only_in_one(found: Comparison, change: Change) -> None:
    (found.new if change.what == "new" else found.gone).append(change)


def _notes(base: Document, new: Document) -> Iterator[str]:
    """What was set otherwise, or went otherwise."""
    if base["implementation"] != new["implementation"]:
        yield f"other implementations: {base['implementation']} before, {new['implementation']} now"
    for name in sorted(base["environment"].keys() | new["environment"].keys()):
        before, after = (d["environment"].get(name, "none") for d in (base, new))
        if before != after:
            yield f"another {name}: {before} before, {after} now"
    for words, one, other in (("only before", base, new), ("only now", new, base)):
        dtypes = [dtype for dtype in one["dtypes"] if dtype not in other["dtypes"]]
        if dtypes:
            yield f"{words}, so not compared: {', '.join(dtypes)}"
        ops = sorted(one["coverage"]["ops"].keys() - other["coverage"]["ops"].keys())
        if ops:
            more_ops = f" and {len(ops) - 5} more" if len(ops) > 5 else ""
            yield f"drawn {words}: {', '.join(ops[:5])}{more_ops}"
        if any(s["kind"] == "curvature" for s in one["samples"]) and not any(
            s["kind"] == "curvature" for s in other["samples"]
        ):
            yield f"second derivatives {words}"
    for words, document in (("before", base), ("now", new)):
        if document.get("interrupted") is True:
            yield f"the run {words} was interrupted after {document['architectures']:,} architectures"
    if base["schema"] == 1 or new["schema"] == 1:
        yield "one of the two is of schema 1, which does not say how digits are spread: write a new baseline"


def in_a_sentence(found: Comparison) -> str:
    """Say the result in one sentence."""
    worse = len(found.worse)
    ops = sorted({change.op or WHOLE for change in found.worse})
    if not worse:
        how = "" if found.judged else ", as far as they can be compared"
        return f"No regression{how}: {len(found.better)} better, {len(found.new)} new, {len(found.gone)} gone."
    named = f"{', '.join(ops[:5])}{f' and {len(ops) - 5} more' if len(ops) > 5 else ''}"
    return f"Regression: {worse} {'change' if worse == 1 else 'changes'} for the worse, in {named}."
