"""The published schema: what runs write keeps to it, what is damaged does not, and every field is described."""

import json
import random
import re
from copy import deepcopy
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from rich.console import Console
from test_comparison import agreement, array, crashing, document, failing, run

import backproof
from backproof.campaign import Campaign
from backproof.terminal import show
from reports import DocumentError, Summary, compare
from reports.documents import read_whole
from reports.forms import FORMS, SEVERAL, in_form
from reports.summary import SCHEMA
from reports.validation import schema, violation

PUBLISHED = Path(__file__).parents[2] / "reports/document.schema.json"
KNOWN = {"$schema", "$id", "$ref", "$defs", "title", "description", "type", "properties", "required", "enum", "const"}
KNOWN |= {"items", "minItems", "maxItems", "additionalProperties", "maxProperties", "propertyNames"}
KNOWN |= {"pattern", "minimum", "maximum", "anyOf"}


def parts(rules):
    """Every schema within a schema."""
    yield rules
    for name in ("properties", "$defs"):
        for inner in rules.get(name, {}).values():
            yield from parts(inner)
    for name in ("items", "additionalProperties", "propertyNames"):
        if name in rules:
            yield from parts(rules[name])
    for inner in rules.get("anyOf", ()):
        yield from parts(inner)


@pytest.fixture(scope="module")
def whole():
    """A document of a run that has everything: agreements, disagreements, crashes, a corpus, a comparison."""
    campaign = Campaign(examples=4, layers=("Linear", "Dropout")).checked()
    about = {"implementation": "numpy", "seed": 0, "environment": {"backproof": "0.1.0"}, "chosen": ["Linear"]}
    about |= {"requested": 4, "command": "backproof verify", "interrupted": False}
    summary = Summary(campaign.dtypes, about)
    for number in range(3):
        summary.add(campaign.example(number))
    first, second = campaign.example(3)
    wrong = replace(first.tensors[0], verdict="disagree", digits=0.5, shape=(1,), errors=(0.5,), got=complex("nan"))
    summary.add(
        [replace(first, tensors=(wrong, *first.tensors[1:]), culprit="a", op="Linear", fault="backward"), second]
    )
    summary.replay("saved.json", [first, replace(second, failure="node a: died")])
    for index, failure in enumerate(summary.failures):
        failure |= {"minimal": failure["architecture"], "reproduction": "print()"} if index else {}
    found = json.loads(json.dumps(summary.document(), allow_nan=False))
    return found | {"comparison": json.loads(json.dumps(compare(run(0, mean=11.0), run(0)).document()))}


def test_the_schema_is_a_schema_of_this_version():
    Draft202012Validator.check_schema(schema())
    assert schema() == json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert schema()["properties"]["schema"]["const"] == SCHEMA


def test_every_field_is_described_in_a_sentence():
    described = [inner for part in parts(schema()) for inner in part.get("properties", {}).values()]
    assert len(described) > 150
    for inner in (*described, *schema()["$defs"].values()):
        assert re.fullmatch(r"[A-Z`].*\.", inner["description"]), inner


def test_no_word_of_json_schema_is_used_that_is_not_read():
    for part in parts(schema()):
        assert part.keys() <= KNOWN, part


def test_real_documents_keep_to_it_and_have_no_field_that_it_does_not_know(whole):
    strict = json.loads(json.dumps(schema()))
    for part in list(parts(strict)):
        if "properties" in part:
            part["additionalProperties"] = False
    assert [error.message for error in Draft202012Validator(strict).iter_errors(whole)] == []
    assert violation(whole) is None


ALIKE = {str: ("", "\x1b", "[red]", "../..", "汉"), int: (0, 1, 10**30), float: (0.0, 1e300), bool: (True, False)}
ALIKE |= {list: ([],), dict: ({},), type(None): (None,)}


def damaged(whole, rng, alike=False):
    """The document with one value, somewhere, replaced or taken away; if alike, replaced by one of its type."""
    values = (None, True, -1, 3, 10**30, 0.5, "", "float64", "\x1b", "../..", [], [[]], {}, {"0": 1})
    at, places = deepcopy(whole), []
    whole = at
    while isinstance(at, dict | list) and at and (not places or rng.random() < 0.9):
        step = rng.choice(list(at) if isinstance(at, dict) else range(len(at)))
        places.append((at, step))
        at = at[step]
    parent, step = places[-1]
    if alike:
        parent[step] = rng.choice(ALIKE[type(parent[step])])
    elif rng.random() < 0.2:
        del parent[step]
    else:
        parent[step] = rng.choice(values)
    return whole


