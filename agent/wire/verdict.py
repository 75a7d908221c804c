"""What a silo tells the consortium of a release: taken, or refused and the class of why.

It travels as an envelope without a blob: the signed container stands where an envelope's header
stands, its id is the SHA-256 of that container, and the answer is the same receipt or refusal.
"""

from typing import Annotated, Literal, Self

from pydantic import Field

from agent.errors import Refused
from agent.wire.document import Document, Moment, Name, Sha256
from agent.wire.signed import key_id, verify

KIND = "verdict"
MAX_BYTES = 32 << 10
Reason = Literal["worse", "does_not_load", "wrong_golden", "bad_weights", "other"]
HeadOutcome = Literal[
    "better", "within_chance", "tolerated", "worse", "new", "not_judged", "missing", "not_finite"
]


class HeadWord(Document):
    """How one shared head compared with the active release; a word, never a figure."""

    task: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
    outcome: HeadOutcome


class Verdict(Document):
    """A silo's word on a release.

    Attributes:
        weights_sha256: Of the release, so that it cannot be taken for another of its name.
        reason: None where it was taken.
        heads: Empty unless the site's configuration tells them. Private heads are never among
            them: their names cannot be written here.
    """

    kind: Literal["verdict"] = "verdict"
    consortium: Name
    silo: Name
    release_id: Name
    weights_sha256: Sha256
    outcome: Literal["taken", "refused"]
    reason: Reason | None = None
    heads: Annotated[tuple[HeadWord, ...], Field(max_length=1_000)] = ()
    created: Moment

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Reads a verdict from bytes whose signature was checked.

        Raises:
            Refused: As `Document.parse`, also where reason and outcome contradict each other.
        """
        verdict = super().parse(content)
        if (verdict.outcome == "refused") != (verdict.reason is not None):
            raise Refused("malformed", "A release is refused for a reason, or taken without one.")
        return verdict


def verify_verdict(content: bytes, *keys: str) -> Verdict:
    """Checks a verdict's signature by one of its silo's keys, then reads it.

    Raises:
        Refused: `too_large`, `malformed`, or a code of `signed.verify`.
    """
    if len(content) > MAX_BYTES:
        raise Refused("too_large", f"A verdict has at most {MAX_BYTES} bytes.")
    return Verdict.parse(verify(content, KIND, {key_id(one): one for one in keys}))
