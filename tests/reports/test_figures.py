"""Figures: what they show is what the document says; the same document gives the same bytes; names stay text."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from reports.figures import FIGURES, figures
from reports.pictured import Pictured
from tests.page.reports_of import HOSTILE, hostile, right, verified, wrong

SVG = "{http://www.w3.org/2000/svg}"


def titles(svg: str) -> list[str]:
    return [title.text or "" for title in ElementTree.fromstring(svg).iter(f"{SVG}title")]


def test_every_figure_is_drawn_of_a_run_beside_a_baseline():
    assert figures(wrong()[0]).keys() == FIGURES.keys()
    assert figures(right()[0]).keys() == FIGURES.keys() - {"change"}


def test_nothing_is_drawn_of_nothing():
    document = right()[0]
    empty = {
        "layers": [],
        "pictured": Pictured().document(),
        "coverage": document["coverage"] | {"pairs_possible": 0},
    }
    assert figures(document | empty) == {}


def test_a_cell_says_the_fewest_digits_of_a_layer_and_kind():
    document = right()[0]
    said = titles(figures(document)["kinds"])
    linear = next(row for row in document["layers"] if row["op"] == "Linear")
    arrays = [a for a in linear["arrays"] if (a["kind"], a["dtype"]) == ("parameter", "float64")]
    least = min(a["worst_digits"] for a in arrays if a["worst_digits"] is not None)
    assert f"Linear, parameter, float64: at least {least:.1f} digits" in said
    disagree = [title for title in titles(figures(wrong()[0])["kinds"]) if "disagree" in title]
    assert {title.split(",")[0] for title in disagree} >= {"Linear", "ReLU"}


def test_a_strip_counts_the_arrays_of_every_bin():
    document = right()[0]
    counts = [title.rsplit(": ", 1)[1].split()[0] for title in titles(figures(document)["layers"])[1:]]
    assert sum(int(count.replace(",", "")) for count in counts) == sum(
        sum(bins) for row in document["layers"] for bins in row["histogram"].values()
    )


def test_dots_add_up_to_all_architectures():
    document = right()[0]
    dots = [t for t in titles(figures(document)["three-way"])[1:] if t.startswith("float64")]
    assert sum(int(dot.split(": ")[1].split()[0]) for dot in dots) == 24


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_document_gives_the_same_bytes_and_names_stay_text(name: str):
    document = hostile()[0] | {"comparison": wrong()[0]["comparison"]}
    first, again = (figures(document).get(name, "") for _ in range(2))
    assert first == again
    assert HOSTILE not in first
    assert "<img" not in first


def test_what_two_processes_pictured_is_what_one_would_have():
    whole, parts = Pictured(), [Pictured(), Pictured()]
    for number, agreements in enumerate(verified(wrong=False)):
        for agreement in agreements:
            whole.add(agreement)
            parts[number % 2].add(agreement)
    gathered = Pictured()
    for part in parts:
        gathered.include(part.document())
    assert gathered.document() == whole.document()
