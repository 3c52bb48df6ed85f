"""The PyTorch meaning of an architecture: every node is ``getattr(torch.nn, op)(**arguments)``, nothing by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from copy import copy
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor as TorchTensor
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call

from reference import ops
from reference.architecture import LIMITS, Architecture, ArchitectureError, Input, Node
from reference.calling import as_written_down, in_order, without_looking
from reference.disturbance import DTYPES, Blur, Disturbance, Perturbation, numeric
from reference.draws import Draws, recorded
from reference.gradients import Forward, as_array, as_arrays
from reference.run import Array, Run, Tensor
from reference.values import Values

Outputs: TypeAlias = tuple[TorchTensor, ...]
Use: TypeAlias = tuple[str, str]
"""One use of an array: the node that takes it, and as which input or parameter; or "" and a reference, as an output."""


class Refused(ValueError):
    """PyTorch does not do this: the message says why, in its own words."""


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
    place
        The device on which it runs; arrays come back from there.

    Raises
    ------
    ArchitectureError
        torch refuses the arguments or the shapes of a node, or the sizes are beyond the limits.
    """

    def __init__(self, architecture: Architecture, device: str = "meta") -> None:
        self.architecture = architecture
        self.device, self.place = device, "cpu"
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
        dtype = torch.int64 if graph_input.domain in ("index", "distinct", "sign") else torch.float64
        self.outputs[graph_input.name] = (torch.zeros(graph_input.shape, dtype=dtype, device=self.device),)
        self._count(prod(graph_input.shape), f"input {graph_input.name}")

    def add(self, node: Node) -> None:
        """Take in one more node, on top of those that are there."""
        try:
            module = ops.build(node.op, node.arguments)
            counters: dict[str, TorchTensor] = {}
            if isinstance(module, nn.Module):
                self._add_module(node, module)
                # Batch norm without momentum reads its counter, which the meta device cannot.
                counters = {n: torch.zeros((), dtype=b.dtype) for n, b in module.named_buffers() if b.ndim == 0}
            inputs = [in_order(self._shaped(reference, f"node {node.name}: inputs")) for reference in node.inputs]
            empty = not all(x.numel() for x in inputs)
            if node.op in ops.ON_CPU or (empty and node.op in ops.EMPTY_ON_CPU):
                inputs = [torch.zeros_like(x, device="cpu") for x in inputs]
            if empty and node.op in ops.UNWRITTEN:
                raise ArchitectureError(f"node {node.name}: torch.nn.{node.op} of no sample is whatever was in memory")
            self.modules[node.name] = module
            with as_written_down():
                outputs, shapes = recorded(lambda: self._call(node, counters, inputs))
            if empty:  # PyTorch cannot go back through some (docs/findings.md)
                leaves = [x.detach().requires_grad_(x.is_floating_point()) for x in inputs]
                ends = [("", y, y.detach()) for y in self._call(node, counters, leaves)]
                # The meta device goes back through a mean over nothing in Python.
                with suppress(ZeroDivisionError):
                    Forward({}, {}, ends).gradients([x for x in leaves if x.requires_grad])
        except ArchitectureError:
            raise
        except Exception as error:  # whatever torch makes of a stranger's arguments
            raise ArchitectureError(f"node {node.name}: torch.nn refuses {node.op}: {_told(error)}") from None
        self.outputs[node.name] = tuple(y.detach().to(self.device) for y in outputs)
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
        if self.device != "meta" or node.op in ops.ON_CPU:
            module.to_empty(device="cpu" if node.op in ops.ON_CPU else self.device)
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
        dtype = next((x.real.dtype for x in (*inputs, *tensors.values()) if numeric(x)), torch.float64)
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
        if inputs[0].is_meta:
            options |= without_looking(module, options)
        given = {**tensors, **constants}
        return tuple(_flatten(functional_call(module, given, arguments, {**keywords, **options}, tie_weights=False)))

    def _called(self, node: Node, tensors: Mapping[str, TorchTensor], inputs: Sequence[TorchTensor]) -> Outputs:
        """Call a node on real numbers; the meta device may have taken what the processor refuses."""
        try:
            return self._call(node, tensors, inputs)
        except Exception as error:
            if any(map(torch.is_complex, inputs)):
                raise
            raise ArchitectureError(f"node {node.name}: torch.nn refuses to run {node.op}: {_told(error)}") from error

    def run(
        self,
        values: Values,
        dtype: str = "float64",
        perturb: Disturbance | None = None,
        counted: Mapping[Use, float] | None = None,
    ) -> Run:
        """Run forward, and autograd backward from the cotangents.

        Where autograd says None because no gradient flows, the run has zeros. ``counted`` says how often the gradient
        through one use of an array counts instead of once: what a mistake of composition would give. Complex values
        run in complex numbers of that precision, and gradients come in torch's convention.

        Raises
        ------
        Refused
            PyTorch has no complex version of something, and says so.
        """
        try:
            done = self._forward(values, dtype, perturb, counted)
            gradients = done.gradients(list(done.sources.values()))
        except Exception as error:  # whatever its functions make of complex numbers
            if not any(map(np.iscomplexobj, (*values.inputs.values(), *values.cotangents.values()))):
                raise
            raise Refused(_told(error)) from None
        return Run(done.results | as_arrays(done.sources, gradients))

    def curvature(
        self, values: Values, along: Values, dtype: str = "float64", perturb: Disturbance | None = None
    ) -> Run:
        """Run forward, backward, and backward through the backward: how the gradients change along a direction.

        The gradients G of ``<c, f(x)>`` change along ``(dx, dc)`` by ``H dx + J^T dc``. As H is symmetric, that
        is the gradient of ``<G, dx> + <f(x), dc>``: what autograd's second pass yields.

        Raises
        ------
        Refused
            PyTorch has no second derivative of something, and says so.
        """
        done = self._forward(values, dtype, perturb)
        sources = {name: x for name, x in done.sources.items() if name.kind != "adjoint"}
        directions = [_direction(along, name, x) for name, x in sources.items()]
        saved = perturb.saved if isinstance(perturb, Perturbation) else None
        try:
            with saved_tensors_hooks(torch.Tensor.detach, saved) if saved else nullcontext():
                gradients = done.gradients(list(sources.values()), create_graph=True)
            pairs = [(g, d) for g, d in zip(gradients, directions) if g is not None and g.requires_grad]
            pairs += [(y, torch.from_numpy(along.cotangents[end]).to(y)) for end, y, _ in done.ends if y.requires_grad]
            ends, weights = zip(*pairs) if pairs else ((), ())
            changes = torch.autograd.grad(ends, list(sources.values()), weights, allow_unused=True) if pairs else ()
        except (RuntimeError, NotImplementedError) as error:
            raise Refused(_told(error)) from None
        return Run(as_arrays(sources, changes or [None] * len(sources)))

    def reached(self, values: Values) -> set[Tensor]:
        """Return the parameters and inputs that a gradient flows to; autograd gives None for the others."""
        done = self._forward(values, "float64")
        found = zip(done.sources, done.gradients(list(done.sources.values())))
        return {name for name, g in found if g is not None and name.kind != "adjoint"}

    @as_written_down()
    def _forward(
        self,
        values: Values,
        dtype: str,
        perturb: Disturbance | None = None,
        counted: Mapping[Use, float] | None = None,
    ) -> Forward:
        disturb: Callable[[TorchTensor], TorchTensor] = perturb or (lambda x: x)

        def use(tensor: TorchTensor, node: str, name: str) -> TorchTensor:
            times = 1.0 if counted is None else counted.get((node, name), 1.0)
            if times == 1.0 or not tensor.requires_grad:
                return tensor
            view = tensor.view_as(tensor)
            view.register_hook(lambda g: g * times)
            return view

        def leaf(array: Array, trainable: bool = True) -> TorchTensor:
            tensor = torch.tensor(array, device=self.place)  # a copy: torch updates buffers in place
            if not numeric(tensor):
                return tensor
            precision = DTYPES[dtype].to_complex() if tensor.is_complex() else DTYPES[dtype]
            return disturb(tensor.to(precision)).requires_grad_(trainable)

        parameters = {
            owner: {name: leaf(array, name not in self.buffers[owner]) for name, array in arrays.items()}
            for owner, arrays in values.parameters.items()
        }
        flowing: dict[str, Outputs] = {name: (leaf(array),) for name, array in values.inputs.items()}
        sources = {Tensor("input", name, "0"): x for name, (x,) in flowing.items()}
        results: dict[Tensor, Array] = {}
        for node in self.architecture.nodes:
            # In C order both ways: some other layouts are refused, or get wrong gradients (docs/findings.md).
            taken = [flowing[name][index] for name, index in map(self.architecture.slot, node.inputs)]
            inputs = [use(in_order(x), node.name, str(i)) for i, x in enumerate(taken)]
            own = {name: use(x, node.name, name) for name, x in parameters.get(node.owner, {}).items()}
            draws = Draws(values.noise[node.name]) if node.name in self.noise_shapes else nullcontext()
            saved: AbstractContextManager[Any] = nullcontext()
            if isinstance(perturb, Perturbation) and node.op not in ops.SAVES_A_MASK:
                saved = _saving(perturb, inputs)
            with draws, saved:
                outputs = self._called(node, own, inputs)
            if node.op in ops.SLOPES and dtype == "float64" and outputs[0].requires_grad:
                outputs[0].register_hook(lambda g, slope=ops.SLOPES[node.op]: None if g is None else g * slope)
            # Of nothing there is no gradient: GroupNorm's is NaN (docs/findings.md).
            if not any(y.numel() for y in outputs):
                outputs = tuple(y.detach().requires_grad_(y.requires_grad) for y in outputs)
            # A view of its own, for Identity returns its very input, whose gradient is another one.
            outputs = tuple(disturb(y.view_as(y)) for y in outputs)
            if isinstance(perturb, Blur):
                outputs = tuple(perturb.output(y, node.name) for y in outputs)
            flowing[node.name] = outputs
            for i, y in enumerate(outputs):
                results[Tensor("output", node.name, str(i))] = as_array(y)
                sources[Tensor("adjoint", node.name, str(i))] = y
                if y.requires_grad:
                    # No gradient at all may come: a norm that counts has none.
                    y.register_hook(lambda g: None if g is None else in_order(disturb(g)))
        for owner, tensors in parameters.items():
            for name, tensor in tensors.items():
                if name in self.buffers[owner]:
                    results[Tensor("update", owner, name)] = as_array(tensor)
                else:
                    sources[Tensor("parameter", owner, name)] = tensor
        sources = {name: tensor for name, tensor in sources.items() if tensor.requires_grad}
        ends = [(r, use(self._end(flowing, r), "", r), leaf(c, trainable=False)) for r, c in values.cotangents.items()]
        return Forward(results, sources, ends)

    @torch.no_grad()
    def forward(self, values: Values) -> dict[str, Array]:
        """Run forward only, and return the outputs that have a cotangent, by reference."""
        return {reference: as_array(y) for reference, y, _ in self._forward(values, "float64").ends}

    def _end(self, flowing: Mapping[str, Outputs], reference: str) -> TorchTensor:
        name, index = self.architecture.slot(reference)
        return flowing[name][index]

    def on(self, place: str) -> Twin:
        """Return the twin that runs on another device."""
        twin = copy(self)
        twin.place = place
        return twin

    def of(self, architecture: Architecture) -> Twin:
        """Return the twin of another architecture, all of whose inputs and nodes were taken in."""
        twin, names = copy(self), {node.name for node in architecture.nodes}
        twin.architecture = architecture
        twin.parameter_shapes = {name: shapes for name, shapes in self.parameter_shapes.items() if name in names}
        twin.noise_shapes = {name: shapes for name, shapes in self.noise_shapes.items() if name in names}
        return twin

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


def _saving(perturb: Perturbation, inputs: Sequence[TorchTensor]) -> saved_tensors_hooks:
    given = {x.data_ptr() for x in inputs}

    def restored(x: TorchTensor) -> TorchTensor:
        return perturb(x) if x.data_ptr() in given else perturb.saved(x)

    return saved_tensors_hooks(torch.Tensor.detach, restored)


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _direction(along: Values, name: Tensor, like: TorchTensor) -> TorchTensor:
    arrays = along.parameters[name.node] if name.kind == "parameter" else along.inputs
    return torch.from_numpy(arrays[name.name if name.kind == "parameter" else name.node]).to(like)


def _flatten(result: Any) -> Iterable[TorchTensor]:
    if isinstance(result, TorchTensor):
        yield result
    elif result is not None:
        for part in result:
            yield from _flatten(part)


def _tensor(value: Any, dtype: torch.dtype, device: torch.device) -> TorchTensor:
    tensor = torch.tensor(value, device=device)
    return tensor.to(dtype) if tensor.is_floating_point() else tensor
