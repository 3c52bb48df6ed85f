"""Read damaged files under watch: ``python -m tests.fuzzing --stores 10000``, in the root of the repository."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.progress import track

from backproof.campaign import one_thread

from .reading import architectures, documents, store, stores
from .watching import start

RIGHT = ("refused", "read", "verified")
CONSOLE = Console(stderr=True)


@click.command()
@click.option("--architectures", "documented", type=click.IntRange(0), default=1000, show_default=True)
@click.option("--stores", "stored", type=click.IntRange(0), default=100, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Folder for files that did harm.")
def main(documented: int, stored: int, seed: int, keep: Path | None) -> None:
    """Damage files at random, read them, and count what came of it. Exit status 1 if any did harm."""
    one_thread()
    texts, harm = documents(), False
    with TemporaryDirectory() as name:
        folder = Path(name)
        whole = store(folder)
        list(architectures(texts, 300, -1, folder))  # what is loaded late is loaded now
        list(stores(whole, 20, -1, folder))
        start()
        for what, count, found in (
            ("architectures", documented, architectures(texts, documented, seed, folder)),
            ("stores", stored, stores(whole, stored, seed, folder)),
        ):
            if not count:
                continue
            outcomes = _outcomes(what, track(found, what, count, console=CONSOLE), seed, keep)
            print(f"{what} of seed {seed}: {dict(sorted(outcomes.items()))}")
            harm = harm or outcomes["harm"] > 0
    raise SystemExit(harm)


def _outcomes(what: str, found: Iterable[tuple[str, bytes]], seed: int, keep: Path | None) -> Counter[str]:
    outcomes = Counter[str]()
    for number, (outcome, damaged) in enumerate(found):
        outcomes[outcome if outcome in RIGHT else "harm"] += 1
        if outcome not in RIGHT:
            CONSOLE.print(f"{what} {seed}/{number}: {outcome[:300]}", markup=False, highlight=False)
            if keep:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{what}-{seed}-{number}").write_bytes(damaged)
    return outcomes


if __name__ == "__main__":
    main()
