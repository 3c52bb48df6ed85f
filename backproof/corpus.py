"""Saved architectures that are replayed before the random ones: every failure that was ever found."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from backproof.campaign import Campaign, agreements, loaded, lost, ready
from backproof.isolation import Pool
from backproof.witnesses import Unsupported
from reference import Architecture, ArchitectureError, Twin
from reference.architecture import LIMITS
from reference.ops import STRUCTURAL
from reports import Agreement

FILES = 10_000
"""More than so many files are no corpus that anybody replays before every run."""


@dataclass(frozen=True)
class Saved:
    """One architecture of a corpus, and the name of its file."""

    file: str
    architecture: Architecture


class Replayed(NamedTuple):
    """What came of one: agreements, one per dtype, or none and the reason why it is not supported."""

    file: str
    agreements: tuple[Agreement, ...] = ()
    unsupported: str = ""


def read(folder: Path) -> tuple[Saved, ...]:
    """Read every ``*.json`` of a folder, in the order of their names.

    Raises
    ------
    ValueError
        One of them is no architecture, or PyTorch refuses it: the message names the file.
    OSError
        The folder or a file cannot be read.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix == ".json")
    if len(paths) > FILES:
        raise ValueError(f"{folder}: {len(paths):,} architectures, at most {FILES:,}")
    return tuple(map(_read, paths))


def _read(path: Path) -> Saved:
    with path.open("rb") as opened:
        text = opened.read(LIMITS["bytes"] + 1)
    try:
        architecture = Architecture.from_json(text)
        Twin(architecture)
    except ArchitectureError as error:
        raise ValueError(f"{path}: {error}") from None
    return Saved(path.name, architecture)


def replay(corpus: Sequence[Saved], campaign: Campaign, limit: float) -> Generator[Replayed]:
    """Verify one after the other in every dtype of a campaign, in another process.

    Parameters
    ----------
    campaign
        Whose implementation, dtypes and layers it is to be.
    limit
        Seconds that one may take; what takes longer, or takes the process down, is a finding.
    """
    with Pool(1, partial(ready, campaign.implementation), limit) as pool:
        for saved in corpus:
            (outcome,) = pool.outcomes(partial(_replayed, campaign), [[saved]])
            if outcome.error is not None:
                raise outcome.error
            yield Replayed(saved.file, (lost(outcome),)) if outcome.lost else outcome.value


def _replayed(campaign: Campaign, saved: Saved) -> Replayed:
    missing = sorted({n.op for n in saved.architecture.nodes} - {*(campaign.layers or ()), *STRUCTURAL})
    if missing:
        return Replayed(saved.file, unsupported=f"{', '.join(missing)}: not among the layers that are verified")
    implementation = loaded(campaign.implementation)
    try:
        found = agreements(saved.architecture, implementation, campaign.dtypes, campaign.second_order)
    except Unsupported as error:
        return Replayed(saved.file, unsupported=str(error))
    return Replayed(saved.file, tuple(found))
