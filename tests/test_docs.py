"""The documentation names what is public, and its examples run."""

from __future__ import annotations

import doctest
import importlib
import itertools
import re
import runpy
import threading
import time
import warnings
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression, Ridge

from docs import tables
from docs.building import fetch_inventories, refuse_warnings
from docs.claims import CLAIMS, VERDICTS
from skal.strategies import (
    BADGE,
    BALD,
    EMCM,
    LCMD,
    Entropy,
    LeastConfident,
    LossPrediction,
    Margin,
    QueryStrategy,
    Random,
    ViaProxy,
    all_strategies,
    recommended_strategy,
)

DOCS = Path(__file__).parents[1] / "docs"
#: Without the page that a build writes there.
PAGES = sorted(set(DOCS.glob("*.rst")) - {DOCS / "sg_execution_times.rst"})
DECISIONS = sorted((DOCS / "decisions").glob("*.rst"))
#: Packages and modules whose every public name has a page in the reference.
PUBLIC = [
    *(
        "skal.nets",
        "skal.nets.bayesian",
        "skal.learners",
        "skal.strategies",
        "skal.posteriors",
    ),
    *(
        "skal.measures",
        "skal.spaces",
        "skal.selection",
        "skal.simulation",
    ),
    *("skal.campaign", "skal.datasets", "skal.evaluation", "skal.exceptions"),
    "skal.saving",
    "skal.tabular",
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_of_the_pages_run(page: Path) -> None:
    if page.stem == "campaign":
        pytest.importorskip("sqlalchemy", reason="needs the extra `campaign`")
    if page.stem == "saving":
        pytest.importorskip("safetensors", reason="needs the extra `save`")
    failed, _ = doctest.testfile(
        str(page),
        module_relative=False,
        optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS,
    )
    assert failed == 0


def test_most_pages_have_examples() -> None:
    shown = [page.stem for page in PAGES if ">>> " in page.read_text()]
    assert {"nets", "learners", "strategies", "simulation"} <= set(shown)


def _reference() -> dict[str, set[str]]:
    """Names that the reference lists, by module."""
    listed: dict[str, set[str]] = {}
    module, in_list = "", False
    for line in (DOCS / "api.rst").read_text().splitlines():
        if found := re.match(r"\.\. currentmodule:: (\S+)", line):
            module = found[1]
        in_list = line.startswith(".. autosummary") or (
            in_list and line[:3] in ("", "   ")
        )
        if in_list and re.fullmatch(r"   \w+", line):
            listed.setdefault(module, set()).add(line.strip())
    return listed


@pytest.mark.parametrize("module", PUBLIC)
def test_reference_lists_every_public_name(module: str) -> None:
    public = set(importlib.import_module(module).__all__)
    assert public - _reference().get(module, set()) == set()


def test_reference_lists_nothing_that_is_not_there() -> None:
    for module, names in _reference().items():
        missing = [n for n in names if not hasattr(importlib.import_module(module), n)]
        assert missing == [], module


def test_guide_names_every_strategy() -> None:
    text = (DOCS / "strategies.rst").read_text()
    missing = [c.__name__ for c in all_strategies() if f"`{c.__name__}`" not in text]
    assert missing == []


def test_the_gallery_shows_the_picks_of_every_strategy() -> None:
    code = (DOCS / "examples" / "plot_families.py").read_text().split("Rows alone")[1]
    made = set(re.findall(r"\b(\w+)\(", code))
    assert {cls.__name__ for cls in all_strategies()} - made == set()


@pytest.mark.parametrize("file", tables.FILES, ids=lambda file: file.name)
def test_generated_parts_are_current(file: Path) -> None:
    text = file.read_text()
    assert "generated: " in text
    assert tables.refreshed(text) == text, "run `make tables`"


def test_tables_are_made_from_the_classes() -> None:
    """A strategy is described by its docstring and its class attributes."""

    class Farthest(QueryStrategy):
        """Farthest [1]_: rows far from `others`.

        References
        ----------
        .. [1] A and B, "First",
           2001.
        .. [2] C, "Second", 2002.

        Examples
        --------
        >>> Farthest()
        """

        _task = "regression"
        _requires = "net"

    assert tables.summary(Farthest) == "Rows far from `others`."
    assert tables.family(Farthest) == "net"
    assert tables.references(Farthest) == [
        'A and B, "First", 2001.',
        'C, "Second", 2002.',
    ]


def test_every_strategy_stands_in_one_table() -> None:
    listed = [cls for name in tables.FAMILIES for cls in tables.members(name)]
    assert sorted(listed, key=lambda cls: cls.__name__) == all_strategies()
    assert {Entropy, LeastConfident, Margin} <= set(tables.members("proba"))
    assert {BALD, EMCM} <= set(tables.members("models"))
    assert {BADGE, LossPrediction} <= set(tables.members("net"))
    assert {LCMD, Random} <= set(tables.members("any"))
    assert ViaProxy in tables.members("strategies")


def test_every_decision_is_listed() -> None:
    listed = re.findall(r"^   (\w+)$", (DOCS / "decisions/index.rst").read_text(), re.M)
    pages = {page.stem for page in DECISIONS} - {"index"}
    assert sorted(listed) == sorted(pages)


def _headers(page: str) -> str:
    lines = (DOCS / f"{page}.rst").read_text().splitlines()
    rules = re.compile(r"([=\-~])\1{2,}")
    pairs = itertools.pairwise(lines)
    return "\n".join(a for a, b in pairs if a and rules.fullmatch(b))


@pytest.mark.parametrize(
    ("word", "page"),
    [
        ("save", "faq"),
        ("Saving", "saving"),
        ("CSV", "faq"),
        ("Excel", "faq"),
        ("stop", "simulation"),
        ("Explain", "strategies"),
        ("groups", "splitting"),
        ("time", "splitting"),
        ("Cross-validation", "splitting"),
        ("Imbalance", "imbalance"),
        ("CatBoost", "other_learners"),
        ("Gaussian processes", "other_learners"),
        ("GPU", "gpu"),
        ("Batches", "batches"),
        ("Reproducibility", "reproducibility"),
        ("Large pools", "large_pools"),
        ("Pipelines", "data"),
        ("resume", "campaign"),
        ("resume", "simulation"),
    ],
)
def test_a_search_for_a_word_finds_a_header(word: str, page: str) -> None:
    """Search ranks titles and headers first; the index links the page."""
    assert re.search(rf"\b{word}\b", _headers(page))
    index = (DOCS / "index.rst").read_text()
    questions = index.split("By question\n", 1)[1].split(".. toctree::", 1)[0]
    links = set(re.findall(r":(?:doc|ref):`([\w-]+)`", questions))
    assert page in links


def _contents(page: str) -> list[str]:
    """Pages in the contents of a page."""
    text = (DOCS / f"{page}.rst").read_text().split(".. toctree::", 1)[1]
    return re.findall(r"^   ([a-z_]+(?:/index)?)$", text, re.MULTILINE)


def test_every_page_is_in_the_contents_once() -> None:
    """The sidebar of a page shows the other pages of its part."""
    listed = ["index", *_contents("index"), *_contents("user_guide")]
    assert len(listed) == len(set(listed))
    assert {page.stem for page in PAGES} - set(listed) == set()


def test_the_header_has_few_entries() -> None:
    """The theme hides further ones in a menu."""
    assert 4 <= len(_contents("index")) <= 6


def test_names_for_subclasses_are_those_of_the_base_class() -> None:
    text = (DOCS / "write_a_strategy.rst").read_text()
    table = text.split("\nClass attributes\n")[1].split("\nWhat a strategy reads\n")[0]
    listed = re.findall(r"^   \* - `(_\w+)`$", table, re.MULTILINE)
    declared = [name for name in QueryStrategy.__annotations__ if name[0] == "_"]
    assert sorted(listed) == sorted(declared)


# -- the build -------------------------------------------------------------------------


class _Inventories(BaseHTTPRequestHandler):
    """Projects on a server: a good one, the page of a proxy, a slow one, none."""

    def do_GET(self) -> None:
        if self.path.startswith("/slow"):
            time.sleep(3)
        known = self.path.startswith(("/good", "/slow", "/page"))
        self.send_response(200 if known else 404)
        self.end_headers()
        page = self.path.startswith("/page")
        self.wfile.write(b"<html>" if page else b"# Sphinx inventory version 2\n")

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Inventories) as httpd:
        httpd.daemon_threads = True
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def test_inventories_that_cannot_be_read_are_left_out(
    server: str, tmp_path: Path
) -> None:
    names = ["good", "page", "missing", "slow"]
    projects = {name: f"{server}/{name}" for name in names}
    projects["no_host"] = "http://nowhere.invalid"
    found = fetch_inventories(projects, tmp_path, timeout=1.0)
    assert found == {"good": (f"{server}/good", str(tmp_path / "good.inv"))}
    assert (tmp_path / "good.inv").read_bytes().startswith(b"# Sphinx inventory")
    offline = {"good": "http://nowhere.invalid", "page": "http://nowhere.invalid"}
    assert list(fetch_inventories(offline, tmp_path, timeout=1.0)) == ["good"]


