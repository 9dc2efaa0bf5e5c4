"""Run by the environment of bmdal_reg: features in, its picks out.

``python bmdal_picks.py problems.npz picks.npz``; needs nothing of skal.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import torch
from bmdal_reg.bmdal.algorithms import select_batch
from bmdal_reg.bmdal.feature_data import TensorFeatureData


def main(problems: str, answers: str) -> None:
    torch.set_num_threads(1)
    data = np.load(problems)
    picks = {}
    for name, options in json.loads(str(data["options"])).items():
        rows = {
            part: TensorFeatureData(torch.from_numpy(data[f"{name}_{part}"]))
            for part in ("pool", "train")
        }
        found, results = select_batch(
            models=[None],
            data=rows,
            y_train=None,
            base_kernel="linear",
            verbosity=0,
            **options,
        )
        if results["selection_status"] is not None:
            raise RuntimeError(f"{name}: {results['selection_status']}")
        picks[name] = found.numpy()
    np.savez(answers, **picks)


if __name__ == "__main__":
    main(*sys.argv[1:])
