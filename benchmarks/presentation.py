"""The calibration as tables in 80 columns, and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.injection import RELATIONS
from benchmarks.output import say, table
from benchmarks.sensitivity import OUTCOMES, caught_share

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BESIDE = {"value": "the right value there", "scale": "the largest magnitude in the array"}
COLOURS = ("#0b5394", "#3d9be0", "#a9cdec", "#b45309", "#f0a94b", "#6b8e23")


def show(console: Console, document: Mapping[str, Any]) -> None:
    """Show all that was measured."""
    if document["cases"]:
        for relation in RELATIONS:
            say(console, f"\nErrors caught, in %, by size relative to {BESIDE[relation]}:")
            console.print(_caught(document, relation))
        say(console, "\nSmallest power of ten down to which all errors are caught, by value/by scale:")
        console.print(_layers(document))
        say(console, "\nThe same layers without an error:")
        console.print(_correct(document["correct"]))
    for finding in document["findings"]:
        say(console, _sentence(finding))
    if document["campaign"]:
        say(
            console,
            f"\nWhole random architectures without an error, {document['campaign']['architectures']:,} of them:",
        )
        console.print(_campaign(document["campaign"]["dtypes"]))
        for failure in document["campaign"]["failures"]:
            tensors = ", ".join(f"{tensor['tensor']} against {tensor['against']}" for tensor in failure["tensors"])
            what = failure["failure"] or tensors
            say(console, f"{failure['dtype']}: false alarm on architecture {failure['digest'][:12]}: {what}")


def _exponent(size: float) -> int:
    return round(log10(size))


def _percent(share: float) -> str:
    """Round, but 100 and 0 mean all and none."""
    return f"{min(max(100 * share, 1), 99):.0f}" if 0 < share < 1 else f"{100 * share:.0f}"


def _caught(document: Mapping[str, Any], relation: str) -> Table:
    rows = [row for row in document["caught"] if row["relation"] == relation]
    exponents = sorted({_exponent(row["size"]) for row in rows}, reverse=True)
    made = table("10 to the power of", *map(str, exponents))
    for checker in document["checkers"]:
        own = {_exponent(row["size"]): row for row in rows if row["checker"] == checker}
        made.add_row(checker, *(_percent(caught_share(own[e])) if e in own else "" for e in exponents))
        for outcome, called in (("inconclusive", "inconclusive"), ("rounding", "less than rounding")):
            if any(row[outcome] for row in own.values()):
                shares = {e: row[outcome] / sum(row[o] for o in OUTCOMES) for e, row in own.items()}
                cells = (_percent(shares[e]) if e in own else "" for e in exponents)
                made.add_row(f" {called}", *cells, style="dim")
    return made


def _layers(document: Mapping[str, Any]) -> Table:
    smallest = {(row["checker"], row["relation"], row["op"]): row for row in document["smallest"]}
    checkers = document["checkers"]
    made = table("layer", *(checker.partition(" ")[2] for checker in checkers))

    def cells(op: str | None, share: str) -> list[str]:
        found = [[smallest[checker, relation, op][share] for relation in RELATIONS] for checker in checkers]
        return ["/".join("-" if size is None else str(_exponent(size)) for size in pair) for pair in found]

    for op in sorted(document["cases"]):
        made.add_row(op, *cells(op, "all"))
    made.add_row("all layers", *cells(None, "all"), style="bold")
    made.add_row("99 % of errors", *cells(None, "nearly all"))
    return made


def _correct(rows: Sequence[Mapping[str, Any]]) -> Table:
    made = table("", "cases", "false alarms", "inconclusive", "arrays", "inconclusive")
    for row in rows:
        cases = row["right"] + row["alarm"] + row["inconclusive"]
        counts = [f"{row[name]:,} ({100 * row[name] / cases:.1f} %)" for name in ("alarm", "inconclusive")]
        arrays = row["arrays"]
        more = (f"{sum(arrays.values()):,}", f"{arrays.get('inconclusive', 0):,}") if arrays else ()
        made.add_row(row["checker"], f"{cases:,}", *counts, *more)
    return made


def _campaign(dtypes: Mapping[str, Mapping[str, Any]]) -> Table:
    made = table("", "false alarms", "rate (95 %) below", "arrays", "disagree", "inconclusive")
    for dtype, row in dtypes.items():
        unsure = f"{row['inconclusive']:,} ({100 * row['inconclusive'] / max(row['arrays'], 1):.3f} %)"
        below = f"{100 * row['rate_below']:.3g} %"
        made.add_row(dtype, f"{row['alarms']:,}", below, f"{row['arrays']:,}", f"{row['disagree']:,}", unsure)
    return made


def _sentence(finding: Mapping[str, Any]) -> str:
    architecture = f"random_architecture({finding['seed']}, [{finding['op']!r}], 1)"
    error = finding["error"]
    if error is None:
        return f"{finding['checker']}: false alarm on {architecture}"
    where = f"gradient of {error['kind']} {error['name']}{list(error['index'])}"
    return (
        f"{finding['checker']}: overlooked 1e{_exponent(error['size'])} of the {error['relation']} in the {where} "
        f"of {architecture}"
    )


def draw(document: Mapping[str, Any], file: Path) -> None:
    """Draw the share of errors caught against their size, for all layers together, and by layer.

    Raises
    ------
    OSError
        The file cannot be written.
    ValueError
        The ending of the file is no format of a picture.
    """
    from matplotlib.figure import Figure

    checkers = document["checkers"]
    ops = sorted(document["cases"])
    half = (len(ops) + 1) // 2
    curves, layers = 4.5, 1.2 + 0.15 * half  # inches
    figure = Figure(figsize=(12, curves + layers), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(curves, layers))
    style: dict[str, dict[str, Any]] = {
        checker: {"color": colour, "marker": "o" if checker.startswith("backproof") else "s", "markersize": 4}
        for checker, colour in zip(checkers, COLOURS)
    }
    for number, relation in enumerate(RELATIONS):
        axes = figure.add_subplot(grid[0, number])
        for checker in checkers:
            own = [row for row in document["caught"] if (row["checker"], row["relation"]) == (checker, relation)]
            axes.plot([r["size"] for r in own], [100 * caught_share(r) for r in own], **style[checker], label=checker)
        axes.set(xscale="log", ylim=(-3, 103), ylabel="caught, %", xlabel=f"error / {BESIDE[relation]}")
        _open(axes)
    figure.axes[0].legend(frameon=False)
    figure.axes[0].set_title("errors in one coordinate of one gradient", loc="left")
    smallest = [row for row in document["smallest"] if row["relation"] == "value" and row["all"] is not None]
    for number, shown in enumerate((ops[:half], ops[half:])):
        axes = figure.add_subplot(grid[1, number])
        for row in smallest:
            if row["op"] in shown:
                beside = 0.12 * (checkers.index(row["checker"]) - len(checkers) / 2)  # side by side, not on top
                axes.plot(row["all"], shown.index(row["op"]) + beside, linestyle="", **style[row["checker"]])
        axes.set(xscale="log", xlim=(0.2, 5e-13), xlabel=f"error / {BESIDE['value']}", ylim=(half - 0.3, -0.7))
        axes.set_yticks(range(len(shown)), shown, fontsize=7)
        _open(axes)
    figure.axes[2].set_title("smallest size down to which all are caught", loc="left")
    figure.savefig(file, dpi=110, metadata={"Software": None} if file.suffix == ".png" else None)


def _open(axes: Axes) -> None:
    """Draw a grid in place of a frame; large errors stand on the left."""
    axes.set_xlim(*sorted(axes.get_xlim(), reverse=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
