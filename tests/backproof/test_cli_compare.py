"""Comparing runs from the command line: ``compare``, ``--baseline``, ``--corpus``, ``--junit``."""

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

import backproof
from backproof.cli import main

QUICK = ("verify", "--examples", "30", "--layers", "Linear", "--workers", "1", "--dtype", "float64")
IMPLEMENTATIONS = """
import os
from dataclasses import replace
import numpy as np
from backproof import NumPyImplementation
from impl import Gradients, Linear, Step

class Rounded(Linear):
    '''Loses a few bits of every gradient: no disagreement, for it stays within the bound.'''
    def forward(self, parameters, x, **options):
        step = super().forward(parameters, x, **options)
        def backward(g):
            right = step.backward(g)
            weight = right.parameters["weight"]
            bits = 2.0 ** -50.0 * np.abs(weight).max(initial=0.0)
            return Gradients(right.inputs, {**right.parameters, "weight": weight + bits})
        return Step(step.output, backward)

class Wrong(Linear):
    def forward(self, parameters, x, **options):
        step = super().forward(parameters, x, **options)
        def backward(g):
            right = step.backward(g)
            return Gradients(tuple(-x for x in right.inputs), right.parameters)
        return Step(step.output, backward)

class Dying(Linear):
    def forward(self, parameters, x, **options):
        if x.shape == (3, 2):
            os._exit(7)
        return super().forward(parameters, x, **options)

rounded, wrong, dying = (NumPyImplementation({"Linear": layer}) for layer in (Rounded, Wrong, Dying))
for implementation in (rounded, wrong, dying):
    implementation.name = "numpy"
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a run wrote with ``--json``."""
    folder = tmp_path_factory.mktemp("base")
    done = run(*QUICK, "--json", folder / "base.json", "--report", folder / "report")
    assert done.exit_code == 0, done.output
    return (folder / "base.json").read_text()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    Path("regressing.py").write_text(IMPLEMENTATIONS)
    Path("base.json").write_text(base)


def saved(name: str, *nodes: dict[str, object]) -> None:
    """Save an architecture in the folder ``corpus``."""
    Path("corpus").mkdir(exist_ok=True)
    whole = {"schema": 1, "inputs": [{"name": "x", "shape": [3, 2]}], "nodes": nodes, "outputs": ["a"]}
    Path("corpus", name).write_text(json.dumps(whole))


LINEAR = {"name": "a", "op": "Linear", "arguments": {"in_features": 2, "out_features": 3}, "inputs": ["x"]}
TANH = {"name": "a", "op": "Tanh", "inputs": ["x"]}


def test_digits_that_are_lost_are_a_regression_though_everything_agrees() -> None:
    done = run(*QUICK, "--implementation", "regressing:rounded", "--baseline", "base.json", "--json", "now.json")
    assert done.exit_code == 1, done.output
    now = json.loads(Path("now.json").read_text())
    assert now["failed"] == 0
    assert now["comparison"]["regression"]
    assert ("digits", "Linear", "parameter") in [(c["what"], c["op"], c["kind"]) for c in now["comparison"]["worse"]]
    assert "Digits were compared architecture by architecture." in done.stdout
    assert "Regression: " in done.stdout
    assert "other implementations: numpy before, regressing:rounded now" in " ".join(done.stdout.split())
    assert max(map(len, done.stdout.splitlines())) <= 80
    again = run("compare", "base.json", "now.json")
    assert again.exit_code == 1
    assert "digits: parameter" in again.stdout
    assert run("compare", "now.json", "base.json").exit_code == 0  # what got better is none


def test_the_same_again_is_no_regression_and_updates_the_baseline() -> None:
    done = run(*QUICK, "--baseline", "base.json", "--json", "base.json")
    assert done.exit_code == 0, done.output
    written = json.loads(Path("base.json").read_text())
    assert written["comparison"]["worse"] == []
    assert run("compare", "base.json", "base.json").exit_code == 0
    other = run(*QUICK, "--baseline", "base.json", "--seed", "1", "--json", "other.json")
    assert other.exit_code == 0, other.output
    assert "as two samples of other architectures" in other.stdout


def test_the_baseline_is_read_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("it has begun")

    monkeypatch.setattr("backproof.campaign.Campaign.agreements", never)
    Path("empty.json").touch()
    for arguments, words in (
        (("--baseline", "missing.json"), "missing.json: No such file"),
        (("--baseline", "empty.json"), "empty.json: is empty"),
        (("--baseline", "base.json", "--dtype", "float32"), "the dtypes are float64 before and float32 now"),
        (("--baseline", "base.json", "--layers", "Tanh"), "the layers that were chosen before and now"),
        (("--corpus", "missing"), "missing: No such file"),
        (("--corpus", "base.json"), "base.json: Not a directory"),
        (("--junit", "/nowhere/junit.xml"), "No such file"),
    ):
        done = run(*QUICK, *arguments)
        assert done.exit_code == 2, done.output
        assert words in done.stderr
        assert sum(line.startswith("Error:") for line in done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "is empty"), ('{"schema": 2', "not JSON"), ("[]", "wanted an object"), ('{"schema": 9}', "schema: is 9")],
)
def test_an_unreadable_document_gets_one_line_and_status_2(text: str, words: str) -> None:
    Path("bad.json").write_text(text)
    for order in (("base.json", "bad.json"), ("bad.json", "base.json")):
        done = run("compare", *order)
        assert done.exit_code == 2
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert run("compare", "base.json", ".").exit_code == 2


