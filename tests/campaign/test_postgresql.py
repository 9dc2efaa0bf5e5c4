"""Campaigns in PostgreSQL, whose server is started here, on 127.0.0.1."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import BayesianRidge

from skal.campaign import Campaign
from skal.exceptions import CampaignDatabaseError
from skal.strategies import Random
from tests.campaign.conftest import REGRESSION
from tests.campaign.test_kill import run_kills

pytestmark = pytest.mark.slow


def find_programs() -> Path:
    found = [Path(p).resolve().parent for p in [shutil.which("initdb")] if p]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for folder in found[::-1]:
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    pytest.skip("the programs of PostgreSQL are not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """URL of a server without databases but its own."""
    pytest.importorskip("sqlalchemy", reason="campaigns need the extra `campaign`")
    pytest.importorskip("psycopg", reason="no driver of PostgreSQL is installed")
    programs = find_programs()
    as_user: dict[str, Any] = {}
    folder = Path(tempfile.mkdtemp(prefix="skal-pg"))
    if os.getuid() == 0:  # which PostgreSQL refuses
        try:
            user = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("PostgreSQL does not run as root, and there is no other user")
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        os.chown(folder, user.pw_uid, user.pw_gid)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def call(program: str, *arguments: str) -> None:
        subprocess.run(
            [programs / program, "-D", str(folder / "data"), *arguments],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
            **as_user,
        )

    settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    call("initdb", "-U", "skal", "-A", "trust", "-E", "UTF8", "--no-sync")
    call("pg_ctl", "start", "-w", "-o", settings, "-l", str(folder / "log"))
    try:
        yield f"postgresql+psycopg://skal@127.0.0.1:{port}/"
    finally:
        call("pg_ctl", "stop", "-m", "immediate")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def url(server: str, request: pytest.FixtureRequest) -> str:
    """URL of a new database."""
    import sqlalchemy as sa

    name = request.node.name.split("[")[0]
    engine = sa.create_engine(f"{server}postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{server}{name}"


def test_a_campaign_from_start_to_end(
    url: str, table: pd.DataFrame, y: pd.Series
) -> None:
    start = y.where(np.arange(len(y)) < 12)
    campaign = Campaign.create(url, table, y=start, random_state=0, **REGRESSION)
    with pytest.raises(FileExistsError, match="a campaign already"):
        Campaign.create(url, table, **REGRESSION)
    ann = campaign.ask(5, "Jürgen")
    other = Campaign.open(url, table, **REGRESSION)
    bob = other.ask(5, "bob")
    assert not set(ann.ids) & set(bob.ids)
    other.tell(bob.ids, y[bob.ids], "bob")
    campaign.tell(ann.ids[:4], y[ann.ids[:4]], "Jürgen")
    assert campaign.ask(3, "Jürgen").ids[0] == ann.ids[4]
    status = Campaign.open(url).status()
    assert status.states["answered"] == 21
    assert status.annotators["Jürgen"] == {"answer": 4, "waiting": 3}
    assert campaign.replay()["same"].all()


def test_picks_are_those_of_a_file(
    url: str, table: pd.DataFrame, y: pd.Series, tmp_path: Path
) -> None:
    batches = []
    for place in (url, tmp_path / "campaign.db"):
        campaign = Campaign.create(
            place, table, y=y.iloc[:12].reindex(y.index), random_state=0, **REGRESSION
        )
        batches.append(campaign.ask(8).ids)
    assert batches[0] == batches[1]


def test_a_later_version_is_refused(url: str, table: pd.DataFrame) -> None:
    import sqlalchemy as sa

    campaign = Campaign.create(url, table, **REGRESSION)
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE skal_meta SET value = '99' WHERE name = 'schema_version'")
        )
    for use in (lambda: Campaign.open(url), lambda: campaign.tell("r001", 1.0)):
        with pytest.raises(CampaignDatabaseError, match="install a later skal"):
            use()


def test_the_first_version_is_migrated(
    url: str, table: pd.DataFrame, y: pd.Series
) -> None:
    import sqlalchemy as sa

    start = y.where(np.arange(len(y)) < 12)
    parts = {"model": BayesianRidge(), "strategy": Random()}
    campaign = Campaign.create(url, table, y=start, random_state=0, **parts)
    first = campaign.ask(3)
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        for statement in (
            "ALTER TABLE skal_events DROP COLUMN probability",
            "UPDATE skal_meta SET value = '1' WHERE name = 'schema_version'",
        ):
            connection.execute(sa.text(statement))
    again = Campaign.open(url, table, **parts)
    assert again.waiting().ids == first.ids
    batch = again.ask(3, "ann")
    again.tell(batch.ids, y[batch.ids], "ann")
    assert again.drawn_errors()["n"].tolist() == [3]


def test_killed_processes_lose_and_double_no_label(url: str) -> None:
    assert run_kills(8, "--url", url)["labels"] > 5
