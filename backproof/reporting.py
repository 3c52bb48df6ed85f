"""Writing what was found in the forms that were asked for: into a folder, or one of them to standard output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from reference import Architecture
from reports import Report
from reports.documents import read_whole

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


def to_stdout(forms: Sequence[str], folder: Path | None, of_several_files: Sequence[str]) -> bool:
    """Whether standard output takes the one form: it is one file, and no folder was named.

    Raises
    ------
    ValueError
        ``-`` was named for more than that.
    """
    single = len(forms) == 1 and forms[0] not in of_several_files
    if str(folder) == "-" and not single:
        one = "one format that is one file"
        raise ValueError(f"-o -: standard output takes {one}, not {', '.join(forms)}: name a folder")
    return single and (folder is None or str(folder) == "-")


def deliver(
    forms: Sequence[str],
    folder: Path | None,
    write: Callable[[Path, Sequence[str]], Iterable[Path]],
    written: Callable[[str], bytes],
) -> list[Path]:
    """Write the forms, and return the paths; none where standard output took it."""
    if to_stdout(forms, folder, ("html", "svg")):
        sys.stdout.buffer.write(written(forms[0]))
        sys.stdout.flush()
        return []
    return list(write(folder or FOLDER, forms))
