"""Saved architectures that are replayed before the random ones: every failure that was ever found."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path

from backproof.campaign import PATIENCE, Campaign, agreements, one_thread
from backproof.implementations import load
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


@dataclass(frozen=True)
class Replayed:
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


def replay(corpus: Sequence[Saved], campaign: Campaign, isolated: bool) -> Generator[Replayed]:
    """Verify one after the other in every dtype of a campaign.

    Parameters
    ----------
    campaign
        Whose implementation, dtypes and layers it is to be.
    isolated
        In another process: what takes the process down is a finding, and costs no other architecture.
    """
    if not isolated:
        yield from (_replayed(saved, campaign) for saved in corpus)
        return
    executor = _process()
    try:
        for saved in corpus:
            try:
                executor.submit(one_thread).result()  # the start of the process takes its time, too
                yield executor.submit(_replayed, saved, campaign).result(timeout=PATIENCE)
                continue
            except BrokenExecutor:
                reason = "the process died in the implementation"
            except TimeoutError:
                reason = f"the implementation did not come back within {PATIENCE:.0f} s"
            _end(executor)
            executor = _process()
            yield Replayed(saved.file, (_died(saved.architecture, campaign, reason),))
    finally:
        _end(executor)


def _replayed(saved: Saved, campaign: Campaign) -> Replayed:
    missing = sorted({n.op for n in saved.architecture.nodes} - {*(campaign.layers or ()), *STRUCTURAL})
    if missing:
        return Replayed(saved.file, unsupported=f"{', '.join(missing)}: not among the layers that are verified")
    given = campaign.implementation
    implementation = load(given) if isinstance(given, str) else given
    try:
        found = agreements(saved.architecture, implementation, campaign.dtypes, campaign.second_order)
    except Unsupported as error:
        return Replayed(saved.file, unsupported=str(error))
    return Replayed(saved.file, tuple(found))


def _died(architecture: Architecture, campaign: Campaign, reason: str) -> Agreement:
    given = campaign.implementation  # not loaded here: it takes processes down
    return Agreement(
        architecture=architecture.to_dict(),
        digest=architecture.digest,
        implementation=given if isinstance(given, str) else given.name,
        dtype=campaign.dtypes[0],
        seconds=0.0,
        tensors=(),
        failure=reason,
    )


def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=one_thread)


def _end(executor: ProcessPoolExecutor) -> None:
    executor.shutdown(wait=False, cancel_futures=True)
    for child in active_children():  # one that hangs ends in no other way
        child.terminate()
