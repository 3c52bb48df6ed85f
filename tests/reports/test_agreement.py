"""Every rule of a verdict: what agrees, what does not, how many digits."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from reports import Agreement, DisagreementError, TensorAgreement, measure
from reports.packing import pack, unpack

NAMES = {"node": "linear1", "op": "Linear", "kind": "parameter", "name": "weight", "against": "autograd"}
inf, nan = float("inf"), float("nan")


def compare(got, want, bound=0.1, scale=1.0, dtype="float64", **options) -> TensorAgreement:
    as_array = got if got is None or isinstance(got, str) else np.asarray(got, dtype)
    return measure(as_array, np.asarray(want), bound=bound, scale=scale, dtype=dtype, **NAMES, **options)


@pytest.mark.parametrize(
    ("got", "want", "verdict"),
    [
        ([1.0, 2.0], [1.0, 2.0], "agree"),
        ([1.0, 2.09], [1.0, 2.0], "agree"),
        ([1.0, 2.11], [1.0, 2.0], "disagree"),
        ([1.0, nan], [1.0, nan], "agree"),
        ([nan, 1.0], [1.0, nan], "disagree"),
        ([1.0, 2.0], [1.0, nan], "disagree"),
        ([1.0, nan], [1.0, 2.0], "disagree"),
        ([inf, -inf], [inf, -inf], "agree"),
        ([inf, inf], [inf, -inf], "disagree"),
        ([1.0, inf], [1.0, 2.0], "disagree"),
    ],
)
def test_every_entry_must_lie_within_the_bound(got, want, verdict):
    assert compare(got, want).verdict == verdict


@pytest.mark.parametrize(
    ("got", "want", "verdict"), [(inf, 1e39, "agree"), (-inf, 1e39, "disagree"), (inf, 1e37, "disagree")]
)
def test_an_overflow_of_the_working_dtype_agrees_with_what_it_cannot_hold(got, want, verdict):
    assert compare([got], [want], dtype="float32").verdict == verdict


def test_bounds_may_differ_from_entry_to_entry():
    assert compare([1.0, 1.0], [1.5, 1.0], bound=np.array([1.0, 0.0])).verdict == "agree"
    result = compare([1.5, 1.1], [1.0, 1.0], bound=np.array([1.0, 0.01]))
    assert (result.verdict, result.index, result.got, result.want, result.bound) == (
        "disagree",
        (1,),
        1.1,
        1.0,
        0.01,
    )


def test_what_is_no_array_of_the_right_shape_disagrees_and_says_so():
    assert compare(None, np.zeros((3, 4))).note == "missing, wanted one of shape (3, 4)"
    assert compare("text", np.zeros(2)).note == "str instead of an array, wanted one of shape (2,)"
    wrong = compare(np.zeros((4, 3)), np.zeros((3, 4)))
    assert (wrong.verdict, wrong.note) == ("disagree", "has shape (4, 3), wanted (3, 4)")
    assert compare(np.zeros((0, 3)), np.zeros((0, 3))).verdict == "agree"


def test_integers_must_be_equal():
    assert compare([3], np.array([3]), bound=10.0).verdict == "agree"
    assert compare([4], np.array([3]), bound=10.0).verdict == "disagree"


def test_an_uncertain_array_is_neither_but_what_is_grossly_wrong_its_shape_and_its_infinities_count():
    assert compare([1.0], [1.0], doubt=8.0).verdict == "inconclusive"
    assert compare([1.0 + 0.7], [1.0], doubt=8.0).verdict == "inconclusive"
    assert compare([1.0 + 0.9], [1.0], doubt=8.0).verdict == "disagree"
    assert compare([9.0], [1.0], doubt=inf).verdict == "inconclusive"
    assert compare([nan], [1.0], doubt=inf).verdict == "disagree"
    assert compare(None, np.ones(1), doubt=inf).verdict == "disagree"


@pytest.mark.parametrize(
    ("error", "scale", "digits"),
    [(1e-3, 1.0, 3.0), (1e-3, 10.0, 4.0), (5.0, 1.0, 0.0), (0.0, 1.0, 15.65), (0.1, 0.0, 0)],
)
def test_digits_refer_to_the_scale(error, scale, digits):
    assert compare([error], [0.0], scale=scale).digits == pytest.approx(digits, abs=0.01)


def test_digits_end_with_the_dtype():
    assert compare([1.0], [1.0], dtype="float32").digits == pytest.approx(6.92, abs=0.01)


@given(st.floats(-1e300, 1e300), st.integers(-40, 40))
def test_ulps_are_counted_in_the_working_dtype(want, ulps):
    want = float(np.float64(want))
    got = want + ulps * float(np.spacing(max(abs(want), np.finfo(float).smallest_normal)))
    assert compare([got], [want], bound=inf).max_ulp == pytest.approx(
        abs(got - want) / np.spacing(max(abs(want), 2.3e-308))
    )


@given(arrays(np.float64, array_shapes(min_side=0, max_dims=3), elements=st.floats(allow_nan=True)))
def test_everything_agrees_with_itself(array):
    result = compare(array, array, bound=0.0)
    assert result.verdict == "agree"
    assert result.max_absolute == 0


@given(arrays(np.float64, 5, elements=st.floats(-1e3, 1e3)), st.integers(0, 4), st.floats(1e-6, 1e3))
def test_one_entry_beyond_the_bound_is_found(array, at, error):
    got = array.copy()
    got[at] += error
    result = compare(got, array, bound=error / 2)
    assert (result.verdict, result.index) == ("disagree", (at,))


def agreement(**changes) -> Agreement:
    right, wrong = compare([1.0], [1.0]), compare([3.0, nan], [1.0, 1.0])
    made = Agreement(
        {"nodes": []},
        "0123456789abcdef",
        "mine",
        "float64",
        0.5,
        (right, wrong),
        "linear1",
        "Linear",
        "backward",
        "is 3x",
    )
    return replace(made, **changes)


def test_an_agreement_goes_to_json_and_back():
    text = json.dumps(agreement().to_dict(), allow_nan=False)
    assert str(Agreement.from_dict(json.loads(text))) == str(agreement())
    assert json.dumps(Agreement.from_dict(json.loads(text)).to_dict()) == text


def test_an_agreement_agrees_if_nothing_disagrees_and_nothing_was_raised():
    good = agreement(tensors=agreement().tensors[:1])
    assert good.agrees
    good.raise_for_disagreement()
    assert not agreement().agrees
    assert not replace(good, failure="node linear1, forward: ValueError: no").agrees
    assert "15.7 digits" in str(good)
    assert agreement(tensors=()).worst is None


def test_the_error_says_what_one_wants_to_read():
    with pytest.raises(DisagreementError) as caught:
        agreement().raise_for_disagreement()
    text = str(caught.value)
    for part in (
        "mine",
        "0123456789ab",
        "culprit: linear1 (Linear): its backward is wrong",
        "is 3x",
        "gradient of weight",
        "got nan, wanted 1.0",
    ):
        assert part in text


def test_errors_beside_the_largest_number_can_be_kept_and_read_again():
    """1.797e308 to three digits is 1.80e308, which no float64 holds."""
    want = np.array([0.0, 1.0, 0.0])
    got = np.array([np.finfo(np.float64).max, 1.25, np.nan])
    tensor = measure(got, want, bound=0.1, scale=1.0, dtype="float64", **NAMES)
    assert tensor.errors == (None, 0.25, None)
    assert TensorAgreement.from_dict(json.loads(json.dumps(tensor.to_dict()))).errors == tensor.errors
    (read,) = unpack(pack([agreement(tensors=(tensor,))]))
    assert read.tensors[0].errors == tensor.errors
