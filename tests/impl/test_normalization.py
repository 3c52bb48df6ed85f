"""Normalisations: what the catalogue's properties cannot see."""

import numpy as np
import pytest
import torch

import impl


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (impl.BatchNorm1d(3), (3,), r"BatchNorm1d: .* input is \(3,\), wanted \(N, 3\) or \(N, 3, \*\)"),
        (impl.BatchNorm1d(3), (2, 4), r"BatchNorm1d: .* input is \(2, 4\), wanted \(N, 3\)"),
        (impl.BatchNorm2d(3), (2, 3, 4), r"BatchNorm2d: .* input is \(2, 3, 4\), wanted \(N, 3, \*, \*\)"),
        (impl.BatchNorm1d(3), (1, 3), r"input is \(1, 3\), wanted at least 2 values per channel"),
        (
            impl.BatchNorm2d(3, track_running_stats=False),
            (1, 3, 1, 1),
            "wanted at least 2 values per channel",
        ),
        (impl.LayerNorm((3, 4)), (3, 5), r"LayerNorm: .* input is \(3, 5\), wanted \(\*, 3, 4\)"),
        (impl.LayerNorm((3, 4)), (4,), r"LayerNorm: .* input is \(4,\), wanted \(\*, 3, 4\)"),
        (impl.RMSNorm((3, 4)), (3, 5), r"RMSNorm: .* input is \(3, 5\), wanted \(\*, 3, 4\)"),
        (impl.BatchNorm3d(3), (2, 3, 4, 5), r"BatchNorm3d: .* wanted \(N, 3, \*, \*, \*\)"),
        (impl.InstanceNorm1d(3, affine=True), (2, 4, 5), r"InstanceNorm1d: .* wanted \(N, 3, \*\) or \(3, \*\)"),
        (impl.InstanceNorm2d(3), (2, 3), r"InstanceNorm2d: .* wanted \(N, \*, \*, \*\) or \(\*, \*, \*\)"),
        (impl.InstanceNorm1d(3), (2, 3, 1), r"InstanceNorm1d: .* wanted at least 2 values per channel"),
        (impl.InstanceNorm1d(3, affine=True), (0, 3, 2), r"InstanceNorm1d: .* wanted at least one sample"),
        (impl.GroupNorm(2, 4), (2, 6), r"GroupNorm: .* input is \(2, 6\), wanted \(N, 4, \*\)"),
        (impl.GroupNorm(2, 4), (4,), r"GroupNorm: .* input is \(4,\), wanted \(N, 4, \*\)"),
        (impl.GroupNorm(2, 4, affine=False), (2, 5), r"GroupNorm: .* wanted \(N, a multiple of num_groups \(2\), \*\)"),
        (impl.GroupNorm(4, 4), (1, 4, 1), "GroupNorm: .* wanted at least 2 values per group, or 2 samples"),
        (impl.LocalResponseNorm(2), (2, 3), r"LocalResponseNorm: .* input is \(2, 3\), wanted \(N, C, \*, ...\)"),
        (
            impl.CrossMapLRN2d(2),
            (2, 3, 4),
            r"CrossMapLRN2d: its input has shape \(2, 3, 4\), wanted \(\*, \*, \*, \*\)",
        ),
    ],
)
def test_a_wrong_input_is_named(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.forward(layer.initial(np.random.default_rng(0)), np.zeros(shape))


@pytest.mark.parametrize("name", ["weight", "bias", "running_mean", "running_var"])
def test_a_parameter_that_would_broadcast_is_refused(name):
    layer = impl.BatchNorm1d(3)
    arrays = layer.initial(np.random.default_rng(0)) | {name: np.ones(1)}
    with pytest.raises(ValueError, match=rf"BatchNorm1d: {name} has shape \(1,\), wanted \(3\)"):
        layer.forward(arrays, np.arange(6.0).reshape(2, 3))


def test_one_value_per_channel_needs_statistics_only_in_training():
    layer = impl.BatchNorm1d(2, eps=0.0)
    step = layer.forward(layer.initial(np.random.default_rng(0)), np.array([[3.0, -1.0]]), training=False)
    np.testing.assert_array_equal(step.output, [[3.0, -1.0]])
    assert not step.updates


def test_layer_norm_needs_an_axis():
    with pytest.raises(ValueError, match=r"LayerNorm: normalized_shape is \(\), wanted at least one axis"):
        impl.LayerNorm(())


def test_bias_of_batch_norm_is_keyword_only_as_in_torch():
    with pytest.raises(TypeError):
        impl.BatchNorm1d(3, 1e-5, 0.1, True, True, False)


@pytest.mark.parametrize("arguments", [{}, {"affine": False}, {"bias": False}, {"track_running_stats": False}])
def test_batch_norm_starts_with_torchs_values(arguments):
    ours = impl.BatchNorm2d(3, **arguments).initial(np.random.default_rng(0), np.float32)
    theirs = torch.nn.BatchNorm2d(3, **arguments).state_dict()
    assert list(ours) == list(theirs)
    for name, array in ours.items():
        assert array.dtype == theirs[name].numpy().dtype
        np.testing.assert_array_equal(array, theirs[name].numpy())


@pytest.mark.parametrize("normalized_shape", [4, [4], (3, 4)])
def test_layer_norm_starts_with_torchs_values(normalized_shape):
    ours = impl.LayerNorm(normalized_shape).initial(np.random.default_rng(0))
    theirs = torch.nn.LayerNorm(normalized_shape).state_dict()
    assert list(ours) == list(theirs)
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name].numpy())


