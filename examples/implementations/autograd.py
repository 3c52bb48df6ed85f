"""HIPS autograd under test: its NumPy, its scipy.special, stats and signal, each with the vjp that stands beside it.

In a clone, with autograd installed: ``backproof verify --implementation examples.implementations.autograd:implementation``
"""

import autograd.numpy as np
from autograd import make_vjp
from autograd.scipy import special
from autograd.scipy.signal import convolve
from autograd.scipy.stats import norm

from examples.implementations.table import Table


def differentiate(function, arrays):
    backward, output = make_vjp(lambda tracked: function(*tracked))(tuple(arrays))
    return output, backward


def convolution(a, p, x):
    axes = tuple(range(2, x.ndim))
    flipped = p["weight"][(..., *[slice(None, None, -1)] * len(axes))]  # theirs is a convolution, torch's a correlation
    y = convolve(x, flipped, axes=(axes, axes), dot_axes=([1], [1]), mode="valid")
    return y + np.reshape(p.get("bias", 0.0), (-1, *[1] * len(axes)))


def stepwise(a):
    return not np.any(a["padding"]) and np.all(np.equal(a["stride"], 1)) and np.all(np.equal(a["dilation"], 1))


def normalized(x, axes, a):
    return (x - np.mean(x, axes, keepdims=True)) / np.sqrt(np.var(x, axes, keepdims=True) + a["eps"])


def layer_norm(a, p, x):
    axes = tuple(range(-np.size(a["normalized_shape"]), 0))
    return normalized(x, axes, a) * p.get("weight", 1.0) + p.get("bias", 0.0)


plain = {"Mul": np.multiply, "MatMul": np.matmul, "Tanh": np.tanh, "Sigmoid": special.expit}
plain |= {
    "ReLU": lambda x: np.maximum(x, 0),
    "LogSigmoid": lambda x: -np.logaddexp(0, -x),
    "Softsign": lambda x: x / (1 + np.abs(x)),
}
functions = {
    "Linear": lambda a, p, x: np.dot(x, p["weight"].T) + p.get("bias", 0.0),
    "Bilinear": lambda a, p, x, y: np.einsum("...i,oij,...j->...o", x, p["weight"], y) + p.get("bias", 0.0),
    "Embedding": lambda a, p, index: p["weight"][index],
    "Hardtanh": lambda a, p, x: np.clip(x, a["min_val"], a["max_val"]),
    "ELU": lambda a, p, x: np.where(x > 0, x, a["alpha"] * np.expm1(np.minimum(x, 0))),
    "GELU": lambda a, p, x: x * norm.cdf(x),
    "Softmax": lambda a, p, x: np.exp(x - special.logsumexp(x, a["dim"], keepdims=True)),
    "LogSoftmax": lambda a, p, x: x - special.logsumexp(x, a["dim"], keepdims=True),
    "LayerNorm": layer_norm,
    **{f"Conv{n}d": convolution for n in (1, 2, 3)},
    "Cat": lambda a, p, *xs: np.concatenate(xs, a["dim"]),
    "Mean": lambda a, p, x: np.mean(
        x, a["dim"] if a["dim"] is None else tuple(np.atleast_1d(a["dim"])), keepdims=a["keepdim"]
    ),
    "PairwiseDistance": lambda a, p, x, y: np.linalg.norm(x - y + a["eps"], a["norm"], axis=-1, keepdims=a["keepdim"]),
    "MSELoss": lambda a, p, x, y: np.mean((x - y) ** 2),
    "L1Loss": lambda a, p, x, y: np.mean(np.abs(x - y)),
}
shapes = {f"Conv{n}d": lambda a, x, n=n: len(x) == n + 2 and stepwise(a) for n in (1, 2, 3)}
shapes |= {op: lambda a, x: a["dim"] is not None for op in ("Softmax", "LogSoftmax")}
only = {"groups": [1], "padding_mode": ["zeros"], "padding_idx": [None], "scale_grad_by_freq": [False]}
only |= {"approximate": ["none"], "reduction": ["mean"]}
implementation = Table("autograd", differentiate, plain, functions, only, shapes)
