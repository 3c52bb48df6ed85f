"""The report folder: one self-contained page, and the same numbers as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reports.coverage import in_brief
from reports.samples import MOST_DIGITS, PER_DIGIT
from reports.summary import in_words, sentence


def write_report(folder: Path, document: Mapping[str, Any]) -> Path:
    """Write ``index.html`` and ``agreement.json`` into a folder, and each failing architecture beside them.

    Beside it goes the smallest architecture that still fails, where one was found.

    Every file appears whole or not at all, so a reader, or a second run, never meets half of one.

    Parameters
    ----------
    folder
        Made if it is not there.
    document
        What :meth:`reports.Summary.document` returned.

    Returns
    -------
    The path of the page.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "agreement.json", json.dumps(document, indent=1, allow_nan=False))
    for failure in document["failures"]:
        _write(folder / failure_file(failure), json.dumps(failure["architecture"], indent=1, allow_nan=False))
        if failure["minimal"]:
            _write(folder / minimal_file(failure), json.dumps(failure["minimal"], indent=1, allow_nan=False))
    page = folder / "index.html"
    _write(page, render(document))
    return page


def failure_file(failure: Mapping[str, Any]) -> str:
    """Return the name of the file that holds a failing architecture."""
    return f"failure-{failure['digest'][:12]}.json"


def minimal_file(failure: Mapping[str, Any]) -> str:
    """Return the name of the file that holds the smallest architecture that fails like this one."""
    return f"minimal-{failure['digest'][:12]}.json"


def render(document: Mapping[str, Any]) -> str:
    """Draw the page; the same document always gives the same page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["thousands"] = lambda n: f"{n:,}"
    environment.filters["short"] = lambda x: x if isinstance(x, str) else "" if x is None else f"{x:.6g}"
    return environment.get_template("template.html").render(
        document=document,
        sentence=sentence(document),
        most_digits=MOST_DIGITS,
        per_digit=PER_DIGIT,
        failure_file=failure_file,
        minimal_file=minimal_file,
        in_words=in_words,
        in_brief=in_brief,
        as_json=lambda value: json.dumps(value, indent=1),
    )


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
