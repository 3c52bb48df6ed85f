"""Write docs/planted-bugs.md: ``python -m tests.planted_bugs``, in the root of the repository."""

from pathlib import Path

from . import BUGS, Bug
from .catching import WITHIN, catches, named

HEAD = """# Planted bugs

Wrong backward passes that the suite must catch, within {within} random architectures, in float64 and in float32.
{referenced} of the {total} are re-created from a mistake that really happened; its report is linked.
*Architectures* counts those until the bug showed, in float64; the diagnosis is the one made then. A mistake counts as
*named* if the diagnosis says what was done, not only where it shows: {named} of {total} are ({share:.0%}).
Written by `python -m tests.planted_bugs`.

| mistake | source | culprit | architectures | named | diagnosis |
|---|---|---|---|---|---|
"""


def row(bug: Bug) -> str:
    """Make one row of the table."""
    source = "none" if not bug.source else f"[{bug.source}](https://github.com/{bug.source.replace('#', '/issues/')})"
    catch = catches(bug.name).get("float64")
    if catch is None:
        return f"| {bug.name} | {source} | not caught | more than {WITHIN} | no | |\n"
    agreement = catch.agreement
    said = (agreement.diagnosis or agreement.failure or "").replace("|", "\\|").replace("\n", " ")
    culprit = agreement.op or "the composition"
    return f"| {bug.name} | {source} | {culprit} | {catch.seed + 1} | {'yes' if named(bug.name) else 'no'} | {said} |\n"


def main() -> None:
    """Hunt all bugs and write the table."""
    rows = "".join(map(row, BUGS.values()))
    count = sum(map(named, BUGS))
    head = HEAD.format(
        within=WITHIN,
        referenced=sum(bool(bug.source) for bug in BUGS.values()),
        total=len(BUGS),
        named=count,
        share=count / len(BUGS),
    )
    Path("docs/planted-bugs.md").write_text(head + rows, encoding="utf-8")


if __name__ == "__main__":
    main()
