"""Query strategies on the Ames house prices, by the protocols of `ames_protocols`.

Run as ``python -m benchmarks.ames --protocol program --trials 100 --n-jobs 2``.  Trials
done are kept in the work folder, and a second run goes on from there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from benchmarks import ames_protocols
from benchmarks.ames_protocols import PROTOCOLS, STRATEGIES, Protocol, play
from benchmarks.report import comparison_table, environment, markdown
from skal.simulation import StrategyComparison
from skal.simulation.result import ScoreLabel

mpl.use("Agg")


def collect(protocol: str, trials: int, n_jobs: int, file: Path) -> pd.DataFrame:
    """Play what the file lacks, adding each campaign to it as it ends."""
    done = pd.read_csv(file) if file.exists() else pd.DataFrame()
    have = (
        set() if done.empty else set(zip(done["strategy"], done["fold"], strict=True))
    )
    # Trial by trial, so that an early end leaves whole trials.
    wanted = [(s, t) for t in range(trials) for s in STRATEGIES]
    todo = [task for task in wanted if task not in have]
    tasks = (delayed(play)(protocol, *task) for task in todo)
    parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    file.parent.mkdir(parents=True, exist_ok=True)
    for table in tqdm(parallel(tasks), total=len(todo), desc=protocol):
        table.to_csv(file, mode="a", header=not file.exists(), index=False)
    data = pd.read_csv(file)
    data = data[data["fold"] < trials]
    order = {name: k for k, name in enumerate(STRATEGIES)}
    return data.sort_values(
        ["fold", "strategy", "step"],
        key=lambda column: column.map(order) if column.name == "strategy" else column,
        ignore_index=True,
    )


def report(how: Protocol, data: pd.DataFrame, command: str, folder: Path) -> str:
    """Write CSV, picture and Markdown; return the last."""
    ratio = 1.0 if how.name == "program" else 0.3 / 0.7
    comparison = StrategyComparison(data, ScoreLabel("RMSE", -1), ratio)
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"ames_{how.name}"
    data.to_csv(folder / f"{stem}.csv", index=False, float_format="%.6g")
    display = comparison.plot(score_unit=how.unit)
    display.ax_.set_title(f"Ames, protocol '{how.name}'")
    display.figure_.savefig(folder / f"{stem}.png", dpi=120)
    parts = [
        f"# Ames house prices, protocol `{how.name}`",
        f"`{command}`",
        f"{data['fold'].nunique()} trials. RMSE in {how.unit} by labels used (lower is "
        "better); area: mean over the budget; gain of the area over Random with its "
        "95 % interval and the p-value of the paired t-test. 'no gain': the interval "
        "includes 0.",
        markdown(comparison_table(comparison, how.budgets, digits=how.digits)),
    ]
    if how.name == "program":
        means = data.groupby(["strategy", "n_labeled"])["printed"].mean().unstack()
        printed = means.loc[comparison.strategies, how.budgets]
        parts += [
            "The metric that the program prints, the sum of the test batches' RMSE "
            "over the 730 rows, in USD:",
            markdown(printed.map(lambda v: f"{v:.0f}")),
        ]
    times = data.groupby("strategy")[["query_time", "fit_time"]].mean()
    parts += [
        "Seconds a query and a fit, other campaigns running beside:",
        markdown(times.loc[comparison.strategies].map(lambda v: f"{v:.3f}")),
        f"![learning curves]({stem}.png)",
        "\n".join(f"- {line}" for line in environment()),
    ]
    text = "\n\n".join(parts) + "\n"
    (folder / f"{stem}.md").write_text(text)
    return text


def main(argv: list[str] | None = None) -> int:
    """Run a protocol; 1 if the data could not be had."""
    parser = argparse.ArgumentParser(
        description=ames_protocols.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--protocol", choices=sorted(PROTOCOLS), required=True)
    parser.add_argument(
        "--trials", "--seeds", type=int, help="100 (program), 10 (honest) by default"
    )
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("benchmarks/.work"))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    args = parser.parse_args(argv)
    how = PROTOCOLS[args.protocol]
    trials = args.trials or how.n_trials
    try:
        how.split(0)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    file = args.work / f"ames_{how.name}.csv"
    data = collect(how.name, trials, args.n_jobs, file)
    command = (
        f"python -m benchmarks.ames --protocol {how.name} --trials {trials} "
        f"--n-jobs {args.n_jobs}"
    )
    print(report(how, data, command, args.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
