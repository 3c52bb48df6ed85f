"""A neural network in NumPy, its backpropagation written by hand.

Layers carry torch.nn's names, constructors and defaults; see :mod:`impl.layer` for their contract.

PYTEST_DONT_REWRITE: pytest, which has a plugin here, would else warn where this was imported before it started.
"""

from impl import layers as _layers
from impl.layer import Gradients, Layer, Step
from impl.layers import *
from impl.network import Network, Node, Sequential

__all__ = ["Gradients", "Layer", "Network", "Node", "Sequential", "Step"]
__all__ += _layers.__all__
