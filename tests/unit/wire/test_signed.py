"""Signed containers: every refusal by name, and no altered byte passes."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import Refused
from agent.keys import new_signing
from agent.records import Json
from agent.wire import signed, strict_json

_ONE, _TWO = new_signing("root"), new_signing("root")
_KEYS = {signed.key_id(key.public_hex): key.public_hex for key in (_ONE, _TWO)}
_PAYLOAD = b'{"hello":"silo"}'
_SIGNED = signed.sign("plan", _PAYLOAD, _ONE)


def _code(content: bytes, kind: str = "plan", threshold: int = 1) -> str:
    with pytest.raises(Refused) as caught:
        signed.verify(content, kind, _KEYS, threshold)
    return caught.value.code


def _changed(**fields: Json) -> bytes:
    value = strict_json.loads(_SIGNED)
    assert isinstance(value, dict)
    return strict_json.dumps({**value, **fields})


def test_a_signed_payload_comes_back_exactly() -> None:
    assert signed.verify(_SIGNED, "plan", _KEYS) == _PAYLOAD
    assert signed.verify(signed.sign("plan", _PAYLOAD, _ONE, _TWO), "plan", _KEYS, 2) == _PAYLOAD


def test_pre_authentication_is_that_of_dsse() -> None:
    # https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
    expected = b"DSSEv1 31 application/vnd.onggi.plan+json 3 abc"
    assert signed.pre_authentication("plan", b"abc") == expected


def test_a_stranger_is_refused() -> None:
    assert _code(signed.sign("plan", _PAYLOAD, new_signing("root"))) == "unknown_signer"


def test_another_kind_is_refused() -> None:
    assert _code(_SIGNED, kind="release") == "wrong_type"


def test_relabelling_the_kind_breaks_the_signature() -> None:
    content = _changed(payloadType=signed.payload_type("release"))
    assert _code(content, kind="release") == "bad_signature"


def test_an_altered_payload_is_refused() -> None:
    assert _code(_changed(payload=base64.b64encode(b"{}").decode())) == "bad_signature"


def test_one_of_two_signatures_is_too_few() -> None:
    assert _code(_SIGNED, threshold=2) == "too_few_signatures"


def test_the_same_signature_twice_is_still_one() -> None:
    value = strict_json.loads(_SIGNED)
    assert isinstance(value, dict)
    signatures = value["signatures"]
    assert isinstance(signatures, list)
    assert _code(_changed(signatures=signatures * 2), threshold=2) == "too_few_signatures"


def test_one_key_under_two_ids_is_one_signer() -> None:
    signature = base64.b64encode(_ONE.sign(signed.pre_authentication("plan", _PAYLOAD))).decode()
    entries: list[Json] = [{"keyid": name, "sig": signature} for name in ("a", "b")]
    keys = {"a": _ONE.public_hex, "b": _ONE.public_hex}
    with pytest.raises(Refused) as caught:
        signed.verify(_changed(signatures=entries), "plan", keys, 2)
    assert caught.value.code == "too_few_signatures"


def test_a_bad_signature_of_a_known_key_is_refused_beside_a_good_one() -> None:
    both = strict_json.loads(signed.sign("plan", _PAYLOAD, _ONE, _TWO))
    assert isinstance(both, dict)
    entries = both["signatures"]
    assert isinstance(entries, list)
    assert isinstance(entries[0], dict)
    assert isinstance(entries[1], dict)
    swapped: Json = [entries[0], {"keyid": entries[1]["keyid"], "sig": entries[0]["sig"]}]
    assert _code(_changed(signatures=swapped)) == "bad_signature"


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": 1},
        {"payload": "*"},
        {"payload": "é"},
        {"payloadType": None},
        {"signatures": {}},
        {"signatures": ["x"]},
        {"signatures": [{"keyid": "a"}]},
        {"signatures": [{"keyid": "a", "sig": "", "extra": 1}]},
        {"signatures": [{"keyid": 1, "sig": ""}]},
        {"signatures": [{"keyid": "a", "sig": "AAAA"}]},
        {"signatures": [{"keyid": "a", "sig": "A"}]},
        {"signatures": [{"keyid": "a", "sig": ""}] * 17},
        {"extra": 1},
    ],
)
def test_malformed_containers_are_refused(fields: dict[str, Json]) -> None:
    assert _code(_changed(**fields)) == "bad_container"


def test_a_container_must_be_an_object() -> None:
    assert _code(b"[]") == "bad_container"


@settings(max_examples=300)
@given(st.integers(0, len(_SIGNED) - 1), st.integers(1, 255))
def test_no_altered_byte_changes_what_is_believed(place: int, change: int) -> None:
    altered = bytearray(_SIGNED)
    altered[place] ^= change
    try:
        assert signed.verify(bytes(altered), "plan", _KEYS) == _PAYLOAD
    except Refused:
        return


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(Refused):
        signed.verify(content, "plan", _KEYS)


@pytest.mark.parametrize("public", ["", "zz" * 32, "00" * 31, "00" * 32])
def test_a_bad_public_key_is_a_bad_signature(public: str) -> None:
    with pytest.raises(Refused, match="bad_signature"):
        signed.check_signature(public, b"m", _ONE.sign(b"m"))
