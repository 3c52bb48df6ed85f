"""The forms of a report: what stands in them, that names from strangers stay text, and that they are the same twice."""

import csv
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from xml.etree import ElementTree

import pytest
from markdown_it import MarkdownIt
from test_comparison import agreement, array, crashing, document, failing, run

from reports import Comparison, Report, compare
from reports.badge import GREEN, RED, YELLOW, badge, verdict
from reports.forms import COMPARISON_FORMS, FORMS, comparison_in_form, in_form, write, write_comparison
from reports.markdown import MOST, comparison, markdown, text
from reports.table import COLUMNS, as_csv

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![picture](http://evil.example/x.png)",
    "@everyone and user@example.org",
    "fixes #1, gh-1, owner/repo#1",
    "http://evil.example www.evil.example",
    "a | b || c",
    "`code` ```fence```",
    "**bold** _slanted_ ~~gone~~ $x$ :smile:",
    "1. one",
    "- item",
    "# heading",
    "</details></td></table>",
    "&lt;b&gt; &#64;x",
    "back\\slash \\| \\`",
    "\x1b[31mred\x07 \u202eright to left",
    "=cmd|' /C calc'!A0",
    "[red]not red[/]",
    "汉字 wide",
)


def failed(words: str):
    """A document that has a stranger's words wherever there may be some."""
    one = agreement("0", array(), culprit=words, op=words, diagnosis=words, failure=words, implementation=words)
    found = document(one, agreement("1", array(2.0, op=words, verdict="disagree")), implementation=words)
    small = {"name": "x", "op": words, "arguments": {"a": words}, "inputs": ["x"]}
    minimal = {"inputs": [{"name": words, "shape": [1]}], "nodes": [small], "outputs": ["x"], "training": True}
    found["failures"][0] |= {"minimal": minimal, "reproduction": f"print()\n{words}\n"}
    worse = compare(run(0, mean=11.0), run(0)).document()
    worse["worse"][0] |= {"op": words, "what": "digits"}
    worse["notes"] = [words]
    more = {"command": words, "environment": {"torch": words}, "refused": {words: words}, "chosen": [words]}
    return found | more | {"comparison": worse, "seconds": 1.0}


