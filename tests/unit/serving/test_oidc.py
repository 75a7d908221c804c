import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Stop
from agent.serve_settings import OidcSection
from agent.serving import oidc
from agent.serving.problems import Problem
from tests.kit.provider import AUDIENCE, ISSUER, Provider

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Provider:
    return Provider(tmp_path_factory.mktemp("provider") / "jwks.json")


@pytest.fixture
def provider(keys: Provider, tmp_path: Path) -> Provider:
    keys.jwks = tmp_path / "jwks.json"
    keys.publish("rsa", "ec", "ed")
    return keys


def _known(provider: Provider, **more: object) -> oidc.Provider:
    section = OidcSection(issuer=ISSUER, audience=AUDIENCE).model_copy(update=more)
    return oidc.Provider(section, provider.jwks)


def _code(known: oidc.Provider, token: bytes, now: datetime = NOW) -> str:
    with pytest.raises(Problem) as caught:
        known.caller(token, now)
    assert caught.value.status == 401
    return caught.value.code


@pytest.mark.parametrize(
    ("kid", "algorithm"), [("rsa", "RS256"), ("rsa", "PS256"), ("ec", "ES256"), ("ed", "EdDSA")]
)
def test_a_token_of_each_kind_of_key_names_its_bearer(
    provider: Provider, kid: str, algorithm: str
) -> None:
    caller = _known(provider).caller(provider.token(NOW, kid, algorithm), NOW)
    assert (caller.name, set(caller.scopes)) == ("oidc:u-17", {"predict"})


def test_groups_give_scopes(provider: Provider) -> None:
    known = _known(provider, predict=("chemists",), data=("project-7", "leads"), admin=("it",))

    def scopes(**claims: Any) -> set[str]:  # noqa: ANN401 - whatever a provider may write
        return set(known.caller(provider.token(NOW, **claims), NOW).scopes)

    assert scopes() == {"predict"}
    assert scopes(groups=["leads", "it", 7]) == {"data", "admin"}
    assert scopes(groups=[]) == scopes(groups=None) == scopes(groups={"it": 1}) == set()
    # In a claim of groups a blank is part of a name; in `scope` it stands between two.
    assert scopes(groups="it leads") == set()
    spaced = _known(provider, groups="scope", admin=("it",))
    assert spaced.caller(provider.token(NOW, scope="it x"), NOW).scopes >= {"admin"}


def test_another_claim_may_name_the_caller(provider: Provider) -> None:
    known = _known(provider, name="email")
    assert known.caller(provider.token(NOW, email="kim@x.kr"), NOW).name == "oidc:kim@x.kr"
    for bad in (None, "", "a\nb", "x" * 300, 7):
        assert _code(known, provider.token(NOW, email=bad)) == "token_unknown"


@pytest.mark.parametrize(
    "changed",
    [
        {"aud": "another"},
        {"aud": ["another"]},
        {"aud": None},
        {"iss": ISSUER + "/"},
        {"iss": None},
        {"exp": None},
        {"iat": None},
        {"exp": "soon"},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": 10**400},
        {"nbf": "x"},
        {"sub": 5},
    ],
)
def test_a_token_with_other_claims_is_refused(provider: Provider, changed: dict[str, Any]) -> None:
    assert _code(_known(provider), provider.token(NOW, **changed)) == "token_unknown"


def test_one_of_several_audiences_is_enough(provider: Provider) -> None:
    assert _known(provider).caller(provider.token(NOW, aud=["x", AUDIENCE]), NOW).name


