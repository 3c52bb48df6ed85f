"""What is called a regression, and what is not."""

import json
import random
from dataclasses import replace

import pytest

from reports import Agreement, Comparison, Summary, TensorAgreement, check_comparable, compare, in_a_sentence
from reports.chance import lower
from reports.comparison import SLIGHT
from reports.coverage import Coverage, Facts
from reports.samples import ALONE, BLOCKS, Samples

ABOUT = {"implementation": "mine", "seed": 1, "environment": {"backproof": "0.1.0", "torch": "2.13.0"}, "chosen": None}
SPREAD = 0.4
"""Of digits, from architecture to architecture."""


def array(digits=10.0, op="Linear", kind="parameter", against=ALONE, verdict="agree") -> TensorAgreement:
    return TensorAgreement("a", op, kind, "weight", against, verdict, digits)


def agreement(digest: str, *tensors: TensorAgreement, dtype="float64", **changes) -> Agreement:
    node = {"name": "a", "op": "Linear", "inputs": ["x"]}
    return replace(Agreement({"nodes": [node]}, digest, "mine", dtype, 0.0, tensors), **changes)


def document(*agreements: Agreement, dtypes=("float64",), ops=("Linear", "ReLU"), **about):
    summary = Summary(dtypes, ABOUT | about, Coverage({op: Facts((2,)) for op in ops}))
    for one in agreements:
        summary.add([one])
    return json.loads(json.dumps(summary.document()))


def digits(count: int, seed: int, mean=10.0):
    rng = random.Random(seed)
    return [rng.gauss(mean, SPREAD) for _ in range(count)]


def run(seed: int, size: int = 60, mean: float = 10.0, first: int = 0, **about):
    """A run of architectures with one array each."""
    found = digits(size, seed, mean)
    return document(*(agreement(f"{i}", array(d)) for i, d in enumerate(found, first)), **about)


def whats(changes):
    return [(c.what, c.op, c.kind, c.dtype) for c in changes]


LOST = [("digits", "Linear", "parameter", "float64")]


def test_the_same_run_is_no_regression():
    found = compare(run(0), run(0))
    assert (found.paired, found.judged, found.worse, found.better, found.new, found.gone) == (True, True, *[[]] * 4)
    assert in_a_sentence(found) == "No regression: 0 better, 0 new, 0 gone."


def test_digits_lost_by_the_same_architectures_are_a_regression_and_back_they_are_better():
    base = run(0)
    lost = document(*(agreement(f"{i}", array(d - 0.2)) for i, d in enumerate(digits(60, 0))))
    found = compare(base, lost)
    assert found.paired
    assert whats(found.worse) == LOST
    (change,) = found.worse
    assert change.base - change.new == pytest.approx(0.2, abs=1e-3)
    assert (change.base_cases, change.new_cases) == (60, 60)
    assert change.chance < 1e-9
    back = compare(lost, base)
    assert (whats(back.better), back.worse) == (LOST, [])
    assert "Regression: 1 change for the worse, in Linear." in in_a_sentence(found)


def test_what_rises_and_falls_architecture_by_architecture_is_noise():
    found = compare(run(0), run(5))
    assert found.paired
    assert (found.worse, found.better, found.slight) == ([], [], 0)


def test_other_architectures_are_compared_as_samples():
    found = compare(run(0), run(1, first=1000))
    assert (found.paired, found.judged, found.worse) == (False, True, [])
    base, lost = run(0), run(1, first=1000, mean=9.0)
    found = compare(base, lost)
    assert whats(found.worse) == LOST
    either = ({int(bin): n for bin, n in document["samples"][0]["histogram"].items()} for document in (base, lost))
    assert found.worse[0].chance == pytest.approx(2 * lower(*either)[0])
    assert whats(compare(run(0, mean=9.0), run(1, first=1000)).better) == LOST


