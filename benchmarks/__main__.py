"""How fast it is, beside PyTorch and the peers, measured in one run: ``python -m benchmarks``.

docs/speed.md says how it is measured, and shows the result.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol, cast

import click
from rich.console import Console

from backproof.cli import UserError, json_option, mistakes
from backproof.session import AGREE, INTERRUPTED
from benchmarks import checks, growth, harness, libraries, networks, report
from benchmarks.clock import cores, machine, set_threads
from benchmarks.output import check_files, progress, write_json


class Part(Protocol):
    """What is measured: a module with these two functions."""

    def total(self) -> int:
        """How many ticks there will be."""

    def rows(self, threads: int, tick: Callable[[], object]) -> Generator[dict[str, Any]]:
        """Measure row after row."""


PARTS: dict[str, Part] = {"networks": networks, "differences": checks, "harness": harness, "growth": growth}
ABSENT: dict[str, Callable[[], list[str]]] = {"networks": libraries.absent, "differences": checks.absent}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option(
    "--threads", type=click.IntRange(1, 1024), help="Of each library.  [default: 2, or 1 where there is one core]"
)
@json_option
@click.option("--picture", type=click.Path(path_type=Path), help="Draw ratios and curves into this file.")
@click.option("--compare", "earlier", type=click.Path(path_type=Path), help="Compare with this earlier --json.")
def main(
    parts: tuple[str, ...], threads: int | None, json_file: Path | None, picture: Path | None, earlier: Path | None
) -> None:
    """Measure how fast it is, beside PyTorch and the peers: all PARTS, or some.

    Exit status: 0 measured, 2 wrong usage, 130 interrupted.
    """
    console = Console(stderr=str(json_file) == "-")
    with mistakes():
        before = None if earlier is None else _read(earlier)
        check_files(json_file, picture)
    threads = threads or min(2, cores())
    set_threads(threads)
    chosen = parts or tuple(PARTS)
    document: dict[str, Any] = {
        "machine": machine(threads),
        "absent": [name for part in chosen for name in ABSENT.get(part, list)()],
        "interrupted": False,
        **{name: [] for name in PARTS},
    }
    started = perf_counter()
    try:
        for name in chosen:
            _measure(console, name, document[name], threads)
    except KeyboardInterrupt:
        document["interrupted"] = True
    document["seconds"] = round(perf_counter() - started, 3)
    report.show(console, document)
    if before is not None:
        report.compare(console, before, document)
    with mistakes():
        if json_file is not None:
            write_json(document, json_file)
        if picture is not None and (document["networks"] or document["growth"]):
            report.draw(document, picture)
    sys.exit(INTERRUPTED if document["interrupted"] else AGREE)


def _measure(console: Console, name: str, rows: list[dict[str, Any]], threads: int) -> None:
    """Fill in the rows of one part as they come, so that what is there is kept."""
    part = PARTS[name]
    with progress(console, name) as bar:
        task = bar.add_task("", total=part.total())
        with closing(part.rows(threads, lambda: bar.advance(task))) as found:
            rows.extend(found)


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file}: not JSON: {error}") from error
    if not isinstance(document, dict) or not {"machine", *PARTS} <= document.keys():
        raise UserError(f"{file}: was not written by python -m benchmarks --json")
    return cast("dict[str, Any]", document)


if __name__ == "__main__":
    main()
