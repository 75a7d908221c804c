"""Enrolment: one token, one request, and the first trust written down.

Between the request and the answer people sign a roster, which may take days: until then the answer
is "wait", and the same request may be made again. Where there is no network, the same two messages
are files.

Killed at any point and started again with the same token, it ends the same: keys are made once,
the aggregator answers the same request as before, and the note that says "enrolled" comes last.
"""

import base64
import binascii
import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent import __version__, log
from agent.boxes import later_roots
from agent.clock import Clock, from_text, to_text
from agent.errors import Refused, Stop
from agent.exchange.answers import problem
from agent.exchange.pinning import carried_certificate, pinned_certificate
from agent.exchange.places import Places, read_enrolment
from agent.exchange.session import Link, Peer, Timeouts, check_url
from agent.exchange.transport_log import TransportLog
from agent.files import exclusive, sha256_bytes, write_atomic
from agent.keys import Identity, load_identity, make_identity
from agent.wire.documents import (
    Enrolment,
    EnrolmentPending,
    EnrolmentRequest,
    EnrolmentResponse,
    EnrolmentToken,
    Member,
)
from agent.wire.signed import parse, sign
from agent.wire.token import decode_token, fingerprint
from agent.wire.trusted import Trusted


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What an enrolment agreed on.

    Attributes:
        note: What the trust folder keeps.
        fingerprint: To be compared with what the aggregator's operator sees.
    """

    note: Enrolment
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The request is on its way, and the consortium's officers have not admitted the silo yet.

    Attributes:
        silo: The name that the token gives this silo.
        fingerprint: To be compared with what the aggregator's operator sees.
    """

    silo: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Applicant:
    """What a silo says about itself.

    Attributes:
        legal_entity: The company's name, for people.
        reference_sha256: The feature reference set's hash as this host computes it.
    """

    legal_entity: str
    reference_sha256: str


@dataclass(frozen=True, slots=True)
class _Net:
    clock: Clock
    timeouts: Timeouts | None


_logger = logging.getLogger(__name__)


def enrol(
    token_text: str,
    places: Places,
    applicant: Applicant,
    *,
    clock: Clock,
    timeouts: Timeouts | None = None,
) -> Enrolled | Waiting:
    """Enrols this silo with the aggregator that a one-time token names.

    Args:
        token_text: The token as it was handed over.
        places: The silo's folders; those that are missing are made.
        applicant: What the silo says about itself.
        clock: The time.
        timeouts: How long to wait for the aggregator.

    Returns:
        What was agreed on; the same again where the silo is enrolled already. `Waiting` as long
        as the consortium has not admitted the silo: ask again later.

    Raises:
        Refused: `bad_token`, `token_expired`, `wrong_certificate`, `wrong_entry` (the roster
            has other keys for this silo), a code of `Trusted`, or one of the aggregator's:
            `unknown_token`, `token_used`, `rejected`, `wrong_reference`, `bad_signature`.
        TryLater: The aggregator is away, or another process works in the courier's folder.
        Stop: The state belongs to another enrolment, or a folder cannot be written.
    """
    token = decode_token(token_text)
    try:
        _make_folders(places)
        with exclusive(places.courier / "courier.lock"):
            identity = make_identity(places.keys, places.courier, clock(), places.rings)
            if places.enrolment.exists():
                return _as_before(token, places, identity)
            _check_usable(token, clock())
            _pin(token, places)
            net = _Net(clock, timeouts)
            answer = _ask(token, places, identity, applicant, net)
            if answer is None:
                return Waiting(token.silo, _fingerprint(token.root_sha256, identity))
            return _settle(token, places, identity, answer, clock())
    except OSError as error:
        raise Stop(f"Cannot write to the state folder: {error.strerror}.") from error