def test_times_are_judged_by_the_time_given_with_a_minute_of_leeway(provider: Provider) -> None:
    known, token = _known(provider), provider.token(NOW)
    hour = timedelta(hours=1)
    for moment in (NOW, NOW + hour + timedelta(seconds=59), NOW - timedelta(seconds=60)):
        assert known.caller(token, moment).name
    # Remembered or not, it ends on time.
    assert _code(known, token, NOW + hour + timedelta(seconds=60)) == "token_expired"
    assert _code(_known(provider), token, NOW + timedelta(days=9)) == "token_expired"
    assert _code(known, token, NOW - timedelta(seconds=61)) == "token_unknown"
    later = provider.token(NOW, nbf=int(NOW.timestamp()) + 300)
    assert _code(known, later) == "token_unknown"
    assert known.caller(later, NOW + timedelta(seconds=240)).name


def _b64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _by_hand(header: dict[str, Any], claims: dict[str, Any], secret: bytes | None) -> bytes:
    signed = _b64(json.dumps(header).encode()) + b"." + _b64(json.dumps(claims).encode())
    if secret is None:
        return signed + b"."
    return signed + b"." + _b64(hmac.new(secret, signed, hashlib.sha256).digest())


def test_the_public_key_is_no_shared_secret(provider: Provider) -> None:
    """The attack of CVE-2015-9235: HS256 with the public key as the key of the HMAC."""
    public: Any = provider.private["rsa"].public_key()
    formats = serialization.PublicFormat
    pem = public.public_bytes(serialization.Encoding.PEM, formats.SubjectPublicKeyInfo)
    known = _known(provider)
    for secret in (pem, json.dumps(provider.entry("rsa")).encode(), b""):
        header = {"alg": "HS256", "kid": "rsa", "typ": "JWT"}
        assert _code(known, _by_hand(header, provider.claims(NOW), secret)) == "token_unknown"


def test_a_shared_secret_in_the_key_set_verifies_nothing(provider: Provider) -> None:
    entries = [provider.entry("rsa"), {"kty": "oct", "kid": "s", "k": "c2VjcmV0", "alg": "HS256"}]
    provider.jwks.write_text(json.dumps({"keys": entries}))
    header = {"alg": "HS256", "kid": "s"}
    forged = _by_hand(header, provider.claims(NOW), b"secret")
    assert _code(_known(provider), forged) == "token_unknown"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 5, "RS384", "ES256"])
def test_no_other_algorithm_counts(provider: Provider, algorithm: object) -> None:
    header = {"alg": algorithm, "kid": "rsa"}
    known = _known(provider)
    assert _code(known, _by_hand(header, provider.claims(NOW), None)) == "token_unknown"
    assert _code(known, _by_hand(header, provider.claims(NOW), b"x")) == "token_unknown"


@pytest.mark.parametrize(
    "header",
    [{"kid": None}, {"kid": "ec"}, {"kid": "other"}, {"kid": ["rsa"]}, {"typ": "logout+jwt"}],
)
def test_a_token_must_name_its_key_and_its_kind(provider: Provider, header: dict[str, Any]) -> None:
    said = {"alg": "RS256", "typ": "JWT", "kid": "rsa", **header}
    signed = (
        _b64(json.dumps(said).encode()) + b"." + _b64(json.dumps(provider.claims(NOW)).encode())
    )
    key: Any = provider.private["rsa"]
    token = signed + b"." + _b64(key.sign(signed, padding.PKCS1v15(), hashes.SHA256()))
    assert _code(_known(provider), token) == "token_unknown"


def test_an_extension_that_is_not_understood_is_refused(provider: Provider) -> None:
    token = provider.token(NOW, header={"crit": ["b64"], "b64": True})
    assert _code(_known(provider), token) == "token_unknown"


def test_an_access_token_says_so(provider: Provider) -> None:
    assert _known(provider).caller(provider.token(NOW, header={"typ": "at+jwt"}), NOW).name


