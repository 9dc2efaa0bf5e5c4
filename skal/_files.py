"""Files that are whole or as before, whenever the process ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["write_whole"]


def write_whole(path: Any, write: Callable[[Path], Any]) -> None:
    """Write a file such that it is whole or as before, whenever the process ends.

    Parameters
    ----------
    path : str or path
    write : callable
        Writes to the path that it is given, in the same folder.
    """
    path = Path(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