def test_a_loss_that_other_roundings_explain_is_told_but_is_none():
    slightly = document(*(agreement(f"{i}", array(d - 0.9 * SLIGHT)) for i, d in enumerate(digits(60, 0))))
    found = compare(run(0), slightly)
    assert (found.worse, found.better, found.slight) == ([], [], 1)
    plainly = document(*(agreement(f"{i}", array(d - 1.1 * SLIGHT)) for i, d in enumerate(digits(60, 0))))
    assert whats(compare(run(0), plainly).worse) == LOST


def test_an_architecture_counts_once_however_many_arrays_it_has():
    """Ten architectures say no more by having a hundred arrays each, which rise and fall together."""
    few = [document(*(agreement(f"{i}", *[array(d)] * 100) for i, d in enumerate(digits(10, seed)))) for seed in (0, 1)]
    assert few[0]["samples"][0]["cases"] == 10
    lost = document(*(agreement(f"{i}", *[array(d - 1.0)] * 100) for i, d in enumerate(digits(10, 0))))
    assert compare(few[0], lost).worse == []  # ten coins that fall alike are not rarer than 1 in 1,000 twice over
    assert compare(few[0], few[1]).worse == []


def test_many_layers_share_the_alarms_that_are_allowed():
    def of(loss, layers):
        return document(
            *(
                agreement(f"{i}", *(array(d - (loss if n == 0 else 0.0), op=f"L{n}") for n in range(layers)))
                for i, d in enumerate(digits(13, 0))
            )
        )

    assert len(compare(of(0.0, 1), of(0.3, 1)).worse) == 1
    assert len(compare(of(0.0, 9), of(0.3, 9)).worse) == 1  # the eight that are the very same need not be paid for

    def moved(loss):
        return document(
            *(
                agreement(f"{i}", *(array(d - loss * (1 if n == 0 else (-1) ** (i + n)), op=f"L{n}") for n in range(9)))
                for i, d in enumerate(digits(13, 0))
            )
        )

    assert compare(moved(0.0), moved(0.3)).worse == []  # 13 coins that fall alike, in one of nine tosses


def test_digits_beyond_the_node_alone_are_those_of_the_whole_network():
    def of(loss):
        found = enumerate(digits(60, 0))
        return document(*(agreement(f"{i}", array(d), array(d - loss, against="autograd")) for i, d in found))

    assert whats(compare(of(0.0), of(0.5)).worse) == [("digits", "whole network", "parameter", "float64")]


def failing(digest, **changes):
    return agreement(digest, array(0.0, verdict="disagree"), **({"culprit": "a", "op": "Linear"} | changes))


def crashing(digest):
    return agreement(digest, culprit="a", op="Linear", failure="node a: ValueError")


def test_a_new_disagreement_is_a_regression_whatever_the_digits():
    fine = [agreement(f"{i}", array()) for i in range(500)]
    found = compare(document(*fine), document(*fine[1:], failing("500")))
    assert whats(found.worse) == [("disagreement", "Linear", "", "float64")]
    assert (found.worse[0].base, found.worse[0].new, found.worse[0].chance) == (0, 1, None)
    other_layers = document(*fine[1:], failing("500"), ops=("Linear",))
    assert not compare(document(*fine), other_layers).judged
    assert whats(compare(document(*fine), other_layers).worse) == whats(found.worse)


def test_a_crash_is_told_from_a_disagreement():
    fine = [agreement(f"{i}", array()) for i in range(9)]
    found = compare(document(*fine, failing("10")), document(*fine, crashing("10")))
    assert ("crash", "Linear", "", "float64") in whats(found.worse)
    assert ("disagreement", "Linear", "", "float64") in whats(found.better)  # the very same architectures


def test_known_disagreements_are_worse_only_beyond_chance():
    def of(bad, first):
        tensors = (array(10.0),)
        return document(
            *(failing(f"{first + i}") for i in range(bad)),
            *(agreement(f"{i}", *tensors) for i in range(first, first + 300)),
        )

    assert compare(of(3, 0), of(5, 1000)).worse == []
    assert ("disagreement", "Linear", "", "float64") in whats(compare(of(3, 0), of(60, 1000)).worse)
    assert ("disagreement", "Linear", "", "float64") in whats(compare(of(60, 1000), of(3, 0)).better)


