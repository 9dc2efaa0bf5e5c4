"""Speed and memory of batches, against peers and against their floor.

Run as ``python -m benchmarks.queries --rows 10000 50000 --peers-python
scikit-activeml=/path/to/python bmdal_reg=/path/to/python``; peers that are not named
are left out, and requirements/peers-*.txt list what their environments contain.  Every
batch is picked in a separate process, from the same pool and by the same nets, with the
repeats interleaved.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import make_classification

from benchmarks.processes import (
    cells,
    interpreters,
    load_of_machine,
    medians,
    run_all,
    run_one,
    write_problem,
)
from benchmarks.report import environment, markdown
from skal.nets import MLP, NetClassifier, NetRegressor

SCRIPTS = {
    "skal": "of_skal.py",
    "scikit-activeml": "of_skactiveml.py",
    "bmdal_reg": "of_bmdal.py",
}
N_CLASSES, SKETCH = 10, 512


class Work(NamedTuple):
    """Multiply-adds that make up a floor, by the kind of product."""

    net: float = 0.0
    float32: float = 0.0
    float64: float = 0.0


def _classifier(m: int, more: float = 0.0) -> Work:
    return Work(m * 128 * (64 + N_CLASSES), more)


def _gradients(m: int, more: float = 0.0) -> Work:
    """Forward, backward, and the sketch of the factors of three layers.

    Four factors of 512 elements go through a Hadamard matrix in two steps, of 16 and of
    32 multiply-adds per element; the inputs with 1 appended, the two other 1's and the
    output through a matrix.
    """
    forward, backward = 512 * (32 + 512 + 1), 512 * (512 + 1)
    sketch = SKETCH * (4 * (16 + 32) + 33 + 1 + 1 + 1)
    return Work(m * (forward + backward), m * sketch + more)


def _features(m: int, L: int, more: float = 0.0, more_double: float = 0.0) -> Work:
    """Gradients, and their features conditioned on the labels."""
    own = _gradients(m + L, more)
    return own._replace(float64=(m + 2 * L) * SKETCH**2 + more_double)


class Query(NamedTuple):
    """A strategy, its problem, the peer that has it, and the least it computes."""

    problem: str
    peer: str | None
    work: Any = None


#: Work is a function of rows, labeled rows and batch; None if no floor is evident.
QUERIES: dict[str, Query] = {
    "BADGE": Query(
        "classification",
        "scikit-activeml",
        lambda m, L, n: _classifier(m, n * m * (128 + N_CLASSES)),
    ),
    "CoreSet": Query(
        "classification",
        "scikit-activeml",
        lambda m, L, n: _classifier(m + L, (L + n) * m * 128),
    ),
    "CAL": Query(
        "classification",
        "scikit-activeml",
        lambda m, L, n: _classifier(m + L, L * m * 128),
    ),
    "TypiClust": Query("classification", "scikit-activeml"),
    "ProbCover": Query("classification", "scikit-activeml"),
    "GreedySampling": Query(
        "inputs", "scikit-activeml", lambda m, L, n: Work(float64=(L + n) * m * 64)
    ),
    "EGL": Query("classification", None, lambda m, L, n: _classifier(m)),
    "InformationDensity": Query("classification", None, lambda m, L, n: _classifier(m)),
    "DiverseMiniBatch": Query("classification", None),
    "SuggestiveAnnotation": Query("classification", None),
    **dict.fromkeys(
        ("LCMD", "KMeansPP", "MaxDist"),
        Query(
            "regression",
            "bmdal_reg",
            lambda m, L, n: _gradients(m + L, (L + n) * m * SKETCH),
        ),
    ),
    "MaxDet": Query("regression", "bmdal_reg", lambda m, L, n: _features(m, L)),
    "BAIT": Query(
        "regression",
        "bmdal_reg",
        # Second moments, their quadratic form, and two products a pick.
        lambda m, L, n: _features(
            m, L, more_double=2 * m * SKETCH**2 + 2 * n * m * SKETCH
        ),
    ),
    "FrankWolfe": Query(
        "regression",
        "bmdal_reg",
        lambda m, L, n: _features(m, L, n * m * SKETCH),
    ),
    "EMCM": Query("regression", None),
    "TESSAR": Query(
        "regression",
        None,
        # 50 copies of the sites, by default.
        lambda m, L, n: Work((m + L) * 512 * (32 + 512 + 1), 50 * (L + n) * m * 512),
    ),
}


def write_problems(work: Path, rows: int, args: argparse.Namespace) -> None:
    """Write pools, labeled rows, and the weights of nets trained on those."""
    X, y = make_classification(
        rows + 500,
        64,
        n_informative=20,
        n_classes=N_CLASSES,
        class_sep=1.5,
        random_state=0,
    )
    X = X.astype(np.float32)
    classifier = NetClassifier(
        MLP, module__hidden_sizes=(128,), module__dropout=0.2, random_state=0
    ).fit(X[:500], y[:500])
    weights = classifier.module_.state_dict()
    batch = args.batch[0]
    write_problem(work / "classification", X, y, 500, [weights], batch)
    write_problem(work / "inputs", X, X[:, 0] * X[:, 1], 500, [{}], batch)
    X = np.random.default_rng(0).normal(size=(rows + 256, 32)).astype(np.float32)
    y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2]
    regressor = NetRegressor(
        MLP, module__hidden_sizes=(512, 512), module__dropout=0.1, random_state=0
    ).fit(X[:256], y[:256])
    weights = regressor.module_.state_dict()
    for batch in args.sketch_batch:
        write_problem(work / f"regression-{batch}", X, y, 256, [weights], batch)


def cases(args: argparse.Namespace) -> list[dict[str, Any]]:
    """List the cases, with those of one query side by side."""
    import skal.strategies

    found: list[dict[str, Any]] = []
    for rows in args.rows:
        found.append({"rows": rows, "library": "skal", "query": "rates", "batch": 0})
        for name, query in QUERIES.items():
            missing = not hasattr(skal.strategies, name)
            if missing or (args.only and name not in args.only):
                continue
            sketched = query.problem == "regression"
            batches = args.sketch_batch if sketched else args.batch[:1]
            for batch in batches:
                for library in ("skal", query.peer):
                    if library in args.pythons:
                        case = {"rows": rows, "library": library, "query": name}
                        found.append({**case, "batch": batch})
    return found


def run(case: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Run one case in its process."""
    name, library = str(case["query"]), str(case["library"])
    problem = QUERIES["BADGE" if name == "rates" else name].problem
    if problem == "regression":
        problem = f"{problem}-{case['batch']}"
    return run_one(
        args.pythons[library],
        SCRIPTS[library],
        name,
        args.work / problem,
        int(case["rows"]),
        args.threads,
        args.limit,
        args.memory,
    )


