"""An identity provider: real keys of each kind, its key set, and the tokens that it signs."""

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

ISSUER = "https://id.example.com/realms/pharma"
AUDIENCE = "onggi"


class Provider:
    """Signs tokens, and publishes the public halves into a file."""

    def __init__(self, jwks: Path) -> None:
        self.jwks = jwks
        self.private: dict[str, PrivateKeyTypes] = {
            "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "ed": ed25519.Ed25519PrivateKey.generate(),
        }
        self.publish()

    def entry(self, kid: str) -> dict[str, Any]:
        public: Any = self.private[kid].public_key()
        make: Any = {"rsa": RSAAlgorithm, "ec": ECAlgorithm, "ed": OKPAlgorithm}
        algorithm: Any = make[kid.partition("-")[0]]
        return {**algorithm.to_jwk(public, as_dict=True), "kid": kid, "use": "sig"}

    def publish(self, *kids: str, **more: object) -> None:
        """Writes these keys (or all) as the key set; `more` goes into each."""
        entries = [{**self.entry(kid), **more} for kid in kids or self.private]
        new = self.jwks.with_name("jwks.new")
        new.write_text(json.dumps({"keys": entries}))
        new.replace(self.jwks)

    def claims(self, now: datetime, **changed: object) -> dict[str, Any]:
        """Returns the claims of an hour's token; what is changed to None is left out."""
        seconds = int(now.timestamp())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "u-17",
            "iat": seconds,
            "exp": seconds + 3600,
            "groups": ["chemists"],
            **changed,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(
        self,
        now: datetime,
        kid: str = "rsa",
        algorithm: str = "RS256",
        header: dict[str, Any] | None = None,
        **changed: object,
    ) -> bytes:
        """Signs a token."""
        key: Any = self.private[kid]
        headers = {"kid": kid, **(header or {})}
        return jwt.encode(self.claims(now, **changed), key, algorithm, headers).encode()
