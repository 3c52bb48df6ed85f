"""A document as rows, one for each op, kind of array, pair of witnesses and dtype: CSV, a DataFrame of pandas."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from io import StringIO
from typing import Any

COLUMNS = ("op", "kind", "against", "dtype", "agree", "disagree", "inconclusive", "counted", "worst_digits")
"""As the document's own ``layers[*].arrays`` name them."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""With these a cell begins that spreadsheets compute (https://owasp.org/www-community/attacks/CSV_Injection)."""


def rows(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows, in the order of the document; ``worst_digits`` is None where no digits are counted."""
    for layer in document["layers"]:
        for arrays in layer["arrays"]:
            yield {"op": layer["op"], **{name: arrays[name] for name in COLUMNS[1:]}}


def as_csv(document: Mapping[str, Any]) -> str:
    """Write the rows as CSV (RFC 4180), digits to thousandths; what a spreadsheet would compute begins with ``'``."""
    written = StringIO(newline="")
    writer = csv.writer(written)
    writer.writerow(COLUMNS)
    for row in rows(document):
        digits = row["worst_digits"]
        cells = row | {"worst_digits": "" if digits is None else f"{digits:.3f}"}
        writer.writerow(map(_plain, cells.values()))
    return written.getvalue()


def _plain(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def frame(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Any:
    """Make a ``pandas.DataFrame`` of rows.

    Raises
    ------
    ImportError
        There is no pandas.
    """
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise ImportError("to_frame makes a DataFrame of pandas, which is not installed: pip install pandas") from error
    return pandas.DataFrame(list(rows), columns=list(columns))
