"""The page in a headless Chromium, with the server as a separate process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skal.campaign import Campaign

ATTACK = "<script>document.title = 'attacked'</script>"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("sqlalchemy", "starlette", "uvicorn"):
        pytest.importorskip(name, reason="the page needs the extra `label`")
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"id": [f"r{k:02d}" for k in range(60)]})
    table["area"] = rng.normal(size=60).round(3)
    table["note"] = ATTACK
    table["kind"] = ["big", "small"] * 5 + [""] * 50
    path = tmp_path / "data.csv"
    table.to_csv(path, index=False)
    return path


@pytest.fixture
def driver() -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="drives a browser")
    binary, service = shutil.which("chromium"), shutil.which("chromedriver")
    if not binary or not service:
        pytest.skip("Chromium and its driver are not installed.")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(service))
    driver.implicitly_wait(30)
    yield driver
    driver.quit()


def start(data: Path) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "skal.cli", "label", str(data), "-n", "4"]
    command += ["--target", "kind", "--model", "linear", "--annotator", "ann"]
    process = subprocess.Popen(
        [*command, "--no-browser"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as lines:
        address = lines.readline().strip()
    assert address.startswith("http://127.0.0.1:")
    return process, address


@pytest.mark.slow
def test_label_by_keyboard_reload_kill_and_restart(driver: Any, data: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    def row() -> str:
        return str(driver.find_element(By.ID, "row").text)

    def press(key: str) -> None:
        page = driver.find_element(By.TAG_NAME, "html")
        driver.find_element(By.TAG_NAME, "body").send_keys(key)
        WebDriverWait(driver, 30).until(lambda _: is_gone(page))

    def is_gone(element: Any) -> bool:
        from selenium.common.exceptions import WebDriverException

        try:
            return not element.is_enabled()
        except WebDriverException:
            return True

    driver.set_window_size(500, 800)  # Chromium's least width
    process, address = start(data)
    sent = {}
    try:
        driver.get(address)
        for k in range(20):
            key = "12"[k % 2]
            sent[row()] = {"1": "big", "2": "small"}[key]
            press(key)
            if k == 7:
                before = row()
                driver.refresh()
                assert row() == before
            if k == 12:
                before = row()
                process.kill()
                process.wait()
                process, address = start(data)
                driver.get(address)
                assert row() == before
        press("u")
        driver.find_element(By.ID, "label")
        assert row() == list(sent)[-1]
        press("s")
        sent.pop(list(sent)[-1])
        assert ATTACK in driver.find_element(By.CSS_SELECTOR, "table.row").text
        assert driver.title == "kind"
        width = "return document.documentElement.scrollWidth <= window.innerWidth"
        assert driver.execute_script(width)
        driver.get(address[:-1])
        assert "The token is wrong" in driver.page_source
    finally:
        process.kill()
        process.wait()
    campaign = Campaign.open(f"{data}.skal")
    said = campaign.said("ann")
    assert {key: label for key, kind, label in said if kind == "answer"} == sent
    assert [kind for _, kind, _ in said].count("skip") == 1
    # Ids, answers and hashes are kept, and nothing was reserved for somebody else.
    assert campaign.status().labels == {
        name: 5 + list(sent.values()).count(name) for name in ("big", "small")
    }
