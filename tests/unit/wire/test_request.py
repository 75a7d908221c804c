"""What a courier signs: one reading only, and nothing but plain ASCII."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Refused
from agent.wire.request import request_message

_GOOD = (
    "PUT",
    "/v1/envelopes/ab/blob?offset=0",
    "silo-a",
    "2026-01-01T00:00:00.000000Z",
    "0f" * 16,
)
_PARTS = st.tuples(*[st.text(st.characters(codec="utf-8"), max_size=6)] * 6)


def test_the_message_is_the_pre_authentication_of_the_lines() -> None:
    message = request_message(*_GOOD, "ab" * 32)
    lines = "\n".join((*_GOOD, "ab" * 32)).encode()
    name = b"application/vnd.onggi.request+json"
    assert message == b"DSSEv1 %d %b %d %b" % (len(name), name, len(lines), lines)


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("bad", ["", "a\nb", "a b", "é", "x" * 2049, "\x7f", "a\r", "a\n"])
def test_a_part_that_is_not_plain_is_refused(place: int, bad: str) -> None:
    parts = [*_GOOD, "ab" * 32]
    parts[place] = bad
    with pytest.raises(Refused) as caught:
        request_message(*parts)
    assert caught.value.code == "bad_request"


@settings(max_examples=300)
@given(_PARTS, _PARTS)
def test_two_requests_never_sign_alike(
    one: tuple[str, str, str, str, str, str], two: tuple[str, str, str, str, str, str]
) -> None:
    try:
        messages = request_message(*one), request_message(*two)
    except Refused:
        return
    assert (messages[0] == messages[1]) == (one == two)
