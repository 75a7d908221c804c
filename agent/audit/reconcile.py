"""Holds what the courier carried against what the egress log let out: pure.

Every request must be one of the protocol's, every body a part of an envelope that was let out, and
never more of it than was booked.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from agent.audit.transport import Carried, Mark
from agent.wire.document import Document, Sha256

_HEADER = re.compile(r"/v1/envelopes/([0-9a-f]{64})/header")
_PIECE = re.compile(r"/v1/envelopes/([0-9a-f]{64})/blob\?offset=([0-9]{1,15})")
# Short, and of few characters: a request without a body must not carry much in its address.
_QUERY = r"[a-z_]{1,16}=[0-9]{1,15}"
_QUESTION = re.compile(rf"/v1/[a-z0-9._/-]{{1,160}}(\?{_QUERY}(&{_QUERY})?)?")
_QUESTIONS = frozenset({"GET", "HEAD"})
_ENROLMENT = ("POST", "/v1/enrol")
_ENROLMENT_BYTES = 16 << 10
_SHOWN = 20

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
class Comparison:
    """Goes through a log once.

    Attributes:
        progress: Where it starts, and then where it is.
        differences: What it found, the first of each kind at most `_SHOWN` times.
    """

    progress: Progress
    differences: list[Difference] = field(default_factory=list)

    def run(self, carried: Iterable[Carried], booked: Mapping[str, Booked]) -> None:
        """Compares further lines.

        Args:
            carried: What the transport log says, from the mark of `progress` on.
            booked: What was let out so far, by envelope.
        """
        sent = {name: list(parts) for name, parts in self.progress.sent.items()}
        mark = self.progress.mark
        for trip in carried:
            self._note(_judge(trip, booked, sent))
            mark = trip.mark
        self.progress = Progress(
            mark=mark, sent={name: tuple(_joined(parts)) for name, parts in sent.items()}
        )
        self._note(_missing(self.progress.sent, booked))

    def _note(self, found: Iterable[Difference]) -> None:
        for one in found:
            if sum(known.code == one.code for known in self.differences) < _SHOWN:
                self.differences.append(one)


def _judge(
    trip: Carried, booked: Mapping[str, Booked], sent: dict[str, list[tuple[int, int]]]
) -> Iterator[Difference]:
    number, up = trip.mark.requests, trip.bytes_up
    if header := _HEADER.fullmatch(trip.target) if trip.method == "PUT" else None:
        sent.setdefault(header[1], [])
        yield from _against(number, header[1], booked, lambda one: _header_fits(one, up))
    elif piece := _PIECE.fullmatch(trip.target) if trip.method == "PUT" else None:
        start = int(piece[2])
        sent.setdefault(piece[1], []).append((start, start + up))
        yield from _against(number, piece[1], booked, lambda one: start + up <= one.blob_bytes)
    elif not _is_question(trip):
        yield Difference(
            "strange_request",
            f"Request {number} ({trip.method}, {up} bytes up) is none of the protocol's.",
        )


def _is_question(trip: Carried) -> bool:
    if (trip.method, trip.target) == _ENROLMENT:
        return trip.bytes_up <= _ENROLMENT_BYTES
    known = trip.method in _QUESTIONS and _QUESTION.fullmatch(trip.target) is not None
    return known and trip.bytes_up == 0


def _header_fits(one: Booked, up: int) -> bool:
    return one.header_bytes is None or up == one.header_bytes


def _against(
    number: int, envelope_id: str, booked: Mapping[str, Booked], fits: Callable[[Booked], bool]
) -> Iterator[Difference]:
    one = booked.get(envelope_id)
    if one is None:
        yield Difference(
            "unknown_envelope",
            f"Request {number} carried envelope {envelope_id[:12]}, which was never let out.",
        )
    elif not fits(one):
        yield Difference(
            "bytes_beyond",
            f"Request {number} carried more or other bytes of envelope {envelope_id[:12]} than "
            "were booked.",
        )


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
