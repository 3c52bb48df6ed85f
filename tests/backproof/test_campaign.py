"""Campaigns: killed and continued, shared, on a cluster; implementations that crash, hang, print and leak."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from backproof.campaign import Campaign, one_thread
from backproof.cli import main
from backproof.isolation import Pool
from benchmarks.killing import CODE
from reports.store import document

ODD = """
import ctypes, os, sys, time
from backproof import NumPyImplementation
from impl import Linear

def of(behave):
    class Odd(Linear):
        def forward(self, parameters, x, **options):
            if self.out_features == 1:
                behave()
            return super().forward(parameters, x, **options)
    return NumPyImplementation({"Linear": Odd})

def once():
    if not os.path.exists("once"):
        open("once", "w").close()
        os._exit(9)

dies = of(lambda: os._exit(7))
segfault = of(lambda: ctypes.string_at(0))
exits = of(lambda: sys.exit(5))
hangs = of(lambda: time.sleep(1000))
prints = of(lambda: (print("from Python"), ctypes.CDLL(None).puts(b"from C"), os.write(2, b"error")))
greedy = of(lambda: bytearray(100 << 30))
once_only = of(once)
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.py").write_text(ODD)


def verified(implementation: str, *options: object) -> tuple[int, dict[str, Any]]:
    base = ("verify", "--examples", 8, "--layers", "Linear", "--dtype", "float64", "--workers", 1, "--json", "-")
    arguments = [str(a) for a in (*base, "--implementation", implementation, *options)]
    done = CliRunner().invoke(main, arguments)
    assert "Traceback" not in done.output
    return done.exit_code, json.loads(done.stdout)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dies", "forward: the process died (exit status 7)"),
        ("segfault", "forward: the process died (SIGSEGV)"),
        ("exits", "forward: the process died (exit status 5)"),
        ("hangs", "forward: the process did not come back within 5 s"),
        ("greedy", "forward: MemoryError"),
    ],
)
def test_what_takes_its_process_down_is_a_finding_and_the_rest_goes_on(name: str, words: str) -> None:
    status, found = verified(f"odd:{name}", "--time-limit", 5, "--examples", 4)
    assert status == 3
    assert found["architectures"] == 4
    assert 0 < found["crashed"] == found["failed"] < 4
    for failure in found["failures"]:
        assert words in failure["failure"]
        assert failure["op"] == "Linear"
        node = next(n for n in failure["architecture"]["nodes"] if n["name"] == failure["culprit"])
        assert node["arguments"]["out_features"] == 1


def test_what_is_printed_is_a_remark_and_keeps_standard_output_clean() -> None:
    status, found = verified("odd:prints")
    assert status == 0
    assert 0 < found["noted"] < 8
    for words in ("from Python", "from C", "error"):
        assert words in found["notes"][0]["note"]


def test_a_process_that_dies_once_is_a_remark() -> None:
    status, found = verified("odd:once_only")
    assert status == 0
    assert [note["note"] for note in found["notes"]] == [
        "the process died (exit status 9) once, and not again alone in a fresh process"
    ]


def grow(kept: int) -> int:
    globals().setdefault("KEPT", []).append(bytes(bytearray(kept)))
    return os.getpid()


def give_back(taken: int) -> int:
    return sum(bytes(bytearray(taken))[:1])


def test_what_is_given_back_is_no_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backproof.isolation.GROWN", 50 << 20)
    with Pool(1, one_thread, 60.0) as pool:
        assert not any(outcome.notes for outcome in pool.outcomes(give_back, [[1, 200 << 20, 1]]))


def test_what_leaks_is_told_and_gets_a_fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backproof.isolation.GROWN", 50 << 20)
    with Pool(1, one_thread, 60.0) as pool:
        found = list(pool.outcomes(grow, [[20 << 20] for _ in range(8)]))
    told = [outcome.notes[0] for outcome in found if outcome.notes]
    assert told
    assert "memory grew by" in told[0]
    assert len({outcome.value for outcome in found}) > 1
    with Pool(1, one_thread, 60.0) as pool:
        assert not any(outcome.notes for outcome in pool.outcomes(grow, [[1 << 20] for _ in range(8)]))


def begin(*options: object) -> subprocess.Popen[str]:
    base = ("verify", "--layers", "Linear", "--dtype", "float64", "--workers", 1, "--store", "runs.sqlite")
    command = [sys.executable, "-c", CODE, *(str(a) for a in (*base, *options))]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def plain(path: str) -> dict[str, Any]:
    return document(Path(path)) | {"seconds": 0, "command": ""}


