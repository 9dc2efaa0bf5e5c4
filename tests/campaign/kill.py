"""Kill processes that work on one campaign, and look for labels lost or doubled.

Run as ``python -m tests.campaign.kill --n 200`` (``make kill``). Two annotators ask,
label, correct, skip and fit without a pause, in processes that are killed (SIGKILL) at
random moments and replaced. Each writes to a log what it is about to tell, and that a
call has returned; the database is then compared with the logs, without skal. Processes
are forked, so that a round does not cost the import of torch.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sklearn.linear_model import BayesianRidge

from skal.campaign import Campaign
from skal.strategies import LCMD

N_ROWS = 300
NAMES = ("ann", "bob")
#: A process is killed after up to so many entries of its log, and so many seconds: on a
#: busy machine, seconds alone would pass before anything is done.
ENTRIES, LONGEST = 8, 0.03


def make_pool() -> pd.DataFrame:
    X = pd.DataFrame(
        np.random.default_rng(0).normal(size=(N_ROWS, 2)), columns=["a", "b"]
    )
    X.index = [f"r{k}" for k in range(N_ROWS)]
    return X


def open_campaign(url: str) -> Campaign:
    return Campaign.open(url, make_pool(), model=BayesianRidge(), strategy=LCMD())


def work(url: str, log: Path, name: str, seed: int) -> None:
    """Ask, tell, skip and fit until killed."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(**entry: Any) -> None:
        os.write(file, (json.dumps(entry) + "\n").encode())

    rng = np.random.default_rng(seed)
    campaign = open_campaign(url)
    write(kind="ready")
    while True:
        batch = campaign.ask(int(rng.integers(1, 6)), name)
        ids = [key for key in batch.ids if rng.random() < 0.8]
        if rng.random() < 0.3 or not ids:  # correct something, too
            ids.append(f"r{rng.integers(N_ROWS)}")
        ids = sorted(set(ids))
        # No value is told twice.
        y = [float(f"{time.time_ns() % 10**12}{k}") for k in range(len(ids))]
        write(kind="intent", ids=ids, y=y)
        campaign.tell(ids, y, name)
        write(kind="done", ids=ids, y=y)
        if rng.random() < 0.1 and batch.ids[-1:] and batch.ids[-1] not in ids:
            campaign.skip(batch.ids[-1], name)
        if rng.random() < 0.3:
            campaign.fit()


def fork(function: Any, *args: Any) -> int:
    """Run a function in a process of its own, which ends with it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function(*args)
            code = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(code)
    return pid


def kill(pid: int) -> None:
    """Kill a process; raise if it has ended by itself."""
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), f"a worker ended by itself, with {status}"


def read(log: Path) -> list[Any]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def wait_for(pid: int, log: Path, n: int) -> None:
    """Wait until a log has `n` entries; raise if the process ends instead."""
    while len(read(log)) < n:
        ended, status = os.waitpid(pid, os.WNOHANG)
        assert not ended, f"a worker ended by itself, with {status}"
        time.sleep(0.002)


def check(url: str, logs: dict[str, Path]) -> dict[str, int]:
    """Compare the database with the logs."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        events = connection.execute(
            sa.text(
                "SELECT seq, kind, id, annotator, value, batch, expires "
                "FROM skal_events JOIN skal_rows USING (position) ORDER BY seq"
            )
        ).all()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    told = Counter(
        (e.id, e.annotator, json.loads(e.value)) for e in events if e.kind == "answer"
    )
    assert set(told.values()) <= {1}, "a label is doubled"
    intended, n_done = set(), 0
    for name, log in logs.items():
        entries = [e for e in read(log) if e["kind"] != "ready"]
        for k, entry in enumerate(entries):
            keys = {(i, name, v) for i, v in zip(entry["ids"], entry["y"], strict=True)}
            n_found = len(keys & set(told))
            if entry["kind"] == "done":
                assert n_found == len(keys), f"labels are lost: {keys - set(told)}"
                n_done += len(keys)
                continue
            intended |= keys
            assert n_found in (0, len(keys)), f"half of a call is there: {keys}"
            is_last = k + 1 == len(entries) or entries[k + 1]["kind"] == "intent"
            assert is_last or n_found
    assert set(told) <= intended, "a label is there that nobody gave"
    # Who was asked for a row when another one held it?
    holders: dict[str, str] = {}
    for event in events:
        if event.kind == "ask":
            holder = holders.setdefault(event.id, event.annotator)
            assert holder == event.annotator, f"{event.id} was asked twice"
        elif event.kind == "skip":
            holders.pop(event.id, None)
    return {"events": len(events), "labels": len(told), "returned": n_done}


def make_and_kill(folder: Path, delay: float) -> None:
    """Kill a process that starts a campaign: it is there as a whole, or not at all."""
    url = str(folder / "new.db")

    def make() -> None:
        Campaign.create(
            url, make_pool(), model=BayesianRidge(), strategy=LCMD(), y=[1.0] * N_ROWS
        )
        time.sleep(60)

    pid = fork(make)
    time.sleep(delay)
    kill(pid)
    try:
        campaign = open_campaign(url)
    except FileNotFoundError:
        make_once = {"model": BayesianRidge(), "strategy": LCMD()}
        campaign = Campaign.create(url, make_pool(), **make_once)
    else:
        assert campaign.status().states["answered"] == N_ROWS
    for file in folder.glob("new.db*"):
        file.unlink()


def run(url: str, folder: Path, n: int, seed: int = 0) -> dict[str, int]:
    """Kill `n` processes; raise AssertionError if a label is lost or doubled."""
    rng = np.random.default_rng(seed)
    parts: Any = {"model": BayesianRidge(), "strategy": LCMD()}
    # What is imported late is imported here, before the processes are forked.
    y = np.where(np.arange(N_ROWS) % 2, 1.0, np.nan)
    Campaign.create(folder / "trial.db", make_pool(), y=y, **parts).ask(1)
    Campaign.create(url, make_pool(), random_state=0, **parts)
    logs = {name: folder / f"{name}.log" for name in NAMES}
    for log in logs.values():
        log.touch()
    workers = {
        name: fork(work, url, logs[name], name, int(rng.integers(2**31)))
        for name in NAMES
    }
    n_torn, begun = 0, dict.fromkeys(NAMES, 0)
    try:
        for k in range(n):
            if k % 10 == 9:
                make_and_kill(folder, float(rng.uniform(0, 0.05)))
                continue
            name = NAMES[k % 2]
            if k % 5:  # the others are killed while they open
                n_entries = begun[name] + int(rng.integers(1, ENTRIES))
                wait_for(workers[name], logs[name], n_entries)
            time.sleep(float(rng.uniform(0, LONGEST)))
            kill(workers.pop(name))
            n_torn += any(folder.glob("*-journal"))
            begun[name] = len(read(logs[name]))
            workers[name] = fork(work, url, logs[name], name, int(rng.integers(2**31)))
    finally:
        for pid in workers.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    counts = check(url, logs)
    replayed = open_campaign(url).status()
    assert sum(replayed.states.values()) == N_ROWS
    return {"kills": n, "during a write": n_torn, **counts}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=200, help="number of kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--url", help="of an empty database; a new file by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        url = options.url or f"sqlite:///{name}/campaign.db"
        print(json.dumps(run(url, Path(name), options.n, options.seed)))
