"""A network typed by hand under test, as in a beginner's article, that runs whole: its composition is verified, too.

In a clone: ``backproof verify --implementation examples.implementations.by_hand:Network``
"""

import numpy as np

from reference import Run, Tensor


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


class Network:
    name = "by hand"

    def supports(self, node):
        return node.op in ("Linear", "Sigmoid", "MSELoss") and node.all_arguments.get("reduction", "mean") == "mean"

    def takes(self, node, shapes):
        return len(shapes[0]) == 2  # samples in rows

    def forward(self, layers, W, b, a):
        for layer in layers:
            x = a[layer.inputs[0]]
            if layer.op == "Linear":
                a[layer.name] = x @ W[layer.owner].T + b[layer.owner]
            elif layer.op == "Sigmoid":
                a[layer.name] = sigmoid(x)
            else:
                a[layer.name] = np.mean((x - a[layer.inputs[1]]) ** 2)

    def backward(self, layers, W, a, da, dW, db):
        for layer in reversed(layers):
            x, y, dy = a[layer.inputs[0]], a[layer.name], da[layer.name]
            if layer.op == "Linear":
                dW[layer.owner] += dy.T @ x
                db[layer.owner] += dy.sum(axis=0)
                da[layer.inputs[0]] += dy @ W[layer.owner]
            elif layer.op == "Sigmoid":
                da[layer.inputs[0]] += dy * y * (1 - y)
            else:
                da[layer.inputs[0]] += dy * 2 * (x - a[layer.inputs[1]]) / x.size
                da[layer.inputs[1]] -= dy * 2 * (x - a[layer.inputs[1]]) / x.size

    def run(self, architecture, values):
        W = {name: own["weight"] for name, own in values.parameters.items() if own}
        b = {name: own.get("bias", np.zeros(len(own["weight"]))) for name, own in values.parameters.items() if own}
        a = dict(values.inputs)
        self.forward(architecture.nodes, W, b, a)
        da, dW, db = ({name: np.zeros_like(x) for name, x in start.items()} for start in (a, W, b))
        for name in architecture.outputs:
            da[name] = da[name] + values.cotangents[name]
        self.backward(architecture.nodes, W, a, da, dW, db)
        found = {("output", name, "0"): np.asarray(a[name]) for name in architecture.outputs}
        found |= {("input", name, "0"): da[name] for name in values.inputs}
        found |= {("parameter", name, "weight"): dW[name] for name in W}
        found |= {("parameter", name, "bias"): db[name] for name, own in values.parameters.items() if "bias" in own}
        return Run({Tensor(*name): array for name, array in found.items()})
