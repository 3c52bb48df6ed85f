"""What the command line shows: a table in 80 columns, the result in a sentence, and the failures."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from io import StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from backproof.drawing import drawn
from reference.ops import STRUCTURAL
from reports import distinct, in_brief, in_words, minimal_file, sentence
from reports.agreement import SECOND_ORDER
from reports.characters import printable
from reports.scope import never_drawn

SHOWN = 5
"""Failures shown in full, of different kinds; the report has them all."""
OWN = " *"
"""Marks ops that join layers, for which torch.nn has no class."""

WIDE = 120
"""Columns of text for whatever shows it: a test's failure, a log."""
LONG = 2000
"""Characters of a stranger's text that are shown."""
DRAWN = 32
"""Nodes of an architecture that is still drawn."""


def console(stderr: bool = False) -> Console:
    """Return where to show things: without colour if ``--no-color`` or NO_COLOR says so, in what letters there are."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
        stream.reconfigure(errors="replace")
    context = click.get_current_context(silent=True)
    return Console(stderr=stderr, no_color=True if context and context.color is False else None)


def plain(text: str, most: int = LONG) -> str:
    """Show a stranger's text as text, on one line: markup escaped, what is not printable replaced, cut."""
    return escape(printable(text[:most]))


def show(console: Console, document: Mapping[str, Any], folder: Path | None, quiet: bool = False) -> None:
    """Show a whole document of :meth:`reports.Summary.document`, whose report goes into a folder if there is one.

    Quietly: the failures and the verdict, no more.
    """
    if quiet:
        _show_failures(console, document, folder)
        console.print(_verdict(document), highlight=False)
        return
    if document["architectures"]:
        console.print(table(document))
        if any(row["op"] in STRUCTURAL for row in document["layers"]):
            console.print(f"{OWN.strip()} no layer of torch.nn: backproof's own where the implementation has none.")
    _show_failures(console, document, folder)
    if document["corpus"]:
        console.print(plain(_corpus_in_words(document["corpus"])), highlight=False)
    if document["coverage"]["pairs_possible"]:
        console.print(in_brief(document["coverage"]), highlight=False)
    if missing := never_drawn(document):
        said = f"NOT VERIFIED: {', '.join(missing)}: in none of these architectures. Take more --examples, or these"
        hint = "--layers alone, and see whether supports() or takes() refuses what is drawn for them."
        console.print(f"[bold yellow]{plain(said)} {hint}[/]", highlight=False)
    if left_out := document.get("unsupported"):
        console.print(f"Not supported, so not drawn: {len(left_out)} of the catalogue's layers.", highlight=False)
    console.print(_verdict(document), highlight=False)
    console.print(
        f"{document['tensors']:,} arrays: {document['agree']:,} agree, {document['disagree']:,} disagree, "
        f"{document['inconclusive']:,} inconclusive, in {document['seconds']:.1f} s.",
        highlight=False,
    )
    second = [counts for pair, counts in document["against"].items() if pair.startswith(SECOND_ORDER)]
    if second:
        agree, disagree, inconclusive = (sum(c[v] for c in second) for v in ("agree", "disagree", "inconclusive"))
        digits = min((c["worst_digits"] for c in second if c["worst_digits"] is not None), default=0.0)
        said = f"{agree:,} agree, {disagree:,} disagree, {inconclusive:,} inconclusive; fewest digits: {digits:.1f}"
        console.print(f"Of them, second derivatives: {said}.", highlight=False)
    if document.get("noted"):
        first = document["notes"][0]
        said = f"{document['noted']:,} of {document['architectures']:,} with a remark, the first on example"
        told = plain(f"{first['number']} ({first['digest'][:12]}): {first['note']}")
        console.print(f"[yellow]{said} {told}[/]", highlight=False)
    for op, reason in document["refused"].items():
        console.print(f"PyTorch refuses {plain(op)}: {plain(reason)}", highlight=False)


def _verdict(document: Mapping[str, Any]) -> str:
    colour = "red" if document["failed"] else "green" if document["architectures"] else "yellow"
    return f"[{colour}]{plain(sentence(document))}[/]"


def _corpus_in_words(corpus: Sequence[Mapping[str, Any]]) -> str:
    """Say how many saved architectures were replayed, and how many were not, with the first reason."""
    missing = [result for result in corpus if result["verdict"] == "unsupported"]
    said = f"corpus: {len({result['file'] for result in corpus}) - len(missing)} saved architectures replayed"
    return f"{said}, {len(missing)} not supported ({missing[0]['note']})." if missing else f"{said}."


def table(document: Mapping[str, Any]) -> Table:
    """Return the table of layers: cases, verdicts, fewest digits in each dtype."""
    made = Table(box=None, pad_edge=False, padding=(0, 1), collapse_padding=True, header_style="bold")
    # Where there is too little room, a name is folded and no number cut.
    made.add_column("layer", overflow="fold", max_width=32)
    for heading in ("cases", "agree", "disagree", "inconcl.", *(plain(dtype, 16) for dtype in document["dtypes"])):
        made.add_column(heading, justify="right", no_wrap=True)
    for row in document["layers"]:
        colours = ("", "", "red" if row["disagree"] else "", "yellow" if row["inconclusive"] else "")
        counts = (f"{row[name]:,}" for name in ("cases", "agree", "disagree", "inconclusive"))
        digits = ("-" if least is None else f"{least:.1f}" for least in row["worst_digits"].values())
        cells = [f"[{colour}]{cell}[/]" if colour else cell for colour, cell in zip(colours, counts)]
        made.add_row(plain(row["op"]) + (OWN if row["op"] in STRUCTURAL else ""), *cells, *digits)
    return made


