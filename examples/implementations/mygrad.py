"""MyGrad under test: its layers, activations and losses, each with the gradient that its own backward finds.

``backproof verify --implementation examples.implementations.mygrad:implementation`` in a clone, with mygrad.
"""

import mygrad as mg
from mygrad import nnet

from examples.implementations.table import Table, exactly, padded, windows


def differentiate(function, arrays):
    tensors = [mg.tensor(array) for array in arrays]

    def backward(gradient):
        function(*tensors).backward(gradient)  # forward once more, for MyGrad forgets the graph when it has gone back
        return [tensor.grad for tensor in tensors]

    return function(*tensors).data, backward


def convolution(a, p, x):
    kernel, stride, padding, dilation = windows(a, x.shape)
    y = nnet.conv_nd(x, p["weight"], stride=stride, padding=padding, dilation=dilation)
    return y + p["bias"].reshape(-1, *[1] * len(kernel)) if "bias" in p else y


def by_class(loss):
    return lambda a, p, x, y: loss(x[y != a["ignore_index"]], y[y != a["ignore_index"]])


plain = {"Add": mg.add_sequence, "Mul": mg.multiply, "MatMul": mg.matmul, "Tanh": mg.tanh, "ReLU": nnet.relu}
plain |= {"SELU": nnet.selu, "Sigmoid": nnet.sigmoid, "Softsign": nnet.soft_sign}
plain |= {"MSELoss": lambda x, y: mg.mean(mg.square(x - y)), "L1Loss": lambda x, y: mg.mean(mg.abs(x - y))}
functions = {
    "Linear": lambda a, p, x: mg.matmul(x, p["weight"].T) + p.get("bias", 0),
    "Bilinear": lambda a, p, x, y: mg.einsum("...i,oij,...j->...o", x, p["weight"], y) + p.get("bias", 0),
    "Embedding": lambda a, p, index: p["weight"][index],
    "LeakyReLU": lambda a, p, x: nnet.leaky_relu(x, a["negative_slope"]),
    "ELU": lambda a, p, x: nnet.elu(x, a["alpha"]),
    "Hardtanh": lambda a, p, x: nnet.hard_tanh(x, lower_bound=a["min_val"], upper_bound=a["max_val"]),
    "GLU": lambda a, p, x: nnet.glu(x, a["dim"]),
    "Softmax": lambda a, p, x: nnet.softmax(x, a["dim"]),
    "LogSoftmax": lambda a, p, x: nnet.logsoftmax(x, a["dim"]),
    "Cat": lambda a, p, *xs: mg.concatenate(xs, a["dim"]),
    "BatchNorm1d": lambda a, p, x: nnet.batchnorm(x, gamma=p.get("weight"), beta=p.get("bias"), eps=a["eps"]),
    "CrossEntropyLoss": by_class(nnet.softmax_crossentropy),
    "NLLLoss": by_class(nnet.negative_log_likelihood),
}
shapes = {op: lambda a, x, y: (len(x), len(y)) == (2, 1) for op in ("CrossEntropyLoss", "NLLLoss")}
for n in (1, 2, 3):
    functions[f"BatchNorm{n}d"] = functions["BatchNorm1d"]
    functions[f"MaxPool{n}d"] = lambda a, p, x: nnet.max_pool(x, *windows(a, x.shape)[:2])
    functions[f"Conv{n}d"] = convolution
    shapes[f"Conv{n}d"] = lambda a, x, n=n: len(x) == n + 2 and exactly(a, x)
    shapes[f"MaxPool{n}d"] = lambda a, x, n=n: len(x) == n + 2 and exactly(a, x) and not padded(a, x)
only = {"weight": [None], "groups": [1], "padding_mode": ["zeros"], "return_indices": [False], "reduction": ["mean"]}
only |= {"padding_idx": [None], "scale_grad_by_freq": [False], "label_smoothing": [0], "track_running_stats": [False]}
implementation = Table("mygrad", differentiate, plain, functions, only, shapes)
