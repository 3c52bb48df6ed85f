"""The language of architectures: JSON both ways, and clear errors for everything that is malformed."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import backproof
from reference import Architecture, ArchitectureError, Input, Node, Twin

LINEAR = Node("fc", "Linear", {"in_features": 3, "out_features": 2}, ("x",))


def small(**changes: Any) -> Architecture:
    fields: dict[str, Any] = {"inputs": (Input("x", (4, 3)),), "nodes": (LINEAR,), "outputs": ("fc",)}
    return Architecture(**fields | changes)


def document(**changes: Any) -> dict[str, Any]:
    return small().to_dict() | changes


@given(backproof.architectures())
def test_json_keeps_everything(architecture: Architecture) -> None:
    back = Architecture.from_json(architecture.to_json())
    assert back == architecture
    assert back.digest == architecture.digest
    assert hash(back) == hash(architecture)


@given(backproof.architectures())
def test_the_repr_can_be_pasted(architecture: Architecture) -> None:
    names = {"Architecture": Architecture, "Input": Input, "Node": Node}
    assert eval(repr(architecture), names) == architecture


def test_the_digest_sees_every_field() -> None:
    variants = [
        small(),
        small(seed=1),
        small(training=False),
        small(inputs=(Input("x", (5, 3)),)),
        small(inputs=(Input("x", (4, 3), "ties"),)),
        small(nodes=(Node("fc", "Linear", {"in_features": 3, "out_features": 3}, ("x",)),)),
        small(nodes=(LINEAR, Node("r", "ReLU", {}, ("fc",)))),
        small(nodes=(LINEAR, Node("r", "ReLU", {}, ("fc",))), outputs=("fc", "r")),
    ]
    assert len({a.digest for a in variants}) == len(variants)


def node(**changes: Any) -> dict[str, Any]:
    return {
        "name": "fc",
        "op": "Linear",
        "arguments": {"in_features": 3, "out_features": 2},
        "inputs": ["x"],
    } | changes


def encoder(**changes: Any) -> dict[str, Any]:
    layer = {"op": "TransformerEncoderLayer", "arguments": {"d_model": 3, "nhead": 1}}
    return node(op="TransformerEncoder", arguments={"encoder_layer": layer, "num_layers": 1} | changes)


def within(depth: int, **arguments: Any) -> dict[str, Any]:
    """Encoders in the place of one another's layer."""
    made = encoder(**arguments)
    for _ in range(depth - 1):
        made = encoder(encoder_layer={"op": made["op"], "arguments": made["arguments"]}, **arguments)
    return made


