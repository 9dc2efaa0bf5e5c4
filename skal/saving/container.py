"""The file: a zip archive that ends with the checksum of everything before."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skal._files import write_whole
from skal.exceptions import LearnerFileError

__all__ = ["VERSION", "pack", "read_file", "unpack", "write_file"]

#: Of the format. Files of a later one are refused.
VERSION = 1
_MARK = b"skal sha256:"
_MANIFEST = "learner.json"
_LENGTH = len(_MARK) + 64
#: What zipfile and json raise if the parts of a file are not as they expect.
_UNREADABLE = (EOFError, KeyError, RuntimeError, TypeError, ValueError)
_DAMAGED = "it was not written by skal.save, or is truncated or was altered since."


def pack(manifest: Mapping[str, Any], members: Mapping[str, bytes]) -> bytes:
    """Join the description of a learner and its arrays to the bytes of a file.

    Parameters
    ----------
    manifest : mapping
        Made of JSON; the version of the format is added.
    members : mapping of str to bytes
        Content by name.

    Notes
    -----
    Members are stored as they are, not compressed, so that a small file cannot become
    large in memory, except for tables: Parquet compresses by itself. The comment of the
    archive, which ends it, is the SHA-256 of all bytes before.
    """
    text = json.dumps({"format": "skal", "version": VERSION, **manifest}, indent=1)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {_MANIFEST: text.encode(), **members}.items():
            # The same learner makes the same file, whenever it is saved.
            archive.writestr(zipfile.ZipInfo(name), content)
        archive.comment = b"0" * _LENGTH
    body = stream.getvalue()[:-_LENGTH]
    return body + _MARK + hashlib.sha256(body).hexdigest().encode()


def unpack(content: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Check the bytes of a file, and take them apart.

    Returns
    -------
    manifest : dict
    members : dict of str to bytes

    Raises
    ------
    LearnerFileError
        If any byte was changed, or the version is a later one.
    """
    body, tail = content[:-_LENGTH], content[-_LENGTH:]
    if tail != _MARK + hashlib.sha256(body).hexdigest().encode():
        raise LearnerFileError(_DAMAGED)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            _check_infos(infos, len(content))
            members = {info.filename: archive.read(info) for info in infos}
        manifest = json.loads(members.pop(_MANIFEST), object_pairs_hook=_unique)
        version = manifest["version"]
        known = manifest["format"] == "skal" and type(version) is int and version > 0
    except (*_UNREADABLE, zipfile.BadZipFile) as error:
        raise LearnerFileError(_DAMAGED) from error
    if not known:
        raise LearnerFileError(_DAMAGED)
    if version > VERSION:
        raise LearnerFileError(
            f"it has version {version} of the format, and this skal reads up to "
            f"{VERSION}. Install the skal that wrote it ({manifest.get('skal')}), or a "
            "later one."
        )
    return manifest, members


def _check_infos(infos: list[zipfile.ZipInfo], size: int) -> None:
    """Refuse what `pack` does not write: compression, or a part that is read twice."""
    stored = all(info.compress_type == zipfile.ZIP_STORED for info in infos)
    names = {info.filename for info in infos}
    if not stored or len(names) < len(infos) or sum(i.file_size for i in infos) > size:
        raise ValueError("not an archive of skal")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(made := dict(pairs)) < len(pairs):
        raise ValueError("a key twice")
    return made


def write_file(path: Any, content: bytes) -> None:
    """Replace a file, at once and as a whole."""
    write_whole(path, lambda partial: partial.write_bytes(content))


def read_file(path: Any) -> bytes:
    """Read the bytes of a file."""
    return Path(path).read_bytes()
