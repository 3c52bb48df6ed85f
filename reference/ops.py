"""Which ops there are: the classes of torch.nn by their own names, and a short table of structural ops."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from functools import cache, partial, reduce
from typing import Any, get_overloads

import torch
from torch import Tensor, nn

CONTAINERS = frozenset(
    [
        "Module",
        "Container",
        "ModuleDict",
        "ModuleList",
        "ParameterDict",
        "ParameterList",
        "Sequential",
        "RNNBase",
        "RNNCellBase",
        "DataParallel",
        "SyncBatchNorm",
        "NLLLoss2d",
    ]
)
ON_CPU = frozenset(
    [
        "AdaptiveLogSoftmaxWithLoss",
        "CTCLoss",
        "GaussianNLLLoss",
        "MultiLabelMarginLoss",
        "MultiMarginLoss",
        "PixelShuffle",
        "PixelUnshuffle",
    ]
)
"""Ops that look at their numbers before they compute, which the meta device has not, or that differ there: in a shape,
or in what they cannot go back through.
"""

EMPTY_ON_CPU = frozenset(
    ["FractionalMaxPool2d", "FractionalMaxPool3d", "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"]
)
"""Ops that take an empty batch, but not on the meta device."""

UNWRITTEN = frozenset(["MultiLabelMarginLoss", "MultiMarginLoss"])
"""Ops that return memory which nobody wrote where there is no sample (docs/findings.md)."""

OVERFLOWS = {"SoftMarginLoss"}
"""Infinite in PyTorch where the function is not (docs/findings.md): log(1 + exp(x)), written so, from x = 710 on."""

SLOPES = {"Hardsigmoid": 1 / 6 / torch.tensor(1 / 6, dtype=torch.float32).item()}
"""Ops whose slope torch rounds to float32 in float64, too, and what sets it right (docs/findings.md)."""

SAVES_A_MASK = frozenset(["MultiLabelMarginLoss"])
"""Ops that save floats for the way back which must be 0 or 1."""


def _cat(*xs: Tensor, dim: int = 0) -> Tensor:
    return torch.cat(xs, dim)


def _mean(x: Tensor, *, dim: int | tuple[int, ...] | None = None, keepdim: bool = False) -> Tensor:
    return torch.mean(x, dim, keepdim)


def _reshape(x: Tensor, *, shape: tuple[int, ...]) -> Tensor:
    return x.reshape(shape)


def _transpose(x: Tensor, *, dim0: int, dim1: int) -> Tensor:
    return x.transpose(dim0, dim1)


def _chunk(x: Tensor, *, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    return x.chunk(chunks, dim)


def _add(*xs: Tensor) -> Tensor:
    return reduce(torch.add, xs)


def _mul(a: Tensor, b: Tensor) -> Tensor:
    return a * b


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    return a @ b


STRUCTURAL: Mapping[str, Callable[..., Any]] = {
    "Add": _add,
    "Mul": _mul,
    "MatMul": _matmul,
    "Cat": _cat,
    "Chunk": _chunk,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Mean": _mean,
}


def _with_states(x: Tensor, *states: Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return ((x, states) if states else (x,)), {}


def _with_weights(x: Tensor, *weights: Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (x,), dict(zip(("per_sample_weights",), weights))


TAKES: Mapping[str, Callable[..., tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "LSTM": _with_states,
    "LSTMCell": _with_states,
    "EmbeddingBag": _with_weights,
}
"""How torch's forward takes a node's inputs, where not one by one: those in place, and those by keyword."""


@cache
def torch_layers() -> tuple[str, ...]:
    """Names of all concrete classes of torch.nn that are layers: no containers, bases, lazy or deprecated ones."""
    return tuple(
        name
        for name, cls in sorted(vars(nn).items())
        if inspect.isclass(cls)
        and issubclass(cls, nn.Module)
        and name not in CONTAINERS
        and not name.startswith("Lazy")
    )


def is_op(op: str) -> bool:
    """Whether ``op`` may stand in an architecture."""
    return op in STRUCTURAL or op in torch_layers()


@cache
def parameters_of(op: str) -> Mapping[str, inspect.Parameter]:
    """Constructor arguments of an op by name, without ``self``, device and dtype."""
    if op in STRUCTURAL:
        signature = inspect.signature(STRUCTURAL[op]).parameters
        return {name: p for name, p in signature.items() if p.kind is p.KEYWORD_ONLY}
    found: dict[str, inspect.Parameter] = {}
    for cls in getattr(nn, op).__mro__[:-1]:  # object takes nothing
        own = inspect.signature((get_overloads(cls.__init__) or [cls.__init__])[0]).parameters
        found |= {name: p for name, p in own.items() if name not in found}
        if not any(p.kind is p.VAR_KEYWORD for p in own.values()):
            break
    hidden = {"self", "device", "dtype"}
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    shown = {n: p for n, p in found.items() if p.kind in kinds and n not in hidden and not n.startswith("_")}
    # A function that stands as a default has a name for which torch takes it, too: "relu".
    named = {name: p.default.__name__ for name, p in shown.items() if inspect.isfunction(p.default)}
    return {name: p.replace(default=named.get(name, p.default)) for name, p in shown.items()}


def is_layer_argument(op: str, name: str) -> bool:
    """Whether torch takes a module as this constructor argument; an architecture has an op with arguments there."""
    return re.search("Module|Layer|Callable|Any", str(parameters_of(op)[name].annotation)) is not None


def is_tensor_argument(op: str, name: str) -> bool:
    """Whether torch takes this constructor argument as a tensor, and an architecture as a list of numbers."""
    return "Tensor" in str(parameters_of(op)[name].annotation) and not is_layer_argument(op, name)


@cache
def is_tensor_option(op: str, name: str) -> bool:
    """Whether torch takes this forward keyword as a tensor (a mask), and an architecture as a list of numbers."""
    return "Tensor" in str(inspect.signature(getattr(nn, op).forward).parameters.get(name))


def constructor_arguments(
    op: str,
    arguments: Mapping[str, Any],
    tensor: Callable[[Any], Any],
    layer: Callable[[str, Mapping[str, Any]], Any],
) -> dict[str, Any]:
    """Turn plain JSON into what a constructor takes.

    That is ``tensor(list)`` for tensors, tuples for the other lists, ``layer(op, arguments)`` for layers that stand
    as ``{"op": ..., "arguments": ...}``.
    """

    def taken(name: str, value: Any) -> Any:
        if isinstance(value, dict):
            return layer(value["op"], value.get("arguments", {}))
        if isinstance(value, list):
            return tensor(value) if is_tensor_argument(op, name) else tuple(value)
        return value

    return {name: taken(name, value) for name, value in arguments.items()}


def build(op: str, arguments: Mapping[str, Any]) -> Callable[..., Any]:
    """Make ``torch.nn.<op>(**arguments)`` on the meta device (no memory), or the function of a structural op.

    What torch advises against while it makes one is not passed on: it is verified like the rest.
    """
    given = constructor_arguments(op, arguments, partial(torch.tensor, dtype=torch.float64, device="meta"), build)
    if op in STRUCTURAL:
        return partial(STRUCTURAL[op], **given)
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        module: nn.Module = getattr(nn, op)(**given)
    for part in module.modules():
        # A copy of a TransformerDecoderLayer forgets an activation that is a module (docs/findings.md).
        for name in vars(part).keys() & part._modules.keys():
            del vars(part)[name]
    return module
