"""The command line. Nothing heavy is imported before a command runs, so help is quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

import backproof

DTYPES = ("float64", "float32")
dtype_help = "float64, float32, float16, complex128, separated by commas."


class CommaSeparated(click.ParamType[tuple[str, ...]]):
    """``A,B`` as a tuple of names."""

    name = "A,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Split; an empty or repeated name is a mistake."""
        if isinstance(value, tuple):
            return value
        names = tuple(part.strip() for part in str(value).split(","))
        if not all(names) or len(set(names)) < len(names):
            self.fail(f"{value!r} has an empty or a repeated name", param, ctx)
        return names


class UserError(click.ClickException):
    """A user's mistake: one line, exit status 2."""

    exit_code = 2

    def format_message(self) -> str:
        """Keep it on one line."""
        return " ".join(self.message.split())


@contextmanager
def mistakes() -> Iterator[None]:
    """Turn what users can get wrong into one line and exit status 2."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        raise click.exceptions.Exit(130) from None
    except ValueError as error:  # every error of ours about a user's input is one
        raise UserError(str(error)) from error


def check_packages() -> None:
    """Say so if a folder of the user's hides one of our packages, whose names are plain."""
    home = Path(backproof.__file__).parent.parent
    for name in ("impl", "reference", "reports"):
        spec = find_spec(name)
        found = Path(spec.origin).parent.parent if spec and spec.origin else None
        if found != home:
            where = f"found in {found / name}" if found else "not found"
            raise UserError(f"the package {name!r} is {where}, wanted beside backproof in {home}: rename that one")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(backproof.__version__, prog_name="backproof")
def main() -> None:
    """Prove hand-written gradients against PyTorch autograd and finite differences.

    Exit status: 0 all agree, 1 a disagreement, 2 wrong usage or unreadable input, 3 the implementation itself failed,
    130 interrupted.
    """
    check_packages()


implementation_option = click.option(
    "--implementation",
    default="numpy",
    show_default=True,
    help="numpy, torch, package.module:object or the name of an entry point.",
)
dtype_option = click.option(
    "--dtype", "dtypes", type=CommaSeparated(), default=DTYPES, show_default=",".join(DTYPES), help=dtype_help
)
second_order_option = click.option(
    "--second-order", is_flag=True, help="Compare the gradient of the gradient, too, in float64."
)
time_limit_option = click.option(
    "--time-limit",
    type=click.FloatRange(0.0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="For one architecture; what takes longer is taken to hang.",
)


quiet_option = click.option("-q", "--quiet", is_flag=True, help="Show only failures and the verdict.")


def _without_colour(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.color = False


no_color_option = click.option(
    "--no-color",
    is_flag=True,
    expose_value=False,
    callback=_without_colour,
    help="Show everything in one colour, as the variable NO_COLOR does.",
)
json_option = click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write the numbers here as well; - is standard output.",
)


@main.command()
@implementation_option
@click.option("--examples", type=click.IntRange(1, 10**7), default=500, show_default=True, help="Architectures.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Draws them.")
@dtype_option
@click.option("--layers", type=CommaSeparated(), help="Only these layers, for example Linear,ReLU.")
@second_order_option
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="Where the reference runs."
)
@click.option("--workers", type=click.IntRange(1, 256), help="Processes.  [default: one per core]")
@click.option("--scheduler", metavar="ADDRESS", help="Run on the Dask cluster of this scheduler instead.")
@click.option(
    "--store",
    "file",
    type=click.Path(path_type=Path),
    help="Keep every result in this file: a run that ends early goes on where it was, and others may join in.",
)
@time_limit_option
@click.option(
    "--report",
    "folder",
    type=click.Path(path_type=Path),
    default=Path("backproof-report"),
    show_default=True,
    help="Folder of the report.",
)
@json_option
@click.option("--junit", "junit_file", type=click.Path(path_type=Path), help="Write JUnit XML here as well.")
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    help="Compare with this run (a --json file or a store): 1 if anything got worse.",
)
@click.option(
    "--corpus", "folder_of_saved", type=click.Path(path_type=Path), help="Replay this folder's architectures first."
)
@quiet_option
@no_color_option
def verify(
    implementation: str,
    examples: int,
    seed: int,
    dtypes: tuple[str, ...],
    layers: tuple[str, ...] | None,
    second_order: bool,
    device: str,
    workers: int | None,
    scheduler: str | None,
    file: Path | None,
    time_limit: float,
    folder: Path,
    json_file: Path | None,
    junit_file: Path | None,
    baseline: Path | None,
    folder_of_saved: Path | None,
    quiet: bool,
) -> None:
    """Verify random architectures and write a report."""
    if workers and scheduler:
        raise click.UsageError("either --workers or --scheduler: the cluster has workers of its own")
    with mistakes(), ExitStack() as opened:
        from backproof import corpus
        from backproof.campaign import Campaign, Processes, checked
        from backproof.catalogue import rows
        from backproof.session import Session, command
        from reports import check_comparable, read
        from reports.store import Store

        before = read(baseline) if baseline else None
        if before:
            check_comparable(before, dtypes, layers)
        saved = corpus.read(folder_of_saved) if folder_of_saved else ()
        session = Session(folder, json_file, before, junit_file, quiet)
        if scheduler:
            from backproof.cluster import Cluster

            processes: Processes = opened.enter_context(Cluster(scheduler, implementation, time_limit))
        with session.busy("loading PyTorch and the implementation"):
            campaign = checked(Campaign(implementation, examples, seed, dtypes, layers, second_order, device))
        if not scheduler:
            processes = opened.enter_context(campaign.pool(workers or len(os.sched_getaffinity(0)), time_limit))
        unsupported = [] if layers else sorted(rows().keys() - {*(campaign.layers or ())})
        about = campaign.definition() | {"chosen": layers and list(layers), "unsupported": unsupported}
        store = opened.enter_context(Store(file, about, examples, command()))
        session.replay(corpus.replay(saved, campaign, time_limit), len(saved))
        session.run(campaign.rows(store, processes), store, examples)
        session.gather(store)
        session.shrink(store)
    sys.exit(session.finish())


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@implementation_option
@dtype_option
@second_order_option
@time_limit_option
@json_option
@quiet_option
@no_color_option
def replay(
    file: Path,
    implementation: str,
    dtypes: tuple[str, ...],
    second_order: bool,
    time_limit: float,
    json_file: Path | None,
    quiet: bool,
) -> None:
    """Verify one saved architecture again (a failure-....json of a report)."""
    with mistakes():
        from backproof.campaign import Campaign, check_second_order, replayed
        from backproof.session import Session, command
        from reference import Architecture
        from reference.architecture import LIMITS
        from reports.store import Store

        with file.open("rb") as opened:
            architecture = Architecture.from_json(opened.read(LIMITS["bytes"] + 1))
        check_second_order(dtypes, second_order)
        session = Session(None, json_file, quiet=quiet)
        about = Campaign(implementation, 1, 0, dtypes, (), second_order).definition() | {"seed": None}
        with Store(None, about, 1, command()) as store:
            row = replayed(architecture, implementation, dtypes, second_order, time_limit)
            session.run((row for _ in range(1)), store, 1)
            session.gather(store)
            session.shrink(store)
    sys.exit(session.finish())


