"""Optimizers, verified as trajectories: a random network trained by ours and by torch's, from the same start.

A training multiplies errors: the parameters of one step are the start of the next. So what is judged is the optimizer
alone, on PyTorch's own gradients; beside it, both train on gradients of their own, NumPy's backward and autograd, which
shows what the gradient adds. How far rounding alone takes PyTorch from itself is measured on every trajectory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import count
from math import hypot, inf
from typing import Any, TypeAlias

import numpy as np
import torch

from backproof.generator import RandomChooser, random_architecture
from backproof.implementations import Completed, NumPyImplementation
from backproof.recipes import Recipe, draw, torchs_schedule
from backproof.running import forward
from impl import optim
from impl.layer import Array
from reference import Architecture, Input, Node, Tensor, Twin, Values, draw_values
from reference.disturbance import Perturbation
from reference.run import magnitude
from reports import measure

STEPS = 50
MOST = 1.0
"""Gradients are clipped to this norm, by each side itself, so that no training runs away."""
EPS = float(np.finfo(np.float64).eps)
PROBE, ULPS = 2.0**-40, 8
"""Relative disturbances: one that drowns PyTorch's own rounding, and some units of rounding."""
BFLOAT16 = 2.0**-8
"""Muon rounds directions to bfloat16: a sum that is rounded the other way is a unit of it aside, in each step anew."""

Named: TypeAlias = dict[str, Array]
Path = list[Named]
"""The trained parameters after each step, by ``owner.name``."""
Look: TypeAlias = Callable[[Named], tuple[float, Named]]
"""What an error and its gradients are at some parameters."""
Disturb: TypeAlias = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One training, by ours and by torch's; what is asked for is run.

    Attributes
    ----------
    network, recipe, steps
        What is trained, how, and how long.
    """

    network: Training
    recipe: Recipe
    steps: int

    @cached_property
    def same(self) -> tuple[float, ...]:
        """Digits after each step, when ours is given PyTorch's gradients."""
        return tuple(digits for digits, _ in self._same)

    @cached_property
    def own(self) -> tuple[float, ...]:
        """Digits after each step, when each side follows its own gradients."""
        return tuple(digits for digits, _ in self._judged(our_path(self, self.network.ours)))

    @cached_property
    def kept(self) -> tuple[float, ...]:
        """Digits that PyTorch keeps itself, on its own gradients, when it is disturbed by a unit of rounding."""
        courses = [[digits for digits, _ in self._judged(path)] for path in self._wavering]
        return tuple(map(min, *courses))

    @cached_property
    def verdict(self) -> str:
        """Of the optimizer, on PyTorch's gradients.

        ``agree``, ``disagree``, or ``inconclusive`` where from some step on rounding alone leaves no digit.
        """
        return _worst(verdict for _, verdict in self._same)

    @cached_property
    def _reference(self) -> tuple[Path, list[tuple[float, Named]]]:
        """Torch's path, and what it saw at each step."""
        seen: list[tuple[float, Named]] = []

        def look(parameters: Named) -> tuple[float, Named]:
            seen.append(self.network.theirs(parameters))
            return seen[-1]

        return their_path(self, look), seen

    def _replay(self) -> Look:
        """Return PyTorch's gradients, in turn; LBFGS, which looks where it likes, gets PyTorch's function."""
        seen = iter(self._reference[1])
        return self.network.theirs if self.recipe.op == "LBFGS" else lambda parameters: next(seen)

    @cached_property
    def _same(self) -> Sequence[tuple[float, str]]:
        return self._judged(our_path(self, self._replay()))

    @cached_property
    def _wavering(self) -> list[Path]:
        disturbances = [Perturbation(EPS, phase) for phase in (0.0, 1.0)]
        return [
            their_path(self, partial(self.network.theirs, disturbance=d), disturbing(EPS, d.phase))
            for d in disturbances
        ]

    @cached_property
    def _noises(self) -> list[tuple[Path, float]]:
        """Where disturbances of a relative size take torch's optimizer."""
        if self.recipe.op == "LBFGS":
            return [(path, EPS) for path in self._wavering]
        sizes = (PROBE, ULPS * EPS, ULPS * EPS)
        return [(their_path(self, self._replay(), disturbing(size, phase)), size) for phase, size in enumerate(sizes)]

    def _judged(self, path: Path) -> Sequence[tuple[float, str]]:
        """Return the fewest digits and the worst verdict after each step."""
        before, reference = self.network.start, self._reference[0]
        scale = {name: magnitude(before[name]) for name in reference[0]}
        gain, moved = dict(scale), dict.fromkeys(scale, 0.0)
        judged = []
        for step, arrays in enumerate(reference, start=1):
            worst, verdicts = inf, []
            for name, want in arrays.items():
                # The largest on the way counts: a step through zero does not take its rounding along.
                scale[name] = max(scale[name], magnitude(want))
                found = (magnitude(noisy[step - 1][name] - want) / size for noisy, size in self._noises)
                gain[name] = max(gain[name], scale[name], *found)
                bound = (8 + step**0.5) * EPS * gain[name]
                if self.recipe.op == "Muon":
                    moved[name] = hypot(moved[name], magnitude(want - before[name]))
                    bound += BFLOAT16 * moved[name]
                result = measure(
                    path[step - 1][name],
                    want,
                    bound=bound,
                    scale=scale[name],
                    dtype="float64",
                    node=name,
                    op=self.recipe.op,
                    kind="parameter",
                    name=name,
                    against="torch",
                    doubt=8.0 if bound > scale[name] / 10 else 0.0,
                )
                worst = min(worst, inf if result.digits is None else result.digits)
                verdicts.append(result.verdict)
            judged.append((worst, _worst(verdicts)))
            before = arrays
        return judged


