"""The database of a campaign: its tables, transactions, and errors in plain words."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from skal._extras import how_to_install
from skal.campaign.ledger import KINDS, Event
from skal.exceptions import CampaignDatabaseError

__all__ = ["MIGRATIONS", "SCHEMA_VERSION", "Database"]

SCHEMA_VERSION = 2


def _add_probabilities(connection: Any) -> None:
    connection.exec_driver_sql(
        "ALTER TABLE skal_events ADD COLUMN probability DOUBLE PRECISION"
    )


#: From a version to the next one: called with a connection, within the transaction that
#: also sets the version.
MIGRATIONS: dict[int, Callable[[Any], None]] = {1: _add_probabilities}

_TABLES = [
    "CREATE TABLE skal_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE skal_rows (
        position BIGINT PRIMARY KEY, id TEXT NOT NULL UNIQUE, hash BIGINT NOT NULL)""",
    """CREATE TABLE skal_batches (
        batch BIGINT PRIMARY KEY, happened DOUBLE PRECISION NOT NULL,
        annotator TEXT NOT NULL, as_of BIGINT NOT NULL, n_rows BIGINT NOT NULL,
        settings TEXT NOT NULL)""",
    """CREATE TABLE skal_events (
        seq BIGINT PRIMARY KEY, happened DOUBLE PRECISION NOT NULL, kind TEXT NOT NULL,
        position BIGINT NOT NULL REFERENCES skal_rows (position),
        annotator TEXT NOT NULL, value TEXT,
        batch BIGINT REFERENCES skal_batches (batch),
        expires DOUBLE PRECISION, score DOUBLE PRECISION,
        probability DOUBLE PRECISION)""",
]
#: Settings without which a campaign cannot be opened.
_SETTINGS = {
    *("uid", "task", "classes", "target", "id_name", "n_answers", "rule"),
    *("n_initial", "seed", "columns", "notes"),
}
#: What databases say, and what it means; the first entry whose words are found.
_MEANINGS = [
    (
        "locked",
        "another process has been writing to it for longer than `wait`. Nothing was "
        "changed: try again",
    ),
    (
        "not a database",
        "the file is not a database of SQLite, or is damaged. It was left as it is: "
        "restore a copy",
    ),
    (
        "malformed",
        "the file is damaged. It was left as it is: restore a copy, or save what can "
        "be read by the command `.recover` of the program sqlite3",
    ),
    (
        "full",
        "there is no space left on the disk. Nothing was changed: free some space, and "
        "try again",
    ),
    ("no space left", "there is no space left on the disk. Nothing was changed"),
    ("readonly", "it may not be written to. Nothing was changed"),
    ("unable to open", "the file cannot be opened"),
    (
        "disk i/o error",
        "the disk failed, or may hold no more (a quota, or a limit of file sizes). "
        "Open the campaign again to see what was recorded",
    ),
]


def _sqlalchemy() -> Any:
    try:
        import sqlalchemy
    except ImportError as error:
        raise ImportError(
            "Campaigns are stored by SQLAlchemy, which is not installed: "
            f"{how_to_install('campaign')}."
        ) from error
    return sqlalchemy


