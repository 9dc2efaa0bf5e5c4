"""Speed and memory of disagreement queries, against peers and against their floor.

Run as ``python -m benchmarks.posteriors --rows 10000 50000 --peers-python
scikit-activeml=/path/to/python baal=/path/to/python``; a peer not named is left out,
and requirements/peers-*.txt say what its environment holds.  Every query runs in a
process of its own on the same pool and the same trained nets, repeats interleaved.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import make_classification

from benchmarks.report import environment, markdown
from skal.nets import NetClassifier

PEERS = Path(__file__).parent / "peers"
SCRIPTS = {
    "skal": ("skal_queries.py", ["entropy-draws", "BALD-draws", "BatchBALD-draws"]),
    "baal": ("baal_queries.py", ["entropy-draws", "BALD-draws", "BatchBALD-draws"]),
    "skal, nets": ("skal_queries.py", ["BALD-nets", "BatchBALD-nets"]),
    "scikit-activeml": (
        "skactiveml_queries.py",
        ["BALD-nets", "BatchBALD-nets", "BatchBALD2000-nets"],
    ),
    "floor": ("skal_queries.py", ["floor-draws", "floor-nets"]),
}
N_LABELED, N_NETS = 500, 5


def write_problem(work: Path, rows: int, n_draws: int, batch: int) -> None:
    """Write the pool, and the weights of nets that are trained on 500 labels."""
    work.mkdir(parents=True, exist_ok=True)
    X, y = make_classification(
        rows + N_LABELED,
        64,
        n_informative=20,
        n_classes=10,
        class_sep=1.5,
        random_state=0,
    )
    X = X.astype(np.float32)
    weights = []
    for seed in range(N_NETS):
        net = NetClassifier(
            module__hidden_sizes=(128,), module__dropout=0.2, random_state=seed
        ).fit(X[:N_LABELED], y[:N_LABELED])
        weights.append(net.module_.state_dict())
    torch.save(weights, work / "weights.pt")
    np.savez(
        work / "problem.npz",
        X=X[N_LABELED:],
        X_labeled=X[:N_LABELED],
        y_labeled=y[:N_LABELED],
        n_draws=n_draws,
        batch=batch,
    )


def run_one(
    python: str, script: str, query: str, rows: int, args: argparse.Namespace
) -> dict[str, Any]:
    """Run a query in its process; an outcome says why there is no figure."""
    command = [python, str(PEERS / script), "--work", str(args.work), "--query", query]
    command += ["--rows", str(rows), "--threads", str(args.threads)]
    root = str(PEERS.parent.parent)
    extra = {"PYTHONPATH": root} if script == "skal_queries.py" else {}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=args.limit,
            env={**os.environ, "OMP_NUM_THREADS": str(args.threads), **extra},
        )
    except subprocess.TimeoutExpired:
        return {"outcome": f"over {args.limit} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
        return {"outcome": lines[-1][:100]}
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**result, "outcome": "done"}


def collect(pythons: dict[str, str], args: argparse.Namespace) -> pd.DataFrame:
    """Run everything; a row a process."""
    rows_of_table = []
    failed = set()
    for repeat in range(args.repeats):
        for rows in args.rows:
            for library, (script, queries) in SCRIPTS.items():
                python = pythons.get(library)
                for query in queries if python else []:
                    case = (rows, library, query)
                    if case in failed:
                        continue
                    result = run_one(str(python), script, query, rows, args)
                    if result["outcome"] != "done":
                        failed.add(case)
                    print(repeat, *case, result, file=sys.stderr, flush=True)
                    rows_of_table.append(
                        {
                            "repeat": repeat,
                            "rows": rows,
                            "library": library,
                            "query": query,
                            **result,
                        }
                    )
    return pd.DataFrame(rows_of_table)


def table(data: pd.DataFrame) -> pd.DataFrame:
    """Medians over repeats, and ratios of what was measured in this run."""
    keys = ["rows", "library", "query"]
    numbers = ["seconds", "cpu_seconds", "added_mb", "distinct"]
    medians = (
        data[data["outcome"] == "done"].groupby(keys, sort=False)[numbers].median()
    )
    lines = []
    for key, part in data.groupby(keys, sort=False):
        rows, library, query = key
        if library == "floor":
            continue
        measure, kind = query.replace("2000", "").split("-")
        line = {
            "query": f"{measure}, {'20 draws' if kind == 'draws' else '5 nets'}",
            "rows": rows,
            "library": library.split(",")[0],
        }
        if query == "BatchBALD2000-nets":
            query = "BatchBALD-nets"
            line["library"] += ", 2000 values"
        if key not in medians.index:
            lines.append({**line, "s": part["outcome"].iloc[0]})
            continue
        own = medians.loc[key]
        floor = medians.loc[(rows, "floor", f"floor-{kind}"), "seconds"]
        skal = (rows, "skal" if kind == "draws" else "skal, nets", query)
        line |= {
            "s": f"{own['seconds']:.2f}",
            "CPU-s": f"{own['cpu_seconds']:.2f}",
            "times floor": f"{own['seconds'] / floor:.1f}",
            "times skal": f"{own['seconds'] / medians.loc[skal, 'seconds']:.1f}"
            if skal in medians.index
            else "",
            "MiB added": f"{own['added_mb']:.0f}",
            "distinct picks": f"{own['distinct']:.0f}",
        }
        lines.append(line)
    result = pd.DataFrame(lines).fillna("")
    order = list(dict.fromkeys(q for q in result["query"]))
    result["order"] = result["query"].map(order.index)
    result = result.sort_values(["order", "rows"], kind="stable").drop(columns="order")
    return result.set_index("query")


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and write what was printed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--draws", type=int, default=20, choices=[20])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=int, default=120, help="seconds a process")
    parser.add_argument("--peers-python", nargs="*", default=[], metavar="NAME=PYTHON")
    parser.add_argument(
        "--work", type=Path, default=Path("benchmarks/.work/posteriors")
    )
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    args = parser.parse_args(argv)
    pythons = dict.fromkeys(("skal", "skal, nets", "floor"), sys.executable)
    pythons |= dict(pair.split("=", 1) for pair in args.peers_python)
    if unknown := set(pythons) - set(SCRIPTS):
        parser.error(f"unknown peers {sorted(unknown)}")
    torch.set_num_threads(args.threads)
    write_problem(args.work, max(args.rows), args.draws, args.batch)
    data = collect(pythons, args)
    floors = data[data["library"] == "floor"].groupby(["rows", "query"])["seconds"]
    loads = data["load"].dropna()
    parts = [
        "# Disagreement queries: time and memory against peers and their floor",
        f"`python -m benchmarks.posteriors --rows {' '.join(map(str, args.rows))} "
        f"--batch {args.batch} --repeats {args.repeats} --threads {args.threads}`",
        f"Pool of N x 64, 10 classes, MLP 64-128-10 with dropout 0.2, trained "
        f"beforehand on {N_LABELED} labels; batch {args.batch}; medians of "
        f"{args.repeats} interleaved repeats, each query in a process of its own after "
        "one on 1000 rows. The floor is the K passes of the net alone, seconds: "
        + "; ".join(f"{n} {q}: {s:.3f}" for (n, q), s in floors.median().items())
        + f". Load of the machine while measuring: {loads.min():.1f} to "
        f"{loads.max():.1f} on {os.cpu_count()} cores: read the ratios, and the "
        "CPU-seconds, rather than the seconds.",
        "baal draws a mask for every row, skal one for all rows. baal's BatchBALD is "
        "given num_draw=10, as its default of 500 would hold terabytes; skal's holds "
        "2000 values of the batch's labels, scikit-activeml's by its default.",
        markdown(table(data)),
        "\n".join(f"- {line}" for line in environment()),
    ]
    text = "\n\n".join(parts) + "\n"
    args.output.mkdir(parents=True, exist_ok=True)
    data.to_csv(args.output / "posteriors_speed.csv", index=False, float_format="%.4g")
    (args.output / "posteriors_speed.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