def test_a_campaign_that_is_killed_goes_on_and_ends_as_if_it_had_not_been() -> None:
    for at in (1, 2, 3):
        running = begin("--examples", 40)
        while running.poll() is None and not (Path("runs.sqlite").exists() and plain_count() >= 8 * at):
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
    assert 8 <= plain_count() < 40
    last = begin("--examples", 40)
    told = last.communicate()[0]
    assert last.returncode == 0, told
    assert "of 40 architectures are there already" in told
    alone = begin("--examples", 40, "--store", "alone.sqlite")
    assert alone.communicate()
    assert plain("runs.sqlite") == plain("alone.sqlite")
    assert plain("runs.sqlite")["architectures"] == 40
    written = {path: Path(path, "agreement.json").read_bytes() for path in reported()}
    assert len(set(written.values())) == 1


def reported() -> Iterator[str]:
    for name in ("first", "second"):
        assert CliRunner().invoke(main, ["report", "runs.sqlite", "-o", name]).exit_code == 0
        yield name


def plain_count() -> int:
    try:
        return int(document(Path("runs.sqlite"))["architectures"])
    except ValueError:  # it is being made
        return 0


def test_two_processes_share_a_store() -> None:
    runs = [begin("--examples", 48, "--report", name) for name in ("one", "two")]
    for running in runs:
        told = running.communicate()[0]
        assert running.returncode == 0, told
        assert "on 48 random" in " ".join(told.split())
    status, found = verified("numpy", "--examples", 48)
    assert status == 0
    assert plain("runs.sqlite")["results"] == found["results"]


def test_the_digest_of_results_is_that_of_any_number_of_processes() -> None:
    one, two = (verified("odd:dies", "--examples", 20, "--workers", n)[1] for n in (1, 2))
    assert one["results"] == two["results"]
    assert one["results"] != verified("numpy", "--examples", 20)[1]["results"]


CLUSTER = """
import os, signal, sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        for line in sys.stdin:
            os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
"""


def test_a_cluster_that_loses_a_worker_says_what_one_process_says() -> None:
    Path("cluster.py").write_text(CLUSTER)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    cluster = subprocess.Popen([sys.executable, "cluster.py"], text=True, **pipes)
    assert cluster.stdin
    assert cluster.stdout
    try:
        options = ("--examples", 32, "--layers", "Linear", "--dtype", "float64", "--store", "runs.sqlite")
        verify = ["verify", "--scheduler", cluster.stdout.readline().strip(), *map(str, options)]
        running = subprocess.Popen([sys.executable, "-c", CODE, *verify], stdout=subprocess.PIPE, text=True)
        while running.poll() is None and not (Path("runs.sqlite").exists() and plain_count() >= 1):
            time.sleep(0.05)
        cluster.stdin.write("kill\n")
        cluster.stdin.flush()
        told = running.communicate()[0]
    finally:
        cluster.kill()
        cluster.communicate()
    assert running.returncode == 0, told
    assert plain("runs.sqlite")["results"] == verified("numpy", "--examples", 32)[1]["results"]


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "strange://there:1"])
def test_no_cluster_is_one_line(address: str) -> None:
    done = CliRunner().invoke(main, ["verify", "--scheduler", address])
    assert done.exit_code == 2
    assert f"no Dask scheduler at {address}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_store_of_another_campaign_is_refused() -> None:
    assert verified("numpy", "--store", "runs.sqlite", "--examples", 1)[0] == 0
    done = CliRunner().invoke(main, ["verify", "--store", "runs.sqlite", "--layers", "Linear", "--seed", "5"])
    assert done.exit_code == 2
    assert "seed 0 there, 5 here" in done.stderr
    Path("damaged.sqlite").write_bytes(b"SQLite format 3\x00" + bytes(200))
    for arguments in (["verify", "--store", "damaged.sqlite"], ["report", "damaged.sqlite"], ["report", "nothing"]):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 2
        assert len(done.stderr.splitlines()) == 1


def test_the_campaign_in_order_is_what_its_examples_say() -> None:
    campaign = Campaign(layers=("Linear",), examples=10, dtypes=("float64",))
    digests = [agreements[0].digest for agreements in campaign.agreements(workers=2)]
    assert digests == [campaign.example(number)[0].digest for number in range(10)]


def raising(message: str) -> None:
    raise ValueError(message)


def test_what_a_process_raises_comes_out_here() -> None:
    with Pool(1, one_thread, 60.0) as pool:
        (outcome,) = pool.outcomes(raising, [["no"]])
    assert isinstance(outcome.error, ValueError)
    assert "in another process" in outcome.error.__notes__[0]
    with Pool(1, partial(raising, "not ready"), 60.0) as pool, pytest.raises(ValueError, match="not ready"):
        next(pool.outcomes(raising, [["no"]]))