def test_hostile_names_stay_text_on_one_line() -> None:
    hostile = json.loads(Path("base.json").read_text())
    name = "[red]\x1b[2J\n[/nothing]" + "x" * 5000
    hostile["implementation"] = name
    hostile["layers"].append(hostile["layers"][0] | {"op": name})
    hostile["environment"] |= {name: name}
    Path("hostile.json").write_text(json.dumps(hostile))
    done = run("compare", "base.json", "hostile.json")
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.stdout
    assert "[red]" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert len(done.stdout) < 5000


def test_the_comparison_as_json() -> None:
    done = run("compare", "base.json", "base.json", "--json", "-")
    found = json.loads(done.stdout)
    assert found["regression"] is False
    assert found["before"] == found["now"] == {"implementation": "numpy", "seed": 0, "architectures": 30}
    assert "No regression" in done.stderr
    assert run("compare", "base.json", "base.json", "--json", "c.json").exit_code == 0
    assert json.loads(Path("c.json").read_text()) == found
    assert run("compare", "base.json", "base.json", "--json", "/nowhere/c.json").exit_code == 2


def test_a_corpus_is_replayed_first_and_counted() -> None:
    saved("a.json", LINEAR)
    saved("b.json", TANH)
    Path("corpus/README.md").write_text("not an architecture")
    done = run(*QUICK, "--dtype", "float64,float32", "--corpus", "corpus", "--json", "now.json", "--junit", "now.xml")
    assert done.exit_code == 0, done.output
    said = " ".join(done.stdout.split())
    assert "corpus: 1 saved architectures replayed, 1 not supported (Tanh: not among the layers" in said
    assert "on 30 random architectures and 1 saved one" in said
    now = json.loads(Path("now.json").read_text())
    assert [(r["file"], r["dtype"], r["verdict"]) for r in now["corpus"]] == [
        ("a.json", "float64", "agree"),
        ("a.json", "float32", "agree"),
        ("b.json", "", "unsupported"),
    ]
    assert now["architectures"] == 30
    assert now["drawn"] == json.loads(Path("base.json").read_text())["drawn"]  # what is saved was not drawn
    cases = ElementTree.parse("now.xml").iter("testcase")
    assert "a.json float64" in {case.get("name") for case in cases}


def test_a_failure_of_the_corpus_fails_the_run_and_is_compared() -> None:
    saved("a.json", LINEAR)
    assert run(*QUICK, "--corpus", "corpus", "--json", "base.json").exit_code == 0
    done = run(
        *QUICK, "--corpus", "corpus", "--implementation", "regressing:wrong", "--baseline", "base.json", "--json", "-"
    )
    assert done.exit_code == 1, done.output
    now = json.loads(done.stdout)
    assert [f["corpus"] for f in now["failures"]].count("a.json") == 1
    assert sum(row["failed"]["float64"] for row in now["layers"]) == now["failed"] - 1
    assert ("disagreement", "a.json", "corpus") in [(c["what"], c["op"], c["kind"]) for c in now["comparison"]["worse"]]


def test_a_corpus_that_takes_the_process_down_costs_no_other_architecture() -> None:
    saved("a.json", LINEAR)
    saved("b.json", {**LINEAR, "inputs": ["y"]}, {"name": "y", "op": "Identity", "inputs": ["x"]})
    Path("corpus/b.json").write_text(Path("corpus/a.json").read_text().replace("[3, 2]", "[4, 2]"))
    done = run(
        "verify",
        "--examples",
        1,
        "--layers",
        "Linear",
        "--dtype",
        "float64",
        "--workers",
        2,
        "--corpus",
        "corpus",
        "--implementation",
        "regressing:dying",
        "--json",
        "-",
    )
    now = json.loads(done.stdout)
    assert [(r["file"], r["verdict"]) for r in now["corpus"]] == [("a.json", "crash"), ("b.json", "agree")]
    assert "died" in now["failures"][0]["failure"]
    assert done.exit_code == 3


@pytest.mark.parametrize("text", ["", "{}", "[" * 9999, '{"schema": 1', "\x00"])
def test_a_bad_file_in_a_corpus_is_named_before_any_work(text: str) -> None:
    saved("a.json", LINEAR)
    Path("corpus/bad.json").write_text(text)
    done = run(*QUICK, "--corpus", "corpus")
    assert done.exit_code == 2
    assert "corpus/bad.json: " in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not Path("backproof-report").exists()


def test_what_pytorch_refuses_in_a_corpus_is_named() -> None:
    saved("a.json", LINEAR | {"arguments": {"in_features": 5, "out_features": 3}})
    done = run(*QUICK, "--corpus", "corpus")
    assert done.exit_code == 2
    assert "corpus/a.json: " in done.stderr


def test_an_empty_corpus_is_one_of_nothing() -> None:
    Path("corpus").mkdir()
    assert run(*QUICK, "--corpus", "corpus").exit_code == 0


def test_every_architecture_of_this_projects_corpus_is_read() -> None:
    from backproof.corpus import read

    folder = Path(backproof.__file__).parents[1] / "corpus"
    found = read(folder)
    assert len(found) == len(list(folder.glob("*.json"))) >= 25
    for one in found:
        assert one.file.endswith(f"-{one.architecture.digest}.json")
