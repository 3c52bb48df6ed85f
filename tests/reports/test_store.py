"""The store: nothing lost, nothing twice, the same document again, and one line about what is damaged."""

import json
import random
import resource
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backproof.campaign import Campaign
from backproof.catalogue import facts
from reference import Architecture
from reference.ops import STRUCTURAL
from reports import Agreement, Coverage, Summary, write_report
from reports.html import render
from reports.packing import UNPACKED, pack, unpack
from reports.row import Row
from reports.schema import MIGRATIONS, VERSION, StoreError, migrate, tables
from reports.store import STRETCH, Store, document

CAMPAIGN = Campaign(layers=("Linear", "ReLU"), examples=12)
EXAMPLES = [CAMPAIGN.example(number) for number in range(CAMPAIGN.examples)]


def failing() -> list[Agreement]:
    """Agreements with everything that is odd in them: NaN, complex numbers, a failure."""
    first, second = EXAMPLES[1]
    plain = json.loads(json.dumps(first.to_dict()))
    plain["tensors"][0] |= {"verdict": "disagree", "got": "nan", "want": "(1+2j)", "max_ulp": "inf", "note": "<b>"}
    plain["tensors"][1] |= {"verdict": "inconclusive"}
    wrong = Agreement.from_dict(plain | {"culprit": "linear1", "op": "Linear", "fault": "backward"})
    return [wrong, Agreement.from_dict(second.to_dict() | {"failure": "node linear1: ValueError: [red]"})]


def rows(*numbers: int) -> list[Row]:
    return [Row.of(n, failing() if n == 1 else EXAMPLES[n]) for n in numbers]


def filled(path: Path, *numbers: int) -> Path:
    with Store(path, CAMPAIGN.definition(), CAMPAIGN.examples, "backproof verify") as store:
        store.add(rows(*numbers or range(CAMPAIGN.examples)))
    return path


def test_the_document_is_that_of_the_agreements_themselves(tmp_path: Path) -> None:
    found = document(filled(tmp_path / "runs.sqlite", 5, 1, 3, 0, 2, 4), Architecture.from_dict)
    with Store(None, CAMPAIGN.definition(), CAMPAIGN.examples) as empty:
        about = empty.document()
    summary = Summary(CAMPAIGN.dtypes, coverage=Coverage(facts({"Linear", "ReLU", *STRUCTURAL})))
    for number in range(6):
        summary.add(failing() if number == 1 else EXAMPLES[number])
    whole = summary.document()
    same = whole.keys() - {"seconds"}
    assert {name: found[name] for name in same} == {name: whole[name] for name in same}
    assert found["failures"], "the failing example is not among them"
    assert found["interrupted"]
    assert about["environment"] == found["environment"]


