"""Markdown as GitHub and GitLab show it: for the summary of a job, or a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reports.characters import printable
from reports.comparison import SLIGHT, Change, Comparison, in_a_sentence
from reports.coverage import in_brief
from reports.scope import never_drawn
from reports.summary import VERDICTS, distinct, in_words, sentence

MOST = 65_536
"""Characters of a comment on GitHub (https://github.com/orgs/community/discussions/27190)."""
FAILURES, LAYERS, CHANGES = 5, 10, 20
"""Failures in full and changes that are shown; layers that stand there before the rest is folded."""
NAME, TEXT, PROGRAM = 80, 500, 4000
"""Characters of a name, a sentence and a program that are shown."""

_MARKS = re.compile(r"^(?:[-+=]|\d+(?=[.)](?:\s|$)))|[\\`*_{}\[\]<>&#|~!$@]")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_LINKED = re.compile(r"\\[@#]|:(?=//|[\w+-]+:)|www(?=\.)|gh(?=-\d)", re.IGNORECASE)
_BREAK = "<!-- -->"
"""Nothing to see; what stands on both sides is no mention, reference or address any more."""


def markdown(document: Mapping[str, Any]) -> str:
    """Write the document of a run: the verdict, digits by dtype, failures, the comparison, layers, how to repeat it.

    It never has more than :data:`MOST` characters; what does not fit is counted. Every name is shown as text.
    """
    page = _Page(document.get("command", ""))
    page.block(f"### {_mark(document)} {text(sentence(document), TEXT)}")
    if document.get("interrupted"):
        done = f"{document['architectures']:,} of {document['requested']:,}" if "requested" in document else "not all"
        page.block(f"**Interrupted:** {done} architectures were verified.")
    page.table(("dtype", *VERDICTS, "fewest digits"), list(_dtypes(document)))
    failures = distinct(document["failures"])
    shown = [failure for failure in failures[:FAILURES] if page.block(_failure(failure))]
    if more := document["failed"] - len(shown):
        page.block(f"… and {more:,} more failure{'s' * (more > 1)} of these kinds or others.")
    if "comparison" in document:
        _compare(page, Comparison.from_document(document["comparison"]))
    worst = sorted(document["layers"], key=_fewest)
    heads = ("layer", "cases", *VERDICTS, *(text(dtype, NAME) for dtype in document["dtypes"]))
    page.table(heads, [_layer(row, document["dtypes"]) for row in worst], fold="layers, the fewest digits first")
    page.block("\n".join(f"- {line}" for line in _left_out(document)))
    return page.finished(document["environment"])


def _mark(document: Mapping[str, Any]) -> str:
    if document["failed"]:
        return "❌"
    return "✅" if document["agree"] and not document.get("interrupted") else "⚠️"


def comparison(found: Comparison) -> str:
    """Write what ``backproof compare`` found."""
    page = _Page("")
    _compare(page, found)
    return page.finished({})


def text(value: object, most: int) -> str:
    """Show a stranger's text as text, on one line: no markup, HTML, mention, reference or address is left in it."""
    shown = " ".join(str(value)[: most + 1].split())
    shown = f"{shown[:most]}…" if len(shown) > most else shown
    shown = _MARKS.sub(lambda mark: _ENTITIES.get(mark[0], _escaped(mark[0])), printable(shown))
    return _LINKED.sub(lambda linked: f"{linked[0]}{_BREAK}", shown)


def _escaped(mark: str) -> str:
    """Escape a mark; a number that would begin a list is escaped behind it."""
    return f"{mark}\\" if mark.isdigit() else f"\\{mark}"


class _Page:
    """Blocks of Markdown, as many as fit; what reproduces the run has its place kept."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.blocks: list[str] = []
        self.room = MOST - 4 * TEXT - len(_fenced(command[:PROGRAM], "console")) - 2048

    def block(self, written: str) -> bool:
        """Add a block if there is room for it."""
        fits = len(written) + 2 <= self.room
        if written and fits:
            self.blocks.append(written)
            self.room -= len(written) + 2
        return fits

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1, fold: str = "") -> None:
        """Add a table whose first columns are words, folded if it is long; rows that do not fit are counted."""
        head = [_row(heads), _row(["---"] * words + ["--:"] * (len(heads) - words))]
        room = self.room - sum(map(len, head)) - 300
        lines = []
        for row in rows:
            line = _row(row)
            room -= len(line) + 1
            if room < 0:
                break
            lines.append(line)
        if not lines:
            return
        more = f"\n\n… and {len(rows) - len(lines):,} more." if len(lines) < len(rows) else ""
        table = "\n".join([*head, *lines]) + more
        if fold and len(lines) > LAYERS:
            table = f"<details><summary>{len(rows):,} {fold}</summary>\n\n{table}\n\n</details>"
        self.block(table)

    def finished(self, environment: Mapping[str, str]) -> str:
        """Return the page, with how to come to it again at its end."""
        versions = ", ".join(f"{text(name, NAME)} {text(version, NAME)}" for name, version in environment.items())
        blocks = [*self.blocks]
        if self.command:
            blocks.append(f"To repeat it:\n\n{_fenced(self.command[:PROGRAM], 'console')}")
        if versions:
            blocks.append(f"<sub>{versions if len(versions) < 4 * TEXT else 'on too many versions to name'}</sub>")
        return "\n\n".join(blocks) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _dtypes(document: Mapping[str, Any]) -> Iterator[list[str]]:
    for dtype, counts in document["dtypes"].items():
        numbers = (f"{counts[verdict]:,}" for verdict in VERDICTS)
        yield [text(dtype, NAME), *numbers, _digits(document["worst_digits"].get(dtype))]


def _fewest(row: Mapping[str, Any]) -> tuple[bool, float]:
    """Wrong ones first, then by digits in whatever dtype has the most of them: the finest."""
    digits = [digits for digits in row["worst_digits"].values() if digits is not None]
    return not row["disagree"], max(digits, default=float("inf"))


def _layer(row: Mapping[str, Any], dtypes: Iterable[str]) -> list[str]:
    counts = (f"{row[name]:,}" for name in ("cases", *VERDICTS))
    return [text(row["op"], NAME), *counts, *(_digits(row["worst_digits"][dtype]) for dtype in dtypes)]


def _digits(digits: float | None) -> str:
    return "–" if digits is None else f"{digits:.1f}"


def _failure(failure: Mapping[str, Any]) -> str:
    culprit = failure["culprit"]
    name = f"{text(culprit, NAME)} ({text(failure['op'], NAME)})" if culprit else "the composition"
    fault = f": {text(failure['fault'], TEXT)}" if failure["fault"] else ""
    lines = [f"#### {name} in {text(failure['dtype'], NAME)}{fault}", ""]
    lines += [f"**{text(said, TEXT)}**\n" for said in (failure["diagnosis"], failure["failure"]) if said]
    ranked = sorted(failure["tensors"], key=lambda t: not t["tensor"].startswith(f"{culprit}:"))
    lines += map(_tensor, ranked[:3])
    small = failure["minimal"]
    lines += ["", f"Smallest: {text(in_words(small), TEXT)}" if small else ""]
    program = failure["reproduction"] or ""
    if program:
        long = f"A program that shows it again has {len(program):,} characters: see the report."
        lines += ["", _fenced(program, "python") if len(program) <= PROGRAM else long]
    lines += ["", f"Architecture {text(failure['digest'], NAME)}"]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))


def _tensor(tensor: Mapping[str, Any]) -> str:
    at = f" at {tensor['index']}" if tensor["index"] else ""
    got, want = (f"{x:.7g}" if isinstance(x, float) else x for x in (tensor["got"], tensor["want"]))
    values = tensor["note"] if got is None else f"got {got}, wanted {want} ({tensor['against']})"
    said = f"{tensor['tensor']}{at}: {values}"
    return f"- {text(said, TEXT)}"


def _fenced(program: str, language: str) -> str:
    """Fence lines of code in more backticks than they have in a row."""
    shown = printable(program, "\n").strip("\n")
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", shown)), 3)
    return f"{fence}{language}\n{shown}\n{fence}"


def _compare(page: _Page, found: Comparison) -> None:
    page.block(f"### {'❌' if found.worse else '✅'} {text(in_a_sentence(found), TEXT)}")
    told = [f"{when}: {_run(run)}" for when, run in (("before", found.before), ("now", found.now))]
    page.block("\n".join(f"- {line}" for line in (*told, *(f"note: {text(n, TEXT)}" for n in found.notes[:CHANGES]))))
    for name in ("worse", "better", "new", "gone"):
        changes = getattr(found, name)
        if changes:
            heads = (f"**{name}**", "what", "dtype", "before", "now", "chance")
            page.table(heads, [_change(change) for change in changes[:CHANGES]], words=3)
        if (more := len(changes) - CHANGES) > 0:
            page.block(f"… and {more:,} more.")
    if found.slight:
        page.block(f"{found.slight:,} means of digits changed by less than {SLIGHT:.2f}: no more than roundings make.")


def _run(run: Mapping[str, Any]) -> str:
    seed = "" if run["seed"] is None else f", seed {run['seed']}"
    return text(f"{run['implementation']}, {run['architectures']:,} architectures{seed}", TEXT)


def _change(change: Change) -> list[str]:
    what = ": ".join(filter(None, ("" if change.what in ("new", "gone") else change.what, change.kind)))
    digits = change.what == "digits"
    numbers = ((change.base, change.base_cases), (change.new, change.new_cases))
    values = (f"{value:.2f}" if digits else f"{value:g} of {cases:,}" for value, cases in numbers)
    chance = "" if change.chance is None else f"{change.chance:.0e}"
    return [text(change.op, NAME), text(what, NAME), text(change.dtype, NAME), *values, chance]


def _left_out(document: Mapping[str, Any]) -> Iterator[str]:
    """Say what was checked, and what was not."""
    counts = ", ".join(f"{document[verdict]:,} {verdict}" for verdict in VERDICTS)
    yield f"{document['tensors']:,} arrays in {document['seconds']:,.1f} s: {counts}."
    if document["coverage"]["pairs_possible"]:
        yield text(in_brief(document["coverage"]), TEXT)
    if missing := never_drawn(document):
        yield f"**Not verified:** {text(', '.join(missing), TEXT)}: in none of these architectures."
    if unsupported := document.get("unsupported"):
        yield f"Not supported, so not drawn: {len(unsupported):,} layers."
    for op, reason in list(document["refused"].items())[:CHANGES]:
        yield f"PyTorch refuses {text(op, NAME)}: {text(reason, TEXT)}"
