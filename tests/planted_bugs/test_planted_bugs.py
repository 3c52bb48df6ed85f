"""Does the suite catch mistakes? Each planted bug must be caught soon, its culprit found, most of them named."""

import re

import pytest

from reference.ops import torch_layers

from .catching import DTYPES, WITHIN, catches, named
from .planting import BUGS

REFERENCED = [bug for bug in BUGS.values() if bug.source]


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught_in_both_dtypes_and_its_culprit_is_found(name: str) -> None:
    caught = catches(name)
    assert set(caught) == set(DTYPES), f"not caught within {WITHIN} architectures"
    assert [catch.agreement.op for catch in caught.values()] == [BUGS[name].culprit] * len(DTYPES)


def test_most_diagnoses_name_the_mistake() -> None:
    missed = [name for name in BUGS if not named(name)]
    share = 1 - len(missed) / len(BUGS)
    assert share >= 0.8, f"{share:.0%} named, not: " + "; ".join(
        f"{name} ({catches(name)['float64'].agreement.diagnosis})" for name in missed
    )


def test_mistakes_are_planted_in_at_least_60_layers() -> None:
    assert len({bug.culprit for bug in BUGS.values()} & set(torch_layers())) >= 60


def test_mistakes_that_really_happened_are_at_least_44_and_spread_over_all_kinds() -> None:
    assert len(REFERENCED) >= 44
    assert {bug.kind for bug in REFERENCED} == {"layer", "composition", "state"}
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", bug.source) for bug in REFERENCED)
