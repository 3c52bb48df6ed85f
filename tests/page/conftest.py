"""A browser for the tests of the page, and the pages it opens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from reports import write_report
from tests.page import CHROMIUM

collect_ignore = [] if CHROMIUM else ["test_page.py"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, which in a container runs as root and has no sandbox."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Page]]:
    """Write a report and open its page; whatever its program complains of, or loads from elsewhere, fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_page(report: tuple[dict[str, Any], Any], hash: str = "", **options: Any) -> Page:
        written = write_report(tmp_path, *report)
        options = {"viewport": {"width": 1200, "height": 900}, "reduced_motion": "reduce"} | options
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda said: complaints.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith(("file:", "blob:")) or complaints.append(asked.url))
        page.goto(f"{written.as_uri()}{hash}")
        page.wait_for_selector("html.running")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
