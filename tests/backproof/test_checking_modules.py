"""check_module: modules, autograd Functions and functions of tensors; what is handed over stays as it is."""

import copy
import inspect
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.autograd.function import once_differentiable

import backproof
from reports import Agreement, DisagreementError

torch.manual_seed(3)
X = torch.randn(6, 4)
DOUBLE = X.double()


def check(module: Any, *inputs: Any, **options: Any) -> Agreement:
    return backproof.check_module(module, *inputs, raise_exception=False, **options)


class Affine(torch.autograd.Function):
    """A linear layer by hand, whose gradient of the bias is divided by ``divisor``."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, divisor: int) -> Any:
        ctx.save_for_backward(x, weight)
        ctx.divisor = divisor
        return x @ weight.T + bias

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        x, weight = ctx.saved_tensors
        return grads[0] @ weight, grads[0].T @ x, grads[0].sum(0) / ctx.divisor, None


class Layer(nn.Module):
    """The same as a module, which counts its calls."""

    def __init__(self, divisor: int = 1) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(3))
        self.divisor, self.calls = divisor, 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return Affine.apply(x, self.weight, self.bias, self.divisor)


class Square(torch.autograd.Function):
    """``k x^2``, whose slope is ``wrong`` times too large."""

    @staticmethod
    def forward(ctx: Any, x: Any, k: float, wrong: float) -> Any:
        ctx.save_for_backward(x)
        ctx.k, ctx.wrong = k, wrong
        return k * x * x

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (x,) = ctx.saved_tensors
        return ctx.wrong * 2 * ctx.k * grads[0] * x, None, None


class Parts(torch.autograd.Function):
    """Two outputs and an integer one; it cannot take an undefined gradient of the second if ``careless``."""

    @staticmethod
    def forward(ctx: Any, x: Any, careless: bool) -> Any:
        ctx.set_materialize_grads(False)
        ctx.careless = careless
        index = x.argmax(-1)
        ctx.mark_non_differentiable(index)
        return x * 2, x * 3, index

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        first, second, _ = grads
        if ctx.careless:
            return first * 2 + second * 3, None
        parts = [k * g for k, g in ((2, first), (3, second)) if g is not None]
        return (sum(parts) if parts else None), None


RIGHT: dict[str, tuple[Callable[[], Any], tuple[Any, ...]]] = {
    "Linear": (lambda: nn.Linear(4, 3), (X,)),
    "Sequential": (lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)), (X,)),
    "BatchNorm": (lambda: nn.BatchNorm1d(4), (X,)),
    "Dropout": (lambda: nn.Dropout(0.5), (X,)),
    "LSTM": (lambda: nn.LSTM(4, 2), (X[:2, None], (torch.randn(1, 1, 2), torch.randn(1, 1, 2)))),
    "Embedding": (lambda: nn.Embedding(5, 3), (torch.tensor([1, 1, 4]),)),
    "by hand": (Layer, (X,)),
}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", RIGHT)
def test_right_modules_agree(name: str, dtype: torch.dtype) -> None:
    made, inputs = RIGHT[name]

    def to(x: Any) -> Any:
        if isinstance(x, tuple):
            return tuple(map(to, x))
        return x.to(dtype) if x.is_floating_point() else x

    module = made().to(dtype)
    agreement = check(module, *map(to, inputs))
    assert agreement, agreement
    assert agreement.dtype == str(dtype).removeprefix("torch.")
    parameters = {t.name for t in agreement.tensors if t.kind == "parameter"}
    assert parameters == {parameter for parameter, _ in module.named_parameters()}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_a_wrong_parameter_is_named(dtype: torch.dtype) -> None:
    agreement = check(Layer(len(X)).to(dtype), X.to(dtype))
    assert [t.name for t in agreement.disagreements] == ["bias"]
    assert agreement.op == "Layer"
    assert "gradient of bias is" in str(agreement)
    if dtype != torch.bfloat16:
        assert "1/6 of the reference: a mean over axis 0 of input x" in str(agreement)


@pytest.mark.parametrize(("wrong", "dtype"), [(1.001, torch.float64), (1.0001, torch.float32), (-1.0, torch.bfloat16)])
def test_a_wrong_function_is_caught(wrong: float, dtype: torch.dtype) -> None:
    assert check(Square, X.to(dtype), 3.0, 1.0)
    agreement = check(Square, X.to(dtype), 3.0, wrong)
    assert not agreement
    assert ("has the wrong sign" if wrong < 0 else f"is {wrong} times the reference") in str(agreement)
    with pytest.raises(DisagreementError, match="Square"):
        backproof.check_module(Square, X.to(dtype), 3.0, wrong)


def test_the_module_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.3), Layer(2))
    module(X).sum().backward()
    state = copy.deepcopy(module.state_dict())
    gradients = [None if p.grad is None else p.grad.clone() for p in module.parameters()]
    versions = [p._version for p in module.parameters()]
    layer: Any = module[2]
    calls, x = layer.calls, X.clone().requires_grad_()
    generators = torch.get_rng_state(), random.getstate()
    for options in ({}, {"check_forward_ad": True, "check_batched_grad": True}, {"second_order": True}):
        check(module, x, **options)
    assert all(torch.equal(a, b) for a, b in zip(state.values(), module.state_dict().values()))
    assert all(a is not None and torch.equal(a, b) for a, b in zip((p.grad for p in module.parameters()), gradients))
    assert [p._version for p in module.parameters()] == versions
    assert torch.equal(generators[0], torch.get_rng_state())
    assert generators[1] == random.getstate()
    assert (layer.calls, module.training, x.grad) == (calls, True, None)
    assert torch.equal(x.detach(), X)


def test_nested_and_several_outputs_and_constants() -> None:
    def function(given: Any, k: int, words: str) -> Any:
        return {"a": given["x"] * k, "b": [given["y"].sum(), words, given["y"].argmax(), None]}

    agreement = check(function, {"x": DOUBLE, "y": DOUBLE + 1}, 3, "words")
    assert agreement, agreement
    assert {t.name for t in agreement.tensors if t.kind == "input"} == {"given['x']", "given['y']"}
    assert check(Parts, DOUBLE, False)


def test_only_what_requires_a_gradient_is_checked_if_anything_does() -> None:
    a, b = DOUBLE.clone().requires_grad_(), DOUBLE.clone()
    agreement = check(lambda a, b: a * b.detach(), a, b)
    assert agreement
    assert [t.name for t in agreement.tensors if t.kind == "input"] == ["a"]
    assert not check(lambda a, b: a * b.detach(), b, b + 1)


def test_undefined_gradients() -> None:
    careless = check(Parts, DOUBLE, True)
    assert not careless
    assert "backward fails on an undefined gradient (None) of output" in str(careless)
    assert check(Parts, DOUBLE, True, check_undefined_grad=False)


def test_forward_mode_and_vmap() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.Tanh()).double()
    modes = {"check_forward_ad": True, "check_batched_grad": True, "check_batched_forward_grad": True}
    agreement = check(module, DOUBLE, **modes)
    assert agreement, agreement
    assert any(t.against == "differences, forward mode" for t in agreement.tensors)

    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return grads[0] * 2

        @staticmethod
        def jvp(ctx: Any, *tangents: Any) -> Any:
            return tangents[0] * 2.001

    assert check(Wrong, DOUBLE)
    wrong = check(Wrong, DOUBLE, check_forward_ad=True)
    assert not wrong
    assert {t.against for t in wrong.disagreements} == {"differences, forward mode"}
    assert not check(Wrong, DOUBLE, check_forward_ad=True, check_backward_ad=False)
    refused = check(Affine, DOUBLE, torch.randn(3, 4).double(), torch.randn(3).double(), 1, check_forward_ad=True)
    assert "forward mode fails: NotImplementedError" in str(refused)


def test_second_order() -> None:
    assert check(nn.Sequential(nn.Linear(4, 3), nn.Tanh()).double(), DOUBLE, second_order=True)
    assert check(Square, DOUBLE, 3.0, 1.0, second_order=True)
    once = check(Layer().double(), DOUBLE, second_order=True)
    assert not once
    assert "cannot be differentiated again (once_differentiable?)" in str(once)

    class Second(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 3 * grads[0] * x * x.detach()

    assert check(Second, DOUBLE)
    wrong = check(Second, DOUBLE, second_order=True)
    assert not wrong
    assert wrong.disagreements[0].label == "Second: second derivative of input x"


def test_nondeterminism_is_told_with_its_size() -> None:
    generator = torch.Generator()

    def noisy(x: Any) -> Any:
        return x + 0.01 * torch.rand(x.shape, generator=generator)

    assert "forward is not deterministic: run again on the same numbers, it differs by 0.0" in str(check(noisy, X))
    told = check(noisy, X, nondet_tol=1.0)
    assert "not deterministic" not in str(told)


def test_complex_tensors() -> None:
    z = torch.randn(3, dtype=torch.complex128)
    assert check(lambda z: z * z.conj(), z)
    assert check(torch.abs, z.to(torch.complex64))

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            a, b = ctx.saved_tensors
            return grads[0] * b, grads[0] * a.conj()

    wrong = check(Product, z, z.flip(0))
    assert [t.name for t in wrong.disagreements] == ["a"]
    assert "takes the derivative where its conjugate belongs" in str(wrong)


def test_a_finding_is_no_traceback_of_ours() -> None:
    assert "forward raises RuntimeError: mat1 and mat2 shapes cannot be multiplied" in str(check(lambda x: x @ x, X))
    assert "test_checking_modules.py, line" in str(check(lambda x: x @ x, X))
    assert "forward returns NoneType, wanted a tensor, or several" in str(check(lambda x: None, X))
    assert "gradient of x is missing" in str(check(lambda x: x.detach() * 2, X))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: check(nn.ReLU(), torch.tensor([1])), "no floating or complex tensor that could be differentiated"),
        (lambda: check(3, X), "module: is int 3, wanted a module, an autograd.Function or a function"),
        (lambda: check(torch.relu, X.to_sparse()), "input 0: is sparse"),
        (lambda: check(nn.LazyLinear(3), X), "parameter weight: is not initialized yet"),
        (lambda: check(nn.ReLU(), X, check_backward_ad=False), "neither is wanted"),
        (lambda: check(nn.ReLU(), X, seed=-1), "seed: is -1"),
    ],
)
def test_wrong_use_is_told_in_one_sentence(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_every_argument_of_gradcheck_is_taken() -> None:
    theirs = inspect.signature(torch.autograd.gradcheck).parameters
    ours = inspect.signature(backproof.check_module).parameters
    wanted = {name for name, p in theirs.items() if p.kind is p.KEYWORD_ONLY}
    assert wanted == wanted & set(ours)
    defaults = {name: theirs[name].default for name in wanted}
    assert check(
        torch.tanh, (DOUBLE.clone().requires_grad_(),), **{n: d for n, d in defaults.items() if n[:5] != "raise"}
    )


FUNCTIONS: dict[str, tuple[Callable[[Any], Any], bool, bool, bool]] = {
    # right or wrong; what gradcheck says in slow mode and in fast mode
    "tanh": (torch.tanh, True, True, True),
    "a factor of 1.0005": (lambda x: Square.apply(x, 3.0, 1.0005), False, True, True),
    "a wrong sign of 1e-6": (lambda x: Square.apply(x, 1e-6, -1.0), False, True, True),
    "a factor of 2": (lambda x: Square.apply(x, 3.0, 2.0), False, False, False),
    "ReLU at 0": (lambda x: torch.relu(x - x.detach()), True, False, False),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_beside_gradcheck(name: str) -> None:
    function, right, slow, fast = FUNCTIONS[name]
    x = DOUBLE[:2].clone().requires_grad_()
    if name == "ReLU at 0":
        function, x = torch.relu, torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64, requires_grad=True)
    assert bool(check(function, x)) == right
    for fast_mode, said in ((False, slow), (True, fast)):
        assert torch.autograd.gradcheck(function, x, raise_exception=False, fast_mode=fast_mode) == said


class Counting(nn.Module):
    """A layer that counts its runs, with a gradient that may be wrong, and something that vmap may refuse."""

    runs = 0

    def __init__(self, wrong: float = 1.0, refused: bool = False, draws: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 12).reshape(3, 4).double())
        self.wrong, self.refused, self.draws = wrong, refused, draws

    def forward(self, x: Any) -> Any:
        Counting.runs += 1
        if self.refused:
            assert float(x.detach().sum()) < 1e9
        scale = torch.rand(()) if self.draws else 1.0
        weight = self.weight + (1 - self.wrong) * (self.weight.detach() - self.weight)
        return torch.tanh(x @ weight.T) * scale


def runs_of(module: Counting) -> tuple[int, Agreement]:
    Counting.runs = 0
    agreement = check(module, DOUBLE)
    return Counting.runs, agreement


@pytest.mark.parametrize("wrong", [1.0, 1.001])
def test_a_module_that_vmap_takes_runs_seldom_and_is_judged_alike(wrong: float) -> None:
    together, agreement = runs_of(Counting(wrong))
    alone, slowly = runs_of(Counting(wrong, refused=True))
    assert agreement.agrees == slowly.agrees == (wrong == 1.0)
    assert agreement.diagnosis == slowly.diagnosis
    assert [t.verdict for t in agreement.tensors] == [t.verdict for t in slowly.tensors]
    assert together < alone / (3 if wrong == 1.0 else 1)


def test_a_module_that_draws_is_judged_one_by_one() -> None:
    assert check(Counting(draws=True), DOUBLE)
    assert not check(Counting(1.001, draws=True), DOUBLE)


def test_a_rule_for_vmap_that_is_wrong_convicts_nobody_and_excuses_nobody() -> None:
    class Lying(torch.autograd.Function):
        @staticmethod
        def forward(x: Any, factor: float) -> Any:
            return torch.sin(x)

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(inputs[0])
            ctx.factor = inputs[1]

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return ctx.factor * grads[0] * torch.cos(ctx.saved_tensors[0]), None

        @staticmethod
        def vmap(info: Any, in_dims: Any, x: Any, factor: float) -> Any:
            return factor * torch.sin(x), 0

    class Module(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, x: Any) -> Any:
            return Lying.apply(x, self.factor)

    assert check(Module(1.0), DOUBLE)
    assert not check(Module(1.001), DOUBLE)
