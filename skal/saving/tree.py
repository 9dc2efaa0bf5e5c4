"""Objects as JSON: numbers, texts and containers; other kinds are added by codecs."""

from __future__ import annotations

import base64
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from sklearn.utils import Bunch

from skal.exceptions import LearnerFileError
from skal.saving.names import Names, name_of

__all__ = ["CONTAINERS", "Codec", "Reader", "Writer"]

_PLAIN = (bool, int, str)
#: Kinds that are made before what they contain, and can be parts of themselves.
_MADE_EMPTY = ("dict", "list", "list of a class", "net", "object")


class Codec(NamedTuple):
    """How one kind of object is written and read.

    Attributes
    ----------
    kind : str
        Its name in the file.
    fits : callable
        ``fits(value)``: whether this codec writes it; the first one that does is taken.
    write : callable
        ``write(value, writer)`` returns what is added to the node, a dict of JSON.
    read : callable
        ``read(node, reader)`` returns the object.
    """

    kind: str
    fits: Callable[[Any], bool]
    write: Callable[[Any, Writer], dict[str, Any]]
    read: Callable[[dict[str, Any], Reader], Any]


class Writer:
    """Turns objects to JSON, and collects the arrays and tables in them.

    Parameters
    ----------
    codecs : sequence of Codec

    Attributes
    ----------
    members : dict of str to bytes
        Files for the archive.
    tensors : dict of str to Tensor
        By their place in the learner.
    """

    def __init__(self, codecs: Any) -> None:
        self._codecs = tuple(codecs)
        self._nodes: dict[int, tuple[Any, dict[str, Any]]] = {}
        self._n_shared = 0
        self._open: set[int] = set()
        self._path: list[str] = []
        self.members: dict[str, bytes] = {}
        self.tensors: dict[str, Any] = {}

    def write(self, value: Any, name: str = "") -> Any:
        """Turn an object to JSON.

        Parameters
        ----------
        value : object
        name : str
            Where it stands in the object around it.

        Raises
        ------
        TypeError
            If it, or something in it, cannot be written.
        """
        if value is None or type(value) in _PLAIN:
            return value
        if type(value) is float:
            if math.isfinite(value):
                return value
            return {"kind": "float", "value": repr(value)}
        if id(value) in self._nodes:
            node = self._nodes[id(value)][1]
            if id(value) in self._open and node["kind"] not in _MADE_EMPTY:
                raise self.refusal(f"a {node['kind']} contains itself")
            if "id" not in node:
                node["id"] = self._n_shared
                self._n_shared += 1
            return {"kind": "shared", "of": node["id"]}
        self._path.append(name)
        codec = next((c for c in self._codecs if c.fits(value)), None)
        if codec is None:
            raise self.refusal(f"{type(value).__name__} has no open format")
        node = {"kind": codec.kind}
        # The value is kept, so that no other object gets its id meanwhile.
        self._nodes[id(value)] = value, node
        self._open.add(id(value))
        node.update(codec.write(value, self))
        self._open.discard(id(value))
        self._path.pop()
        return node

    def refusal(self, why: str) -> TypeError:
        """Make the error that names the part which cannot be written."""
        return TypeError(
            f"{self.path()} cannot be saved: {why}. Take it out of the learner, or "
            "use pickle, for files that only you write."
        )

    def path(self) -> str:
        """Name the place of the current object."""
        return ".".join(filter(None, self._path)) or "the learner"

    def add_file(self, folder: str, ending: str, content: bytes) -> str:
        """Add a file to the archive; its name is returned."""
        name = f"{folder}/{len(self.members)}.{ending}"
        self.members[name] = content
        return name

    def name_of(self, found: Any) -> str:
        """Name a class or function."""
        try:
            return name_of(found)
        except TypeError as error:
            raise self.refusal(str(error).rstrip(".")) from None


class Reader:
    """Makes objects of JSON.

    Parameters
    ----------
    codecs : sequence of Codec
    names : Names
    members : dict of str to bytes
    tensors : dict of str to Tensor
    device : str or torch.device, optional
        For all nets, in place of that on which they were.

    Attributes
    ----------
    objects : list of object
        Made of a class and attributes, so that they can be checked when all is read.
    """

    def __init__(
        self, codecs: Any, names: Names, members: Any, tensors: Any, device: Any
    ) -> None:
        self._codecs = {codec.kind: codec for codec in codecs}
        self._shared: dict[int, Any] = {}
        self.names = names
        self.members = members
        self.tensors = tensors
        self.device = device
        self.objects: list[Any] = []

    def read(self, node: Any) -> Any:
        """Make the object of a node."""
        if node is None or type(node) in (*_PLAIN, float):
            return node
        kind = node["kind"]
        if kind == "float":
            return float(node["value"])
        if kind == "shared":
            return self._shared[node["of"]]
        if kind not in self._codecs:
            raise LearnerFileError(f"it has a part of the unknown kind {kind!r}.")
        value = self._codecs[kind].read(node, self)
        return self.made(node, value)

    def made(self, node: dict[str, Any], value: Any) -> Any:
        """Note an object, which may be a part of itself."""
        if "id" in node:
            self._shared[node["id"]] = value
        return value


