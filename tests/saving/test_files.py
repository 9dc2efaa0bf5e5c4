"""Files that are damaged, foreign or hostile are refused, and nothing is executed."""

from __future__ import annotations

import builtins
import io
import json
import os
import pickle
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from dateutil.tz import tzoffset
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import nn

import skal
from skal.exceptions import LearnerFileError
from skal.learners import ActiveLearner
from skal.nets import NetRegressor
from skal.saving.container import pack, unpack
from tests.models import make_data

pytest.importorskip("safetensors", reason="needs the extra `save`")

X, Y = make_data("regression")


class OwnModule(nn.Module):
    """As users write them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 1)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.layer(X)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "learner.skal"
    skal.save(ActiveLearner(Ridge(), X_training=X, y_training=Y), path)
    return path


def _change(path: Path, change: Any) -> None:
    """Rewrite a file by hand, with the right checksum."""
    manifest, members = unpack(path.read_bytes())
    change(manifest, members)
    path.write_bytes(pack(manifest, members))


def test_every_altered_byte_and_every_truncation_is_refused(path: Path) -> None:
    content = path.read_bytes()
    for k in range(0, len(content), 29):
        altered = bytearray(content)
        altered[k] ^= 1
        path.write_bytes(altered)
        with pytest.raises(LearnerFileError, match="altered"):
            skal.load(path)
        path.write_bytes(content[:k])
        with pytest.raises(LearnerFileError, match="truncated"):
            skal.load(path)
    path.write_bytes(content)
    assert skal.load(path).score(X, Y) > 0


def test_anyone_can_read_it(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        learner = json.loads(archive.read("learner.json"))["learner"]
        state = learner["state"]["values"]["estimator"]["state"]["values"]
        assert state["alpha"] == 1.0
        with archive.open(state["coef_"]["file"]) as file:
            assert np.load(file).shape == (5,)


def test_a_later_version_is_refused(path: Path) -> None:
    _change(path, lambda manifest, _: manifest.update(version=2, skal="9.1"))
    with pytest.raises(LearnerFileError, match=r"version 2 .* up to 1.*9\.1"):
        skal.load(path)


@pytest.mark.parametrize("change", [{"format": "other"}, {"version": None}])
def test_a_foreign_manifest_is_refused(path: Path, change: dict[str, Any]) -> None:
    _change(path, lambda manifest, _: manifest.update(change))
    with pytest.raises(LearnerFileError, match=r"not written by skal\.save"):
        skal.load(path)


def test_other_versions_of_packages_are_warned_of(path: Path) -> None:
    def older(manifest: Any, _: Any) -> None:
        manifest["skorch"] = "0.9"
        estimator = manifest["learner"]["state"]["values"]["estimator"]
        estimator["state"]["values"]["_sklearn_version"] = "1.0"

    _change(path, older)
    with (
        pytest.warns(UserWarning, match=r"skorch 0\.9"),
        pytest.warns(InconsistentVersionWarning),
    ):
        skal.load(path)


def test_loading_neither_unpickles_nor_evaluates(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = NetRegressor(max_epochs=2, random_state=0)
    skal.save(ActiveLearner(net, X_training=X, y_training=Y), path)

    def forbidden(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("not while a file is read")

    for module, name in (
        *((pickle, "loads"), (pickle, "load"), (pickle, "Unpickler")),
        *((torch, "load"), (builtins, "eval"), (builtins, "exec"), (os, "system")),
    ):
        monkeypatch.setattr(module, name, forbidden)
    loaded = skal.load(path)
    monkeypatch.undo()
    np.testing.assert_array_equal(loaded.predict(X), net.predict(X))


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("os:system", True),
        ("posix:system", True),
        ("builtins:eval", True),
        ("subprocess:Popen", False),
        ("numpy:load", True),
        ("numpy:memmap", False),
        ("torch.serialization:load", True),
        ("sklearn.utils._testing:assert_run_python_script_without_output", True),
        ("sklearn.datasets._base:load_files", True),
        ("skorch.callbacks.training:Checkpoint", False),
        ("sklearn.pipeline:clone", True),
        ("sklearn.linear_model._ridge:np.load", True),
        ("sklearn.linear_model._ridge:np", False),
        ("skal.nets.net:torch.load", True),
        ("skal.nets.nothing:Net", False),
        ("", False),
    ],
)
def test_other_names_are_not_looked_up(path: Path, name: str, function: bool) -> None:
    """Whoever can write a file can also write its checksum."""

    def hostile(manifest: Any, _: Any) -> None:
        values = manifest["learner"]["state"]["values"]
        values["query_strategy"] = {
            "kind": "named",
            "name": name,
            "function": function,
        }

    _change(path, hostile)
    with pytest.raises(LearnerFileError, match="not loaded"):
        skal.load(path)


def test_no_array_is_unpickled(path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([print], dtype=object), allow_pickle=True)

    def hostile(_: Any, members: Any) -> None:
        members.update({name: stream.getvalue() for name in members if "npy" in name})

    _change(path, hostile)
    with pytest.raises(LearnerFileError, match="do not fit together"):
        skal.load(path)


@pytest.mark.parametrize("field", ["left_child", "right_child", "feature"])
@pytest.mark.parametrize("value", [-2, 0, 10**9])
def test_trees_that_point_outside_are_refused(
    tmp_path: Path, field: str, value: int
) -> None:
    if field == "feature" and value == 0:
        value = 5  # of the columns 0 to 4
    path = tmp_path / "forest.skal"
    skal.save(RandomForestRegressor(1, random_state=0).fit(X, Y), path)

    def hostile(_: Any, members: Any) -> None:
        for name, content in members.items():
            if name.endswith("npy") and b"left_child" in content:
                nodes = np.load(io.BytesIO(content))
                nodes[field][0] = value
                stream = io.BytesIO()
                np.save(stream, nodes)
                members[name] = stream.getvalue()

    _change(path, hostile)
    with pytest.raises(LearnerFileError, match="nodes of a tree"):
        skal.load(path)


def test_own_classes_are_passed(tmp_path: Path) -> None:
    path = tmp_path / "own.skal"
    net = NetRegressor(OwnModule, max_epochs=2, random_state=0).fit(X, Y)
    skal.save(net, path)
    with pytest.raises(LearnerFileError, match=r"module=OwnModule\)"):
        skal.load(path)
    for passed in (OwnModule, [nn.Linear, OwnModule]):
        loaded = skal.load(path, module=passed, device="cpu")
        np.testing.assert_array_equal(loaded.predict(X), net.predict(X))
    with pytest.raises(TypeError, match="Pass the class itself"):
        skal.load(path, module=OwnModule())
    with pytest.raises(ValueError, match="nonsense"):
        skal.load(path, module=OwnModule, device="nonsense")


@pytest.mark.parametrize("function", [torch.relu, str.upper, len])
def test_functions_in_c_are_passed(path: Path, function: Any) -> None:
    skal.save(FunctionTransformer(function), path)
    with pytest.raises(LearnerFileError, match="not looked up unasked"):
        skal.load(path)
    assert skal.load(path, module=function).func is function


def test_other_modules_of_the_same_name_are_refused(tmp_path: Path) -> None:
    """The weights of a class are those of the file, whatever class is passed."""
    path = tmp_path / "own.skal"
    skal.save(NetRegressor(OwnModule, max_epochs=2, random_state=0).fit(X, Y), path)
    found = skal.load(path, module=OwnModule).module_.layer.weight
    with zipfile.ZipFile(path) as archive:
        from safetensors.torch import load

        tensors = load(archive.read("tensors.safetensors"))
    torch.testing.assert_close(tensors["module_.layer.weight"], found.data.cpu())


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (FunctionTransformer(lambda X: X), r"^steps\.0\.1\.func cannot.* lambda"),
        (KNeighborsRegressor(algorithm="kd_tree").fit(X, Y), r"_tree .*KDTree"),
    ],
)
def test_what_cannot_be_saved_is_named_and_the_file_kept(
    path: Path, estimator: Any, message: str
) -> None:
    before = path.read_bytes()
    with pytest.raises(TypeError, match=message):
        skal.save(make_pipeline(estimator), path)
    assert path.read_bytes() == before


class OwnTensor(torch.Tensor):
    """A subclass, of which only the values could be saved."""


class OwnBits(np.random.PCG64):
    """A source of random numbers that is not numpy's own."""


