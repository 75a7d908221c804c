"""The messages of a masked round survive their bytes, and refuse what they do not know."""

import pytest

from agent.errors import Refused
from agent.wire.masking.documents import Unmask, contained, in_order
from tests.kit.masking import terms


def test_containers_come_in_name_order_and_back() -> None:
    texts = in_order({"b": b"2", "a": b"1"})
    assert contained(texts) == [b"1", b"2"]
    with pytest.raises(Refused, match="bad_set"):
        contained(["*"])


@pytest.mark.parametrize("share", ["", "0" * 65, "g" * 66, "0" * 67])
def test_a_share_has_33_bytes(share: str) -> None:
    sound = Unmask(
        consortium="c",
        silo="a",
        round_id="r",
        upload_set_sha256="00" * 32,
        own={"a": "0" * 66},
        pairs={"a": {"b": "0" * 66}},
    )
    assert Unmask.parse(sound.to_bytes()) == sound
    with pytest.raises(Refused, match="malformed"):
        Unmask.parse(sound.to_bytes().replace(b"0" * 66, share.encode()))


def test_terms_survive_their_bytes() -> None:
    sound = terms(6)
    assert type(sound).parse(sound.to_bytes()) == sound
