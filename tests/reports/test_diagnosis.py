"""Each claim is made for its mistake, and for no other."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import Evidence, Suspect, diagnose, most_telling

RNG = np.random.default_rng(0)
WANT = RNG.standard_normal((5, 7))
SIZES = Evidence(sizes={"axis 0 of input 0": 6, "axis 1 of input 0": 10})
SQUARE = RNG.standard_normal((4, 4))


def changed(array, index, value):
    copy = array.copy()
    copy[index] = value
    return copy


@pytest.mark.parametrize(
    ("got", "want", "told"),
    [
        (None, WANT, "is missing"),
        (1.0, WANT, "is float, wanted an array"),
        (np.zeros((5, 8)), WANT, "has shape (5, 8), wanted (5, 7)"),
        (WANT.T, WANT, "is transposed"),
        (SQUARE.T, SQUARE, "is transposed"),
        (0 * WANT, WANT, "is zero everywhere"),
        (-WANT, WANT, "has the wrong sign"),
        (WANT * 6, WANT, "is 6 times the reference: a mean over axis 0 of input 0 (6) is missing"),
        (WANT / 10, WANT, "is 1/10 of the reference: a mean over axis 1 of input 0 (10) where a sum belongs"),
        (
            WANT / 6**0.5,
            WANT,
            "is 1/sqrt(6) of the reference: a division by the root of axis 0 of input 0 (6) is too many",
        ),
        (WANT * 2, WANT, "is 2 times the reference"),
        (WANT / -2, WANT, "is minus 1/2 of the reference"),
        (
            WANT * 60,
            WANT,
            "is 60 times the reference: means over axis 0 of input 0 (6) and axis 1 of input 0 (10) are missing",
        ),
        (WANT * 1.001, WANT, "is 1.001 times the reference"),
        (WANT[:, ::-1], WANT, "is reversed along axis 1"),
        (
            WANT[:, [2, 0, 1, 4, 3, 6, 5]],
            WANT,
            "has the right numbers in the places of one another",
        ),
        (WANT + 3, WANT, "is off by the constant 3"),
        (changed(WANT, (2, 3), 9), WANT, "is wrong at 1 of 35 entries, the first at [2, 3]"),
        (
            changed(WANT, (slice(None), 6), 9),
            WANT,
            "is the constant 9 at the last index of axis 1 (size 7), and right elsewhere",
        ),
        (
            changed(WANT, (0, slice(None)), 0),
            WANT,
            "is zero at index 0 of axis 0 (size 5), and right elsewhere",
        ),
        (changed(WANT, (1, 1), np.nan), WANT, "is not finite at 1 of 35 entries, the first at [1, 1]"),
        (RNG.standard_normal((5, 7)), WANT, "is wrong at all entries"),
    ],
)
def test_a_mistake_is_named(got, want, told):
    assert diagnose(got, want, 1e-12, SIZES) == told


@given(st.floats(-0.9, 0.9))
def test_nothing_is_said_of_what_rounding_explains(error):
    assert diagnose(WANT + error * 1e-9, WANT, 1e-9, SIZES) is None


@given(st.integers(0, 34), st.floats(0.01, 100))
def test_no_claim_is_made_that_one_entry_contradicts(at, error):
    got = WANT * 6
    got.flat[at] += error
    assert "entries" in diagnose(got, WANT, 1e-9, SIZES)


OTHER = RNG.standard_normal((5, 7))
SIDE = WANT < 0
KINKS = np.zeros((5, 7), dtype=bool)
KINKS[0, :3] = True


TERM = Evidence(terms={"T": OTHER})
SIZE = Evidence(terms={"T": WANT})
PLACE = Evidence(places={"at P": SIDE})
YES = Evidence(alternatives=[("is Y", lambda: OTHER)])


def never():
    raise AssertionError("was asked for, though a more specific claim holds")


@pytest.mark.parametrize(
    ("got", "evidence", "told"),
    [
        (
            WANT * 0.7,
            Evidence(constants={"1 - p": 0.7}),
            "is 0.7 times the reference: 1 - p (0.7)",
        ),
        (
            WANT * 2.5,
            Evidence(sizes={"a": 5, "b": 2}),
            "is 5/2 of the reference: a mean is over b (2)",
        ),
        (
            WANT * 0.75,
            Evidence(sizes={"a": 4, "b": 3}),
            "is 3/4 of the reference: 4 and 3 are confused, a being 4, or a mean is over a (4), wanted over b (3)",
        ),
        (
            WANT.sum(axis=0) + 0 * WANT,
            Evidence(),
            "is summed over the wrong axes: over axis 0, too",
        ),
        (OTHER, Evidence(alternatives=[("is X", lambda: None), ("is Y", lambda: OTHER)]), "is Y"),
        (-OTHER, YES, "is Y, with the wrong sign"),
        (2 * OTHER, YES, "is Y, 2 times it"),
        (-WANT, Evidence(alternatives=[("is Y", never)]), "has the wrong sign"),
        (
            np.where(SIDE, OTHER, WANT),
            replace(YES, places={"at P": SIDE}),
            "is Y, but only at P",
        ),
        (
            np.where(SIDE, -WANT, WANT),
            PLACE,
            "is of the wrong sign at P, and right elsewhere",
        ),
        (np.where(SIDE, OTHER, WANT), PLACE, "is wrong only at P"),
        (np.where(SIDE, OTHER, WANT), replace(TERM, places={"at P": SIDE}), "is T at P, and right elsewhere"),
        (np.where(KINKS, OTHER, WANT), Evidence(kinks=KINKS), "is wrong only at kinks or ties"),
        (WANT + 3 * OTHER, TERM, "is off by 3 times T"),
        (
            WANT + OTHER * WANT[:, :1],
            TERM,
            "is off by a multiple of T for each index of axis 0",
        ),
        (WANT + OTHER[:1] * 0 + WANT[:, :1], Evidence(), "is off by a constant for each index of axis 0"),
        (
            WANT + WANT[:, :1] + OTHER * WANT[:, 1:2],
            TERM,
            "is off by a constant and a multiple of T",
        ),
        (WANT * OTHER, TERM, "is T times the reference"),
        (WANT / OTHER, TERM, "is the reference divided by T"),
        (WANT * OTHER[:1], Evidence(), "has a factor of its own for each index of axis 1"),
        (np.roll(WANT, 1, 0), Evidence(), "is shifted by 1 along axis 0"),
        (WANT**2 * 3, Evidence(families=[("eps", 1.0, lambda eps: WANT**2 * eps)]), "with eps=3 instead of 1"),
        (
            np.where(np.abs(WANT) > 1, OTHER, WANT),
            Evidence(terms={"T": WANT}),
            "only where the magnitude of T is at least",
        ),
        (WANT[:, :, None], Evidence(), "has shape (5, 7, 1), wanted (5, 7): it is not summed over axis 2"),
        (WANT.sum(axis=1), Evidence(), "has shape (5,), wanted (5, 7): it is summed over axis 1"),
        (WANT.reshape(7, 5), Evidence(), "has shape (7, 5), wanted (5, 7): the numbers are right"),
    ],
)
def test_a_mistake_is_named_by_evidence(got, evidence, told):
    assert told in diagnose(got, WANT, 1e-12, evidence)


@pytest.mark.parametrize(("right", "wrong"), [(1, 1), (2, 2), (6, 1), (1, 6)])
def test_where_a_few_entries_happen_to_lie_is_no_claim(right, wrong):
    places = {"where x is above 0": np.arange(right + wrong) >= right}
    got = np.where(places["where x is above 0"], OTHER.flat[: right + wrong], WANT.flat[: right + wrong])
    assert "above 0" not in diagnose(got, WANT.flat[: right + wrong], 1e-12, Evidence(places=places))


def test_where_enough_entries_lie_is_one():
    places = {"where x is above 0": np.arange(8) >= 4}
    got = np.where(places["where x is above 0"], OTHER.flat[:8], WANT.flat[:8])
    assert diagnose(got, WANT.flat[:8], 1e-12, Evidence(places=places)) == "is wrong only where x is above 0"


def test_a_candidate_that_fits_in_a_few_entries_names_no_place():
    places, wrong = {"at P": np.array([False, True, True])}, np.array([False, True, True])
    got = np.where(wrong, OTHER.flat[:3], WANT.flat[:3])
    found = diagnose(
        got, WANT.flat[:3], 1e-12, Evidence(places=places, alternatives=[("is Y", lambda: OTHER.flat[:3])])
    )
    assert found == "is Y, but only at 2 of 3 entries, the first at [1]"


def test_blocks_are_called_by_their_names():
    gates = Evidence(parts={0: ("gate i", "gate f")})
    want = RNG.standard_normal((6, 2))
    got = np.concatenate([want[3:], want[3:]])
    assert diagnose(got, want, 1e-12, gates) == "has the numbers of gate f in the place of gate i"
    assert diagnose(changed(want, slice(3), 0), want, 1e-12, gates) == "is zero for gate i, and right elsewhere"


@given(st.integers(0, 2**32 - 1))
def test_a_random_array_gets_no_claim(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 5, rng.integers(1, 4)))
    want, got, other, term = (rng.standard_normal(shape) for _ in range(4))
    evidence = Evidence(
        sizes={"a": 4, "b": 6},
        terms={"T": term},
        places={"at P": other < 0},
        alternatives=[("is Y", lambda: other)],
        families=[("eps", 0.5, lambda eps: want + eps * term**2)],
    )
    assert diagnose(got, want, 1e-12, evidence) == "is wrong at all entries" or got.size < 4


def test_what_cannot_be_told_from_the_reference_is_no_claim():
    """The candidate is twice the bound from the reference, and what came lies between them."""
    near = Evidence(alternatives=[("is Y", lambda: changed(WANT, (0, 0), WANT[0, 0] + 2e-9))])
    far = Evidence(alternatives=[("is Y", lambda: changed(WANT, (0, 0), WANT[0, 0] + 2e-8))])
    for error, evidence, told in (
        (1.5e-9, near, "is wrong at 1 of 35 entries, the first at [0, 0]"),
        (1.95e-8, far, "is Y"),
    ):
        assert diagnose(changed(WANT, (0, 0), WANT[0, 0] + error), WANT, 1e-9, evidence) == told


def test_the_array_with_the_most_specific_claim_is_named():
    vague = Suspect("input", OTHER, WANT, 1e-12, Evidence())
    clear = Suspect("weight", 2 * WANT, WANT, 1e-12, Evidence())
    right = Suspect("bias", WANT, WANT, 1e-12, Evidence())
    assert most_telling([right, vague, clear]) == "weight is 2 times the reference"
    assert most_telling([vague]) == "input is wrong at all entries"
    assert most_telling([right]) is None
