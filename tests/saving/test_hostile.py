"""What a stranger could write by hand, with the right checksum, is refused."""

from __future__ import annotations

import base64
import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import BisectingKMeans, KMeans
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import SplineTransformer
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeRegressor

import skal
from skal.exceptions import LearnerFileError
from skal.learners import ActiveLearner
from skal.nets import NetRegressor
from skal.saving.container import pack, unpack
from tests.models import make_data

pytest.importorskip("safetensors", reason="needs the extra `save`")

X, Y = make_data("regression")
LABELS = np.digitize(Y, np.quantile(Y, [0.3, 0.6]))
Change = Callable[[dict[str, Any], dict[str, bytes]], None]


@pytest.fixture
def load_changed(tmp_path: Path) -> Callable[[Any, Change], Any]:
    """Save, change the parts of the file, and load."""

    def through(learner: Any, change: Change) -> Any:
        path = tmp_path / "learner.skal"
        skal.save(learner, path)
        manifest, members = unpack(path.read_bytes())
        change(manifest, members)
        path.write_bytes(pack(manifest, members))
        return skal.load(path)

    return through


def _state(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifest["learner"]["state"]["values"]
    return found


def _dict(**values: Any) -> dict[str, Any]:
    return {"kind": "dict", "values": values}


# -- code -----------------------------------------------------------------------------


class _Unpickled:
    ran = False

    def __reduce__(self) -> Any:
        return setattr, (_Unpickled, "ran", True)


@pytest.mark.parametrize(
    "cls", ["skorch.net:NeuralNet", "skal.nets.regressor:NetRegressor"]
)
def test_nets_are_not_unpickled_as_other_objects(load_changed: Any, cls: str) -> None:
    """skorch's __setstate__ unpickles bytes."""
    content = base64.b64encode(pickle.dumps({"module_": _Unpickled()})).decode()
    attributes = _dict(
        device="cpu",
        cuda_dependent_attributes_={"kind": "list", "items": []},
        __cuda_dependent_attributes__={"kind": "bytes", "base64": content},
    )

    def hostile(manifest: Any, _: Any) -> None:
        manifest["learner"] = {"kind": "object", "class": cls, "state": attributes}

    with pytest.raises(LearnerFileError, match="is a net"):
        load_changed(Ridge(), hostile)
    assert not _Unpickled.ran


@pytest.mark.parametrize(
    "cls",
    [
        "sklearn.neighbors._kd_tree:KDTree",
        "sklearn.tree._splitter:BestSplitter",
        "sklearn.linear_model._sgd_fast:Hinge",
        "sklearn.callback._transport:ListenerHandle",
    ],
)
def test_compiled_and_other_classes_are_not_made(load_changed: Any, cls: str) -> None:
    def hostile(manifest: Any, _: Any) -> None:
        manifest["learner"] = {"kind": "object", "class": cls, "state": None}

    with pytest.raises(LearnerFileError, match=r"not safe|not looked up|does not have"):
        load_changed(Ridge(), hostile)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("predict", {"kind": "named", "name": "builtins:print", "function": True}),
        ("__class__", {"kind": "named", "name": "builtins:object", "function": False}),
        ("stack_method_", {"kind": "list", "items": ["__setstate__"]}),
        ("response_method", "load_params"),
        ("memory", "folder"),
    ],
)
def test_attributes_that_would_be_called(
    load_changed: Any, name: str, value: Any
) -> None:
    def hostile(manifest: Any, _: Any) -> None:
        _state(manifest)[name] = value

    with pytest.raises(LearnerFileError, match=r"method|unpickle|pickles"):
        load_changed(Ridge(), hostile)


