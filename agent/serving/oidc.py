"""Tokens of the company's identity provider: JWTs, checked against its keys in a file.

What is checked, and in which order, follows RFC 8725 (best practices for JWT): the algorithm comes
from a list of our own and must be the key's, never the token's word alone; HMAC is not on the list,
so that a public key never serves as a shared secret.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from agent import log
from agent.errors import Stop
from agent.files import sha256_bytes
from agent.serve_settings import OidcSection
from agent.serving.callers import Caller, Scope
from agent.serving.problems import Problem
from agent.serving.watched import Watched

_LOGGER = logging.getLogger(__name__)
LEEWAY_S = 60.0
ALGORITHMS = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
_OF_KEY: Mapping[tuple[str, str], frozenset[str]] = {
    ("RSA", ""): frozenset({"RS256", "PS256"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA"}),
}
_LEAST_RSA_BITS = 2048
_TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})  # RFC 9068 has the last two
_LAST_S = 253_402_300_799.0  # the end of the year 9999
_LONGEST_BYTES = 16_384
_LONGEST_NAME = 200
_REMEMBERED = 1024
_SPACED = frozenset({"scope", "scp"})  # RFC 8693: one text; in others a blank is part of a name
_SCOPES: tuple[Scope, ...] = ("predict", "data", "admin")

Keys = Mapping[tuple[str, str], jwt.PyJWK]


@dataclass(frozen=True, slots=True)
class _Verified:
    caller: Caller
    not_before_s: float
    expires_s: float


class Provider:
    """Knows who bears a token of the provider.

    Args:
        section: The issuer, the audience, and which groups may do what.
        jwks: The file of the provider's keys.

    Raises:
        Stop: The file holds no key that can be used.
    """

    def __init__(self, section: OidcSection, jwks: Path) -> None:
        self._section = section
        self._file = Watched(jwks, read_keys)
        self._remembered: dict[str, _Verified] = {}
        try:
            self._keys = self._file.current()
        except (OSError, ValueError) as error:
            raise Stop(
                f"The identity provider's keys in {jwks} cannot be used ({_why(error)}); fetch "
                "them from its jwks_uri again, and let predict's user read the file."
            ) from None
        self._faulty = False

    def caller(self, token: bytes, now: datetime) -> Caller:
        """Returns who bears a token.

        Args:
            token: As it came, three parts with dots between.
            now: The time.

        Raises:
            Problem: 401 `token_expired`, or `token_unknown` for every other fault.
        """
        self._look()
        now_s = now.timestamp()
        # A signature costs 50 to 150 us to check: once a token, not once a request. Other keys in
        # the file make all of them be checked again.
        digest = sha256_bytes(token)
        known = self._remembered.get(digest)
        if known is None:
            known = self._verify(token)
        if now_s >= known.expires_s + LEEWAY_S:
            sentence = "This token has expired; sign in again at the identity provider."
            raise Problem(401, "token_expired", sentence)
        if now_s < known.not_before_s - LEEWAY_S:
            raise _unknown("is not valid yet; compare the clocks of this host and the provider's")
        if len(self._remembered) >= _REMEMBERED:
            self._remembered.clear()
        self._remembered[digest] = known
        return known.caller

    def _look(self) -> None:
        """Takes the file's keys, or keeps the last good ones while it is being written."""
        try:
            keys = self._file.current()
        except (OSError, ValueError):
            if not self._faulty:
                log.trouble(_LOGGER, "jwks_not_read")
            self._faulty = True
            return
        self._faulty = False
        if keys is not self._keys:
            self._keys = keys
            self._remembered.clear()

    def _verify(self, token: bytes) -> _Verified:
        if len(token) > _LONGEST_BYTES:
            raise _unknown("is too long")
        try:
            header = jwt.get_unverified_header(token)
            key = self._key(header)
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[str(header["alg"])],
                audience=self._section.audience,
                issuer=self._section.issuer,
                # Times are checked here: the library would read the clock itself.
                options={
                    "require": ["exp", "iat", "iss", "aud"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
            times = [_seconds(claims, name) for name in ("exp", "iat")]
            times.append(_seconds(claims, "nbf") if "nbf" in claims else times[1])
        except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError):
            # One sentence for all: which check failed is nobody's business who made the token up.
            raise _unknown(
                "is not one that this endpoint accepts: its signature, key, issuer or audience is "
                "another; sign in again"
            ) from None
        return _Verified(self._caller(claims), max(times[1], times[2]), times[0])

    def _key(self, header: Mapping[str, Any]) -> jwt.PyJWK:
        kid, algorithm = header.get("kid"), header.get("alg")
        if not isinstance(kid, str) or algorithm not in ALGORITHMS or "crit" in header:
            raise ValueError
        if str(header.get("typ") or "").lower() not in _TYPES:
            raise ValueError
        return self._keys[kid, str(algorithm)] if (kid, algorithm) in self._keys else _no_key()

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        name = claims.get(self._section.name)
        if (
            not isinstance(name, str)
            or not name.isprintable()
            or not 0 < len(name) <= _LONGEST_NAME
        ):
            raise _unknown(f"has no claim {self._section.name} that could name you")
        claim = self._section.groups
        groups = {"*", *_texts(claims.get(claim), split=claim in _SPACED)}
        scopes = frozenset(
            scope for scope in _SCOPES if groups & set(getattr(self._section, scope))
        )
        # No token's name has a colon, so that neither kind can take the other's jobs.
        return Caller(f"oidc:{name}", scopes)


def read_keys(content: bytes) -> Keys:
    """Reads a JSON Web Key Set (RFC 7517); keys that cannot be used here are passed over.

    Returns:
        Each key by its id and by the algorithm that it verifies.

    Raises:
        ValueError: It is no JSON, or there is no key that can be used.
    """
    try:
        document = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    entries = document.get("keys") if isinstance(document, dict) else None
    keys: dict[tuple[str, str], jwt.PyJWK] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            keys |= {(entry["kid"], name): key for name, key in _usable(entry)}
    if not keys:
        raise ValueError("it has no key for RS256, PS256, ES256 or EdDSA that has an id")
    return keys


def _usable(entry: dict[str, Any]) -> list[tuple[str, jwt.PyJWK]]:
    """Returns a key for each algorithm that it may verify; none where it is for something else."""
    if not isinstance(entry.get("kid"), str) or entry.get("use", "sig") != "sig":
        return []
    if "d" in entry:  # a private key: whoever put it there gave it away
        return []
    if "verify" not in entry.get("key_ops", ["verify"]):
        return []
    curve = str(entry.get("crv", ""))
    allowed = _OF_KEY.get((str(entry.get("kty")), curve), frozenset())
    found = []
    for algorithm in sorted(allowed & {entry.get("alg", name) for name in allowed}):
        try:
            key = jwt.PyJWK(entry, algorithm)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if isinstance(key.key, RSAPublicKey) and key.key.key_size < _LEAST_RSA_BITS:
            continue
        found.append((algorithm, key))
    return found


def _no_key() -> jwt.PyJWK:
    raise ValueError


def _texts(value: object, *, split: bool) -> list[str]:
    if isinstance(value, str):
        return value.split() if split else [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    if not 0 <= value <= _LAST_S:  # NaN too, which no comparison would ever end
        raise ValueError
    return float(value)


def _unknown(what: str) -> Problem:
    return Problem(401, "token_unknown", f"This token {what}.")


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or "it cannot be read"
    return str(error) if type(error) is ValueError else "it is no JSON"
