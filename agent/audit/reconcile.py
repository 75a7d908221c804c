"""Holds what the courier carried against what the egress log let out: pure.

Every request must be one of the protocol's, every body a part of an envelope that was let out, and
never more of it than was booked.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agent.audit.transport import Carried, Mark
from agent.wire.document import Document, Sha256

_HEADER = re.compile(r"/v1/envelopes/([0-9a-f]{64})/header")
_PIECE = re.compile(r"/v1/envelopes/([0-9a-f]{64})/blob(?:\?offset=([0-9]{1,15}))?")
# Short, and of few characters: a request without a body must not carry much in its address.
_QUERY = r"[a-z_]{1,16}=[0-9]{1,15}"
_QUESTION = re.compile(rf"/v1/[a-z0-9._/-]{{1,160}}(\?{_QUERY}(&{_QUERY})?)?")
# `WRITE` and `READ` are of a carried folder.
_QUESTIONS = frozenset({"GET", "HEAD", "READ"})
_CARRIES = frozenset({"PUT", "WRITE"})
# Before there is a ledger, and for a new key: public keys, and nothing of what was measured.
# And what a carried folder asks for, which has a body there.
_KEYS = frozenset({("POST", "/v1/enrol"), ("POST", "/v1/rotations"), ("WRITE", "/v1/feed")})
_KEYS_BYTES = 16 << 10
_SHOWN = 20
_NEVER = 1 << 62

Code = Literal["strange_request", "unknown_envelope", "bytes_beyond", "bytes_missing"]


@dataclass(frozen=True, slots=True)
class Booked:
    """An envelope that was let out.

    Attributes:
        header_bytes: Length of its signed header; None where the log does not hold it.
        blob_bytes: Length of its blob.
        delivered: The aggregator signed that it has all of it.
    """

    header_bytes: int | None
    blob_bytes: int
    delivered: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that does not agree."""

    code: Code
    sentence: str


class Progress(Document):
    """How far the comparison is, to go on from another day.

    Attributes:
        mark: The place in the transport log.
        sent: By envelope, the parts of its blob that were sent, as [start, end) in order.
    """

    mark: Mark = Mark()
    sent: dict[Sha256, tuple[tuple[int, int], ...]] = {}  # noqa: RUF012 - frozen by pydantic


@dataclass(slots=True)
class Seen:
    """What the log tells of one envelope, each with the number of the first such request.

    Attributes:
        headers: By length.
        parts: By [start, end) of the blob.
    """

    headers: dict[int, int] = field(default_factory=dict)
    parts: dict[tuple[int, int], int] = field(default_factory=dict)


@dataclass(slots=True)
class Comparison:
    """Goes through a log once: first `read`, then `judge`.

    Attributes:
        progress: Where it starts, and then where it is.
        differences: What it found; of each kind the first `_SHOWN`.
    """

    progress: Progress
    differences: list[Difference] = field(default_factory=list)
    _seen: dict[str, Seen] = field(default_factory=dict)

    def read(self, carried: Iterable[Carried]) -> None:
        """Takes further lines in, from the mark of `progress` on."""
        for trip in carried:
            self._note(_look(trip, self._seen))
            self.progress = self.progress.model_copy(update={"mark": trip.mark})

    def judge(self, booked: Mapping[str, Booked]) -> None:
        """Compares what was read with what was let out.

        Args:
            booked: By envelope. Let it be read after the log, or else what leaves in between is
                not known; but whether an envelope is delivered must be known from before.
        """
        sent = {name: list(parts) for name, parts in self.progress.sent.items()}
        for envelope_id, seen in self._seen.items():
            sent.setdefault(envelope_id, []).extend(seen.parts)
            self._note(_against(envelope_id, seen, booked.get(envelope_id)))
        joined = {name: tuple(_joined(parts)) for name, parts in sent.items()}
        self.progress = self.progress.model_copy(update={"sent": joined})
        self._note(_missing(joined, booked))

    def _note(self, found: Iterable[Difference]) -> None:
        for one in found:
            if sum(known.code == one.code for known in self.differences) < _SHOWN:
                self.differences.append(one)


def _look(trip: Carried, seen: dict[str, Seen]) -> Iterator[Difference]:
    number, up = trip.mark.requests, trip.bytes_up
    carries = trip.method in _CARRIES
    if header := _HEADER.fullmatch(trip.target) if carries else None:
        seen.setdefault(header[1], Seen()).headers.setdefault(up, number)
    elif piece := _PIECE.fullmatch(trip.target) if carries else None:
        start = int(piece[2] or 0)  # a carried folder gets a blob whole
        seen.setdefault(piece[1], Seen()).parts.setdefault((start, start + up), number)
    elif not _is_question(trip):
        yield Difference(
            "strange_request",
            f"Request {number} ({trip.method}, {up} bytes up) is none of the protocol's.",
        )


def _against(envelope_id: str, seen: Seen, one: Booked | None) -> Iterator[Difference]:
    name = envelope_id[:12]
    if one is None:
        number = min(*seen.headers.values(), *seen.parts.values(), _NEVER)
        yield Difference(
            "unknown_envelope",
            f"Request {number} carried envelope {name}, which was never let out.",
        )
        return
    wrong = [number for up, number in seen.headers.items() if one.header_bytes not in (None, up)]
    wrong += [number for (_, end), number in seen.parts.items() if end > one.blob_bytes]
    for number in sorted(wrong):
        yield Difference(
            "bytes_beyond",
            f"Request {number} carried more or other bytes of envelope {name} than were booked.",
        )


def _is_question(trip: Carried) -> bool:
    if (trip.method, trip.target) in _KEYS:
        return trip.bytes_up <= _KEYS_BYTES
    known = trip.method in _QUESTIONS and _QUESTION.fullmatch(trip.target) is not None
    return known and trip.bytes_up == 0


def _missing(
    sent: Mapping[str, Sequence[tuple[int, int]]], booked: Mapping[str, Booked]
) -> Iterator[Difference]:
    # An envelope of which the log has no request at all went by another carrier.
    for envelope_id, parts in sent.items():
        one = booked.get(envelope_id)
        if one is None or one.header_bytes is None or not one.delivered:
            continue
        if list(parts) != ([(0, one.blob_bytes)] if one.blob_bytes else []):
            total = sum(end - start for start, end in parts)
            yield Difference(
                "bytes_missing",
                f"The aggregator has all {one.blob_bytes} bytes of envelope {envelope_id[:12]}, "
                f"and the transport log tells of {total}.",
            )


def _joined(parts: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Joins parts that touch or overlap: what is sent again is the same bytes."""
    start = end = 0
    for first, last in sorted(parts):
        if first > end:
            if end > start:
                yield start, end
            start = first
        end = max(end, last)
    if end > start:
        yield start, end
