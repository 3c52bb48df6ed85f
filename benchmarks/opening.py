"""How large a report is, and how long Chromium takes to open it, by the number of architectures in it.

``python -m benchmarks.opening`` needs playwright and Chromium. A hundred random architectures are verified; a larger
report has them again and again under other digests.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import click
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.table import Table

from backproof.campaign import Campaign
from backproof.catalogue import facts
from backproof.environment import environment
from reports import Agreement, Coverage, Summary, write_report
from reports.cases import Cases

SIZES = (100, 10_000, 100_000)
ROUNDS = 5


def report(examples: list[list[Agreement]], count: int, folder: Path) -> Path:
    """Write the report of so many architectures."""
    about = {"implementation": "numpy", "seed": 0, "command": "backproof verify", "environment": environment()}
    drawn = {node["op"] for agreements in examples for node in agreements[0].architecture["nodes"]}
    summary, cases = Summary(("float64", "float32"), about, Coverage(facts(drawn))), Cases()
    for number in range(count):
        agreements = [replace(a, digest=f"{number:064x}"[::-1]) for a in examples[number % len(examples)]]
        summary.add(agreements)
        cases.add(number, agreements)
    return write_report(folder, summary.document(), cases)


def opened(browser: Browser, page: Path, hash: str, shown: str) -> float:
    """Seconds from the address to what is to be seen, in a fresh window."""
    window = browser.new_page()
    started = perf_counter()
    window.goto(f"{page.as_uri()}{hash}", wait_until="commit")
    window.wait_for_selector(shown)
    seconds = perf_counter() - started
    window.close()
    return seconds


@click.command()
def main() -> None:
    """Print a table."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise click.ClickException("no Chromium")
    examples = [Campaign(examples=SIZES[0]).checked().example(number) for number in range(SIZES[0])]
    made = Table(box=None)
    for heading in ("architectures", "MiB", "first screen, s", "list of all, s", "one as a graph, s"):
        made.add_column(heading, justify="right")
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for count in SIZES:
            page = report(examples, count, Path(folder) / str(count))
            views = (
                ("", "html.running #overview h1"),
                ("#/architectures", "#architectures-table tbody tr"),
                (f"#/architecture?digest={0:012d}", "svg.graph .node"),
            )
            rounds = [[opened(browser, page, *view) for view in views] for _ in range(ROUNDS)]
            seconds = (f"{median(of_view):.2f}" for of_view in zip(*rounds))
            made.add_row(f"{count:,}", f"{page.stat().st_size / 2**20:.2f}", *seconds)
        browser.close()
    Console().print(made)


if __name__ == "__main__":
    main()