def test_any_altered_part_is_refused(provider: Provider) -> None:
    known = _known(provider)
    head, claims, signature = provider.token(NOW, "ec", "ES256").split(b".")
    other = _b64(json.dumps(provider.claims(NOW, sub="boss")).encode())
    assert _code(known, b".".join([head, other, signature])) == "token_unknown"
    assert _code(known, b".".join([head, claims, signature[:-4]])) == "token_unknown"
    assert _code(known, b".".join([head, claims, b""])) == "token_unknown"
    assert _code(known, b"x" * 20_000 + b"..") == "token_unknown"


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_are_refused_by_name(one: bytes, two: bytes) -> None:
    assert _code(_KNOWN[0], _b64(one) + b"." + two + b".") == "token_unknown"


_KNOWN: list[oidc.Provider] = []


@pytest.fixture(autouse=True, scope="module")
def _one_for_all(keys: Provider) -> None:
    keys.publish()
    _KNOWN[:] = [_known(keys)]


def test_keys_that_rotate_in_the_file_count_at_once(provider: Provider) -> None:
    known = _known(provider)
    old = provider.token(NOW, "ec", "ES256")
    assert known.caller(old, NOW).name
    provider.private["ec-2"] = ec.generate_private_key(ec.SECP256R1())
    new = provider.token(NOW, "ec-2", "ES256")
    assert _code(known, new) == "token_unknown"
    provider.publish("ec", "ec-2")
    assert known.caller(old, NOW).name
    assert known.caller(new, NOW).name
    provider.publish("ec-2")  # what was taken out counts no more, though it was remembered
    assert _code(known, old) == "token_unknown"
    assert known.caller(new, NOW).name
    del provider.private["ec-2"]


def test_a_key_file_that_is_being_written_leaves_the_keys_in_force(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    known, token = _known(provider), provider.token(NOW)
    content = provider.jwks.read_bytes()
    for bad in (content[:50], b"", b"<html>", b'{"keys": []}'):
        provider.jwks.write_bytes(bad)
        assert known.caller(token, NOW).name
    assert caplog.text.count("jwks_not_read") == 1
    provider.jwks.unlink()
    assert known.caller(token, NOW).name
    provider.publish("ed")
    assert _code(known, token) == "token_unknown"


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"keys": 5}', b'{"keys": [5, {"kid": 1}]}', b"[" * 100_000],
)
def test_a_file_without_a_usable_key_stops_the_start(provider: Provider, content: bytes) -> None:
    provider.jwks.write_bytes(content)
    with pytest.raises(Stop, match="fetch them from its jwks_uri again"):
        _known(provider)


@pytest.mark.parametrize(
    "more",
    [{"use": "enc"}, {"key_ops": ["sign"]}, {"alg": "RS512"}, {"kid": None}, {"d": "AQAB"}],
)
def test_a_key_for_something_else_is_passed_over(provider: Provider, more: dict[str, Any]) -> None:
    provider.publish("rsa", **more)
    with pytest.raises(ValueError, match="no key"):
        oidc.read_keys(provider.jwks.read_bytes())


def test_a_key_that_names_its_algorithm_verifies_no_other(provider: Provider) -> None:
    provider.publish("rsa", alg="PS256")
    known = _known(provider)
    assert known.caller(provider.token(NOW, "rsa", "PS256"), NOW).name
    assert _code(known, provider.token(NOW, "rsa", "RS256")) == "token_unknown"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_short_key_is_passed_over(provider: Provider) -> None:
    provider.private["rsa-1"] = rsa.generate_private_key(65537, 1024)  # noqa: S505 - it is
    provider.publish("rsa-1")
    del provider.private["rsa-1"]
    with pytest.raises(Stop):
        _known(provider)


def test_a_refused_token_is_not_remembered_and_what_is_is_bounded(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc, "_REMEMBERED", 3)
    known = _known(provider)
    for number in range(8):
        known.caller(provider.token(NOW, "ed", "EdDSA", sub=f"u{number}"), NOW)
        assert len(known._remembered) <= 3
    before = set(known._remembered)
    assert _code(known, provider.token(NOW, aud="another")) == "token_unknown"
    assert set(known._remembered) == before
