"""Summary, sentence and page."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from test_agreement import NAMES, agreement

from reports import Summary, distinct, in_words, measure, minimal_file, sentence, write_report
from reports.html import render
from reports.summary import KEPT

ABOUT = {
    "implementation": "mine",
    "seed": 1,
    "requested": 3,
    "interrupted": False,
    "command": "backproof verify",
}
ENVIRONMENT = {"environment": {"backproof": "0.1.0", "torch": "2.13.0"}}
ARCHITECTURE = {
    "nodes": [
        {"name": "linear1", "op": "Linear", "inputs": ["x"]},
        {"name": "linear2", "op": "Linear", "inputs": ["linear1"]},
        {"name": "relu3", "op": "ReLU", "inputs": ["linear2"]},
    ]
}


def summary(*agreements) -> Summary:
    made = Summary(("float64",), ABOUT | ENVIRONMENT)
    for one in agreements:
        made.add([one])
    return made


def good(error=1e-9, **changes):
    tensor = measure(np.ones(2) + error, np.ones(2), bound=1.0, scale=1.0, dtype="float64", **(NAMES | changes))
    return agreement(architecture=ARCHITECTURE, tensors=(tensor,), culprit=None, op=None, diagnosis=None)


def bad(**changes):
    return replace(agreement(architecture=ARCHITECTURE), **changes)


def layer(document, op):
    return next(row for row in document["layers"] if row["op"] == op)


def test_counts_digits_and_failures_add_up():
    document = summary(good(), good(1e-5), bad()).document()
    assert (document["architectures"], document["tensors"]) == (3, 4)
    assert (document["agree"], document["disagree"], document["inconclusive"]) == (3, 1, 0)
    assert document["worst_digits"]["float64"] == 0  # a NaN among them
    linear = layer(document, "Linear")
    assert (linear["cases"], linear["agree"], linear["disagree"]) == (6, 3, 1)
    assert sum(linear["histogram"]["float64"]) == 4
    assert linear["histogram"]["float64"][5 * 4 - 1] + linear["histogram"]["float64"][5 * 4] == 1
    assert layer(document, "ReLU")["cases"] == 3
    assert [f["culprit"] for f in document["failures"]] == ["linear1"]
    assert document["worst"]["float64"]["digits"] == pytest.approx(5, abs=0.01)


def test_worst_digits_are_those_against_autograd():
    document = summary(good(), good(1e-3, against="differences")).document()
    assert document["worst_digits"]["float64"] == pytest.approx(9, abs=0.01)
    assert document["against"]["differences"]["agree"] == 1


def test_what_belongs_to_no_op_is_the_whole_network():
    assert layer(summary(good(op="")).document(), "whole network")["agree"] == 1


def test_memory_does_not_grow_with_failures():
    document = summary(*[bad()] * (KEPT + 5)).document()
    assert (len(document["failures"]), document["failed"]) == (KEPT, KEPT + 5)
    assert "at least 1 of 55" in sentence(document)


@pytest.mark.parametrize(
    ("agreements", "words"),
    [
        ((), "nothing was verified"),
        (
            (good(),),
            "mine agrees with PyTorch autograd and with finite differences on 1 random architecture; fewest digits: 9",
        ),
        ((good(), bad()), "mine disagrees with PyTorch on 1 of 2 random architectures: Linear."),
        (
            (bad(failure="node a: ValueError", tensors=()),),
            "mine raised on 1 of 1 random architecture: Linear.",
        ),
    ],
)
def test_the_result_in_a_sentence(agreements, words):
    assert words in sentence(summary(*agreements).document())


@pytest.mark.parametrize("agreements", [(), (good(),), (good(), bad())])
def test_the_folder_holds_a_page_and_the_same_numbers(tmp_path, agreements):
    document = summary(*agreements).document()
    page = write_report(tmp_path / "a" / "report", document)
    assert json.loads((page.parent / "agreement.json").read_text()) == json.loads(json.dumps(document))
    text = page.read_text(encoding="utf-8")
    assert sentence(document) in text
    assert not re.search(r'(?:src|href)="(?!#|agreement\.json")', text)  # nothing is loaded from anywhere
    assert "@import" not in text
    failures = [path.name for path in page.parent.iterdir() if path.name.startswith("failure-")]
    assert len(failures) == len(document["failures"])
    assert {p.name for p in page.parent.iterdir()} == {"agreement.json", "index.html", *failures}
    assert render(document) == text


def test_hostile_names_stay_text():
    hostile = "<script>alert(1)</script>"
    text = render(summary(bad(culprit=hostile, diagnosis=hostile, failure=hostile)).document())
    assert hostile not in text
    assert text.count("<script") == 2  # the page's own: data and program
    assert "&lt;script&gt;" in text


def test_a_folder_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path):
    (tmp_path / "index.html").mkdir()
    with pytest.raises(OSError, match=r"index\.html"):
        write_report(tmp_path, summary(good()).document())
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def kinds(*failures):
    """Ops and dtypes of the failures that are shown of these."""
    return [(f["op"], f["dtype"]) for f in distinct(summary(*failures).document()["failures"])]


def test_failures_of_one_kind_are_shown_once_and_every_op_comes_first():
    first = bad(digest="a", op="ReLU", diagnosis="off by a factor of 2.5 at axis 1")
    same = replace(first, digest="b", dtype="float32", diagnosis="off by a factor of 8 at axis 0")
    another = replace(first, digest="c", diagnosis="its sign is wrong")
    other_op = replace(first, digest="d", op="Tanh", dtype="float32")
    assert kinds(first, same, another, other_op) == [("ReLU", "float64"), ("Tanh", "float32"), ("ReLU", "float64")]
    assert kinds(first, replace(another, digest="a")) == [("ReLU", "float64")]  # a file is named after the digest
    raised = [bad(digest=d, failure=f"node {d}: ValueError: {n} axes") for d, n in (("e", 1), ("f", 2))]
    assert len(kinds(*raised)) == 1


SMALL = {"name": "a", "op": "Linear", "arguments": {"in_features": 1}, "inputs": ["x"]}
MINIMAL = {"inputs": [{"name": "x", "shape": [2, 1]}], "nodes": [SMALL], "outputs": ["a"], "training": True}


def test_what_shrank_to_the_same_architecture_is_shown_once():
    failures = summary(bad(digest="a"), bad(digest="b", diagnosis="its sign is wrong")).document()["failures"]
    assert len(distinct(failures)) == 2
    for failure in failures:
        failure["minimal"] = MINIMAL
    assert [f["digest"] for f in distinct(failures)] == ["a"]


def test_the_smallest_architecture_and_its_program_are_on_the_page_and_beside_it(tmp_path):
    document = summary(bad(), bad(digest="other")).document()
    found, not_found = document["failures"]
    found |= {"minimal": MINIMAL, "reproduction": "print('<here>')", "shrinking": "stopped after 600 tries"}
    not_found["shrinking"] = "the process died"
    text = write_report(tmp_path, document).read_text(encoding="utf-8")
    assert json.loads((tmp_path / minimal_file(found)).read_text()) == MINIMAL
    assert not (tmp_path / minimal_file(not_found)).exists()
    for words in ("(stopped after 600 tries)", "x (2, 1) -&gt; Linear(in_features=1)", "&lt;here&gt;"):
        assert words in text
    assert "Not made smaller: the process died." in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "x (2, 1) -> Linear(in_features=1)"),
        ({"training": False}, "x (2, 1) -> Linear(in_features=1), in evaluation"),
        (
            {"nodes": [SMALL, {"name": "b", "op": "Tanh", "inputs": ["a"]}]},
            "x (2, 1) -> Linear(in_features=1) -> Tanh()",
        ),
        (
            {"nodes": [SMALL, {"name": "b", "op": "Add", "inputs": ["a", "x"]}]},
            "x (2, 1); a = Linear(in_features=1) of x; b = Add() of a, x",
        ),
        (
            {"nodes": [SMALL, SMALL | {"name": "b", "inputs": ["a"], "shares": "a"}]},
            "x (2, 1); a = Linear(in_features=1) of x; b = Linear(in_features=1, parameters of a) of a",
        ),
        (
            {"inputs": [{"name": "x", "shape": [3], "domain": "index", "below": 4}, {"name": "y", "shape": []}]},
            "x (3,) of indices below 4, y (); a = Linear(in_features=1) of x",
        ),
    ],
)
def test_an_architecture_in_words(changes, words):
    assert in_words(MINIMAL | changes) == words