# -- containers -----------------------------------------------------------------------


def _write_items(value: Any, writer: Writer) -> dict[str, Any]:
    return {"items": [writer.write(v, str(k)) for k, v in enumerate(value)]}


def _read_list(node: dict[str, Any], reader: Reader) -> list[Any]:
    made: list[Any] = reader.made(node, [])
    made.extend(reader.read(item) for item in node["items"])
    return made


def _read_tuple(node: dict[str, Any], reader: Reader) -> tuple[Any, ...]:
    return tuple(reader.read(item) for item in node["items"])


def _write_other_items(value: Any, writer: Writer) -> dict[str, Any]:
    return {"class": writer.name_of(type(value)), **_write_items(value, writer)}


def _read_other_list(node: dict[str, Any], reader: Reader) -> Any:
    cls = reader.names.look_up(node["class"])
    made = reader.made(node, list.__new__(cls))
    list.extend(made, (reader.read(item) for item in node["items"]))
    return made


def _read_named_tuple(node: dict[str, Any], reader: Reader) -> Any:
    cls = reader.names.look_up(node["class"])
    return tuple.__new__(cls, [reader.read(item) for item in node["items"]])


def _write_set(value: Any, writer: Writer) -> dict[str, Any]:
    # In an order that does not depend on the hashes of the process.
    ordered = sorted(value, key=lambda item: (type(item).__name__, repr(item)))
    return {"frozen": isinstance(value, frozenset), **_write_items(ordered, writer)}


def _read_set(node: dict[str, Any], reader: Reader) -> Any:
    items = [reader.read(item) for item in node["items"]]
    return frozenset(items) if node["frozen"] else reader.made(node, set(items))


_DICTS = {"dict": dict, "OrderedDict": OrderedDict, "Bunch": Bunch}


def _write_dict(value: Any, writer: Writer) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if type(value) is not dict:
        written["class"] = type(value).__name__
    if all(type(key) is str for key in value):
        written["values"] = {key: writer.write(v, key) for key, v in value.items()}
    else:
        written["pairs"] = [
            [writer.write(key), writer.write(v, str(key))] for key, v in value.items()
        ]
    return written


def _read_dict(node: dict[str, Any], reader: Reader) -> Any:
    made = reader.made(node, _DICTS[node.get("class", "dict")]())
    if "values" in node:
        for key, item in node["values"].items():
            made[key] = reader.read(item)
    for key, item in node.get("pairs", ()):
        made[reader.read(key)] = reader.read(item)
    return made


def _write_slice(value: Any, writer: Writer) -> dict[str, Any]:
    parts = value.start, value.stop, value.step
    return {"range": isinstance(value, range), **_write_items(parts, writer)}


def _read_slice(node: dict[str, Any], reader: Reader) -> Any:
    parts = [reader.read(item) for item in node["items"]]
    return range(*parts) if node["range"] else slice(*parts)


CONTAINERS = (
    Codec("list", lambda v: type(v) is list, _write_items, _read_list),
    Codec("tuple", lambda v: type(v) is tuple, _write_items, _read_tuple),
    Codec("dict", lambda v: type(v) in _DICTS.values(), _write_dict, _read_dict),
    Codec("set", lambda v: type(v) in (set, frozenset), _write_set, _read_set),
    Codec("slice", lambda v: type(v) in (slice, range), _write_slice, _read_slice),
    Codec(
        "bytes",
        lambda v: type(v) is bytes,
        lambda v, _: {"base64": base64.b64encode(v).decode()},
        lambda node, _: base64.b64decode(node["base64"], validate=True),
    ),
    Codec(
        "complex",
        lambda v: type(v) is complex,
        lambda v, _: {"value": repr(v)},
        lambda node, _: complex(node["value"]),
    ),
    Codec(
        "list of a class",
        lambda v: isinstance(v, list),
        _write_other_items,
        _read_other_list,
    ),
    Codec(
        "named tuple",
        lambda v: isinstance(v, tuple) and hasattr(v, "_fields"),
        _write_other_items,
        _read_named_tuple,
    ),
)
