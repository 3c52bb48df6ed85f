"""What is shown while a run goes on: on a terminal, a dumb one, in a log, quietly."""

import re
from dataclasses import replace
from io import StringIO

import pytest
from click.testing import CliRunner
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from backproof import progress as module
from backproof import terminal
from backproof.cli import main
from backproof.progress import Progress, busy
from backproof.verification import verify
from reference import Architecture, Input, Node
from reports.row import Row

LINEAR = Architecture((Input("x", (2, 1)),), (Node("a", "ReLU", {}, ("x",)),), ("a",))
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f]")


class Clock:
    """Time goes on when it is told to."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(module, "monotonic", made)
    return made


@pytest.fixture(scope="module")
def failing():
    agreement = verify(LINEAR)
    return Row.of(7, [replace(agreement, culprit="a", op="ReLU", failure="[red]\x1b[2J " + "汉字" * 300)])


def console(**options):
    return Console(file=StringIO(), width=80, **options)


def test_it_says_rate_time_left_digits_and_failures(clock, failing):
    progress = Progress(console(), "verifying", 5000, 1000)
    assert progress.in_words() == "verifying 1,000 of 5,000"
    progress.worst = {"float64": 11.83, "float32": 4.9}
    progress.watch(failing)
    clock.now += 40
    progress.update(1500)  # of which this run did 500
    assert progress.in_words() == ("verifying 1,500 of 5,000, 12.5/s, 0:04:40 left, digits 11.8 / 4.9, 1 failed")
    progress.update(5000)
    assert "100/s, 0:00:00 left" in progress.in_words()


def test_a_log_gets_a_line_after_two_seconds_and_then_now_and_then(clock, failing):
    there = console()
    with Progress(there, "verifying", 1000) as progress:
        progress.watch(failing)
        for second in range(1, 62):
            clock.now += 1
            progress.update(second)
    lines = there.file.getvalue().splitlines()
    assert [line.partition(" of")[0] for line in lines[::2]] == ["verifying 3", "verifying 34"]
    assert all(line.startswith("last: a (ReLU) in float64: [red]\ufffd[2J 汉字") for line in lines[1::2])
    assert not CONTROL.search(there.file.getvalue())
    assert max(map(cell_len, lines)) <= 80


def test_a_dumb_terminal_is_written_like_a_log(clock):
    there = console(force_terminal=True, _environ={"TERM": "dumb"})
    with Progress(there, "verifying", 10) as progress, busy(there, "adding it up"):
        clock.now += 3
        progress.update(1)
    assert there.file.getvalue() == "verifying 1 of 10, 0.3/s, 0:00:27 left\n"


def test_a_terminal_shows_a_bar_that_is_gone_afterwards(clock, failing):
    there = console(force_terminal=True, color_system=None, _environ={"TERM": "xterm"})
    with Progress(there, "verifying", 1000) as progress:
        progress.watch(failing)
        clock.now += 3
        progress.update(10)
        progress._live.refresh()
    written = there.file.getvalue()
    assert "verifying 10 of 1,000, 3.3/s" in written
    assert "last: a (ReLU) in float64: [red]\ufffd[2J" in written
    assert "\x1b[2J" not in written
    assert written.endswith("\x1b[2K")  # the lines are cleared
    frames = Text.from_ansi(written).plain.splitlines()
    assert max(map(cell_len, frames)) <= 80


def test_quietly_nothing_is_shown(clock, failing):
    there = console(force_terminal=True, _environ={"TERM": "xterm"})
    with Progress(there, "verifying", 10, quiet=True) as progress, busy(there, "adding it up", quiet=True):
        progress.watch(failing)
        clock.now += 100
        progress.update(5)
    assert there.file.getvalue() == ""


QUICK = ["verify", "--examples", "2", "--layers", "Linear", "--workers", "1"]


def test_quiet_shows_the_verdict_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, [*QUICK, "--quiet"])
    assert done.exit_code == 0
    assert re.fullmatch(r"numpy agrees with PyTorch autograd .*\.\n", done.output.replace("\n", " ").strip() + "\n")
    assert (tmp_path / "backproof-report/index.html").exists()


@pytest.mark.parametrize(("way", "coloured"), [("", True), ("--no-color", False), ("NO_COLOR", False)])
@pytest.mark.parametrize("command", ["verify", "report", "compare", "replay", "layers", "optimizers", "walkthrough"])
def test_without_colour_there_is_none(way, coloured, command, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    if way == "NO_COLOR":
        monkeypatch.setenv(way, "1")
    files = {"report": ["run"], "replay": ["run"], "compare": ["base", "new"]}.get(command, [])
    with main.commands[command].make_context(command, [*files, *([way] if way.startswith("-") else [])]):
        terminal.console().print("[red]a failure[/]")
    written = capsys.readouterr().out
    assert "a failure" in written
    assert bool(re.search("\x1b\\[[0-9;]*3[0-9]", written)) is coloured


def test_the_table_fits_eighty_columns_with_every_dtype():
    dtypes = ("float64", "float32", "float16", "complex128")
    row = {"cases": 10**6, "agree": 10**8, "disagree": 10**5, "inconclusive": 10**5}
    rows = [row | {"op": op, "worst_digits": dict.fromkeys(dtypes, 15.9)} for op in ("x" * 70, "汉" * 40, "[red]\x1b")]
    there = console()
    there.print(terminal.table({"dtypes": dict.fromkeys(dtypes), "layers": rows}))
    lines = there.file.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= 80
    assert sum("1,000,000" in line and line.count("15.9") == 4 for line in lines) == 3  # no number is cut
    assert not CONTROL.search("".join(lines))
