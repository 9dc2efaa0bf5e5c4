"""Databases that are locked, damaged, full, of other versions: named, and untouched."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from skal.campaign import Campaign, database
from skal.exceptions import CampaignDatabaseError
from tests.campaign.conftest import REGRESSION
from tests.test_imports import _imports

Make = Callable[..., Campaign]


@pytest.fixture
def file(make: Make, tmp_path: Path) -> Path:
    campaign = make()
    campaign.tell(["r001", "r002"], [1.0, 2.0])
    campaign.ask(3)
    return tmp_path / "campaign.db"


def run(file: Path, *statements: str) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_a_campaign_is_one_file(file: Path, tmp_path: Path) -> None:
    assert list(tmp_path.iterdir()) == [file]


def test_a_locked_file_is_waited_for_and_then_named(file: Path) -> None:
    campaign = Campaign.open(file, wait=0.05)
    before = file.read_bytes()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CampaignDatabaseError, match=r"campaign\.db: another process"):
        campaign.tell("r003", 1.0)
    assert campaign.status().states["answered"] == 2  # reading goes on
    other.execute("ROLLBACK")
    other.close()
    assert file.read_bytes() == before
    campaign.tell("r003", 1.0)
    assert campaign.status().states["answered"] == 3


def test_nothing_is_recorded_on_a_full_disk(file: Path, table: pd.DataFrame) -> None:
    campaign = Campaign.open(file, table, **REGRESSION)
    before = file.read_bytes()
    connect = campaign._database._connect

    def connect_full() -> sqlite3.Connection:
        connection = connect()
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    engine = campaign._database.engine
    engine.pool._creator = connect_full  # what create_engine(creator=) sets
    events = campaign.events()
    with pytest.raises(CampaignDatabaseError, match="no space left"):
        campaign.tell(table.index, range(60), "a name " * 100)
    assert file.read_bytes() == before
    assert campaign.events().equals(events)
    assert campaign.status().states["answered"] == 2
    engine.pool._creator = connect
    campaign.tell(table.index, range(60))
    assert campaign.status().states["answered"] == 60


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: b"id,label\nr001,3\n" * 100, "not a database"),
        (lambda content: content[: len(content) // 2], "damaged"),
        (lambda content: content[:4096] + b"\7" * 8192 + content[12288:], "damaged"),
    ],
)
def test_a_damaged_file_is_left_as_it_is(
    damage: Callable[[bytes], bytes], words: str, file: Path, table: pd.DataFrame
) -> None:
    damaged = damage(file.read_bytes())
    file.write_bytes(damaged)
    with pytest.raises(CampaignDatabaseError, match=words):
        Campaign.open(file, table, **REGRESSION)
    assert file.read_bytes() == damaged


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("UPDATE skal_events SET value = '{' WHERE seq = 1", "skal_events"),
        ("UPDATE skal_events SET kind = 'x' WHERE seq = 1", "skal_events"),
        ("UPDATE skal_events SET expires = NULL WHERE kind = 'ask'", "skal_events"),
        ("UPDATE skal_batches SET settings = ''", "skal_batches"),
        ("UPDATE skal_meta SET value = 'x' WHERE name = 'task'", "skal_meta"),
        ("DELETE FROM skal_meta WHERE name = 'seed'", "skal_meta"),
        ("DELETE FROM skal_meta WHERE name = 'schema_version'", "skal_meta"),
        (
            "UPDATE skal_meta SET value = '[]' WHERE name = 'schema_version'",
            "skal_meta",
        ),
    ],
)
def test_contents_that_skal_has_not_written_are_named(
    statement: str, place: str, file: Path
) -> None:
    run(file, statement)
    before = file.read_bytes()
    with pytest.raises(CampaignDatabaseError, match=f"its table {place} was damaged"):
        Campaign.open(file).status()
    assert file.read_bytes() == before


@pytest.mark.parametrize("name", ["a?b=c.db", "a#b.db", "größe %20 東.db", "a&b;c.db"])
def test_a_path_is_not_read_as_a_url(name: str, make: Make, tmp_path: Path) -> None:
    make(name).tell("r001", 1.0)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert Campaign.open(str(tmp_path / name)).status().states["answered"] == 1


def test_other_kinds_of_databases_are_refused() -> None:
    with pytest.raises(ValueError, match=r"SQLite or in PostgreSQL, .*'mysql'"):
        Campaign.open("mysql://ann@host/x")
    with pytest.raises(ValueError, match="not a URL of SQLAlchemy"):
        Campaign.open("http:/://")
    if find_spec("pg8000") is None:
        with pytest.raises(
            ImportError, match=r"URL that begins with\s+postgresql\+psyc"
        ):
            Campaign.open("postgresql+pg8000://ann@host/x")


def test_a_failing_disk_is_named(
    file: Path, table: pd.DataFrame, tmp_path: Path
) -> None:
    """A process that may not let the file grow; others see whole calls."""
    resource = pytest.importorskip("resource", reason="limits are those of POSIX")
    code = f"""if True:
        import resource, signal
        from skal.campaign import Campaign
        from skal.exceptions import CampaignDatabaseError
        campaign = Campaign.open({str(file)!r})
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        size = {file.stat().st_size} + 5000
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        n = 0
        try:
            while True:
                campaign.tell(campaign.ids, [float(n)] * len(campaign.ids))
                n += 1
        except CampaignDatabaseError as error:
            assert "the disk failed, or may hold no more" in str(error), error
            print(n, campaign.status().states["answered"])
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert resource is not None
    n, answered = map(int, done.stdout.split())
    labels = Campaign.open(file, table).export()["label"]
    assert answered == len(labels)
    assert set(labels) == {n - 1.0}


