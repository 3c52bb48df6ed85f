"""The layers, one file per family, each under the name of its class in torch.nn."""

from importlib import import_module
from pkgutil import iter_modules

from impl.layer import Layer

LAYERS: dict[str, type[Layer]] = {}
"""All layers by name: what the modules beside this file list in ``__all__``."""

for _module in iter_modules(__path__):
    _family = import_module(f"{__name__}.{_module.name}")
    LAYERS |= {name: getattr(_family, name) for name in _family.__all__}
globals().update(LAYERS)
__all__ = ["LAYERS", *LAYERS]
