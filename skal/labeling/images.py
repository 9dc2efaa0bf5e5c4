"""Images that cells of a table name, from one folder and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["Images"]

#: Formats by suffix. SVG is left out, as it may hold scripts.
_TYPES = {
    ".avif": "image/avif",
    ".bmp": "image/bmp",
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}


class Images:
    """A folder of images.

    Parameters
    ----------
    folder : str or path, optional
        None for no images.

    Raises
    ------
    NotADirectoryError
        If there is no such folder.
    """

    def __init__(self, folder: Any = None) -> None:
        self._folder = None if folder is None else Path(folder).resolve()
        if self._folder is not None and not self._folder.is_dir():
            raise NotADirectoryError(f"There is no folder of images {str(folder)!r}.")

    def find(self, cell: Any) -> tuple[Path, str] | None:
        """Find the image that a cell names.

        Parameters
        ----------
        cell : object
            A path within the folder, relative to it or absolute.

        Returns
        -------
        found : tuple of (path, media type) or None
            None unless it is the path of an image. Links are followed first: what they
            lead to must be in the folder, too.
        """
        if self._folder is None or not isinstance(cell, str) or not cell.strip():
            return None
        try:
            path = (self._folder / cell.strip()).resolve()
            kind = _TYPES.get(path.suffix.lower())
            inside = path.is_relative_to(self._folder)
            return (path, kind) if inside and kind and path.is_file() else None
        except (OSError, ValueError):  # too long, or a zero byte
            return None
