"""A file is whole or as before, whenever the process ends."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from skal._files import write_whole

NEW = b"new" * 1000


def _in_child(work: Callable[[], None]) -> int:
    """Run in a child process; its wait status."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(3)
    return os.waitpid(child, 0)[1]


def _kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("stage", ["before", "half", "written", "synced"])
def test_a_killed_process_leaves_the_old_file(tmp_path: Path, stage: str) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"old")

    def work() -> None:
        def write(partial: Path) -> None:
            if stage == "before":
                _kill()
            partial.write_bytes(NEW[:100] if stage == "half" else NEW)
            if stage == "half":
                _kill()

        if stage == "written":
            os.fsync = _kill
        else:
            Path.replace = _kill  # type: ignore[method-assign, assignment]
        write_whole(path, write)

    assert os.WTERMSIG(_in_child(work)) == signal.SIGKILL
    assert path.read_bytes() == b"old"
    write_whole(path, lambda partial: partial.write_bytes(NEW))
    assert path.read_bytes() == NEW


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"old")

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        try:
            write_whole(path, lambda partial: partial.write_bytes(NEW))
        except OSError:
            os._exit(0)

    assert _in_child(work) == 0
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "file.txt", tmp_path / "link.txt"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    write_whole(link, lambda partial: partial.write_bytes(NEW))
    assert link.is_symlink()
    assert path.read_bytes() == NEW
    assert path.stat().st_mode & 0o777 == 0o640


def test_threads_write_to_one_path(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with ThreadPoolExecutor(8) as threads:
        done = [
            threads.submit(
                write_whole, path, lambda p, k=k: p.write_bytes(bytes([k]) * 9999)
            )
            for k in range(40)
        ]
        for future in done:
            future.result()
    assert len(set(path.read_bytes())) == 1
    assert list(tmp_path.iterdir()) == [path]
