"""An architecture drawn in text: every edge is there, whatever branches, skips and names it has."""

import re
from io import BytesIO, StringIO, TextIOWrapper

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

import backproof
from backproof import terminal
from backproof.drawing import ASCII, Line, drawn
from reference import Twin


def node(name, *inputs, op="ReLU"):
    return {"name": name, "op": op, "inputs": list(inputs)}


def network(*nodes, outputs=("z",), inputs=("x",)):
    given = [{"name": name, "shape": [4, 3]} for name in inputs]
    return {"inputs": given, "nodes": list(nodes), "outputs": list(outputs), "training": True, "seed": 0}


def lines(architecture, shapes=None, culprits=None, ascii_only=False):
    return [line.text for line in drawn(architecture, shapes or {}, culprits or {}, ascii_only=ascii_only)]


SKIP = network(node("a", "x", op="Linear"), node("z", "x", "a", op="Add"))


def test_a_skip_leaves_and_comes_back():
    assert lines(SKIP, {"a": (4, 3), "z": (4, 3)}, {"a": "its backward is wrong"}) == [
        "○     x",
        "│       (4, 3)",
        "├─╮",
        "│ ●   a  Linear()",
        "│ │     ← its backward is wrong",
        "│ │     (4, 3)",
        "├─╯",
        "○     z of x, a  Add()",
        "↓       (4, 3), an output",
    ]


def test_without_unicode_it_is_drawn_in_ascii():
    drawing = lines(SKIP, {}, {"a": "wrong"}, ascii_only=True)
    assert drawing == [line.translate(ASCII) for line in lines(SKIP, {}, {"a": "wrong"})]
    assert drawing[3:6] == ["| X   a  Linear()", "| |     <- wrong", "| |"]
    assert "".join(drawing).isascii()


def test_a_line_that_crosses_a_lane_passes_under_it():
    crossing = network(node("a", "x"), node("b", "x"), node("c", "x"), node("d", "a", "c"), node("z", "b", "d"))
    drawing = lines(crossing)
    assert [line for line in drawing if "─" in line] == ["├─╮", "├─│─╮", "├─╯ │", "├───╯"]


def test_only_the_culprit_is_marked():
    marked = [line for line in drawn(SKIP, {}, {"a": "wrong"}, ascii_only=False) if line.marked]
    assert marked == [Line("│ ●   a  Linear()", True), Line("│ │     ← wrong", True)]


def test_references_to_nothing_are_no_edges():
    drawing = lines(network(node("z", "x", "nobody", "nobody.1"), outputs=("z", "nobody")))
    assert drawing[2:] == ["○  z of x, nobody, nobody.1  ReLU()", "↓    an output"]


@st.composite
def networks(draw):
    """Any directed acyclic graph of up to eight nodes and three inputs."""
    names = [f"x{i}" for i in range(draw(st.integers(1, 3)))]
    inputs, nodes = tuple(names), []
    for i in range(draw(st.integers(1, 8))):
        taken = draw(st.lists(st.sampled_from(names), min_size=1, max_size=4))
        nodes.append(node(f"n{i}", *(f"{name}.1" if draw(st.booleans()) else name for name in taken)))
        names.append(f"n{i}")
    return network(*nodes, inputs=inputs, outputs=draw(st.lists(st.sampled_from(names[len(inputs) :]))))


def read(drawing):
    """Read the edges out of a drawing, as a reader does: down the lanes, and across to the node that follows."""
    start = drawing[0].index("x")
    carried, across, edges = {}, set(), set()
    for line in drawing:
        lanes = dict(enumerate(line[:start][::2]))
        if "○" in line:
            lane, name = next(i for i, glyph in lanes.items() if glyph == "○"), line[start:].split()[0]
            sources = across or {carried[lane] for _ in range(lane in carried)}
            edges |= {(source, name) for source in sources}
            carried = {i: carried[i] for i, glyph in lanes.items() if glyph == "│"} | {lane: name}
            across = set()
        elif "─" in line[:start]:
            joints = {i for i, glyph in lanes.items() if glyph in "├┤┼╰╯┴╭╮┬"}
            across = {carried[i] for i in joints if lanes[i] in "├┤┼╰╯┴"}
            carried = {i: name for i, name in carried.items() if lanes[i] in "│├┤┼"}
        else:
            carried = {i: name for i, name in carried.items() if lanes[i] == "│"}
    return edges


@given(networks())
def test_every_edge_is_drawn_and_no_other(architecture):
    wanted = {(ref.partition(".")[0], n["name"]) for n in architecture["nodes"] for ref in n["inputs"]}
    drawing = lines(architecture)
    assert read(drawing) == wanted
    assert sum("an output" in line for line in drawing) == len({*architecture["outputs"]})


def test_what_is_drawn_at_random_is_drawn_with_its_shapes():
    for seed in range(20):
        architecture = backproof.random_architecture(seed)
        shapes = Twin(architecture).shapes
        text = "\n".join(lines(architecture.to_dict(), shapes))
        assert all(str(shape) in text for shape in shapes.values())


def shown(failure, width=80, **options):
    written = StringIO()
    console = Console(file=written, width=width, **options)
    terminal.show(console, DOCUMENT | {"failures": [failure]}, None, quiet=True)
    return written.getvalue()


HOSTILE = "[red]\x1b[31m\x07\u202e汉字\n" * 20
FAILURE = {
    "digest": "a",
    "implementation": "mine",
    "dtype": "float64",
    "culprit": "a",
    "op": "Linear",
    "fault": "wrong",
}
FAILURE |= {"diagnosis": "twice", "failure": None, "tensors": [], "corpus": "", "minimal": None}
FAILURE |= {"reproduction": None, "shrinking": "", "architecture": SKIP}
DOCUMENT = {"failed": 1, "crashed": 0, "architectures": 1, "implementation": "mine", "against": {}, "corpus": []}


@pytest.mark.parametrize("width", [40, 80])
def test_names_from_strangers_are_text_on_one_line_of_the_drawing(width):
    bad = node(HOSTILE, "x", op=HOSTILE) | {"arguments": {HOSTILE: HOSTILE}}
    hostile = FAILURE | {"culprit": HOSTILE, "op": HOSTILE, "fault": HOSTILE, "diagnosis": HOSTILE}
    architecture = network(bad, node("z", HOSTILE, "x"))
    text = shown(hostile | {"architecture": architecture}, width)
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text)
    assert "[red]" in text
    assert max(map(cell_len, text.splitlines())) <= width
    assert sum("●" in line for line in text.splitlines()) == 1


def test_an_architecture_that_is_too_large_or_one_node_is_not_drawn():
    chain = [node(f"n{i}", f"n{i - 1}" if i else "x") for i in range(terminal.DRAWN + 1)]
    assert "○" not in shown(FAILURE | {"architecture": network(*chain)})
    assert "○" in shown(FAILURE | {"architecture": network(*chain[1:])})
    assert "○" not in shown(FAILURE | {"architecture": network(chain[0])})


def test_letters_that_the_terminal_lacks_are_not_used():
    written = TextIOWrapper(BytesIO(), encoding="ascii")
    terminal.show(Console(file=written, width=80), DOCUMENT | {"failures": [FAILURE]}, None, quiet=True)
    written.flush()
    assert b"| X   a  Linear()" in written.buffer.getvalue()
