"""What a test session verified, gathered from whoever verified it, in this process or another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from reports import Agreement, Summary


class Gathered:
    """Everything that was verified since it was made, by any number of implementations.

    Attributes
    ----------
    implementations
        Their names.
    requested
        How many architectures there were to be.
    unsupported
        By the op that an implementation does not support: how many architectures were left out for it.
    """

    def __init__(self) -> None:
        self.implementations: dict[str, None] = {}
        self.requested = 0
        self.unsupported: Counter[str] = Counter()
        self._summary = Summary(())
        self._same: list[Agreement] = []

    def hear(self, agreement: Agreement) -> None:
        """Take in one agreement; those that follow on the same architecture, in other dtypes, belong to it."""
        first = self._same[0] if self._same else agreement
        if (first.digest, first.implementation) != (agreement.digest, agreement.implementation) or any(
            other.dtype == agreement.dtype for other in self._same
        ):
            self._close()
        self._same.append(agreement)

    def _close(self) -> None:
        same, self._same = self._same, []
        if same:
            summary = Summary([agreement.dtype for agreement in same], about(same[0].implementation, 1))
            summary.add(same)
            summary.seconds = sum(agreement.seconds for agreement in same)
            self.include(summary.document())

    def include(self, document: Mapping[str, Any]) -> None:
        """Take in a document of :meth:`reports.Summary.document` whose head is from :func:`about`."""
        self._close()
        self.implementations.update(dict.fromkeys(document["implementations"]))
        self.requested += document["requested"]
        self.unsupported.update(document["unsupported"])
        self._summary.include(document)

    def document(self, **head: Any) -> dict[str, Any]:
        """Return all of it as one document."""
        self._close()
        names = sorted(self.implementations)
        self._summary.about = head | about(", ".join(names), self.requested, self.unsupported, names)
        return self._summary.document()


def about(
    name: str, requested: int, unsupported: Mapping[str, int] = {}, names: list[str] | None = None
) -> dict[str, Any]:
    """Return the head of a document, from which documents of several implementations are gathered."""
    counts = dict(sorted(unsupported.items()))
    return {"implementation": name, "implementations": names or [name], "requested": requested, "unsupported": counts}