def test_order_and_repetition_change_nothing(tmp_path: Path) -> None:
    once = filled(tmp_path / "once.sqlite")
    again = filled(tmp_path / "again.sqlite", *random.Random(0).sample(range(12), 12))
    with Store(again, CAMPAIGN.definition(), CAMPAIGN.examples, "backproof verify") as store:
        assert store.add(rows(3, 4)) == 0
        assert store.count() == 12
    one, other = document(once), document(again)
    assert one | {"seconds": 0} == other | {"seconds": 0}
    assert not one["interrupted"]
    for folder in ("first", "second"):
        write_report(tmp_path / folder, document(once))
    for name in ("index.html", "agreement.json"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


@pytest.mark.parametrize("change", ["digits", "verdict", "number", "architecture"])
def test_the_digest_of_results_sees_every_change(change: str) -> None:
    def results(agreements: list[Agreement], number: int) -> str:
        with Store(None, CAMPAIGN.definition(), 1) as store:
            store.add([Row.of(number, agreements)])
            return str(store.document()["results"])

    plain = EXAMPLES[2][0].to_dict()
    if change == "digits":
        plain["tensors"][2]["digits"] -= 1e-12
    elif change == "verdict":
        plain["tensors"][2]["verdict"] = "inconclusive"
    elif change == "architecture":
        plain["digest"] = "0" * 16
    changed = [Agreement.from_dict(plain), EXAMPLES[2][1]]
    assert results(EXAMPLES[2], 2) != results(changed, 3 if change == "number" else 2)
    slower = Agreement.from_dict(EXAMPLES[2][0].to_dict() | {"seconds": 99.0})
    assert results(EXAMPLES[2], 2) == results([slower, EXAMPLES[2][1]], 2)


def test_an_example_takes_little_room() -> None:
    sizes = [len(pack(agreements)) for agreements in EXAMPLES]
    assert sum(sizes) / len(sizes) < 2500


def test_two_runs_share_the_numbers(tmp_path: Path) -> None:
    path, definition = tmp_path / "runs.sqlite", CAMPAIGN.definition()
    with Store(path, definition, 20) as one, Store(path, definition, 20) as other:
        first, second = one.claim(20), other.claim(20)
        assert (first, second) == (list(range(STRETCH)), list(range(STRETCH, 2 * STRETCH)))
        assert one.claim(20) == list(range(2 * STRETCH, 20))
        assert other.claim(20) == []
        assert other.claimed_by_others()
        one.add(rows(*first))
        assert other.claim(20) == []  # done, not to be done again
    with Store(path, definition, 20) as later:
        assert later.claim(20) == second  # what was given back is taken up


def test_what_a_dead_process_claimed_is_taken_over(tmp_path: Path) -> None:
    path, definition = tmp_path / "runs.sqlite", CAMPAIGN.definition()
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    with Store(path, definition, 20) as one, Store(path, definition, 20) as other:
        claimed = one.claim(20)
        assert other.claimed_by_others()
        with sqlite3.connect(path, isolation_level=None) as database:
            database.execute("UPDATE runs SET process = ? WHERE id = 1", (int(dead.stdout),))
        assert not other.claimed_by_others()
        assert other.claim(20) == claimed
    with Store(path, definition, 20, lease=-1.0) as one, Store(path, definition, 20) as other:
        claimed = one.claim(20)  # its lease is over, wherever it runs
        assert not other.claimed_by_others()
        assert claimed in [other.claim(20) for _ in range(3)]


def test_more_examples_are_remembered(tmp_path: Path) -> None:
    path = filled(tmp_path / "runs.sqlite")
    for examples in (40, 5):
        with Store(path, CAMPAIGN.definition(), examples):
            pass
    found = document(path)
    assert (found["requested"], found["interrupted"]) == (40, True)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (Campaign(layers=("Linear", "ReLU"), seed=1), "seed 0 there, 1 here"),
        (Campaign(layers=("Linear",)), "layers Linear,ReLU there, Linear here"),
        (Campaign(layers=("Linear", "ReLU"), dtypes=("float64",)), "dtypes float64,float32 there, float64 here"),
        (Campaign("torch", layers=("Linear", "ReLU")), "implementation numpy there, torch here"),
    ],
)
def test_another_campaign_is_refused(other: Campaign, words: str, tmp_path: Path) -> None:
    path = filled(tmp_path / "runs.sqlite")
    with pytest.raises(StoreError, match=words):
        Store(path, other.definition(), 12)
    changed = CAMPAIGN.definition()
    changed["environment"] = changed["environment"] | {"numpy": "1.0"}
    with pytest.raises(StoreError, match=r"numpy 2.* there, 1\.0 here"):
        Store(path, changed, 12)


def fill(store: Store) -> None:
    (row,) = rows(3)
    for number in range(100, 1100):
        store.add([replace(row, number=number)])


def test_a_full_disk_is_one_line_and_costs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    with Store(path, CAMPAIGN.definition(), 12) as store:
        store.add(rows(0, 1, 2))
        (pages,) = store._database.execute("PRAGMA page_count").fetchone()
        store._database.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StoreError, match=r"cannot be written: .*full; what was committed is safe"):
            fill(store)
        assert store.document()["architectures"] >= 3
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM results WHERE number >= 100")
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert document(path)["architectures"] == 3


