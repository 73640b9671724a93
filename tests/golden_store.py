"""
Reading and writing golden files: many small arrays packed into one buffer per dtype, so that a file of them stays
small.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FOLDER = Path(__file__).parent / "golden"
Array = npt.NDArray[Any]


class _Packer:
    def __init__(self) -> None:
        self.parts: dict[str, list[Array]] = {}
        self.sizes: dict[str, int] = {}

    def reference(self, value: Array) -> dict[str, Any]:
        dtype = value.dtype.name
        start = self.sizes.get(dtype, 0)
        self.parts.setdefault(dtype, []).append(value.ravel())
        self.sizes[dtype] = start + value.size
        return {"$array": [dtype, start, list(value.shape)]}

    def pack(self, value: Any) -> Any:
        match value:
            case np.ndarray():
                return self.reference(value)
            case np.dtype():
                return {"$dtype": value.name}
            case dict():
                return {key: self.pack(item) for key, item in value.items()}
            case list() | tuple():
                return [self.pack(item) for item in value]
            case _:
                return value


def save(path: Path, content: Any) -> None:
    """Write any nesting of dicts, lists, arrays, dtypes and plain values; tuples come back as lists."""
    packer = _Packer()
    meta = json.dumps(packer.pack(content), separators=(",", ":"))
    buffers: dict[str, Any] = {name: np.concatenate(parts) for name, parts in packer.parts.items()}
    np.savez_compressed(path, meta=np.frombuffer(meta.encode(), np.uint8), **buffers)


def load(path: Path) -> Any:
    with np.load(path, allow_pickle=False) as file:
        buffers = {name: file[name] for name in file.files}

    def unpack(value: Any) -> Any:
        match value:
            case {"$array": [dtype, start, shape]}:
                return buffers[dtype][start : start + int(np.prod(shape))].reshape(shape)
            case {"$dtype": name}:
                return np.dtype(name)
            case dict():
                return {key: unpack(item) for key, item in value.items()}
            case list():
                return [unpack(item) for item in value]
            case _:
                return value

    return unpack(json.loads(buffers["meta"].tobytes().decode()))
