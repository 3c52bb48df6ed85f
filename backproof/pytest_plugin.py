"""The pytest plugin: fixtures, a marker, options, and one report of all that a session verified.

Whoever does not use it pays nothing: everything heavy is imported when something is verified.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from backproof.listening import heard_by

if TYPE_CHECKING:
    from backproof.gathering import Gathered
    from reports import Summary

DTYPES = ("float64", "float32")
EXAMPLES = 100
MARKED = ("layers", "examples", "dtypes")
HELP = {
    "implementation": ("NAME", "What is verified: numpy, torch, package.module:object or an entry point's name."),
    "examples": ("N", "Random architectures of each verification."),
    "seed": ("S", "Draws them."),
    "dtypes": ("A,B", "float64, float32, float16, complex128, separated by commas."),
    "layers": ("A,B", "Only these layers, for example Linear,ReLU."),
    "report": ("DIR", "Folder of the report on all that the session verified, and of its numbers as JSON."),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options, each also as a setting in the configuration file: ``backproof_examples = 1000``."""
    group = parser.getgroup("backproof", "gradients, verified by backproof")
    for name, (value, said) in HELP.items():
        group.addoption(f"--backproof-{name}", dest=f"backproof_{name}", metavar=value, default=None, help=said)
        parser.addini(f"backproof_{name}", said, default="")


