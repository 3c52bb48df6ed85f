"""Read damaged files under watch: ``python -m tests.fuzzing --architectures 100000``, in the root of the repository."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.progress import track

from backproof.campaign import one_thread

from .reading import architectures, documents
from .watching import start

RIGHT = ("refused", "read", "verified")


@click.command()
@click.option("--architectures", "count", type=click.IntRange(0), default=1000, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Folder for files that did harm.")
def main(count: int, seed: int, keep: Path | None) -> None:
    """Damage files at random, read them, and count what came of it. Exit status 1 if any did harm."""
    console, outcomes = Console(stderr=True), Counter[str]()
    one_thread()
    texts = documents()
    with TemporaryDirectory() as name:
        folder = Path(name)
        list(architectures(texts, 300, -1, folder))  # what is loaded late is loaded now
        start()
        found = architectures(texts, count, seed, folder)
        for number, (outcome, damaged) in enumerate(track(found, "architectures", count, console=console)):
            outcomes[outcome if outcome in RIGHT else "harm"] += 1
            if outcome not in RIGHT:
                console.print(f"{seed}/{number}: {outcome[:300]}", markup=False, highlight=False)
                if keep:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{seed}-{number}.json").write_bytes(damaged)
    print(f"architectures of seed {seed}: {dict(sorted(outcomes.items()))}")
    raise SystemExit(outcomes["harm"] > 0)


if __name__ == "__main__":
    main()