MALFORMED: dict[str, tuple[Any, str]] = {
    "no object": ([], "architecture: is \\[\\], wanted an object"),
    "no schema": ({k: v for k, v in document().items() if k != "schema"}, "schema is missing"),
    "another schema": (document(schema=99), "schema: is 99"),
    "unknown field": (document(colour="red"), "unknown field 'colour'"),
    "a float as seed": (document(seed=1.5), "seed is 1.5, wanted int"),
    "a negative seed": (document(seed=-1), "seed: is -1"),
    "a boolean as size": (document(inputs=[{"name": "x", "shape": [True, 3]}]), "input x: shape: True"),
    "a negative size": (document(inputs=[{"name": "x", "shape": [-4, 3]}]), "input x: shape: -4"),
    "a gigabyte": (
        document(inputs=[{"name": "x", "shape": [2000, 2000, 250]}]),
        "input x: shape: 1000000000 elements",
    ),
    "nine axes": (document(inputs=[{"name": "x", "shape": [1] * 9}]), "input x: shape: has 9 axes"),
    "unknown domain": (
        document(inputs=[{"name": "x", "shape": [4, 3], "domain": "odd"}]),
        "input x: domain: 'odd'",
    ),
    "an index without bound": (
        document(inputs=[{"name": "x", "shape": [4], "domain": "index"}]),
        "input x: below",
    ),
    "distinct numbers of no axes": (
        document(inputs=[{"name": "x", "shape": [4], "domain": "distinct", "below": 4}]),
        "input x: axes: goes with the domain distinct",
    ),
    "axes of other numbers": (
        document(inputs=[{"name": "x", "shape": [4], "axes": 1}]),
        "input x: axes: goes with the domain distinct",
    ),
    "distinct numbers of too many axes": (
        document(inputs=[{"name": "x", "shape": [4], "domain": "distinct", "below": 4, "axes": 2}]),
        "input x: axes: is 2, wanted 1 to 1",
    ),
    "too few distinct numbers": (
        document(inputs=[{"name": "x", "shape": [4, 3], "domain": "distinct", "below": 11, "axes": 2}]),
        "input x: below: is 11, too few",
    ),
    "distinct numbers that fill the memory": (
        document(inputs=[{"name": "x", "shape": [60000, 1], "domain": "distinct", "below": 60000, "axes": 1}]),
        "input x: below: is 60000, too many",
    ),
    "a path as name": (document(nodes=[node(name="../../etc/passwd")]), "node '../../etc/passwd': name"),
    "a name twice": (document(nodes=[node(), node()]), "node fc: name: stands twice"),
    "unknown op": (document(nodes=[node(op="Linaer")]), "node fc: op: 'Linaer' is no layer"),
    "a container": (document(nodes=[node(op="Sequential")]), "node fc: op: 'Sequential' is no layer"),
    "no layer at all": (document(nodes=[node(op="functional")]), "node fc: op: 'functional'"),
    "unknown argument": (
        document(nodes=[node(arguments={"inn": 3})]),
        "node fc: arguments: Linear has no 'inn'",
    ),
    "a missing argument": (
        document(nodes=[node(arguments={"in_features": 3})]),
        "node fc: torch.nn refuses Linear",
    ),
    "a huge argument": (
        document(nodes=[node(arguments={"in_features": 3, "out_features": 10**9})]),
        "out_features: 1000000000",
    ),
    "many large arguments": (
        document(nodes=[node(arguments={"in_features": 60000, "out_features": 60000})]),
        "numbers, at most",
    ),
    "a mapping as argument": (
        document(nodes=[node(arguments={"bias": {"a": 1}})]),
        "node fc: arguments: bias",
    ),
    "no layer as argument": (document(nodes=[encoder(encoder_layer=3)]), "torch.nn refuses TransformerEncoder"),
    "a layer without op": (
        document(nodes=[encoder(encoder_layer={"arguments": {}})]),
        "node fc: arguments: encoder_layer: op is missing",
    ),
    "a layer with more than op and arguments": (
        document(nodes=[encoder(norm={"op": "Identity", "inputs": []})]),
        "node fc: arguments: norm: unknown field 'inputs', known are op, arguments",
    ),
    "an unknown layer as argument": (
        document(nodes=[encoder(norm={"op": "Add"})]),
        "node fc: arguments: norm: op: 'Add' is no layer of torch.nn",
    ),
    "an unknown argument of an argument": (
        document(nodes=[encoder(norm={"op": "LayerNorm", "arguments": {"shape": 3}})]),
        "node fc: arguments: norm: arguments: LayerNorm has no 'shape'",
    ),
    "a huge argument of an argument": (
        document(nodes=[encoder(norm={"op": "LayerNorm", "arguments": {"normalized_shape": [10**9]}})]),
        "node fc: arguments: norm: arguments: normalized_shape: 1000000000 is beyond",
    ),
    "an argument within itself": (document(nodes=[within(6)]), "layers stand in one another more than 4 deep"),
    "many copies of many copies": (
        document(nodes=[within(2, num_layers=9)]),
        "encoder_layer: arguments: num_layers: 9 is beyond 7",
    ),
    "wrong shapes": (document(inputs=[{"name": "x", "shape": [4, 5]}]), "node fc: torch.nn refuses Linear"),
    "no inputs": (document(nodes=[node(inputs=[])]), "node fc: inputs: is empty"),
    "a number as input": (document(nodes=[node(inputs=[1])]), "nodes\\[0\\]: inputs: 1 is not a name"),
    "dangling": (document(nodes=[node(inputs=["y"])]), "node fc: inputs: 'y' is no input"),
    "no such output": (document(outputs=["fc.1"]), "outputs: 'fc.1': fc has 1 outputs"),
    "a cycle": (
        document(nodes=[node(inputs=["r"]), {"name": "r", "op": "ReLU", "inputs": ["fc"]}]),
        "node fc: inputs: 'r' stands later, or depends on this: a cycle",
    ),
    "shares nobody": (document(nodes=[node(shares="x")]), "node fc: shares: 'x'"),
    "shares another op": (
        document(nodes=[node(), {"name": "r", "op": "ReLU", "inputs": ["fc"], "shares": "fc"}]),
        "node r: shares: fc",
    ),
    "no outputs": (document(outputs=[]), "outputs: is empty"),
    "an output twice": (document(outputs=["fc", "fc"]), "outputs: a name stands twice"),
    "ten thousand nodes": (
        document(nodes=[node(name=f"n{i}") for i in range(10_000)]),
        "nodes: has 10000 entries",
    ),
    "deep layers": (
        document(nodes=[node(op="LSTM", arguments={"input_size": 3, "hidden_size": 2, "num_layers": 1000})]),
        "num_layers: 1000 is beyond 64",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_malformed_is_refused_by_name(case: str) -> None:
    wrong, message = MALFORMED[case]
    with pytest.raises(ArchitectureError, match=message) as caught:
        Twin(Architecture.from_json(json.dumps(wrong)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "nested too deeply"),
        (json.dumps(document(nodes=[node(arguments={"bias": 7})])).replace("7", "[" * 800 + "]" * 800), "too deeply"),
        (
            json.dumps(document(nodes=[node(arguments={"bias": 7})])).replace("7", '{"a":' * 800 + "7" + "}" * 800),
            "too deeply",
        ),
        ('{"schema": NaN}', "NaN is no JSON number"),
        (b"\xff\xfe\x00", "not JSON"),
        (" " * 5_000_000, "bytes of JSON"),
    ],
)
def test_what_is_no_json_is_refused(text: str | bytes, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        Architecture.from_json(text)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(backproof.architectures(max_nodes=3), st.data())
def test_damaged_documents_are_read_or_refused_never_worse(architecture: Architecture, data: st.DataObject) -> None:
    wrong: Any = architecture.to_dict()
    place = wrong
    while True:
        key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(plain)
    with suppress(ArchitectureError):
        Twin(Architecture.from_json(json.dumps(wrong)))


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize(
    ("op", "arguments", "shape"),
    [
        ("PixelShuffle", {"upscale_factor": 2}, (0, 4, 1, 1)),
        ("PixelUnshuffle", {"downscale_factor": 2}, (0, 1, 2, 2)),
        ("ChannelShuffle", {"groups": 2}, (1, 0, 3)),
    ],
)
def test_what_pytorch_cannot_go_back_through_is_refused(
    device: str, op: str, arguments: dict[str, int], shape: tuple[int, ...]
) -> None:
    shuffle = Architecture((Input("x", shape),), (Node("n", op, arguments, ("x",)),), ("n",))
    with pytest.raises(ArchitectureError, match=f"^node n: torch.nn refuses {op}: "):
        Twin(shuffle, device)


def test_every_module_is_handed_contiguous_arrays() -> None:
    turned = Node("turned", "Transpose", {"dim0": 1, "dim1": 2}, ("x",))
    pooled = Node("pooled", "MaxPool3d", {"kernel_size": 1}, ("turned",))  # which refuses these strides
    architecture = Architecture((Input("x", (2, 3, 1, 1)),), (turned, pooled), ("pooled",))
    assert Twin(architecture, device="cpu").shapes["pooled"] == (2, 1, 3, 1)
