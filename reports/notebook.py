"""Small tables for a notebook, whose colours stand out from light and dark: text is the notebook's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from reports.characters import printable
from reports.summary import VERDICTS, distinct, sentence

if TYPE_CHECKING:
    from reports.agreement import Agreement, TensorAgreement

SHOWN = 20
"""Rows of a table; a DataFrame has them all."""
MARKS = {"agree": "✓", "disagree": "✗", "inconclusive": "?"}
TINTS = {"agree": "rgba(46,160,67,.18)", "disagree": "rgba(218,54,51,.22)", "inconclusive": "rgba(187,128,9,.22)"}


def of_agreement(agreement: Agreement) -> str:
    """Draw one agreement: the culprit and what is wrong first, then the arrays, those that disagree first."""
    verdict = "agree" if agreement.agrees else "disagree"
    first, *said = str(agreement).splitlines()
    facts = [line.strip() for line in said if line.startswith(("  culprit:", "  diagnosis:"))]
    ranked = sorted(agreement.tensors, key=lambda t: _rank(t, agreement.culprit))
    rows = ((t.verdict, [t.label, t.against, _digits(t.digits), _values(t)]) for t in ranked[:SHOWN])
    table = _table(("array", "against", "digits", "worst entry"), rows, len(ranked))
    program = f"<pre>{_text(agreement.reproduction)}</pre>" if agreement.reproduction else ""
    told = "".join(f"<div>{_text(fact)}</div>" for fact in facts)
    return f"<div>{_line(verdict, first)}{told}{program}{table}</div>"


def of_document(document: Mapping[str, Any]) -> str:
    """Draw the document of a run: the verdict, the failures, the layers, those that are wrong first."""
    verdict = "disagree" if document["failed"] else "agree" if document["agree"] else "inconclusive"
    failures = "".join(
        f"<div>{_text(f['culprit'] or 'the composition')} ({_text(f['op'] or '–')}) in {_text(f['dtype'])}: "
        f"{_text(f['failure'] or f['diagnosis'] or 'disagrees')}</div>"
        for f in distinct(document["failures"])[:5]
    )
    ranked = sorted(document["layers"], key=lambda row: (not row["disagree"], not row["inconclusive"]))
    rows = (
        (_of_row(row), [row["op"], *(f"{row[v]:,}" for v in VERDICTS), *map(_digits, row["worst_digits"].values())])
        for row in ranked[:SHOWN]
    )
    heads = ("layer", *VERDICTS, *document["dtypes"])
    return f"<div>{_line(verdict, sentence(document))}{failures}{_table(heads, rows, len(ranked))}</div>"


def _rank(tensor: TensorAgreement, culprit: str | None) -> tuple[int, bool, float]:
    order = ("disagree", "inconclusive", "agree").index(tensor.verdict)
    return order, tensor.node != culprit, float("inf") if tensor.digits is None else tensor.digits


def _of_row(row: Mapping[str, Any]) -> str:
    return "disagree" if row["disagree"] else "inconclusive" if row["inconclusive"] else "agree"


def _values(tensor: TensorAgreement) -> str:
    if tensor.verdict == "agree" or tensor.got is None:
        return tensor.note
    at = f"{list(tensor.index)}: " if tensor.index else ""
    note = f"; {tensor.note}" if tensor.note else ""
    return f"{at}got {tensor.got:.7g}, wanted {tensor.want:.7g}{note}"


def _digits(digits: float | None) -> str:
    return "–" if digits is None else f"{digits:.1f}"


def _line(verdict: str, said: str) -> str:
    return f'<div style="background:{TINTS[verdict]};padding:.3em .6em"><b>{MARKS[verdict]} {_text(said)}</b></div>'


def _table(heads: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], count: int) -> str:
    head = "".join(f'<th scope="col" style="text-align:left">{_text(name)}</th>' for name in ("", *heads))
    more = f"<div>… and {count - SHOWN:,} more: to_frame() has them all.</div>" if count > SHOWN else ""
    body = "".join(_rows(rows))
    return f'<table style="color:inherit"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}'


def _rows(rows: Iterable[tuple[str, Sequence[str]]]) -> Iterator[str]:
    for verdict, cells in rows:
        mark = f'<td style="background:{TINTS[verdict]}" title="{verdict}">{MARKS[verdict]}</td>'
        rest = "".join(f'<td style="text-align:left">{_text(cell)}</td>' for cell in cells)
        yield f"<tr>{mark}{rest}</tr>"


def _text(value: object) -> str:
    """Escape a stranger's text, with what is not printable replaced."""
    return escape(printable(value, "\n"))
