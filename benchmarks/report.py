"""The speed as tables in 80 columns, beside an earlier measurement, and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import checks, growth, harness, networks
from benchmarks.clock import sentence
from benchmarks.libraries import OURS, PEERS, TORCH
from benchmarks.output import say, table

COLOURS = {OURS: "#0b5394", TORCH: "#b45309", checks.SLOW: "#6b8e23"}
TARGET, LIMIT = 0.7, 1.5
"""What is aimed at: the geometric mean of the ratios, and the largest of them."""

BESIDE = 4
"""Curves side by side."""

Row = Mapping[str, Any]


def show(console: Console, document: Mapping[str, Any]) -> None:
    """Show all that was measured."""
    say(console, sentence(document["machine"]))
    if document["absent"]:
        say(console, f"Not installed, so left out: {', '.join(document['absent'])} (pip install -e '.[benchmarks]').")
    if rows := document["networks"]:
        _networks(console, rows)
    if rows := document["differences"]:
        _differences(console, rows)
    if rows := document["harness"]:
        say(console, "\nThe harness:")
        made = table("", "")
        for name, figure in harness.figures(rows).items():
            made.add_row(name, _short(figure))
        console.print(made)
    if rows := document["growth"]:
        say(console, "\nHow the time grows with the size n, over the upper half of the sizes:")
        console.print(_growth(rows))


def _short(number: float) -> str:
    """Write three digits that count."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}" if number < 0.1 else f"{number:.2f}"


def _networks(console: Console, rows: Sequence[Row]) -> None:
    say(console, "\nForward and backward of a training step, in ms (medians):")
    console.print(_pairs(rows, lambda row, who: 1e3 * row["seconds"][who]["median"], networks.ratio, summed_up=True))
    ratios = [networks.ratio(row) for row in rows]
    worst = max(rows, key=networks.ratio)
    say(
        console,
        f"Over all {len(rows)}: geometric mean {networks.geometric_mean(ratios):.2f}, "
        f"worst {max(ratios):.2f} ({worst['workload']}, {worst['dtype']}).",
    )
    say(console, _agreement(rows))
    if peers := [row for row in rows if len(row["seconds"]) > 2]:
        names = [who for who in (OURS, *PEERS) if any(who in row["seconds"] for row in peers)]
        say(console, "\nThe peers' time divided by that of PyTorch eager:")
        made = table("", *names)
        for row in peers:
            made.add_row(f"{row['workload']}, {row['dtype']}", *(_short(networks.ratio(row, who)) for who in names))
        console.print(made)
    if all(networks.memory_ratio(row) is not None for row in rows):
        say(console, "\nPeak memory of a step above the data, in MiB:")
        console.print(_pairs(rows, lambda row, who: row["bytes"][who] / 2**20, networks.memory_ratio, summed_up=False))


def _agreement(rows: Sequence[Row]) -> str:
    found = {d: [row["digits"] for row in rows if row["dtype"] == d and row["digits"]] for d in networks.DTYPES}
    digits = " and ".join(f"{min(own):.1f} digits in {dtype}" for dtype, own in found.items() if own)
    return f"All came to the same loss and gradients, to at least {digits}; with dropout each draws its own."


def _pairs(
    rows: Sequence[Row],
    figure: Callable[[Row, str], float],
    ratio: Callable[[Row], float | None],
    summed_up: bool,
) -> Table:
    """One line for each workload: ours, torch and their ratio, in each dtype."""
    made = table("", *(heading for dtype in networks.DTYPES for heading in (dtype, TORCH, "ratio")))
    by = {(row["workload"], row["dtype"]): row for row in rows}

    def cells(found: Sequence[float | None]) -> list[str]:
        return ["" if number is None else _short(number) for number in found]

    for workload in dict.fromkeys(row["workload"] for row in rows):
        found: list[float | None] = []
        for dtype in networks.DTYPES:
            row = by.get((workload, dtype))
            found += [None] * 3 if row is None else [figure(row, OURS), figure(row, TORCH), ratio(row)]
        made.add_row(workload, *cells(found))
    if summed_up:
        for name, come in (("geometric mean", networks.geometric_mean), ("worst", max)):
            ratios = [[networks.ratio(row) for row in rows if row["dtype"] == dtype] for dtype in networks.DTYPES]
            found = [number for own in ratios for number in (None, None, come(own) if own else None)]
            made.add_row(name, *cells(found), style="bold")
    return made


def _differences(console: Console, rows: Sequence[Row]) -> None:
    say(console, "\nChecking the whole gradient of a network by finite differences, in float64:")
    for row in rows:
        whole = row["one_by_one"] == row["coordinates"]
        looked = "all" if whole else f"{row['one_by_one']:,} of them"
        say(
            console,
            f"\n{row['network']}: {row['coordinates']:,} coordinates. backproof looks at {looked} one by one, "
            f"and at {row['between']:,} between the layers.",
        )
        made = table("", "s", "coordinates/s", "times slow", "digits", "accepts")
        for who, times in row["seconds"].items():
            digits, accepted = row["digits"].get(who), row["accepted"].get(who)
            one_by_one = who in (OURS, checks.SLOW)
            made.add_row(
                who,
                _short(times["median"]),
                f"{checks.rate(row, who):,.0f}" if one_by_one else "one direction",
                _short(checks.rate(row, who) / checks.rate(row, checks.SLOW)) if one_by_one else "",
                "" if digits is None else f"{digits:.1f}",
                "" if accepted is None else "yes" if accepted else "no",
            )
        console.print(made)


