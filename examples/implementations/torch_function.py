"""Custom autograd Functions of PyTorch under test: a forward and a backward by hand, as the tutorials write them.

In a clone: ``backproof verify --implementation examples.implementations.torch_function:implementation``
"""

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class LinearFunction(Function):
    @staticmethod
    def forward(ctx, x, weight, bias=None):
        ctx.save_for_backward(x, weight)
        return x @ weight.T if bias is None else x @ weight.T + bias

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        rows, columns = x.reshape(-1, x.shape[-1]), grad.reshape(-1, grad.shape[-1])
        return grad @ weight, columns.T @ rows, columns.sum(0) if len(ctx.needs_input_grad) > 2 else None


class SwishFunction(Function):
    """Keeps its input alone, and computes the sigmoid twice: the memory-efficient Swish."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return grad * s * (1 + x * (1 - s))


FUNCTIONS = {"Linear": LinearFunction, "SiLU": SwishFunction}


class TorchFunctions:
    name = "torch.autograd.Function"

    def supports(self, node):
        return node.op in FUNCTIONS

    def forward(self, node, parameters, inputs, *, training, noise):
        leaves = [torch.tensor(array, requires_grad=True) for array in (*inputs, *parameters.values())]
        output = FUNCTIONS[node.op].apply(*leaves)

        def backward(grad_outputs):
            grads = torch.autograd.grad(output, leaves, torch.tensor(grad_outputs[0]), retain_graph=True)
            x, *own = (grad.numpy() for grad in grads)
            return [x], dict(zip(parameters, own))

        return (output.detach().numpy(),), backward
