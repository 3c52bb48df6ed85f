"""A scalar engine in the style of micrograd: a number that remembers what it was made of, and how to go back."""

import numpy as np


class Value:
    """One number of an expression; ``grad`` is the derivative of whatever :meth:`backward` was called on."""

    def __init__(self, data, children=()):
        self.data, self.grad, self.children = data, 0.0, children
        self.pull = lambda: None

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data + other.data, (self, other))

        def pull():
            self.grad += out.grad
            other.grad += out.grad

        out.pull = pull
        return out

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        out = Value(self.data * other.data, (self, other))

        def pull():
            self.grad += other.data * out.grad
            other.grad += self.data * out.grad

        out.pull = pull
        return out

    def curve(self, data, slope):
        """A function of this number alone, of known value and slope."""
        out = Value(data, (self,))

        def pull():
            self.grad += slope * out.grad

        out.pull = pull
        return out

    def __pow__(self, power):
        return self.curve(self.data**power, power * self.data ** (power - 1))

    def exp(self):
        y = np.exp(self.data)
        return self.curve(y, y)

    def log(self):
        return self.curve(np.log(self.data), 1 / self.data)

    def tanh(self):
        y = np.tanh(self.data)
        return self.curve(y, 1 - y * y)

    def relu(self):
        return self.curve(self.data * (self.data > 0), self.data > 0)

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -other

    def __truediv__(self, other):
        return self * other**-1

    def __rtruediv__(self, other):
        return self**-1 * other

    __radd__, __rmul__ = __add__, __mul__

    def backward(self):
        """Go back through the expression, each number after all that were made of it."""
        order, seen = [], set()

        def visit(value):
            if value not in seen:
                seen.add(value)
                for child in value.children:
                    visit(child)
                order.append(value)

        visit(self)
        for value in order:
            value.grad = 0.0
        self.grad = 1.0
        for value in reversed(order):
            value.pull()
