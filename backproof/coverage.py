"""What is covered, against torch.nn, torch.optim and torch.nn.init."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from types import ModuleType

from rich.console import Console
from rich.table import Table
from torch.nn import init as torch_init
from torch.nn.utils import clip_grad
from torch.optim import lr_scheduler, swa_utils

from backproof.catalogue import rows
from backproof.complex_numbers import REFUSES, complex_numbers
from backproof.recipes import optimizers
from impl import init, optim
from impl.layers import LAYERS
from impl.optim import schedules
from reference.ops import STRUCTURAL, torch_layers


def show(console: Console) -> None:
    """Show the layers that are verified, what they refuse and why, and those that are not covered yet."""
    covered = [op for op in torch_layers() if op in rows() and op in LAYERS]
    missing = [op for op in torch_layers() if op not in covered]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("layer", no_wrap=True)
    table.add_column("arguments", overflow="fold")
    for op in covered:
        table.add_row(op, rows()[op].limits or "all")
    console.print(f"{len(covered)} of the {len(torch_layers())} layers of torch.nn are covered:\n", highlight=False)
    console.print(table)
    if missing:
        console.print(f"\nNot covered yet ({len(missing)}): {', '.join(missing)}.", highlight=False)
    own = "Beside them, of backproof's own, for torch.nn has no class that joins layers:"
    console.print(f"\n{own} {', '.join(sorted(STRUCTURAL))}.", highlight=False)
    reasons = {op: complex_numbers(op) for op in covered}
    both = [op for op, why in reasons.items() if not why]
    console.print(f"\nIn complex128 as well: {', '.join(both)}. PyTorch refuses the others, but for:", highlight=False)
    for op, why in reasons.items():
        if why and not why.startswith(REFUSES):
            console.print(f"{op}: {why}.", highlight=False)
    for kind, names in beside_layers().items():
        here = [name for name, known in names.items() if known]
        console.print(f"\n{len(here)} of {len(names)} {kind}: {', '.join(here)}.", highlight=False)
        if absent := [name for name, known in names.items() if not known]:
            console.print(f"Not covered yet: {', '.join(absent)}.", highlight=False)


def beside_layers() -> dict[str, dict[str, bool]]:
    """Return what torch has to train layers, by kind, and whether impl has it under that name.

    What fills an array in place has a name that ends in an underscore in torch; impl returns a new array, without it.
    """
    home = {**vars(lr_scheduler), **vars(swa_utils)}
    bases = ("LRScheduler", "_LRScheduler")
    scheduled = [n for n, c in home.items() if inspect.isclass(c) and issubclass(c, lr_scheduler.LRScheduler)]
    kinds: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
        "optimizers of torch.optim": (optimizers(), optim.__all__),
        "schedules of torch.optim": (sorted({*scheduled} - {*bases}, key=str.lower), schedules.__all__),
        "initializers of torch.nn.init": (_pure(torch_init), init.__all__),
        "gradient clips of torch.nn.utils": (_pure(clip_grad), optim.__all__),
    }
    return {kind: {name: name in ours for name in theirs} for kind, (theirs, ours) in kinds.items()}


def _pure(module: ModuleType) -> list[str]:
    return sorted({name.removesuffix("_") for name in module.__all__})
