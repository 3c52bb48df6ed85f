"""A neural network in NumPy, its backpropagation written by hand.

Layers carry torch.nn's names, constructors and defaults; see :mod:`impl.layer` for their contract.
"""

from impl.layers import *  # noqa: F403
from impl.layer import Gradients, Layer, Step
from impl.network import Network, Node, Sequential
