"""What is covered, against torch.nn."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from backproof.catalogue import rows
from backproof.complex_numbers import complex_numbers
from impl.layers import LAYERS
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
    console.print("\nIn complex128 as well, but for:\n", highlight=False)
    real = Table(box=None, pad_edge=False, header_style="bold")
    real.add_column("layer", no_wrap=True)
    real.add_column("why not", overflow="fold")
    for op, why in ((op, complex_numbers(op)) for op in covered):
        if why:
            real.add_row(op, why)
    console.print(real)
    console.print(f"\nStructural ops: {', '.join(sorted(STRUCTURAL))}.", highlight=False)
    console.print(f"\nNot covered yet ({len(missing)}): {', '.join(missing)}.", highlight=False)
