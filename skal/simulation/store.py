"""A folder with the finished campaigns of a comparison."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch

from skal._files import write_whole
from skal._version import __version__
from skal.simulation.describing import describe, without_code

__all__ = ["CampaignStore"]


_PYTHON = "{}.{}".format(*sys.version_info)


class CampaignStore:
    """Saves each finished campaign in a file, so that a comparison can be continued.

    Parameters
    ----------
    folder : str or path
        Created if it does not exist.
    settings : dict of str to object
        Everything that the results depend on; see `describe`.
    strategies : mapping of str to strategy
        Others may be added in a later call.
    folds : sequence of pairs of ndarray
        Training and test rows.
    seeds : sequence of sequences of int
        By fold and repeat.

    Attributes
    ----------
    folds, seeds
        Those of the first call; a splitter or a comparison without `random_state` would
        draw different ones in the next call.

    Raises
    ------
    ValueError
        If the folder holds a comparison with other settings.
    """

    def __init__(
        self,
        folder: Any,
        settings: Mapping[str, Any],
        strategies: Mapping[str, Any],
        folds: Sequence[tuple[np.ndarray, np.ndarray]],
        seeds: Sequence[Sequence[int]],
    ) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        plan = self.folder / "comparison.json"
        now = {"skal": __version__, **{k: describe(v) for k, v in settings.items()}}
        kinds = {str(name): describe(kind) for name, kind in strategies.items()}
        versions = _versions()
        if len(kinds) < len(strategies):
            raise ValueError(f"Names of strategies must differ as text: {list(kinds)}.")
        if plan.exists():
            before = _read(plan)
            # The code of functions is compiled to something else by each Python.
            comparable = before.get("python") == _PYTHON
            _check_same(self.folder, before["settings"], now, comparable)
            versions = before.get("versions", versions)
            _warn_of_versions(self.folder, versions)
            known = before["strategies"]
            again = {k: v for k, v in kinds.items() if k in known}
            _check_same(self.folder, known, again, comparable)
            kinds = {**known, **kinds}
            folds, seeds = before["folds"], before["seeds"]
        self.seeds = [list(row) for row in seeds]
        self.folds = [(np.asarray(train), np.asarray(test)) for train, test in folds]
        _write(
            plan,
            {
                "settings": now,
                "versions": versions,
                "python": _PYTHON,
                "strategies": kinds,
                "seeds": self.seeds,
                "folds": [[part.tolist() for part in fold] for fold in self.folds],
            },
        )

    def load(
        self, strategy: str, fold: int, repeat: int
    ) -> list[dict[str, Any]] | None:
        """Get the rows of a campaign; None if it was not finished."""
        path = self._path(strategy, fold, repeat)
        if not path.exists():
            return None
        rows: list[dict[str, Any]] = _read(path)["rows"]
        return rows

    def save(
        self,
        strategy: str,
        fold: int,
        repeat: int,
        rows: list[dict[str, Any]],
        labeled: list[list[int]],
    ) -> None:
        """Keep the rows of a campaign, and the rows labeled at each of its steps."""
        _write(self._path(strategy, fold, repeat), {"rows": rows, "labeled": labeled})

    def _path(self, strategy: str, fold: int, repeat: int) -> Path:
        # Names may differ only by characters that a file system does not keep.
        strategy = str(strategy)
        readable = re.sub(r"\W+", "_", strategy)[:40]
        digest = hashlib.sha256(strategy.encode()).hexdigest()[:8]
        return self.folder / f"{readable}-{digest}-fold{fold}-repeat{repeat}.json"


def _write(path: Path, content: Any) -> None:
    """Write a file such that it is whole or absent, whenever the process ends."""
    write_whole(path, lambda partial: partial.write_text(json.dumps(content)))


def _read(path: Path) -> dict[str, Any]:
    """Read a file; one that `_write` has not written is damaged."""
    try:
        content = json.loads(path.read_text())
    except ValueError:
        content = None
    if not isinstance(content, dict) or not {"rows", "settings"} & {*content}:
        raise ValueError(
            f"{str(path)!r} is damaged. Delete it, and its campaign is run again; "
            "without comparison.json, use another folder."
        )
    return content


def _versions() -> dict[str, str]:
    """Versions of the packages that compute; a patch of one may change a last digit."""
    return {package.__name__: package.__version__ for package in (np, sklearn, torch)}


def _warn_of_versions(folder: Path, before: dict[str, str]) -> None:
    now = _versions()
    changed = [f"{k} {before[k]}, now {now[k]}" for k in now if before[k] != now[k]]
    if changed:
        warnings.warn(
            f"The folder {str(folder)!r} holds campaigns of other versions "
            f"({'; '.join(changed)}). Those that are run now may differ from them. Use "
            "another folder to compare like with like.",
            UserWarning,
            stacklevel=4,
        )


def _check_same(
    folder: Path, before: dict[str, Any], now: dict[str, Any], with_code: bool
) -> None:
    if not with_code:
        before, now = without_code(before), without_code(now)
    changed = [key for key, value in now.items() if before.get(key) != value]
    if changed:
        key = changed[0]
        raise ValueError(
            f"The folder {str(folder)!r} holds a comparison with other settings "
            f"({', '.join(changed)}): {key} was {_short(before.get(key))}, and is "
            f"{_short(now[key])}. Use another folder."
            + (_OTHER_CODE if without_code(before) == without_code(now) else "")
        )


#: Said if nothing but code differs.
_OTHER_CODE = (
    " (The code of a function or class of that name has changed, of which a hash "
    "follows the sign #.)"
)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 80 else f"{text[:77]}..."
