"""The table of layers in a terminal of 80 columns: whole numbers, however many there are."""

from io import StringIO

from rich.console import Console

from backproof.terminal import OWN, table

COUNTS = {"cases": 123456, "agree": 1097234, "disagree": 1234567, "inconclusive": 7654321}


def shown(names: list[str], dtypes: list[str]) -> list[str]:
    rows = [{"op": op, **COUNTS, "worst_digits": dict.fromkeys(dtypes, 15.4)} for op in names]
    written = StringIO()
    Console(file=written, width=80, color_system=None).print(table({"layers": rows, "dtypes": dtypes}))
    return written.getvalue().splitlines()


def test_no_number_is_cut_at_many_architectures() -> None:
    head, *lines = shown(["TransformerDecoderLayer", "Add"], ["float64", "float32"])
    assert head.split() == ["layer", "cases", "agree", "disagree", "inconcl.", "float64", "float32"]
    for line in lines:
        assert line.split()[-6:] == ["123,456", "1,097,234", "1,234,567", "7,654,321", "15.4", "15.4"]
        assert len(line) <= 80
    assert lines[0].startswith("TransformerDecoderLayer ")
    assert lines[1].startswith(f"Add{OWN} ")


def test_where_there_is_too_little_room_a_name_is_folded() -> None:
    lines = shown(["TransformerDecoderLayer"], ["float64", "float32", "float16", "complex128"])
    assert lines[1].split()[1:] == ["123,456", "1,097,234", "1,234,567", "7,654,321", *["15.4"] * 4]
    assert "".join(line.split()[0] for line in lines[1:]) == "TransformerDecoderLayer"
