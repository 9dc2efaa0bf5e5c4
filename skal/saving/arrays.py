"""Arrays, sparse matrices, tensors, their dtypes, and random generators."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import torch
from scipy import sparse

from skal.saving.tree import Codec, Reader, Writer

__all__ = ["ARRAYS"]


# -- numpy ----------------------------------------------------------------------------


def _write_array(value: Any, writer: Writer) -> dict[str, Any]:
    if type(value) not in (np.ndarray, np.memmap):
        raise writer.refusal(f"{type(value).__name__} is an array of another kind")
    if value.dtype.hasobject:
        if value.dtype != object:
            raise writer.refusal(f"its dtype {value.dtype} holds Python objects")
        items = [writer.write(v, str(k)) for k, v in enumerate(value.ravel().tolist())]
        return {"shape": list(value.shape), "items": items}
    stream = io.BytesIO()
    if value.dtype.names:
        # Without what memory held between the fields.
        clean = np.zeros(value.shape, value.dtype)
        for name in value.dtype.names:
            clean[name] = value[name]
        header = np.lib.format.header_data_from_array_1_0(clean)
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(clean.view(np.uint8).tobytes())
    else:
        np.lib.format.write_array(stream, np.asarray(value), allow_pickle=False)
    return {"file": writer.add_file("arrays", "npy", stream.getvalue())}


def _read_array(node: dict[str, Any], reader: Reader) -> np.ndarray:
    if "file" in node:
        stream = io.BytesIO(reader.members[node["file"]])
        return np.lib.format.read_array(stream, allow_pickle=False)
    array = np.empty(len(node["items"]), dtype=object)
    for k, item in enumerate(node["items"]):
        array[k] = reader.read(item)
    return array.reshape(node["shape"])


def _write_masked(value: Any, writer: Writer) -> dict[str, Any]:
    parts = {"data": value.data, "mask": value.mask, "fill_value": value.fill_value}
    return {name: writer.write(part, name) for name, part in parts.items()}


def _read_masked(node: dict[str, Any], reader: Reader) -> Any:
    names = "data", "mask", "fill_value"
    data, mask, fill_value = (reader.read(node[name]) for name in names)
    return np.ma.MaskedArray(data, mask, fill_value=fill_value)


def _write_scalar(value: Any, writer: Writer) -> dict[str, Any]:
    if value.dtype.hasobject or value.dtype.names:
        raise writer.refusal(f"{type(value).__name__} has no open format")
    shown = {} if value.dtype.kind in "Mm" else {"value": str(value)}
    return {"dtype": value.dtype.str, "hex": value.tobytes().hex(), **shown}


def _read_scalar(node: dict[str, Any], reader: Reader) -> Any:
    return np.frombuffer(bytes.fromhex(node["hex"]), np.dtype(node["dtype"]))[0]


def _write_sparse(value: Any, writer: Writer) -> dict[str, Any]:
    kept = value if value.format in ("csr", "csc", "bsr", "coo") else value.tocsr()
    parts = {"data": kept.data}
    if kept.format == "coo":
        parts |= {"row": kept.row, "col": kept.col}
    else:
        parts |= {"indices": kept.indices, "indptr": kept.indptr}
    return {
        "format": value.format,
        "stored": kept.format,
        "array": isinstance(value, sparse.sparray),
        "shape": [int(k) for k in value.shape],
        **{name: writer.write(part, name) for name, part in parts.items()},
    }


def _read_sparse(node: dict[str, Any], reader: Reader) -> Any:
    kind = "array" if node["array"] else "matrix"
    stored = str(node["stored"])
    if stored not in ("csr", "csc", "bsr", "coo"):
        raise ValueError(f"a sparse matrix of the unknown format {stored!r}")
    cls = getattr(sparse, f"{stored}_{kind}")
    data, shape = reader.read(node["data"]), tuple(node["shape"])
    if stored == "coo":
        where = reader.read(node["row"]), reader.read(node["col"])
        made = cls((data, where), shape=shape)
    else:
        where = reader.read(node["indices"]), reader.read(node["indptr"])
        made = cls((data, *where), shape=shape)
        made.check_format(full_check=True)
    return made if node["format"] == stored else made.asformat(node["format"])


def _write_dtype(value: np.dtype, writer: Writer) -> dict[str, Any]:
    if value.names or value.subdtype:
        raise writer.refusal(f"the dtype {value} has several parts")
    return {"name": value.str}


# -- torch ----------------------------------------------------------------------------


def _write_tensor(value: torch.Tensor, writer: Writer) -> dict[str, Any]:
    if type(value) not in (torch.Tensor, torch.nn.Parameter):
        raise writer.refusal(f"{type(value).__name__} is a tensor of another kind")
    if value.layout != torch.strided or value.is_quantized:
        raise writer.refusal("only dense tensors can be saved")
    inner = r"\.?_(?:modules|parameters|buffers)\b"
    name = re.sub(inner, "", writer.path()).lstrip(".") or "tensor"
    while name in writer.tensors:
        name += "'"
    # A copy: safetensors refuses tensors that share their memory.
    writer.tensors[name] = value.detach().cpu().contiguous().clone()
    return {
        "tensor": name,
        "parameter": isinstance(value, torch.nn.Parameter),
        "requires_grad": value.requires_grad,
    }


def _read_tensor(node: dict[str, Any], reader: Reader) -> torch.Tensor:
    # A copy, aligned as that of any tensor: products round alike then.
    tensor = reader.tensors[node["tensor"]].clone()
    if node["parameter"]:
        return torch.nn.Parameter(tensor, requires_grad=node["requires_grad"])
    return tensor.requires_grad_(node["requires_grad"])


def _read_torch_dtype(node: dict[str, Any], reader: Reader) -> torch.dtype:
    found = getattr(torch, node["name"].removeprefix("torch."), None)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"the unknown dtype {node['name']!r}")
    return found


# -- random generators ----------------------------------------------------------------

_BITS = {
    cls.__name__: cls
    for cls in (
        *(np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM),
        *(np.random.Philox, np.random.SFC64),
    )
}


def _write_generator(value: Any, writer: Writer) -> dict[str, Any]:
    if isinstance(value, torch.Generator):
        if value.device.type != "cpu":
            raise writer.refusal("a torch.Generator must be on the CPU")
        return {"of": "torch", "state": writer.write(value.get_state(), "state")}
    if isinstance(value, np.random.RandomState):
        state = value.get_state(legacy=False)
        return {"of": "RandomState", "state": writer.write(state, "state")}
    bits = value.bit_generator
    if type(bits).__name__ not in _BITS:
        raise writer.refusal(f"{type(bits).__name__} is not one of {sorted(_BITS)}")
    return {"of": "Generator", "state": writer.write(bits.state, "state")}


def _read_generator(node: dict[str, Any], reader: Reader) -> Any:
    state = reader.read(node["state"])
    if node["of"] == "torch":
        generator = torch.Generator()
        generator.set_state(state)
        return generator
    _check_position(state)
    bits = _BITS[state["bit_generator"]]()
    if node["of"] == "RandomState":
        random_state = np.random.RandomState(bits)
        random_state.set_state(state)
        return random_state
    bits.state = state
    return np.random.Generator(bits)


def _check_position(state: dict[str, Any]) -> None:
    """Refuse places outside of the buffer, as compiled code trusts them."""
    for place, size in (
        (state["state"].get("pos", 0), 624),  # of MT19937
        (state.get("buffer_pos", 0), 4),  # of Philox
    ):
        if type(place) is not int or not 0 <= place <= size:
            raise ValueError("the state of a random generator does not fit together")


ARRAYS = (
    Codec(
        "masked array",
        lambda v: type(v) is np.ma.MaskedArray,
        _write_masked,
        _read_masked,
    ),
    Codec("array", lambda v: isinstance(v, np.ndarray), _write_array, _read_array),
    Codec("scalar", lambda v: isinstance(v, np.generic), _write_scalar, _read_scalar),
    Codec("sparse", sparse.issparse, _write_sparse, _read_sparse),
    Codec(
        "dtype",
        lambda v: isinstance(v, np.dtype),
        _write_dtype,
        lambda node, _: np.dtype(node["name"]),
    ),
    Codec(
        "torch dtype",
        lambda v: isinstance(v, torch.dtype),
        lambda v, _: {"name": str(v)},
        _read_torch_dtype,
    ),
    Codec(
        "device",
        lambda v: isinstance(v, torch.device),
        lambda v, _: {"name": str(v)},
        lambda node, _: torch.device(node["name"]),
    ),
    Codec(
        "size",
        lambda v: isinstance(v, torch.Size),
        lambda v, _: {"shape": list(v)},
        lambda node, _: torch.Size(node["shape"]),
    ),
    Codec("tensor", lambda v: isinstance(v, torch.Tensor), _write_tensor, _read_tensor),
    Codec(
        "generator",
        lambda v: isinstance(
            v, torch.Generator | np.random.RandomState | np.random.Generator
        ),
        _write_generator,
        _read_generator,
    ),
)