def test_more_inconclusive_beyond_chance_is_a_regression():
    def of(unsure, first):
        verdicts = ["inconclusive"] * unsure + ["agree"] * (200 - unsure)
        return document(*(agreement(f"{first + i}", array(verdict=v)) for i, v in enumerate(verdicts)))

    assert compare(of(1, 0), of(4, 1000)).worse == []
    assert whats(compare(of(1, 0), of(40, 1000)).worse) == [("inconclusive", "Linear", "parameter", "float64")]
    assert whats(compare(of(40, 1000), of(1, 0)).better) == [("inconclusive", "Linear", "parameter", "float64")]


def test_what_only_one_run_has_is_new_or_gone():
    both = [array(), array(op="ReLU", kind="input")]
    node = {"name": "b", "op": "ReLU", "inputs": ["a"]}
    more = document(agreement("0", *both, architecture={"nodes": [{"name": "a", "op": "Linear", "inputs": []}, node]}))
    less = document(agreement("0", array(), array(kind="adjoint")))
    found = compare(more, less)
    assert [(c.op, c.kind) for c in found.gone] == [("ReLU", "")]
    assert [(c.op, c.kind) for c in found.new] == [("Linear", "adjoint")]
    back = compare(less, more)
    assert ([(c.op, c.kind) for c in back.new], back.worse) == ([("ReLU", "")], [])


def test_a_layer_that_is_no_longer_supported_is_a_regression_unless_others_were_chosen():
    base = run(0)
    less = run(0, ops=("ReLU",))
    less["coverage"]["ops"] = {"ReLU": 0}
    less["layers"] = [row for row in less["layers"] if row["op"] != "Linear"]
    assert whats(compare(base, less).worse) == [("unsupported", "Linear", "", "")]
    chosen = less | {"chosen": ["ReLU"]}
    assert compare(base, chosen).worse == []
    assert [(c.op, c.what) for c in compare(base, chosen).gone] == [("Linear", "gone")]


def test_what_is_not_drawn_alike_is_told_and_not_judged():
    base, lost = run(0), run(1, mean=8.0, first=1000)
    assert compare(base, lost).worse
    for change in ({"seed": None}, {"environment": {"backproof": "0.2.0", "torch": "2.13.0"}}):
        found = compare(base, lost | change)
        assert (found.judged, found.worse) == (False, [])
        assert any("not drawn alike" in note for note in found.notes)
    other = run(1, mean=8.0, first=1000, ops=("Linear",))
    assert (compare(base, other).judged, compare(base, other).worse) == (False, [])
    same = run(0, environment={"backproof": "0.2.0"})  # another version that drew the same architectures
    assert compare(base, same).judged


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"implementation": "yours"}, "other implementations: mine before, yours now"),
        ({"environment": {"backproof": "0.1.0", "torch": "3"}}, "another torch: 2.13.0 before, 3 now"),
        ({"interrupted": True}, "the run now was interrupted after 60 architectures"),
        ({"schema": 1}, "of schema 1"),
        ({"dtypes": {"float32": {}, "float64": {}}}, "only now, so not compared: float32"),
        ({"coverage": {"ops": {f"L{i}": 1 for i in range(9)}}}, "drawn only now: L0, L1, L2, L3, L4 and 4 more"),
    ],
)
def test_other_settings_are_told(changes, words):
    assert any(words in note for note in compare(run(0), run(0) | changes).notes)
    assert not any(words in note for note in compare(run(0), run(0)).notes)


def test_nothing_in_common_is_refused():
    base = run(0) | {"chosen": ["Linear"]}
    check_comparable(base, ["float32", "float64"], ["Linear", "ReLU"])
    check_comparable(base, ["float64"], None)
    with pytest.raises(ValueError, match="the dtypes are float64 before and float16 now"):
        check_comparable(base, ["float16"], None)
    with pytest.raises(ValueError, match="the layers that were chosen"):
        check_comparable(base, ["float64"], ["Tanh"])


