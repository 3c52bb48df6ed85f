"""HIPS autograd under test: its NumPy, its scipy.special, stats and signal, each with the vjp that stands beside it.

``backproof verify --implementation examples.implementations.autograd:implementation`` in a clone, with autograd.
"""

import autograd.numpy as np
from autograd import make_vjp
from autograd.scipy import special
from autograd.scipy.signal import convolve
from autograd.scipy.stats import norm

from examples.implementations.table import Table, windows


def differentiate(function, arrays):
    backward, output = make_vjp(lambda tracked: function(*tracked))(tuple(arrays))
    return output, backward


def convolution(a, p, x):
    axes = tuple(range(2, x.ndim))
    flipped = p["weight"][(..., *[slice(None, None, -1)] * len(axes))]  # theirs is a convolution, torch's a correlation
    _, stride, padding, _ = windows(a, x.shape)
    padded = np.pad(x, [(0, 0), (0, 0), *((n, n) for n in padding)], "constant")  # which autograd must be told
    y = convolve(padded, flipped, axes=(axes, axes), dot_axes=([1], [1]), mode="valid")
    return y[(..., *[slice(None, None, n) for n in stride])] + np.reshape(p.get("bias", 0.0), (-1, *[1] * len(axes)))


def layer_norm(a, p, x):
    axes = tuple(range(-np.size(a["normalized_shape"]), 0))
    y = (x - np.mean(x, axes, keepdims=True)) / np.sqrt(np.var(x, axes, keepdims=True) + a["eps"])
    return y * p.get("weight", 1.0) + p.get("bias", 0.0)


plain = {"Mul": np.multiply, "MatMul": np.matmul, "Tanh": np.tanh, "Sigmoid": special.expit}
plain |= {
    "ReLU": lambda x: np.maximum(x, 0),
    "GELU": lambda x: x * norm.cdf(x),
    "Softsign": lambda x: x / (1 + np.abs(x)),
}
plain |= {"LogSigmoid": lambda x: -np.logaddexp(0, -x), "L1Loss": lambda x, y: np.mean(np.abs(x - y))}
functions = {
    "Linear": lambda a, p, x: np.dot(x, p["weight"].T) + p.get("bias", 0.0),
    "Bilinear": lambda a, p, x, y: np.einsum("...i,oij,...j->...o", x, p["weight"], y) + p.get("bias", 0.0),
    "Embedding": lambda a, p, index: p["weight"][index],
    "Hardtanh": lambda a, p, x: np.clip(x, a["min_val"], a["max_val"]),
    "ELU": lambda a, p, x: np.where(x > 0, x, a["alpha"] * np.expm1(np.minimum(x, 0))),
    "Softmax": lambda a, p, x: np.exp(x - special.logsumexp(x, a["dim"], keepdims=True)),
    "LogSoftmax": lambda a, p, x: x - special.logsumexp(x, a["dim"], keepdims=True),
    "LayerNorm": layer_norm,
    "Cat": lambda a, p, *xs: np.concatenate(xs, a["dim"]),
    "Mean": lambda a, p, x: np.mean(x, tuple(np.ravel(a["dim"]))),
    "PairwiseDistance": lambda a, p, x, y: np.linalg.norm(x - y + a["eps"], a["p"], -1),
}
functions |= {f"Conv{n}d": convolution for n in (1, 2, 3)}
shapes = {f"Conv{n}d": lambda a, x, n=n: len(x) == n + 2 and set(windows(a, x)[3]) == {1} for n in (1, 2, 3)}
only = {"groups": [1], "padding_mode": ["zeros"], "padding_idx": [None], "scale_grad_by_freq": [False]}
only |= {"approximate": ["none"], "reduction": ["mean"], "keepdim": [False], "p": [2.0, 3.0]}
implementation = Table("autograd", differentiate, plain, functions, only, shapes)
