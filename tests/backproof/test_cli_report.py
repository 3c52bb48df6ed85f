"""``backproof report`` and ``backproof compare`` in every form: what goes where, and what is refused in one line."""

import csv
import json
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

import backproof
from backproof.cli import COMPARISON_FORMS, FORMS, main
from reports import forms


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(autouse=True, scope="module")
def _there(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Verify once, into a store and a document; the tests read both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.getbasetemp())
        quick = ("verify", "--examples", "3", "--layers", "Linear", "--workers", "1", "--store", "run.sqlite")
        assert run(*quick, "--json", "run.json").exit_code == 0


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path_factory.getbasetemp())


def test_the_command_line_offers_the_forms_that_there_are() -> None:
    assert FORMS == forms.FORMS
    assert COMPARISON_FORMS == forms.COMPARISON_FORMS


@pytest.mark.parametrize("source", ["run.sqlite", "run.json"])
def test_every_form_goes_into_the_folder_and_is_the_same_twice(source: str, tmp_path: Path) -> None:
    folders = (tmp_path / "once", tmp_path / "again")
    for folder in folders:
        done = run("report", source, "--format", "html,markdown", "--format", ",".join(FORMS[1:]), "-o", folder)
        assert done.exit_code == 0, done.output
        assert done.stdout.count("report: ") == len(list(folder.iterdir()))
    once, again = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert once == again
    assert {Path(name).suffix for name in once} == {".html", ".svg", ".md", ".json", ".xml", ".csv"}
    assert {"layers.svg", "kinds.svg", "sensitivity.svg", "badge.svg"} <= once.keys()


def test_one_form_that_is_one_file_is_all_that_standard_output_has(tmp_path: Path) -> None:
    written = {form: run("report", "run.json", "--format", form).stdout_bytes for form in FORMS[2:]}
    document = json.loads(Path("run.json").read_text())
    assert written["markdown"].decode().startswith("### ✅ numpy agrees with PyTorch")
    assert json.loads(written["json"]) == document
    assert ElementTree.fromstring(written["junit"]).tag == "testsuites"
    assert len(list(csv.DictReader(StringIO(written["csv"].decode())))) > 3
    assert ElementTree.fromstring(written["badge"]).get("role") == "img"
    assert run("report", "run.json", "--format", "csv", "-o", "-").stdout_bytes == written["csv"]
    into = run("report", "run.json", "--format", "csv", "-o", tmp_path)
    assert (tmp_path / "arrays.csv").read_bytes() == written["csv"]
    assert f"report: {tmp_path / 'arrays.csv'}" in into.stdout


def test_without_a_format_it_is_the_page() -> None:
    assert run("report", "run.sqlite").exit_code == 0
    assert Path("backproof-report/index.html").exists()


def test_quietly_it_says_the_verdict_alone(tmp_path: Path) -> None:
    done = run("report", "run.json", "-o", tmp_path, "--quiet")
    assert " ".join(done.stdout.split()).startswith("numpy agrees with PyTorch")
    assert "report:" not in done.stdout
    assert "cases" not in done.stdout


def test_a_comparison_goes_to_standard_output_or_a_folder(tmp_path: Path) -> None:
    markdown = run("compare", "run.json", "run.sqlite", "--format", "markdown")
    assert markdown.exit_code == 0
    assert markdown.stdout.startswith("### ✅ No regression: 0 better")
    assert "No regression" in markdown.stderr
    found = json.loads(run("compare", "run.json", "run.sqlite", "--format", "json").stdout)
    assert found == json.loads(run("compare", "run.json", "run.sqlite", "--json", "-").stdout)
    done = run("compare", "run.json", "run.sqlite", "--format", "json,markdown", "-o", tmp_path)
    assert (tmp_path / "comparison.md").read_text() == markdown.stdout
    assert json.loads((tmp_path / "comparison.json").read_text()) == found
    assert done.stdout.count("comparison: ") == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("report", "run.json", "--format", "pdf"), "no format 'pdf': known are html, svg, markdown"),
        (("report", "run.json", "--format", "csv,,json"), "has an empty or a repeated name"),
        (("report", "run.json", "--format", "html", "-o", "-"), "name a folder, or one format that is one file"),
        (("report", "run.json", "--format", "csv,json", "-o", "-"), "csv, json are several files"),
        (("report", "missing.json"), "missing.json: No such file"),
        (("report", "hostile.json"), "hostile.json: layers[0]: cases: is -1, wanted a number from 0"),
        (("report", "hostile.json", "--format", "markdown"), "hostile.json: layers[0]: cases: is -1"),
        (("report", "broken.json"), "broken.json: failures[0]: architecture: is missing"),
        (("report", "run.json", "-o", "/dev/null/report"), "Not a directory"),
        (("compare", "run.json", "run.json", "--format", "csv"), "no format 'csv': known are html, markdown, json"),
        (("compare", "run.json", "run.json", "--format", "json", "--json", "-"), "standard output takes --json -"),
    ],
)
def test_a_mistake_gets_one_line_and_status_2(arguments: tuple[str, ...], words: str) -> None:
    document = json.loads(Path("run.json").read_text())
    Path("broken.json").write_text(json.dumps(document | {"failures": [{}]}))
    document["layers"][0]["cases"] = -1
    Path("hostile.json").write_text(json.dumps(document))
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert words in done.stderr
    assert done.stdout == ""
    assert sum(line.startswith("Error:") for line in done.stderr.splitlines()) == 1


def test_python_reads_what_the_command_line_wrote(tmp_path: Path) -> None:
    report = backproof.read_report("run.json")
    assert report.agrees
    assert backproof.read_report(Path("run.sqlite")).document["results"] == report.document["results"]
    (path,) = report.write(tmp_path, ["markdown"])
    assert path.read_bytes() == run("report", "run.json", "--format", "markdown").stdout_bytes
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="is empty"):
        backproof.read_report(tmp_path / "empty")
