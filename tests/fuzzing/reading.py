"""What is done with a damaged file, and what may come of it: an answer, or one line of refusal."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

from click.testing import CliRunner, Result

from backproof import random_architecture
from backproof.cli import main
from reference import Architecture, ArchitectureError, Twin

from .mutation import mutated
from .watching import Caught, watched

FIRST = 100
"""Architectures that are drawn to be damaged."""

VERIFIED = 10
"""One in so many of the files that can be read is verified, too, by the command line."""


def documents() -> list[str]:
    """Return the JSON of architectures of all kinds."""
    return [random_architecture(seed).to_json() for seed in range(FIRST)]


def architectures(texts: list[str], count: int, seed: int, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Read so many damaged architectures; say of each what came of it.

    ``refused`` in one line, ``read`` (shapes and all), ``verified``, or what was caught.
    """
    for number in range(count):
        rng = Random(f"{seed}/{number}")
        damaged = mutated(rng.choice(texts), rng)
        yield _architecture(damaged, folder, verify=rng.randrange(VERIFIED) == 0), damaged


def _architecture(damaged: bytes, folder: Path, verify: bool) -> str:
    try:
        with watched(str(folder)):
            try:
                Twin(Architecture.from_json(damaged))
            except ArchitectureError as error:
                return "refused" if "\n" not in str(error) else f"several lines: {error}"
        return _replayed(damaged, folder) if verify else "read"
    except (Caught, Exception) as error:
        return f"{type(error).__name__}: {error}"


def _replayed(damaged: bytes, folder: Path) -> str:
    file = folder / "architecture.json"
    file.write_bytes(damaged)
    with watched(str(folder)):
        return answered(CliRunner().invoke(main, ["replay", str(file), "--json", str(folder / "numbers.json")]))


def answered(result: Result) -> str:
    """Say what a command did: ``verified`` and ``refused`` are right."""
    if result.exception and not isinstance(result.exception, SystemExit):
        return f"{type(result.exception).__name__}: {result.exception}"
    if result.exit_code == 2:
        lines = result.stderr.strip().splitlines()
        return "refused" if lines and lines[-1].startswith("Error: ") else f"not one line: {result.stderr[:200]}"
    return "verified" if result.exit_code in (0, 1, 3) else f"exit status {result.exit_code}"
