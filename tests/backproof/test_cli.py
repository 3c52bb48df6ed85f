"""The command line: what it prints, where, and the exit status; bad input gets one line."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import backproof
from backproof.campaign import Campaign, shrunk
from backproof.cli import main
from backproof.isolation import Outcome
from reference import Twin

QUICK = ("verify", "--examples", "2", "--layers", "Linear", "--workers", "1")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


BROKEN = """
from backproof import NumPyImplementation
from impl import Gradients, Linear, Step

class Wrong(Linear):
    def forward(self, parameters, x, **options):
        step = super().forward(parameters, x, **options)
        def backward(g):
            right = step.backward(g)
            return Gradients(right.inputs, {**right.parameters, "weight": right.parameters["weight"] * 1.001})
        return Step(step.output, backward)

wrong = NumPyImplementation({"Linear": Wrong})

class Raising(Linear):
    def forward(self, parameters, x, **options):
        raise ZeroDivisionError("by hand")

raising = NumPyImplementation({"Linear": Raising})

class Dying(Linear):
    def forward(self, parameters, x, **options):
        import os
        os._exit(7)

dying = NumPyImplementation({"Linear": Dying})

class Fragile(Wrong):
    def forward(self, parameters, x, **options):
        import os, time
        if self.in_features == 1 and x.size == 1:
            os._exit(7) if os.getenv("FRAGILE") == "dies" else time.sleep(60)
        return super().forward(parameters, x, **options)

