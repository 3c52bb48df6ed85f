"""One training step of an architecture, without the optimizer, by ours and by the peers: all do the same work.

The data and the initial parameters are the same numbers for all. A step is the forward pass, the loss, and the
gradients of all parameters; the inputs are data, and nobody computes their gradients.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from backproof.implementations import NumPyImplementation
from impl.network import Network, NetworkStep
from impl.network import Node as NetworkNode
from reference import Architecture
from reference.run import Array


class Data(NamedTuple):
    """What a step runs on: parameters and buffers as ``node.name``, and the two inputs."""

    parameters: Mapping[str, Array]
    x: Array
    target: Array


class Result(NamedTuple):
    """What a step comes to."""

    loss: float
    gradients: Mapping[str, Array]


class Step(NamedTuple):
    """A training step: ``run`` is timed, ``result`` runs it once and shows what it came to."""

    run: Callable[[], object]
    result: Callable[[], Result]


def network(architecture: Architecture) -> Network:
    """Build the architecture from the layers of impl."""
    layer = NumPyImplementation().layer
    nodes = [NetworkNode(n.name, layer(n.op, n.arguments), n.inputs) for n in architecture.nodes]
    return Network([i.name for i in architecture.inputs], nodes, architecture.outputs)


def data(architecture: Architecture, dtype: str) -> Data:
    """Draw inputs, and parameters as torch.nn initialises them, from the architecture's seed."""
    rng = np.random.default_rng(architecture.seed)
    x, target = (
        rng.standard_normal(i.shape).astype(dtype) if i.below is None else rng.integers(0, i.below, i.shape)
        for i in architecture.inputs
    )
    return Data(network(architecture).initial(rng, dtype), x, target)


class _First(nn.Module):
    """A recurrent layer, which returns its outputs first, and its last state after them."""

    layer0: nn.Module

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer0(x)[0]


class _Block(nn.Module):
    conv1: nn.Module
    conv2: nn.Module
    norm1: nn.Module
    norm2: nn.Module
    relu1: nn.Module
    relu2: nn.Module

    def forward(self, x: torch.Tensor) -> Any:
        y = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        return self.relu2(y + x)


def torch_module(architecture: Architecture, parameters: Mapping[str, Array]) -> nn.Module:
    """Write the layers before the loss as one writes them in PyTorch, with parameters called as in impl."""
    layers = OrderedDict(
        (node.name, getattr(nn, node.op)(**node.arguments)) for node in architecture.nodes[:-1] if node.op != "Add"
    )
    module: nn.Module = nn.Sequential(layers)
    if {"LSTM", "GRU", "Add"} & {node.op for node in architecture.nodes}:
        module = _Block() if "conv1" in layers else _First()
        for name, layer in layers.items():
            module.add_module(name, layer)
    dtype = next(torch.from_numpy(array).dtype for array in parameters.values() if array.dtype.kind == "f")
    module.to(dtype)
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            tensor.copy_(torch.from_numpy(parameters[name]))
    return module


def ours(architecture: Architecture, given: Data) -> Step:
    """The network of impl."""
    built, rng = network(architecture), np.random.default_rng(0)
    one = np.ones((), given.x.dtype if given.x.dtype.kind == "f" else next(iter(given.parameters.values())).dtype)

    def run() -> tuple[NetworkStep, Mapping[str, Array]]:
        step = built.forward(given.parameters, given.x, given.target, training=True, noise=rng)
        assert step.parameters_only is not None
        return step, step.parameters_only(one)

    def result() -> Result:
        step, gradients = run()
        return Result(float(np.asarray(step.output)), gradients)

    return Step(run, result)


def pytorch(architecture: Architecture, given: Data) -> Step:
    """PyTorch eager: a module, a loss, ``backward``, from gradients set to None."""
    module = torch_module(architecture, given.parameters)
    criterion = getattr(nn, architecture.nodes[-1].op)()
    x, target = torch.tensor(given.x), torch.tensor(given.target)
    parameters = list(module.parameters())

    def run() -> torch.Tensor:
        for parameter in parameters:
            parameter.grad = None
        loss: torch.Tensor = criterion(module(x), target)
        loss.backward()
        return loss

    def result() -> Result:
        loss = run()
        found = {name: p.grad for name, p in module.named_parameters()}
        return Result(loss.item(), {name: np.zeros(0) if g is None else g.numpy().copy() for name, g in found.items()})

    return Step(run, result)


