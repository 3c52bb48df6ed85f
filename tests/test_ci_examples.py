"""The examples for continuous integration: YAML of the right shape, and commands that our command line takes."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from backproof.cli import main

ROOT = Path(__file__).parents[1]
HOOKS, CONFIG = ROOT / ".pre-commit-hooks.yaml", ROOT / "examples/ci/pre-commit-config.yaml"
WORKFLOW, PIPELINE = ROOT / "examples/ci/github-actions.yml", ROOT / "examples/ci/gitlab-ci.yml"


def read(path: Path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def commands(found) -> Iterator[str]:
    """Every line of a document that runs backproof."""
    if isinstance(found, dict):
        for name, value in found.items():
            if name in ("run", "script"):
                lines = value if isinstance(value, list) else value.splitlines()
                yield from (line for line in lines if line.startswith("backproof "))
            else:
                yield from commands(value)
    elif isinstance(found, list):
        for entry in found:
            yield from commands(entry)


def hooked() -> Iterator[str]:
    """What pre-commit runs: the entry of the hook and the arguments of whoever uses it."""
    entries = {hook["id"]: hook["entry"] for hook in read(HOOKS)}
    for repository in read(CONFIG)["repos"]:
        for hook in repository["hooks"]:
            yield f"{entries[hook['id']]} {shlex.join(hook['args'])}"


LINES = [*commands(read(WORKFLOW)), *commands(read(PIPELINE)), *hooked()]


def test_all_of_them_run_backproof() -> None:
    verified = [line for line in LINES if line.split()[1] == "verify"]
    assert (len(verified), len(LINES)) == (4, 5)
    assert all("mypackage.layers:implementation" in line and "--corpus corpus" in line for line in verified)
    assert sum("--baseline" in line for line in verified) == 3


@pytest.mark.parametrize("line", LINES)
def test_every_command_is_one_that_our_command_line_takes(line: str) -> None:
    program, name, *arguments = shlex.split(line.partition(" >> $GITHUB_STEP_SUMMARY")[0])
    assert program == "backproof"
    command = main.commands[name]
    with command.make_context(name, arguments) as context:  # raises what click says of wrong options
        given = {"folder_of_saved": Path("corpus")} if name == "verify" else {"forms": ("markdown",), "folder": None}
        assert context.params.items() >= given.items()


def test_the_workflow_has_the_shape_that_github_asks_for() -> None:
    workflow = read(WORKFLOW)
    assert workflow[True] == {"push": {"branches": ["main"]}, "pull_request": None}  # YAML 1.1 takes "on" for true
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)


def test_the_hook_has_what_pre_commit_asks_for() -> None:
    (hook,) = read(HOOKS)
    assert {"id", "name", "entry", "language"} <= hook.keys()
    assert hook["language"] == "python"  # it installs this repository, so the command is there
    assert hook["pass_filenames"] is False
