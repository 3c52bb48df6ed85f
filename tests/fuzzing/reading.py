"""What is done with a damaged file, and what may come of it: an answer, or one line of refusal."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

from backproof import NumPyImplementation, random_architecture
from backproof.campaign import Campaign, agreements
from reference import Architecture, ArchitectureError, Twin
from reports.schema import StoreError
from reports.store import Store, document

from .mutation import damaged_bytes, mutated
from .watching import Caught, watched

FIRST = 100
"""Architectures that are drawn to be damaged."""

VERIFIED = 10
"""One in so many of the files that can be read is verified, too."""

SMALL = 12
"""Examples of the store that is damaged."""


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
                architecture = Architecture.from_json(damaged)
                Twin(architecture)
                if verify:
                    agreements(architecture, NumPyImplementation(), ("float64", "float32"))
            except ArchitectureError as error:
                return refused(error)
        return "verified" if verify else "read"
    except (Caught, Exception) as error:
        return f"{type(error).__name__}: {error}"


def refused(error: Exception) -> str:
    """Say that something was refused, in one line as it should be."""
    return "refused" if "\n" not in str(error) else f"several lines: {error}"


def store(folder: Path) -> bytes:
    """Return a small store."""
    path, campaign = folder / "whole.sqlite", Campaign(examples=SMALL, seed=3).checked()
    with Store(path, campaign.definition(), SMALL, "backproof verify") as opened:
        opened.add([campaign.row(number) for number in range(SMALL)])
    whole = path.read_bytes()
    path.unlink()
    return whole


def stores(whole: bytes, count: int, seed: int, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Read so many damaged stores; say of each what came of it, as :func:`architectures` does."""
    path = folder / "damaged.sqlite"
    for number in range(count):
        damaged = damaged_bytes(whole, Random(f"{seed}/{number}"))
        for left in folder.iterdir():
            left.unlink()
        path.write_bytes(damaged)
        yield _store(path), damaged


def _store(path: Path) -> str:
    try:
        with watched(str(path)):
            try:
                document(path, Architecture.from_dict)
            except StoreError as error:
                return refused(error)
        strangers = [file.name for file in path.parent.iterdir() if not file.name.startswith(path.name)]
        return f"{strangers} were written" if strangers else "read"
    except (Caught, Exception) as error:
        return f"{type(error).__name__}: {error}"
