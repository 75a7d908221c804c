"""Tensors of a received file as views of its bytes: an update is a model's size, copies are more.

The format is that of safetensors (https://github.com/huggingface/safetensors): u64 length, a JSON
header, then the data. This reader is stricter: float32 only, no metadata, and the tensors fill the
data in the order of their offsets without a gap or an overlap.
"""

import math
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter, ValidationError

from agent.errors import Refused
from agent.wire import strict_json
from agent.wire.document import Document

if TYPE_CHECKING:
    from agent.records import Json

_LENGTH = struct.Struct("<Q")
_ALIGNED = 8  # as the format recommends, for readers that map the file
_Size = Annotated[int, Field(ge=0, le=2**40)]


class _Entry(Document):
    """What a file says of one tensor."""

    dtype: str
    shape: tuple[_Size, ...]
    data_offsets: tuple[_Size, _Size]


_HEADER = TypeAdapter(dict[str, _Entry])


def views(content: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """Reads tensors without copying them; they cannot be written to.

    Raises:
        Refused: `bad_tensors`, or `wrong_tensors` where one is not float32.
    """
    entries, data = _header(content)
    tensors: dict[str, npt.NDArray[np.float32]] = {}
    position = 0
    for name, entry in sorted(entries.items(), key=lambda one: (*one[1].data_offsets, one[0])):
        if entry.dtype != "F32":
            raise Refused("wrong_tensors", f"Tensor {name!r} is {entry.dtype}, not float32.")
        start, end = entry.data_offsets
        if start != position or end - start != 4 * math.prod(entry.shape) or end > len(data):
            raise _bad()
        flat = np.frombuffer(data[start:end], dtype="<f4")
        tensors[name], position = flat.reshape(entry.shape), end
    if position != len(data):
        raise _bad()
    return tensors


def written(tensors: Mapping[str, npt.NDArray[np.float32]]) -> bytes:
    """Writes float32 tensors as a safetensors file in name order, with one copy of them."""
    header: dict[str, Json] = {}
    position = 0
    for name in sorted(tensors):
        end = position + tensors[name].nbytes
        shape: list[Json] = [*tensors[name].shape]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [position, end]}
        position = end
    content = strict_json.dumps(header)
    content += b" " * (-len(content) % _ALIGNED)
    flat = (
        np.ascontiguousarray(tensors[name], dtype="<f4").reshape(-1).view(np.uint8).data
        for name in sorted(tensors)
    )
    return b"".join((_LENGTH.pack(len(content)), content, *flat))


def _header(content: bytes) -> tuple[dict[str, _Entry], memoryview]:
    if len(content) < _LENGTH.size:
        raise _bad()
    (length,) = _LENGTH.unpack_from(content)
    header = content[_LENGTH.size : _LENGTH.size + min(length, strict_json.MAX_BYTES + 1)]
    if len(header) != length:
        raise _bad()
    try:
        strict_json.loads(header)  # refuses what pydantic's parser would let pass
        entries = _HEADER.validate_json(header)
    except (ValidationError, Refused) as error:
        raise _bad() from error
    return entries, memoryview(content)[_LENGTH.size + length :]


def _bad() -> Refused:
    return Refused("bad_tensors", "The weights are not a valid safetensors file.")
