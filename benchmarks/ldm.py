"""Speed of the least disagree metric and of LDM-Seeding, against their floor.

Run as ``python -m benchmarks.ldm``.  The floor is the time that this machine's matrix
products take for the multiply-adds of every drawn hypothesis on every row:
(number of draws) × (m + M) × (d + 1) × C.  The metric may be faster, because rows that
a draw cannot lower are left out.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from benchmarks.report import environment
from skal._numerics.products import linear
from skal.measures import least_disagree_metric
from skal.selection import seeding
from skal.spaces import Cosine

_N_CLASSES = 10


def problem(m: int, d: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Make features like those after a ReLU, and a head."""
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(m, d, generator=rng).relu_()
    weight = torch.randn(_N_CLASSES, d, generator=rng) / d**0.5
    return features, weight, torch.zeros(_N_CLASSES)


def count_draws(M: int, features: torch.Tensor, head: tuple[torch.Tensor, ...]) -> int:
    """Count the hypotheses, which only depend on the reference rows."""
    weight, bias = head
    sigmas = 10 ** (-5 + 0.1 * torch.arange(51, dtype=torch.float64))
    total = 0
    rng = torch.Generator().manual_seed(0)
    seeds = torch.randint(2**62, (51,), generator=rng).tolist()
    rows = torch.cat([features[:M], torch.ones(M, 1)], dim=1)
    clean = torch.cat([weight, bias[:, None]], dim=1)
    labels = (rows @ clean.T).argmax(dim=1)
    lowest = torch.ones(M)
    for sigma, seed in zip(sigmas.tolist(), seeds, strict=True):
        own = torch.Generator().manual_seed(seed)
        unchanged = 0
        while unchanged < 10:
            noise = torch.randn(clean.shape, generator=own)
            flipped = (rows @ (clean + sigma * noise).T).argmax(dim=1) != labels
            rho = flipped.float().mean()
            better = flipped & (rho < lowest)
            lowest[better] = rho
            unchanged = 0 if bool(better.any()) else unchanged + 1
            total += 1
    return total


def product_rate(d: int) -> float:
    """Measure multiply-adds per second of the faster product, torch's or skal's."""
    a, b = torch.randn(4096, d), torch.randn(320, d)
    medians = []
    for product in (F.linear, linear):
        product(a, b)
        times = []
        for _ in range(20):
            start = time.perf_counter()
            product(a, b)
            times.append(time.perf_counter() - start)
        medians.append(sorted(times)[len(times) // 2])
    return 4096 * d * 320 / min(medians)


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and write what was printed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[50_000])
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--reference", type=int, default=2000)
    parser.add_argument("--seeding-rows", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    lines = [
        "| rows | draws | floor, s | metric, s | ratio |",
        "| --- | --- | --- | --- | --- |",
    ]
    for m in args.rows:
        features, weight, bias = problem(m, args.features)
        draws = count_draws(args.reference, features, (weight, bias))
        work = draws * (m + args.reference) * (args.features + 1) * _N_CLASSES
        before = work / product_rate(args.features + 1)
        start = time.perf_counter()
        least_disagree_metric(
            features,
            weight,
            bias,
            features[: args.reference],
            rng=torch.Generator().manual_seed(0),
        )
        seconds = time.perf_counter() - start
        floor = (before + work / product_rate(args.features + 1)) / 2
        row = f"| {m} | {draws} | {floor:.1f} | {seconds:.1f} | {seconds / floor:.2f} |"
        lines.append(row)
        print(row, flush=True)
    if args.seeding_rows:
        m = args.seeding_rows
        features, weight, bias = problem(m, args.features)
        held = features.numel() * 4 / 2**20
        base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        start = time.perf_counter()
        rng = torch.Generator().manual_seed(0)
        metric = least_disagree_metric(
            features, weight, bias, features[: args.reference], rng=rng
        )
        middle = time.perf_counter()
        picks = seeding(metric, Cosine(features), args.batch, rng)
        end = time.perf_counter()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        distinct = len(set(picks.indices.tolist()))
        lines += [
            "",
            f"LDM-Seeding on {m} rows of {args.features} features ({held:.0f} MiB), "
            f"batch {args.batch}: metric {middle - start:.1f} s, seeding "
            f"{end - middle:.1f} s, {distinct} distinct picks, peak memory "
            f"{peak - base:.0f} MiB above what held the features.",
        ]
        print(lines[-1])
    command = "python -m benchmarks.ldm " + " ".join(argv or sys.argv[1:])
    text = "\n".join(
        [
            "# The least disagree metric against its matrix products",
            "",
            f"`{command.strip()}`",
            "",
            *(f"- {line}" for line in environment()),
            "",
            *lines,
            "",
        ]
    )
    if args.output:
        args.output.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