def table(data: pd.DataFrame, rates: pd.Series) -> pd.DataFrame:
    """Medians over repeats, and ratios within this run."""
    keys = ["query", "rows", "batch", "library"]
    done = medians(data, keys)
    lines = []
    for key, part in data.groupby(keys, sort=False):
        name, rows, batch, _ = key
        if name == "rates":
            continue
        line = dict(zip(keys, map(str, key), strict=True))
        if key not in done.index:
            lines.append({**line, "s": part["outcome"].iloc[0]})
            continue
        skal = (name, rows, batch, "skal")
        beside = done.loc[skal, "seconds"] if skal in done.index else None
        query, floor = QUERIES[name], None
        if query.work is not None:
            n_labeled = 256 if query.problem == "regression" else 500
            work = query.work(rows, n_labeled, batch)
            floor = sum(n / rates[kind] for kind, n in work._asdict().items())
        lines.append({**line, **cells(done.loc[key], beside, floor)})
    found = pd.DataFrame(lines).fillna("")
    order = {name: k for k, name in enumerate(QUERIES)}
    found = found.sort_values("query", key=lambda q: q.map(order), kind="stable")
    return found.set_index("query")


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and write what was printed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--batch", type=int, nargs=1, default=[100])
    parser.add_argument("--sketch-batch", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--only", nargs="*", default=[], choices=[*QUERIES])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=int, default=150, help="seconds a process")
    parser.add_argument("--memory", type=float, default=12, help="GiB a process")
    parser.add_argument("--peers-python", nargs="*", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--work", type=Path, default=Path("benchmarks/.work/queries"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--name", default="queries", help="of the files written")
    args = parser.parse_args(argv)
    try:
        args.pythons = interpreters(args.peers_python, list(SCRIPTS))
    except ValueError as error:
        parser.error(str(error))
    torch.set_num_threads(args.threads)
    write_problems(args.work, max(args.rows), args)
    data = run_all(cases(args), lambda case: run(case, args), args.repeats)
    kinds = list(Work._fields)
    rates = data[data["query"] == "rates"][[*kinds, "bytes"]].median()
    parts = [
        "# Batches: time and memory against peers and their floor",
        f"`python -m benchmarks.queries --rows {' '.join(map(str, args.rows))} "
        f"--repeats {args.repeats} --threads {args.threads} --limit {args.limit}"
        f"{' --only ' if args.only else ''}{' '.join(args.only)}`",
        "BADGE to SuggestiveAnnotation: pool of N x 64, 10 classes, MLP 64-128-10 "
        "with dropout 0.2, trained beforehand on 500 labels, in its 128 features. "
        "GreedySampling: the same pool by its inputs. LCMD and those below: pool of "
        "N x 32, MLP 32-512-512-1 with dropout 0.1, trained on 256 labels, gradients "
        f"projected to {SKETCH} elements (skal: by Hadamard matrices, bmdal_reg: by "
        f"Gaussian ones). {args.repeats} interleaved repeats, each in a "
        "separate process after a batch of 1000 rows, and repeated there up to 25 "
        "times within two seconds; medians, from inputs to picks.",
        "The floor is the least number of multiply-adds that the method takes as "
        "products of matrices, at what this machine's products reach, in billions a "
        f"second: {rates['net'] / 1e9:.0f} in the layers of a net, which are torch's, "
        f"{rates['float32'] / 1e9:.0f} for products of rows in float32, the faster of "
        f"torch's and skal's, and {rates['float64'] / 1e9:.0f} in float64; its copy "
        f"moves {rates['bytes'] / 1e9:.1f} GB a second. Load of the machine while "
        f"measuring: {load_of_machine(data)}.",
        "It leaves out what is bound by memory, which is why some queries take more "
        "than twice of it: passes over all distances at each pick (BADGE, CoreSet, "
        "GreedySampling; TESSAR, over those in 50 copies), the search for the nearest "
        "labels among the products (CAL), "
        "softmax, lengths and sorting (EGL, InformationDensity), activations and "
        "factors of gradients that are written and read (LCMD and those below).",
        "scikit-activeml's batches are given the net's features by its own wrapper. "
        "bmdal_reg computes in float64 after the labels, as skal does and its authors' "
        f"experiments do. No process may take more than {args.memory:g} GiB.",
        markdown(table(data, rates)),
        "\n".join(f"- {line}" for line in environment()),
    ]
    text = "\n\n".join(parts) + "\n"
    args.output.mkdir(parents=True, exist_ok=True)
    data.to_csv(args.output / f"{args.name}.csv", index=False, float_format="%.4g")
    (args.output / f"{args.name}.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
