"""What is right: the language of architectures, its PyTorch meaning, finite differences."""

from reference.architecture import Architecture, ArchitectureError, Input, Node
from reference.run import Run, Tensor
from reference.sensitivity import Reference
from reference.twin import Perturbation, Twin
from reference.values import Values, draw_values

__all__ = [
    "Architecture",
    "ArchitectureError",
    "Input",
    "Node",
    "Perturbation",
    "Reference",
    "Run",
    "Tensor",
    "Twin",
    "Values",
    "draw_values",
]
