"""The token survives mail and chat, and nothing else passes for one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Refused
from agent.wire.documents import EnrolmentToken
from agent.wire.token import decode_token, encode_token, fingerprint

_TOKEN = EnrolmentToken(
    silo="silo-a",
    url="https://127.0.0.1:8443",
    expires="2026-01-01T00:00:00Z",
    tls_sha256="ab" * 32,
    root_sha256="cd" * 32,
    nonce="ef" * 32,
)
_TEXT = encode_token(_TOKEN)


def test_a_token_reads_back() -> None:
    assert decode_token(_TEXT) == _TOKEN
    assert "=" not in _TEXT


def test_pasting_may_break_lines_and_add_blanks() -> None:
    assert decode_token(f"  {_TEXT[:40]}\r\n{_TEXT[40:80]}\t {_TEXT[80:]} \n") == _TOKEN


@pytest.mark.parametrize(
    "text", ["", "  ", "é", "*", "A", _TEXT[:-5], _TEXT[5:], _TEXT * 2, "A" * 9000, "e30"]
)
def test_anything_else_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(Refused) as caught:
        decode_token(text)
    assert caught.value.code == "bad_token"


@settings(max_examples=300)
@given(st.text(max_size=80))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        decode_token(text)


def test_the_fingerprint_is_short_and_covers_every_part() -> None:
    parts = ["00" * 32, "11" * 32, "22" * 32, "33" * 32]
    shown = fingerprint(*parts)
    assert [len(group) for group in shown.split()] == [4] * 8
    assert shown == fingerprint(*parts)
    for place in range(4):
        other = [*parts[:place], "ff" * 32, *parts[place + 1 :]]
        assert fingerprint(*other) != shown


def test_the_fingerprint_of_zeros_is_known() -> None:
    # printf of 128 zero bytes | sha256sum
    assert fingerprint(*["00" * 32] * 4).startswith("3872 3a2e")
