"""Running a layer beside torch.nn's class of its name, forward and backward."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

import impl
from impl.layer import Array


def beside_torch(op: str, *inputs: Array, options: Mapping[str, Any] | None = None, **arguments: Any) -> Array:
    """Compare outputs and the gradients of all floating inputs, with cotangents of other numbers than ones.

    Where torch gives no gradient, ours is None or zero. Returns our first output.
    """
    tensors = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    made = {name: torch.tensor(v) if isinstance(v, np.ndarray) else v for name, v in arguments.items()}
    keywords = {name: torch.tensor(v) if isinstance(v, list) else v for name, v in (options or {}).items()}
    module = getattr(torch.nn, op)(**made).double()
    found = module(*tensors, **keywords)
    wanted = found if isinstance(found, tuple) else (found,)
    cotangents = [torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype).reshape(y.shape) for y in wanted]
    taken = dict(enumerate(tensors)) | dict(module.named_parameters())
    moving = {name: x for name, x in taken.items() if x.requires_grad}
    gradients = torch.autograd.grad(wanted, list(moving.values()), cotangents, allow_unused=True)

    own = {name: p.detach().numpy() for name, p in module.named_parameters()}
    step = getattr(impl, op)(**arguments).forward(own, *inputs, **(options or {}))
    outputs = step.output if isinstance(step.output, tuple) else (step.output,)
    assert [y.shape for y in outputs] == [tuple(y.shape) for y in wanted]
    for y, want in zip(outputs, wanted, strict=True):
        np.testing.assert_allclose(y, want.detach().numpy(), rtol=1e-12, atol=1e-15)
    flow = tuple(c.numpy() for c in cotangents)
    back = step.backward(flow if isinstance(step.output, tuple) else flow[0])
    ours = dict(enumerate(back.inputs)) | dict(back.parameters)
    for (name, x), want in zip(moving.items(), gradients, strict=True):
        got = ours[name]
        if want is None:
            assert got is None or not got.any(), name
        else:
            np.testing.assert_allclose(got, want.numpy(), rtol=1e-10, atol=1e-14, err_msg=str(name))
            assert got.shape == tuple(x.shape), name
    return np.asarray(outputs[0])