def test_a_missing_file_is_not_made(tmp_path: Path, file: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no campaign .*nothing\.db"):
        Campaign.open(tmp_path / "nothing.db")
    assert not (tmp_path / "nothing.db").exists()
    other = tmp_path / "other.db"
    run(other, "CREATE TABLE songs (name TEXT)")
    with pytest.raises(FileNotFoundError, match="other data"):
        Campaign.open(other)


def test_other_databases_are_not_written_to(make: Make, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    run(other, "CREATE TABLE songs (name TEXT)")
    before = other.read_bytes()
    with pytest.raises(FileExistsError, match="other tables"):
        make("other.db")
    assert other.read_bytes() == before
    (tmp_path / "empty.db").touch()  # a killed process may have left it
    make("empty.db").tell("r001", 1.0)
    with pytest.raises(ValueError, match="kept in a file"):
        Campaign.open("sqlite://")


def test_a_folder_that_is_not_there_is_named(make: Make) -> None:
    with pytest.raises(CampaignDatabaseError, match=r"nowhere/x\.db"):
        make("nowhere/x.db")


def test_a_file_that_may_only_be_read(file: Path) -> None:
    campaign = Campaign.open(file)
    connect = campaign._database._connect

    def connect_read_only() -> sqlite3.Connection:
        connection = connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    campaign._database.engine.pool._creator = connect_read_only
    with pytest.raises(CampaignDatabaseError, match="may not be written"):
        campaign.tell("r003", 1.0)


# -- versions -------------------------------------------------------------------------


def test_a_later_version_is_refused(file: Path, table: pd.DataFrame) -> None:
    opened = Campaign.open(file)
    run(file, "UPDATE skal_meta SET value = '99' WHERE name = 'schema_version'")
    before = file.read_bytes()
    with pytest.raises(CampaignDatabaseError, match=r"version 99.* a later skal"):
        Campaign.open(file, table, **REGRESSION)
    # The same for a process that has opened it before.
    with pytest.raises(CampaignDatabaseError, match="version 99"):
        opened.tell("r003", 1.0)
    assert file.read_bytes() == before


def test_earlier_versions_are_migrated_step_by_step(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlalchemy as sa

    def add_notes(connection: Any) -> None:
        connection.execute(sa.text("CREATE TABLE skal_notes (note TEXT)"))

    def fail(connection: Any) -> None:
        connection.execute(sa.text("INSERT INTO skal_notes VALUES ('half')"))
        raise ZeroDivisionError

    def fill(connection: Any) -> None:
        connection.execute(sa.text("INSERT INTO skal_notes VALUES ('whole')"))

    events = Campaign.open(file).events()
    before = file.read_bytes()
    now = database.SCHEMA_VERSION
    monkeypatch.setattr(database, "SCHEMA_VERSION", now + 2)
    with pytest.raises(CampaignDatabaseError, match="cannot migrate"):
        Campaign.open(file)
    monkeypatch.setattr(database, "MIGRATIONS", {now: add_notes, now + 1: fail})
    with pytest.raises(ZeroDivisionError):
        Campaign.open(file)
    assert file.read_bytes() == before  # all steps or none
    monkeypatch.setattr(database, "MIGRATIONS", {now: add_notes, now + 1: fill})
    for _ in range(2):  # the second time, there is nothing to do
        campaign = Campaign.open(file)
        assert campaign.events().equals(events)
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("SELECT note FROM skal_notes").fetchall()
    assert found == [("whole",)]


def test_nothing_is_unpickled() -> None:
    for path in Path(database.__file__).parent.glob("*.py"):
        found = {name.split(".")[0] for name in _imports(path.read_text())}
        loaders = {"pickle", "joblib", "cloudpickle", "dill", "marshal", "shelve"}
        assert not found & loaders, path.name


def test_passwords_are_not_shown() -> None:
    pytest.importorskip("sqlalchemy")
    pytest.importorskip("psycopg")
    url = "postgresql+psycopg://ann:secret@127.0.0.1:1/x?connect_timeout=1"
    with pytest.raises(CampaignDatabaseError) as raised:
        Campaign.open(url)
    assert "secret" not in str(raised.value)
    assert "127.0.0.1" in str(raised.value)
