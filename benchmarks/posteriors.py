"""Speed and memory of disagreement queries, against peers and against their floor.

Run as ``python -m benchmarks.posteriors --rows 10000 50000 --peers-python
scikit-activeml=/path/to/python baal=/path/to/python``; peers that are not named are
left out, and requirements/peers-*.txt list what their environments contain.  Every
query runs in a separate process, on the same pool and the same trained nets, with the
repeats interleaved.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

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
)
from benchmarks.processes import write_problem as write
from benchmarks.report import environment, markdown
from skal.nets import MLP, NetClassifier

QUERIES = {
    "skal": [
        *("entropy-draws", "BALD-draws", "BatchBALD-draws"),
        *("BALD-nets", "BatchBALD-nets", "floor-draws", "floor-nets"),
    ],
    "baal": ["entropy-draws", "BALD-draws", "BatchBALD-draws"],
    "scikit-activeml": ["BALD-nets", "BatchBALD-nets", "BatchBALD2000-nets"],
}
SCRIPTS = {
    "skal": "of_skal.py",
    "baal": "of_baal.py",
    "scikit-activeml": "of_skactiveml.py",
}
N_LABELED, N_NETS = 500, 5


def write_problem(work: Path, rows: int, n_draws: int, batch: int) -> None:
    """Write the pool, and the weights of nets that are trained on 500 labels."""
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
            MLP, module__hidden_sizes=(128,), module__dropout=0.2, random_state=seed
        ).fit(X[:N_LABELED], y[:N_LABELED])
        weights.append(net.module_.state_dict())
    write(work, X, y, N_LABELED, weights, batch, n_draws)


def table(data: pd.DataFrame) -> pd.DataFrame:
    """Medians over repeats, and ratios within this run."""
    keys = ["rows", "library", "query"]
    done = medians(data, keys)
    lines = []
    for key, part in data.groupby(keys, sort=False):
        rows, library, query = key
        measure, kind = query.replace("2000", "").split("-")
        if measure == "floor":
            continue
        line = {
            "query": f"{measure}, {'20 draws' if kind == 'draws' else '5 nets'}",
            "rows": rows,
            "library": library,
        }
        if query == "BatchBALD2000-nets":
            query = "BatchBALD-nets"
            line["library"] += ", 2000 values"
        if key not in done.index:
            lines.append({**line, "s": part["outcome"].iloc[0]})
            continue
        floor = done.loc[(rows, "skal", f"floor-{kind}"), "seconds"]
        skal = (rows, "skal", query)
        beside = done.loc[skal, "seconds"] if skal in done.index else None
        lines.append({**line, **cells(done.loc[key], beside, floor)})
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
    try:
        pythons = interpreters(args.peers_python, list(SCRIPTS))
    except ValueError as error:
        parser.error(str(error))
    torch.set_num_threads(args.threads)
    write_problem(args.work, max(args.rows), args.draws, args.batch)
    cases = [
        {"rows": rows, "library": library, "query": query}
        for rows in args.rows
        for library, queries in QUERIES.items()
        if library in pythons
        for query in queries
    ]

    def run(case: dict[str, Any]) -> dict[str, Any]:
        library = case["library"]
        return run_one(
            pythons[library],
            SCRIPTS[library],
            case["query"],
            args.work,
            case["rows"],
            args.threads,
            args.limit,
        )

    data = run_all(cases, run, args.repeats)
    floors = data[data["query"].str.startswith("floor")]
    floors = floors.groupby(["rows", "query"])["seconds"]
    parts = [
        "# Disagreement queries: time and memory against peers and their floor",
        f"`python -m benchmarks.posteriors --rows {' '.join(map(str, args.rows))} "
        f"--batch {args.batch} --repeats {args.repeats} --threads {args.threads}`",
        f"Pool of N x 64, 10 classes, MLP 64-128-10 with dropout 0.2, trained "
        f"beforehand on {N_LABELED} labels; batch {args.batch}; medians of "
        f"{args.repeats} interleaved repeats, each query in a separate process after "
        "one on 1000 rows. The floor is the K passes of the net alone, seconds: "
        + "; ".join(f"{n} {q}: {s:.3f}" for (n, q), s in floors.median().items())
        + f". Load of the machine while measuring: {load_of_machine(data)}: read the "
        "ratios and the CPU-seconds rather than the seconds.",
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