def test_a_limit_on_the_size_of_files_is_a_full_disk(tmp_path: Path) -> None:
    path = filled(tmp_path / "runs.sqlite", 0, 1, 2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Store(path, CAMPAIGN.definition(), 12) as store:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, limits[1]))
        try:
            with pytest.raises(StoreError, match="cannot be written"):
                fill(store)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert {0, 1, 2} <= {number for number, _, _ in store.agreements() if number < 100}


VERSION_1 = (
    "CREATE TABLE campaign (id INTEGER PRIMARY KEY CHECK (id = 1), definition TEXT NOT NULL, "
    "examples INTEGER NOT NULL, command TEXT NOT NULL)",
    "CREATE TABLE results (number INTEGER PRIMARY KEY, digest TEXT NOT NULL, verdict TEXT NOT NULL, "
    "packed BLOB NOT NULL, notes TEXT)",
    "CREATE INDEX results_by_digest ON results (digest)",
    "PRAGMA application_id = 1651536486",
    "PRAGMA user_version = 1",
)


def test_a_store_of_version_1_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    database = sqlite3.connect(path, isolation_level=None)
    for statement in VERSION_1:
        database.execute(statement)
    definition = json.dumps(CAMPAIGN.definition(), sort_keys=True)
    database.execute("INSERT INTO campaign VALUES (1, ?, 12, 'backproof verify')", (definition,))
    for row in rows(0, 1, 2):
        database.execute(
            "INSERT INTO results VALUES (?, ?, ?, ?, NULL)", (row.number, row.digest, row.verdict, row.packed)
        )
    database.close()
    wanted = document(filled(tmp_path / "new.sqlite", 0, 1, 2))
    assert document(path) | {"seconds": 0} == wanted | {"seconds": 0}
    with Store(path, CAMPAIGN.definition(), 12) as store:
        assert store._database.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert store.claim(12) == [3, 4, 5, 6, 7]


def test_a_migration_is_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    database = sqlite3.connect(":memory:", isolation_level=None)
    migrate(database, 1)
    before = tables(database)
    monkeypatch.setattr("reports.schema.MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE more (x)", "nonsense")))
    with pytest.raises(sqlite3.OperationalError):
        migrate(database, len(MIGRATIONS) + 1)
    assert tables(database) == before
    assert database.execute("PRAGMA user_version").fetchone() == (1,)


def changed(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with sqlite3.connect(path) as database:
            database.execute(statement)
        database.close()

    return change


def repacked(text: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with sqlite3.connect(path) as database:
            database.execute("UPDATE results SET packed = ? WHERE number = 2", (zlib.compress(text),))
        database.close()

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.write_text("number,digest\n"), "is no store of backproof"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "runs.sqlite: "),
        (lambda path: path.write_bytes(path.read_bytes()[:50]), "no store of backproof"),
        (changed("PRAGMA application_id = 5"), "is an SQLite file, but no store of backproof"),
        (changed("PRAGMA user_version = 99"), f"is of version 99; this backproof reads stores up to {VERSION}"),
        (changed("CREATE VIEW more AS SELECT 1"), "its tables are not those"),
        (changed("CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM results; END"), "its tables are not those"),
        (changed("DROP TABLE results"), "its tables are not those"),
        (changed("DELETE FROM campaign"), "holds no campaign"),
        (changed("UPDATE campaign SET definition = '[]'"), "its campaign cannot be read"),
        (
            changed("UPDATE campaign SET definition = replace(definition, '\"seed\": 0', '\"seed\": []')"),
            "a strange seed",
        ),
        (changed("UPDATE results SET packed = 'text' WHERE number = 2"), "example 2"),
        (changed("UPDATE results SET packed = zeroblob(9) WHERE number = 2"), "example 2"),
        (changed("UPDATE results SET digest = 'other' WHERE number = 2"), "example 2: the digest"),
        (changed("UPDATE results SET notes = '{' WHERE number = 2"), "example 2"),
        (changed("UPDATE results SET packed = substr(packed, 1, 100) WHERE number = 2"), "example 2: cut off"),
        (repacked(b"[" * 100_000), "example 2"),
        (repacked(b"[]"), "example 2"),
        (repacked(b'{"labels": NaN}'), "NaN is no JSON number"),
        (repacked(b" " * (UNPACKED + 1)), "example 2: cut off, or beyond"),
    ],
)
def test_what_is_damaged_or_strange_gets_one_line(damage: Callable[[Path], None], words: str, tmp_path: Path) -> None:
    path = filled(tmp_path / "runs.sqlite")
    damage(path)
    with pytest.raises(StoreError) as refused:
        document(path, Architecture.from_dict)
    assert words in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_new_store_may_begin_in_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "runs.sqlite"
    path.touch()
    assert document(filled(path, 0))["architectures"] == 1
    with pytest.raises(FileNotFoundError):
        document(tmp_path / "missing.sqlite")
    assert not (tmp_path / "missing.sqlite").exists()


