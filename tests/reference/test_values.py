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
