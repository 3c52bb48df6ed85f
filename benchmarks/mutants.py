"""Mutants of impl, drawn at random from all files in proportion: ``python -m benchmarks.mutants --size 600``.

All of them take days. docs/mutants.md says how the sample is run, and shows the result.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from random import Random

import click
from rich.console import Console
from scipy.stats import binomtest

from backproof.cli import UserError, mistakes
from benchmarks.output import say, table

WRITTEN = Path("mutants")
"""Where mutmut writes what it changed, and what came of it, with ``.meta`` beside each file."""

OUTCOMES = {None: "not run", 0: "survived", 1: "killed", 3: "killed", 33: "survived"}
"""What the exit status of the tests says of a mutant; 33: no test reaches it. All others have run out of time."""


def outcomes() -> dict[str, dict[str, str]]:
    """By file of impl, what has become of its mutants, by name.

    Raises
    ------
    backproof.cli.UserError
        mutmut has not written any.
    """
    found = {}
    for file in sorted(WRITTEN.glob("impl/**/*.meta")):
        statuses = json.loads(file.read_text(encoding="utf-8"))["exit_code_by_key"]
        if statuses:
            name = str(file.relative_to(WRITTEN / "impl").with_suffix(""))
            found[name] = {mutant: OUTCOMES.get(status, "out of time") for mutant, status in statuses.items()}
    if not found:
        raise UserError(f"no mutants in {WRITTEN}/: nox -s mutants -- 'impl.special*' writes them")
    return found


def drawn(mutants: dict[str, dict[str, str]], size: int, seed: int) -> dict[str, list[str]]:
    """Draw mutants from every file in proportion, at least one from each; a smaller sample is part of a larger one."""
    total = sum(map(len, mutants.values()))
    return {
        file: Random(f"{seed} {file}").sample(sorted(own), len(own))[: max(1, round(size * len(own) / total))]
        for file, own in mutants.items()
    }


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--size", type=click.IntRange(1, 10**6), default=600, show_default=True, help="How many, about.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Draws them.")
@click.option("--score", is_flag=True, help="What became of them, in place of their names.")
def main(size: int, seed: int, score: bool) -> None:
    """Print the names of a random sample of mutants, for mutmut to run, or what became of them.

    Exit status: 0 printed, 2 wrong usage.
    """
    with mistakes():
        mutants = outcomes()
    sample = drawn(mutants, size, seed)
    if not score:
        click.echo("\n".join(name for names in sample.values() for name in names))
        return
    counts = {file: Counter(mutants[file][name] for name in names) for file, names in sample.items()}
    everything = sum(counts.values(), Counter())
    console = Console()
    shown = [name for name in ("killed", "survived", "out of time", "not run") if everything[name]]
    made = table("file of impl/", "mutants", "drawn", *shown)
    for file, count in counts.items():
        made.add_row(file, f"{len(mutants[file]):,}", f"{count.total():,}", *(f"{count[name]:,}" for name in shown))
    total = f"{sum(map(len, mutants.values())):,}"
    made.add_row("all", total, f"{everything.total():,}", *(f"{everything[name]:,}" for name in shown), style="bold")
    console.print(made)
    if run := everything.total() - everything["not run"]:
        found = binomtest(everything["killed"], run)
        low, high = found.proportion_ci(0.95)
        say(
            console,
            f"\n{everything['killed']:,} of {run:,} killed: {found.statistic:.1%}, "
            f"between {low:.1%} and {high:.1%} with 95 % confidence (Clopper and Pearson)",
        )
    for file, names in sample.items():
        for name in sorted(names):
            if (outcome := mutants[file][name]) not in ("killed", "not run"):
                click.echo(f"{outcome}: mutmut show {name}")


if __name__ == "__main__":
    main()
