"""What ``backproof optimizers`` shows: how many digits each optimizer keeps with PyTorch's, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.markup import escape

from backproof.recipes import optimizers
from backproof.trajectories import Trajectory, trajectory
from reports import files
from reports.figures.drawing import standalone
from reports.figures.training import training

VERDICTS = ("agree", "inconclusive", "disagree")


class UnknownOptimizer(ValueError):
    """A name that is none of torch.optim's."""


def checked(names: Sequence[str] | None) -> list[str]:
    """Return the names to verify; None: all.

    Raises
    ------
    UnknownOptimizer
        torch.optim has none of that name.
    """
    known = optimizers()
    for name in names or ():
        if name not in known:
            raise UnknownOptimizer(f"no optimizer {name!r} in torch.optim: known are {', '.join(known)}")
    return list(names or known)


def verify(
    console: Console, names: Sequence[str], examples: int, seed: int, steps: int, figure: Path | None = None
) -> bool:
    """Train with each optimizer, show a line for each as soon as it is known, and return whether none disagrees.

    A ``figure`` of the digits over the steps is written as SVG.

    Raises
    ------
    OSError
        It cannot be written.
    """
    courses: dict[str, dict[str, list[tuple[float, ...]]]] = {}
    marks = [step for step in (1, 10, 50) if step < steps] + [steps]
    columns = [*map(str, marks), "min"]
    width = len(columns) * 5 - 1
    console.print(f"Digits after so many steps, the median of {examples} trainings; and the fewest.\n", highlight=False)
    console.print(f"{'':10} {'same gradients':>{width}}  {'own gradients':>{width}}  PyTorch")
    heads = " ".join(f"{column:>4}" for column in columns)
    console.print(f"[bold]{'optimizer':10} {heads}  {heads}  {marks[-1]:>7} agree inc. dis.[/]", highlight=False)
    wrong: list[tuple[int, Trajectory]] = []
    tallies = dict.fromkeys(VERDICTS, 0)
    for name in names:
        found = [trajectory(name, (seed << 32) + example, steps) for example in range(examples)]
        wrong += [(example, t) for example, t in enumerate(found) if t.verdict == "disagree"]
        counts = {verdict: sum(t.verdict == verdict for t in found) for verdict in VERDICTS}
        tallies = {verdict: tallies[verdict] + counts[verdict] for verdict in VERDICTS}
        courses[name] = {"same gradients": [t.same for t in found], "own gradients": [t.own for t in found]}
        same, own = (_digits(lot, marks) for lot in courses[name].values())
        kept = median(t.kept[-1] for t in found)
        verdicts = f"{counts['agree']:>5} {counts['inconclusive']:>4} {counts['disagree']:>4}"
        console.print(f"{name:10} {same}  {own}  {kept:>7.1f} {verdicts}", highlight=False)
    for example, t in wrong:
        schedule, digest = t.recipe.schedule, t.network.architecture.digest
        with_schedule = "" if schedule is None else f", {type(schedule).__name__}"
        console.print(
            f"\n[red]{t.recipe.op}[/] disagrees in training {example} (architecture {digest}{with_schedule}): "
            f"{t.same[0]:.1f} digits after 1 step, {t.same[-1]:.1f} after {steps}",
            highlight=False,
        )
        for _, arguments in t.recipe.groups:
            console.print(escape("  " + ", ".join(f"{n}={v!r}" for n, v in arguments.items())), highlight=False)
    total = examples * len(names)
    colour = "red" if wrong else "green"
    console.print(
        f"\n[{colour}]{tallies['disagree']} of {total} trainings disagree with torch.optim[/]; in "
        f"{tallies['inconclusive']} rounding alone leaves no digit, from some step on.",
        highlight=False,
    )
    if figure is not None:
        files.write(figure, standalone(training(courses)).encode())
        console.print(f"figure: {figure}", highlight=False, soft_wrap=True, markup=False)
    return not wrong


def _digits(courses: Sequence[Sequence[float]], marks: Sequence[int]) -> str:
    middle = [median(course[mark - 1] for course in courses) for mark in marks]
    return " ".join(f"{digits:>4.1f}" for digits in (*middle, min(map(min, courses))))