def _worst(verdicts: Iterable[str]) -> str:
    return max(verdicts, key=("agree", "inconclusive", "disagree").index)


def trajectory(op: str, seed: int, steps: int = STEPS, optimizer: type | None = None) -> Trajectory:
    """Draw a network and hyperparameters from a seed, and train it.

    Parameters
    ----------
    op
        Name of the optimizer in torch.optim.
    seed
        Draws everything.
    steps
        How many steps are taken.
    optimizer
        The class to verify; None: the one in :mod:`impl.optim`.
    """
    choose = RandomChooser(seed)
    network = _network(op, choose)
    # Several parameters, so that they meet; one is all that a table has, and few networks have two matrices.
    while len(network.trained) < (1 if op in ("Muon", "SparseAdam") else 2):
        network = _network(op, choose)
    return Trajectory(network, draw(op, optimizer or getattr(optim, op), network.trained, choose), steps)


def _network(op: str, choose: RandomChooser) -> Training:
    layers = ["Embedding", "Linear", "Tanh", "LayerNorm"] if op == "SparseAdam" else None
    return Training(random_architecture(choose.integer(0, 2**32 - 1), layers, max_nodes=4), op)


@contextmanager
def _float64() -> Iterator[None]:
    """Let torch keep all its scalars in float64, too: by default some of NAdam's and ASGD's are float32."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.sparse.check_sparse_tensor_invariants(enable=False):  # which silences advice on them
            yield
    finally:
        torch.set_default_dtype(before)


class Training:
    """A network whose error is the squared distance of its outputs from random targets.

    Parameters
    ----------
    drawn
        Any architecture. Its buffers stay as they are: while a network trains, no gradient depends on them.
    op
        The optimizer: SparseAdam trains lookup tables only, Muon matrices only.

    Attributes
    ----------
    start
        All parameters and buffers, by ``owner.name``.
    trained
        Names of the parameters that are trained.
    rows
        The rows of each lookup table that are looked up, without the padding.
    """

    def __init__(self, drawn: Architecture, op: str) -> None:
        plain = Twin(drawn, device="cpu")
        ends = {r: plain.outputs[name][index] for r, (name, index) in ((r, drawn.slot(r)) for r in drawn.outputs)}
        ends = {r: y for r, y in ends.items() if y.is_floating_point()}
        targets = [Input(f"target{i}", tuple(y.shape)) for i, y in enumerate(ends.values())]
        losses = [
            Node(f"error{i}", "MSELoss", {"reduction": "sum"}, (end, target.name))
            for i, (end, target) in enumerate(zip(ends, targets))
        ]
        self.architecture = replace(
            drawn,
            inputs=(*drawn.inputs, *targets),
            nodes=(*drawn.nodes, *losses),
            outputs=tuple(loss.name for loss in losses),
        )
        self.twin = Twin(self.architecture, device="cpu")
        values = draw_values(self.architecture, self.twin)
        self.values = replace(values, cotangents={loss.name: np.ones(()) for loss in losses})
        self.start = {f"{o}.{n}": array for o, arrays in values.parameters.items() for n, array in arrays.items()}
        self.rows = self._rows()
        buffers = {f"{owner}.{name}" for owner, names in self.twin.buffers.items() for name in names}
        able = {"Muon": lambda name: self.start[name].ndim == 2, "SparseAdam": self.rows.__contains__}.get(op)
        self.trained = [
            name
            for name, array in self.start.items()
            if losses and name not in buffers and array.size and (able is None or able(name))
        ]
        self._ours = Completed(NumPyImplementation())

    def _rows(self) -> dict[str, Array]:
        looked_up: dict[str, list[Array]] = {}
        for node in self.architecture.nodes:
            if node.op == "Embedding":
                indices = self.values.inputs[node.inputs[0]].ravel()
                padding = node.arguments.get("padding_idx")
                if padding is not None:
                    indices = indices[indices != padding % node.arguments["num_embeddings"]]
                looked_up.setdefault(f"{node.owner}.weight", []).append(indices)
        return {name: np.unique(np.concatenate(indices)) for name, indices in looked_up.items()}

    def theirs(self, parameters: Named, disturbance: Perturbation | None = None) -> tuple[float, Named]:
        """Return the error and autograd's gradients."""
        found = self.twin.run(self._at(parameters), perturb=disturbance).tensors
        loss = sum(float(found[Tensor("output", end, "0")]) for end in self.architecture.outputs)
        split = ((name, *name.split(".", 1)) for name in self.trained)
        return loss, {name: found[Tensor("parameter", owner, own)] for name, owner, own in split}

    def ours(self, parameters: Named) -> tuple[float, Named]:
        """Return the error and NumPy's gradients."""
        step = forward(self._ours, self.twin, self._at(parameters), "float64")
        outputs = step.output if isinstance(step.output, tuple) else (step.output,)
        found = step.backward(tuple(np.ones(()) for _ in outputs) if len(outputs) > 1 else np.ones(())).parameters
        gradients = {name: found[name] if name in found else np.zeros_like(parameters[name]) for name in self.trained}
        return sum(float(y) for y in outputs), gradients

    def _at(self, parameters: Named) -> Values:
        owned: dict[str, Named] = {owner: {} for owner in self.values.parameters}
        for key, array in parameters.items():
            owner, name = key.split(".", 1)
            owned[owner][name] = array
        return replace(self.values, parameters=owned)


