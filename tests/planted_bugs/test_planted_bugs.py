"""Does the suite catch mistakes? Each planted bug must be caught soon, and its layer must be named."""

import pytest
from bugs import BUGS, planted

from backproof import NumPyImplementation, random_architecture
from backproof.verification import Verification

WITHIN = 200


def caught(name: str, dtype: str) -> tuple[int, str | None, str | None]:
    """Number of architectures until a bug is caught, the op that is blamed and the diagnosis."""
    op, wrong = BUGS[name]
    broken = NumPyImplementation({op: planted(op, wrong)})
    for seed in range(WITHIN):
        agreement = Verification(random_architecture(seed, layers=[op]), broken).agreement(dtype)
        if not agreement.agrees:
            return seed, agreement.op, agreement.diagnosis
    raise AssertionError(f"{name}: not caught within {WITHIN} architectures")


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught_and_its_layer_is_named(name: str) -> None:
    _, op, _ = caught(name, "float64")
    assert op == BUGS[name][0]


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught_in_float32_too(name: str) -> None:
    _, op, _ = caught(name, "float32")
    assert op == BUGS[name][0]
