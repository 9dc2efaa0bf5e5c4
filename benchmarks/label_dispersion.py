"""Test the claim of label dispersion: accuracy falls with dispersion.

Run as ``python -m benchmarks.label_dispersion --sets letter mnist --seeds 5``.
A net is trained on randomly drawn labels.  Unseen rows are binned by how often their
predicted class changed from epoch to epoch.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from benchmarks.report import environment, markdown
from benchmarks.sets import TEST, draw
from benchmarks.worth_classification import NET, STUDY, net
from skal.strategies import LabelDispersion

mpl.use("Agg")

N_LABELED = 700
EDGES = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0])
NAMES = ["0", "(0, 0.1]", "(0.1, 0.2]", "(0.2, 0.3]", "(0.3, 0.4]", "(0.4, 0.5]"]
NAMES += ["over 0.5"]


def bins(name: str, seed: int) -> pd.DataFrame:
    """Count rows and correct predictions in each bin of dispersion."""
    data = draw(name, seed)
    model = net().set_params(random_state=seed)
    model.fit(data.X_pool[:N_LABELED], data.y_pool[:N_LABELED])
    dispersion = LabelDispersion().score_samples(model, data.X_test)
    right = model.predict(data.X_test) == data.y_test
    # Dispersions are multiples of 1/T, which floats miss by a little.
    place = np.searchsorted(EDGES, np.round(dispersion, 6), side="left")
    table = pd.DataFrame({"bin": place, "right": right}).groupby("bin")["right"]
    counts = table.agg(["size", "sum"]).reindex(range(len(NAMES)), fill_value=0)
    counts.columns = ["rows", "right"]
    return counts.reset_index().assign(set=name, seed=seed)


def report(data: pd.DataFrame, sets: list[str], command: str, folder: Path) -> str:
    """Write CSV, picture and Markdown; return the last."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = "posteriors_label_dispersion"
    data.to_csv(folder / f"{stem}.csv", index=False)
    figure, axes = plt.subplots(1, len(sets), figsize=(4 * len(sets), 3.5), sharey=True)
    lines, verdicts = [], []
    for name, ax in zip(sets, np.atleast_1d(axes), strict=True):
        part = data[data["set"] == name]
        total = part.groupby("bin")[["rows", "right"]].sum()
        accuracy = total["right"] / total["rows"]
        share = total["rows"] / total["rows"].sum()
        each = part.assign(accuracy=part["right"] / part["rows"])
        for _, run in each.groupby("seed"):
            ax.plot(run["bin"], run["accuracy"], color="0.75", linewidth=1)
        ax.plot(accuracy.index, accuracy, marker="o")
        ax.set_xticks(range(len(NAMES)), NAMES, rotation=45, ha="right")
        ax.set(title=name, xlabel="label dispersion", ylim=(0, 1))
        cells = {
            b: f"{accuracy[b]:.3f} ({100 * share[b]:.1f} %)" if share[b] else "none"
            for b in range(len(NAMES))
        }
        lines.append({"set": name, **{NAMES[b]: cell for b, cell in cells.items()}})
        falls = bool((np.diff(accuracy.dropna()) < 0).all())
        verdicts.append(
            f"{name}: pooled over seeds, accuracy "
            + ("falls from each bin to the next" if falls else "does not always fall")
            + f"; lowest bin {accuracy.dropna().iloc[0]:.3f}, highest "
            f"{accuracy.dropna().iloc[-1]:.3f}."
        )
    np.atleast_1d(axes)[0].set_ylabel("accuracy")
    figure.tight_layout()
    figure.savefig(folder / f"{stem}.png", dpi=120)
    text = "\n\n".join(
        [
            "# Accuracy over bins of label dispersion",
            f"`{command}`",
            f"The net of the worth study trained on {N_LABELED} random labels, "
            f"{data['seed'].nunique()} seeds, {TEST} unseen rows each. Dispersion over "
            f"every second of {NET['max_epochs']} epochs. Accuracy of the last epoch "
            "and, in brackets, the share of rows.",
            markdown(pd.DataFrame(lines).set_index("set")),
            "\n".join(f"- {line}" for line in verdicts),
            f"![accuracy over dispersion]({stem}.png)\n\nGray: seeds; blue: all.",
            "\n".join(f"- {line}" for line in environment()),
        ]
    )
    (folder / f"{stem}.md").write_text(text + "\n")
    return text


def main(argv: list[str] | None = None) -> int:
    """Train, count and report; return 1 if data are missing."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sets", nargs="+", choices=STUDY.sets, default=list(STUDY.sets)
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        tables = [bins(name, k) for name in args.sets for k in range(args.seeds)]
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    command = (
        f"python -m benchmarks.label_dispersion --sets {' '.join(args.sets)} "
        f"--seeds {args.seeds}"
    )
    print(report(pd.concat(tables), args.sets, command, args.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
