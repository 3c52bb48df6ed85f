"""How far a run is: a bar and a line on a terminal; elsewhere, in a log say, a line now and then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from backproof.terminal import plain
from reports.packing import unpack
from reports.row import Row

QUICK = 2.0
"""Seconds after which whatever is not done yet says what it is at."""

NOW_AND_THEN = 30.0
"""Seconds between two lines of a log."""

BAR = 24
"""Columns."""

LAST = 200
"""Characters of the last disagreement, before it is cut to the width."""


class Progress:
    """Shows how many of something are done, for as long as it is entered.

    Parameters
    ----------
    console
        Where. If it is no terminal, or a dumb one, a line is written now and then.
    verb, total, done
        What is done (``verifying``), to how many, and how many were done before.
    quiet
        Show nothing.
    """

    def __init__(self, console: Console, verb: str, total: int, done: int = 0, quiet: bool = False) -> None:
        self.console, self.verb, self.total, self.done, self.quiet = console, verb, total, done, quiet
        self.before, self.started = done, monotonic()
        self.failed = 0
        self.last: Row | None = None
        self.worst: dict[str, float] = {}
        self._told = self.started + QUICK - NOW_AND_THEN
        live = console.is_terminal and not console.is_dumb_terminal and not quiet
        self._live = Live(get_renderable=self._drawn, console=console, transient=True) if live else None

    def __enter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def watch(self, row: Row) -> None:
        """Take note of what one example gave: its digits, and whether it is the last that failed."""
        for dtype, digits in row.worst.items():
            self.worst[dtype] = min(digits, self.worst.get(dtype, digits))
        if row.verdict != "agree":
            self.failed += 1
            self.last = row

    def update(self, done: int) -> None:
        """Say how many are done."""
        self.done = done
        if self._live is None and not self.quiet and monotonic() > self._told + NOW_AND_THEN:
            self._told = monotonic()
            for line in self._lines():
                self.console.print(line, highlight=False, no_wrap=True, overflow="ellipsis")

    def in_words(self) -> str:
        """Say it: ``verifying 120 of 500, 12.3/s, 0:00:31 left, digits 11.8 / 4.9, 2 failed``."""
        seconds = monotonic() - self.started
        rate = (self.done - self.before) / seconds if seconds > 0 else 0.0
        parts = [f"{self.verb} {self.done:,} of {self.total:,}"]
        if rate > 0:
            parts.append(f"{rate:.1f}/s" if rate < 100 else f"{rate:,.0f}/s")
            parts.append(f"{timedelta(seconds=round((self.total - self.done) / rate))} left")
        if self.worst:
            parts.append(f"digits {' / '.join(f'{least:.1f}' for least in self.worst.values())}")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return ", ".join(parts)

    def _drawn(self) -> RenderableType:
        width = min(BAR, self.console.width)
        return Group(ProgressBar(total=max(self.total, 1), completed=self.done, width=width), *self._lines())

    def _lines(self) -> list[Text]:
        """Return the words and the last disagreement, each cut to one line."""
        lines = [Text(self.in_words())]
        if self.last is not None:
            lines.append(Text.from_markup(f"last: {plain(_in_words(self.last), LAST)}", style="red"))
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return lines


def _in_words(failed: Row) -> str:
    first = next(agreement for agreement in unpack(failed.packed) if not agreement.agrees)
    name = f"{first.culprit} ({first.op})" if first.culprit else "the composition"
    return f"{name} in {first.dtype}: {first.failure or first.diagnosis or 'disagrees'}"


@contextmanager
def busy(console: Console, what: str, quiet: bool = False) -> Iterator[None]:
    """Say on a terminal what is going on that has no parts to count."""
    if quiet or not console.is_terminal or console.is_dumb_terminal:
        yield
    else:
        with console.status(what, spinner="line"):
            yield
