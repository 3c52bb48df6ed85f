"""The layers, one file per family, each under the name of its class in torch.nn."""

import inspect
from importlib import import_module
from pkgutil import iter_modules

from impl.layer import Layer

LAYERS: dict[str, type[Layer]] = {
    name: cls
    for module in iter_modules(__path__)
    for name, cls in vars(import_module(f"{__name__}.{module.name}")).items()
    if inspect.isclass(cls)
    and issubclass(cls, Layer)
    and cls.__module__ == f"{__name__}.{module.name}"
    and not name.startswith("_")
}
globals().update(LAYERS)
__all__ = ["LAYERS", *LAYERS]