def _growth(rows: Sequence[Row]) -> Table:
    made = table("n", "who", "time", "arithmetic", "the time grows")
    made.columns[1].justify = "left"
    for row in rows:
        for number, (who, exponents) in enumerate(row["exponents"].items()):
            cells = (f"n^{exponents[name]:.2f}" for name in ("measured", "arithmetic"))
            made.add_row("" if number else row["series"], who, *cells, growth.words(exponents))
    return made


def figures(document: Mapping[str, Any]) -> dict[str, float]:
    """Return everything that a later measurement can be compared by, under its name."""
    found: dict[str, float] = {}
    for row in document["networks"]:
        name = f"{row['workload']}, {row['dtype']}"
        found[f"{name}: time / torch"] = networks.ratio(row)
        if (memory := networks.memory_ratio(row)) is not None:
            found[f"{name}: memory / torch"] = memory
    for row in document["differences"]:
        found[f"{row['network']}: times slow"] = checks.rate(row, OURS) / checks.rate(row, checks.SLOW)
    found |= harness.figures(document["harness"])
    return found | {f"{row['series']}: exponent": row["exponents"][OURS]["measured"] for row in document["growth"]}


def compare(console: Console, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Show ratios beside those of an earlier measurement, and the ratio of the ratios."""
    before, after = figures(earlier), figures(now)
    common = [name for name in after if name in before]
    say(console, "\nBeside the earlier measurement:" if common else "\nThe earlier measurement has nothing in common.")
    if sentence(earlier["machine"]) != sentence(now["machine"]):
        say(console, f"It was made on: {sentence(earlier['machine'])}")
    if common:
        made = table("", "earlier", "now", "ratio")
        for name in common:
            made.add_row(name, _short(before[name]), _short(after[name]), f"{after[name] / before[name]:.2f}")
        console.print(made)


def draw(document: Mapping[str, Any], file: Path) -> None:
    """Draw the ratios of all workloads, and the curves of growth.

    Raises
    ------
    OSError
        The file cannot be written.
    ValueError
        The ending of the file is no format of a picture.
    """
    from matplotlib.figure import Figure

    rows, curves = document["networks"], document["growth"]
    lines = ceil(len(curves) / BESIDE)
    figure = Figure(figsize=(14, 5 * bool(rows) + 3.4 * lines), layout="constrained")
    heights = [5.0] * bool(rows) + [3.4 * lines] * bool(curves)
    above, *below = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    if rows:
        _bars(above.subplots(), rows)
    for part in below if rows else [above]:
        for number, curve in enumerate(curves, start=1):
            _curve(part.add_subplot(lines, BESIDE, number), curve)
    figure.savefig(file, dpi=110, metadata={"Software": None} if file.suffix == ".png" else None)


def _bars(axes: Any, rows: Sequence[Row]) -> None:
    workloads = list(dict.fromkeys(row["workload"] for row in rows))
    for dtype, colour, above in zip(networks.DTYPES, ("#3d9be0", "#0b5394"), (0.2, -0.2)):
        own = [row for row in rows if row["dtype"] == dtype]
        places = [above - workloads.index(row["workload"]) for row in own]
        axes.barh(places, [networks.ratio(row) for row in own], 0.38, color=colour, label=dtype)
    for at, style in ((TARGET, ":"), (1.0, "-"), (LIMIT, ":")):
        axes.axvline(at, color="black", linewidth=0.8, linestyle=style)
    axes.set_yticks([-number for number in range(len(workloads))], workloads)
    axes.set_xlabel(f"time of a training step / PyTorch eager's; dotted: {TARGET} and {LIMIT}")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _curve(axes: Any, curve: Row) -> None:
    sizes = [point["size"] for point in curve["points"]]
    for who, exponents in curve["exponents"].items():
        seconds = [point["seconds"][who]["median"] for point in curve["points"]]
        label = f"{who} n^{exponents['measured']:.2f}, arithmetic n^{exponents['arithmetic']:.2f}"
        axes.plot(sizes, seconds, color=COLOURS[who], marker="o", markersize=3, label=label)
        like = [seconds[-1] * (size / sizes[-1]) ** exponents["arithmetic"] for size in sizes[len(sizes) // 2 :]]
        axes.plot(sizes[len(sizes) // 2 :], like, color=COLOURS[who], linewidth=0.8, linestyle=":")
    axes.set(xscale="log", yscale="log", ylabel="s")
    axes.set_ymargin(0.3)
    axes.minorticks_off()
    shown = sizes[:: len(sizes) // 2]
    axes.set_xticks(shown, [f"{size:,}" for size in shown])
    axes.set_title(f"n: {curve['series']}", loc="left", fontsize=10)
    axes.set_xlabel(curve["what"], fontsize=8)
    axes.legend(frameon=False, fontsize=7, loc="upper left")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
