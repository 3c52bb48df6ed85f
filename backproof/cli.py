"""The command line. Nothing heavy is imported before a command runs, so help is quick."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import click

import backproof

AGREE, DISAGREE, USAGE, FAILED, INTERRUPTED = 0, 1, 2, 3, 130


class CommaSeparated(click.ParamType):
    """``A,B`` as a tuple of names."""

    name = "A,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Split; an empty name is a mistake."""
        if isinstance(value, tuple):
            return value
        names = tuple(part.strip() for part in str(value).split(","))
        if not all(names):
            self.fail(f"{value!r} has an empty name", param, ctx)
        return names


class UserError(click.ClickException):
    """A user's mistake: one line, exit status 2."""

    exit_code = USAGE

    def format_message(self) -> str:
        """Keep it on one line."""
        return " ".join(self.message.split())


@contextmanager
def _mistakes() -> Iterator[None]:
    """Turn what users can get wrong into one line and exit status 2."""
    from backproof.implementations import UnknownImplementation
    from backproof.verification import Unsupported
    from reference import ArchitectureError

    try:
        yield
    except (ArchitectureError, UnknownImplementation, Unsupported) as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(backproof.__version__, prog_name="backproof")
def cli() -> None:
    """Prove hand-written gradients against PyTorch autograd and finite differences."""
    _check_packages()


def _check_packages() -> None:
    """Say so if a folder of the user's hides one of our packages, whose names are plain."""
    home = Path(backproof.__file__).parent.parent
    for name in ("impl", "reference", "reports"):
        spec = find_spec(name)
        found = Path(spec.origin).parent.parent if spec and spec.origin else None
        if found != home:
            where = found / name if found else "nowhere"
            raise UserError(f"the package {name!r} is found in {where}, not beside backproof in {home}: rename that one")


dtype_option = click.option(
    "--dtype", "dtypes", type=CommaSeparated(), default=("float64", "float32"), help="float64, float32, float16.",
    show_default="float64,float32",
)
implementation_option = click.option(
    "--implementation", default="numpy", show_default=True, help="numpy, torch, package.module:object or an entry point."
)


@cli.command()
@implementation_option
@click.option("--examples", type=click.IntRange(1, 10_000_000), default=500, show_default=True, help="Architectures.")
@click.option("--seed", type=click.IntRange(0, (1 << 32) - 1), default=0, show_default=True, help="Draws them.")
@dtype_option
@click.option("--layers", type=CommaSeparated(), default=None, help="Only these layers, for example Linear,ReLU.")
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Processes.  [default: one per core]")
@click.option("--report", "folder", type=click.Path(path_type=Path), default=Path("backproof-report"),
              show_default=True, help="Folder of the report.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, allow_dash=True), default=None,
              help="Write the numbers here as well; - is standard output.")
def verify(
    implementation: str,
    examples: int,
    seed: int,
    dtypes: tuple[str, ...],
    layers: tuple[str, ...] | None,
    workers: int | None,
    folder: Path,
    json_file: Path | None,
) -> None:
    """Verify random architectures and write a report."""
    from backproof.campaign import Campaign
    from backproof.session import Session

    with _mistakes():
        try:
            campaign = Campaign(implementation, examples, seed, dtypes, layers).checked()
        except ValueError as error:
            raise UserError(str(error)) from error
        session = Session(folder, json_file, implementation, seed, examples)
        session.run(campaign.agreements(min(workers or len(os.sched_getaffinity(0)), -(-examples // 8))))
    sys.exit(session.finish())