def test_only_an_optimizer_is_called(
    load_changed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def hostile(manifest: Any, _: Any) -> None:
        printed = {"kind": "named", "name": "builtins:print", "function": True}
        _state(manifest)["optimizer"] = printed

    net = NetRegressor(max_epochs=1, module__hidden_sizes=(2,), random_state=0)
    with pytest.raises(LearnerFileError, match="not an optimizer"):
        load_changed(net.fit(X, Y), hostile)
    assert not capsys.readouterr().out


def test_methods_and_compiled_functions_are_not_looked_up(load_changed: Any) -> None:
    for name in (
        "skal.nets.net:NetBase.fit",
        "skal.measures._ldm:_Draws.next",
        "sklearn.metrics._pairwise_fast:_chi2_kernel_fast",
    ):
        node = {"kind": "named", "name": name, "function": True}
        with pytest.raises(LearnerFileError, match="not loaded"):
            load_changed(Ridge(), lambda m, _, n=node: _state(m).update(alpha=n))


def test_what_is_passed_stands_for_nothing_else_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "learner.skal"
    own = type("Ridge", (Ridge,), {"__module__": "elsewhere"})
    skal.save(Ridge(), path)
    assert type(skal.load(path, module=own)) is Ridge
    skal.save(own(), path)
    assert type(skal.load(path, module=own)) is own
    twins = [type("Ridge", (own,), {"__module__": name}) for name in ("a", "b")]
    with pytest.raises(LearnerFileError, match="has 2 of the name Ridge"):
        skal.load(path, module=twins)


# -- the archive ----------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, -1, "1", True, 1.0, None])
def test_versions_are_whole_numbers(load_changed: Any, version: Any) -> None:
    with pytest.raises(LearnerFileError, match="not written by"):
        load_changed(Ridge(), lambda manifest, _: manifest.update(version=version))


def test_a_part_is_read_once(tmp_path: Path) -> None:
    """Two entries of one content, or two contents of one name, are not ours."""
    content = pack({}, {"one.npy": b"1" * 1000, "two.npy": b"1" * 1000})
    for old, new in ((b"two.npy", b"one.npy"), (b'"version"', b'"format" ')):
        with pytest.raises(LearnerFileError, match="not written by"):
            unpack(_with_checksum(content.replace(old, new)))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a" * 9, b"x" * 10_000)
        first = archive.infolist()[0]
        for k in range(20):
            twin = zipfile.ZipInfo(f"a{k:08}")
            for name in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(twin, name, getattr(first, name))
            archive.filelist.append(twin)
        archive.comment = b"0" * 76
    with pytest.raises(LearnerFileError, match="not written by"):
        unpack(_with_checksum(stream.getvalue()))


def _with_checksum(content: bytes) -> bytes:
    import hashlib

    body = content[:-76]
    return body + b"skal sha256:" + hashlib.sha256(body).hexdigest().encode()


@pytest.mark.parametrize("shape", [(2**60,), (-1,), (2**40, 2**40)])
def test_arrays_of_impossible_shapes(load_changed: Any, shape: Any) -> None:
    def hostile(_: Any, members: Any) -> None:
        header = {"descr": "<f8", "fortran_order": False, "shape": shape}
        stream = io.BytesIO()
        np.lib.format.write_array_header_1_0(stream, header)
        members.update({n: stream.getvalue() for n in members if n.endswith("npy")})

    with pytest.raises(LearnerFileError, match="not loaded"):
        load_changed(Ridge().fit(X, Y), hostile)


def test_a_learner_nested_too_deeply(load_changed: Any) -> None:
    def hostile(manifest: Any, _: Any) -> None:
        for _k in range(400):
            manifest["learner"] = {"kind": "list", "items": [manifest["learner"]]}

    with pytest.raises(LearnerFileError, match="not loaded"):
        load_changed(Ridge(), hostile)


def test_a_tuple_in_itself_is_not_saved(tmp_path: Path) -> None:
    inner: list[Any] = []
    inner.append(outer := (inner,))
    with pytest.raises(TypeError, match="a tuple contains itself"):
        skal.save(Ridge(alpha=outer), tmp_path / "learner.skal")


# -- compiled code --------------------------------------------------------------------


def _change_array(members: dict[str, bytes], part: bytes, change: Any) -> None:
    for name, content in members.items():
        if name.endswith("npy") and part in content:
            array = np.load(io.BytesIO(content))
            stream = io.BytesIO()
            np.save(stream, change(array))
            members[name] = stream.getvalue()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("left", 0),
        ("right", 2**31),
        ("feature_idx", 5),
        ("is_leaf", 0),
        ("is_categorical", 1),
    ],
)
def test_nodes_of_histogram_boosting(load_changed: Any, field: str, value: int) -> None:
    model = HistGradientBoostingRegressor(max_iter=1, min_samples_leaf=5).fit(X, Y)

    def hostile(_: Any, members: Any) -> None:
        def change(nodes: np.ndarray) -> np.ndarray:
            nodes[field] = value
            return nodes

        _change_array(members, b"feature_idx", change)

    assert np.array_equal(
        load_changed(model, lambda *_: None).predict(X), model.predict(X)
    )
    with pytest.raises(LearnerFileError, match="do not fit together"):
        load_changed(model, hostile)


def _node(manifest: Any, *path: str | int) -> Any:
    """Look up an attribute of attributes."""
    node = manifest["learner"]
    for name in path:
        if isinstance(name, int):
            node = node["items"][name]
        else:
            node = _values(node["state"])[name]
    return node


def _values(state: Any) -> Any:
    """Attributes, which are a pair for objects with slots."""
    return state["values"] if "values" in state else state["items"][0]["values"]


