"""Documents from strangers: what is read, and in which words the rest is refused."""

import json
import random

import pytest
from test_comparison import agreement, array, crashing, document, failing

from reports import DocumentError, compare, read
from reports.documents import LIMITS, STORE, checked

GOOD = document(agreement("0", array()), failing("1"), agreement("2", array(op="ReLU", kind="input")))
HUGE = 10**30


def changed(path: str, value):
    """The good document with another value at a place: ``samples.0.cases``."""
    whole = json.loads(json.dumps(GOOD))
    *way, last = path.split(".")
    at = whole
    for step in way:
        at = at[int(step)] if isinstance(at, list) else at[step]
    if value is None:
        del at[last]
    else:
        at[int(last) if isinstance(at, list) else last] = value
    return whole


def test_a_document_is_read_as_it_was_written(tmp_path):
    file = tmp_path / "base"  # whatever its name
    file.write_text(json.dumps(GOOD))
    assert read(file) == GOOD


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (json.dumps(GOOD).encode()[:-500], "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\x00\xff\x00", "not JSON"),
        (b'{"schema": NaN}', "NaN is no JSON number"),
        (b"9" * 5000, "not JSON"),
        (b"[]", "is list, wanted an object"),
        (b"{}", "schema: is None"),
        (b'{"schema": 3}', "schema: is 3, wanted 1 to 2"),
        (b'{"schema": 1, "nodes": []}', "is an architecture"),
        (b" " * (LIMITS["bytes"] + 1), "is empty"),
        (b"[" + b" " * LIMITS["bytes"], "too many for a document"),
    ],
)
def test_what_is_no_document_is_refused_in_one_line(tmp_path, text, words):
    file = tmp_path / "hostile.json"
    file.write_bytes(text)
    with pytest.raises(DocumentError) as refused:
        read(file)
    assert str(refused.value).startswith(str(file))
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("implementation", None, "implementation: is None, wanted text"),
        ("environment.torch", ["\x1b[31m"], "environment: 'torch': is list, wanted text"),
        ("environment", {str(i): "" for i in range(101)}, "has 101 versions or dtypes, at most 100"),
        ("dtypes", [], "dtypes: is list, wanted an object"),
        ("architectures", -1, "architectures: is -1"),
        ("architectures", True, "architectures: is True"),
        ("architectures", HUGE, "wanted a number from 0 to 1,000,000,000"),
        ("seed", "\x1b[2J", r"seed: is '\x1b[2J'"),
        ("coverage.ops", None, "coverage: ops"),
        ("layers.0", "x" * 1000, "layers[0]: is 'xxxxx"),
        ("layers.0.op", 3, "layers[0]: op: is 3, wanted text"),
        ("layers.0.failed", {}, "layers[0]: 'float64': failed: is None"),
        ("layers.0.failed.float64", 4, "layers[0]: 'float64': failed: is 4, wanted a number from 0 to 3"),
        ("layers.0.crashed.float64", 2, "layers[0]: 'float64': crashed: is 2, wanted a number from 0 to 1"),
        ("layers", [{}] * 100_001, "layers: has 100,001 entries, at most 100,000"),
        ("drawn", 5, "drawn: is 5, wanted text"),
        ("chosen", "Linear", "chosen: is 'Linear', wanted an array"),
        ("chosen", [1], "chosen[0]: is 1, wanted text"),
        ("samples", None, "samples: is None"),
        ("samples.0.kind", 1, "samples[0]: kind"),
        ("samples.0.unsure", 9, "samples[0]: unsure: is 9, wanted a number from 0 to 2"),
        ("samples.0.histogram", {"64": 2}, "samples[0]: histogram: '64' is no number below 64"),
        ("samples.0.histogram", {"-1": 2}, "'-1' is no number below 64"),
        ("samples.0.histogram", {"3": 1}, "is 1, wanted a number from 0 to 0"),
        ("samples.0.blocks", {"0": [2, 99_999_999]}, "samples[0]: blocks: 0: is 99999999"),
        ("samples.0.blocks", {"0": [0, 0]}, "samples[0]: blocks: 0: is of no architectures"),
        ("samples.0.blocks", {"0": [1]}, "is no pair of a count and a sum"),
        ("samples.0.blocks", {"0": [1, 1000]}, "do not add up to the same"),
        ("corpus", [{"file": 1}], "corpus[0]: file: is 1, wanted text"),
    ],
)
def test_what_is_impossible_in_a_document_is_named(path, value, words):
    with pytest.raises(DocumentError) as refused:
        checked(changed(path, value), "base.json")
    assert str(refused.value).startswith("base.json: ")
    assert words in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 200


def test_whatever_is_damaged_is_refused_or_compared():
    """Any value anywhere replaced by any other: a comparison comes out, or a DocumentError, and nothing else."""
    rng, values = random.Random(0), (None, True, -1, 0, 3, HUGE, 0.5, "", "float64", "\x1b", [], [[]], {}, {"0": 1})
    refused = 0
    for _ in range(3000):
        whole = json.loads(json.dumps(GOOD))
        at, places = whole, []
        while isinstance(at, dict | list) and at and (not places or rng.random() < 0.8):
            step = rng.choice(list(at) if isinstance(at, dict) else range(len(at)))
            places.append((at, step))
            at = at[step]
        parent, step = places[-1]
        parent[step] = rng.choice(values)
        try:
            damaged = checked(whole, "damaged")
            compare(GOOD, damaged).document()
            compare(damaged, GOOD).document()
        except DocumentError:
            refused += 1
    assert 500 < refused < 3000


def test_the_first_schema_is_read_without_what_it_lacks():
    first = document(agreement("0", array()), failing("1"), crashing("2"))
    for row in first["layers"]:
        del row["failed"], row["crashed"], row["arrays"]
    del first["samples"], first["drawn"], first["corpus"], first["chosen"]
    old = checked(first | {"schema": 1}, "old.json")
    linear = next(row for row in old["layers"] if row["op"] == "Linear")
    assert (linear["failed"], linear["crashed"]) == ({"float64": 2}, {"float64": 1})
    found = compare(old, GOOD)
    assert not found.judged
    assert any("schema 1" in note for note in found.notes)
    fine = document(agreement("0", array()))
    assert [c.what for c in compare(checked(fine | {"schema": 1}, "old.json"), GOOD).worse] == ["disagreement"]


def test_a_store_is_recognised_by_what_is_in_it(tmp_path, monkeypatch):
    file = tmp_path / "base.json"
    file.write_bytes(STORE + b"the rest")

    class Stores:
        @staticmethod
        def document(path):
            assert path == file
            return GOOD

    monkeypatch.setattr("reports.documents.import_module", {"reports.store": Stores}.__getitem__)
    assert read(file) == GOOD
    Stores.document = staticmethod(lambda path: changed("architectures", -1))
    with pytest.raises(DocumentError, match="architectures: is -1"):
        read(file)
