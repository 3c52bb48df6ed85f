"""What a run found, as an object: for a notebook or a program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports import notebook, table
from reports.summary import sentence


@dataclass(frozen=True, repr=False)
class Report:
    """A document, which shows itself in a notebook.

    Attributes
    ----------
    document
        What :meth:`reports.Summary.document` returned, or a file of ``backproof verify --json`` holds.
    """

    document: Mapping[str, Any]

    @property
    def agrees(self) -> bool:
        """Whether nothing failed, and something agrees."""
        return not self.document["failed"] and bool(self.document["agree"])

    def __str__(self) -> str:
        """Say the result in one sentence."""
        return sentence(self.document)

    def __repr__(self) -> str:
        """Say it, too."""
        return f"<Report: {self}>"

    def _repr_html_(self) -> str:
        return notebook.of_document(self.document)

    def to_frame(self) -> Any:
        """Return a ``pandas.DataFrame``: a row for each op, kind of array, pair of witnesses and dtype.

        Raises
        ------
        ImportError
            There is no pandas.
        """
        return table.frame(table.rows(self.document), table.COLUMNS)

    def write(self, folder: str | Path, forms: Iterable[str] = ("html",)) -> list[Path]:
        """Write it into a folder in these forms, as ``backproof report`` does, and return the paths.

        Raises
        ------
        ValueError
            There is no such form.
        OSError
            The folder cannot be written.
        """
        from reports.forms import write

        return write(Path(folder), self.document, forms)
