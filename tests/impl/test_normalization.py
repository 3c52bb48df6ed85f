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