class Settings:
    """The options of a session, parsed.

    Raises
    ------
    pytest.UsageError
        A value is malformed: said in one line.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self.implementation: str = self._given("implementation") or "numpy"
        self.examples: int | None = self._parsed("examples", lambda click: click.IntRange(1, 10**7))
        self.seed: int = self._parsed("seed", lambda click: click.IntRange(0, 2**32 - 1)) or 0
        self.dtypes: tuple[str, ...] = self._parsed("dtypes", _names) or DTYPES
        self.layers: tuple[str, ...] | None = self._parsed("layers", _names)
        self.report = self._path("report")
        if self.report:
            nearest = next(path for path in (self.report, *self.report.parents) if path.exists())
            if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
                raise pytest.UsageError(f"--backproof-report: {nearest} is no folder that can be written")

    def _given(self, name: str) -> str | None:
        return self._config.getoption(f"backproof_{name}") or self._config.getini(f"backproof_{name}") or None

    def _parsed(self, name: str, kind: Callable[[Any], Any]) -> Any:
        text = self._given(name)
        if text is None:
            return None
        import click

        try:
            return kind(click).convert(text, None, None)
        except click.BadParameter as error:
            raise pytest.UsageError(f"--backproof-{name}: {error.message}") from None

    def _path(self, name: str) -> Path | None:
        on_command_line, text = self._config.getoption(f"backproof_{name}"), self._given(name)
        home = self._config.invocation_params.dir if on_command_line else self._config.rootpath
        return home / text if text else None

    def check(self) -> None:
        """Look up what was named on the command line.

        Raises
        ------
        pytest.UsageError
            There is no such implementation, layer or dtype, or the one does not support the others.
        """
        if any(self._config.getoption(f"backproof_{name}") for name in ("implementation", "dtypes", "layers")):
            from backproof.asserting import work

            try:
                work(self.implementation, self.dtypes, self.layers, 1, self.seed)
            except ValueError as error:
                raise pytest.UsageError(_in_a_line(error)) from error


def _names(click: Any) -> Any:
    from backproof.cli import CommaSeparated

    return CommaSeparated()


def _in_a_line(error: object) -> str:
    return " ".join(str(error).split())


class Session:
    """Gathers what the tests of a session verify, wherever they run, and reports it at the end.

    What a test verified travels with its report, as plain JSON: so a process of pytest-xdist, a repeated test and this
    very process are all the same.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config, self.settings = config, Settings(config)
        self._to_controller: dict[str, Any] | None = vars(config).get("workeroutput")
        self._pending: Gathered | None = None
        self._all: Gathered | None = None
        self._document: dict[str, Any] | None = None
        self._said: list[str] = []

    def include(self, document: Mapping[str, Any]) -> None:
        """Take in what a fixture verified."""
        self._pending = self._pending or _nothing_yet()
        self._pending.include(document)

    def _hear(self, agreement: Any) -> None:
        self._pending = self._pending or _nothing_yet()
        self._pending.hear(agreement)

    def _taken(self) -> dict[str, Any] | None:
        pending, self._pending = self._pending, None
        return pending.document() if pending else None

    def _keep(self, document: Mapping[str, Any] | None) -> None:
        if document:
            self._all = self._all or _nothing_yet()
            self._all.include(document)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Look the names up before anything is collected."""
        if self._to_controller is None:
            self.settings.check()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, Any, Any]:
        """Hear of what is verified while a test runs."""
        with heard_by(self._hear):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, Any, Any]:
        """Send along what was verified."""
        report = yield
        if document := self._taken():
            report.backproof = document
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in what was sent."""
        if self._to_controller is None:
            self._keep(getattr(report, "backproof", None))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take in what a process of pytest-xdist was at when it was interrupted."""
        self._keep(getattr(node, "workeroutput", {}).get("backproof"))

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the report; what was verified in an interrupted test is in it."""
        if self._to_controller is not None:
            self._to_controller["backproof"] = self._taken()
            return
        self._keep(self._taken())
        if not self._all:
            return
        from backproof.session import environment

        command = shlex.join(["pytest", *map(str, self.config.invocation_params.args)])
        self._document = self._all.document(
            seed=self.settings.seed,
            command=command,
            environment=environment(),
            interrupted=exitstatus == pytest.ExitCode.INTERRUPTED,
        )
        if self.settings.report:
            from reports import write_report

            try:
                self._said.append(f"report: {write_report(self.settings.report, self._document)}")
            except OSError as error:
                self._said.append(f"Error: {error.filename or self.settings.report}: {error.strerror}")
                if session.exitstatus == pytest.ExitCode.OK:
                    session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say the result in digits; nothing if nothing was verified."""
        if self._document:
            from backproof.terminal import in_lines

            terminalreporter.section("backproof")
            for line in (*in_lines(self._document), *self._said):
                terminalreporter.line(line)


def _nothing_yet() -> Gathered:
    from backproof.gathering import Gathered

    return Gathered()


SESSION = pytest.StashKey[Session]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and begin to gather."""
    config.addinivalue_line(
        "markers",
        f"backproof({', '.join(MARKED)}): what backproof_verify takes where a test does not say it.",
    )
    config.stash[SESSION] = Session(config)
    config.pluginmanager.register(config.stash[SESSION], "backproof-session")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a marker that says what is not known."""
    _marked(item)


def _marked(item: pytest.Item) -> dict[str, Any]:
    """Return what the markers of a test, its class and its module say; the nearest holds."""
    said: dict[str, Any] = {}
    for marker in item.iter_markers("backproof"):
        unknown = [*map(repr, marker.args), *(name for name in marker.kwargs if name not in MARKED)]
        if unknown:
            pytest.fail(
                f"@pytest.mark.backproof: {unknown[0]} is unknown, it takes {', '.join(MARKED)} by name", pytrace=False
            )
        said = {**marker.kwargs, **said}
    return said


def _refuse(error: object) -> NoReturn:
    pytest.fail(f"backproof_verify: {_in_a_line(error)}", pytrace=False)


def _or_refuse(kind: type[Exception], call: Callable[..., Any], *given: Any) -> Any:
    """Call something; what a test asks for in vain becomes one line."""
    __tracebackhide__ = True
    try:
        return call(*given)
    except kind as error:
        refused = error
    _refuse(refused)


@pytest.fixture
def backproof_verify(request: pytest.FixtureRequest) -> Callable[..., Summary]:
    """Verify an implementation of layers against PyTorch and finite differences.

    ``backproof_verify(implementation=None, *, layers=None, examples=None, seed=None, dtypes=None, architecture=None)``
    draws random architectures, or takes the one given, and raises DisagreementError with all that is wrong. What is
    None is as the test's marker, the command line or the configuration file say.
    """
    session, marked = request.config.stash[SESSION], _marked(request.node)
    settings = session.settings

    def verify(
        implementation: Any = None,
        *,
        layers: Any = None,
        examples: int | None = None,
        seed: int | None = None,
        dtypes: Any = None,
        architecture: Any = None,
    ) -> Summary:
        __tracebackhide__ = True
        from backproof.asserting import verify_each, work
        from backproof.witnesses import Unsupported

        def first(*given: Any) -> Any:
            return next((value for value in given if value is not None), None)

        if architecture is not None and (layers, examples, seed) != (None, None, None):
            _refuse("layers, examples and seed draw architectures: none of them goes with architecture")
        asked = _or_refuse(
            ValueError,
            work,
            first(implementation, settings.implementation),
            first(dtypes, marked.get("dtypes"), settings.dtypes),
            first(layers, marked.get("layers"), settings.layers),
            first(examples, marked.get("examples"), settings.examples, EXAMPLES),
            first(seed, settings.seed),
            architecture,
        )
        verified: Summary = _or_refuse(Unsupported, verify_each, asked, session.include)
        return verified

    return verify
