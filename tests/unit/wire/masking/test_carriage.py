"""What travels of a masked round is read again as it was, or refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Refused
from agent.wire.masking.carriage import (
    Handout,
    SealedShares,
    pack_upload,
    unpack_upload,
    upload_overhead,
)


@given(st.binary(max_size=300), st.binary(max_size=80), st.binary(max_size=400))
def test_an_upload_is_read_as_it_was_written(message: bytes, share: bytes, vector: bytes) -> None:
    content = pack_upload(message, {"silo-a": share}, vector)
    found = unpack_upload(content)
    assert (found.message, found.vector) == (message, vector)
    assert found.sealed.opened() == {"silo-a": share}


@pytest.mark.parametrize("cut", [0, 3, 4, 6, 12, 20])
def test_an_upload_that_was_cut_is_refused(cut: int) -> None:
    content = pack_upload(b"message", {"silo-a": b"1"}, b"")
    with pytest.raises(Refused, match="bad_upload"):
        unpack_upload(content[:cut])


def test_what_is_no_base64_is_refused() -> None:
    with pytest.raises(Refused, match="bad_shares"):
        SealedShares(shares={"silo-a": "*"}).opened()
    handout = Handout(consortium="c", round_id="r", part="keys", content="*")
    with pytest.raises(Refused, match="bad_set"):
        _ = handout.set_bytes
    assert handout.model_copy(update={"content": "aGk="}).set_bytes == b"hi"


def test_an_overhead_has_room_for_everybodys_shares() -> None:
    sealed = {f"silo-{place:03}": bytes(33 * 128 + 28) for place in range(127)}
    assert len(pack_upload(bytes(1 << 16), sealed, b"")) < upload_overhead(128)
