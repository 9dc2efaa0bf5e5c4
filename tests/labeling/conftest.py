"""A small campaign, and browsers that send what the page's forms and keys send."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from html import unescape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import BayesianRidge, LogisticRegression

from skal.campaign import Campaign
from skal.labeling import LabelingApp, make_app
from skal.strategies import Random

N_ROWS = 30
URL = "http://127.0.0.1:8000"


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(N_ROWS, 2)), columns=["a", "b"])
    X.index = pd.Index([f"r{k:02d}" for k in range(N_ROWS)], name="sample")
    return X


class Browser:
    """Opens the start address, and sends the forms of the pages it sees."""

    def __init__(self, app: LabelingApp, name: str = "") -> None:
        from starlette.testclient import TestClient

        self.client = TestClient(app, base_url=URL, raise_server_exceptions=False)
        self.html = ""
        self.code = 0
        self.start = self.client.get(app.start_path)
        assert self.start.status_code == 200
        self.get()
        if name:
            self.post("/name", name=name)

    def get(self, path: str = "/") -> str:
        """Load a page, and wait while it says that rows are being chosen."""
        for _ in range(600):
            response = self.client.get(path)
            self.html, self.code = response.text, response.status_code
            if 'data-poll="/state"' not in self.html:
                return self.html
            time.sleep(0.05)
        raise AssertionError("Rows were not chosen within 30 seconds.")

    def post(self, path: str, **form: str) -> str:
        """Send a form with the hidden fields of the page, unless they are given."""
        hidden = dict(
            re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.html)
        )
        data = {**{k: unescape(v) for k, v in hidden.items()}, **form}
        response = self.client.post(path, data=data, follow_redirects=False)
        self.html, self.code = response.text, response.status_code
        return self.get() if self.code == 303 else self.html

    def label(self, value: str) -> str:
        return self.post("/label", value=value)

    def act(self, action: str, **form: str) -> str:
        return self.post("/label", action=action, **form)

    @property
    def row(self) -> str | None:
        found = re.search(r'<h1 id="row">([^<]*)</h1>', self.html)
        return found and unescape(found[1])


@pytest.fixture
def serve(table: pd.DataFrame, tmp_path: Path) -> Iterator[Callable[..., LabelingApp]]:
    """Start a server of the campaign in a file, or a new one of it."""
    for name in ("sqlalchemy", "starlette", "uvicorn"):
        pytest.importorskip(name, reason="the page needs the extra `label`")
    if not (find_spec("httpx2") or find_spec("httpx")):
        pytest.skip("Starlette's client needs httpx2, or httpx if it is old.")
    apps = []
    path = tmp_path / "campaign.db"

    def start(**options: Any) -> LabelingApp:
        settings = {
            k: options.pop(k)
            for k in (
                *("classes", "model", "display", "n_answers", "n_initial"),
                "test_share",
            )
            if k in options
        }
        kinds = {True: LogisticRegression(), False: BayesianRidge()}
        parts = {"model": settings.pop("model", kinds["classes" in settings])}
        parts["strategy"] = Random()
        parts["stop"] = options.pop("stop", None)
        if path.exists():
            display = settings.get("display")
            campaign = Campaign.open(path, table, display=display, **parts)
        else:
            campaign = Campaign.create(
                path, table, **parts, **{"random_state": 0, "n_initial": 4, **settings}
            )
        apps.append(make_app(campaign, **{"n": 4, **options}))
        return apps[-1]

    yield start
    for app in apps:
        app.close(30)


@pytest.fixture
def look(table: pd.DataFrame, tmp_path: Path) -> Callable[[], Campaign]:
    """Open the campaign as another process would, to see what was recorded."""
    return lambda: Campaign.open(tmp_path / "campaign.db", table)
