"""The command that measures speed: does it time in turn, fit what is there, and print, draw and compare it?"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmarks import checks, clock, growth, harness, libraries, memory, networks, report
from benchmarks.__main__ import PARTS, main
from benchmarks.clock import interleaved, machine, summary
from benchmarks.growth import STEPS, exponent, words
from benchmarks.libraries import OURS, TORCH
from benchmarks.networks import geometric_mean, memory_ratio, ratio
from benchmarks.workloads import mlp

TINY = {"a tiny MLP": mlp(2, 3, 2, batch=2)}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command time tiny networks, as briefly as can be, and no memory: that takes processes."""
    monkeypatch.setattr(networks, "WORKLOADS", TINY)
    monkeypatch.setattr(checks, "NETWORKS", TINY)
    monkeypatch.setattr(growth, "STEPS", (STEPS[0]._replace(sizes=(2, 4, 8), at=lambda n: mlp(2, 3, batch=n)),))
    few = growth.CHECKS._replace(sizes=(1, 2, 3), at=lambda n: mlp(*[2] * n, 3, batch=2))
    monkeypatch.setattr(growth, "CHECKS", few)
    for part in (networks, checks, growth):
        monkeypatch.setattr(part, "SECONDS", 0)
    monkeypatch.setattr(checks, "LEAST", 1)
    monkeypatch.setattr(clock, "SAMPLE", 0)
    monkeypatch.setattr(memory, "peak", lambda workload, dtype, who, threads: 3 << 20 if who == OURS else 2 << 20)
    monkeypatch.setattr(libraries, "find_spec", lambda package: None)
    monkeypatch.setattr(checks, "find_spec", lambda package: None)


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A harness that was measured before."""

    def rows(threads: int, tick: Callable[[], object]) -> Generator[dict[str, Any]]:
        yield from HARNESS

    monkeypatch.setattr(harness, "rows", rows)


def times(**seconds: float) -> dict[str, dict[str, float]]:
    return summary({name: [median] for name, median in seconds.items()})


HARNESS = [
    {
        "what": "start",
        "seconds": times(python=0.01)
        | summary({harness.IMPORT_NUMPY: [0.1], harness.IMPORT_IMPL: [0.3]})
        | summary({harness.HELP: [0.2]}),
    },
    {"what": "memory", "bytes": {"1": 100 << 20, "10": 110 << 20, "20": 110 << 20, "30": 111 << 20}},
    {"what": "rate", "examples": 100, "seconds": summary({"1": [0.02], "2": [0.0125]})},
]


def run(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(main, [str(a) for a in arguments])


def test_everyone_runs_once_a_round_in_an_order_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "SAMPLE", 0)
    called: list[str] = []
    calls = {name: (lambda name=name: called.append(name)) for name in "abc"}
    samples = interleaved(calls, seconds=0, least=40)
    assert called[: 3 * clock.WARM_UP] == [name for name in "abc" for _ in range(clock.WARM_UP)]
    rounds = ["".join(called[at : at + 3]) for at in range(3 * clock.WARM_UP, len(called), 3)]
    assert len(rounds) == 40
    assert {"".join(sorted(order)) for order in rounds} == {"abc"}
    assert len(set(rounds)) > 1
    assert {len(seconds) for seconds in samples.values()} == {40}


def test_a_call_that_is_short_is_timed_several_times_in_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    now, called = [0.0], Counter[str]()

    def call(name: str, seconds: float) -> Callable[[], None]:
        def passes() -> None:
            called[name] += 1
            now[0] += seconds

        return passes

    monkeypatch.setattr(clock, "perf_counter", lambda: now[0])
    samples = interleaved({"short": call("short", clock.SAMPLE / 4), "long": call("long", 1.0)}, seconds=0, least=2)
    assert called == {"short": clock.WARM_UP + 2 * 4, "long": clock.WARM_UP + 2}
    assert samples == {"short": pytest.approx([clock.SAMPLE / 4] * 2), "long": [1.0, 1.0]}


def test_the_rounds_end_when_the_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def passes() -> None:
        now[0] += 1

    monkeypatch.setattr(clock, "perf_counter", lambda: now[0])
    assert len(interleaved({"a": passes}, seconds=10.5, least=2)["a"]) == 11


def test_a_summary_is_a_median_with_its_quartiles() -> None:
    found = summary({"a": [5.0, 1.0, 2.0, 3.0, 100.0]})["a"]
    assert found == {"median": 3.0, "lower": 2.0, "upper": 5.0, "rounds": 5}


def test_the_machine_is_said_in_one_sentence() -> None:
    found = machine(2)
    said = clock.sentence(found)
    for part in (found["numpy"], found["torch"], found["python"], "2 threads", "openblas", f"{clock.cores()} cores"):
        assert part in said


def test_ratios_are_ours_over_torch_and_their_mean_is_geometric() -> None:
    row = {"seconds": summary({OURS: [1.0, 2.0, 9.0], TORCH: [4.0, 4.0, 4.0]}), "bytes": {OURS: 3, TORCH: 2}}
    assert ratio(row) == 0.5
    assert memory_ratio(row) == 1.5
    assert memory_ratio({"bytes": {OURS: None, TORCH: None}}) is None
    assert geometric_mean([0.25, 4.0]) == pytest.approx(1)
    assert geometric_mean([0.5, 0.5, 4.0]) == pytest.approx(1)


def test_memory_is_that_of_the_gradients_at_least() -> None:
    name = "MLP 784-256-128-10, batch 64"
    found = memory.peak(name, "float64", OURS, 1)
    if sys.platform == "linux":
        assert found is not None
        assert 8 * (784 * 256 + 256 * 128 + 128 * 10) < found < 100 << 20
    else:
        assert found is None


def test_memory_that_is_given_back_counts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if not memory.RESET.exists():
        return
    large = libraries.Step(lambda: np.ones(8 << 20).sum(), lambda: libraries.Result(0.0, {}))
    monkeypatch.setattr(libraries, "ours", lambda architecture, given: large)
    memory.main("MLP 2-8-2, batch 4", "float64", OURS, "1")
    assert int(capsys.readouterr().out) == pytest.approx(64 << 20, rel=0.02)


def test_an_exponent_is_fitted_over_the_upper_half() -> None:
    sizes = (1, 2, 4, 8, 16, 32)
    costs = [3 * size**1.7 for size in sizes]
    assert exponent(sizes, costs) == pytest.approx(1.7)
    assert exponent(sizes, [99.0] * 3 + costs[3:]) == pytest.approx(1.7)


def test_growth_is_said_in_words() -> None:
    assert words({"measured": 1.1, "arithmetic": 1.0}) == "as its arithmetic"
    assert words({"measured": 1.3, "arithmetic": 1.0}) == "faster"
    assert words({"measured": 0.5, "arithmetic": 1.0}) == "more slowly"


def test_the_harness_comes_to_rates_efficiency_memory_and_start() -> None:
    assert harness.figures(HARNESS) == {
        "architectures/s, 1 worker": pytest.approx(50),
        "architectures/s, 2 workers": pytest.approx(80),
        "efficiency of 2 workers": pytest.approx(0.8),
        "MiB of a worker after 8 architectures": 100,
        "MiB of a worker after 80 architectures": 110,
        "MiB of a worker after 160 architectures": 110,
        "MiB of a worker after 240 architectures": 111,
        "MiB more for 1,000 architectures, at the end": pytest.approx(1000 / 160),
        "backproof --help, s": 0.2,
        "import impl above NumPy's own, s": pytest.approx(0.2),
    }
    assert harness.figures([]) == {}


def test_a_rate_is_the_difference_of_two_campaigns(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked, ticks = [0.0], [], []

    class Campaign:
        def __init__(self, examples: int) -> None:
            self.examples = examples

        def checked(self) -> "Campaign":
            return self

        def agreements(self, workers: int) -> Generator[list[Any]]:
            asked.append((self.examples, workers))
            now[0] += 7  # the start
            for _ in range(self.examples):
                now[0] += 0.5 / workers
                yield []

    monkeypatch.setattr(harness, "Campaign", Campaign)
    monkeypatch.setattr(harness, "perf_counter", lambda: now[0])
    found = harness.rates(lambda: ticks.append(1))
    assert found == {"1": pytest.approx([0.5] * harness.ROUNDS), "2": pytest.approx([0.25] * harness.ROUNDS)}
    assert Counter(asked[1:]) == {
        (examples, workers): harness.ROUNDS for examples in (harness.FEW, harness.MANY) for workers in harness.WORKERS
    }
    assert harness.total() == harness.STARTS + 1 + len(harness.BATCHES) + len(ticks)


def test_the_start_and_the_memory_are_of_processes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "STARTS", 1)
    monkeypatch.setattr(harness, "BATCHES", (1, 2))
    monkeypatch.setattr(harness, "BATCH", 1)
    found = harness.starts(lambda: None)
    assert {name: len(seconds) for name, seconds in found.items()} == dict.fromkeys(harness.COMMANDS, 1)
    sizes = harness.memory(lambda: None)
    assert sizes.keys() == ({"1", "2"} if sys.platform == "linux" else set())
    assert all(size > 50 << 20 for size in sizes.values())


@pytest.mark.usefixtures("tiny", "fixed")
def test_the_command_prints_tables_writes_numbers_and_draws(tmp_path: Path) -> None:
    picture, file = tmp_path / "speed.png", tmp_path / "speed.json"
    done = run("--json", file, "--picture", picture, "--threads", 1)
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.splitlines())) <= 80
    words = " ".join(done.stdout.split())
    assert "Not installed, so left out: mygrad, autograd, jax jit, jax check_grads" in words
    for said in (
        "a tiny MLP",
        "geometric mean",
        "digits in float32",
        "1.50",
        "gradcheck slow",
        "architectures/s",
        "n^",
    ):
        assert said in words, said
    assert picture.read_bytes().startswith(b"\x89PNG")
    document = json.loads(file.read_text())
    assert {name: len(document[name]) for name in PARTS} == {"networks": 2, "differences": 1, "harness": 3, "growth": 2}
    assert document["machine"]["threads"] == 1
    assert [row["dtype"] for row in document["networks"]] == ["float32", "float64"]
    assert document["networks"][1]["digits"] > 12


@pytest.mark.usefixtures("tiny")
def test_parts_can_be_chosen_and_json_goes_to_standard_output() -> None:
    done = run("networks", "--json", "-")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert [name for name in PARTS if document[name]] == ["networks"]
    assert "a tiny MLP" in done.stderr
    assert document["absent"] == ["mygrad", "autograd", "jax jit"]


@pytest.mark.usefixtures("tiny", "fixed")
def test_the_earlier_measurement_stands_beside_it_as_ratios(tmp_path: Path) -> None:
    file = tmp_path / "earlier.json"
    first = json.loads(run("networks", "harness", "--json", "-").stdout)
    for row in first["networks"]:
        row["bytes"][OURS] *= 2
    first["machine"]["torch"] = "1.0"
    file.write_text(json.dumps(first), encoding="utf-8")
    done = run("networks", "harness", "--compare", file)
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stdout.splitlines())) <= 80
    _, _, compared = done.stdout.partition("Beside the earlier measurement:")
    assert "It was made on:" in compared
    assert "PyTorch 1.0" in " ".join(compared.split())
    rows = {line[:40].strip(): line.split()[-3:] for line in compared.splitlines()}
    assert rows["a tiny MLP, float32: memory / torch"] == ["3.00", "1.50", "0.50"]
    assert rows["architectures/s, 2 workers"] == ["80.00", "80.00", "1.00"]
    assert "a tiny MLP, float64: time / torch" in rows


def test_a_ratio_of_ratios_is_now_by_then() -> None:
    def document(ours: float) -> dict[str, Any]:
        row = {"workload": "w", "dtype": "d", "seconds": times(**{OURS: ours, TORCH: 2.0}), "bytes": {OURS: None}}
        return {"networks": [row], "differences": [], "harness": [], "growth": []}

    assert report.figures(document(1.0)) == {"w, d: time / torch": 0.5}
    assert report.figures(document(3.0)) == {"w, d: time / torch": 1.5}


@pytest.mark.usefixtures("tiny")
def test_ctrl_c_keeps_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(architecture: object) -> dict[str, Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(checks, "measured", interrupted)
    done = run("networks", "differences", "growth", "--json", "-")
    assert done.exit_code == 130
    document = json.loads(done.stdout)
    assert document["interrupted"]
    assert [len(document[name]) for name in PARTS] == [2, 0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("netwerks",), "'netwerks' is not one of"),
        (("--picture", "curve.txt"), "curve.txt: a picture ends in .png, .svg, .pdf"),
        (("--json", "/nowhere/numbers.json"), "No such file"),
        (("--compare", "/nowhere/numbers.json"), "No such file"),
        (("--compare", __file__), "not JSON"),
    ],
)
def test_a_mistake_gets_one_line_and_status_2(arguments: tuple[str, ...], words: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert words in done.stderr
    assert sum(line.startswith("Error:") for line in done.stderr.splitlines()) == 1


def test_json_of_something_else_is_no_earlier_measurement(tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text("[1]", encoding="utf-8")
    done = run("--compare", file)
    assert done.exit_code == 2
    assert "other.json: was not written by python -m benchmarks --json" in " ".join(done.stderr.split())