def test_trees_are_read_with_as_many_columns(load_changed: Any) -> None:
    """Compiled code reads a column without asking whether there is one."""

    def wider(tree: Any) -> None:
        tree["args"]["items"][0] = 10**6

    def deeper(tree: Any) -> None:
        tree["state"]["values"]["max_depth"] = 0  # the size of a decision path

    def empty(tree: Any) -> None:
        tree["state"] = None

    model = DecisionTreeRegressor(max_depth=3).fit(X, Y)
    for change in (wider, deeper, empty):
        with pytest.raises(LearnerFileError, match="not loaded"):
            load_changed(model, lambda m, _, c=change: c(_node(m, "tree_")))

    forest = RandomForestRegressor(2, max_depth=2).fit(X, Y)

    def one_is_wider(manifest: Any, _: Any) -> None:
        member = _node(manifest, "estimators_", 1)
        member["state"]["values"]["n_features_in_"] = 10**6
        wider(member["state"]["values"]["tree_"])

    with pytest.raises(LearnerFileError, match="RandomForestRegressor"):
        load_changed(forest, one_is_wider)

    stages = GradientBoostingRegressor(n_estimators=4, max_depth=1).fit(X, Y)

    def two_columns(manifest: Any, _: Any) -> None:
        _node(manifest, "estimators_")["shape"] = [2, 2]

    with pytest.raises(LearnerFileError, match="GradientBoostingRegressor"):
        load_changed(stages, two_columns)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        *((SVC(), name) for name in ("support_", "support_vectors_", "_n_support")),
        *((SVC(), name) for name in ("dual_coef_", "_intercept_")),
        (KNeighborsClassifier(algorithm="brute"), "_fit_X"),
        (KNeighborsClassifier(algorithm="brute"), "_y"),
        (KMeans(2, n_init=1), "cluster_centers_"),
        (BisectingKMeans(2), "cluster_centers_"),
        (BisectingKMeans(2), "center"),
    ],
)
def test_arrays_that_compiled_code_trusts(
    load_changed: Any, model: Any, name: str
) -> None:
    model.fit(X, LABELS)

    def hostile(manifest: Any, members: Any) -> None:
        place = ["_bisecting_tree", "left", name] if name == "center" else [name]
        file = _node(manifest, *place)["file"]
        array = np.load(io.BytesIO(members[file]))
        is_table = name in ("_fit_X", "cluster_centers_")
        array = array[:, :2] if is_table else array[:-1]
        stream = io.BytesIO()
        np.save(stream, np.ascontiguousarray(array))
        members[file] = stream.getvalue()

    loaded = load_changed(model, lambda *_: None)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(LearnerFileError, match="do not fit together"):
        load_changed(model, hostile)


@pytest.mark.parametrize(
    "alter",
    [
        lambda node: node.update(k=40),
        lambda node: node.update(k=-1),
        lambda node: node.update(t=node["c"]),
        lambda node: node.update(t=[1.0, 2.0]),
        lambda node: node.update(c={"kind": "named", "name": "builtins:int"}),
    ],
)
def test_splines_whose_knots_and_coefficients_do_not_fit(
    load_changed: Any, alter: Any
) -> None:
    splines = SplineTransformer().fit(X)

    def hostile(manifest: Any, _: Any) -> None:
        node = _node(manifest, "bsplines_")["items"][1]
        assert node["kind"] == "spline"
        alter(node)

    loaded = load_changed(splines, lambda *_: None)
    np.testing.assert_array_equal(loaded.transform(X), splines.transform(X))
    with pytest.raises(LearnerFileError):
        load_changed(splines, hostile)


def test_a_tree_of_clusters_that_is_a_circle(load_changed: Any) -> None:
    def hostile(manifest: Any, _: Any) -> None:
        node = _node(manifest, "_bisecting_tree")
        node["id"] = 10**6
        node["state"]["values"]["left"] = {"kind": "shared", "of": 10**6}

    with pytest.raises(LearnerFileError, match="BisectingKMeans do not fit together"):
        load_changed(BisectingKMeans(2).fit(X), hostile)


@pytest.mark.parametrize(
    ("bits", "place"), [(np.random.MT19937, "pos"), (np.random.Philox, "buffer_pos")]
)
@pytest.mark.parametrize("position", [-(10**6), 10**8, 1.5])
def test_random_generators_read_their_buffer(
    load_changed: Any, bits: Any, place: str, position: Any
) -> None:
    learner = ActiveLearner(Ridge(), random_state=np.random.Generator(bits(0)))

    def hostile(manifest: Any, _: Any) -> None:
        values = _state(manifest)["random_state"]["state"]["values"]
        values = values["state"]["values"] if place == "pos" else values
        values[place] = position

    with pytest.raises(LearnerFileError, match="random generator"):
        load_changed(learner, hostile)