@np.errstate(all="ignore")
def our_path(training: Trajectory, look: Look) -> Path:
    """Train with ours."""
    network, recipe = training.network, training.recipe
    optimizers = [(recipe.optimizer(**arguments), names) for names, arguments in recipe.groups]
    optimizer: Any = optimizers[0][0] if recipe.op == "LBFGS" else optim.Groups(optimizers)
    schedule, scheduled, state = recipe.schedule, dict[str, Any](), None
    if schedule is not None:
        optimizer, scheduled = schedule.start(optimizer)
    now, path = dict(network.start), Path()
    for _ in range(training.steps):
        if recipe.op == "LBFGS":
            now, state = optimizer.step(now, look, state)
        else:
            gradients: Mapping[str, Any] = optim.clip_grad_norm(look(now)[1], MOST)[0]
            if recipe.op == "SparseAdam":
                gradients = {n: optim.SparseGradient(network.rows[n], g[network.rows[n]]) for n, g in gradients.items()}
            now, state = optimizer.step(now, gradients, state)
        if schedule is not None:
            optimizer, scheduled = schedule.step(optimizer, scheduled)
        path.append({name: now[name] for name in network.trained})
    return path


@_float64()
def their_path(training: Trajectory, look: Look, disturb: Disturb = lambda array: array) -> Path:
    """Train with torch's; parameters, gradients and what the optimizer remembers may be disturbed at every step."""
    network, recipe = training.network, training.recipe
    tensors = {name: torch.tensor(disturb(network.start[name]), requires_grad=True) for name in network.trained}
    first = recipe.groups[0][1]
    groups = [
        {"params": [tensors[name] for name in names], **{n: v for n, v in arguments.items() if v != first[n]}}
        for names, arguments in recipe.groups
    ]
    optimizer = getattr(torch.optim, recipe.op)(groups, **first)
    scheduler = None if recipe.schedule is None else torchs_schedule(recipe.schedule, optimizer)

    def closure() -> float:
        loss, gradients = look({**network.start, **_arrays(tensors)})
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(disturb(gradients[name]))
        return loss

    path = []
    for _ in range(training.steps):
        if recipe.op == "LBFGS":
            optimizer.step(closure)
        else:
            closure()
            torch.nn.utils.clip_grad_norm_(tensors.values(), MOST)
            if recipe.op == "SparseAdam":
                for name, tensor in tensors.items():
                    rows, dense = network.rows[name], tensor.grad
                    assert dense is not None
                    tensor.grad = torch.sparse_coo_tensor(torch.tensor(rows[None]), dense[rows], tensor.shape)
            optimizer.step()
        if scheduler is not None:
            scheduler.step()
        with torch.no_grad():
            for tensor in (*tensors.values(), *_remembered(optimizer, recipe.op)):
                tensor.copy_(torch.tensor(disturb(tensor.numpy())))
        path.append(_arrays(tensors))
    return path


def _remembered(optimizer: Any, op: str) -> list[torch.Tensor]:
    """Return what is rounded in every step, too: two averages may cancel, as those of a centred RMSprop do.

    LBFGS remembers where it has been, which has to fit together.
    """
    kept = [memory for state in optimizer.state.values() for name, memory in state.items() if name != "step"]
    return [] if op == "LBFGS" else [m for m in kept if torch.is_tensor(m) and m.is_floating_point()]


def _arrays(tensors: Mapping[str, torch.Tensor]) -> Named:
    return {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}


def disturbing(size: float, phase: float) -> Disturb:
    """Change every number by a relative ``size``, up or down as its digits have it, another way each time."""
    phases = count(phase, 1.7)

    def disturb(array: Array) -> Array:
        places = np.arange(array.size).reshape(array.shape)
        return np.asarray(array * (1 + size * np.sin(12345.678 * array + places + next(phases))))

    return disturb
