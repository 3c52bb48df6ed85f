"""JUnit XML as Jenkins, GitLab and GitHub read it: what its schema allows, and what must be found in it."""

from xml.etree import ElementTree

import pytest
from test_comparison import agreement, array, crashing, document, failing

from reports import compare, junit

HEAD = {"seconds": 1.5, "command": "backproof verify", "requested": 3, "unsupported": ["LSTM"]}
CHILDREN = {
    "testsuites": ({"testsuite"}, {"name", "tests", "failures", "errors", "skipped", "time"}),
    "testsuite": (
        {"properties", "testcase", "system-out", "system-err"},
        {"name", "tests", "failures", "errors", "skipped", "time"},
    ),
    "properties": ({"property"}, set()),
    "property": (set(), {"name", "value"}),
    "testcase": ({"skipped", "error", "failure", "system-out", "system-err"}, {"classname", "name"}),
    "failure": (set(), {"message", "type"}),
    "error": (set(), {"message", "type"}),
    "skipped": (set(), {"message"}),
    "system-out": (set(), set()),
}
"""Which elements stand in which, and the attributes of ours: all of them are in the xsd of the Jenkins xUnit plugin."""


def suite(found) -> ElementTree.Element:
    """Read it, check its shape, and return the one suite."""
    root = ElementTree.fromstring(junit(found))
    assert root.tag == "testsuites"
    for element in root.iter():
        children, attributes = CHILDREN[element.tag]
        assert {child.tag for child in element} <= children
        assert element.attrib.keys() == attributes
    (one,) = root
    cases = one.findall("testcase")
    for case in cases:  # readers keep one result of a case
        assert len([child for child in case if child.tag in ("failure", "error", "skipped")]) <= 1
    names = [(case.get("classname"), case.get("name")) for case in cases]
    assert len(set(names)) == len(names)
    for element in (root, one):
        assert int(element.get("tests")) == len(cases)
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(element.get(name)) == len(one.findall(f"testcase/{tag}"))
    return one


def case(found, group, name="float64"):
    cases = suite(found).findall("testcase")
    return next(c for c in cases if (c.get("classname"), c.get("name")) == (f"backproof.mine.{group}", name))


def found(*agreements, **about):
    return document(*agreements, **(HEAD | about)) | {"seconds": 1.5}


FINE = agreement("0", array())


def test_one_case_for_each_op_and_dtype_and_the_properties():
    both = found(FINE, dtypes=("float64", "float32"))
    one = suite(both)
    assert case(both, "Linear").find("system-out").text == ("1 cases; arrays: 1 agree, 0 disagree, 0 inconclusive")
    properties = {p.get("name"): p.get("value") for p in one.iter("property")}
    assert properties["seed"] == "1"
    assert properties["torch"] == "2.13.0"
    assert properties["result"].startswith("mine agrees")
    assert one.get("time") == "1.500"


def test_a_disagreement_is_a_failure_with_culprit_and_diagnosis():
    bad = failing("7", diagnosis="gradient of weight is 1.001 times the reference", fault="backward")
    failure = case(found(FINE, bad, bad), "Linear").find("failure")
    assert failure.get("message") == f"{bad.diagnosis} (the first of 2 failures)"
    assert failure.get("type") == "disagreement"
    for words in ("a (Linear) in float64", "its backward is wrong", bad.diagnosis, "architecture 7"):
        assert words in failure.text
    whole = failing("8", culprit=None, op=None)
    assert case(found(FINE, whole), "whole network").find("failure") is not None
    assert case(found(FINE, whole), "Linear").find("failure") is None


def test_a_crash_is_an_error():
    error = case(found(crashing("7")), "Linear").find("error")
    assert (error.get("type"), error.get("message")) == ("crash", "node a: ValueError")


def test_what_was_not_verified_is_skipped_with_the_reason():
    skipped = found(FINE, ops=("Linear", "ReLU"))
    assert case(skipped, "LSTM", "all dtypes").find("skipped").get("message") == "mine does not support LSTM"
    message = case(skipped, "ReLU", "all dtypes").find("skipped").get("message")
    assert message == "was not drawn in 1 architectures"
    refused = agreement("0", array(None, verdict="inconclusive", op="Linear"), dtype="float64")
    document_of_refused = found(refused) | {"refused": {"Linear": "nobody knows"}}
    assert case(document_of_refused, "Linear").find("skipped").get("message") == "PyTorch refuses it: nobody knows"


def test_every_saved_architecture_is_a_case():
    base = found(FINE)
    failure = found(failing("9"))["failures"][0] | {"corpus": "b.json", "diagnosis": "its sign is wrong"}
    saved = base | {
        "failures": [failure],
        "corpus": [
            {"file": "a.json", "digest": "1", "dtype": "float64", "verdict": "agree", "note": ""},
            {"file": "b.json", "digest": "2", "dtype": "float64", "verdict": "disagree", "note": ""},
            {"file": "c.json", "digest": "", "dtype": "", "verdict": "unsupported", "note": "mine has no LSTM"},
        ],
    }
    assert not len(case(saved, "corpus", "a.json float64"))
    assert case(saved, "corpus", "b.json float64").find("failure").get("message") == "its sign is wrong"
    assert case(saved, "corpus", "c.json").find("skipped").get("message") == "mine has no LSTM"


def test_a_saved_failure_is_not_told_of_the_random_ones():
    drawn = found(failing("9", diagnosis="its sign is wrong"))
    drawn["failures"].insert(0, drawn["failures"][0] | {"corpus": "b.json", "diagnosis": "saved"})
    assert case(drawn, "Linear").find("failure").get("message") == "its sign is wrong"


def test_a_regression_is_a_failure():
    base, worse = found(FINE), found(failing("0"))
    same = base | {"comparison": compare(base, base).document()}
    assert not len(case(same, "baseline", "nothing got worse"))
    regressed = worse | {"comparison": compare(base, worse).document()}
    failure = case(regressed, "baseline", "Linear float64 disagreement").find("failure")
    assert (failure.get("type"), failure.get("message")) == ("regression", "disagreement: 0 before, 1 now")


@pytest.mark.parametrize("name", ["<b>&\"'", "\x00\x1b[31m\ud800\ufffe", "]]>", "\N{GRINNING FACE}"])
def test_hostile_names_are_text(name):
    hostile = failing("7", diagnosis=name, culprit=name)
    written = found(hostile) | {"implementation": name}
    one = suite(written)
    clean = "".join(c if c.isprintable() and c != "\ufffe" else "\ufffd" for c in name)
    assert one.get("name") == f"backproof {clean}"
    assert any(clean in failure.text for failure in one.iter("failure"))
