"""What the build of the documentation needs: links to others, strict examples."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

__all__ = ["fetch_inventories", "refuse_warnings"]

_START = b"# Sphinx inventory version"
#: Entered before an example, and left after it.
_STRICT: list[warnings.catch_warnings[None]] = []


def fetch_inventories(
    projects: Mapping[str, str], folder: Path, timeout: float = 5.0
) -> dict[str, tuple[str, str]]:
    """Download inventories, and list those that are there.

    Sphinx would warn of an inventory that it cannot download, and warnings are errors
    here.  A project without an inventory has no links; nothing else changes.

    Parameters
    ----------
    projects : mapping of str to str
        Addresses of the documentation by name.
    folder : Path
        Where inventories are kept.  One of an earlier build is used if it cannot be
        downloaded again.
    timeout : float
        Seconds after which downloads are given up, all of them together.

    Returns
    -------
    mapping : dict
        Value of ``intersphinx_mapping``, with local files only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, bytes] = {}

    def download(name: str, address: str) -> None:
        try:
            with urlopen(f"{address}/objects.inv", timeout=timeout) as answer:
                found[name] = answer.read()
        except (OSError, ValueError):  # offline, refused, moved
            return

    # Daemons, since looking up a name cannot be given up otherwise.
    threads = [
        threading.Thread(target=download, args=item, daemon=True)
        for item in projects.items()
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    mapping = {}
    for name, address in projects.items():
        path = folder / f"{name}.inv"
        inventory = found.get(name, b"")
        if inventory.startswith(_START):  # and not the page of a proxy
            path.write_bytes(inventory)
        if path.exists():
            mapping[name] = (address, str(path))
    return mapping


def refuse_warnings(gallery_conf: Any, fname: str, when: str) -> None:
    """Let a warning of skal or of an estimator end the build, as an error does.

    Called by sphinx-gallery before and after each example.
    """
    if when == "before":
        _STRICT.append(warnings.catch_warnings())
        _STRICT[-1].__enter__()
        warnings.simplefilter("error", UserWarning)
    elif _STRICT:
        _STRICT.pop().__exit__(None, None, None)