@pytest.mark.parametrize("momentum", [0.1, None, 1.0])
def test_running_statistics_follow_torch_over_several_batches(momentum):
    layer, twin = impl.BatchNorm1d(3, momentum=momentum), torch.nn.BatchNorm1d(3, momentum=momentum).double()
    rng = np.random.default_rng(0)
    arrays = layer.initial(rng)
    for _ in range(4):
        x = rng.standard_normal((5, 3, 2)) * 3 + 1
        before = {name: array.copy() for name, array in arrays.items()}
        step = layer.forward(arrays, x)
        for name, array in before.items():
            np.testing.assert_array_equal(arrays[name], array)
        arrays |= step.updates
        twin(torch.tensor(x))
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        np.testing.assert_allclose(arrays[name], twin.state_dict()[name].numpy(), rtol=1e-14)
    assert arrays["num_batches_tracked"].dtype == np.int64
    x = rng.standard_normal((1, 3))
    expected = twin.eval()(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(layer.forward(arrays, x, training=False).output, expected, rtol=1e-13)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: impl.RMSNorm([]), r"RMSNorm: normalized_shape is \[\], wanted at least one axis"),
        (lambda: impl.GroupNorm(3, 4), r"GroupNorm: num_groups is 3, wanted a divisor of num_channels \(4\)"),
        (lambda: impl.GroupNorm(0, 4), r"GroupNorm: num_groups is 0, wanted a divisor"),
        (lambda: impl.LocalResponseNorm(0), "LocalResponseNorm: size is 0, wanted at least 1"),
        (lambda: impl.CrossMapLRN2d(-1), "CrossMapLRN2d: size is -1, wanted at least 1"),
    ],
)
def test_a_wrong_argument_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("op", "sizes", "arguments"),
    [
        ("GroupNorm", (2, 4), {}),
        ("GroupNorm", (2, 4), {"bias": False}),
        ("RMSNorm", ((3, 4),), {}),
        ("InstanceNorm2d", (3,), {}),
        ("InstanceNorm2d", (3,), {"affine": True, "track_running_stats": True}),
        ("BatchNorm3d", (3,), {}),
    ],
)
def test_others_start_with_torchs_values(op, sizes, arguments):
    ours = getattr(impl, op)(*sizes, **arguments).initial(np.random.default_rng(0), np.float32)
    theirs = getattr(torch.nn, op)(*sizes, **arguments).state_dict()
    assert list(ours) == list(theirs)
    for name, array in ours.items():
        assert array.dtype == theirs[name].numpy().dtype
        np.testing.assert_array_equal(array, theirs[name].numpy())


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("shape", [(3, 4), (5, 3, 4)])
def test_running_statistics_of_instances_follow_torch(momentum, shape):
    arguments = {"momentum": momentum, "track_running_stats": True}
    layer, twin = impl.InstanceNorm1d(3, **arguments), torch.nn.InstanceNorm1d(3, **arguments).double()
    rng = np.random.default_rng(0)
    arrays = layer.initial(rng)
    for _ in range(3):
        x = rng.standard_normal(shape) * 3 + 1
        arrays |= layer.forward(arrays, x).updates
        twin(torch.tensor(x))
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        np.testing.assert_allclose(arrays[name], twin.state_dict()[name].numpy(), rtol=1e-14)


