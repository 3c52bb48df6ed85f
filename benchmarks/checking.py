"""How often right functions are blamed by check_gradients and check_module: ``python -m benchmarks.checking``.

Every layer of impl on random values, as a plain function of arrays, in float64 and float32; and the same layer of
torch.nn as a module, in float32 and bfloat16. All of them are right, so that every disagreement is a false alarm, or a
gradient that by PyTorch's convention is no derivative (those layers are left out). docs/checking.md shows the result.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import click
import numpy as np
import torch

from backproof import check_gradients, check_module, random_architecture
from backproof.campaign import one_thread
from backproof.catalogue import convention
from backproof.implementations import NumPyImplementation, Pass
from impl.layers import LAYERS
from reference import Architecture, Twin, Values, draw_values
from reference.ops import constructor_arguments, is_op, torch_layers
from reference.run import Array, is_numeric
from reports import Agreement


@dataclass(frozen=True)
class AsFunction:
    """A layer of impl as ``forward(**arrays) -> (output, backward)``."""

    architecture: Architecture
    noise: tuple[Array, ...]
    parameters: tuple[str, ...]
    buffers: dict[str, Array]

    @property
    def __name__(self) -> str:
        return self.architecture.nodes[0].op

    def __call__(self, **arrays: Array) -> tuple[Any, Callable[[Any], dict[str, Array | None]]]:
        """Run it."""
        inputs = [name for name in arrays if name not in self.parameters]
        given = {name: arrays[name] for name in self.parameters}
        dtype = next(x.dtype for x in arrays.values() if is_numeric(x))
        given |= {name: b.astype(dtype) if is_numeric(b) else b for name, b in self.buffers.items()}
        done: Pass = NumPyImplementation().forward(
            self.architecture.nodes[0],
            given,
            tuple(arrays[name] for name in inputs),
            training=self.architecture.training,
            noise=self.noise,
        )

        def backward(g: Any) -> dict[str, Array | None]:
            grads, own = done.backward(tuple(g) if len(done.outputs) > 1 else (g,))
            return {**dict(zip(inputs, grads)), **{name: own[name] for name in self.parameters if name in own}}

        return (done.outputs if len(done.outputs) > 1 else done.outputs[0]), backward


def cases(seeds: Sequence[int], ops: Sequence[str]) -> Iterator[tuple[Architecture, Twin, Values]]:
    """Draw one node alone, of every op in turn, with its values; without what has another gradient by convention."""
    for seed in seeds:
        for op in ops:
            architecture = random_architecture(seed, [op], max_nodes=1)
            if convention(architecture.nodes[0]) or len(architecture.nodes) > 1:
                continue
            twin = Twin(architecture, device="cpu")
            yield architecture, twin, draw_values(architecture, twin)


def as_function(architecture: Architecture, twin: Twin, values: Values, dtype: str) -> Agreement:
    """Check a layer of impl as a function of arrays."""
    node = architecture.nodes[0]
    parameters = values.parameters.get(node.name, {})
    buffers = {name: parameters[name] for name in twin.buffers.get(node.name, ())}
    own = {name: array for name, array in parameters.items() if name not in buffers}
    function = AsFunction(architecture, values.noise.get(node.name, ()), tuple(own), buffers)
    every = {**{f"x{i}": x for i, x in enumerate(_taken(architecture, values))}, **own}
    arrays = {name: x.astype(dtype) if is_numeric(x) else x for name, x in every.items()}
    return check_gradients(function, arrays, raise_exception=False)


def as_module(architecture: Architecture, values: Values, dtype: torch.dtype) -> Agreement:
    """Check a layer of torch.nn as a module."""
    node = architecture.nodes[0]
    torch.manual_seed(architecture.seed)
    layer = getattr(torch.nn, node.op)(**constructor_arguments(node.op, node.arguments, torch.tensor, _no_layer))
    module = layer.train(architecture.training).to(dtype)
    tensors = [torch.from_numpy(x) for x in _taken(architecture, values)]
    tensors = [x.to(dtype) if x.is_floating_point() else x for x in tensors]
    states = node.op in ("LSTM", "LSTMCell") and len(tensors) == 3
    given = (tensors[0], tuple(tensors[1:])) if states else tuple(tensors)
    return check_module(module, *given, raise_exception=False)


def _taken(architecture: Architecture, values: Values) -> list[Array]:
    """What the node takes; one input may be taken twice."""
    return [values.inputs[name] for name in architecture.nodes[0].inputs]


def _no_layer(op: str, arguments: Any) -> Any:
    raise ValueError(op)


@click.command()
@click.option("--seeds", default=8, show_default=True, help="Random values of every layer.")
@click.option("--seed", default=0, show_default=True, help="The first of them.")
@click.option("--dtypes", default="float64,float32", show_default=True, help="Of functions of arrays; empty: none.")
@click.option("--modules", default="float32,bfloat16", show_default=True, help="Of modules of torch.nn; empty: none.")
def main(seeds: int, seed: int, dtypes: str, modules: str) -> None:
    """Check right layers, and count what is said of them."""
    one_thread()
    started, counts, alarms = perf_counter(), Counter[tuple[str, str]](), 0
    for architecture, twin, values in cases(range(seed, seed + seeds), [op for op in LAYERS if is_op(op)]):
        op = architecture.nodes[0].op
        runs: list[tuple[str, Callable[[], Agreement]]] = []
        for dtype in filter(None, dtypes.split(",")):
            runs.append((f"arrays, {dtype}", partial(as_function, architecture, twin, values, dtype)))
        plain = op in torch_layers() and not architecture.nodes[0].options and not values.noise
        for name in filter(None, modules.split(",") if plain else ()):
            runs.append((f"module, {name}", partial(as_module, architecture, values, getattr(torch, name))))
        for what, run in runs:
            try:
                with np.errstate(all="ignore"), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = run()
            except ValueError:  # no floating input; or an argument that is a layer
                counts[what, "not checked"] += 1
                continue
            if "not implemented for" in (found.failure or ""):
                counts[what, "refused by torch in this dtype"] += 1
                continue
            verdict = "agree" if found.agrees else "disagree"
            counts[what, "checks"] += 1
            counts[what, verdict] += 1
            for t in found.tensors:
                counts[what, f"arrays {t.verdict}"] += 1
            if not found.agrees:
                alarms += 1
                print(f"{what}, seed {architecture.seed}: {found}", flush=True)
    for (what, verdict), count in sorted(counts.items()):
        print(f"{what}: {count} {verdict}")
    print(f"{alarms} disagree; {perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
