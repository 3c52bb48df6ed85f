"""Chores: ``nox`` runs tests, lint and types; ``nox -s deep`` searches for much longer."""

import nox

nox.options.sessions = ["tests", "lint", "types"]


def install(session: nox.Session, extras: str) -> None:
    """Install the project with what was tested."""
    session.install("-c", "constraints.txt", "-e", f".[{extras}]")


@nox.session
def tests(session: nox.Session) -> None:
    """Property tests of everything, on two processes."""
    install(session, "test")
    session.run("pytest", "-n", "2", *session.posargs)


@nox.session
def deep(session: nox.Session) -> None:
    """The same tests with twenty times the examples."""
    install(session, "test")
    session.run("pytest", "-n", "2", "--hypothesis-profile=deep", *session.posargs)


@nox.session
def peers(session: nox.Session) -> None:
    """The adapters of other libraries (tinygrad calls clang, which must be there)."""
    install(session, "test,peers")
    session.run("pytest", "tests/examples", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Change impl in thousands of places, one at a time: docs/mutants.md says which changes no test notices."""
    install(session, "mutants")
    session.run("mutmut", "run", *session.posargs)
    session.run("mutmut", "results")


@nox.session
def docs(session: nox.Session) -> None:
    """The site, in docs/_build/html: warnings are errors, and every reference within it is checked."""
    install(session, "docs")
    session.run("sphinx-build", "-W", "--keep-going", "-n", "-d", "docs/_build/doctrees", "docs", "docs/_build/html")


@nox.session
def links(session: nox.Session) -> None:
    """Links of the site to elsewhere, which needs a network."""
    install(session, "docs")
    session.run("sphinx-build", "-b", "linkcheck", "-d", "docs/_build/doctrees", "docs", "docs/_build/links")


@nox.session
def lint(session: nox.Session) -> None:
    """Style, and the walls between the packages."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    """Types, strictly."""
    install(session, "lint")
    session.run("mypy")
