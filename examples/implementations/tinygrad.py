"""tinygrad (and the clang that it calls) under test: the methods of its Tensor, and the gradients that it derives.

``backproof verify --implementation examples.implementations.tinygrad:implementation`` in a clone, with both of them.
"""

import numpy as np
from tinygrad import Tensor

from examples.implementations.table import Table, windows


def differentiate(function, arrays):
    tensors = [Tensor(array.copy()) for array in arrays]  # it takes arrays only as they lie in memory at first
    output = function(*tensors)

    def backward(gradient):
        return [g.numpy() for g in output.gradient(*tensors, gradient=Tensor(gradient.copy()))]

    return output.numpy(), backward


def convolution(a, p, x):
    _, stride, padding, dilation = windows(a, x.shape)
    return x.conv2d(p["weight"], p.get("bias"), a["groups"], stride, dilation, padding)


def max_pool(a, p, x):
    kernel, stride, padding, dilation = windows(a, x.shape)
    return x.max_pool2d(kernel, stride, dilation, padding, a["ceil_mode"])


methods = ("ReLU", "ReLU6", "Sigmoid", "Tanh", "SiLU", "Mish", "SELU", "LogSigmoid", "Softsign", "Hardswish", "MatMul")
plain = {name: getattr(Tensor, name.lower()) for name in methods} | {"Mul": Tensor.mul}
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
    "Softmin": lambda a, p, x: x.softmin(a["dim"]),
    "Cat": lambda a, p, *xs: Tensor.cat(*xs, dim=a["dim"]),
    "BCELoss": lambda a, p, x, y: x.binary_crossentropy(y, a["reduction"]),
    "CrossEntropyLoss": lambda a, p, x, y: x.cross_entropy(y, a["reduction"], a["label_smoothing"]),
}
functions |= {f"{op}{n}d": f for n in (1, 2, 3) for op, f in (("Conv", convolution), ("MaxPool", max_pool))}
shapes = {op: lambda a, *xs: sum(map(np.prod, xs)) <= 12 for op in (*plain, *functions)}  # every kernel takes its time
shapes["CrossEntropyLoss"] = lambda a, x, y: x == y and np.prod(x) <= 12  # probabilities, for no class is ignored
for n in (1, 2, 3):
    shapes[f"Conv{n}d"] = shapes[f"MaxPool{n}d"] = lambda a, x, n=n: len(x) == n + 2 and np.prod(x) <= 12
only = {"padding_mode": ["zeros"], "return_indices": [False], "weight": [None]}
only |= {"padding_idx": [None], "scale_grad_by_freq": [False]}
implementation = Table("tinygrad", differentiate, plain, functions, only, shapes)