def test_what_is_damaged_is_refused_by_both_or_by_neither(whole):
    small = whole | {"layers": whole["layers"][:2], "samples": whole["samples"][:2]}
    validator, rng, refused = Draft202012Validator(schema()), random.Random(1), 0
    for _ in range(600):
        other = damaged(small, rng)
        wrong = violation(other)
        assert (wrong is None) == validator.is_valid(other), (wrong, next(validator.iter_errors(other), None))
        refused += wrong is not None
        assert wrong is None or (wrong.isprintable() and len(wrong) < 300)
    assert 200 < refused < 600


def test_what_is_damaged_is_refused_or_drawn_in_every_form(whole, tmp_path):
    """Nothing that is read ends in a traceback of ours, whatever form it is drawn in."""
    small = whole | {"layers": whole["layers"][:2], "samples": whole["samples"][:2]}
    file, rng, refused = tmp_path / "damaged.json", random.Random(2), 0
    for _ in range(150):
        other = damaged(damaged(small, rng, alike=True), rng, alike=True)
        file.write_text(json.dumps(other))
        try:
            report = backproof.read_report(file)
        except DocumentError:
            refused += 1
            continue
        for form in FORMS[len(SEVERAL) :]:
            in_form(report.document, form)
        report.write(tmp_path / "report", SEVERAL)
        assert report._repr_html_()
        for quiet in (True, False):
            show(Console(file=StringIO(), width=80), report.document, None, quiet)
    assert 10 < refused < 140


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"failed": -1}, "failed: is -1, wanted at least 0"),
        ({"drawn": "abc\n"}, "drawn: is 'abc\\n', wanted text like ^[0-9a-f]{16}$"),
        ({"corpus": [{}]}, "corpus[0]: file: is None, wanted text"),
        ({"environment": {}}, "environment: backproof: is missing"),
        ({"worst": {"\x1b": 3}}, "worst: '\\x1b': is 3, wanted an object"),
        ({"notes": [{"number": 1, "digest": "a"}]}, "notes[0]: note: is missing"),
    ],
)
def test_a_document_that_breaks_it_is_refused_in_one_line(change, words, whole, tmp_path):
    file = tmp_path / "hostile.json"
    file.write_text(json.dumps(whole | change))
    with pytest.raises(DocumentError) as refused:
        read_whole(file)
    assert str(refused.value) == f"{file}: {words}"


def test_a_number_beyond_all_others_is_none(whole, tmp_path):
    file = tmp_path / "hostile.json"
    file.write_text(json.dumps(whole | {"seconds": 12345678.5}).replace("12345678.5", "1e999"))
    with pytest.raises(DocumentError, match="seconds: is inf, wanted a number"):
        read_whole(file)


def test_a_failure_cannot_name_a_file_elsewhere(whole, tmp_path):
    file = tmp_path / "hostile.json"
    failure = whole["failures"][0] | {"digest": "/../../../x"}
    file.write_text(json.dumps(whole | {"failures": [failure]}))
    with pytest.raises(DocumentError, match="digest: is '/"):
        read_whole(file)


def test_a_row_without_a_dtype_and_the_first_schema_are_refused(whole, tmp_path):
    file = tmp_path / "hostile.json"
    row = whole["layers"][0]
    short = {dtype: row["histogram"][dtype] for dtype in list(whole["dtypes"])[:1]}
    file.write_text(json.dumps(whole | {"layers": [row | {"histogram": short}]}))
    with pytest.raises(DocumentError, match=r"layers\[0\]: histogram: 'float32': is missing"):
        read_whole(file)
    first = document(agreement("0", array()), failing("1"), crashing("2"))
    file.write_text(json.dumps(first | {"schema": 1}))
    with pytest.raises(DocumentError, match="schema: is 1, wanted 2; older ones can only be compared"):
        read_whole(file)


def test_what_the_checks_of_one_function_write_keeps_to_it():
    from backproof.gathering import Gathered

    gathered = Gathered()
    gathered.hear(backproof.check_gradients(lambda x: (2 * x, lambda g: 2 * g), np.ones(2)))
    found = gathered.document(seed=0, command="pytest", environment={"backproof": "0.1.0"}, interrupted=False)
    assert violation(json.loads(json.dumps(found))) is None
