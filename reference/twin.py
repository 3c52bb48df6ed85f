"""The PyTorch meaning of an architecture: every node is ``getattr(torch.nn, op)(**arguments)``, nothing by hand."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import Any, TypeAlias

import torch
from torch import Tensor as TorchTensor
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from reference import ops
from reference.architecture import LIMITS, Architecture, ArchitectureError, Input, Node
from reference.draws import Draws, recorded
from reference.run import Array, Run, Tensor
from reference.values import Values

Outputs: TypeAlias = tuple[TorchTensor, ...]
Use: TypeAlias = tuple[str, str]
"""One use of an array: the node that takes it, and as which input or parameter; or "" and a reference, as an output."""

DTYPES = {"float64": torch.float64, "float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True)
class Perturbation:
    """A small relative disturbance of every number that passes between nodes, forward and backward.

    Each x becomes ``x (1 + size sin(12345 x + phase))``: pseudo-random, but equal numbers stay equal. Multiples of 1/64
    below 16 are left alone: arithmetic on numbers that short is exact, so nothing rounds there, and ties and kinks that
    are hit on purpose, which are made of them, stay hit. How far the results move, divided by ``size``, is their
    measured sensitivity to rounding. ``apart`` disturbs equal numbers at different places differently.

    What autograd saves inside a node for the way back is disturbed, too: where a tanh saturates, say, the rounding of
    its y is all that is left of 1 - y^2.
    """

    size: float
    phase: float
    apart: bool = False

    def __call__(self, x: TorchTensor) -> TorchTensor:
        """Disturb a tensor; its gradient passes as if multiplied by a constant."""
        if not x.is_floating_point():
            return x
        fixed = x.detach()
        short = (torch.frac(64 * fixed) == 0) & (fixed.abs() < 16)
        return x * (1 + torch.where(short, 0, self._noise(fixed)))

    def saved(self, x: TorchTensor) -> TorchTensor:
        """Disturb what was saved for the way back: all of it, for no branch is decided there any more."""
        return x * (1 + self._noise(x)) if x.is_floating_point() else x

    def _noise(self, x: TorchTensor) -> TorchTensor:
        angle = 12345.678 * x + self.phase
        if self.apart:
            angle = angle + torch.arange(x.numel(), dtype=x.dtype).reshape(x.shape)
        return torch.nan_to_num(self.size * torch.sin(angle))  # infinities stay what they are


@dataclass(frozen=True)
class Rounding:
    """Rounds every number that passes between nodes to a dtype; what is close to its smallest number underflows."""

    dtype: str

    @property
    def size(self) -> float:
        """The relative size of the disturbance."""
        return torch.finfo(DTYPES[self.dtype]).eps

    def __call__(self, x: TorchTensor) -> TorchTensor:
        """Round a tensor; its gradient passes unchanged."""
        if not x.is_floating_point():
            return x
        fixed, limits = x.detach(), torch.finfo(DTYPES[self.dtype])
        rounded = fixed.to(DTYPES[self.dtype]).to(x.dtype)
        return x + (torch.where(fixed.abs() < 8 * limits.tiny * limits.eps, 0, rounded) - fixed)


@dataclass(frozen=True)
class Blur:
    """Moves the outputs of some nodes by up to an absolute amount, ``amounts`` by node: what cancelled in them."""

    amounts: Mapping[str, float]
    phase: float
    size: float

    def __call__(self, x: TorchTensor) -> TorchTensor:
        """Leave all else as it is."""
        return x

    def output(self, x: TorchTensor, node: str) -> TorchTensor:
        """Move an output of a node."""
        if node not in self.amounts or not x.is_floating_point():
            return x
        places = torch.arange(x.numel(), dtype=x.dtype).reshape(x.shape)
        return x + self.amounts[node] * torch.sin(12345.678 * places + self.phase)


class Twin:
    """An architecture in PyTorch.

    Parameters
    ----------
    architecture
    device
        Where shapes are found by running once: ``meta`` takes no memory, whatever a stranger asks for; ``cpu`` is
        ten times faster, for architectures that are known to be small.

    Attributes
    ----------
    parameter_shapes
        ``{owner: {"weight": shape}}``, buffers included.
    buffers
        ``{node: names}``: which of them are buffers.
    outputs
        Per input and node, its outputs (their shapes and dtypes are meant).
    noise_shapes
        Per node that draws, the shapes in torch's order.

    Raises
    ------
    ArchitectureError
        torch refuses the arguments or the shapes of a node, or the sizes are beyond the limits.
    """

    def __init__(self, architecture: Architecture, device: str = "meta") -> None:
        self.architecture = architecture
        self.device = device
        self.modules: dict[str, Callable[..., Any]] = {}
        self.constants: dict[str, dict[str, Any]] = {}
        self.parameter_shapes: dict[str, dict[str, tuple[int, ...]]] = {}
        self.buffers: dict[str, tuple[str, ...]] = {}
        self.outputs: dict[str, Outputs] = {}
        self.noise_shapes: dict[str, tuple[tuple[int, ...], ...]] = {}
        self._elements = 0
        for graph_input in architecture.inputs:
            self.add_input(graph_input)
        for node in architecture.nodes:
            self.add(node)
        for reference in architecture.outputs:
            self._shaped(reference, "outputs")

    def add_input(self, graph_input: Input) -> None:
        """Take in one more input."""
        dtype = torch.int64 if graph_input.domain in ("index", "distinct") else torch.float64
        self.outputs[graph_input.name] = (torch.zeros(graph_input.shape, dtype=dtype, device=self.device),)
        self._count(prod(graph_input.shape), f"input {graph_input.name}")

    def add(self, node: Node) -> None:
        """Take in one more node, on top of those that are there."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = ops.build(node.op, node.arguments)
            counters: dict[str, TorchTensor] = {}
            if isinstance(module, nn.Module):
                self._add_module(node, module)
                # Batch norm without momentum reads its counter, which the meta device cannot.
                counters = {n: torch.zeros((), dtype=b.dtype) for n, b in module.named_buffers() if b.ndim == 0}
            inputs = [self._shaped(reference, f"node {node.name}: inputs") for reference in node.inputs]
            self.modules[node.name] = module
            outputs, shapes = recorded(lambda: self._call(node, counters, inputs))
        except ArchitectureError:
            raise
        except Exception as error:  # whatever torch makes of a stranger's arguments
            reason = " ".join(str(error).split())[:300]
            raise ArchitectureError(f"node {node.name}: torch.nn refuses {node.op}: {reason}") from None
        self.outputs[node.name] = tuple(y.detach() for y in outputs)
        if shapes:
            self.noise_shapes[node.name] = shapes
        self._count(sum(y.numel() for y in outputs), f"node {node.name}")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the nodes' floating outputs, by reference: ``linear1``, ``lstm2.1``."""
        return {
            f"{node.name}.{i}" if i else node.name: tuple(y.shape)
            for node in self.architecture.nodes
            for i, y in enumerate(self.outputs[node.name])
            if y.is_floating_point()
        }

    def _add_module(self, node: Node, module: nn.Module) -> None:
        module.double().train(self.architecture.training)
        self._count(sum(p.numel() for p in module.parameters()), f"node {node.name}")
        if self.device != "meta":
            module.to_empty(device=self.device)
        tensors = {name: value for name, value in node.arguments.items() if isinstance(value, list)}
        self.constants[node.name] = {n: v for n, v in tensors.items() if ops.is_tensor_argument(node.op, n)}
        own = [name for name, _ in module.named_buffers() if name not in self.constants[node.name]]
        self.buffers[node.name] = tuple(own)
        if node.shares is None:
            named = [*module.named_parameters(), *module.named_buffers()]
            shapes = {name: tuple(tensor.shape) for name, tensor in named}
            self.parameter_shapes[node.name] = {
                name: shape for name, shape in shapes.items() if name not in self.constants[node.name]
            }

    def _count(self, elements: int, where: str) -> None:
        self._elements += elements
        if self._elements > LIMITS["elements"]:
            raise ArchitectureError(
                f"{where}: with it the network holds {self._elements} numbers, at most {LIMITS['elements']}"
            )

    def _shaped(self, reference: str, where: str) -> TorchTensor:
        name, index = self.architecture.slot(reference)
        if index >= len(self.outputs[name]):
            raise ArchitectureError(f"{where}: {reference!r}: {name} has {len(self.outputs[name])} outputs")
        return self.outputs[name][index]

    def _call(self, node: Node, tensors: Mapping[str, TorchTensor], inputs: Sequence[TorchTensor]) -> Outputs:
        module = self.modules[node.name]
        dtype = next((x.dtype for x in (*inputs, *tensors.values()) if x.is_floating_point()), torch.float64)
        like = partial(_tensor, dtype=dtype, device=inputs[0].device)
        if not isinstance(module, nn.Module):
            return tuple(_flatten(module(*inputs, **node.options)))
        lists = {name: value for name, value in node.options.items() if isinstance(value, list)}
        masks = {name: like(value) for name, value in lists.items() if ops.is_tensor_option(node.op, name)}
        options = {**node.options, **masks}
        if getattr(module, "inplace", False):
            inputs = [x.clone() for x in inputs]
        arguments, keywords = ops.TAKES[node.op](*inputs) if node.op in ops.TAKES else (tuple(inputs), {})
        constants = {name: like(value) for name, value in self.constants[node.name].items()}
        # The formula of attention as it is written down: the fused kernels say "random" whether they drop or not. And
        # float32 by the kernels of float64, for its error is to speak for theirs.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch advises against is verified like the rest
            with sdpa_kernel(SDPBackend.MATH), torch.backends.mkldnn.flags(enabled=False):
                result = functional_call(module, {**tensors, **constants}, arguments, {**keywords, **options})
                return tuple(_flatten(result))

    def run(
        self,
        values: Values,
        dtype: str = "float64",
        perturb: Perturbation | Rounding | Blur | None = None,
        counted: Mapping[Use, float] | None = None,
    ) -> Run:
        """Run forward, and autograd backward from the cotangents.

        Where autograd says None because no gradient flows, the run has zeros. ``counted`` says how often the gradient
        through one use of an array counts instead of once: what a mistake of composition would give.
        """
        disturb: Callable[[TorchTensor], TorchTensor] = perturb or (lambda x: x)

        def use(tensor: TorchTensor, node: str, name: str) -> TorchTensor:
            times = 1.0 if counted is None else counted.get((node, name), 1.0)
            if times == 1.0 or not tensor.requires_grad:
                return tensor
            view = tensor.view_as(tensor)
            view.register_hook(lambda g: g * times)
            return view

        def leaf(array: Array, trainable: bool = True) -> TorchTensor:
            tensor = torch.tensor(array)  # a copy: torch updates buffers in place
            if not tensor.is_floating_point():
                return tensor
            return disturb(tensor.to(DTYPES[dtype])).requires_grad_(trainable)

        parameters = {
            owner: {name: leaf(array, name not in self.buffers[owner]) for name, array in arrays.items()}
            for owner, arrays in values.parameters.items()
        }
        flowing: dict[str, Outputs] = {name: (leaf(array),) for name, array in values.inputs.items()}
        sources = {Tensor("input", name, "0"): x for name, (x,) in flowing.items()}
        results: dict[Tensor, Array] = {}
        for node in self.architecture.nodes:
            # Contiguous both ways: the gradients of BatchNorm2d are wrong for some other layouts (docs/findings.md).
            taken = [flowing[name][index] for name, index in map(self.architecture.slot, node.inputs)]
            inputs = [use(x.contiguous(), node.name, str(i)) for i, x in enumerate(taken)]
            own = {name: use(x, node.name, name) for name, x in parameters.get(node.owner, {}).items()}
            draws = Draws(values.noise[node.name]) if node.name in self.noise_shapes else nullcontext()
            saved = perturb.saved if isinstance(perturb, Perturbation) else None
            with draws, saved_tensors_hooks(torch.Tensor.detach, saved) if saved else nullcontext():
                outputs = self._call(node, own, inputs)
            # A view of its own, for Identity returns its very input, whose gradient is another one.
            outputs = tuple(disturb(y.view_as(y)) for y in outputs)
            if isinstance(perturb, Blur):
                outputs = tuple(perturb.output(y, node.name) for y in outputs)
            flowing[node.name] = outputs
            for i, y in enumerate(outputs):
                results[Tensor("output", node.name, str(i))] = y.detach().numpy()
                sources[Tensor("adjoint", node.name, str(i))] = y
                if y.requires_grad:
                    y.register_hook(lambda g: disturb(g).contiguous())
        for owner, tensors in parameters.items():
            for name, tensor in tensors.items():
                if name in self.buffers[owner]:
                    results[Tensor("update", owner, name)] = tensor.numpy()
                else:
                    sources[Tensor("parameter", owner, name)] = tensor
        sources = {name: tensor for name, tensor in sources.items() if tensor.requires_grad}
        ends = [(use(self._end(flowing, r), "", r), leaf(c, trainable=False)) for r, c in values.cotangents.items()]
        gradients = _gradients([(y, c) for y, c in ends if y.requires_grad], list(sources.values()))
        results |= {name: g.numpy() for name, g in zip(sources, gradients)}
        return Run(results)

    @torch.no_grad()
    def forward(self, values: Values) -> dict[str, Array]:
        """Run forward only, and return the outputs of the architecture by reference."""
        results = self.run(replace(values, cotangents={})).tensors
        slots = ((reference, self.architecture.slot(reference)) for reference in self.architecture.outputs)
        return {reference: results[Tensor("output", name, str(index))] for reference, (name, index) in slots}

    def _end(self, flowing: Mapping[str, Outputs], reference: str) -> TorchTensor:
        name, index = self.architecture.slot(reference)
        return flowing[name][index]

    def alone(self, name: str) -> Twin:
        """Return the twin of one node alone: its inputs are inputs of the graph, so nothing upstream disturbs it."""
        node = next(n for n in self.architecture.nodes if n.name == name)
        below = {i.name: i.below for i in self.architecture.inputs}
        inputs = [
            Input(f"{name}_input{i}", tuple(x.shape), *(() if x.is_floating_point() else ("index", below.get(r) or 1)))
            for i, (r, x) in enumerate((r, self._shaped(r, name)) for r in node.inputs)
        ]
        lonely = replace(node, inputs=tuple(i.name for i in inputs), shares=None)
        outputs = tuple(f"{name}.{i}" for i in range(len(self.outputs[name])))
        twin = copy(self)
        twin.architecture = replace(self.architecture, inputs=tuple(inputs), nodes=(lonely,), outputs=outputs)
        return twin


def _gradients(pairs: Sequence[tuple[TorchTensor, TorchTensor]], sources: Sequence[TorchTensor]) -> list[TorchTensor]:
    if not pairs or not sources:
        return [torch.zeros_like(x) for x in sources]
    ends, cotangents = zip(*pairs)
    found = torch.autograd.grad(ends, sources, cotangents, allow_unused=True)
    dense = (None if g is None else g.to_dense() if g.is_sparse else g for g in found)
    return [torch.zeros_like(x) if g is None else g.detach() for x, g in zip(sources, dense)]


def _flatten(result: Any) -> Iterable[TorchTensor]:
    if isinstance(result, TorchTensor):
        yield result
    elif result is not None:
        for part in result:
            yield from _flatten(part)


def _tensor(value: Any, dtype: torch.dtype, device: torch.device) -> TorchTensor:
    tensor = torch.tensor(value, device=device)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor
