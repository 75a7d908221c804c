"""Tensors as views: what safetensors writes is read alike, and a strange file is refused."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from agent.errors import Refused
from agent.wire.tensors import views, written


def _file(header: object, data: bytes = bytes(8)) -> bytes:
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(content)) + content + data


def _one(**changes: object) -> dict[str, object]:
    return {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}}


def _code(content: bytes) -> str:
    with pytest.raises(Refused) as caught:
        views(content)
    return caught.value.code


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=8).filter(lambda name: name != "__metadata__"),
        st.lists(st.integers(0, 3), max_size=3),
        max_size=4,
    )
)
def test_each_reads_what_the_other_writes(shapes: dict[str, list[int]]) -> None:
    given = {
        name: np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
        for name, shape in shapes.items()
    }
    for found in (views(save(given)), views(written(given)), load(written(given))):
        assert found.keys() == given.keys()
        for name, tensor in given.items():
            np.testing.assert_array_equal(found[name], tensor)
    assert len(written(given)) % 4 == 0


def test_a_view_cannot_be_written_to() -> None:
    assert not views(_file(_one()))["a"].flags.writeable


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 5 << 20) + bytes(6 << 20),
        _file(b"{"),
        _file([]),
        _file(b'{"a":1,"a":1}'),
        _file({**_one(), "__metadata__": {"by": "x"}}),
        _file(_one(data_offsets=[0, 7])),
        _file(_one(data_offsets=[4, 12]), bytes(12)),
        _file(_one(data_offsets=[0, 8]), bytes(4)),
        _file(_one(), bytes(12)),
        _file(_one(shape=[-2])),
        _file(_one(shape=[2**40, 2**40])),
        _file(_one(shape="2")),
        _file(_one(extra=1)),
        _file({**_one(), "b": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}}, bytes(12)),
    ],
)
def test_a_strange_file_is_refused(content: bytes) -> None:
    assert _code(content) == "bad_tensors"


@pytest.mark.parametrize("dtype", ["F64", "BF16", "I8", ""])
def test_another_type_is_refused(dtype: str) -> None:
    assert _code(_file(_one(dtype=dtype))) == "wrong_tensors"
