"""How often chance is taken for a regression, and how small a loss is seen: ``python -m benchmarks.regression``.

Architectures are verified once, with the NumPy implementation. Runs are then made of them, and compared, thousands of
times:

- *other seeds*: two runs of ``size`` architectures each, none of them in both;
- *same seed*: two runs of the same architectures, in the second of which all digits are those that other roundings
  might give: moved at random, by :data:`ROUNDINGS`;
- *loss*: of either kind, but one op has lost digits in the second run, where it is in so many architectures.

docs/regression.md shows the result.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import click
from rich.console import Console

from backproof.campaign import Campaign, one_thread
from backproof.cli import json_option, mistakes
from backproof.environment import environment
from backproof.session import AGREE, DISAGREE
from benchmarks.calibration import rate_below
from benchmarks.output import check_files, progress, say, table, write_json
from reports import Agreement, Summary, compare
from reports.comparison import ALARM
from reports.samples import THOUSANDTHS, WIDTH, Sample, Samples

DTYPES = ("float64", "float32")
MOST = {"float64": 15.65, "float32": 6.92}
LOSSES = (0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5)
ROUNDINGS = 0.3
"""Digits by which an array moves, one standard deviation, if the same is computed with other roundings. Errors of one
entry, both normal, would differ by 0.68; of the largest of a hundred, by 0.1."""
CASES = (12, 16, 24, 50, 100, 500)
"""Architectures with the op that has lost digits."""


class Part(NamedTuple):
    """What a single architecture gives: its fingerprint, and for each sample the block, the digits and the doubt."""

    drawn: int
    entries: list[tuple[tuple[str, str, str], int, float | None, bool]]


def part(agreements: Sequence[Agreement]) -> Part:
    """Return what a single architecture gives."""
    samples = Samples()
    samples.draw(agreements[0].digest)
    for agreement in agreements:
        samples.add(agreement)
    entries: list[tuple[tuple[str, str, str], int, float | None, bool]] = []
    for key, sample in samples.samples.items():
        ((block, (_, total)),) = sample.blocks.items() or ((0, (0, None)),)
        entries.append((key, block, None if total is None else total / THOUSANDTHS, bool(sample.unsure)))
    return Part(samples.drawn, entries)


def exact(dtype: str, digits: float) -> bool:
    """Whether the dtype holds no more: such arrays have no other roundings, and what they could lose is not known."""
    return digits >= MOST[dtype] - 0.01


def run(parts: Sequence[Part], op: str = "", loss: float = 0.0) -> dict[str, Any]:
    """Return the document of a run of these architectures, in which an op has lost digits where it is not exact.

    Parameters
    ----------
    op
        Only its samples are there, if it is given.
    """
    whole = Samples(drawn=sum(part.drawn for part in parts) % (1 << WIDTH))
    for part in parts:
        for key, block, digits, unsure in part.entries:
            if not op or key[0] == op:
                sample = whole.samples.setdefault(key, Sample())
                lost = 0.0 if digits is None or exact(key[2], digits) else loss
                sample.add(block, [] if digits is None else [max(digits - lost, 0.0)], unsure)
    about = {"implementation": "numpy", "seed": 0, "environment": {}}
    return Summary(DTYPES, about, architectures=len(parts), samples=whole).document()


def other_seeds(parts: Sequence[Part], size: int, random: Random, op: str = "", loss: float = 0.0) -> bool:
    """Whether two runs of architectures that have nothing to do with one another are called a regression."""
    chosen = random.sample(parts, 2 * size)
    return bool(compare(run(chosen[:size], op), run(chosen[size:], op, loss)).worse)


def same_seed(parts: Sequence[Part], size: int, random: Random, op: str = "", loss: float = 0.0) -> bool:
    """Whether two runs of the same architectures are called a regression, which differ by roundings but for a loss."""
    chosen = random.sample(parts, size)
    return bool(compare(run(chosen, op), run([moved(part, random) for part in chosen], op, loss)).worse)


def moved(part: Part, random: Random) -> Part:
    """Return the same architecture, with digits that other roundings might give."""

    def other(dtype: str, digits: float | None) -> float | None:
        if digits is None or exact(dtype, digits):
            return digits
        return min(digits + random.gauss(0.0, ROUNDINGS), MOST[dtype])

    return part._replace(entries=[(k, block, other(k[2], digits), unsure) for k, block, digits, unsure in part.entries])


Trial = Callable[..., bool]
TRIALS: dict[str, Trial] = {"other seeds": other_seeds, "same seed": same_seed}


def sensitivity(parts: Sequence[Part], op: str, trials: int, random: Random) -> list[dict[str, Any]]:
    """Return how often a loss of one op is seen, by the number of architectures that have it."""
    having = [part for part in parts if any(key[0] == op for key, *_ in part.entries)]
    found = []
    for name, trial in TRIALS.items():
        for cases in CASES:
            if len(having) < cases * (2 if trial is other_seeds else 1):
                continue
            for loss in LOSSES:
                seen = sum(trial(having, cases, random, op, loss) for _ in range(trials))
                found.append({"runs": name, "op": op, "cases": cases, "loss": loss, "seen": seen, "trials": trials})
    return found


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--examples", type=click.IntRange(2, 10**6), default=2000, show_default=True, help="Architectures.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=11, show_default=True, help="Draws them.")
@click.option("--size", type=click.IntRange(1, 10**6), default=500, show_default=True, help="Of a run.")
@click.option("--comparisons", type=click.IntRange(1, 10**7), default=4000, show_default=True, help="Of each kind.")
@click.option("--op", default="Linear", show_default=True, help="That loses digits.")
@click.option("--trials", type=click.IntRange(1, 10**6), default=100, show_default=True, help="Of each loss.")
@json_option
def main(examples: int, seed: int, size: int, comparisons: int, op: str, trials: int, json_file: Path | None) -> None:
    """Measure how often chance is called a regression, and how small a loss is seen.

    Exit status: 0 fewer false alarms than promised, 1 more, 2 wrong usage.
    """
    console = Console(stderr=str(json_file) == "-")
    with mistakes():
        check_files(json_file, None)
        if 2 * size > examples:
            raise ValueError(f"two runs of {size} take {2 * size} architectures, there are {examples}")
    one_thread()
    campaign = Campaign("numpy", examples, seed, DTYPES).checked()
    with progress(console, "verifying") as bar:
        parts = [part(agreements) for agreements in bar.track(campaign.agreements(1), examples)]
    random = Random(seed)
    alarms = {}
    for name, trial in TRIALS.items():
        with progress(console, f"comparing, {name}") as bar:
            alarms[name] = sum(trial(parts, size, random) for _ in bar.track(range(comparisons)))
        rate = rate_below(alarms[name], comparisons)
        say(console, f"{name}: {alarms[name]} of {comparisons} are called a regression: fewer than {rate:.2%}")
    seen = sensitivity(parts, op, trials, random)
    _show(console, seen)
    if json_file is not None:
        with mistakes():
            document = {"examples": examples, "size": size, "comparisons": comparisons, "alarms": alarms, "seen": seen}
            write_json(document | {"environment": environment()}, json_file)
    sys.exit(DISAGREE if max(alarms.values()) > ALARM * comparisons else AGREE)


def _show(console: Console, seen: Sequence[dict[str, Any]]) -> None:
    made = table("runs", "with the op", *(f"-{loss}" for loss in LOSSES))
    for name in TRIALS:
        for cases in CASES:
            shares = [s["seen"] / s["trials"] for s in seen if (s["runs"], s["cases"]) == (name, cases)]
            if shares:
                made.add_row(name, str(cases), *(f"{share:.0%}" for share in shares))
    console.print(made)


if __name__ == "__main__":
    main()