class Shown(HTMLParser):
    """What a browser would show of HTML, and the tags in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words, self.tags, self.nodes = "", [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert all(name in ("style", "scope", "title", "class") for name, _ in attrs)

    def handle_data(self, data):
        self.words += data
        self.nodes.append(data)


def rendered(written: str) -> Shown:
    return Shown(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(written))


OURS = {"h3", "h4", "p", "table", "thead", "tbody", "tr", "th", "td", "strong", "ul", "li", "pre", "code", "details"}
OURS |= {"summary", "sub"}


@pytest.mark.parametrize("words", HOSTILE)
def test_names_from_strangers_are_text_in_markdown(words):
    written = markdown(failed(words))
    shown = rendered(written)
    assert set(shown.tags) <= OURS
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", written)
    as_text = rendered(f"x {text(words, 200)}").words.removeprefix("x ").strip()
    assert as_text == "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words)


@pytest.mark.parametrize("words", ["@everyone", "a@b.org", "#1", "gh-1", "http://e.org", "www.e.org", ":smile:"])
def test_nothing_that_github_links_stands_in_one_piece(words):
    pieces = rendered(f"x {text(words, 200)}").nodes  # a comment parts them, so that each is looked at by itself
    assert not any(re.search(r"@\w|#\d|gh-\d|://|www\.|:\w+:", piece) for piece in pieces)


def test_markdown_has_the_verdict_first_then_digits_and_the_failure_with_its_program():
    found = failed("Linear")
    found["failures"] = found["failures"][:1]
    lines = markdown(found).splitlines()
    assert lines[0].startswith("### ❌ Linear ")
    written = "\n".join(lines)
    order = ("| dtype | agree |", "#### Linear (Linear) in float64", "```python\nprint()", "Regression:", "| layer |")
    places = [written.index(words) for words in order]
    assert places == sorted(places)
    assert written.endswith("```console\nLinear\n```\n\n<sub>torch Linear</sub>")


def test_layers_with_the_fewest_digits_come_first_and_are_folded_if_many():
    def layers(count):
        ops = [f"Op{i}" for i in range(count)]
        many = [agreement(str(i), array(10.0 + i / 9, op=op, against="autograd")) for i, op in enumerate(ops)]
        return markdown(document(*reversed(many), ops=()))

    short, long = layers(3), layers(30)
    assert short.index("| Op0 |") < short.index("| Op1 |") < short.index("| Op2 |")
    assert "<details>" not in short
    assert "<details><summary>32 layers, the fewest digits first</summary>\n\n| layer" in long


def test_it_fits_a_comment_however_much_there_is():
    found = failed("@" * 5000)
    rows = [found["layers"][0] | {"op": "@" * 5000} for _ in range(3000)]
    dtypes = {f"{i}{'@' * 500}": {"agree": 1, "disagree": 0, "inconclusive": 0} for i in range(100)}
    rows = [row | {"worst_digits": dict.fromkeys(dtypes)} for row in rows]
    failure = found["failures"][0] | {"reproduction": "`" * 3990}
    failures = [failure | {"digest": str(i), "op": str(i), "minimal": None} for i in range(50)]
    few = found | {"layers": [rows[0] | {"worst_digits": {"float64": 1.0}}] * 3000}
    for large in (found | {"layers": rows, "dtypes": dtypes, "failures": failures, "failed": 50}, few):
        written = markdown(large | {"environment": dict.fromkeys(dtypes, "@" * 500), "command": "`" * 9000})
        assert len(written) <= MOST
        assert rendered(written).tags.count("details") <= 1
    assert re.search(r"… and [\d,]+ more\.", markdown(few))


def test_an_interrupted_run_is_not_said_to_be_whole():
    found = document(agreement("0", array())) | {"interrupted": True, "requested": 5}
    assert markdown(found).startswith("### ⚠️ mine agrees")
    assert "**Interrupted:** 1 of 5 architectures" in markdown(found)
    assert markdown(found | {"interrupted": False}).startswith("### ✅ ")


def test_a_comparison_has_its_forms_too(tmp_path):
    found = compare(run(0, mean=11.0), run(0))
    assert Comparison.from_document(json.loads(json.dumps(found.document() | {"later": 1}))) == found
    written = comparison(found)
    assert written.startswith("### ❌ Regression: 1 change for the worse, in Linear.")
    assert re.search(r"\| Linear \| digits: parameter \| float64 \| 1\d\.\d\d \| \d+\.\d\d \| \de-\d\d \|", written)
    paths = list(write_comparison(tmp_path, found, COMPARISON_FORMS))
    assert [path.read_bytes() for path in paths] == [comparison_in_form(found, form) for form in COMPARISON_FORMS]
    with pytest.raises(ValueError, match="no format 'csv' here: known are markdown, json"):
        comparison_in_form(found, "csv")


def test_csv_has_a_row_for_each_kind_of_array_and_is_read_back():
    found = document(agreement("0", array(9.8767, op="Tanh"), array(op="ReLU", against='a "b", c')), failing("1"))
    rows = list(csv.DictReader(StringIO(as_csv(found), newline="")))
    assert [tuple(row) for row in rows] == [COLUMNS] * len(rows)
    wanted = [(r["op"], a["kind"], a["against"], a["agree"]) for r in found["layers"] for a in r["arrays"]]
    assert [(r["op"], r["kind"], r["against"], int(r["agree"])) for r in rows] == wanted
    assert {row["worst_digits"] for row in rows} == {"9.877", "10.000", "0.000"}
    assert as_csv(found).count("\r\n") == len(rows) + 1


@pytest.mark.parametrize("start", "=+-@\t\r\n")
def test_no_cell_of_text_is_computed_by_a_spreadsheet(start):
    rows = csv.DictReader(StringIO(as_csv(document(agreement("0", array(op=f"{start}1+1")))), newline=""))
    assert [row["op"] for row in rows] == [f"'{start}1+1"]


FINE, UNSURE = agreement("0", array(11.8, against="autograd")), agreement("1", array(None, verdict="inconclusive"))


@pytest.mark.parametrize(
    ("found", "words", "colour"),
    [
        (document(FINE), "11.8 digits", GREEN),
        (document(FINE) | {"interrupted": True}, "11.8 digits, interrupted", YELLOW),
        (document(UNSURE), "inconclusive", YELLOW),
        (document(), "nothing verified", YELLOW),
        (document(agreement("2", array(None))), "agree", GREEN),
        (document(failing("1"), crashing("2")), "1 wrong", RED),
    ],
)
def test_a_badge_says_it_in_a_few_letters(found, words, colour):
    assert verdict(found) == (words, colour)
    root = ElementTree.fromstring(badge(found))
    assert root.get("role") == "img"
    assert root.get("aria-label") == f"gradients: {words}"
    assert root[0].text.startswith("mine")
    assert colour in badge(found)


@pytest.mark.parametrize("words", HOSTILE)
def test_names_from_strangers_are_text_in_a_badge_and_in_a_notebook(words):
    root = ElementTree.fromstring(badge(failed(words)))
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == {
        "svg",
        "title",
        "clipPath",
        "rect",
        "g",
        "text",
    }
    one = agreement("0", array(op=words), culprit=words, op=words, diagnosis=words, reproduction=words)
    wrong = replace(array(), node=words, name=words, verdict="disagree", got=1.0, want=2.0, note=words, index=(0,))
    for html in (Report(failed(words))._repr_html_(), replace(one, tensors=(wrong,))._repr_html_()):
        assert {*Shown(html).tags} <= {"div", "b", "table", "thead", "tbody", "tr", "th", "td", "pre"}
        assert "\x1b" not in html
        assert "\u202e" not in html


def test_a_notebook_shows_what_is_wrong_first():
    wrong = replace(array(3.0), node="b", verdict="disagree", got=1.0, want=2.0, index=(4,))
    many = [replace(array(10.0 + i / 9), node=f"n{i}") for i in range(30)]
    one = agreement("0", *many, wrong, culprit="b", op="Linear", diagnosis="it is twice the reference")
    words = Shown(one._repr_html_()).nodes
    assert words[0].startswith("✗ mine on architecture 0 in float64: 1 of 31 arrays disagree")
    assert words[1:3] == ["culprit: b (Linear)", "diagnosis: it is twice the reference"]
    first = words.index("worst entry") + 1
    assert words[first : first + 5] == [
        "✗",
        "b: gradient of weight",
        "autograd, node alone",
        "3.0",
        "[4]: got 1, wanted 2",
    ]
    assert "… and 11 more: to_frame() has them all." in words
    whole = Shown(Report(document(FINE, failing("1")))._repr_html_()).nodes
    assert whole[0].startswith("✗ mine disagrees with PyTorch on 1 of 2")


def test_a_frame_has_a_row_for_each_array():
    one = agreement("0", array(), array(None, op="ReLU"))
    frame = one.to_frame()
    assert list(frame["op"]) == ["Linear", "ReLU"]
    assert frame["digits"].isna().tolist() == [False, True]
    assert list(Report(document(one)).to_frame().columns) == [*COLUMNS]
    assert list(replace(one, tensors=()).to_frame().columns) == list(frame.columns)


def test_without_pandas_it_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match="which is not installed: pip install pandas"):
        agreement("0", array()).to_frame()


def test_a_report_says_its_verdict():
    report = Report(document(FINE))
    assert report.agrees
    assert str(report).startswith("mine agrees")
    assert repr(report) == f"<Report: {report}>"
    assert not Report(document()).agrees
    assert not Report(document(failing("1"))).agrees


def test_every_form_is_written_whole_and_the_same_twice(tmp_path):
    head = {"environment": {"backproof": "0.1.0"}, "requested": 2, "unsupported": [], "interrupted": False}
    found = failed("Linear") | head
    first = Report(found).write(tmp_path / "a" / "b", FORMS)
    again = write(tmp_path / "c", json.loads(json.dumps(found)), FORMS)
    assert [path.name for path in first] == [path.name for path in again]
    assert len({path.name for path in first}) == len(FORMS)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    for form, path in zip(FORMS[1:], first[1:]):
        assert path.read_bytes() == in_form(found, form)
    assert not [path for path in first[0].parent.iterdir() if path.name.startswith(".")]
    with pytest.raises(ValueError, match="no format 'pdf' here: known are html, markdown"):
        write(tmp_path, found, ["pdf"])
    with pytest.raises(ValueError, match="no format 'html' here: known are markdown"):
        in_form(found, "html")
