"""The report's page in Chromium: views and their links, sorting, searching, keyboard, dark, hostile names, pictures."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Page, expect

from tests.page.reports_of import HOSTILE, hostile, many, right, wrong

Opened = Callable[..., Page]
KEPT = Path(__file__).parent / "kept"
PHONE = {"viewport": {"width": 390, "height": 844}}
COARSE = 40
"""Width in cells to which a picture is shrunk: letters differ from machine to machine, the layout must not."""


def column(page: Page, table: str, number: int) -> list[str]:
    return page.locator(f"{table} tbody tr:visible").locator(f"> :nth-child({number})").all_inner_texts()


def test_the_first_screen_says_the_verdict_and_every_view_has_a_link(opened: Opened) -> None:
    page = opened(right())
    expect(page.locator("h1:visible")).to_contain_text(
        "numpy agrees with PyTorch autograd and with finite differences on 24"
    )
    assert page.locator("main > section:visible").count() == 1
    for name, title in (("Layers", "Digits of agreement"), ("Coverage", "What was covered"), ("Run it again", "run")):
        page.get_by_role("navigation").get_by_role("link", name=name).click()
        expect(page.locator("main > section:visible h1").first).to_contain_text(title)
        expect(page.locator("nav a[aria-current=page]")).to_have_text(name)
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(page.locator("main > section:visible h1")).to_contain_text("To run it again")
    page.go_back()


def test_layers_are_sorted_by_any_column_and_found_by_name(opened: Opened) -> None:
    page = opened(right(), "#layers")
    names = column(page, "#layers-table", 1)
    cases = page.locator("#layers-table thead").get_by_role("button", name="cases")
    cases.click()
    counts = [int(text.replace(",", "")) for text in column(page, "#layers-table", 2)]
    assert counts == sorted(counts, reverse=True)
    assert len(set(counts)) > 2
    cases.click()
    assert column(page, "#layers-table", 2) == [f"{count:,}" for count in sorted(counts)]
    expect(page.locator("#layers-table th[aria-sort=ascending]")).to_have_text("cases")
    digits = page.locator("#layers-table thead").get_by_role("button", name="float64")
    digits.click()
    numbers = [float(text) for text in column(page, "#layers-table", 6) if text != "–"]
    assert numbers == sorted(numbers)
    assert column(page, "#layers-table", 6)[-1] in ("–", f"{max(numbers):.1f}")
    page.locator("#layers-search").fill("linear")
    assert column(page, "#layers-table", 1) == ["Linear"]
    expect(page.locator("#layers-found")).to_have_text("1 found")
    page.locator("#layers-search").fill("")
    assert sorted(column(page, "#layers-table", 1)) == sorted(names)


def test_from_a_layer_to_its_cases_to_one_architecture_to_one_node(opened: Opened) -> None:
    page = opened(right(), "#layers")
    page.get_by_role("link", name="Linear", exact=True).click()
    expect(page.locator("#drawn h1")).to_have_text("Linear")
    expect(page.locator("#drawn table").first).to_contain_text("autograd, node alone")
    page.locator("#drawn").get_by_role("link", name="architectures with it").click()
    expect(page.locator("#architectures-table tbody tr").first).to_be_visible()
    assert all("Linear" in ops for ops in column(page, "#architectures-table", 9))
    page.locator("#architectures-table tbody a").first.click()
    expect(page.locator("svg.graph .node").first).to_be_visible()
    everything = page.locator("#drawn tbody tr:visible").count()
    node = page.locator("svg.graph .node:not(.input)").first
    node.focus()
    page.keyboard.press("Enter")
    expect(page.locator("svg.graph .node.chosen")).to_have_count(1)
    expect(page.locator("#drawn h2")).to_be_visible()
    assert 0 < page.locator("#drawn tbody tr:visible").count() < everything


def test_architectures_are_filtered_sorted_and_turned_by_their_address(opened: Opened) -> None:
    page = opened(many(1000), "#/architectures")
    rows = page.locator("#architectures-table tbody tr")
    expect(rows).to_have_count(100)
    page.get_by_role("button", name="Later").click()
    expect(rows.first).to_contain_text("100")
    assert "page=1" in page.url
    page.locator("#architectures-search").fill("tanh 7")
    page.locator("#architectures-search").press("Enter")
    expect(page.locator("#drawn [role=status]")).not_to_contain_text("1,000 of 1,000")
    page.goto(f"{page.url.partition('#')[0]}#/architectures?sort=float64&down=1")
    expect(page.locator("#architectures-table th[aria-sort=descending]")).to_contain_text("float64")
    digits = [float(text) for text in column(page, "#architectures-table", 4)]
    assert digits == sorted(digits, reverse=True)


def test_a_disagreement_shows_where_it_is_and_can_be_copied(opened: Opened) -> None:
    page = opened(wrong(), "#failures", permissions=["clipboard-read", "clipboard-write"])
    first = page.locator(".failure").first
    expect(first).to_contain_text("gradient of weight is 1.5 times the reference")
    cells = first.locator(".heat svg").first.locator("rect")
    expect(cells.first).to_be_visible()
    expect(cells.first.locator("title")).to_contain_text("at [0")
    expect(first.locator(".heat svg").nth(1)).to_contain_text("entries by the size of their error")
    one_entry = page.locator(".failure").filter(has_text="ReLU").first
    expect(one_entry.locator(".errors p").first).to_contain_text("1 of ")
    first.get_by_role("button", name="Copy").click()
    expect(first.get_by_role("button", name="Copied")).to_be_visible()
    first.get_by_role("link", name="Every node and array").click()
    expect(page.locator("svg.graph .node.culprit")).to_have_count(1)
    expect(page.locator("#drawn .no").first).to_contain_text("1.5 times")


def test_the_comparison_has_its_view(opened: Opened) -> None:
    page = opened(wrong(), "#comparison")
    expect(page.locator("#comparison-worse")).to_be_visible()
    expect(page.locator("#comparison table").first).to_contain_text("disagreement")
    expect(page.locator("#figure-change svg")).to_be_visible()


def test_what_is_not_there_is_said(opened: Opened) -> None:
    page = opened((right()[0], None), "#/architectures")
    expect(page.locator("#drawn h1")).to_contain_text("made from numbers alone")
    for hash, words in (
        ("#/layer?op=Nothing", "No layer Nothing"),
        ("#/architecture?digest=0", "No architecture 0"),
        ("#/strange", "no such view"),
        ("#/layer?op=%", "No layer %"),
    ):
        page.goto(f"{page.url.partition('#')[0]}{hash}")
        expect(page.locator("#drawn h1")).to_contain_text(words)
    for hash in ("#nowhere", "#%"):
        page.goto(f"{page.url.partition('#')[0]}{hash}")
        expect(page.locator("#overview h1")).to_be_visible()


def test_the_pair_under_the_pointer_is_said(opened: Opened) -> None:
    page = opened(right(), "#coverage")
    page.locator("#figure-pairs svg").hover(position={"x": 160, "y": 35})
    expect(page.locator("#pair")).to_contain_text("feeding")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_screen_reader_finds_its_way(opened: Opened, scheme: str) -> None:
    report = wrong()
    page = opened(report, color_scheme=scheme)
    one = f"#/architecture?digest={report[1].lines[0][1]}"
    for hash in (
        "",
        "#failures",
        "#comparison",
        "#layers",
        "#coverage",
        "#again",
        "#/architectures",
        "#/layer?op=ReLU",
        one,
    ):
        page.goto(f"{page.url.partition('#')[0]}{hash}")
        expect(page.locator("main > section:visible h1").first).to_be_visible()
        page.wait_for_timeout(100)
        violations = Axe().run(page).response["violations"]
        assert [(v["id"], [node["html"][:160] for node in v["nodes"][:3]]) for v in violations] == [], hash


def test_hostile_names_are_text(opened: Opened) -> None:
    report = hostile()
    page = opened(report)
    views = (
        "#overview",
        "#failures",
        "#layers",
        "#again",
        "#/architectures",
        f"#/architecture?digest={report[1].lines[0][1]}",
    )
    for hash in views:
        page.goto(f"{page.url.partition('#')[0]}{hash}")
        page.wait_for_timeout(100)
        assert page.title().startswith("backproof: <img")
        assert page.locator("img").count() == 0
    page.goto(f"{page.url.partition('#')[0]}#layers")
    page.locator("#layers-table tbody a").first.click()
    expect(page.locator("#drawn h1")).to_have_text(HOSTILE)


def test_a_hundred_thousand_architectures_are_listed(opened: Opened) -> None:
    page = opened(many(100_000), "#/architectures?sort=seconds&page=999")
    expect(page.locator("#architectures-table tbody tr")).to_have_count(100)
    expect(page.locator("#drawn [role=status]")).to_contain_text("99,901 to 100,000")


@pytest.mark.parametrize(
    ("name", "hash", "options"),
    [
        ("light", "", {}),
        ("dark", "", {"color_scheme": "dark"}),
        ("phone", "", PHONE),
        ("failures", "#failures", {}),
        ("comparison", "#comparison", {}),
        ("architecture", "first", {}),
    ],
)
def test_it_looks_as_it_did(opened: Opened, name: str, hash: str, options: dict[str, Any]) -> None:
    """Delete a picture of tests/page/kept to have it taken again, and look at it."""
    report = wrong()
    page = opened(report, hash.replace("first", f"#/architecture?digest={report[1].lines[0][1]}"), **options)
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    small = taken.resize((COARSE, COARSE * taken.height // taken.width), Image.Resampling.BOX)
    path = KEPT / f"{name}.png"
    if not path.exists():
        small.save(path)
        pytest.fail(f"{path} was taken: look at it, then keep it")
    before = np.asarray(Image.open(path).convert("RGB"), dtype=float)
    assert before.shape == np.asarray(small).shape
    assert np.abs(before - np.asarray(small, dtype=float)).mean() < 4


def test_it_prints_every_section_but_the_views(opened: Opened) -> None:
    page = opened(wrong(), "#layers")
    page.emulate_media(media="print")
    assert page.locator("main > section:visible").count() == page.locator("main > section").count() - 1