MLP = frozenset(["Linear", "ReLU", "Tanh", "CrossEntropyLoss", "MSELoss"])
"""The ops of which networks are made that the other peers run, too."""

Functions = Mapping[str, Callable[..., Any]]


def _loss(functions: Functions, architecture: Architecture) -> Callable[[Mapping[str, Any], Any, Any], Any]:
    """Write the loss of an MLP as a function of its parameters and data, in a peer's functions."""
    *nodes, last = architecture.nodes

    def loss(parameters: Mapping[str, Any], x: Any, target: Any) -> Any:
        for node in nodes:
            if node.op == "Linear":
                x = x @ parameters[f"{node.name}.weight"].T + parameters[f"{node.name}.bias"]
            else:
                x = functions[node.op](x)
        return functions[last.op](x, target)

    return loss


def mygrad(architecture: Architecture, given: Data) -> Step:
    """MyGrad, as it comes."""
    import mygrad
    from mygrad.nnet.activations import relu
    from mygrad.nnet.losses import softmax_crossentropy

    loss = _loss(
        {
            "ReLU": relu,
            "Tanh": mygrad.tanh,
            "CrossEntropyLoss": softmax_crossentropy,
            "MSELoss": lambda y, target: mygrad.mean((y - target) ** 2),
        },
        architecture,
    )
    parameters = {name: mygrad.tensor(array) for name, array in given.parameters.items()}

    def run() -> Any:
        for parameter in parameters.values():
            parameter.null_grad()
        error = loss(parameters, given.x, given.target)
        error.backward()
        return error

    def result() -> Result:
        return Result(float(run()), {name: parameter.grad for name, parameter in parameters.items()})

    return Step(run, result)


def hips_autograd(architecture: Architecture, given: Data) -> Step:
    """Autograd of HIPS."""
    import autograd.numpy as anp
    from autograd import value_and_grad
    from autograd.scipy.special import logsumexp

    loss = _loss(
        {
            "ReLU": lambda y: anp.maximum(y, 0),
            "Tanh": anp.tanh,
            "CrossEntropyLoss": lambda y, t: anp.mean(logsumexp(y, axis=1) - y[anp.arange(len(t)), t]),
            "MSELoss": lambda y, target: anp.mean((y - target) ** 2),
        },
        architecture,
    )
    function = value_and_grad(loss)

    def run() -> Any:
        return function(given.parameters, given.x, given.target)

    def result() -> Result:
        error, gradients = run()
        return Result(float(error), gradients)

    return Step(run, result)


def jax_loss(architecture: Architecture) -> Callable[[Mapping[str, Any], Any, Any], Any]:
    """Write the loss of an MLP in JAX, in both precisions."""
    import jax
    from jax import numpy as jnp

    jax.config.update("jax_enable_x64", True)
    return _loss(
        {
            "ReLU": jax.nn.relu,
            "Tanh": jnp.tanh,
            "CrossEntropyLoss": lambda y, t: -jnp.mean(jax.nn.log_softmax(y)[jnp.arange(len(t)), t]),
            "MSELoss": lambda y, target: jnp.mean((y - target) ** 2),
        },
        architecture,
    )


def jax_jit(architecture: Architecture, given: Data) -> Step:
    """JAX, compiled: its first step compiles, and is not timed."""
    import jax

    function = jax.jit(jax.value_and_grad(jax_loss(architecture)))
    placed = jax.device_put(given)

    def run() -> Any:
        return jax.block_until_ready(function(*placed))

    def result() -> Result:
        error, gradients = run()
        return Result(float(error), {name: np.asarray(g) for name, g in gradients.items()})

    return Step(run, result)


OURS, TORCH = "backproof", "torch"
PEERS: Mapping[str, tuple[str, Callable[[Architecture, Data], Step]]] = {
    "mygrad": ("mygrad", mygrad),
    "autograd": ("autograd", hips_autograd),
    "jax jit": ("jax", jax_jit),
}
"""By what they are called in tables: the package, and its step."""


def absent() -> list[str]:
    """Name the peers that are not installed."""
    return [name for name, (package, _) in PEERS.items() if find_spec(package) is None]


def steps(architecture: Architecture, given: Data) -> dict[str, Step]:
    """Build the step of everyone who is installed and has a version of this architecture, ours first."""
    built = {OURS: ours(architecture, given), TORCH: pytorch(architecture, given)}
    if all(node.op in MLP for node in architecture.nodes):
        missing = absent()
        built |= {name: step(architecture, given) for name, (_, step) in PEERS.items() if name not in missing}
    return built
