"""What a carried folder holds, by name: the same signed files as over HTTPS, at fixed places.

    up/SILO/request                      what the silo asks for, signed with its courier's key
    up/SILO/ID.blob, ID.header           an envelope; the header comes last
    down/SILO/feed-AFTER-SHA256          an answer of the feed: what was published after a number
    down/SILO/answer-ID-KIND-SHA256      a signed receipt or refusal
    objects/SHA256                       what feeds name, for every silo once

Each side writes and clears its own part: the silo `up/SILO`, the aggregator `down` and `objects`.
"""

import re
from typing import Annotated, Literal

from pydantic import Field

from agent.wire.document import Document, Moment, Name

UP, DOWN = "up", "down"
OBJECTS = ("objects",)
REQUEST = "request"
SILO_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
UP_NAME = re.compile(r"request|(?P<id>[0-9a-f]{64})\.(?P<part>header|blob)")
DOWN_NAME = re.compile(
    r"feed-(?P<after>[0-9]{10})-(?P<page>[0-9a-f]{64})"
    r"|answer-(?P<id>[0-9a-f]{64})-(?P<kind>receipt|refusal)-(?P<sha256>[0-9a-f]{64})"
)
OBJECT_NAME = re.compile(r"[0-9a-f]{64}")
MAX_ANSWER_BYTES = 64 << 10
MAX_REQUEST_BYTES = 16 << 10


class FeedRequest(Document):
    """What a silo asks of whoever fills a folder for it: all that came after a number.

    It is signed with the courier's key, so that nobody else is given what only members may see.
    """

    kind: Literal["feed_request"] = "feed_request"
    consortium: Name
    silo: Name
    after: Annotated[int, Field(ge=0, le=2**31 - 1)]
    created: Moment


def header_name(envelope_id: str) -> str:
    """Names an envelope's signed header."""
    return f"{envelope_id}.header"


def blob_name(envelope_id: str) -> str:
    """Names an envelope's blob."""
    return f"{envelope_id}.blob"


def feed_name(after: int, sha256: str) -> str:
    """Names an answer of the feed by the number that it follows and its bytes."""
    return f"feed-{after:010d}-{sha256}"


def answer_name(envelope_id: str, kind: str, sha256: str) -> str:
    """Names an answer to an envelope."""
    return f"answer-{envelope_id}-{kind}-{sha256}"
