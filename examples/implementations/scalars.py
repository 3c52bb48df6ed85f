"""A scalar engine in the style of micrograd under test: NumPy arranges its numbers, and it differentiates every one.

In a clone: ``backproof verify --implementation examples.implementations.scalars:implementation``
"""

import numpy as np

from examples.implementations.scalar_engine import Value
from examples.implementations.table import Table


def differentiate(function, arrays):
    numbers = [np.vectorize(Value, otypes=[object])(array) for array in arrays]
    output = np.asarray(function(*numbers))

    def backward(gradient):
        np.sum(output * gradient).backward()
        return [read(number, "grad", array) for number, array in zip(numbers, arrays)]

    return read(output, "data", arrays[0]), backward


def read(numbers, what, like):
    """Gather one attribute of an array of numbers into an array of the dtype of another."""
    return np.array([getattr(number, what) for number in numbers.ravel()], like.dtype).reshape(numbers.shape)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, dim):
    powers = np.exp(x)
    return powers / powers.sum(dim, keepdims=True)


def few(a, *shapes):
    """Whether there are so few numbers that one at a time is fast enough."""
    return sum(map(np.prod, shapes)) <= 12


relu = np.vectorize(Value.relu, otypes=[object])
plain = {"Add": lambda *xs: sum(xs), "Mul": np.multiply, "MatMul": np.matmul}
plain |= {"Tanh": np.tanh, "ReLU": relu, "Sigmoid": sigmoid, "Softsign": lambda x: x / (relu(x) + relu(-x) + 1)}
functions = {
    "Linear": lambda a, p, x: x @ p["weight"].T + p.get("bias", 0),
    "Softmax": lambda a, p, x: softmax(x, a["dim"]),
    "MSELoss": lambda a, p, x, y: ((x - y) ** 2).sum() * (1 / x.size if a["reduction"] == "mean" else 1),
}
only = {"reduction": ["mean", "sum"]}
implementation = Table("scalars", differentiate, plain, functions, only, dict.fromkeys([*plain, *functions], few))
