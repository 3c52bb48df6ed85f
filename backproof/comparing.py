"""What the command line shows of a comparison with another run: a table in 80 columns, and the result in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO

from rich.console import Console
from rich.table import Table

from backproof.terminal import WIDE, plain
from reports import Change, Comparison, in_a_sentence
from reports.comparison import SLIGHT

SHOWN = 20
"""Changes of one kind that are shown; the JSON has them all."""

CELL = 80
"""Characters of a cell that are shown, before it is cut to its column."""

NOTE = 300
"""Characters of a note that are shown."""


def show(console: Console, found: Comparison) -> None:
    """Show a whole comparison. Names come from strangers: they are shown as text, on one line."""
    for when, run in (("before", found.before), ("now", found.now)):
        seed = "" if run["seed"] is None else f", seed {run['seed']}"
        said = f"{when}: {run['implementation']}, {run['architectures']:,} architectures{seed}"
        console.print(plain(said, NOTE), highlight=False)
    for note in found.notes:
        console.print(f"[yellow]note:[/] {plain(note, NOTE)}", highlight=False)
    for heading, colour, changes in (
        ("worse", "red", found.worse),
        ("better", "green", found.better),
        ("new", "", found.new),
        ("gone", "yellow", found.gone),
    ):
        if changes:
            console.print(_table(heading, colour, changes[:SHOWN]))
        if len(changes) > SHOWN:
            console.print(f"... and {len(changes) - SHOWN:,} more", highlight=False)
    if found.slight:
        one = found.slight == 1
        said = f"{found.slight:,} mean{'' if one else 's'} of digits changed by less than {SLIGHT:.2f}"
        console.print(f"{said}: real, but no more than other roundings make.", highlight=False)
    if found.judged:
        how = "architecture by architecture" if found.paired else "as two samples of other architectures"
        console.print(f"Digits were compared {how}.", highlight=False)
    console.print(f"[{'red' if found.worse else 'green'}]{plain(in_a_sentence(found), NOTE)}[/]", highlight=False)


def in_lines(found: Comparison) -> list[str]:
    """Return the same as text."""
    written = StringIO()
    show(Console(file=written, width=WIDE, color_system=None), found)
    return written.getvalue().splitlines()


def _table(heading: str, colour: str, changes: Sequence[Change]) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 1), header_style=f"bold {colour}".strip())
    made.add_column(heading, no_wrap=True, max_width=20, overflow="ellipsis")
    made.add_column("what", no_wrap=True, max_width=22, overflow="ellipsis")
    made.add_column("dtype", no_wrap=True, max_width=10, overflow="ellipsis")
    for name in ("before", "now", "chance"):
        made.add_column(name, justify="right", no_wrap=True, max_width=10, overflow="ellipsis")
    for change in changes:
        made.add_row(*(plain(cell, CELL) for cell in _cells(change)))
    return made


def _cells(change: Change) -> Iterable[str]:
    yield change.op
    yield ": ".join(filter(None, ("" if change.what in ("new", "gone") else change.what, change.kind)))
    yield change.dtype
    if change.what == "digits":
        yield from (f"{change.base:.2f}", f"{change.new:.2f}")
    else:
        yield from (f"{change.base:g}/{change.base_cases}", f"{change.new:g}/{change.new_cases}")
    yield "" if change.chance is None else f"{change.chance:.0e}"
