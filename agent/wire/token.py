"""The one-time enrolment token as text, and the fingerprint that both sides show."""

import base64
import binascii
import hashlib

from agent.errors import Refused
from agent.wire.documents import EnrolmentToken

_MAX_CHARACTERS = 8192
_GROUPS, _GROUP_DIGITS = 8, 4


def encode_token(token: EnrolmentToken) -> str:
    """Writes a token as one line that survives mail and chat (base64url, no padding)."""
    return base64.urlsafe_b64encode(token.to_bytes()).decode("ascii").rstrip("=")


def decode_token(text: str) -> EnrolmentToken:
    """Reads what `encode_token` wrote; blanks and line breaks from pasting are ignored.

    Raises:
        Refused: `bad_token`.
    """
    compact = "".join(text.split()).rstrip("=")
    if not compact or len(compact) > _MAX_CHARACTERS:
        raise _bad_token()
    try:
        padded = compact.encode("ascii") + b"=" * (-len(compact) % 4)
        return EnrolmentToken.parse(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, Refused) as error:
        raise _bad_token() from error


def _bad_token() -> Refused:
    return Refused(
        "bad_token", "This is no enrolment token, or a part of it is missing; copy all of it again."
    )


def fingerprint(root_sha256: str, sign_key: str, seal_key: str, courier_key: str) -> str:
    """Returns what two people compare over the telephone after an enrolment.

    Args:
        root_sha256: SHA-256 of the trust root's payload, in hexadecimal.
        sign_key: The silo's public signing key, in hexadecimal.
        seal_key: Its public sealing key.
        courier_key: Its courier's public key.

    Returns:
        128 bits of SHA-256 over the four, as eight groups of four hexadecimal digits.
    """
    parts = (root_sha256, sign_key, seal_key, courier_key)
    digest = hashlib.sha256(b"".join(bytes.fromhex(part) for part in parts)).hexdigest()
    starts = range(0, _GROUPS * _GROUP_DIGITS, _GROUP_DIGITS)
    return " ".join(digest[start : start + _GROUP_DIGITS] for start in starts)
