"""The forms in which a document is written; the same document always gives the same bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from reports import files
from reports.badge import badge
from reports.cases import Cases
from reports.comparison import Comparison
from reports.html import write_report
from reports.junit import junit
from reports.markdown import comparison as compared_in_markdown
from reports.markdown import markdown
from reports.table import as_csv

Document: TypeAlias = Mapping[str, Any]


def _as_json(document: Document) -> str:
    return json.dumps(document, indent=1, allow_nan=False)


_OF_ONE_FILE: Mapping[str, tuple[str, Callable[[Document], str | bytes]]] = {
    "markdown": ("report.md", markdown),
    "json": ("agreement.json", _as_json),
    "junit": ("junit.xml", junit),
    "csv": ("arrays.csv", as_csv),
    "badge": ("badge.svg", badge),
}
_OF_SEVERAL: Mapping[str, Callable[[Path, Document, Cases | None], Iterable[Path]]] = {
    "html": lambda folder, document, cases: [write_report(folder, document, cases)],
}
SEVERAL = (*_OF_SEVERAL,)
FORMS = (*SEVERAL, *_OF_ONE_FILE)
"""Those of several files come first."""

_OF_A_COMPARISON: Mapping[str, tuple[str, Callable[[Comparison], str]]] = {
    "markdown": ("comparison.md", compared_in_markdown),
    "json": ("comparison.json", lambda found: _as_json(found.document())),
}
COMPARISON_FORMS = (*_OF_A_COMPARISON,)


def in_form(document: Document, form: str) -> bytes:
    """Write a document in a form of one file.

    Raises
    ------
    ValueError
        The form has several files, or there is no such form.
    """
    _check([form], tuple(_OF_ONE_FILE))
    return _bytes(_OF_ONE_FILE[form][1](document))


def write(folder: Path, document: Document, forms: Iterable[str] = ("html",), cases: Cases | None = None) -> list[Path]:
    """Write a document into a folder, which is made if it is not there, in these forms.

    The page shows the single architectures, too, if there are ``cases``.

    Returns
    -------
    The paths of the files, for HTML of its page.

    Raises
    ------
    ValueError
        There is no such form.
    OSError
        The folder cannot be written.
    """
    wanted = list(forms)
    _check(wanted, FORMS)
    folder.mkdir(parents=True, exist_ok=True)
    return [path for form in wanted for path in _written(folder, document, form, cases)]


def _written(folder: Path, document: Document, form: str, cases: Cases | None) -> Iterable[Path]:
    if form in _OF_SEVERAL:
        return _OF_SEVERAL[form](folder, document, cases)
    path = folder / _OF_ONE_FILE[form][0]
    files.write(path, in_form(document, form))
    return [path]


def comparison_in_form(found: Comparison, form: str) -> bytes:
    """Write a comparison in a form.

    Raises
    ------
    ValueError
        There is no such form.
    """
    _check([form], COMPARISON_FORMS)
    return _bytes(_OF_A_COMPARISON[form][1](found))


def write_comparison(folder: Path, found: Comparison, forms: Iterable[str]) -> Iterator[Path]:
    """Write a comparison into a folder in these forms, and yield the paths.

    Raises
    ------
    ValueError
        There is no such form.
    OSError
        The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for form in forms:
        path = folder / _OF_A_COMPARISON[form][0]
        files.write(path, comparison_in_form(found, form))
        yield path


def _check(forms: Iterable[str], known: tuple[str, ...]) -> None:
    for form in forms:
        if form not in known:
            raise ValueError(f"no format {form!r} here: known are {', '.join(known)}")


def _bytes(written: str | bytes) -> bytes:
    return written if isinstance(written, bytes) else written.encode()
