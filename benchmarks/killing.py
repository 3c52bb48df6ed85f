"""A campaign that is killed again and again, beside one that is not: nothing lost, nothing twice, the same results.

``python -m benchmarks.killing --examples 100000 --kills 10`` says what was found; status 1 if anything differs.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from reports.store import Store, document

POLL = 0.1
"""Seconds between two looks at how far a campaign is."""

CODE = "from backproof.cli import main; main()"


def count(store: Path) -> int:
    """How many examples a store holds by now."""
    if not store.exists() or not store.stat().st_size:
        return 0
    try:
        with Store(store) as opened:
            return opened.count()
    except ValueError:  # it is being made
        return 0


def begin(store: Path, options: Sequence[str]) -> subprocess.Popen[bytes]:
    """Begin a campaign, or go on with it, as the leader of a group of processes."""
    command = [sys.executable, "-c", CODE, "verify", "--store", str(store), *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)


def killed(store: Path, options: Sequence[str], examples: int, kills: int, chosen: random.Random) -> int:
    """Kill a campaign at random counts of examples, and then let it finish: how often it was killed."""
    done = 0
    for at in sorted(chosen.randrange(examples) for _ in range(kills)):
        running = begin(store, options)
        while count(store) < at and running.poll() is None:
            time.sleep(POLL)
        time.sleep(chosen.random())
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            done += 1
        running.wait()
        click.echo(f"killed at {count(store)} of {examples}", err=True)
    if begin(store, options).wait():
        raise click.ClickException("the last run does not agree")
    return done


@click.command()
@click.option("--examples", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--kills", type=click.IntRange(0), default=10, show_default=True)
@click.option("--layers", default="Linear,ReLU", show_default=True)
@click.option("--dtype", default="float64", show_default=True)
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Decides when it is killed.")
@click.option("--store", type=click.Path(path_type=Path), help="Keep the killed campaign here.")
def main(examples: int, kills: int, layers: str, dtype: str, workers: int, seed: int, store: Path | None) -> None:
    """Kill a campaign at random moments, finish it, and compare it with one that was left alone."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        options = ["--examples", str(examples), "--layers", layers, "--dtype", dtype]
        options += ["--workers", str(workers), "--report", str(home / "report")]
        path = store or home / "killed.sqlite"
        started = time.monotonic()
        done = killed(path, options, examples, kills, random.Random(seed))
        between = time.monotonic()
        if begin(home / "alone.sqlite", options).wait():
            raise click.ClickException("the undisturbed run does not agree")
        ended = time.monotonic()
        found, wanted = (document(p) for p in (path, home / "alone.sqlite"))
        for each in (found, wanted):
            del each["command"], each["seconds"]  # they name another store, and took another time
        click.echo(
            f"killed {done} times: {found['architectures']} of {examples} architectures in {between - started:.0f} s, "
            f"undisturbed {wanted['architectures']} in {ended - between:.0f} s; {path.stat().st_size / examples:.0f} "
            f"bytes for each; the documents are {'equal' if found == wanted else 'NOT equal'}, "
            f"results {found['results'][:16]}"
        )
        sys.exit(0 if found == wanted and found["architectures"] == examples else 1)


if __name__ == "__main__":
    main()
