"""Images that cells of a table name, from one folder, or that they are."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Images", "draw_array", "is_image"]

#: Pixels in a row or a column of an array that is taken for an image.
_LARGEST = 4096
#: Pixels to which smaller images are enlarged, about.
_SMALLEST = 224
#: Number of channels, and the type of color in PNG.
_COLORS = {1: 0, 3: 2, 4: 6}

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


def draw_array(cell: Any) -> bytes | None:
    """Write an array as an image.

    Parameters
    ----------
    cell : object
        An array of shape (height, width), or with 1, 3 or 4 channels as the first or
        the last dimension. Bytes are pixels, and so are floats from 0 to 1; other
        numbers are scaled to the range that they cover. What is not finite is black.
        Small images are enlarged by repeating their pixels.

    Returns
    -------
    png : bytes or None
        None if it is not such an array.
    """
    found = _channels_last(cell)
    if found is None:
        return None
    times = max(1, _SMALLEST // max(found.shape))
    pixels = _as_bytes(found).repeat(times, axis=0).repeat(times, axis=1)
    height, width, n_channels = pixels.shape
    # Each line begins with the number of its filter, which is none.
    lines = np.zeros((height, 1 + width * n_channels), dtype=np.uint8)
    lines[:, 1:] = pixels.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, _COLORS[n_channels], 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes())), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def is_image(cell: Any) -> bool:
    """Whether `draw_array` draws a cell."""
    return _channels_last(cell) is not None


def _channels_last(cell: Any) -> np.ndarray | None:
    """Get the pixels, of shape (height, width, channels); None if there are none."""
    if hasattr(cell, "detach"):
        cell = cell.detach().cpu().numpy()
    if not isinstance(cell, np.ndarray) or cell.dtype.kind not in "biuf":
        return None
    if cell.ndim == 2:
        cell = cell[:, :, None]
    if cell.ndim != 3 or not 0 < min(cell.shape) <= max(cell.shape) <= _LARGEST:
        return None
    if cell.shape[2] in _COLORS:
        return cell
    return np.moveaxis(cell, 0, 2) if cell.shape[0] in _COLORS else None


def _as_bytes(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    values = np.asarray(pixels, dtype=np.float64)
    finite = np.isfinite(values)
    known = values[finite] if finite.any() else np.zeros(1)
    low, high = float(known.min()), float(known.max())
    if pixels.dtype.kind in "bf" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    scaled = (np.where(finite, values, low) - low) / max(high - low, 1e-300)
    return np.asarray((scaled * 255).round(), dtype=np.uint8)


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