def test_a_warning_of_an_example_is_an_error() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        refuse_warnings({}, "plot_some.py", "before")
        with pytest.raises(UserWarning, match="too little"):
            warnings.warn("too little training", stacklevel=1)
        warnings.warn("changed", DeprecationWarning, stacklevel=1)
        refuse_warnings({}, "plot_some.py", "after")
        warnings.warn("too little training", stacklevel=1)


# -- which strategy --------------------------------------------------------------------

FIRST = {
    "regression": type(recommended_strategy(Ridge())).__name__,
    "classification": type(recommended_strategy(LogisticRegression())).__name__,
}
ROOT = DOCS.parent


def _between(page: Path, start: str, end: str) -> str:
    return page.read_text().split(start, 1)[1].split(end, 1)[0]


@pytest.mark.parametrize(
    ("page", "start", "end", "task"),
    [
        ("README.md", "## Regression", "## Classification", "regression"),
        ("README.md", "## Classification", "## Strategies", "classification"),
        ("README.md", "## Strategies\n\nStart with", "for regression", "regression"),
        ("README.md", "for regression, and with", "classification", "classification"),
        ("docs/getting_started.rst", "regression on a table,", "and for", "regression"),
        ("docs/getting_started.rst", "Without a learner", "Next steps", "regression"),
        ("docs/which_strategy.rst", "\nStart with", "for regression", "regression"),
        ("docs/which_strategy.rst", "for regression,", "cation.", "classification"),
        ("docs/strategies.rst", "\nRegression\n   ", "with any", "regression"),
        ("docs/strategies.rst", "\nClassification\n   ", "with any", "classification"),
        ("docs/index.rst", "python -m pip install .", "A simulation", "regression"),
        ("docs/faq.rst", "Which strategy sh", "for regression", "regression"),
        ("docs/faq.rst", "for regression, and", "classification", "classification"),
        ("docs/batches.rst", "our studies, ", "for regression", "regression"),
        ("docs/batches.rst", "256 rows,", "for classif", "classification"),
        ("docs/other_learners.rst", "Start with", "for regression", "regression"),
        ("docs/other_learners.rst", "and with", "classification", "classification"),
        ("docs/imbalance.rst", "\nQuery\n", "Strategies that", "classification"),
        ("docs/examples/plot_ames.py", "What was queried", "no two", "regression"),
        ("docs/examples/plot_which_learner.py", "# %%", "order =", "classification"),
        ("docs/examples/plot_1_first_campaign.py", "# %%", "In each", "regression"),
        ("skal/learners/modal.py", "needs class prob", "regressor", "regression"),
    ],
)
def test_pages_name_the_strategy_that_is_recommended(
    page: str, start: str, end: str, task: str
) -> None:
    """And no other one."""
    known = {cls.__name__ for cls in all_strategies()} - {"Random"}
    text = _between(ROOT / page, start, end)
    assert known & set(re.findall(r"\w+", text)) == {FIRST[task]}