def write_request(
    token_text: str, places: Places, applicant: Applicant, request: Path, *, clock: Clock
) -> Waiting:
    """Makes this silo's keys, and writes its request to a file that a person carries.

    Made again it is the same request with another date, which the aggregator answers as before.

    Raises:
        Refused: `bad_token` or `token_expired`.
        TryLater: Another process works in the courier's folder.
        Stop: The silo is enrolled, or a folder or the file cannot be written.
    """
    token = decode_token(token_text)
    try:
        _make_folders(places)
        with exclusive(places.courier / "courier.lock"):
            if places.enrolment.exists():
                raise Stop("This silo is enrolled already; there is nothing to ask for.")
            identity = make_identity(places.keys, places.courier, clock(), places.rings)
            _check_usable(token, clock())
            write_atomic(places.token, token.to_bytes(), 0o600)
            write_atomic(request, _request(token, identity, applicant, clock()))
    except OSError as error:
        raise Stop(f"Cannot write {error.filename or request}: {error.strerror}.") from error
    return Waiting(token.silo, _fingerprint(token.root_sha256, identity))


def take_response(places: Places, response: Path, *, clock: Clock) -> Enrolled:
    """Finishes an enrolment with the file that the aggregator's operator wrote.

    Everything in it is checked as if it had come over the network: against the token that was kept
    with the request.

    Raises:
        Refused: As `enrol`.
        TryLater: Another process works in the courier's folder.
        Stop: No request was made here, or a file cannot be read or written.
    """
    try:
        answer = EnrolmentResponse.parse(response.read_bytes())
        with exclusive(places.courier / "courier.lock"):
            if places.enrolment.exists():
                return enrolled(places)
            token = _kept_token(places)
            if token.tls_sha256:
                pem = answer.certificate.encode()
                write_atomic(places.ca_file, carried_certificate(pem, token.tls_sha256))
            identity = load_identity(places.keys, places.courier, places.rings)
            done = _settle(token, places, identity, answer, clock())
            places.token.unlink(missing_ok=True)
            return done
    except OSError as error:
        raise Stop(f"Cannot use {error.filename or response}: {error.strerror}.") from error


def _kept_token(places: Places) -> EnrolmentToken:
    try:
        return EnrolmentToken.parse(places.token.read_bytes())
    except FileNotFoundError as error:
        raise Stop(
            "No request was made here; run `onggi enroll --token TOKEN --request FILE` first."
        ) from error


def _make_folders(places: Places) -> None:
    for folder in (places.courier, places.trust, places.outbox, places.inbox / "objects"):
        folder.mkdir(parents=True, exist_ok=True)


def enrolled(places: Places) -> Enrolled:
    """Reads what an earlier enrolment agreed on.

    Raises:
        Stop: The silo is not enrolled, or a key is missing.
    """
    note = read_enrolment(places)
    return _enrolled(note, places, load_identity(places.keys, places.courier, places.rings))


def _enrolled(note: Enrolment, places: Places, identity: Identity) -> Enrolled:
    later = later_roots(places.trust)
    newest = sha256_bytes(parse(later[max(later)]).payload) if later else note.root_sha256
    return Enrolled(note, _fingerprint(newest, identity))


def _fingerprint(root_sha256: str, identity: Identity) -> str:
    keys = (identity.sign.public_hex, identity.seal.public_hex, identity.courier.public_hex)
    return fingerprint(root_sha256, *keys)


def _as_before(token: EnrolmentToken, places: Places, identity: Identity) -> Enrolled:
    note = read_enrolment(places)
    if (note.silo, note.root_sha256) != (token.silo, token.root_sha256):
        raise Stop(
            f"This state is enrolled as {note.silo} with {note.consortium}; use another state "
            "folder for another enrolment."
        )
    return _enrolled(note, places, identity)


def _check_usable(token: EnrolmentToken, now: datetime) -> None:
    try:
        expired = from_text(token.expires) <= now
    except ValueError as error:
        raise Refused("bad_token", "The token names no valid date of expiry.") from error
    if expired:
        raise Refused("token_expired", f"The token expired at {token.expires}; ask for a new one.")
    if (check_url(token.url).scheme == "https") != bool(token.tls_sha256):
        raise Refused("bad_token", "The token must pin a TLS key for https, and none for http.")


