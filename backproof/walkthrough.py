"""Backpropagation by hand, step by step, on the classic little network; every number comes out of impl."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf, isfinite, log10
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import impl
from impl.layer import Array
from impl.network import NetworkStep
from impl.optim import SGD
from impl.training import Training, train

GOAL = 1e-4
XOR = np.array([[0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
NODES: tuple[tuple[str, str, dict[str, int], tuple[str, ...]], ...] = (
    ("hidden", "Linear", {"in_features": 2, "out_features": 2}, ("x",)),
    ("O12", "Sigmoid", {}, ("hidden",)),
    ("net3", "Linear", {"in_features": 2, "out_features": 1}, ("O12",)),
    ("O3", "Sigmoid", {}, ("net3",)),
    ("E", "MSELoss", {}, ("O3", "target")),
)
NETWORK = impl.Network(
    ("x", "target"),
    [impl.Node(name, getattr(impl, op)(**arguments), inputs) for name, op, arguments, inputs in NODES],
    ("E",),
)
PICTURE = r"""
   x1 ---w11---> O1 ---w31--.
      \ /                    \
       X  w21, w12            >--> O3 ---> E = (O3 - target)^2
      / \                    /
   x2 ---w22---> O2 ---w32--'           O = sigmoid(net)
"""


@dataclass(frozen=True)
class Chain:
    """The gradient of one weight: the factors of the chain rule, their product, and what two witnesses say.

    ``gradient`` is what impl's backward returned; ``autograd`` and ``differences`` are PyTorch's and the finite
    difference's.
    """

    weight: str
    names: tuple[str, ...]
    factors: tuple[float, ...]
    gradient: float
    autograd: float
    differences: float


def walkthrough(
    console: Console, *, data: Path | None = None, seed: int = 1, lr: float = 10.0, epochs: int = 20_000
) -> bool:
    """Explain one step of backpropagation with all its numbers, then train until the error is below 1e-4.

    Parameters
    ----------
    console
        Where to print; 80 columns are enough.
    data
        A CSV file of ``x1,x2,target``; None: the four samples of XOR.
    seed, lr, epochs
        Of the initial weights; the learning rate; how long to train at most.

    Returns
    -------
    Whether the error came below 1e-4.

    Raises
    ------
    ValueError
        A line of the file is wrong; the message says which, and what would be right.
    OSError
        The file cannot be read.
    """
    samples = XOR if data is None else read_samples(data)
    rng = np.random.default_rng(seed)
    parameters = NETWORK.initial(rng)
    x, target = samples[-1:, :2], samples[-1:, 2:]
    step = NETWORK.forward(parameters, x, target)
    chains = explain(parameters, x, target, step)
    console.print("Backpropagation by hand", style="bold")
    console.print(PICTURE, highlight=False, markup=False)
    _show_forward(console, parameters, x, target, step)
    _show_backward(console, chains)
    _show_update(console, parameters, step, lr)
    data_arrays = samples[:, :2], samples[:, 2:]
    with console.status("training") as status:

        def news(epoch: int, error: float, _: object) -> None:
            if epoch % 1000 == 0:
                status.update(f"epoch {epoch:,}: E = {error:.3g}")

        done = train(NETWORK, parameters, data_arrays, SGD(lr=lr), epochs=epochs, rng=rng, goal=GOAL, callback=news)
    _show_training(console, done, samples)
    return done.reached


def read_samples(path: Path) -> Array:
    """Read ``x1,x2,target`` lines, with or without a header, as an array ``(N, 3)``."""
    rows: list[list[float]] = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        for number, cells in enumerate(csv.reader(file), start=1):
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{path}, line {number}"
            if len(cells) != 3:
                raise ValueError(f"{where}: {len(cells)} columns, wanted three: x1,x2,target")
            try:
                row = [float(cell) for cell in cells]
            except ValueError:
                if number == 1 and not rows:
                    continue  # a header
                raise ValueError(f"{where}: {','.join(cells)} are not three numbers") from None
            if not all(map(isfinite, row)):
                raise ValueError(f"{where}: {','.join(cells)}: wanted finite numbers")
            if not 0 <= row[2] <= 1:
                raise ValueError(f"{where}: the target is {row[2]:g}, wanted 0 to 1: a sigmoid reaches no other")
            rows.append(row)
    if not rows:
        raise ValueError(f"{path}: no samples, wanted lines of x1,x2,target")
    return np.array(rows)


def explain(parameters: Mapping[str, Array], x: Array, target: Array, step: NetworkStep) -> list[Chain]:
    """Take the chain rule apart for one sample: each factor is a node's own backward, fed with 1.

    Returns
    -------
    One chain per weight, from the last layer to the first.
    """
    one = np.ones(())
    gradients = step.backward(one).parameters
    witnesses = _autograd(parameters, x, target), _differences(parameters, x, target)

    def local(node: str, unit: int = 0) -> impl.Gradients:
        """How the output of one unit of a node depends on the node's inputs and weights."""
        output = np.asarray(step.steps[node].output)
        return step.steps[node].backward(np.eye(output.shape[-1])[None, unit] if output.ndim else one)

    def slope(node: str, unit: int = 0, of: int = 0) -> float:
        return float(np.asarray(local(node, unit).inputs[0]).flat[of])

    def chain(
        node: str, unit: int, of: int | None, number: int, names: tuple[str, ...], factors: tuple[float, ...]
    ) -> Chain:
        name, place = (f"{node}.bias", unit) if of is None else (f"{node}.weight", unit * 2 + of)
        weight = f"b{number}" if of is None else f"w{number}{of + 1}"
        last = float(local(node, unit).parameters[name.partition(".")[2]].flat[place])
        return Chain(
            weight,
            (*names, f"dnet{number}/d{weight}"),
            (*factors, last),
            float(gradients[name].flat[place]),
            *(float(witness[name].flat[place]) for witness in witnesses),
        )

    ahead = ("dE/dO3", "dO3/dnet3"), (slope("E"), slope("O3"))
    chains = [chain("net3", 0, of, 3, *ahead) for of in (0, 1, None)]
    for unit in (0, 1):
        names = (*ahead[0], f"dnet3/dO{unit + 1}", f"dO{unit + 1}/dnet{unit + 1}")
        factors = (*ahead[1], slope("net3", of=unit), slope("O12", unit, of=unit))
        chains += [chain("hidden", unit, of, unit + 1, names, factors) for of in (0, 1, None)]
    return chains