def test_every_strategy_has_its_claim_and_results_that_name_it() -> None:
    assert set(CLAIMS) == {cls.__name__ for cls in all_strategies()}
    for name, claim in CLAIMS.items():
        assert claim.verdict in VERDICTS
        assert claim.results or claim.verdict == "not studied", name
        for file in claim.results:
            text = (tables.RESULTS / f"{file}.md").read_text().lower()
            # Stochastic is named by what it wraps: "Margin, stochastic".
            assert name.lower() in text, f"{name} in {file}"


def test_gains_are_those_of_the_results() -> None:
    found = tables.results("tabular_small", "## Average")
    assert found["LCMD"]["rank"] == "2.20"
    assert len(found) == 23
    assert tables.results("tabular_small", "## No such part") == {}
    assert "+0.104 in log RMSE (better on 11 of 11)" in tables.gains("LCMD")
    assert tables.gains("Random") == ""


def test_the_recommended_strategies_are_the_best_of_the_tables() -> None:
    for file, part in (
        ("tabular_small", "## Average"),
        ("plain_regressors", "## Ridge"),
        ("plain_regressors", "## SVM"),
        ("plain_regressors", "## Nearest"),
    ):
        found = tables.results(file, part)
        assert next(iter(found)) == FIRST["regression"], (file, part)


