"""The sample of mutants: is it drawn from all files in proportion, and is what became of it counted?"""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.mutants import drawn, main

SIZES = {"layers/linear.py": 300, "layers/loss.py": 600, "special.py": 4}


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which mutmut has written mutants, and has run none of them."""
    monkeypatch.chdir(tmp_path)
    for file, size in SIZES.items():
        status(tmp_path, file, dict.fromkeys(names(file, size)))
    status(tmp_path, "layers/__init__.py", {})
    return tmp_path


def names(file: str, size: int) -> list[str]:
    return [f"impl.{file.removesuffix('.py').replace('/', '.')}.x_f__mutmut_{i}" for i in range(size)]


def status(folder: Path, file: str, statuses: dict[str, int | None]) -> None:
    meta = folder / "mutants" / "impl" / f"{file}.meta"
    meta.parent.mkdir(parents=True, exist_ok=True)
    meta.write_text(json.dumps({"exit_code_by_key": statuses}))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.mark.usefixtures("written")
def test_the_sample_is_drawn_from_every_file_in_proportion() -> None:
    sample = run("--size", 90, "--seed", 1).output.split()
    counts = {file: len(set(sample) & set(names(file, size))) for file, size in SIZES.items()}
    assert counts == {"layers/linear.py": 30, "layers/loss.py": 60, "special.py": 1}
    assert len(sample) == len(set(sample)) == 91


@pytest.mark.usefixtures("written")
def test_a_smaller_sample_is_part_of_a_larger_one_and_another_seed_draws_others() -> None:
    small, large, other = (
        set(run("--size", size, "--seed", seed).output.split()) for size, seed in ((90, 0), (200, 0), (90, 1))
    )
    assert small < large
    assert len(small & other) < len(small) / 2


def test_places_in_a_file_are_equally_likely() -> None:
    mutants = {"a.py": dict.fromkeys(names("a.py", 10), "not run")}
    first = [drawn(mutants, 1, seed)["a.py"][0] for seed in range(300)]
    assert all(10 < first.count(name) < 60 for name in mutants["a.py"])


def test_what_became_of_the_sample_is_counted_and_survivors_are_named(written: Path) -> None:
    loss = names("layers/loss.py", 600)
    statuses: dict[str, int | None] = {name: 1 if i % 2 else 3 for i, name in enumerate(loss)}
    chosen = [name for name in run("--size", 90).output.split() if name in loss]
    statuses |= dict(zip(chosen, (0, 33, 36, None)))
    status(written, "layers/loss.py", statuses)
    found = run("--size", 90, "--score")
    assert found.exit_code == 0
    (row,) = (line.split() for line in found.output.splitlines() if line.startswith("layers/loss.py"))
    (head,) = (line.split("  ") for line in found.output.splitlines() if line.startswith("file of"))
    assert [word.strip() for word in head if word] == [
        "file of impl/",
        "mutants",
        "drawn",
        "killed",
        "survived",
        "out of time",
        "not run",
    ]
    assert row == ["layers/loss.py", "600", "60", "56", "2", "1", "1"]
    assert "56 of 59 killed: 94.9%, between 85.9% and 98.9%" in found.output
    named = [line.split(": mutmut show ") for line in found.output.splitlines() if "mutmut show" in line]
    assert named == sorted(
        [["survived", chosen[0]], ["survived", chosen[1]], ["out of time", chosen[2]]], key=lambda line: line[1]
    )


def test_without_mutants_it_says_how_to_write_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = run()
    assert found.exit_code == 2
    assert "nox -s mutants" in found.output
