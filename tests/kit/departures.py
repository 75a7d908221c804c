"""Leaves of an egress log for tests that need no real envelope."""

from datetime import datetime

from agent.files import sha256_bytes
from agent.ledger import egress
from agent.wire.statements import Leaf

BLOB = b"sealed" * 20


def leaf(number: int, at: datetime, blob: bytes = BLOB) -> Leaf:
    """An update that was let out; its header is `header N`."""
    header = f"header {number}".encode()
    envelope_id = sha256_bytes(header)
    size = len(header) + len(blob)
    return egress.departure(
        at, header, envelope_id, "kit", f"p1.r{number}.a1", size, sha256_bytes(blob)
    )
