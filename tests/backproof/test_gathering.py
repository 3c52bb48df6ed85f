"""What is gathered from documents is what would have been counted in one place."""

import backproof
from backproof.gathering import Gathered, about
from backproof.verification import Verification
from impl import Gradients, Linear, Step
from reports import Summary

DTYPES = ("float64", "float32", "float16")


class Slightly(Linear):
    """Linear, whose backward is wrong by a thousandth."""

    def forward(self, parameters, x, **options):
        step = super().forward(parameters, x, **options)

        def backward(g):
            right = step.backward(g)
            return Gradients(right.inputs, {name: 1.001 * gradient for name, gradient in right.parameters.items()})

        return Step(step.output, backward)


def verified(seed):
    architecture = backproof.random_architecture(seed, ["Linear", "Conv2d", "BatchNorm1d", "Dropout", "MSELoss"])
    verification = Verification(architecture, backproof.NumPyImplementation({"Linear": Slightly}))
    return [verification.agreement(dtype) for dtype in DTYPES]


def test_documents_of_parts_add_up_to_the_document_of_the_whole():
    each = [verified(seed) for seed in range(12)]
    whole = Summary(DTYPES, about("numpy", len(each)))
    gathered = Gathered()
    for start in range(0, len(each), 4):
        part = Summary(DTYPES, about("numpy", 4))
        for agreements in each[start : start + 4]:
            whole.add(agreements)
            part.add(agreements)
        gathered.include(part.document())
    heard = Gathered()
    for agreements in each:
        for agreement in agreements:
            heard.hear(agreement)
    wanted = whole.document()
    assert 0 < wanted["failed"] < wanted["architectures"] * len(DTYPES)
    assert gathered.document() == wanted
    assert heard.document() | {"seconds": 0} == wanted


def test_one_architecture_in_the_same_dtype_again_is_another():
    gathered = Gathered()
    agreements = verified(1)
    for agreement in (*agreements, *agreements[:1], *verified(2)):
        gathered.hear(agreement)
    assert gathered.document()["architectures"] == 3


def test_what_was_left_out_and_whose_it_was_is_kept():
    gathered = Gathered()
    for name, left_out in (("b", {"GELU": 2}), ("a", {"GELU": 1, "ELU": 1})):
        gathered.include(Summary(("float64",), about(name, 3, left_out)).document())
    found = gathered.document(seed=5)
    assert (found["implementation"], found["implementations"], found["requested"]) == ("a, b", ["a", "b"], 6)
    assert (found["left_out"], found["seed"]) == ({"ELU": 1, "GELU": 3}, 5)