def test_second_derivatives_are_arrays_of_their_own():
    def of(loss):
        found = enumerate(digits(60, 0))
        second = (agreement(f"{i}", array(12.0), array(d - loss, against="second order, node alone")) for i, d in found)
        return document(*second)

    assert whats(compare(of(0.0), of(0.5)).worse) == [("digits", "Linear", "curvature", "float64")]
    found = compare(of(0.0), document(*(agreement(f"{i}", array(12.0)) for i in range(60))))
    assert (found.worse, found.gone) == ([], [])
    assert "second derivatives only before" in found.notes


def replayed(verdict, digest="d", file="a.json"):
    return {"file": file, "digest": digest, "dtype": "float64", "verdict": verdict, "note": ""}


@pytest.mark.parametrize(
    ("before", "now", "where", "what"),
    [
        ([replayed("agree")], [replayed("disagree")], "worse", "disagreement"),
        ([replayed("agree")], [replayed("crash")], "worse", "crash"),
        ([], [replayed("disagree")], "worse", "disagreement"),
        ([replayed("disagree")], [replayed("agree")], "better", "disagreement"),
        ([replayed("disagree")], [replayed("disagree")], None, None),
        ([replayed("agree")], [replayed("agree", file="renamed.json")], None, None),
        ([], [replayed("agree")], "new", "new"),
        ([replayed("agree")], [], "gone", "gone"),
    ],
)
def test_a_corpus_is_compared_architecture_by_architecture(before, now, where, what):
    found = compare(run(0) | {"corpus": before}, run(0) | {"corpus": now})
    changes = {name: [c.what for c in getattr(found, name)] for name in ("worse", "better", "new", "gone")}
    assert changes == {name: [what] if name == where else [] for name in changes}


def test_the_gravest_comes_first():
    base = run(0)
    worse = document(
        *(agreement(f"{i}", array(d - 1.0)) for i, d in enumerate(digits(59, 0))),
        crashing("59"),
        ops=("ReLU", "Linear"),
    )
    assert [c.what for c in compare(base, worse).worse] == ["crash", "digits"]


def test_memory_is_flat_and_the_order_does_not_matter():
    def samples(size, order):
        made = Samples()
        found = list(enumerate(digits(size, 0)))
        order.shuffle(found)
        for i, d in found:
            made.draw(f"{i}")
            made.add(agreement(f"{i}", array(d), array(d / 3)))
        return made

    one, two = samples(5000, random.Random(1)), samples(5000, random.Random(2))
    assert (one.document(), one.fingerprint) == (two.document(), two.fingerprint)
    (sample,) = one.document()
    assert len(sample["blocks"]) == BLOCKS
    assert sum(counted for counted, _ in sample["blocks"].values()) == sample["cases"] == 5000
    total = sum(total for _, total in sample["blocks"].values())
    assert total / 5000 / 1000 == pytest.approx(2 / 3 * sum(digits(5000, 0)) / 5000, abs=1e-3)  # the mean of both
    assert samples(4999, random.Random(1)).fingerprint != one.fingerprint


@pytest.mark.parametrize(
    "draw",
    [lambda rng: rng.gauss(8, 1), lambda rng: 15 - rng.expovariate(1.0), lambda rng: float(rng.randint(6, 7))],
    ids=["normal", "skewed", "discrete"],
)
def test_what_is_the_same_raises_no_alarm(draw):
    """benchmarks/regression.py has the measurement on real runs; this notices if one of a hundred is one."""
    rng = random.Random(0)

    def drawn(size, first):
        arrays = ([array(max(draw(rng), 0.0), op=f"L{n}") for n in range(6)] for _ in range(size))
        return document(*(agreement(f"{i}", *found) for i, found in enumerate(arrays, first)))

    for trial in range(100):
        size = 15 + trial % 20
        found = compare(drawn(size, 0), drawn(size, 1000 * (trial % 2)))
        assert (found.paired, found.worse, found.better) == (trial % 2 == 0, [], [])


def test_an_empty_comparison_is_plain_json():
    assert json.loads(json.dumps(Comparison({}, {}).document()))["regression"] is False