def _autograd(parameters: Mapping[str, Array], x: Array, target: Array) -> dict[str, Array]:
    """Ask PyTorch, about the same network on the same numbers."""
    from reference import Architecture, Input, Node, Twin, Values

    inputs = (Input("x", x.shape), Input("target", target.shape))
    architecture = Architecture(inputs, tuple(Node(*node) for node in NODES), ("E",))
    owners: dict[str, dict[str, Array]] = {}
    for name, array in parameters.items():
        owner, _, own = name.partition(".")
        owners.setdefault(owner, {})[own] = array
    run = Twin(architecture).run(Values(owners, {"x": x, "target": target}, {"E": np.ones(())}, {}))
    return {f"{t.node}.{t.name}": array for t, array in run.tensors.items() if t.kind == "parameter"}


def _differences(parameters: Mapping[str, Array], x: Array, target: Array) -> dict[str, Array]:
    """Move each weight a little both ways and see what the error does, through impl's forward."""
    from reference.differences import finite_difference

    def error(name: str, moved: Array) -> Array:
        return np.asarray(NETWORK.forward({**parameters, name: moved}, x, target).output).reshape(1)

    return {name: finite_difference(partial(error, name), array).value for name, array in parameters.items()}


def _digits(a: float, b: float) -> str:
    if a == b:
        return "all"
    return f"{max(-log10(abs(a - b) / max(abs(a), abs(b))), 0.0):.1f}"


def _heading(console: Console, text: str) -> None:
    console.print(f"\n{text}", style="bold", highlight=False)


def _number(value: float) -> str:
    return f"{value + 0.0:.6g}"  # no minus before a zero


def _show_forward(
    console: Console, parameters: Mapping[str, Array], x: Array, target: Array, step: NetworkStep
) -> None:
    out = {name: np.asarray(one.output).ravel() for name, one in step.steps.items()}
    w, b = parameters["hidden.weight"], parameters["hidden.bias"]
    v, c = parameters["net3.weight"], parameters["net3.bias"]
    x1, x2 = map(_number, x[0])
    _heading(console, f"1. Forward: x1 = {x1}, x2 = {x2}, target = {_number(target[0, 0])}")
    for k in (0, 1):
        terms = f"{_number(w[k, 0])} * {x1} + {_number(w[k, 1])} * {x2} + {_number(b[k])}"
        console.print(f"  net{k + 1} = w{k + 1}1 x1 + w{k + 1}2 x2 + b{k + 1}", highlight=False)
        console.print(f"       = {terms} = {_number(out['hidden'][k])}", highlight=False)
        console.print(f"  O{k + 1}   = sigmoid(net{k + 1}) = {_number(out['O12'][k])}", highlight=False)
    o1, o2 = map(_number, out["O12"])
    terms = f"{_number(v[0, 0])} * {o1} + {_number(v[0, 1])} * {o2} + {_number(c[0])}"
    console.print("  net3 = w31 O1 + w32 O2 + b3", highlight=False)
    console.print(f"       = {terms} = {_number(out['net3'][0])}", highlight=False)
    console.print(f"  O3   = sigmoid(net3) = {_number(out['O3'][0])}", highlight=False)
    console.print(f"  E    = (O3 - target)^2 = {_number(out['E'][0])}", highlight=False)