def test_flipped_bytes_never_end_in_a_traceback(tmp_path: Path) -> None:
    whole = filled(tmp_path / "runs.sqlite").read_bytes()
    chosen, refused = random.Random(0), 0
    for attempt in range(150):
        path = tmp_path / f"{attempt}.sqlite"
        damaged = bytearray(whole)
        for _ in range(chosen.choice((1, 10, 100))):
            damaged[chosen.randrange(100, len(damaged))] = chosen.randrange(256)
        path.write_bytes(damaged)
        try:
            document(path, Architecture.from_dict)
        except StoreError:
            refused += 1
    assert refused > 50


STRANGE: tuple[Any, ...] = (None, True, -1, 0, 1e308, "", "x", "<script>", [], {}, [[]], {"a": 1}, 1 << 70)


def mutated(value: Any, chosen: random.Random) -> Any:
    """The same JSON with one entry of it replaced by something strange."""
    if isinstance(value, dict) and value and chosen.random() < 0.9:
        key = chosen.choice(sorted(value))
        return value | {key: mutated(value[key], chosen)}
    if isinstance(value, list) and value and chosen.random() < 0.9:
        at = chosen.randrange(len(value))
        return [*value[:at], mutated(value[at], chosen), *value[at + 1 :]]
    return chosen.choice(STRANGE)


def test_a_strangers_rows_never_end_in_a_traceback() -> None:
    text = json.loads(zlib.decompress(pack(failing())))
    chosen, refused, read = random.Random(0), 0, 0
    for _ in range(150):
        strange = mutated(text, chosen)
        digest = strange.get("digest") if isinstance(strange, dict) else ""
        with Store(None, CAMPAIGN.definition(), 1) as store:
            packed = zlib.compress(json.dumps(strange).encode())
            store.add([Row(0, digest if isinstance(digest, str) else "", "agree", packed, {})])
            try:
                found = store.document(Architecture.from_dict)
            except StoreError:
                refused += 1
                continue
        read += 1
        assert render(found)
    assert refused > 20
    assert read > 20


def test_what_is_packed_comes_back() -> None:
    for agreements in (EXAMPLES[0], failing()):
        for one, other in zip(agreements, unpack(pack(agreements)), strict=True):
            assert (one.architecture, one.digest, one.shapes) == (other.architecture, other.digest, other.shapes)
            assert [t.digits for t in one.tensors] == [t.digits for t in other.tensors]
            assert one.culprit == other.culprit
            wrong = [t.to_dict() for t in one.tensors if t.verdict != "agree"]
            assert wrong == [t.to_dict() for t in other.tensors if t.verdict != "agree"]