def _pin(token: EnrolmentToken, places: Places) -> None:
    if token.tls_sha256:
        write_atomic(places.ca_file, pinned_certificate(token.url, token.tls_sha256))
    else:
        places.ca_file.unlink(missing_ok=True)


def _request(
    token: EnrolmentToken, identity: Identity, applicant: Applicant, now: datetime
) -> bytes:
    request = EnrolmentRequest(
        silo=token.silo,
        legal_entity=applicant.legal_entity,
        nonce=token.nonce,
        sign_key=identity.sign.public_hex,
        seal_key=identity.seal.public_hex,
        courier_key=identity.courier.public_hex,
        pq_sign_key=_post_quantum(identity),
        reference_sha256=applicant.reference_sha256,
        agent_version=__version__,
        created=to_text(now),
    )
    return sign("enrolment", request.to_bytes(), identity.sign)


def _ask(
    token: EnrolmentToken, places: Places, identity: Identity, applicant: Applicant, net: _Net
) -> EnrolmentResponse | None:
    body = _request(token, identity, applicant, net.clock())
    peer = Peer(token.url, places.ca_file if token.tls_sha256 else None)
    with TransportLog(places.courier / "transport.ndjson") as transport_log:
        link = Link(
            peer,
            token.silo,
            identity.courier,
            transport_log=transport_log,
            clock=net.clock,
            timeouts=net.timeouts,
        )
        answer = link.ask("POST", "/v1/enrol", body)
        link.close()
    if answer.status == 202:
        EnrolmentPending.parse(answer.body)
        return None
    if answer.status != 200:
        raise problem(answer.status, answer.body)
    return EnrolmentResponse.parse(answer.body)


def _settle(
    token: EnrolmentToken,
    places: Places,
    identity: Identity,
    answer: EnrolmentResponse,
    now: datetime,
) -> Enrolled:
    roster, catalogue = _unb64(answer.roster), _unb64(answer.catalogue)
    root, later = _from_pinned(answer, token.root_sha256)
    trusted = Trusted(root, token.root_sha256, now, later)
    members = {member.silo: member for member in trusted.take_roster(roster, now).members}
    trusted.take_catalogue(catalogue)
    _check_entry(members.get(token.silo), identity)
    for version, content in enumerate(later, trusted.root.version - len(later) + 1):
        write_atomic(places.trust / f"root.{version}.json", content)
    for name, content in (("root", root), ("roster", roster), ("catalogue", catalogue)):
        write_atomic(places.trust / f"{name}.json", content)
    note = Enrolment(
        silo=token.silo,
        consortium=trusted.root.consortium,
        url=token.url,
        root_sha256=token.root_sha256,
        enrolled=to_text(now),
    )
    write_atomic(places.enrolment, note.to_bytes())
    log.event(_logger, "enrolled", silo=note.silo, consortium=note.consortium)
    return Enrolled(note, _fingerprint(trusted.root_sha256, identity))


def _from_pinned(answer: EnrolmentResponse, root_sha256: str) -> tuple[bytes, list[bytes]]:
    """Returns the root that the token names, and those after it."""
    roots = [_unb64(one) for one in (answer.root, *answer.chain)]
    for number, content in enumerate(roots):
        if sha256_bytes(parse(content).payload) == root_sha256:
            return content, roots[number + 1 :]
    raise Refused("wrong_root", "The trust root is not the one that the token named.")


def _check_entry(entry: Member | None, identity: Identity) -> None:
    ours = (identity.sign.public_hex, identity.seal.public_hex, identity.courier.public_hex)
    if (
        entry is None
        or entry.revoked
        or (entry.sign_key, entry.seal_key, entry.courier_key) != ours
        or entry.pq_sign_key not in {None, _post_quantum(identity)}
    ):
        raise Refused(
            "wrong_entry",
            "The signed roster does not list this silo with its keys; ask the aggregator's "
            "operator to check the entry.",
        )


def _post_quantum(identity: Identity) -> str | None:
    return identity.post_quantum.public_hex if identity.post_quantum is not None else None


def _unb64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused(
            "malformed", "The aggregator's answer to the enrolment is damaged."
        ) from error