class OwnDict(dict):
    """A container that is no mere dict."""


def _mixed() -> pd.DataFrame:
    return pd.DataFrame({"a": [1, "x", None]}, dtype=object)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (np.zeros(2).view(np.recarray), "recarray is an array of another kind"),
        (np.zeros(2, dtype=[("a", object)]), "holds Python objects"),
        (np.zeros(1, dtype=[("a", "f8")])[0], "void has no open format"),
        (np.dtype([("a", "f8")]), "several parts"),
        (np.dtype(("f8", (2,))), "several parts"),
        (torch.zeros(2).as_subclass(OwnTensor), "OwnTensor is a tensor of another"),
        (torch.eye(2).to_sparse(), "only dense tensors"),
        (np.random.Generator(OwnBits(0)), "OwnBits is not one of"),
        ((k for k in range(3)), "generator has no open format"),
        (OwnDict(a=1), "OwnDict has items beside its attributes"),
        ([].append, "bound to an object"),
        (np.vectorize(abs).__call__, "bound to an object"),
        (np.random.default_rng(0).normal, "bound to an object"),
        (_mixed(), "Parquet does not keep some of its columns"),
        (
            pd.DataFrame(np.zeros((1, 2)), columns=[["a", "a"], [1, 2]]),
            "several levels",
        ),
        (pd.DataFrame({"a": [1j]}, dtype=object), "Parquet does not keep"),
        (pd.DataFrame({"a": [1, 1.5]}, dtype=object), "column 'a' .* float, int;"),
        (pd.DataFrame({"a": [1, None]}, dtype=object), "column 'a' .* NoneType, int;"),
        (pd.Series([True, 1], dtype=object), "Parquet does not keep"),
        (pd.Series([0], [pd.Timestamp("2020")]).index.astype(object), "Timestamp;"),
        (pd.Series([0, 1], index=pd.Index([1, 1.5], dtype=object)), "the index has"),
        (pd.Timestamp("2020-01-01", tz=tzoffset("X", 60)), "time zone .* has no name"),
        (pl.DataFrame({"a": [object()]}, schema={"a": pl.Object}), "Parquet does not"),
        (Fraction(1, 2), "restored by its own code"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_parts_without_an_open_format_are_named(
    path: Path, part: Any, words: str
) -> None:
    before = path.read_bytes()
    with pytest.raises(TypeError, match=rf"^random_state cannot be saved: .*{words}"):
        skal.save(ActiveLearner(Ridge(), random_state=part), path)
    assert path.read_bytes() == before


def test_a_learner_nested_too_deeply_is_refused(path: Path) -> None:
    part: list[Any] = []
    for _ in range(10_000):
        part = [part]
    with pytest.raises(TypeError, match="nested too deeply"):
        skal.save(ActiveLearner(Ridge(), random_state=part), path)


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"kind": "spell"}, "unknown kind 'spell'"),
        ({"kind": "torch dtype", "name": "torch.load"}, "unknown dtype 'torch.load'"),
        ({"kind": "sparse", "array": True, "stored": "dok"}, "unknown format 'dok'"),
        (
            {"kind": "net", "class": "sklearn.linear_model._ridge:Ridge"},
            "Ridge is not a net",
        ),
    ],
)
def test_nodes_of_no_known_kind_are_refused(
    path: Path, node: dict[str, Any], words: str
) -> None:
    def hostile(manifest: Any, _: Any) -> None:
        manifest["learner"]["state"]["values"]["query_strategy"] = node

    _change(path, hostile)
    with pytest.raises(LearnerFileError, match=words):
        skal.load(path)


