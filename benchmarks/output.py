"""What the commands share: lines and tables in 80 columns, progress, and files, which are tried before the work."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from backproof.cli import UserError

PICTURES = (".png", ".svg", ".pdf")


def say(console: Console, line: str) -> None:
    """Print a line as it stands."""
    console.print(line, highlight=False, markup=False)


def table(*headings: str) -> Table:
    """Make a table without lines: words on the left, numbers on the right."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, heading in enumerate(headings):
        made.add_column(heading, justify="right" if number else "left", no_wrap=True)
    return made


def progress(console: Console, what: str) -> Progress:
    """Show how far something is; once a second, so that showing it takes no time from what is timed."""
    return Progress(
        TextColumn(what),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        refresh_per_second=1,
    )


def check_files(json_file: Path | None, picture: Path | None) -> None:
    """Find out before the work, not after it, whether its results can be written.

    Raises
    ------
    UserError
        The ending of the picture is no format.
    OSError
        A file cannot be written.
    """
    if picture is not None and picture.suffix not in PICTURES:
        raise UserError(f"{picture}: a picture ends in {', '.join(PICTURES)}")
    for file in (json_file, picture):
        if file is not None and str(file) != "-":
            file.open("a").close()


def write_json(document: Mapping[str, Any], json_file: Path) -> None:
    """Write the numbers; ``-`` is standard output."""
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    if str(json_file) == "-":
        click.echo(text, nl=False)
    else:
        json_file.write_text(text, encoding="utf-8")
