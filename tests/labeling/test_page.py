"""What annotators see and send: labels are kept, and wrong ones are not."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import BayesianRidge, LogisticRegression

from skal.campaign import Campaign
from skal.labeling import LabelingApp
from skal.labeling.curve import draw_curve
from skal.labeling.images import Images
from skal.stopping import Budget, StoppingRule
from skal.strategies import Random
from tests.labeling.conftest import N_ROWS, Browser

Serve = Callable[..., LabelingApp]
Look = Callable[[], Campaign]


class Failing(BayesianRidge):
    """Cannot be fitted."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        raise RuntimeError("<b>no convergence</b>")


class Slow(BayesianRidge):
    """Takes as long as the test says."""

    started, free = threading.Event(), threading.Event()

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        self.started.set()
        assert self.free.wait(60)
        return super().fit(X, y)


def test_labels_outlive_the_server(serve: Serve, look: Look) -> None:
    sent = {}
    app = serve()
    browser = Browser(app, "ann")
    for k in range(20):
        sent[browser.row] = f"{k / 8}"
        browser.label(f"{k / 8}")
        assert browser.code == 200
        # Durable before the answer came: seen by another process.
        assert {r: v for r, _, v in look().said("ann")} == {
            r: float(v) for r, v in sent.items()
        }
        if k == 11:
            before = browser.row
            app.close(30)
            app = serve()
            browser = Browser(app, "ann")
            assert browser.row == before
    assert len(sent) == 20
    assert browser.row not in sent
    labels = look().export()["label"].dropna()
    assert labels.to_dict() == {row: float(value) for row, value in sent.items()}
    assert f"20 of {N_ROWS} rows have labels" in browser.html
    assert browser.get() == browser.get()  # reloading changes nothing


def _reasons(browser: Browser) -> str:
    """Wait for what the page says of the picks; it follows the rows."""
    for _ in range(600):
        found = re.search(r'<details id="why">(.*?)</details>', browser.get(), re.S)
        if found:
            return re.sub(r"\s*<[^>]*>\s*", " ", found[1])
        time.sleep(0.05)
    raise AssertionError("Nothing was explained within 30 seconds.")


def test_why_a_row_is_asked(serve: Serve, table: pd.DataFrame) -> None:
    browser = Browser(serve(explain=True), "ann")
    assert "Why this row?" not in browser.html  # picked before there was a model
    labeled = []
    for k in range(12):
        labeled.append(browser.row)
        browser.label(f"{k}")
    said = _reasons(browser)
    for part in ("Why this row?", "rank in its batch", "uncertainty of the model"):
        assert part in said
    assert "prediction" not in said
    shown = re.search(r"row with a label\s+(\S+)\s+that row\s+(r\d\d)", said)
    assert shown is not None
    assert shown[2] in labeled
    distance = np.linalg.norm(table.loc[browser.row] - table.loc[shown[2]])
    assert float(shown[1]) == pytest.approx(distance, rel=1e-3)


