"""A short walk among damaged files in a process of its own; ``python -m tests.fuzzing`` walks on."""

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from .mutation import STRANGE, damaged_bytes, mutated

ROOT = Path(__file__).parents[2]


def test_damaged_files_do_no_harm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzzing", "--seed", "5", "--keep", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("refused") == done.stdout.count("'read'") == 2


HARM = """
import os, sys
from tests.fuzzing.watching import Caught, start, watched
start()
try:
    with watched({allowed!r}):
        {does}
except Caught as caught:
    print("caught", caught)
"""


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("os.system('true')", "caught os.system"),
        ("open('elsewhere', 'w')", "caught elsewhere is written"),
        ("open('here', 'w')", ""),
        ("os.remove('x')", "caught os.remove"),
        ("exec('1')", "caught code is run"),
        ("__import__('pickle').loads(b'cos\\nsystem\\n(S\\'true\\'\\ntR.')", "caught pickle.find_class"),
        ("while True: pass", "caught it took longer"),
    ],
)
def test_harm_is_caught(does: str, said: str, tmp_path: Path) -> None:
    program = "import tests.fuzzing.watching as w; w.SECONDS = 1\n" + HARM.format(allowed="here", does=does)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith(said), done.stderr
    assert bool(done.stdout) == bool(said)


def test_damage_is_the_same_for_the_same_seed_and_damages() -> None:
    text = '{"a": [1, 2, {"b": "c"}], "d": 0.5}'
    several = {mutated(text, Random(f"0/{i}")) for i in range(50)}
    assert several == {mutated(text, Random(f"0/{i}")) for i in range(50)}
    assert len(several) > 40
    assert len({damaged_bytes(bytes(9000), Random(i)) for i in range(50)}) > 40
    assert any(isinstance(strange, str) and "<script>" in strange for strange in STRANGE)