def test_channels_without_parameters_may_be_any_number_of_instances():
    x = np.random.default_rng(0).standard_normal((2, 5, 4))
    with pytest.warns(UserWarning, match="does not match num_features"):
        expected = torch.nn.InstanceNorm1d(3)(torch.tensor(x)).numpy()
    np.testing.assert_allclose(impl.InstanceNorm1d(3).forward({}, x).output, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (impl.BatchNorm1d(3), (0, 3)),
        (impl.BatchNorm2d(3), (2, 3, 0, 4)),
        (impl.InstanceNorm1d(3, affine=True, track_running_stats=True), (2, 3, 0)),
        (impl.GroupNorm(2, 4), (0, 4, 2)),
        (impl.GroupNorm(2, 4), (2, 4, 0)),
        (impl.LayerNorm(4), (0, 4)),
        (impl.RMSNorm(4), (0, 4)),
        (impl.LocalResponseNorm(3), (0, 4, 2)),
        (impl.CrossMapLRN2d(3), (2, 3, 0, 2)),
    ],
)
def test_nothing_passes_and_moves_no_statistics(layer, shape):
    step = layer.forward(layer.initial(np.random.default_rng(0)), np.zeros(shape))
    gradients = step.backward(np.zeros(shape))
    assert step.output.shape == gradients.inputs[0].shape == shape
    assert not any(g.any() for g in gradients.parameters.values())
    assert not {"running_mean", "running_var"} & set(step.updates)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_without_eps_rms_norm_takes_that_of_the_dtype(dtype):
    x = torch.zeros(3, dtype=dtype, requires_grad=True)
    torch.nn.functional.rms_norm(x, (3,)).backward(torch.ones(3, dtype=dtype))
    step = impl.RMSNorm(3, elementwise_affine=False).forward({}, x.detach().numpy())
    np.testing.assert_allclose(step.backward(np.ones(3, x.detach().numpy().dtype)).inputs[0], x.grad.numpy(), rtol=1e-3)


def test_complex_gradients_of_rms_norm_follow_torchs_convention():
    rng = np.random.default_rng(0)
    x, weight, g = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape) for shape in ((2, 3), (3,), (2, 3)))
    leaves = [torch.tensor(array, requires_grad=True) for array in (x, weight)]
    torch.nn.functional.rms_norm(leaves[0], (3,), leaves[1], 1e-5).backward(torch.tensor(g))
    gradients = impl.RMSNorm(3, eps=1e-5).forward({"weight": weight}, x).backward(g)
    for got, leaf in zip((gradients.inputs[0], gradients.parameters["weight"]), leaves):
        np.testing.assert_allclose(got, leaf.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 9])
def test_local_response_norm_takes_more_channels_before_than_after(size):
    x = np.arange(1.0, 6).reshape(1, 5, 1)
    y = impl.LocalResponseNorm(size, alpha=float(size), beta=1.0, k=0.0).forward({}, x).output
    for c in range(5):
        window = x[0, max(0, c - size // 2) : c + (size - 1) // 2 + 1, 0]
        assert x[0, c, 0] / y[0, c, 0] == pytest.approx((window**2).sum())


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_cross_map_norm_computes_what_torch_computes(size, channels):
    x = np.random.default_rng(0).standard_normal((2, channels, 2, 1))
    layer, twin = (package.CrossMapLRN2d(size, alpha=1.5, beta=0.5, k=2) for package in (impl, torch.nn))
    np.testing.assert_allclose(layer.forward({}, x).output, twin(torch.tensor(x)).numpy(), rtol=1e-13)


def test_the_gradient_of_cross_map_norm_is_the_derivative_where_torchs_is_not():
    layer, x = impl.CrossMapLRN2d(3, alpha=3.0, beta=1.0), np.array([1.0, 2.0, -3.0, 0.5]).reshape(1, 4, 1, 1)
    g = np.array([1.0, -2.0, 3.0, 4.0]).reshape(x.shape)
    slopes = [
        (layer.forward({}, x + 1e-20j * unit.reshape(x.shape)).output * g).sum().imag * 1e20 for unit in np.eye(4)
    ]
    np.testing.assert_allclose(layer.forward({}, x).backward(g).inputs[0].ravel(), slopes, rtol=1e-13)
    leaf = torch.tensor(x, requires_grad=True)
    torch.nn.CrossMapLRN2d(3, alpha=3.0, beta=1.0)(leaf).backward(torch.tensor(g))
    assert not np.allclose(leaf.grad.numpy().ravel(), slopes, rtol=0.1)


@pytest.mark.parametrize("op", ["LocalResponseNorm", "CrossMapLRN2d"])
def test_nothing_over_nothing_is_nan_as_in_torch(op):
    layer, twin = (getattr(package, op)(2, alpha=1.0, k=0.0) for package in (impl, torch.nn))
    x = np.zeros((1, 1, 1, 2))
    step, leaf = layer.forward({}, x), torch.tensor(x, requires_grad=True)
    expected = twin(leaf)
    expected.sum().backward()
    np.testing.assert_array_equal(step.output, expected.detach().numpy())
    np.testing.assert_array_equal(step.backward(np.ones(x.shape)).inputs[0], leaf.grad.numpy())