def test_nothing_is_explained_by_default_or_if_it_fails(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(serve(), "ann")
    for k in range(5):
        browser.label(f"{k}")
    assert browser.row is not None
    assert "Why this row?" not in browser.html

    def fail(*_: Any) -> None:
        raise RuntimeError("no reason")

    monkeypatch.setattr("skal.labeling.worker.explain_batch", fail)
    browser = Browser(serve(explain=True), "ann")
    for k in range(8):
        browser.label(f"{k}")  # goes on
    assert browser.code == 200
    assert "Why this row?" not in browser.html


def test_classes_have_keys(serve: Serve, look: Look) -> None:
    browser = Browser(serve(classes=["ja", "nein", 3]), "ann")
    buttons = re.findall(r'value="([^"]*)" data-key="(\d)"', browser.html)
    assert buttons == [("ja", "1"), ("nein", "2"), ("3", "3")]
    first = browser.row
    browser.label("3")
    second = browser.row
    browser.label("nein")
    for wrong in ("", "vielleicht", "4"):
        browser.label(wrong)
        assert browser.code == 422
        assert "is not one of the classes" in browser.html
    assert look().said("ann") == [(second, "answer", "nein"), (first, "answer", 3)]


def test_wrong_labels_are_shown_and_not_recorded(serve: Serve, look: Look) -> None:
    browser = Browser(serve(), "ann")
    row = browser.row
    for value, words in [
        ("", "is not a number"),
        ("12a", "is not a number"),
        ("1,5", "is not a number"),
        ("nan", "is not a label"),
        ("inf", "is not finite"),
    ]:
        browser.label(value)
        assert browser.code == 422
        assert "Nothing was recorded" in browser.html
        assert words in browser.html
        assert browser.row == row
        assert f'data-number value="{value}"' in browser.html  # to be mended
    assert look().said("ann") == []


def test_skip_cannot_label_undo_and_take_back(serve: Serve, look: Look) -> None:
    browser = Browser(serve(), "ann")
    skipped = browser.row
    browser.act("skip", value="")
    hopeless = browser.row
    browser.act("cannot", value="")
    wrong = browser.row
    browser.label("1")
    assert [said[:2] for said in look().said("ann")] == [
        (wrong, "answer"),
        (hopeless, "cannot"),
        (skipped, "skip"),
    ]
    # Undo leads to the last row, and from there to the one before.
    assert f'href="/?row={wrong}" data-key="u"' in browser.html
    browser.get(f"/?row={wrong}")
    assert "(now: 1)" in browser.html
    assert f'href="/?row={hopeless}" data-key="u"' in browser.html
    browser.label("2.5")
    browser.get(f"/?row={skipped}")
    assert "(now: skipped)" in browser.html
    browser.label("7")
    browser.get(f"/?row={hopeless}")
    browser.act("withdraw")
    campaign = look()
    assert {r: v for r, _, v in campaign.said("ann")} == {wrong: 2.5, skipped: 7.0}
    history = campaign.events().query("kind != 'ask'")
    assert history[history["id"] == wrong]["value"].tolist() == [1.0, 2.5]
    assert history[history["id"] == hopeless]["kind"].tolist() == ["cannot", "withdraw"]


def test_a_form_that_is_out_of_date_corrects_nothing(serve: Serve, look: Look) -> None:
    app = serve()
    first, second = Browser(app, "ann"), Browser(app, "ann")
    row = first.row
    assert second.row == row
    stale = second.html
    first.label("1")
    second.label("2")
    assert second.code == 422
    assert "has changed since this page was made" in second.html
    second.html = stale
    second.label("1")  # the same once more, as by two clicks
    assert second.code == 200
    assert look().said("ann") == [(row, "answer", 1.0)]
    other = second.row
    second.post("/label", row="r-1", value="1")
    assert second.code == 422
    held = set(look().waiting("ann").ids)
    free = next(key for key in look().ids if key not in {row, *held})
    second.get()
    second.post("/label", row=free, value="1")
    assert second.code == 422
    assert "is not reserved for ann" in second.html
    second.get()
    second.act("explode")
    assert second.code == 422
    assert second.row == other
    assert len(look().said("ann")) == 1


def test_annotators_never_get_the_same_row(serve: Serve, look: Look) -> None:
    app = serve()
    browsers = {name: Browser(app, name) for name in ("ann", "bob")}
    seen: dict[str, list[str | None]] = {"ann": [], "bob": []}
    while any(browser.row for browser in browsers.values()):
        for name, browser in browsers.items():
            if browser.row:
                seen[name].append(browser.row)
                browser.label("1")
    rows = seen["ann"] + seen["bob"]
    assert len(rows) == len(set(rows)) == N_ROWS
    assert min(map(len, seen.values())) > N_ROWS / 4
    assert 'id="done"' in browsers["ann"].html
    assert set(look().status().annotators) == {"ann", "bob"}


def test_names_are_checked_and_can_change(serve: Serve) -> None:
    app = serve()
    browser = Browser(app)
    assert "Who labels?" in browser.html
    for name in ("", "  ", "a\nb", "x" * 101, "start"):
        browser.post("/name", name=name)
        assert browser.code == 422
        assert 'role="alert"' in browser.html
    browser.post("/label", row="r00", value="1")
    assert "Who labels?" in browser.html
    browser.post("/name", name=" Jürgen <b> ")
    assert "<strong>Jürgen &lt;b&gt;</strong>" in browser.html
    assert "Who labels?" not in Browser(serve(annotator="bob")).html


def test_values_are_shown_as_text(serve: Serve, table: pd.DataFrame) -> None:
    attack = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    display = pd.DataFrame({attack: [attack] * N_ROWS}, index=table.index)
    classes = [attack, "'\" onclick=alert(1)"]
    browser = Browser(serve(display=display, classes=classes, annotator=attack))
    browser.label(classes[1])
    assert attack not in browser.html
    tags = set(re.findall(r"<(script|img)\b[^>]*>", browser.html))
    scripts = re.findall(r"<script[^>]*>", browser.html)
    assert scripts == ['<script src="/static/page.js" defer>']
    assert "img" not in tags
    assert " onclick=" not in re.sub(r'"[^"]*"', "", browser.html).split("<main>")[0]
    assert browser.html.count("&lt;script&gt;") > 4
    browser.label("<script>")
    assert "&#39;&lt;script&gt;&#39; is not one of" in browser.html


def test_a_failing_fit_is_shown_and_can_be_repeated(serve: Serve, look: Look) -> None:
    app = serve(model=Failing())
    browser = Browser(app, "ann")
    while browser.row:  # the rows before the first fit
        browser.label("1")
    assert "Rows could not be chosen: RuntimeError: &lt;b&gt;no conv" in browser.html
    n_said = len(look().said("ann"))
    assert n_said >= 4
    browser.post("/retry")
    assert "Rows could not be chosen" in browser.html
    app.close(30)
    browser = Browser(serve(), "ann")  # with a model that can be fitted
    assert browser.row
    assert "Rows could not be chosen" not in browser.html
    assert len(look().said("ann")) == n_said


def test_nobody_waits_for_a_fit(serve: Serve, look: Look) -> None:
    Slow.started.clear()
    Slow.free.clear()
    browser = Browser(serve(model=Slow(), n=6, n_initial=3), "ann")
    try:
        for k in range(4):
            browser.label(f"{k}")
        # A fit has begun, and meanwhile the rows that wait are labeled.
        assert Slow.started.wait(30)
        assert browser.row is not None
        browser.label("5")
        assert browser.code == 200
        assert len(look().said("ann")) == 5
        html = browser.client.get("/").text
        for _ in range(10):
            if "being chosen" in html:
                break
            browser.html = html
            data = {"value": "1"}
            hidden = r'<input type="hidden" name="(\w+)" value="([^"]*)">'
            data |= dict(re.findall(hidden, html))
            html = browser.client.post("/label", data=data).text
        assert "being chosen" in html
        assert browser.client.get("/state").json() == {"choosing": True}
    finally:
        Slow.free.set()
    browser.get()
    assert browser.row is not None


def test_curve_and_hint(serve: Serve, look: Look, table: pd.DataFrame) -> None:
    app = serve(stop=Budget(8))
    browser = Browser(app, "ann")
    assert browser.client.get("/curve.svg").status_code == 404
    assert "Time to stop?" not in browser.html
    for _ in range(16):
        browser.label(f"{table.loc[str(browser.row), 'a'] * 2}")
    deadline = time.monotonic() + 30
    while len(app.worker.curve()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    browser.get()
    assert "labels of a budget of 8" in browser.html
    assert 'src="/curve.svg"' in browser.html
    n_before = len(app.worker.curve())
    drawn = browser.client.get("/curve.svg")
    assert drawn.headers["content-type"].startswith("image/svg+xml")
    # Another score may be found while the curve is drawn.
    assert n_before <= drawn.text.count("<circle") <= len(app.worker.curve())
    # The scores are those of the campaign itself.
    campaign = Campaign.open(
        look()._database.file, table, model=BayesianRidge(), strategy=None
    )
    with pytest.warns(UserWarning, match="cross-validation"):
        curve = campaign.learning_curve(cv=3).set_index("n_labels")
    for row in app.worker.curve():
        assert row["score"] == pytest.approx(curve.loc[row["n_labels"], "score"])


def test_test_error_and_a_failing_rule(
    serve: Serve, look: Look, table: pd.DataFrame
) -> None:
    class NoIdea(StoppingRule):
        def _check(self, seen: object, history: object) -> None:
            raise RuntimeError("<i>no idea</i>")

    browser = Browser(serve(test_share=0.5, stop=NoIdea(), n=6), "ann")
    assert 'id="test-error"' not in browser.html
    for _ in range(20):
        a, b = table.loc[str(browser.row), ["a", "b"]]
        browser.label(f"{a * b}")
    last = look().status().last
    assert last is not None
    assert last.test_error is not None
    assert (
        f"Test error with {last.n_labels} labels: {last.test_error.risk:.4g} ["
        in browser.get()
    )
    assert "rule failed: RuntimeError: &lt;i&gt;no idea" in browser.html


def test_curve_is_drawn_to_scale() -> None:
    counts, scores = [10, 20, 40], [0.5, 0.75, 1.0]
    rows = [
        {"n_labels": n, "score": s, "std": 0.0}
        for n, s in zip(counts, scores, strict=True)
    ]
    points = re.search(r'points="([^"]*)"', draw_curve(rows))
    assert points is not None
    x, y = np.array([p.split(",") for p in points[1].split()], dtype=float).T
    assert np.polyfit(counts, x, 1, full=True)[1] < 0.1  # residuals, in pixels
    assert np.polyfit(scores, y, 1, full=True)[1] < 0.1
    assert x[0] < x[2]
    assert y[0] > y[2]
    assert "nan" not in draw_curve([{"n_labels": 3, "score": 0.0, "std": 0.0}])


def test_only_images_of_the_folder(
    serve: Serve, table: pd.DataFrame, tmp_path: Path
) -> None:
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    picture = b"\x89PNG..."
    secrets = [tmp_path / "secret.png", folder / "secret.txt", folder / "code.svg"]
    for path in (folder / "sub" / "ä b.png", *secrets):
        path.write_bytes(picture)
    (folder / "link.png").symlink_to(secrets[0])
    cells = [
        "sub/ä b.png",
        str(folder / "sub" / "ä b.png"),
        "../secret.png",
        "sub/../../secret.png",
        str(secrets[0]),
        "link.png",
        "secret.txt",
        "code.svg",
        "sub",
        "no.png",
        "a\0.png",
        "x" * 5000 + ".png",
    ]
    display = pd.DataFrame({"image": cells + [""] * (N_ROWS - len(cells))})
    display.index = table.index
    browser = Browser(serve(display=display, images=folder), "ann")
    for k, cell in enumerate(cells):
        found = browser.client.get(f"/image?row=r{k:02d}&column=image")
        assert (found.status_code == 200) == (k < 2), cell
        assert (found.content == picture) == (k < 2), cell
    assert found.headers["x-content-type-options"] == "nosniff"
    for path in (
        "/image?row=r00&column=a",
        "/image?row=../secret.png&column=image",
        "/image?row=&column=image",
        "/image",
        "/static/../../secret.png",
        "/static/..%2f..%2fapp.py",
        "/static/app.py",
        "/images/secret.png",
    ):
        assert browser.client.get(path).status_code == 404
    browser.get("/?row=r00")
    page = Browser(serve(display=display), "ann")  # without a folder
    assert page.client.get("/image?row=r00&column=image").status_code == 404
    with pytest.raises(NotADirectoryError, match="no folder of images"):
        serve(display=display, images=tmp_path / "none")


def test_cells_show_images(serve: Serve, table: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "a&b.png").write_bytes(b"")
    display = pd.DataFrame({"im&age": ["a&b.png"] * N_ROWS}, index=table.index)
    browser = Browser(serve(display=display, images=tmp_path), "ann")
    address = f"/image?row={browser.row}&amp;column=im%26age"
    assert f'<img src="{address}" alt="a&amp;b.png">' in browser.html
    found = browser.client.get(address.replace("&amp;", "&"))
    assert found.headers["content-type"] == "image/png"
    assert Images().find("a&b.png") is None


def test_needs_rows_and_a_model(serve: Serve, look: Look) -> None:
    from skal.labeling import make_app

    serve()
    with pytest.raises(ValueError, match="needs a model"):
        make_app(look())
    with pytest.raises(ValueError, match="n must be"):
        serve(n=0)


def test_a_single_class_does_not_stop_the_page(serve: Serve) -> None:
    model = LogisticRegression()
    browser = Browser(serve(classes=["x", "y"], model=model), "ann")
    for _ in range(12):
        browser.label("x")
    assert browser.row
    assert "could not" not in browser.html


def test_rows_that_another_process_adds(
    serve: Serve, table: pd.DataFrame, tmp_path: Path
) -> None:
    """What is reserved is labeled; further rows need a new start of the server."""
    page = Browser(serve(), "ann")
    page.label("1.5")
    longer = pd.concat([table, (table.iloc[:3] + 1).rename(lambda key: key + "x")])
    parts = {"model": BayesianRidge(), "strategy": Random()}
    other = Campaign.open(tmp_path / "campaign.db", longer, append=True, **parts)
    other.tell(["r01x"], [3.0], "bob")
    while page.get() and page.row:
        page.label("2.5")
        assert page.code == 200
    assert "3 rows that another process has added" in page.html
    assert other.status().annotators["ann"] == {"answer": 4}
