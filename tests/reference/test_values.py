"""Values drawn from a seed."""

import numpy as np
import pytest

from reference import Architecture, Input, Node, Twin, draw_values


@pytest.mark.parametrize("domain", ["real", "ties", "wide", "unit"])
def test_a_single_number_is_an_array(domain) -> None:
    for seed in range(20):
        architecture = Architecture((Input("x", (), domain),), (Node("n", "Add", {}, ("x",)),), ("n",), seed)
        values = draw_values(architecture, Twin(architecture))
        for array in (values.inputs["x"], values.cotangents["n"]):
            assert (type(array), array.dtype) == (np.ndarray, np.float64)


def test_distinct_numbers_never_repeat_in_a_plane_and_reach_their_bound() -> None:
    places = Input("places", (50, 2, 3), "distinct", below=7, axes=2)
    unpooled = Node("unpooled", "MaxUnpool2d", {"kernel_size": 2}, ("x", "places"))
    architecture = Architecture((Input("x", (50, 2, 3)), places), (unpooled,), ("unpooled",))
    drawn = draw_values(architecture, Twin(architecture)).inputs["places"]
    assert drawn.dtype == np.int64
    assert drawn.shape == (50, 2, 3)
    assert all(len(set(plane.flat)) == 6 for plane in drawn)
    assert set(drawn.flat) == set(range(7))
    assert Architecture.from_json(architecture.to_json()) == architecture