def in_text(document: Mapping[str, Any]) -> str:
    """Write the result in a sentence, and the failures, as text that can be copied."""
    written = StringIO()
    console = Console(file=written, width=WIDE, color_system=None)
    console.print(plain(sentence(document)), highlight=False)
    _show_failures(console, document, None, draw=False)
    return written.getvalue().rstrip()


def in_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the result of a test session in a few lines: verdicts, digits, what was left out."""
    verdicts = ", ".join(f"{document[verdict]:,} {verdict}" for verdict in ("agree", "disagree", "inconclusive"))
    counts = f"{document['tensors']:,} arrays: {verdicts}, in {document['seconds']:.1f} s"
    least = {dtype: digits for dtype, digits in document["worst_digits"].items() if digits is not None}
    digits = ", ".join(f"{least[dtype]:.1f} in {dtype}" for dtype in least)
    missing = document["left_out"]
    ops = ", ".join(missing) if len(missing) <= SHOWN else f"{len(missing)} layers"
    left_out = f"left out: {sum(missing.values()):,} architectures with {ops}, not supported"
    return [
        sentence(document),
        *([f"fewest digits: {digits}"] if document["failed"] and digits else ()),
        counts,
        *([left_out] if missing else ()),
    ]


def _show_failures(console: Console, document: Mapping[str, Any], folder: Path | None, draw: bool = True) -> None:
    """Show the first failures of different kinds, and draw the architecture of the very first."""
    shown = distinct(document["failures"])[:SHOWN]
    for failure in shown:
        _show_failure(console, failure)
        if draw and failure is shown[0]:
            _draw(console, failure)
        _show_minimal(console, failure, folder)
    if more := document["failed"] - len(shown):
        console.print(f"... and {more} more failure{'s' * (more > 1)} of these kinds or others")


def _show_failure(console: Console, failure: Mapping[str, Any]) -> None:
    name = f"{failure['culprit']} ({failure['op']})" if failure["culprit"] else "the composition"
    what = failure["failure"] or failure["diagnosis"] or "disagrees"
    lines = (failure["fault"], what) if failure["culprit"] and failure["fault"] else (what,)
    console.print(f"[red]{plain(name)}[/] in {plain(failure['dtype'])}: {plain(lines[0])}", highlight=False)
    for line in lines[1:]:
        console.print(f"  {plain(line)}", highlight=False)
    # The culprit's own arrays say most; the rest is what it did to those around it.
    ranked = sorted(failure["tensors"], key=lambda t: not t["tensor"].startswith(f"{failure['culprit']}:"))
    for tensor in ranked[:3]:
        at = f" at {tensor['index']}" if tensor["index"] else ""
        got, want = _told_apart(tensor["got"], tensor["want"])
        values = tensor["note"] if got is None else f"got {got}, wanted {want} ({tensor['against']})"
        console.print(plain(f"  {tensor['tensor']}{at}: {values}"), highlight=False)


def _draw(console: Console, failure: Mapping[str, Any]) -> None:
    """Draw the architecture, each line cut to the width, if it is more than a node and fewer than many."""
    architecture = failure["architecture"]
    if not 1 < len(architecture["nodes"]) <= DRAWN:
        return
    said = failure["fault"] or ("it raised" if failure["failure"] else "wrong")
    culprits = {failure["culprit"]: said} if failure["culprit"] else {}
    console.print()
    ascii_only = not console.encoding.lower().startswith("utf")
    for line in drawn(architecture, _shapes(architecture), culprits, ascii_only=ascii_only):
        shown = Text.from_markup(f"  {plain(line.text)}", style="red" if line.marked else "")
        console.print(shown, no_wrap=True, overflow="ellipsis", highlight=False)
    console.print()


def _shapes(architecture: Mapping[str, Any]) -> Mapping[str, tuple[int, ...]]:
    """Return the shapes that PyTorch gives; none if it refuses the architecture, which may be a stranger's."""
    from reference import Architecture, Twin

    try:
        return Twin(Architecture.from_dict(dict(architecture))).shapes
    except ValueError:
        return {}


def _told_apart(*numbers: Any) -> list[Any]:
    """Write numbers in as many digits as it takes to see that they differ, in seven at least."""
    for digits in (7, 12, 17):
        written = [x if x is None or isinstance(x, str) else f"{x:.{digits}g}" for x in numbers]
        if len({*written}) > 1:
            break
    return written


def _show_minimal(console: Console, failure: Mapping[str, Any], folder: Path | None) -> None:
    """Show the smallest architecture, and the program in lines that can be copied."""
    note = f" ({failure['shrinking']})" if failure["shrinking"] else ""
    if not failure["minimal"]:
        if note:
            console.print(plain(f"  not made smaller{note}"), highlight=False)
        return
    console.print(plain(f"  smallest{note}: {in_words(failure['minimal'])}"), highlight=False)
    if folder is not None:
        console.print(escape(f"  saved: {folder / minimal_file(failure)}"), highlight=False, soft_wrap=True)
    program = "\n".join(plain(line, len(line)) for line in (failure["reproduction"] or "").splitlines())
    console.print(f"\n{program}\n", highlight=False, soft_wrap=True)
