"""Every error of impl, word for word: it names the layer, the argument, what came and what was wanted."""

import re
from collections.abc import Callable

import numpy as np
import pytest

import impl
from impl.layer import Array, Layer
from impl.layers.activation import _Elementwise
from impl.layers.recurrent import _Recurrent

FLAG, WORDS = np.zeros(1, bool), np.array(["a"])


def run(layer: Layer, *inputs: tuple[int, ...] | Array, changed: dict[str, Array] | None = None, **options: object):
    """Run a layer on zeros of these shapes (or on these arrays), some of its parameters changed."""
    parameters = layer.initial(np.random.default_rng(0)) | (changed or {})
    arrays = [x if isinstance(x, np.ndarray) else np.zeros(x) for x in inputs]
    return layer.forward(parameters, *arrays, **options)


ATTENTION = impl.MultiheadAttention(4, 2)

ARGUMENTS: list[tuple[Callable[[], object], str]] = [
    (lambda: impl.GELU("erf"), "GELU: approximate is 'erf', wanted 'none' or 'tanh'"),
    (lambda: impl.MultiheadAttention(0, 1), "MultiheadAttention: embed_dim is 0, wanted at least 1"),
    (lambda: impl.MultiheadAttention(4, 0), "MultiheadAttention: num_heads is 0, wanted at least 1"),
    (lambda: impl.MultiheadAttention(4, 3), "MultiheadAttention: num_heads is 3, wanted a divisor of embed_dim (4)"),
    (lambda: impl.MultiheadAttention(4, 2, -0.1), "MultiheadAttention: dropout is -0.1, wanted a probability, 0 to 1"),
    (lambda: impl.MultiheadAttention(4, 2, 1.1), "MultiheadAttention: dropout is 1.1, wanted a probability, 0 to 1"),
    (lambda: impl.Conv2d(1, 1, (2, 0)), "Conv2d: kernel_size is (2, 0), wanted 2 integers or a single one, at least 1"),
    (lambda: impl.Conv2d(1, 1, (2,)), "Conv2d: kernel_size is (2,), wanted 2 integers or a single one, at least 1"),
    (lambda: impl.Conv1d(1, 1, 1.5), "Conv1d: kernel_size is 1.5, wanted 1 integers or a single one, at least 1"),
    (lambda: impl.Conv1d(1, 1, 1, 0), "Conv1d: stride is 0, wanted 1 integers or a single one, at least 1"),
    (
        lambda: impl.Conv1d(1, 1, 1, dilation=0),
        "Conv1d: dilation is 0, wanted 1 integers or a single one, at least 1",
    ),
    (
        lambda: impl.Conv1d(1, 1, 1, padding=-1),
        "Conv1d: padding is -1, wanted 1 integers or a single one, at least 0",
    ),
    (
        lambda: impl.Conv1d(1, 1, 1, padding="full"),
        "Conv1d: padding is 'full', wanted integers, 'same' or 'valid'",
    ),
    (
        lambda: impl.Conv2d(1, 1, 1, (1, 2), "same"),
        "Conv2d: stride is (1, 2), wanted 1, because padding is 'same'",
    ),
    (lambda: impl.Conv1d(1, 1, 1, groups=0), "Conv1d: groups is 0, wanted at least 1"),
    (lambda: impl.Conv1d(0, 1, 1), "Conv1d: in_channels is 0, wanted a multiple of groups, 1"),
    (lambda: impl.Conv1d(3, 2, 1, groups=2), "Conv1d: in_channels is 3, wanted a multiple of groups, 2"),
    (lambda: impl.Conv1d(2, 3, 1, groups=2), "Conv1d: out_channels is 3, wanted a multiple of groups, 2"),
    (
        lambda: impl.Conv1d(1, 1, 1, padding_mode="mirror"),
        "Conv1d: padding_mode is 'mirror', wanted one of zeros, reflect, replicate, circular",
    ),
    (lambda: impl.Dropout(1.5), "Dropout: p is 1.5, wanted a probability, 0 to 1"),
    (lambda: impl.Embedding(3, 2, 3), "Embedding: padding_idx is 3, wanted None or an index of 3 rows"),
    (lambda: impl.Embedding(3, 2, -4), "Embedding: padding_idx is -4, wanted None or an index of 3 rows"),
    (
        lambda: impl.Embedding(3, 2, max_norm=1.0),
        "Embedding: max_norm is 1.0, wanted None: it would change the given weight in forward",
    ),
    (
        lambda: impl.Embedding(3, 2, scale_grad_by_freq=True, sparse=True),
        "Embedding: scale_grad_by_freq is True, wanted False, because sparse is True",
    ),
    (lambda: impl.Bilinear(0, 1, 1), "Bilinear: in1_features is 0, wanted at least 1"),
    (lambda: impl.MSELoss("max"), "MSELoss: reduction is 'max', wanted 'none', 'mean' or 'sum'"),
    (
        lambda: impl.CrossEntropyLoss(label_smoothing=1.5),
        "CrossEntropyLoss: label_smoothing is 1.5, wanted a number from 0 to 1",
    ),
    (lambda: impl.LayerNorm(()), "LayerNorm: normalized_shape is (), wanted at least one axis"),
    (
        lambda: impl.MaxPool2d(0),
        "MaxPool2d: kernel_size is 0, wanted 2 integers or a single one, at least 1",
    ),
    (
        lambda: impl.MaxPool2d(2, (1, 0)),
        "MaxPool2d: stride is (1, 0), wanted 2 integers or a single one, at least 1",
    ),
    (
        lambda: impl.AvgPool2d(2, padding=(0, -1)),
        "AvgPool2d: padding is (0, -1), wanted 2 integers or a single one, at least 0",
    ),
    (
        lambda: impl.MaxPool2d(2, dilation=0),
        "MaxPool2d: dilation is 0, wanted 2 integers or a single one, at least 1",
    ),
    (lambda: impl.AvgPool2d(3, padding=2), "AvgPool2d: padding is 2, wanted at most half of kernel_size 3"),
    (
        lambda: impl.AvgPool2d(2, divisor_override=0),
        "AvgPool2d: divisor_override is 0, wanted None or an integer other than 0",
    ),
    (lambda: impl.LSTM(0, 1), "LSTM: input_size is 0, wanted at least 1"),
    (lambda: impl.LSTM(1, 0), "LSTM: hidden_size is 0, wanted at least 1"),
    (lambda: impl.LSTM(1, 1, 0), "LSTM: num_layers is 0, wanted at least 1"),
    (lambda: impl.LSTM(1, 2, dropout=1.5), "LSTM: dropout is 1.5, wanted a probability, 0 to 1"),
    (lambda: impl.LSTM(1, 2, proj_size=2), "LSTM: proj_size is 2, wanted 0 to hidden_size - 1 (1)"),
]

