"""The site's generated pages, and the links of README and docs, without Sphinx."""

import ast
import inspect
import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from backproof.catalogue import rows
from docs.extensions import generated, measured
from docs.extensions.code import classes, without_docstring
from docs.extensions.layers import slug
from impl.layers import LAYERS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
WRITTEN = [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *(DOCS / "guides").glob("*.md")]
FENCED = re.compile(r"^(`{3,})[^\n]*\n.*?^\1$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def pages() -> Mapping[Path, str]:
    """The generated pages, by where they would be written."""
    return {DOCS / f"{path}.md": text for path, text in generated.pages().items()}


@pytest.mark.parametrize("op", rows())
def test_every_op_has_a_page_with_its_derivation_code_and_digits(pages, op):
    page = pages[DOCS / "layers" / f"{op}.md"]
    heads = re.findall(r"(?m)^#+ (.*)$", FENCED.sub("", page))
    assert heads == [op, "Arguments", "Code", "Measured", "Known about it"]
    assert f".. py:class:: {op}(" in page
    assert re.search("ackward", page.partition("## Arguments")[0])
    assert "def forward(" in page
    assert re.search(r"Step\(|Network\(", page)
    assert f"`{Path(inspect.getfile(LAYERS[op])).relative_to(ROOT)}`" in page
    assert all(f"| `{name}` |" in page for name in inspect.signature(LAYERS[op]).parameters if op != "Identity")


@pytest.mark.parametrize("op", rows())
def test_the_code_of_a_page_lacks_its_docstring_alone(op):
    for cls in classes(op):
        whole, shown = (
            ast.parse(s).body[0] for s in (inspect.getsource(cls), without_docstring(inspect.getsource(cls)))
        )
        if ast.get_docstring(whole) and len(whole.body) > 1:
            del whole.body[0]
        assert ast.dump(shown) == ast.dump(whole)


def test_a_page_shows_what_was_measured(pages):
    found = measured.measured("Conv2d")
    [digits] = {
        a.digits for a in found.arrays if (a.kind, a.against, a.dtype) == ("parameter", "differences", "float64")
    }
    assert re.search(rf"\| gradient of a parameter \| differences \| {digits} \|", pages[DOCS / "layers/Conv2d.md"])
    assert {"Conv2d", "LSTM"} <= measured.conditions()["layers"].keys() <= rows().keys()


def test_a_document_is_reduced_and_written_as_it_is_read():
    arrays = {"kind": "output", "against": "autograd", "dtype": "float64", "worst_digits": 12.345, "counted": 1}
    arrays |= {"agree": 2, "disagree": 1, "inconclusive": 0}
    document = {
        "architectures": 3,
        "seed": 1,
        "environment": {"numpy": "2"},
        "dtypes": {"float64": {}},
        "coverage": {"arguments": {"Embedding": {"sparse": {"True": 1}}}},
        "layers": [{"op": "Embedding", "cases": 2, "arrays": [arrays]}, {"op": "whole", "cases": 3, "arrays": []}],
    }
    reduced = measured.reduce(document)
    assert json.loads(measured.written(reduced)) == reduced
    assert reduced["layers"].keys() == {"Embedding"}
    assert reduced["layers"]["Embedding"]["arrays"] == [["output", "autograd", "float64", 2, 1, 0, 12.3]]
    assert "weight: the row padding_idx gets no gradient" in reduced["layers"]["Embedding"]["conventions"]


def test_every_page_is_reachable_from_the_index(pages):
    texts = {path: path.read_text(encoding="utf-8") for path in WRITTEN if DOCS in path.parents} | pages
    reached, new = set(), [DOCS / "index.md"]
    while new:
        path = new.pop()
        assert path in texts, f"{path.relative_to(DOCS)} stands in a toctree, and nowhere else"
        reached.add(path)
        for entries in re.findall(r"(?ms)^```\{toctree\}\n(.*?)^```$", texts[path]):
            named = [line for line in entries.splitlines() if line and not line.startswith(":")]
            new += {(path.parent / f"{name}.md").resolve() for name in named} - reached
    assert reached == texts.keys()


@pytest.mark.parametrize("source", WRITTEN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_within_the_repository_lead_somewhere(pages, source):
    text = FENCED.sub("", source.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (source.parent / name).resolve() if name else source
        assert path.exists() or path in pages, f"{target}: there is no such file"
        if anchor:
            there = pages[path] if path in pages else path.read_text(encoding="utf-8")
            heads = re.findall(r"(?m)^#+ (.*)$", FENCED.sub("", there))
            assert anchor in map(slug, heads), f"{target}: there is no such heading"