def _show_backward(console: Console, chains: Sequence[Chain]) -> None:
    _heading(console, "2. Backward, last layer first: what did each weight contribute to E?")
    titles = {3: "Into O3: E -> O3 -> w", 1: "Into O1: E -> O3 -> O1 -> w", 2: "Into O2: E -> O3 -> O2 -> w"}
    for start, number in zip(range(0, len(chains), 3), titles):
        group = chains[start : start + 3]
        console.print(f"\n  {titles[number]}", style="bold", highlight=False)
        for name, factor in zip(group[0].names[:-1], group[0].factors):
            console.print(f"    {name:12} = {factor: .8f}", highlight=False)
        rule = " * ".join((*group[0].names[:-1], f"dnet{number}/dw"))
        for chain in group:
            console.print(f"    {chain.names[-1]:12} = {chain.factors[-1]: .8f}", highlight=False)
        table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
        table.add_column("    product", no_wrap=True)
        for heading in ("by hand", "autograd", "digits", "differences", "digits"):
            table.add_column(heading, justify="right", no_wrap=True)
        for chain in group:
            table.add_row(
                f"    dE/d{chain.weight}",
                f"{chain.gradient + 0.0:.10f}",
                f"{chain.autograd + 0.0:.10f}",
                _digits(chain.gradient, chain.autograd),
                f"{chain.differences:.10f}",
                _digits(chain.gradient, chain.differences),
            )
        console.print(f"    dE/dw = {rule}", style="cyan", highlight=False)
        console.print(table)


def _show_update(console: Console, parameters: Mapping[str, Array], step: NetworkStep, lr: float) -> None:
    gradients = step.backward(np.ones(())).parameters
    updated, _ = SGD(lr=lr).step(parameters, gradients)
    _heading(console, f"3. Gradient descent: w = w - {lr:g} dE/dw")
    names = ["w11", "w12", "w21", "w22", "b1", "b2", "w31", "w32", "b3"]
    old, slope, new = (
        [float(z) for name in parameters for z in arrays[name].flat] for arrays in (parameters, gradients, updated)
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2), header_style="dim")
    for heading in ("  weight", "before", "dE/dw", "after"):
        table.add_column(heading, justify="left" if heading == "  weight" else "right")
    for name, *numbers in zip(names, old, slope, new):
        table.add_row(f"  {name}", *(f"{z:.8f}" for z in numbers))
    console.print(table)


def _show_training(console: Console, done: Training, samples: Array) -> None:
    count = f"all {len(samples)} samples" if len(samples) > 1 else "the sample"
    _heading(console, f"4. Again and again, on {count} at once, until the mean of E is below {GOAL:g}")
    for line in curve(done.errors, unicode="utf" in (console.encoding or "").lower()):
        console.print(line, highlight=False, markup=False)
    epochs = f"{len(done.errors):,} epochs"
    if done.reached:
        console.print(f"  E = {done.errors[-1]:.3g} after {epochs}.", style="green", highlight=False)
    else:
        console.print(
            f"  Not reached: E = {done.errors[-1]:.3g} after {epochs}. Try another --seed, --lr or more --epochs.",
            style="yellow",
            highlight=False,
        )
    answers = NETWORK.forward(done.parameters, samples[:, :2], samples[:, 2:], training=False).steps["O3"].output
    for (x1, x2, target), answer in list(zip(samples, np.asarray(answers)[:, 0]))[:8]:
        console.print(f"  x1 = {x1:<8g} x2 = {x2:<8g} target = {target:<8g} O3 = {answer:.4f}", highlight=False)


def curve(errors: Sequence[float], width: int = 60, height: int = 8, unicode: bool = True) -> list[str]:
    """Draw errors over epochs, the error on a logarithmic scale."""
    columns = [errors[round(i * (len(errors) - 1) / max(width - 1, 1))] for i in range(min(width, len(errors)))]
    levels = [log10(e) if 0 < e < inf else -17.0 for e in columns]
    low, high = min(levels), max(levels)
    mark = "▄" if unicode else "*"
    rows = [round((level - low) / ((high - low) or 1.0) * (height - 1)) for level in levels]
    lines = []
    for row in reversed(range(height)):
        scale = f"{10 ** (low + (high - low) * row / (height - 1)):8.1e}"
        lines.append(f"  {scale} | " + "".join(mark if r == row else " " for r in rows).rstrip())
    lines.append(f"           +-{'-' * width}")
    lines.append(f"            epoch 1{f'epoch {len(errors):,}':>{max(width - 7, 1)}}")
    return lines
