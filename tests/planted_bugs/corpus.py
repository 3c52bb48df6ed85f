"""Write the smallest architectures that show the planted bugs: ``python -m tests.planted_bugs.corpus corpus``.

Many bugs of one op are shown by the same architecture, which is written once.
"""

import sys
from pathlib import Path

from backproof.shrinking import shrink_failure
from reference import Architecture

from . import BUGS, Bug
from .catching import catches


def smallest(bug: Bug) -> Architecture | None:
    """Shrink the first architecture that shows a bug; None where none does, or where it cannot be shrunk."""
    for dtype, catch in catches(bug.name).items():
        found = Architecture.from_dict(catch.agreement.architecture)
        try:
            return shrink_failure(found, bug.implementation(), dtype).architecture
        except ValueError:
            continue
    return None


def main(folder: Path) -> None:
    """Write them all."""
    for bug in BUGS.values():
        architecture = smallest(bug)
        if architecture is not None:
            name = f"planted-{(bug.culprit or 'composition').lower()}-{architecture.digest}.json"
            (folder / name).write_text(architecture.to_json(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
