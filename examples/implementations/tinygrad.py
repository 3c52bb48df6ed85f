"""tinygrad under test: the methods of its Tensor, and the gradients that it derives for them.

In a clone, with tinygrad and clang: ``backproof verify --implementation examples.implementations.tinygrad:implementation``
"""

import numpy as np
from tinygrad import Tensor

from examples.implementations.table import Table, windows


def differentiate(function, arrays):
    tensors = [Tensor(np.ascontiguousarray(array)) for array in arrays]
    output = function(*tensors)

    def backward(gradient):
        return [g.numpy() for g in output.gradient(*tensors, gradient=Tensor(np.ascontiguousarray(gradient)))]

    return output.numpy(), backward


def convolution(a, p, x):
    _, stride, padding, dilation = windows(a, x.shape)
    return x.conv2d(p["weight"], p.get("bias"), a["groups"], stride, dilation, padding)


def max_pool(a, p, x):
    kernel, stride, padding, dilation = windows(a, x.shape)
    return x.max_pool2d(kernel, stride, dilation, padding, a["ceil_mode"])


def layer_norm(a, p, x):
    return x.layernorm(tuple(range(-np.size(a["normalized_shape"]), 0)), a["eps"]) * p.get("weight", 1) + p.get(
        "bias", 0
    )


plain = {name: getattr(Tensor, name.lower()) for name in ("ReLU", "ReLU6", "Sigmoid", "Tanh", "SiLU", "Mish", "SELU")}
plain |= {
    name: getattr(Tensor, name.lower()) for name in ("LogSigmoid", "Softsign", "Hardsigmoid", "Hardswish", "MatMul")
}
plain |= {"Mul": Tensor.mul}
functions = {
    "Linear": lambda a, p, x: x.linear(p["weight"].T, p.get("bias")),
    "Embedding": lambda a, p, index: p["weight"][Tensor(index)],
    "LeakyReLU": lambda a, p, x: x.leaky_relu(a["negative_slope"]),
    "Hardtanh": lambda a, p, x: x.hardtanh(a["min_val"], a["max_val"]),
    "ELU": lambda a, p, x: x.elu(a["alpha"]),
    "CELU": lambda a, p, x: x.celu(a["alpha"]),
    "GELU": lambda a, p, x: x.gelu(a["approximate"]),
    "Softmax": lambda a, p, x: x.softmax(a["dim"]),
    "LogSoftmax": lambda a, p, x: x.log_softmax(a["dim"]),
    "LayerNorm": layer_norm,
    "Cat": lambda a, p, *xs: Tensor.cat(*xs, dim=a["dim"]),
    "BCELoss": lambda a, p, x, y: x.binary_crossentropy(y, a["reduction"]),
    "CrossEntropyLoss": lambda a, p, x, y: x.cross_entropy(
        Tensor(y) if isinstance(y, np.ndarray) else y, a["reduction"], a["label_smoothing"]
    ),
}
for n in (1, 2, 3):
    functions |= {f"Conv{n}d": convolution, f"MaxPool{n}d": max_pool}
shapes = {f"{op}{n}d": lambda a, x, n=n: len(x) == n + 2 for op in ("Conv", "MaxPool") for n in (1, 2, 3)}
shapes |= {op: lambda a, x: a["dim"] is not None for op in ("Softmax", "LogSoftmax")}
only = {"padding_mode": ["zeros"], "return_indices": [False], "weight": [None]}
only |= {"padding_idx": [None], "scale_grad_by_freq": [False]}
implementation = Table("tinygrad", differentiate, plain, functions, only, shapes)
few = implementation.takes
implementation.takes = lambda node, shapes: sum(map(np.prod, shapes)) <= 12 and few(node, shapes)