def test_compressed_members_are_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small file would become large in memory."""

    class Deflated(zipfile.ZipInfo):
        def __init__(self, name: str, *args: Any) -> None:
            super().__init__(name, *args)
            if name.endswith(".npy"):
                self.compress_type = zipfile.ZIP_DEFLATED

    manifest, members = unpack(path.read_bytes())
    monkeypatch.setattr(zipfile, "ZipInfo", Deflated)
    content = pack(manifest, members)
    monkeypatch.undo()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        kinds = {info.compress_type for info in archive.infolist()}
    path.write_bytes(content)
    assert kinds == {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
    with pytest.raises(LearnerFileError, match="altered"):
        skal.load(path)


def test_a_cache_on_disk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.skal"
    steps = StandardScaler(), Ridge()
    with pytest.raises(TypeError, match="memory=None"):
        skal.save(make_pipeline(*steps, memory=str(tmp_path)), path)
    skal.save(make_pipeline(*steps), path)

    def hostile(manifest: Any, _: Any) -> None:
        manifest["learner"]["state"]["values"]["memory"] = str(tmp_path)

    _change(path, hostile)
    with pytest.raises(LearnerFileError, match="folder of pickles"):
        skal.load(path)


def test_a_failed_write_leaves_the_old_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def full(*args: Any) -> Any:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        skal.save(Ridge(), path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_only_learners_are_saved(tmp_path: Path) -> None:
    for wrong in (X, "learner", Ridge):
        with pytest.raises(TypeError, match="learner or an estimator"):
            skal.save(wrong, tmp_path / "file")
