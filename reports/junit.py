"""JUnit XML, which continuous integration reads: one test case for each op and dtype, and each saved architecture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from reports.characters import for_xml
from reports.samples import WHOLE
from reports.summary import sentence

SHOWN = 5
"""Failures of one test case that are told in full."""


def junit(document: Mapping[str, Any]) -> bytes:
    """Write the document of a run as JUnit XML, as Jenkins, GitLab and GitHub read it.

    An op that is to blame for a disagreement in a dtype is a failure there, one that crashed an error, and what was
    not verified is skipped, with the reason. What got worse than the baseline is a failure, too.
    """
    suite = Element("testsuite", name=for_xml(f"backproof {document['implementation']}"))
    properties = SubElement(suite, "properties")
    for name, value in _properties(document):
        SubElement(properties, "property", name=for_xml(name), value=for_xml(value))
    for case in (*_ops(document), *_not_verified(document), *_corpus(document), *_regressions(document)):
        suite.append(case)
    counts = {
        "tests": len(suite.findall("testcase")),
        "failures": len(suite.findall("testcase/failure")),
        "errors": len(suite.findall("testcase/error")),
        "skipped": len(suite.findall("testcase/skipped")),
    }
    whole = Element("testsuites", name="backproof")
    for element in (whole, suite):
        for name, count in counts.items():
            element.set(name, str(count))
        element.set("time", f"{document['seconds']:.3f}")
    whole.append(suite)
    written: bytes = tostring(whole, encoding="utf-8", xml_declaration=True)
    return written


def _properties(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "result", sentence(document)
    for name in ("implementation", "seed", "requested", "architectures", "tensors", "inconclusive", "command"):
        yield name, document.get(name, "")
    yield from document["environment"].items()


def _case(document: Mapping[str, Any], group: str, name: str) -> Element:
    return Element("testcase", classname=for_xml(f"backproof.{document['implementation']}.{group}"), name=for_xml(name))


def _ops(document: Mapping[str, Any]) -> Iterator[Element]:
    """One case for each op and dtype that was verified, the whole network among them."""
    failures = [failure for failure in document["failures"] if not failure["corpus"]]
    for row in document["layers"]:
        for dtype in document["dtypes"]:
            arrays = [found for found in row["arrays"] if found["dtype"] == dtype]
            failed, crashed = row["failed"][dtype], row["crashed"][dtype]
            if not (arrays or failed):
                continue
            case = _case(document, row["op"], dtype)
            blamed = [f for f in failures if (f["op"] or WHOLE, f["dtype"]) == (row["op"], dtype)]
            if failed:
                _add_failures(case, blamed, failed, crashed)
            elif row["op"] in document["refused"] and not sum(found["agree"] for found in arrays):
                SubElement(case, "skipped", message=for_xml(f"PyTorch refuses it: {document['refused'][row['op']]}"))
            counts = (f"{sum(f[v] for f in arrays):,} {v}" for v in ("agree", "disagree", "inconclusive"))
            least = row["worst_digits"][dtype]
            digits = "" if least is None else f"; fewest digits: {least:.1f}"
            SubElement(case, "system-out").text = f"{row['cases']:,} cases; arrays: {', '.join(counts)}{digits}"
            yield case


def _add_failures(case: Element, failures: Sequence[Mapping[str, Any]], failed: int, crashed: int) -> None:
    first = failures[0] if failures else {}
    said = first.get("diagnosis") or first.get("failure") or first.get("fault") or "disagrees"
    message = said if failed == 1 else f"{said} (the first of {failed} failures)"
    what, kind = ("failure", "disagreement") if failed > crashed else ("error", "crash")
    text = "\n\n".join(map(_told, failures[:SHOWN]))
    SubElement(case, what, message=for_xml(message), type=kind).text = for_xml(text)


def _told(failure: Mapping[str, Any]) -> str:
    lines = [f"{failure['culprit'] or 'the composition'} ({failure['op'] or 'no op'}) in {failure['dtype']}"]
    lines += filter(None, (failure["fault"], failure["diagnosis"], failure["failure"]))
    for tensor in failure["tensors"]:
        values = tensor["note"] if tensor["got"] is None else f"got {tensor['got']}, wanted {tensor['want']}"
        lines.append(f"{tensor['tensor']} at {tensor['index']}: {values} ({tensor['against']})")
    lines.append(f"architecture {failure['digest']}")
    return "\n".join([*lines, *filter(None, [failure["reproduction"]])])


def _not_verified(document: Mapping[str, Any]) -> Iterator[Element]:
    """Skip what the implementation does not support, and what was not drawn."""
    for op in document.get("unsupported", ()):
        case = _case(document, op, "all dtypes")
        SubElement(case, "skipped", message=for_xml(f"{document['implementation']} does not support {op}"))
        yield case
    there = {row["op"] for row in document["layers"]}
    for op in document["coverage"]["ops"]:
        if op not in there:
            case = _case(document, op, "all dtypes")
            drawn = f"was not drawn in {document['architectures']:,} architectures"
            SubElement(case, "skipped", message=for_xml(drawn))
            yield case


def _corpus(document: Mapping[str, Any]) -> Iterator[Element]:
    for result in document["corpus"]:
        case = _case(document, "corpus", " ".join(filter(None, (result["file"], result["dtype"]))))
        if result["verdict"] == "unsupported":
            SubElement(case, "skipped", message=for_xml(result["note"]))
        elif result["verdict"] != "agree":
            mine = [f for f in document["failures"] if (f["corpus"], f["dtype"]) == (result["file"], result["dtype"])]
            _add_failures(case, mine, 1, int(result["verdict"] == "crash"))
        yield case


def _regressions(document: Mapping[str, Any]) -> Iterator[Element]:
    """One case for each change for the worse, and one that passes if there is none."""
    comparison = document.get("comparison")
    if comparison is None:
        return
    if not comparison["worse"]:
        yield _case(document, "baseline", "nothing got worse")
    for change in comparison["worse"]:
        name = " ".join(filter(None, (change["op"], change["kind"], change["dtype"], change["what"])))
        case = _case(document, "baseline", name)
        told = f"{change['what']}: {change['base']:.6g} before, {change['new']:.6g} now"
        SubElement(case, "failure", message=for_xml(told), type="regression").text = for_xml(f"{name}: {told}")
        yield case
