"""The server: where it listens, what it prints, and what it says of failures."""

from __future__ import annotations

import re
import socket
import threading
import time
import urllib.request
from collections.abc import Callable
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import BayesianRidge

from skal.campaign import Campaign
from skal.exceptions import CampaignDatabaseError
from skal.labeling import LabelingApp, make_app
from skal.labeling import serve as run_server
from skal.labeling.page import Page
from skal.labeling.worker import Worker
from skal.stopping import Budget, StablePredictions
from tests.labeling.conftest import Browser

Serve = Callable[..., LabelingApp]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_server_runs_until_it_is_interrupted(
    host: str,
    serve: Serve,
    look: Callable[[], Campaign],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uvicorn = pytest.importorskip("uvicorn")
    if host == "::1":
        try:
            socket.create_server((host, 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("This machine has no IPv6.")
    app, run = serve(), uvicorn.Server.run
    opened: list[str] = []
    seen: dict[str, Any] = {}

    def make(campaign: Campaign, **options: Any) -> LabelingApp:
        seen.update(options)
        return app

    def visit(server: Any) -> None:
        try:
            while not server.started:
                time.sleep(0.01)
            seen["printed"] = capsys.readouterr().out
            cookies = urllib.request.HTTPCookieProcessor(CookieJar())
            opener = urllib.request.build_opener(cookies)
            seen["page"] = opener.open(seen["printed"].strip()).read().decode()
        finally:
            server.should_exit = True

    def interrupted(server: Any, sockets: Any) -> None:
        visitor = threading.Thread(target=visit, args=[server])
        visitor.start()
        run(server, sockets=sockets)
        visitor.join()
        seen["logs"] = server.config.access_log
        raise KeyboardInterrupt

    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("skal.labeling.app.make_app", make)
    monkeypatch.setattr(uvicorn.Server, "run", interrupted)
    run_server(look(), annotator="ann", n=3, host=host)
    shown = "[::1]" if ":" in host else host
    address = seen.pop("printed")
    assert re.fullmatch(
        rf"http://{re.escape(shown)}:\d+{re.escape(app.start_path)}\n", address
    )
    assert opened == [address.strip()]
    assert "<html" in seen.pop("page")
    assert seen.pop("logs") is False  # they would hold the token
    given = {"annotator": "ann", "images": None, "n": 3, "explain": False}
    assert seen == {**given, "host": host}
    assert not app.worker._thread.is_alive()


def test_failures_are_said_on_the_page(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [CampaignDatabaseError("The disk is full."), RuntimeError("<b>")]

    def fail(*args: Any) -> Any:
        raise errors.pop(0)

    monkeypatch.setattr(Page, "state", fail)
    browser = Browser(serve(), "ann")
    for code, words in ((503, "The disk is full."), (500, "RuntimeError: &lt;b&gt;")):
        response = browser.client.get("/state")
        assert response.status_code == code
        assert words in response.text


class Broken(Budget):
    """Cannot be asked."""

    def update(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no rule")


def test_a_failing_rule_or_score_does_not_stop_the_page(
    serve: Serve,
    look: Callable[[], Campaign],
    table: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no score")

    monkeypatch.setattr("skal.labeling.worker.score_at", fail)
    app = serve(stop=Broken(8))
    browser = Browser(app, "ann")
    for _ in range(10):
        browser.label(f"{table.loc[str(browser.row), 'a']}")
    deadline = time.monotonic() + 30
    while app.worker.curve_error is None and time.monotonic() < deadline:
        time.sleep(0.05)
    last = look().status().last
    assert last is not None
    assert last.failure == "RuntimeError: no rule"
    assert app.worker.curve_error == "RuntimeError: no score"
    assert app.worker.curve() == []
    assert browser.row


def test_a_failure_is_shown_until_the_next_score_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = np.arange(30.0)[:, None]
    worker = Worker(Campaign.create(tmp_path / "l.db", X, model=BayesianRidge()))
    seen = []

    def score(*args: Any, **kwargs: Any) -> Any:
        seen.append(worker.curve_error)
        if len(seen) == 1:
            raise RuntimeError("no score")

    monkeypatch.setattr("skal.labeling.worker.score_at", score)
    worker._score(4)
    worker._score(8)
    assert seen == [None, "RuntimeError: no score"]
    assert worker.curve_error is None


def test_the_rule_compares_some_rows_of_a_large_pool(
    serve: Serve, tmp_path: Path
) -> None:
    app = serve()
    rule: Any = app.worker._campaign._watch
    assert isinstance(rule._given, StablePredictions)
    assert len(rule._given.X) == 30
    X = np.arange(2001.0)[:, None]
    model = BayesianRidge()
    campaign = Campaign.create(tmp_path / "l.db", X, model=model, random_state=0)
    app = make_app(campaign)
    try:
        rule = app.worker._campaign._watch
        rows = np.asarray(rule._given.X)[:, 0]
    finally:
        app.close(30)
    assert len(rows) == len(set(rows)) == 2000
    assert (np.diff(rows) > 0).all()