@pytest.mark.parametrize(
    "part",
    ["## Net", "## All strategies, net", "## Logistic", "## Random forest", "## CatB"],
)
def test_the_recommended_strategy_for_classes_is_not_clearly_worse(part: str) -> None:
    text = (tables.RESULTS / "tabular_classification.md").read_text()
    found = tables.results("tabular_classification", part)
    critical = re.search(r"ranks differ by (\d+\.\d+)", text.split(f"\n{part}")[1])
    assert critical is not None
    margin = found[FIRST["classification"]]
    best = min(float(row["rank"]) for row in found.values())
    assert float(margin["rank"]) - best < float(critical[1])
    assert float(margin["95 % over sets"].split(" to ")[0]) > 0


def test_code_that_replaces_other_packages_runs() -> None:
    text = (DOCS / "coming_from.rst").read_text()
    blocks = re.findall(r"^(   # skal\n(?:   .*\n|\n)+)", text, re.MULTILINE)
    assert len(blocks) == 3
    order = np.random.default_rng(0).permutation(150)
    X, y = (part[order] for part in load_iris(return_X_y=True))
    for block in blocks:
        given: dict[str, Any] = {
            **{"model": LogisticRegression(max_iter=999), "X": X, "y_true": y},
            **{"X_start": X[:20], "y_start": y[:20], "X_pool": X[20:]},
            **{"y_pool": y[20:], "X_train": X[:20], "y_train": y[:20] - 1.0},
            "LogisticRegression": partial(LogisticRegression, max_iter=999),
        }
        exec(dedent(block), given)
        assert given["learner"].predict(X).shape == (150,)
        assert len(given["positions"]) in (5, 64)


def test_classes_of_other_pages_exist() -> None:
    text = (DOCS / "coming_from.rst").read_text()
    for name in re.findall(r":class:`~(skal[\w.]+)`", text):
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_coverage_on_tables_is_that_of_the_results() -> None:
    part = (tables.RESULTS / "learners.md").read_text().split("## Coverage of 90 %")[1]
    rows = re.findall(r"^\| (?!learner|---)(.+?) \|(.+)\|$", part, re.MULTILINE)
    found = {name: [round(100 * float(x)) for x in c.split("|")] for name, c in rows}
    text = (DOCS / "uncertainty.rst").read_text()
    table = re.findall(r"^   \* - (.+)\n((?:     - \d+ %\n){5})", text, re.MULTILINE)
    assert [[int(x) for x in re.findall(r"\d+", c)] for _, c in table] == [
        found["skal: make_tabular"],
        found["skal: fold ensemble"],
        found["Gaussian process"],
        found["skal: NetRegressor / NetClassifier"],
    ]


@pytest.mark.slow
def test_coverage_of_intervals_is_that_of_the_example(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    runpy.run_path(str(DOCS / "examples" / "plot_uncertainty.py"))
    plt.close("all")
    found = re.findall(r"^(.+): (\d+)% of", capsys.readouterr().out, re.MULTILINE)
    text = (DOCS / "uncertainty.rst").read_text()
    table = re.findall(r"^   \* - (.+?),.*\n     - (\d+) %", text, re.MULTILINE)
    assert {name.lower() for name, _ in table} == {name.lower() for name, _ in found}
    stated = {name.lower(): int(share) for name, share in table}
    for name, share in found:
        assert abs(stated[name.lower()] - int(share)) <= 3, name
