"""Values: what the domains of inputs promise."""

import numpy as np

from reference import Architecture, Input, Node, Twin, draw_values


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
