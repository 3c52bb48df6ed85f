"""How small an error is caught, and how often a correct layer is blamed: ``python -m benchmarks.calibration``.

One coordinate of one gradient of one layer is made wrong by a known size, and every checker is asked about it:
backproof in each dtype, PyTorch's gradcheck in both modes, and JAX's check_grads where JAX is installed. The same
layers without an error say how often each of them raises a false alarm. docs/calibration.md shows the result.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import click
from rich.console import Console
from scipy.stats import beta

from backproof.campaign import Campaign, one_thread
from backproof.cli import CommaSeparated, json_option, mistakes
from backproof.environment import environment
from backproof.session import AGREE, DISAGREE, INTERRUPTED
from benchmarks import peers
from benchmarks.output import check_files, progress, write_json
from benchmarks.presentation import draw, show
from benchmarks.sensitivity import Sensitivity, checkers, round_robin
from reports import Agreement, Summary

T = TypeVar("T")
DTYPES = ("float64", "float32", "float16")
NO_JAX = "jax is not installed (pip install -e '.[benchmarks]'): its column is left out."


class FalseAlarms:
    """Counts over whole random architectures of the correct implementation."""

    def __init__(self) -> None:
        self.summary = Summary(DTYPES)
        self.alarms: Counter[str] = Counter()

    def add(self, agreements: list[Agreement]) -> None:
        """Take in one architecture, in every dtype."""
        self.summary.add(agreements)
        self.alarms.update(a.dtype for a in agreements if not a.agrees)

    def document(self) -> dict[str, Any]:
        """Return the counts, and what rate of false alarms they exclude, as plain JSON; nothing if nothing was run."""
        count = self.summary.architectures
        if not count:
            return {}
        arrays = self.summary.document()
        return {
            "architectures": count,
            "dtypes": {
                dtype: {
                    "alarms": self.alarms[dtype],
                    "rate_below": rate_below(self.alarms[dtype], count),
                    "arrays": sum(arrays["dtypes"][dtype].values()),
                    **arrays["dtypes"][dtype],
                }
                for dtype in DTYPES
            },
            "failures": arrays["failures"],
            "inconclusive_tensors": arrays["inconclusive_tensors"],
        }


def rate_below(alarms: int, count: int) -> float:
    """Return the 95 % upper bound of a rate of which ``alarms`` among ``count`` were seen; 3 / count for none.

    Source: Clopper and Pearson, Biometrika 26 (1934).
    """
    return 1.0 if alarms == count else float(beta.ppf(0.95, alarms + 1, count - alarms))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--examples", type=click.IntRange(0, 10**6), default=3, show_default=True, help="Cases of each layer.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Draws them.")
@click.option("--layers", type=CommaSeparated(), help="Only these layers, for example Linear,ReLU.")
@click.option(
    "--architectures",
    type=click.IntRange(0, 10**7),
    default=0,
    show_default=True,
    help="Whole random architectures that are verified for false alarms.",
)
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes for these.")
@json_option
@click.option("--picture", type=click.Path(path_type=Path), help="Draw the curves into this file.")
def main(
    examples: int,
    seed: int,
    layers: tuple[str, ...] | None,
    architectures: int,
    workers: int,
    json_file: Path | None,
    picture: Path | None,
) -> None:
    """Measure how small an error is caught, and how often a correct layer is blamed.

    Exit status: 0 no false alarm by backproof, 1 a false alarm, 2 wrong usage, 130 interrupted.
    """
    to_stdout = str(json_file) == "-"
    console = Console(stderr=to_stdout)
    with mistakes():
        campaign = Campaign("numpy", architectures, seed, DTYPES, layers).checked()
        check_files(json_file, picture)
    if examples and not peers.has_jax():
        console.print(NO_JAX, highlight=False, markup=False, soft_wrap=True)
    one_thread()
    sensitivity, alarms = Sensitivity(checkers()), FalseAlarms()
    ops = campaign.layers or ()
    cases = round_robin(ops, examples, seed, DTYPES)
    started = perf_counter()
    interrupted = False
    try:
        _gather(console, "errors in layers", cases, sensitivity.add, examples * len(ops))
        if architectures:
            _gather(console, "whole architectures", campaign.agreements(workers), alarms.add, architectures)
    except KeyboardInterrupt:
        interrupted = True
    document = {
        "seed": seed,
        "examples": examples,
        "environment": environment(),
        "seconds": round(perf_counter() - started, 3),
        "interrupted": interrupted,
        **sensitivity.document(),
        "campaign": alarms.document(),
    }
    show(console, document)
    with mistakes():
        if json_file is not None:
            write_json(document, json_file)
        if picture is not None and document["cases"]:
            draw(document, picture)
    wrong = any(finding["error"] is None for finding in sensitivity.findings) or alarms.alarms.total()
    sys.exit(INTERRUPTED if interrupted else DISAGREE if wrong else AGREE)


def _gather(console: Console, what: str, source: Generator[T], add: Callable[[T], None], total: int) -> None:
    """Take in all that comes, and show how far it is."""
    with progress(console, what) as bar, closing(source):
        task = bar.add_task("", total=total)
        for found in source:
            add(found)
            bar.advance(task)


if __name__ == "__main__":
    main()
