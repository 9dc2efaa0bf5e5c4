"""Arrays are drawn as images, as another reader of the format finds them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from skal.campaign import Campaign
from skal.labeling.images import draw_array, is_image
from tests.labeling.conftest import Browser


def read_png(content: bytes) -> np.ndarray:
    """Read an image whose lines are not filtered, by the definition of the format."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        kind = content[place + 4 : place + 8]
        chunks[kind] = content[place + 8 : place + 8 + length]
        check = content[place + 8 + length : place + 12 + length]
        assert struct.unpack(">I", check)[0] == zlib.crc32(kind + chunks[kind])
        place += 12 + length
    width, height, depth, color = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert depth == 8
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8)
    lines = lines.reshape(height, -1)
    assert (lines[:, 0] == 0).all()
    return lines[:, 1:].reshape(height, width, {0: 1, 2: 3, 6: 4}[color])


PIXELS = np.arange(300 * 250, dtype=np.float64).reshape(300, 250) % 256


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (PIXELS.astype(np.uint8), PIXELS[:, :, None]),
        (PIXELS / 255, PIXELS[:, :, None]),
        (PIXELS.astype(np.int64) * 3 - 7, PIXELS[:, :, None]),
        (torch.tensor(PIXELS / 255)[None], PIXELS[:, :, None]),
        (np.stack([PIXELS, 255 - PIXELS, PIXELS], axis=2).astype(np.uint8), None),
        (np.stack([PIXELS, 255 - PIXELS, PIXELS, PIXELS]).astype(np.uint8), None),
        (np.where(PIXELS == 9, np.nan, PIXELS) / 255, None),
        (PIXELS > 100, (PIXELS > 100)[:, :, None] * 255),
        (np.full((250, 250), 7), np.zeros((250, 250, 1))),
    ],
)
def test_arrays_are_drawn(cell: Any, expected: Any) -> None:
    drawn = draw_array(cell)
    assert is_image(cell)
    assert drawn is not None
    if expected is None:
        array = np.nan_to_num(np.asarray(cell))
        array = array if array.dtype == np.uint8 else (array * 255).round()
        array = array[:, :, None] if array.ndim == 2 else array
        expected = np.moveaxis(array, 0, 2) if len(array) == 4 else array
    np.testing.assert_array_equal(read_png(drawn), expected)


def test_small_arrays_are_enlarged() -> None:
    cell = np.array([[0, 255], [255, 0]], dtype=np.uint8)
    drawn = read_png(draw_array(cell) or b"")
    np.testing.assert_array_equal(drawn[:, :, 0], np.kron(cell, np.ones((112, 112))))


@pytest.mark.parametrize(
    "cell",
    [
        *("a.png", None, 1.5, [[1, 2]], np.ones(3), np.ones((2, 2, 2))),
        *(
            np.ones((0, 3)),
            np.array([["a"]]),
            np.ones((5000, 2)),
            np.ones((1, 1, 1, 1)),
        ),
    ],
)
def test_other_cells_are_not_drawn(cell: Any) -> None:
    assert draw_array(cell) is None
    assert not is_image(cell)


@pytest.mark.usefixtures("serve")  # which skips where the page is not installed
def test_rows_that_are_arrays_are_shown(tmp_path: Path) -> None:
    X = np.random.default_rng(0).random((12, 1, 300, 250)).astype(np.float32)
    campaign = Campaign.create(
        tmp_path / "a.db",
        X,
        model=LogisticRegression(),
        initial=first_rows,
        classes=["x", "y"],
    )
    from skal.labeling import make_app

    app = make_app(campaign)
    try:
        browser = Browser(app, "ann")
        address = f"/image?row={browser.row}&amp;column=row"
        assert f'<img src="{address}" alt="(1, 300, 250)">' in browser.html
        found = browser.client.get(address.replace("&amp;", "&"))
        assert found.headers["content-type"] == "image/png"
        expected = (X[int(browser.row or -1), 0].astype(float) * 255).round()
        np.testing.assert_array_equal(read_png(found.content)[:, :, 0], expected)
    finally:
        app.close(30)


def first_rows(learner: Any, X: Any, n_instances: int = 1) -> Any:
    return np.arange(n_instances), np.zeros(n_instances)