INPUTS: list[tuple[Callable[[], object], str]] = [
    (lambda: run(impl.Softmax(2), (3, 4)), "Softmax: dim is 2, wanted an axis of its input (3, 4)"),
    (lambda: run(impl.LogSoftmax(-2), (3,)), "LogSoftmax: dim is -2, wanted an axis of its input (3,)"),
    (lambda: run(impl.LogSoftmax(1), ()), "LogSoftmax: dim is 1, wanted an axis of its input ()"),
    (
        lambda: run(ATTENTION, (4,), (4,), (4,)),
        "MultiheadAttention: the shape of query is (4,), wanted two axes, or three for a batch",
    ),
    (
        lambda: run(ATTENTION, (3, 2, 4), (3, 1, 4), (3, 2, 4)),
        "MultiheadAttention: key has shape (3, 1, 4), wanted (*, 2, 4)",
    ),
    (
        lambda: run(ATTENTION, (3, 4), (2, 4), (2, 4), is_causal=True),
        "MultiheadAttention: attn_mask is None, wanted the causal mask, because is_causal is True",
    ),
    (
        lambda: run(ATTENTION, (3, 4), (2, 4), (2, 4), attn_mask=FLAG),
        "MultiheadAttention: the shape of attn_mask is (1,), wanted (3, 2) or (2, 3, 2)",
    ),
    (
        lambda: run(ATTENTION, (3, 4), (1, 4), (1, 4), key_padding_mask=np.zeros((1, 1))),
        "MultiheadAttention: the shape of key_padding_mask is (1, 1), wanted (1,)",
    ),
    (
        lambda: run(ATTENTION, (3, 4), (1, 4), (1, 4), key_padding_mask=WORDS),
        "MultiheadAttention: the dtype of key_padding_mask is '<U1', wanted bool or a floating one",
    ),
    (
        lambda: run(impl.Conv2d(3, 1, 1), (2, 5, 5)),
        "Conv2d: the shape of its input is (2, 5, 5), wanted (N, 3, H, W) or (3, H, W)",
    ),
    (
        lambda: run(impl.Conv1d(1, 1, 3, dilation=2), (1, 4)),
        "Conv1d: the shape of its padded input is (1, 1, 4), wanted room for the dilated kernel",
    ),
    (
        lambda: run(impl.Conv1d(1, 1, 1, padding=3, padding_mode="reflect"), (1, 3)),
        "Conv1d: the spatial shape of its input is (3,), wanted axes that last for reflect padding by [(3, 3)]",
    ),
    (
        lambda: run(impl.Dropout(), (2,)),
        "Dropout: training draws noise: pass noise=numpy.random.default_rng()",
    ),
    (
        lambda: run(impl.LSTM(1, 1, 2, dropout=0.5), (2, 1)),
        "Dropout: training draws noise: pass noise=numpy.random.default_rng()",
    ),
    (
        lambda: run(impl.MultiheadAttention(4, 2, 0.5), (3, 4), (2, 4), (2, 4)),
        "Dropout: training draws noise: pass noise=numpy.random.default_rng()",
    ),
    (
        lambda: run(impl.Dropout(), (2,), noise=[]),
        "Dropout: noise has run out, wanted one more array of shape (2,)",
    ),
    (lambda: run(impl.Dropout(), (2,), noise=[np.zeros(3)]), "Dropout: noise has shape (3,), wanted (2)"),
    (lambda: run(impl.Embedding(3, 2), (2,)), "Embedding: the dtype of its input is 'float64', wanted an integer one"),
    (
        lambda: run(impl.Embedding(3, 2), np.array([3, -1])),
        "Embedding: the range of its input is (-1, 3), wanted 0 to 2",
    ),
    (lambda: run(impl.Linear(3, 2), (3, 2)), "Linear: the shape of its input is (3, 2), wanted (*, 3)"),
    (lambda: run(impl.Bilinear(3, 2, 1), (2,), (2,)), "Bilinear: its first input has shape (2,), wanted (3)"),
    (lambda: run(impl.Bilinear(3, 2, 1), (3,), (3,)), "Bilinear: its second input has shape (3,), wanted (2)"),
    (lambda: run(impl.Flatten(), (3,)), "Flatten: start_dim is 1, wanted an axis of its input (3,)"),
    (lambda: run(impl.Flatten(-1, 0), (3, 4)), "Flatten: start_dim is -1, wanted no axis behind end_dim 0"),
    (lambda: run(impl.MSELoss(), (3,), (1,)), "MSELoss: its target has shape (1,), wanted (3)"),
    (
        lambda: run(impl.CrossEntropyLoss(), (), ()),
        "CrossEntropyLoss: the shape of its input is (), wanted (C,), (N, C) or (N, C, d1, ...)",
    ),
    (lambda: run(impl.CrossEntropyLoss(), (2, 3), (2,)), "CrossEntropyLoss: its target has shape (2,), wanted (2, 3)"),
    (
        lambda: run(impl.CrossEntropyLoss(), (3, 2), np.array([0, -100, 2])),
        "CrossEntropyLoss: a class in its target is 2, wanted 0 to 1",
    ),
    (
        lambda: run(impl.CrossEntropyLoss(), (3, 2), np.array([0, -1, 2])),
        "CrossEntropyLoss: a class in its target is -1, wanted 0 to 1",
    ),
    (
        lambda: run(impl.CrossEntropyLoss(ignore_index=0), (2, 3), (2, 3)),
        "CrossEntropyLoss: ignore_index is 0, wanted negative for a target of probabilities",
    ),
    (
        lambda: run(impl.CrossEntropyLoss(np.ones(2)), (3,), (3,)),
        "CrossEntropyLoss: weight has shape (2,), wanted (3)",
    ),
    (lambda: run(impl.BCEWithLogitsLoss(), (3,), (1,)), "BCEWithLogitsLoss: its target has shape (1,), wanted (3)"),
    (
        lambda: run(impl.BCEWithLogitsLoss(pos_weight=np.ones(2)), (3,), (3,)),
        "BCEWithLogitsLoss: the shape of pos_weight is (2,), wanted one that broadcasts to (3,)",
    ),
    (
        lambda: run(impl.BatchNorm1d(3), (2, 2)),
        "BatchNorm1d: the shape of its input is (2, 2), wanted (N, 3) or (N, 3, *)",
    ),
    (
        lambda: run(impl.BatchNorm1d(3), (1, 3)),
        "BatchNorm1d: the shape of its input is (1, 3), wanted at least 2 values per channel to take statistics of",
    ),
    (
        lambda: run(impl.LayerNorm((3, 2)), (5, 2)),
        "LayerNorm: the shape of its input is (5, 2), wanted (*, 3, 2)",
    ),
    (
        lambda: run(impl.AvgPool2d(3), (1, 2, 5)),
        "AvgPool2d: the shape of its input is (1, 2, 5), wanted room for a window along each axis",
    ),
    (
        lambda: run(impl.MaxPool2d(2), (4, 4)),
        "MaxPool2d: the shape of its input is (4, 4), wanted (N, C, H, W) or (C, H, W)",
    ),
    (
        lambda: run(impl.MaxPool2d(2, 1, 1, 4), (1, 3, 3)),
        "MaxPool2d: dilation is 4, wanted one with which every window meets the input",
    ),
    (
        lambda: run(impl.LSTM(3, 2), (4, 2)),
        "LSTM: the shape of its input is (4, 2), wanted (T, N, 3) or (T, 3), T at least 1",
    ),
    (
        lambda: run(impl.LSTM(3, 2, batch_first=True), (4, 0, 3)),
        "LSTM: the shape of its input is (4, 0, 3), wanted (N, T, 3) or (T, 3), T at least 1",
    ),
    (lambda: run(impl.LSTM(3, 2), (4, 3), (1, 2)), "LSTM: the number of its first states is 1, wanted 0 or 2"),
    (lambda: run(impl.LSTM(3, 2), (4, 5, 3), (1, 1, 2), (1, 5, 2)), "LSTM: h_0 has shape (1, 1, 2), wanted (1, 5, 2)"),
    (
        lambda: run(impl.MatMul(), (2, 3), (2, 3)),
        "MatMul: the shapes of its inputs is ((2, 3), (2, 3)), wanted (*, N, K) and (*, K, M)",
    ),
    (
        lambda: run(impl.MatMul(), (3,), (3, 2)),
        "MatMul: the shapes of its inputs is ((3,), (3, 2)), wanted (*, N, K) and (*, K, M)",
    ),
    (
        lambda: run(impl.MatMul(), (2, 3), (3,)),
        "MatMul: the shapes of its inputs is ((2, 3), (3,)), wanted (*, N, K) and (*, K, M)",
    ),
    (lambda: run(impl.Chunk(0), (3,)), "Chunk: chunks is 0, wanted at least 1"),
    (lambda: run(impl.Reshape((4,)), (3,)), "Reshape: shape is (4,), wanted as many elements as its input (3,)"),
    (lambda: run(impl.Reshape((2,)), (4,)), "Reshape: shape is (2,), wanted as many elements as its input (4,)"),
    (lambda: run(impl.Reshape((2, -1)), (3,)), "Reshape: shape is (2, -1), wanted as many elements as its input (3,)"),
    (lambda: run(impl.Reshape((0, -1)), (3,)), "Reshape: shape is (0, -1), wanted as many elements as its input (3,)"),
]

