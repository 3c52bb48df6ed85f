"""The report folder: one self-contained page, and the same numbers as JSON."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reports import files
from reports.cases import Cases
from reports.coverage import in_brief
from reports.figures import FIGURES
from reports.figures.digits import strip
from reports.figures.drawing import STYLE, inline
from reports.scope import not_checked
from reports.summary import in_words, sentence

PAGE = Path(__file__).parent / "page"
SCRIPTS = ("elements", "data", "tables", "drawings", "graph", "views", "start")
"""Files of the page's program, in the order in which they need one another."""
_ONLY_OF_A_STORE: Mapping[str, Any] = {"interrupted": False, "noted": 0, "notes": (), "results": ""}


def write_report(folder: Path, document: Mapping[str, Any], cases: Cases | None = None) -> Path:
    """Write ``index.html`` and ``agreement.json`` into a folder, and each failing architecture beside them.

    Beside it goes the smallest architecture that still fails, where one was found.

    Every file appears whole or not at all, so a reader, or a second run, never meets half of one.

    Parameters
    ----------
    folder
        Made if it is not there.
    document
        What :meth:`reports.Summary.document` returned.
    cases
        The single architectures, which the page shows one by one.

    Returns
    -------
    The path of the page.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "agreement.json", document)
    for failure in document["failures"]:
        _write_json(folder / failure_file(failure), failure["architecture"])
        if failure["minimal"]:
            _write_json(folder / minimal_file(failure), failure["minimal"])
    page = folder / "index.html"
    files.write(page, render(document, cases).encode())
    return page


def failure_file(failure: Mapping[str, Any]) -> str:
    """Return the name of the file that holds a failing architecture."""
    return f"failure-{failure['digest'][:12]}.json"


def minimal_file(failure: Mapping[str, Any]) -> str:
    """Return the name of the file that holds the smallest architecture that fails like this one."""
    return f"minimal-{failure['digest'][:12]}.json"


def render(document: Mapping[str, Any], cases: Cases | None = None) -> str:
    """Draw the page; the same document and cases always give the same page."""
    drawn = {name: draw(document) for name, draw in FIGURES.items()}
    return _page(
        "report.html",
        {
            "layers": {row["op"]: {"cases": row["cases"], "arrays": row["arrays"]} for row in document["layers"]},
            "arguments": document["coverage"]["arguments"],
            "pairs": document["coverage"]["pairs"],
            "dtypes": list(document["dtypes"]),
            "failures": [_seen(failure) for failure in document["failures"]],
            "cases": cases.document() if cases else None,
        },
        document={**_ONLY_OF_A_STORE, **document},
        comparison=document.get("comparison"),
        sentence=sentence(document),
        figures={name: inline(figure) for name, figure in drawn.items() if figure is not None},
        strip=lambda row: "" if (drawn := strip(row, list(document["dtypes"]))) is None else inline(drawn),
        not_checked=not_checked(document),
        failure_file=failure_file,
        minimal_file=minimal_file,
        in_words=in_words,
        in_brief=in_brief,
    )


def render_comparison(comparison: Mapping[str, Any]) -> str:
    """Draw the page of a comparison alone, from :meth:`reports.Comparison.document`."""
    figure = FIGURES["change"]({"comparison": comparison})
    figures = {} if figure is None else {"change": inline(figure)}
    return _page("comparison.html", {}, comparison=comparison, figures=figures)


def _seen(failure: Mapping[str, Any]) -> dict[str, Any]:
    """What the page draws of a failure, beyond what it says of it in words."""
    return {name: failure[name] for name in ("digest", "dtype", "culprit", "architecture", "minimal")} | {
        "errors": failure.get("errors", [])
    }


def _page(template: str, data: Mapping[str, Any], **shown: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["thousands"] = lambda n: f"{n:,}"
    environment.filters["short"] = lambda x: x if isinstance(x, str) else "" if x is None else f"{x:.6g}"
    environment.filters["markup"] = Markup
    script = "\n".join((PAGE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{script}}})();\n'
    return environment.get_template(template).render(
        style=Markup(STYLE.read_text(encoding="utf-8") + (PAGE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        # Nothing runs in the page but this script, whatever a name in it may say; nothing is loaded from anywhere.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=base64.b64encode(zlib.compress(json.dumps(data, separators=(",", ":")).encode(), 9)).decode(),
        **shown,
    )


def _write_json(path: Path, value: Any) -> None:
    files.write(path, json.dumps(value, indent=1, allow_nan=False).encode())
