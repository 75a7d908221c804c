"""How a courier authenticates one request: a signature over everything the server acts on."""

import re

from agent.errors import Refused
from agent.wire.signed import pre_authentication

SILO = "Onggi-Silo"
TIME = "Onggi-Time"
NONCE = "Onggi-Nonce"
SIGNATURE = "Onggi-Signature"
OFFSET = "Onggi-Offset"
RECEIPT_TYPE = "application/vnd.onggi.receipt+json"
REFUSAL_TYPE = "application/vnd.onggi.refusal+json"
NONCE_BYTES = 16

# Printable ASCII without the blank: a line break in a part would let two requests sign alike.
_PART = re.compile(r"[\x21-\x7e]{1,2048}")


def request_message(
    method: str, target: str, silo: str, time: str, nonce: str, body_sha256: str
) -> bytes:
    """Returns the bytes that a courier signs for one request.

    Args:
        method: In capitals, e.g. PUT.
        target: Path with query, as it stands in the request line.
        silo: The silo's name.
        time: As `agent.clock.to_text` writes it.
        nonce: 32 hexadecimal digits, fresh for each request.
        body_sha256: SHA-256 of the body, in hexadecimal; of no bytes where there is none.

    Raises:
        Refused: `bad_request`: a part is empty, overlong, or not printable ASCII.
    """
    parts = (method, target, silo, time, nonce, body_sha256)
    if not all(_PART.fullmatch(part) for part in parts):
        raise Refused("bad_request", "A signed part of the request is empty or not plain ASCII.")
    return pre_authentication("request", "\n".join(parts).encode("ascii"))
