"""What is right: the language of architectures, its PyTorch meaning, finite differences.

PYTEST_DONT_REWRITE: pytest, which has a plugin here, would else warn where this was imported before it started.
"""

from reference.architecture import Architecture, ArchitectureError, Input, Node
from reference.disturbance import Perturbation
from reference.run import Run, Tensor
from reference.sensitivity import Curvature, Reference
from reference.twin import Refused, Twin
from reference.values import Values, draw_values, with_imaginary_parts

__all__ = [
    "Architecture",
    "ArchitectureError",
    "Curvature",
    "Input",
    "Node",
    "Perturbation",
    "Reference",
    "Refused",
    "Run",
    "Tensor",
    "Twin",
    "Values",
    "draw_values",
    "with_imaginary_parts",
]