class Database:
    """A campaign in a file of SQLite, or in a database of PostgreSQL.

    Parameters
    ----------
    url : str or path
        A path, or a URL of SQLAlchemy.
    wait : float
        Seconds to wait for another process that writes.

    Notes
    -----
    Rows and events are only added. Whoever writes holds a lock until the transaction
    ends, so that events are committed in the order of their numbers. A connection lives
    as long as a transaction.
    """

    def __init__(self, url: Any, wait: float = 30.0) -> None:
        sa = _sqlalchemy()
        self._sa = sa
        self.wait = wait
        text = str(url)
        self.file: Path | None = None
        if "://" not in text:  # which may hold "?" and other characters of URLs
            self.file = Path(text)
        else:
            parsed, backend = self._parse(text)
            self.name = parsed.render_as_string(hide_password=True)
            if backend == "sqlite":
                self.file = Path(parsed.database or "")
        if self.file is not None:
            if str(self.file) in (".", ":memory:"):
                raise ValueError("A campaign is kept in a file: pass its path.")
            self.name = str(self.file)
            self.engine = sa.create_engine(
                "sqlite://", creator=self._connect, poolclass=sa.pool.NullPool
            )
            sa.event.listen(self.engine, "begin", _begin)
        else:
            try:
                self.engine = sa.create_engine(parsed, poolclass=sa.pool.NullPool)
            except ImportError as error:
                raise ImportError(
                    f"The driver of {self.name} is not installed ({error}). Install "
                    "psycopg ('psycopg[binary]'), and use a URL that begins with "
                    "postgresql+psycopg://."
                ) from error

    def _parse(self, text: str) -> tuple[Any, str]:
        """Read a URL; raises ValueError if it is of another kind of database."""
        try:
            parsed = self._sa.make_url(text)
            backend = str(parsed.get_backend_name())
        except self._sa.exc.ArgumentError as error:
            raise ValueError(f"This is not a URL of SQLAlchemy: {error}.") from error
        if backend not in ("sqlite", "postgresql"):
            raise ValueError(
                "A campaign is kept in a file of SQLite or in PostgreSQL, got a URL of "
                f"{backend!r}. Pass a path, or postgresql+psycopg://user@host/database."
            )
        return parsed, backend

    def _connect(self) -> sqlite3.Connection:
        # The mode without `c`: a file that is not there is not created.
        uri = f"file:{quote(str(self.file.absolute()))}?mode=rw"  # type: ignore[union-attr]
        connection = sqlite3.connect(
            uri,
            uri=True,
            timeout=self.wait,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            # A commit is on the disk, and so is the end of the journal in its folder.
            connection.execute("PRAGMA synchronous = EXTRA")
        except BaseException:
            connection.close()
            raise
        return connection

    # -- transactions -----------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[Any]:
        """Run a block on one state of the database."""
        with self._clear_errors(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, check: bool = True) -> Iterator[Any]:
        """Run a block in a transaction that excludes other writers.

        What the block wrote is on the disk when this ends; nothing is if it raises.
        """
        with self._clear_errors(), self.engine.connect() as connection:
            connection = connection.execution_options(writes=True)
            with connection.begin():
                if check:
                    self.check_version(connection)
                yield connection

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except self._sa.exc.DBAPIError as error:
            raise CampaignDatabaseError(self._explain(error.orig)) from error
        except sqlite3.Error as error:  # while a connection is made
            raise CampaignDatabaseError(self._explain(error)) from error

    def _explain(self, error: Any) -> str:
        text = str(error)
        for words, meaning in _MEANINGS:
            if words in text.lower():
                return f"The campaign {self.name}: {meaning} ({text})."
        return f"The campaign {self.name}: {text}."

    # -- versions ---------------------------------------------------------------------

    def create(
        self,
        meta: Mapping[str, Any],
        rows: Sequence[dict[str, Any]],
        events: Sequence[Event] = (),
    ) -> None:
        """Make the tables, and add settings, rows and events; all of it or nothing.

        Raises
        ------
        FileExistsError
            If there is a campaign already, or another database in the file.
        CampaignDatabaseError
            If the database cannot be written.
        """
        with self._clear_file_errors():
            is_new = self.file is not None and not self.file.exists()
        if is_new:
            with self._clear_file_errors():
                self.file.touch()  # type: ignore[union-attr]
        try:
            with self.writing(check=False) as connection:
                tables = self._sa.inspect(connection).get_table_names()
                if "skal_meta" in tables or (tables and self.file is not None):
                    what = "a campaign" if "skal_meta" in tables else "other tables"
                    raise FileExistsError(
                        f"{self.name} holds {what} already: use another file, or "
                        "Campaign.open."
                    )
                for statement in _TABLES:
                    connection.execute(self._sa.text(statement))
                self.set_meta(
                    connection, {"schema_version": SCHEMA_VERSION, **dict(meta)}
                )
                self.add_rows(connection, rows)
                self.add_events(connection, events)
        except BaseException:
            if is_new:
                with suppress(OSError):
                    self.file.unlink()  # type: ignore[union-attr]
            raise

    @contextmanager
    def _clear_file_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CampaignDatabaseError(f"The campaign {self.name}: {error}.") from None

    @contextmanager
    def _clear_contents(self, table: str) -> Iterator[None]:
        try:
            yield
        except (TypeError, ValueError) as error:
            raise CampaignDatabaseError(
                f"The campaign {self.name}: its table {table} was damaged or changed "
                f"by hand ({error}). It was left as it is: restore a copy."
            ) from error

    def open(self) -> None:
        """Check the file and its version; an older one is migrated.

        Raises
        ------
        FileNotFoundError
            If there is no campaign.
        CampaignDatabaseError
            If the file is damaged, or was written by a later version.
        """
        with self._clear_file_errors():
            is_there = self.file is None or self.file.exists()
        if not is_there:
            raise FileNotFoundError(
                f"There is no campaign {self.name}: make it by Campaign.create."
            )
        with self.reading() as connection:
            if self.file is not None:
                found = connection.execute(self._sa.text("PRAGMA quick_check(1)"))
                if (problem := found.scalar()) != "ok":
                    raise CampaignDatabaseError(self._explain(f"malformed: {problem}"))
            if "skal_meta" not in self._sa.inspect(connection).get_table_names():
                raise FileNotFoundError(
                    f"There is no campaign in {self.name}, which holds other data or "
                    "none."
                )
            version = self._version(connection)
        if version < SCHEMA_VERSION:
            self._migrate()
        with self.reading() as connection:
            self.check_version(connection)

    def _version(self, connection: Any, lock: str = "") -> int:
        statement = "SELECT value FROM skal_meta WHERE name = 'schema_version'"
        value = connection.execute(self._sa.text(statement + lock)).scalar()
        with self._clear_contents("skal_meta"):
            return int(json.loads(value))

    def check_version(self, connection: Any) -> None:
        """Raise if the tables are of another version; locks the campaign to write."""
        writes = connection.get_execution_options().get("writes", False)
        # SQLite has locked the file already.
        version = self._version(
            connection, " FOR UPDATE" if writes and self.file is None else ""
        )
        if version != SCHEMA_VERSION:
            raise CampaignDatabaseError(
                f"The campaign {self.name} has tables of version {version}, and this "
                f"version of skal reads version {SCHEMA_VERSION}: install a later "
                "skal. Nothing was changed."
            )

    def _migrate(self) -> None:
        with self.writing(check=False) as connection:
            version = self._version(connection)  # another process may have been first
            while version < SCHEMA_VERSION:
                if version not in MIGRATIONS:
                    raise CampaignDatabaseError(
                        f"The campaign {self.name} has tables of version {version}, "
                        "from which this version of skal cannot migrate."
                    )
                MIGRATIONS[version](connection)
                version += 1
                self.set_meta(connection, {"schema_version": version})

    # -- settings, rows, batches, events ----------------------------------------------

    def meta(self, connection: Any) -> dict[str, Any]:
        """Read the settings."""
        found = connection.execute(self._sa.text("SELECT name, value FROM skal_meta"))
        with self._clear_contents("skal_meta"):
            meta = {name: json.loads(value) for name, value in found}
            lacking = sorted(_SETTINGS - set(meta))
            if lacking:
                raise ValueError(f"{lacking} are missing")
            return meta

    def set_meta(self, connection: Any, values: Mapping[str, Any]) -> None:
        """Write settings over those of the same names."""
        for name, value in values.items():
            parameters = {"name": name, "value": json.dumps(value)}
            delete = self._sa.text("DELETE FROM skal_meta WHERE name = :name")
            connection.execute(delete, {"name": name})
            self._insert(connection, "skal_meta", [parameters])

    def rows(self, connection: Any) -> tuple[list[str], list[int]]:
        """Read the ids and the hashes of the rows, in their order."""
        found = connection.execute(
            self._sa.text("SELECT id, hash FROM skal_rows ORDER BY position")
        ).all()
        return [row[0] for row in found], [row[1] for row in found]

    def add_rows(self, connection: Any, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows: position, id, hash."""
        self._insert(connection, "skal_rows", rows)

    def events(self, connection: Any, after: int = 0) -> list[Event]:
        """Read the events after one, in their order."""
        columns = ", ".join(Event._fields)
        statement = self._sa.text(
            f"SELECT {columns} FROM skal_events WHERE seq > :after ORDER BY seq"
        )
        found = connection.execute(statement, {"after": after}).all()
        with self._clear_contents("skal_events"):
            return [_event(Event(*row)) for row in found]

    def add_events(self, connection: Any, events: Sequence[Event]) -> None:
        """Add events, whose numbers follow the last one."""
        rows = []
        for event in events:
            value = None if event.value is None else json.dumps(event.value)
            rows.append(event._replace(value=value)._asdict())
        self._insert(connection, "skal_events", rows)

    def batches(self, connection: Any) -> list[dict[str, Any]]:
        """Read what is known of each batch."""
        found = connection.execute(
            self._sa.text("SELECT * FROM skal_batches ORDER BY batch")
        )
        rows = found.mappings().all()
        with self._clear_contents("skal_batches"):
            return [{**row, "settings": json.loads(row["settings"])} for row in rows]

    def add_batch(self, connection: Any, **values: Any) -> int:
        """Add a batch; return its number."""
        last = connection.execute(
            self._sa.text("SELECT MAX(batch) FROM skal_batches")
        ).scalar()
        batch = (last or 0) + 1
        settings = json.dumps(values.pop("settings"))
        row = {"batch": batch, "settings": settings, **values}
        self._insert(connection, "skal_batches", [row])
        return batch

    def _insert(
        self, connection: Any, table: str, rows: Sequence[dict[str, Any]]
    ) -> None:
        if rows:
            names = list(rows[0])
            values = ", ".join(f":{name}" for name in names)
            statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})"
            connection.execute(self._sa.text(statement), list(rows))


def _event(row: Event) -> Event:
    """Read what an event holds; raises ValueError if skal has not written it."""
    if row.kind not in KINDS or (row.kind == "ask" and row.expires is None):
        raise ValueError(f"event {row.seq} is of an unknown kind")
    return row._replace(value=None if row.value is None else json.loads(row.value))


def _begin(connection: Any) -> None:
    """Begin a transaction of SQLite, which Python's module would do too late."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
