"""Fetches the public record of a masked round, so that its sum can be computed again here.

The courier may be at work in the same folder: these requests have a transport log of their own,
`replay.ndjson`, beside its one.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.boxes import read_regular
from agent.clock import Clock
from agent.errors import Refused, Stop
from agent.exchange.answers import problem
from agent.exchange.places import Places, read_enrolment, trusted_certificates
from agent.exchange.rotations import CourierKey
from agent.exchange.session import Link, Peer
from agent.exchange.transport_log import TransportLog
from agent.files import sha256_bytes
from agent.wire.masking.record import PARTS, Record, RecordPart
from agent.wire.strict_json import MAX_BYTES

LOG = "replay.ndjson"
_VECTOR_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class Fetched:
    """A record, and a way to its vectors.

    Attributes:
        record: The signed documents; nothing of them was checked.
        vector_of: Gives a vector by its SHA-256, which is checked.
    """

    record: Record
    vector_of: Callable[[str], bytes]


@contextmanager
def fetched(
    places: Places, round_id: str, *, clock: Clock, ca_file: Path | None = None
) -> Iterator[Fetched]:
    """Fetches from the aggregator; vectors come while the block lasts.

    Args:
        places: Of an enrolled silo; the courier's key authenticates.
        round_id: The round.
        clock: The time.
        ca_file: As `places.trusted_certificates`.

    Raises:
        Stop: The silo is not enrolled, or a key or certificate is missing.
        TryLater: The aggregator does not answer.
        Refused: The aggregator's code: it has no such record, or `vectors_gone`.
    """
    enrolment = read_enrolment(places)
    peer = Peer(enrolment.url, trusted_certificates(places, ca_file))
    signer = CourierKey(places.courier_key)
    with TransportLog(places.courier / LOG) as log:
        link = Link(peer, enrolment.silo, signer, transport_log=log, clock=clock)
        try:
            record = {part: _part(link, round_id, part) for part in PARTS}
            yield Fetched(record, lambda sha256: _vector(link, sha256))
        finally:
            link.close()


def from_folder(folder: Path) -> Fetched:
    """Reads a record that `onggi-aggregator record` wrote.

    Raises:
        Stop: A document of it is not there, or is too large.
    """
    record = {part: _read(folder / f"{part}.json", 4 * MAX_BYTES) for part in PARTS}
    return Fetched(record, lambda sha256: _checked(_read(folder / sha256, _VECTOR_BYTES), sha256))


def _part(link: Link, round_id: str, part: RecordPart) -> bytes:
    answer = link.ask("GET", f"/v1/rounds/{round_id}/record/{part}", limit=4 * MAX_BYTES)
    if answer.status != 200:
        raise problem(answer.status, answer.body)
    return answer.body


def _vector(link: Link, sha256: str) -> bytes:
    answer = link.ask("GET", f"/v1/repository/{sha256}", limit=_VECTOR_BYTES)
    if answer.status == 404:
        raise Refused(
            "vectors_gone", "The aggregator keeps vectors until the plan's next round is over."
        )
    if answer.status != 200:
        raise problem(answer.status, answer.body)
    return _checked(answer.body, sha256)


def _checked(content: bytes, sha256: str) -> bytes:
    if sha256_bytes(content) != sha256:
        raise Refused("damaged_object", f"The vector {sha256} arrived with other bytes.")
    return content


def _read(path: Path, limit: int) -> bytes:
    try:
        return read_regular(path, limit)
    except OSError as error:
        raise Stop(
            f"Cannot read {path}; name a folder that `onggi-aggregator record` wrote."
        ) from error