FORMS = ("html", "svg", "markdown", "json", "junit", "csv", "badge")
"""As :mod:`reports.forms` knows them, which help need not load."""
COMPARISON_FORMS = ("html", "markdown", "json")


def forms_option(known: tuple[str, ...], *, default: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Say in which formats to write, separated by commas or one option each."""

    def flat(context: click.Context, param: click.Parameter, given: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
        names = tuple(name for names in given for name in names)
        for name in names:
            if name not in known:
                raise click.BadParameter(f"no format {name!r}: known are {', '.join(known)}")
        return tuple(dict.fromkeys(names)) or (("html",) if default else ())

    told = f"{', '.join(known)}, separated by commas; one that is one file goes to standard output without -o."
    return click.option("--format", "forms", type=CommaSeparated(), multiple=True, callback=flat, help=told)


output_option = click.option(
    "-o", "--output", "folder", type=click.Path(path_type=Path), help="Folder of it all.  [default: backproof-report]"
)


@main.command()
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@json_option
@forms_option(COMPARISON_FORMS, default=False)
@output_option
@no_color_option
def compare(base: Path, new: Path, json_file: Path | None, forms: tuple[str, ...], folder: Path | None) -> None:
    """Tell what got worse from one run to another (--json files or stores).

    Exit status: 1 only for a regression, which chance would show in fewer than one of 1,000 comparisons.
    """
    with mistakes():
        from backproof.reporting import compare as compared

        regression = compared(base, new, json_file, forms, folder)
    sys.exit(1 if regression else 0)


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@forms_option(FORMS, default=True)
@output_option
@quiet_option
@no_color_option
def report(run: Path, forms: tuple[str, ...], folder: Path | None, quiet: bool) -> None:
    """Write the report of a run: a store (verify --store), or what --json wrote."""
    with mistakes():
        from backproof.reporting import report as written

        written(run, forms, folder, quiet)


@main.command()
@no_color_option
def layers() -> None:
    """Show which classes of torch.nn are covered."""
    from backproof.coverage import show
    from backproof.terminal import console

    show(console())


@main.command()
@click.option("--examples", type=click.IntRange(1, 10**6), default=5, show_default=True, help="Trainings of each.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Draws them.")
@click.option("--steps", type=click.IntRange(1, 10**6), default=50, show_default=True, help="Steps of a training.")
@click.option("--optimizers", "names", type=CommaSeparated(), help="Only these, for example SGD,Adam.")
@click.option("--figure", type=click.Path(path_type=Path), help="Draw the digits over the steps here, as SVG.")
@no_color_option
def optimizers(examples: int, seed: int, steps: int, names: tuple[str, ...] | None, figure: Path | None) -> None:
    """Train random networks with every optimizer, beside torch.optim's."""
    with mistakes():
        from backproof.campaign import one_thread
        from backproof.optimizers import checked, verify
        from backproof.session import AGREE, DISAGREE
        from backproof.terminal import console

        found = checked(names)
        one_thread()
        agree = verify(console(), found, examples, seed, steps, figure)
    sys.exit(AGREE if agree else DISAGREE)


@main.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="CSV of x1,x2,target; the target is from 0 to 1.  [default: XOR]",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=None, help="Draws the initial weights.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), default=None, help="Learning rate.")
@click.option("--epochs", type=click.IntRange(1, 10**6), default=None, help="How long to train at most.")
@no_color_option
def walkthrough(data: Path | None, **given: Any) -> None:
    """Go through backpropagation by hand, step by step, with numbers."""
    from backproof.terminal import console
    from backproof.walkthrough import walkthrough as walk

    with mistakes():
        walk(console(), data=data, **{name: value for name, value in given.items() if value is not None})
