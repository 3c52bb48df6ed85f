"""An implementation made of tables of functions and of somebody who differentiates them: what four adapters share.

``Table(name, differentiate, plain, functions, only, shapes)`` is all of backproof's contract:

- ``differentiate(function, arrays)`` returns ``function(*arrays)`` and ``backward(gradient)``, one gradient per array,
- ``plain[op](*inputs)`` computes an op of torch.nn that has neither arguments nor parameters,
- ``functions[op](arguments, parameters, *inputs)`` one that has, from the arguments of its constructor,
- ``only[argument]`` lists the values of an argument that the library can express,
- ``shapes[op](arguments, *shapes)`` says whether it takes inputs of these shapes.
"""


class Table:
    def __init__(self, name, differentiate, plain, functions, only, shapes):
        self.name, self.differentiate, self.only, self.shapes = name, differentiate, only, shapes
        self.functions = functions | {op: lambda a, p, *xs, f=f: f(*xs) for op, f in plain.items()}

    def supports(self, node):
        a = node.all_arguments
        expressed = all(value in self.only.get(name, [value]) for name, value in a.items())
        named = a.get("dim", 0) is not None and a.get("padding") not in ("same", "valid")  # these are torch's to guess
        return node.op in self.functions and expressed and named

    def takes(self, node, shapes):
        return node.op not in self.shapes or self.shapes[node.op](node.all_arguments, *shapes)

    def forward(self, node, parameters, inputs, *, training, noise):
        real = [i for i, x in enumerate(inputs) if x.dtype.kind == "f"]  # the others are indices, without a gradient

        def function(*arrays):
            own, given = dict(zip(parameters, arrays)), list(inputs)
            for i, x in zip(real, arrays[len(parameters) :]):
                given[i] = x
            return self.functions[node.op](node.all_arguments, own, *given)

        output, differentiated = self.differentiate(function, [*parameters.values(), *(inputs[i] for i in real)])

        def backward(grad_outputs):
            gradients = differentiated(grad_outputs[0])
            grad_inputs = [None] * len(inputs)
            for i, gradient in zip(real, gradients[len(parameters) :]):
                grad_inputs[i] = gradient
            return grad_inputs, dict(zip(parameters, gradients))

        return (output,), backward


def windows(a, shape):
    """Kernel, stride, padding and dilation of a convolution or pooling of (N, C, ...), each with a number per axis."""
    given = (a["kernel_size"] if a["stride"] is None else a["stride"], a["padding"], a.get("dilation", 1))
    return [tuple(n) if isinstance(n, list) else (n,) * (len(shape) - 2) for n in (a["kernel_size"], *given)]


def padded(a, shape):
    return windows(a, shape)[2:] != [(0,) * (len(shape) - 2), (1,) * (len(shape) - 2)]


def exactly(a, shape):
    return not any((n + 2 * p - d * (k - 1) - 1) % s for n, k, s, p, d in zip(shape[2:], *windows(a, shape)))
