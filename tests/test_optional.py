"""Packages that are not needed by the core are named where they are missing."""

from __future__ import annotations

import builtins
import configparser
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.linear_model import BayesianRidge, Ridge

import skal

ROOT = Path(__file__).parents[1]
FRAME = pd.DataFrame({"a": [1.0, 2.0, 4.0], "y": [1.0, 2.0, 3.0]})


def _save(folder: Path) -> None:
    skal.save(Ridge().fit(FRAME[["a"]], FRAME["y"]), folder / "ridge.skal")


def _save_table(folder: Path) -> None:
    pytest.importorskip("safetensors")
    learner = skal.ActiveLearner(
        Ridge(), X_training=FRAME[["a"]], y_training=FRAME["y"]
    )
    skal.save(learner, folder / "learner.skal")


def _campaign(folder: Path) -> Any:
    from skal.campaign import Campaign

    return Campaign.create(folder / "c.db", FRAME[["a"]], model=BayesianRidge())


def _excel(folder: Path) -> None:
    pytest.importorskip("sqlalchemy")
    _campaign(folder).ask(1).to_excel(folder / "a.xlsx")


def _parquet(folder: Path) -> None:
    pytest.importorskip("sqlalchemy")
    from skal.cli import main

    (folder / "a.parquet").write_bytes(b"")
    code = main(["compare", str(folder / "a.parquet"), "--target", "y"])
    assert code == 1
    raise ImportError("as the command says")


def _page(folder: Path) -> None:
    pytest.importorskip("sqlalchemy")
    from skal.labeling import make_app

    make_app(_campaign(folder))


@pytest.mark.parametrize(
    ("missing", "call", "words"),
    [
        ("safetensors", _save, r"safetensors, .*'\.\[save\]'"),
        ("pyarrow", _save_table, r"X_training is a table, .*'\.\[save\]'"),
        ("sqlalchemy", _campaign, r"SQLAlchemy, .*'\.\[campaign\]'"),
        ("openpyxl", _excel, r"openpyxl, .*'\.\[campaign\]'"),
        ("starlette", _page, r"needs starlette, .*'\.\[label\]'"),
        ("uvicorn", _page, r"needs uvicorn, .*'\.\[label\]'"),
        ("pyarrow", _parquet, "as the command says"),
    ],
)
def test_missing_packages_are_named_with_what_to_install(
    missing: str,
    call: Callable[[Path], Any],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if call is _page:
        pytest.importorskip("starlette")
    real, find = builtins.__import__, importlib.util.find_spec

    def fake(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    def spec(name: str, *args: Any) -> Any:
        return None if name == missing else find(name, *args)

    for name in [n for n in sys.modules if n.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", fake)
    if call is _page:
        monkeypatch.setattr("skal.labeling.app.find_spec", spec)
    with pytest.raises(ImportError, match=words):
        call(tmp_path)
    if call is _parquet:
        said = capsys.readouterr().err
        assert said.startswith("skal: error: Parquet files need pyarrow")
    assert not list(tmp_path.glob("*.skal"))


EXTRAS = configparser.ConfigParser()
EXTRAS.read(ROOT / "setup.cfg")


def test_messages_name_an_extra_that_exists() -> None:
    named = set()
    for path in (ROOT / "skal").rglob("*.py"):
        text = path.read_text()
        assert "pip install" not in text or path.name == "_extras.py", path
        named |= set(re.findall(r"how_to_install\([\"'](\w+)[\"']\)", text))
    assert {"plot", "save", "campaign", "label"} <= named
    assert named <= set(EXTRAS["options.extras_require"])


def test_pages_name_extras_that_exist_and_one_page_lists_all() -> None:
    pages = [*(ROOT / "docs").glob("*.rst"), ROOT / "README.md"]
    for page in pages:
        text = page.read_text()
        assert "skal-learn[" not in text, page
        named = set(re.findall(r"'\.\[(\w+)\]'", text))
        assert named <= set(EXTRAS["options.extras_require"]), page
    text = (ROOT / "docs" / "getting_started.rst").read_text()
    listed = re.findall(r"^   \* - ``(\w+)``$", text, re.MULTILINE)
    assert listed == list(EXTRAS["options.extras_require"])
