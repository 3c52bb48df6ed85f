"""Backproof proves hand-written gradients against PyTorch autograd and finite differences.

What stands here is imported when it is first used: ``import backproof`` and ``backproof --help`` load no torch.

PYTEST_DONT_REWRITE: pytest, which has a plugin here, would else warn where this was imported before it started.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backproof.checking import check_gradients
    from backproof.generator import architectures, random_architecture
    from backproof.implementations import Implementation, NumPyImplementation, Pass, TorchImplementation
    from backproof.modules import check_module
    from backproof.reporting import read_report
    from backproof.verification import verify
    from backproof.witnesses import Unsupported
    from reference import Architecture, ArchitectureError, Input, Node

__version__ = "0.1.0"
__all__ = [
    "Architecture",
    "ArchitectureError",
    "Implementation",
    "Input",
    "Node",
    "NumPyImplementation",
    "Pass",
    "TorchImplementation",
    "Unsupported",
    "architectures",
    "check_gradients",
    "check_module",
    "random_architecture",
    "read_report",
    "verify",
]

_HOME = {
    "Architecture": "reference",
    "ArchitectureError": "reference",
    "Implementation": "backproof.implementations",
    "Input": "reference",
    "Node": "reference",
    "NumPyImplementation": "backproof.implementations",
    "Pass": "backproof.implementations",
    "TorchImplementation": "backproof.implementations",
    "Unsupported": "backproof.witnesses",
    "architectures": "backproof.generator",
    "check_gradients": "backproof.checking",
    "check_module": "backproof.modules",
    "random_architecture": "backproof.generator",
    "read_report": "backproof.reporting",
    "verify": "backproof.verification",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'backproof' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
