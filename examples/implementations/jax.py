"""JAX under test: jax.nn, jax.numpy and jax.lax, differentiated by jax.vjp, in float64 where that is asked for.

``backproof verify --implementation examples.implementations.jax:implementation`` in a clone, with jax.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax, nn

from examples.implementations.table import Table, windows

jax.config.update("jax_enable_x64", True)


def differentiate(function, arrays):
    output, back = jax.vjp(function, *map(jnp.asarray, arrays))
    return np.asarray(output), lambda gradient: [np.asarray(g) for g in back(jnp.asarray(gradient))]


def convolution(a, p, x):
    _, stride, padding, dilation = windows(a, x.shape)
    around, how = [(n, n) for n in padding], {"rhs_dilation": dilation, "feature_group_count": a["groups"]}
    y = lax.conv_general_dilated(x, p["weight"], stride, around, **how)
    return y + p["bias"].reshape(-1, *[1] * len(stride)) if "bias" in p else y


def max_pool(a, p, x):
    kernel, stride, padding, dilation = ((n, n, *per) for n, per in zip((1, 1, 0, 1), windows(a, x.shape)))
    around = [(n, n) for n in padding]
    return lax.reduce_window(x, -jnp.inf, lax.max, kernel, stride, around, window_dilation=dilation)


def layer_norm(a, p, x):
    axes = tuple(range(-np.size(a["normalized_shape"]), 0))
    return nn.standardize(x, axes, epsilon=a["eps"]) * p.get("weight", 1) + p.get("bias", 0)


plain = {"Mul": jnp.multiply, "MatMul": jnp.matmul, "ReLU": nn.relu, "ReLU6": nn.relu6, "Sigmoid": nn.sigmoid}
plain |= {"Tanh": nn.tanh, "SiLU": nn.silu, "Mish": nn.mish, "LogSigmoid": nn.log_sigmoid, "SELU": nn.selu}
plain |= {"Softsign": nn.soft_sign, "Hardsigmoid": nn.hard_sigmoid, "Hardswish": nn.hard_silu}
functions = {
    "Linear": lambda a, p, x: x @ p["weight"].T + p.get("bias", 0),
    "Bilinear": lambda a, p, x, y: jnp.einsum("...i,oij,...j->...o", x, p["weight"], y) + p.get("bias", 0),
    "Embedding": lambda a, p, index: jnp.take(p["weight"], index, axis=0),
    "LeakyReLU": lambda a, p, x: nn.leaky_relu(x, a["negative_slope"]),
    "ELU": lambda a, p, x: nn.elu(x, a["alpha"]),
    "CELU": lambda a, p, x: nn.celu(x, a["alpha"]),
    "GELU": lambda a, p, x: nn.gelu(x, approximate=a["approximate"] == "tanh"),
    "GLU": lambda a, p, x: nn.glu(x, a["dim"]),
    "Softmax": lambda a, p, x: nn.softmax(x, a["dim"]),
    "LogSoftmax": lambda a, p, x: nn.log_softmax(x, a["dim"]),
    "LayerNorm": layer_norm,
    "Cat": lambda a, p, *xs: jnp.concatenate(xs, a["dim"]),
}
functions |= {f"{op}{n}d": f for n in (1, 2, 3) for op, f in (("Conv", convolution), ("MaxPool", max_pool))}
batch = {f"{op}{n}d": lambda a, x, n=n: len(x) == n + 2 for op in ("Conv", "MaxPool") for n in (1, 2, 3)}
only = {"padding_mode": ["zeros"], "ceil_mode": [False], "return_indices": [False]}
only |= {"padding_idx": [None], "scale_grad_by_freq": [False]}
implementation = Table("jax", differentiate, plain, functions, only, batch)