LAYERS_WITH_PARAMETERS = [
    (impl.Linear(3, 2), [(3,)]),
    (impl.Bilinear(3, 4, 2), [(3,), (4,)]),
    (impl.Conv1d(3, 2, 2), [(3, 4)]),
    (impl.Embedding(3, 2), [np.array([0])]),
    (impl.BatchNorm1d(3), [(2, 3)]),
    (impl.LayerNorm(3), [(3,)]),
    (impl.LSTM(3, 2, proj_size=1), [(4, 3)]),
    (impl.MultiheadAttention(4, 2, add_bias_kv=True), [(3, 4)] * 3),
]


@pytest.mark.parametrize(("wrong", "message"), ARGUMENTS + INPUTS)
def test_an_error_says_what_came_and_what_was_wanted(wrong, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        wrong()


@pytest.mark.parametrize(("layer", "inputs"), LAYERS_WITH_PARAMETERS, ids=lambda x: type(x).__name__)
def test_a_parameter_of_another_shape_is_named(layer, inputs):
    for name, array in layer.initial(np.random.default_rng(0)).items():
        if array.ndim:
            got, wanted = (1, *array.shape), ", ".join(map(str, array.shape))
            message = f"{type(layer).__name__}: {name} has shape {got}, wanted ({wanted})"
            with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
                run(layer, *inputs, changed={name: array[None]})


def test_a_base_class_says_what_a_layer_must_define():
    class Bare(impl.Layer):
        pass

    class Curveless(_Elementwise):
        pass

    class Celless(_Recurrent):
        pass

    with pytest.raises(TypeError, match=r"^Bare defines no forward$"):
        Bare().forward({})
    with pytest.raises(TypeError, match=r"^Curveless defines no curve$"):
        Curveless().curve(np.zeros(1))
    with pytest.raises(TypeError, match=r"^Celless defines no sequence$"):
        Celless().sequence({}, np.zeros(1), ())


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (impl.PoissonNLLLoss(), 2),
        (impl.GaussianNLLLoss(), 3),
        (impl.KLDivLoss(), 2),
        (impl.HingeEmbeddingLoss(), 2),
        (impl.PairwiseDistance(), 2),
        (impl.CosineSimilarity(), 2),
        (impl.MarginRankingLoss(), 3),
        (impl.TripletMarginLoss(), 3),
    ],
    ids=lambda x: type(x).__name__,
)
def test_shapes_that_do_not_broadcast_are_named(layer, inputs):
    wanted = rf"^{type(layer).__name__}: the shapes of its inputs is .*, wanted shapes that broadcast$"
    with pytest.raises(ValueError, match=wanted):
        run(layer, (2, 3), *[(2, 2)] * (inputs - 1))
