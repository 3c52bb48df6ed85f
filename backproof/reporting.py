"""Writing what was found in the forms that were asked for: into a folder, or one of them to standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from backproof import comparing, terminal
from backproof.progress import busy
from reference import Architecture
from reports import Report, check_comparable, read
from reports import compare as compared
from reports.cases import Cases
from reports.documents import read_whole
from reports.forms import SEVERAL, comparison_in_form, in_form, write, write_comparison

FOLDER = Path("backproof-report")


def read_report(path: str | Path) -> Report:
    """Read what a run found: a store, or a document of ``backproof verify --json`` (an ``agreement.json``).

    Raises
    ------
    ValueError
        It is neither, or damaged; the message names the file and the field.
    OSError
        It cannot be read.
    """
    return Report(read_whole(Path(path), Architecture.from_dict))


def report(path: Path, forms: Sequence[str], folder: Path | None, quiet: bool) -> None:
    """Write the report of a run, and show it, unless standard output takes it.

    Raises
    ------
    ValueError
        The file is neither a store nor a document; or standard output is to take several files.
    OSError
        Something cannot be read or written.
    """
    alone = to_stdout(forms, folder)
    console, into, cases = terminal.console(stderr=alone), folder or FOLDER, Cases()
    with busy(console, f"reading {terminal.plain(str(path))}", quiet):
        document = read_whole(path, Architecture.from_dict, cases)
    if alone:
        _print(in_form(document, forms[0]))
        return
    with busy(console, "drawing the report", quiet):
        files = write(into, document, forms, cases if cases.count else None)
    terminal.show(console, document, into if "html" in forms else None, quiet)
    for file in () if quiet else files:
        console.print(f"report: {file}", highlight=False, soft_wrap=True, markup=False)


def compare(base: Path, new: Path, json_file: Path | None, forms: Sequence[str], folder: Path | None) -> bool:
    """Compare two runs, show it unless standard output takes it, and say whether anything got worse.

    Raises
    ------
    ValueError
        A file is neither a store nor a document; or there is nothing to compare.
    OSError
        Something cannot be read or written.
    """
    alone, json_alone = bool(forms) and to_stdout(forms, folder), str(json_file) == "-"
    if alone and json_alone:
        raise ValueError("standard output takes --json - or one --format, not both: name a file or a folder for one")
    before, now = read(base), read(new)
    check_comparable(before, now["dtypes"], now.get("chosen"))
    found = compared(before, now)
    console = terminal.console(stderr=alone or json_alone)
    comparing.show(console, found)
    if json_file is not None and not json_alone:
        json_file.write_bytes(comparison_in_form(found, "json") + b"\n")
    for form in ("json",) if json_alone else forms if alone else ():
        _print(comparison_in_form(found, form))
    if forms and not alone:
        for file in write_comparison(folder or FOLDER, found, forms):
            console.print(f"comparison: {file}", highlight=False, soft_wrap=True, markup=False)
    return bool(found.worse)


def to_stdout(forms: Sequence[str], folder: Path | None) -> bool:
    """Whether standard output takes the one form: it is one file, and no folder was named.

    Raises
    ------
    ValueError
        ``-`` was named for more than that.
    """
    single = len(forms) == 1 and forms[0] not in SEVERAL
    if str(folder) == "-" and not single:
        raise ValueError(f"-o -: {', '.join(forms)} are several files: name a folder, or one format that is one file")
    return single and (folder is None or str(folder) == "-")


def _print(written: bytes) -> None:
    sys.stdout.buffer.write(written if written.endswith(b"\n") else written + b"\n")
    sys.stdout.flush()
