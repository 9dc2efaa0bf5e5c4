"""The distribution is built, and a clean environment can use what it installs."""

from __future__ import annotations

import configparser
import email
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import setuptools

import skal

ROOT = Path(skal.__file__).parents[1]
NAME = "skal-learn"
#: What a source tree consists of for a build.
_FILES = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")
_BUILD = """
import sys
from setuptools import build_meta
for kind in sys.argv[2:]:
    getattr(build_meta, f"build_{kind}")(sys.argv[1])
"""
_USE = f"""
from importlib.metadata import version
import numpy as np
import skal
from sklearn.linear_model import Ridge
assert version("{NAME}") == skal.__version__
X = np.random.default_rng(0).normal(size=(30, 2))
learner = skal.ActiveLearner(Ridge(), X_training=X[:10], y_training=X[:10, 0])
assert len(learner.query(X[10:], n_instances=3)[0]) == 3
print(skal.__file__)
"""


def _run(command: list[str], folder: Path) -> str:
    # pip would take a package on PYTHONPATH for installed.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_wheel_of_the_sdist_works_in_a_clean_environment(tmp_path: Path) -> None:
    if int(setuptools.__version__.split(".")[0]) < 77:
        pytest.skip("The build needs setuptools 77.")
    tree, built = tmp_path / "tree", tmp_path / "built"
    built.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "skal", tree / "skal", ignore=ignored)
    for file in _FILES:
        shutil.copy(ROOT / file, tree)
    _run([sys.executable, "-c", _BUILD, str(built), "sdist"], tree)
    (archive,) = built.glob("*.tar.gz")
    assert archive.name == f"skal_learn-{skal.__version__}.tar.gz"
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    _run([sys.executable, "-c", _BUILD, str(built), "wheel"], unpacked)
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as content:
        names = set(content.namelist())
        (metadata,) = (n for n in names if n.endswith(".dist-info/METADATA"))
        described = email.message_from_bytes(content.read(metadata))
    sources = {str(p.relative_to(tree)) for p in (tree / "skal").rglob("*.py")}
    assert {n for n in names if n.endswith(".py")} == sources
    assert "skal/py.typed" in names
    assert described["Name"] == NAME
    assert described.get_payload().startswith("# skal")

    venv.create(tmp_path / "venv")
    found = (tmp_path / "venv").glob("*/python*")
    python = next(path for path in found if path.stem == "python")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]
    _run([*pip, "--no-deps", "--no-index", str(wheel)], tmp_path)
    # The dependencies are those of this environment: torch alone has a gigabyte.
    (packages,) = (tmp_path / "venv").glob("[Ll]ib/**/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    location = _run([str(python), "-I", "-c", _USE], tmp_path)
    assert Path(location.strip()).is_relative_to(packages)


def test_every_place_has_the_same_name() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert config["metadata"]["name"] == NAME
    assert f"`{NAME}`" in (ROOT / "README.md").read_text()
