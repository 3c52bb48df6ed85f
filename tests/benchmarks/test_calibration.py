"""The calibration: are the errors that it injects the errors it speaks of, and is what it counts what was said?"""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmarks import calibration, peers
from benchmarks.calibration import DTYPES, NO_JAX, FalseAlarms, main, rate_below
from benchmarks.injection import RELATIONS, Case, Coordinate, Error, cases, drawn
from benchmarks.sensitivity import Answer, Ask, Checker, Sensitivity, caught_share, checkers, round_robin
from reference import Tensor


def case_of(op: str, seed: int = 0) -> Case:
    return next(cases(op, 1, seed, DTYPES))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command ask backproof alone, about large errors only: its questions are tested apart from it."""
    quick = [checker._replace(smallest=2) for checker in checkers() if checker.name.startswith("backproof")]
    monkeypatch.setattr(calibration, "checkers", lambda: quick)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_an_error_has_the_size_that_it_says() -> None:
    right = np.array([[1.0, -8.0], [2.0, 0.0]])
    first = Coordinate("input", "0", (1, 0))
    of_value, of_scale = Error(first, 0.01, "value").applied(right), Error(first, 0.01, "scale").applied(right)
    np.testing.assert_allclose(of_value - right, [[0, 0], [0.02, 0]], atol=1e-15)
    np.testing.assert_allclose(of_scale - right, [[0, 0], [-0.08, 0]], atol=1e-15)
    assert right[1, 0] == 2.0


def test_arrays_without_elements_are_kept_from_gradcheck_which_refuses_them() -> None:
    case = drawn("AdaptiveLogSoftmaxWithLoss", 28274498, DTYPES)
    assert case is not None
    assert any(not array.size for array in case.verification.reference.values.parameters[case.node.name].values())
    assert peers.gradcheck(case, fast=False)()


@pytest.mark.parametrize("op", ["Linear", "MSELoss", "Embedding", "LSTM", "Chunk"])
def test_an_error_is_where_it_should_be_and_nowhere_else(op: str) -> None:
    case = case_of(op)
    function = peers.Alone(case)
    rng = np.random.default_rng(0)
    cotangents = [rng.standard_normal(y.shape) for y in function.forward(function.given)]
    right = function.backward(function.given, cotangents)
    for relation in RELATIONS:
        coordinate = case.coordinates[relation]
        case.implementation.error = Error(coordinate, 0.5, relation)
        wrong = function.backward(function.given, cotangents)
        changed = [np.argwhere(a != b) for a, b in zip(right, wrong)]
        assert [tuple(at) for places in changed for at in places] == [coordinate.index]
        agreement = case.verification.agreement("float64")
        assert not agreement.agrees
        assert agreement.culprit == case.node.name
        # One wrong coordinate is one wrong array, wherever it is seen: alone, in the network, along a direction.
        own = {(t.kind, t.name) for t in agreement.disagreements if t.node == case.node.name}
        assert own <= {(coordinate.kind, coordinate.name)}
    case.implementation.error = None
    assert case.verification.agreement("float64").agrees


def test_the_value_that_an_error_is_relative_to_is_not_zero() -> None:
    for case in cases("ReLU", 5, 3, DTYPES):
        alone = case.verification.alone[case.node.name]
        gradient = alone.run.tensors[Tensor("input", next(iter(alone.values.inputs)), "0")]
        assert gradient[case.coordinates["value"].index] != 0


def test_cases_are_the_same_for_a_seed_and_come_in_turn() -> None:
    first, second = ([(c.op, c.seed, c.coordinates) for c in round_robin(["Tanh", "Mul"], 2, 5, DTYPES)] for _ in "ab")
    assert first == second
    assert [op for op, *_ in first] == ["Tanh", "Mul", "Tanh", "Mul"]
    assert first != [(c.op, c.seed, c.coordinates) for c in round_robin(["Tanh", "Mul"], 2, 6, DTYPES)]


@pytest.mark.parametrize("checker", checkers(), ids=lambda checker: checker.name)
def test_every_checker_accepts_the_right_layer_and_sees_a_large_error(checker: Checker) -> None:
    case = case_of("Linear")
    ask = checker.on(case)
    assert not ask(None).wrong
    coordinate = case.coordinates["scale"]
    case.implementation.error = Error(coordinate, 10.0, "scale")
    answer = ask(coordinate)
    assert answer.wrong or (answer.unsure and checker.dtype == "float16")
    case.implementation.error = Error(coordinate, 1e-16, "scale")
    assert not ask(coordinate).wrong


NOTHING = Answer(wrong=False)


def asked(answers: dict[int, Answer], smallest: int, right: Answer = NOTHING) -> Sensitivity:
    """Put a checker that answers by exponent, and sees nothing elsewhere, to one case."""

    def on(case: Case) -> Ask:
        def ask(coordinate: Coordinate | None) -> Answer:
            error = case.implementation.error
            return right if error is None else answers.get(round(-np.log10(error.size)), NOTHING)

        return ask

    sensitivity = Sensitivity([Checker("backproof float64", "float64", smallest, on)])
    sensitivity.add(case_of("Tanh"))
    return sensitivity


def test_what_was_said_is_counted_and_what_was_overlooked_is_listed() -> None:
    wrong, unsure = Answer(True), Answer(False, unsure=True)
    document = asked({1: wrong, 2: wrong, 3: unsure, 4: wrong, 7: wrong}, 8).document()
    said = [
        next(outcome for outcome in ("caught", "missed", "inconclusive") if row[outcome])
        for row in document["caught"]
        if row["relation"] == "value"
    ]
    # After two sizes that were not caught, 7 is not asked about.
    assert said == ["caught", "caught", "inconclusive", "caught", "missed", "missed", "missed", "missed"]
    overlooked = [f["error"]["size"] for f in document["findings"] if f["error"]["relation"] == "value"]
    assert overlooked == pytest.approx([1e-3, 1e-5, 1e-6, 1e-7, 1e-8])
    assert {row["all"] for row in document["smallest"]} == {1e-2}


def test_who_blames_the_right_layer_catches_nothing() -> None:
    document = asked({1: Answer(True)}, 2, right=Answer(True)).document()
    assert document["correct"][0]["alarm"] == 1
    assert document["caught"] == []
    assert [finding["error"] for finding in document["findings"]] == [None]


def test_an_error_below_rounding_is_nobody_s_to_catch() -> None:
    assert caught_share({"caught": 3, "missed": 1, "inconclusive": 0, "rounding": 96}) == 0.75
    assert caught_share({"caught": 3, "missed": 0, "inconclusive": 1, "rounding": 0}) == 0.75
    counter = asked({}, 17).counts["backproof float64", "Tanh", "value", 17]
    assert counter == Counter(rounding=1)


def test_no_alarm_among_n_excludes_a_rate_of_three_in_n() -> None:
    assert rate_below(0, 3000) == pytest.approx(3 / 3000, rel=2e-3)
    assert rate_below(1, 3000) > rate_below(0, 3000)
    assert rate_below(5, 5) == 1.0


def test_false_alarms_are_counted_by_dtype() -> None:
    case, alarms = case_of("Linear"), FalseAlarms()
    assert alarms.document() == {}
    case.implementation.error = Error(case.coordinates["scale"], 1e-7, "scale")
    alarms.add([case.verification.agreement(dtype) for dtype in DTYPES])
    found = alarms.document()["dtypes"]
    assert [found[dtype]["alarms"] for dtype in DTYPES] == [1, 0, 0]
    assert found["float64"]["disagree"] > 0
    assert found["float64"]["rate_below"] == 1.0


@pytest.mark.usefixtures("few")
def test_the_command_prints_tables_and_writes_numbers_and_a_picture(tmp_path: Path) -> None:
    arguments = ("--examples", 1, "--layers", "Mul,Mean", "--architectures", 1, "--json", "-")
    picture = tmp_path / "curve.png"
    done, again = run(*arguments, "--picture", picture), run(*arguments)
    assert done.exit_code == 0, done.output
    assert max(map(len, done.stderr.splitlines())) <= 80
    assert "all layers" in done.stderr
    assert "without an error, 1 of them" in done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    document, same = json.loads(done.stdout), json.loads(again.stdout)
    assert document["cases"] == {"Mul": 1, "Mean": 1}
    assert document["campaign"]["architectures"] == 1
    assert {**document, "seconds": 0} == {**same, "seconds": 0}


@pytest.mark.usefixtures("few")
def test_ctrl_c_prints_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    add = Sensitivity.add

    def interrupted(sensitivity: Sensitivity, case: Case) -> None:
        if case.op == "Mean":
            raise KeyboardInterrupt
        add(sensitivity, case)

    monkeypatch.setattr(Sensitivity, "add", interrupted)
    done = run("--examples", 1, "--layers", "Mul,Mean", "--json", "-")
    assert done.exit_code == 130
    document = json.loads(done.stdout)
    assert document["interrupted"]
    assert document["cases"] == {"Mul": 1}


@pytest.mark.usefixtures("few")
def test_without_jax_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "has_jax", lambda: False)
    assert "jax check_grads" not in {checker.name for checker in checkers()}
    done = run("--examples", 1, "--layers", "Mul")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == NO_JAX


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--layers", "Liner"), "did you mean Linear?"),
        (("--examples", "-1"), "-1 is not in the range"),
        (("--picture", "curve.txt"), "curve.txt: a picture ends in .png, .svg, .pdf"),
        (("--json", "/nowhere/numbers.json"), "No such file"),
    ],
)
def test_a_mistake_gets_one_line_and_status_2(arguments: tuple[str, ...], words: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    assert words in done.stderr
    assert sum(line.startswith("Error:") for line in done.stderr.splitlines()) == 1