fragile = NumPyImplementation({"Linear": Fragile})
"""


def test_verify_ends_with_a_table_and_a_report() -> None:
    done = run(*QUICK)
    assert done.exit_code == 0, done.output
    assert "numpy agrees with PyTorch" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert Path("backproof-report/index.html").exists()
    assert json.loads(Path("backproof-report/agreement.json").read_text())["architectures"] == 2


def test_json_to_standard_output_is_all_there_is() -> None:
    done = run(*QUICK, "--json", "-")
    document = json.loads(done.stdout)
    wanted = {"architectures", "tensors", "agree", "disagree", "inconclusive", "seconds", "worst_digits", "failures"}
    assert wanted <= document.keys()
    assert document["tensors"] == document["agree"] + document["disagree"] + document["inconclusive"]
    assert "numpy agrees" in done.stderr


def test_two_processes_say_what_one_says() -> None:
    one, two = (
        json.loads(run("verify", "--examples", 20, "--layers", "Linear,Tanh", "--workers", n, "--json", "-").stdout)
        for n in (1, 2)
    )
    assert one["layers"] == two["layers"]


def test_a_broken_layer_is_named_and_its_architecture_replayed(tmp_path: Path) -> None:
    (tmp_path / "stranger.py").write_text(BROKEN)
    options = ("--implementation", "stranger:wrong")
    done = run("verify", "--examples", "6", "--layers", "Linear", "--workers", "1", *options, "--json", "numbers.json")
    assert done.exit_code == 1, done.output
    assert "gradient of weight is 1.001 times the reference" in done.stdout
    failure = json.loads(Path("numbers.json").read_text())["failures"][0]
    assert failure["op"] == "Linear"
    assert "1.001 times" in failure["diagnosis"]
    assert "smallest: x (1,) -> Linear(in_features=1, out_features=1)" in done.stdout
    smallest = next(Path("backproof-report").glob("minimal-*.json"))
    assert f"saved: {smallest}" in done.stdout
    assert backproof.Architecture.from_json(smallest.read_text()).to_dict() == failure["minimal"]
    assert failure["reproduction"] in done.stdout
    again = subprocess.run([sys.executable, "-c", failure["reproduction"]], capture_output=True, text=True, check=True)
    assert "culprit: linear (Linear)" in again.stdout
    assert failure["reproduction"] in unescape(Path("backproof-report/index.html").read_text(encoding="utf-8"))
    replayed = run("replay", smallest, *options)
    assert replayed.exit_code == 1
    assert failure["reproduction"] in replayed.stdout
    saved = next(Path("backproof-report").glob("failure-*.json"))
    assert run("replay", saved, *options).exit_code == 1
    assert run("replay", saved).exit_code == 0


@pytest.mark.parametrize(
    ("how", "patience", "words"),
    [("dies", 60.0, "the process died (exit status 7)"), ("hangs", 6.0, "did not come back within 6 s")],
)
def test_shrinking_that_takes_the_process_down_costs_nothing_else(
    how: str, patience: float, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stranger.py").write_text(BROKEN)
    monkeypatch.setenv("FRAGILE", how)
    monkeypatch.setattr("backproof.campaign.PATIENCE", patience)
    failure = {
        "op": "Linear",
        "dtype": "float64",
        "tensors": [],
        "failure": None,
        "architecture": json.loads(document()),
    }
    passing = json.loads(document(nodes=[{"name": "a", "op": "ReLU", "inputs": ["x"]}]))
    found = list(shrunk([failure, failure | {"architecture": passing}], "stranger:fragile"))
    assert words in found[0]["shrinking"]
    assert "does not fail again" in found[1]["shrinking"]  # a new process takes the next


def test_ctrl_c_while_shrinking_keeps_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Generator[dict[str, object]]:
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr("backproof.campaign.shrunk", interrupted)
    (tmp_path / "stranger.py").write_text(BROKEN)
    done = run(*QUICK, "--examples", "6", "--implementation", "stranger:wrong", "--json", "-")
    assert done.exit_code == 1
    assert "Interrupted: not every failure is shrunk." in done.stderr
    assert json.loads(done.stdout)["failures"][0]["minimal"] is None


def test_an_implementation_that_raises_is_a_finding_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "stranger.py").write_text(BROKEN)
    done = run(*QUICK, "--implementation", "stranger:raising")
    assert done.exit_code == 3
    assert "ZeroDivisionError: by hand" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("verify", "--layers", "Liner"), "Liner"),
        (("verify", "--layers", "Linear,,ReLU"), "has an empty or a repeated name"),
        (("verify", "--dtype", "float8"), "no dtype 'float8': known are float64, float32, float16"),
        (("verify", "--implementation", "nobody"), "no implementation 'nobody'"),
        (("verify", "--implementation", "json:nothing"), "cannot be loaded"),
        (("verify", "--implementation", "json:loads"), "has no name, no supports, no forward"),
        (("verify", "--examples", "0"), "0 is not in the range"),
        (("verify", "--report", "/dev/null/report"), "Not a directory"),
        ((*QUICK, "--json", "/nowhere/numbers.json"), "No such file"),
        (("replay", "missing.json"), "missing.json: No such file"),
        (("replay", "."), "Is a directory"),
        (("walkthrough", "--data", "missing.csv"), "missing.csv: No such file"),
        (("walkthrough", "--lr", "0"), "0.0 is not in the range"),
    ],
)
def test_a_mistake_gets_one_line_and_status_2(arguments: tuple[str, ...], words: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert words in done.stderr
    assert "Traceback" not in done.output
    assert sum(line.startswith("Error:") for line in done.stderr.splitlines()) == 1


def document(**changes: object) -> str:
    node = {"name": "a", "op": "Linear", "arguments": {"in_features": 2, "out_features": 3}, "inputs": ["x"]}
    whole = {"schema": 1, "inputs": [{"name": "x", "shape": [4, 2]}], "nodes": [node], "outputs": ["a"]}
    return json.dumps(whole | changes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ('{"schema": 1', "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("\x00\xff", "not JSON"),
        ("[]", "architecture"),
        (document(schema=9), "schema: is 9"),
        (document(inputs=[{"name": "x", "shape": [100_000, 100_000]}]), "x"),
        (document(inputs=[{"name": "x", "shape": [float("nan")]}]), "NaN is no JSON number"),
        (document(inputs=[{"name": "../../etc/passwd", "shape": [2]}]), "name"),
        (document(nodes=[{"name": f"n{i}", "op": "ReLU", "inputs": ["x"]} for i in range(10_000)]), "at most 1000"),
        (document(nodes=[{"name": "a", "op": "ReLU", "inputs": ["a"]}]), "'a'"),
        (document(nodes=[{"name": "a", "op": "system", "inputs": ["x"]}]), "system"),
        (document(outputs=["nobody"]), "nobody"),
    ],
)
def test_a_hostile_file_is_refused_in_one_line(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "hostile.json"
    file.write_bytes(text.encode("latin-1"))
    done = run("replay", file)
    assert done.exit_code == 2, done.output
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_saved_architecture_runs_again(tmp_path: Path) -> None:
    file = tmp_path / "good.json"
    file.write_text(backproof.random_architecture(3).to_json())
    done = run("replay", file, "--dtype", "float64")
    assert done.exit_code == 0, done.output
    assert "on 1 random architecture" in " ".join(done.stdout.split())


def test_layers_are_counted_against_torch() -> None:
    text = run("layers").stdout
    assert "138 of the 138 layers of torch.nn are covered" in text
    assert "max_norm is refused" in text
    assert "Not covered yet" not in text
    assert "of backproof's own, for torch.nn has no class that joins layers: Add, Cat," in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_help_names_every_command() -> None:
    text = run("--help").stdout
    for command in ("verify", "replay", "layers", "walkthrough", "optimizers", "report"):
        assert command in text


class InThisProcess:
    """Calls functions here, in order."""

    def __init__(self, before: Callable[[int], None]) -> None:
        self.before = before

    def __enter__(self) -> "InThisProcess":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def outcomes(self, function: Callable[[Any], Any], batches: Iterable[Sequence[Any]]) -> Iterator[Outcome]:
        for number in (number for batch in batches for number in batch):
            try:
                self.before(number)
                yield Outcome(number, function(number))
            except RuntimeError as error:
                yield Outcome(number, error=error)


def test_ctrl_c_reports_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(number: int) -> None:
        if number == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Campaign, "pool", lambda *_: InThisProcess(interrupted))
    done = run("verify", "--examples", 50, "--layers", "Linear", "--workers", 1, "--json", "-")
    assert done.exit_code == 130
    found = json.loads(done.stdout)
    assert (found["interrupted"], found["architectures"]) == (True, 3)
    assert "Interrupted: 3 of 50 architectures are verified and reported." in done.stderr
    assert "Interrupted: 3 of 50" in Path("backproof-report/index.html").read_text(encoding="utf-8")


def test_ctrl_c_while_the_command_line_loads_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from backproof.start import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


def test_without_a_cuda_device_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    done = CliRunner().invoke(main, ["verify", "--device", "cuda", "--examples", "1"])
    assert done.exit_code == 2
    assert "PyTorch finds no CUDA device here: without --device the reference runs on the CPU" in done.output


def test_the_reference_runs_where_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    places = []

    def on(self: Twin, place: str) -> Twin:
        places.append(place)
        return self

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(Twin, "on", on)
    (there, *_), (here, *_) = (Campaign(examples=1, device=device).checked().example(3) for device in ("cuda", "cpu"))
    assert places == ["cuda"]
    assert [t.verdict for t in there.tensors] == [t.verdict for t in here.tensors]


@pytest.mark.parametrize(("wrong", "verified"), [({3}, 11), (set(range(4, 99)), 4)])
def test_a_mistake_of_ours_costs_nothing_that_is_verified(
    wrong: set[int], verified: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(number: int) -> None:
        if number in wrong:
            raise RuntimeError(f"ours, {number}")

    monkeypatch.setattr(Campaign, "pool", lambda *_: InThisProcess(broken))
    done = run("verify", "--examples", 12, "--layers", "Linear", "--workers", 1, "--json", "found.json")
    assert isinstance(done.exception, RuntimeError)
    assert json.loads(Path("found.json").read_text(encoding="utf-8"))["architectures"] == verified


def test_a_full_disk_costs_neither_the_numbers_nor_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "backproof-report/index.html")

    monkeypatch.setattr("backproof.session.write_report", full)
    done = run(*QUICK, "--json", "-")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["architectures"] == 2
    assert "Error: backproof-report/index.html: No space left on device" in done.stderr


def test_layers_that_were_asked_for_and_never_drawn_are_said() -> None:
    wanted = ["Linear", "LSTM", "GRU", "Conv2d", "Softmax", "Bilinear", "GELU", "ELU", "Mish"]
    result = run("verify", "--examples", 1, "--layers", ",".join(wanted), "--json", "-")
    assert result.exit_code == 2, result.output
    drawn = {row["op"] for row in json.loads(result.stdout)["layers"]}
    shown = " ".join(result.stderr.split())
    assert f"NOT VERIFIED: {', '.join(op for op in wanted if op not in drawn)}: in none" in shown
    assert "NOT VERIFIED" not in run(*QUICK).output


def test_a_name_in_small_letters_is_understood_and_a_file_is_no_module() -> None:
    assert "did you mean Linear?" in run("verify", "--layers", "linear").output
    told = run("verify", "--implementation", "mine.py:Mine").output
    assert "mine.py:Mine: is the name of a file: write mine:Mine" in told
