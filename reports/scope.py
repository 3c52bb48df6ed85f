"""What a run did not check, said beside what it did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reports.agreement import SECOND_ORDER

NAMED = 8
"""Names that are listed; beyond that they are counted."""


def not_checked(document: Mapping[str, Any]) -> list[str]:
    """Say, in a sentence each, what of the whole was not checked, or not with certainty."""
    return list(_sentences(document))


def never_drawn(document: Mapping[str, Any]) -> list[str]:
    """Return the layers that were asked for by name, and stand in no architecture: of them nothing is known."""
    drawn = {row["op"] for row in document["layers"] if row["cases"]}
    return [op for op in document.get("chosen") or () if op not in drawn]


def _sentences(document: Mapping[str, Any]) -> Iterator[str]:
    coverage = document["coverage"]
    if document.get("interrupted"):
        done, wanted = document["architectures"], document["requested"]
        yield f"{wanted - done:,} of {wanted:,} architectures: the run was interrupted."
    if missing := [op for op, count in coverage["ops"].items() if not count]:
        yield f"{_some(missing)}: in none of the architectures."
    if unsupported := document.get("unsupported"):
        yield f"{_some(unsupported)}: the implementation does not support them."
    for op, reason in document["refused"].items():
        yield f"{op}: PyTorch has nothing to compare with ({reason})."
    if document["inconclusive"]:
        share = 100 * document["inconclusive"] / max(document["tensors"], 1)
        many, them = ("s are", "them") if document["inconclusive"] > 1 else (" is", "it")
        yield f"{document['inconclusive']:,} array{many} inconclusive ({share:.2g} %): no digit of {them} is certain."
    if not document["corpus"] and not any(pair.startswith(SECOND_ORDER) for pair in document["against"]):
        yield "The gradient of the gradient (--second-order)."
    dtypes = [dtype for dtype in ("float64", "float32", "float16", "complex128") if dtype not in document["dtypes"]]
    if dtypes:
        yield f"Other dtypes: {', '.join(dtypes)} (--dtype)."
    if coverage["pairs_possible"] > coverage["pairs_covered"]:
        rest = coverage["pairs_possible"] - coverage["pairs_covered"]
        yield f"{rest:,} of {coverage['pairs_possible']:,} pairs of an op that can feed another (more --examples)."
    if coverage["one_sided"]:
        yield f"Arguments that always had their default, or never: {_some(coverage['one_sided'])}."


def _some(names: list[str]) -> str:
    listed = ", ".join(names[:NAMED])
    return listed if len(names) <= NAMED else f"{listed} and {len(names) - NAMED} more"
