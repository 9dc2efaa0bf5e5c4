"""Files that are whole or as before, whenever the process ends."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["write_whole"]


def write_whole(path: Any, write: Callable[[Path], Any]) -> None:
    """Write a file such that it is whole or as before, whenever the process ends.

    A file that is there already keeps its permissions; a symbolic link is followed.

    Parameters
    ----------
    path : str or path
    write : callable
        Writes to the path that it is given, in the same folder. The name is new, so
        that neither threads nor processes write to one file.
    """
    path = Path(path).resolve()
    mode = path.stat().st_mode if path.exists() else None
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
        partial = Path(folder) / f"file{path.suffix}"
        write(partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        if mode is not None:
            partial.chmod(mode)
        partial.replace(path)
