"""Enrolment: a one-time token, handed over by a person, becomes a line in a roster.

The request is kept, and the silo is told to wait; the officers' signature under a roster with the
silo is what admits it. Whoever serves cannot admit anybody.
"""

import base64
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from agent import log
from agent.clock import from_text, to_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire import strict_json
from agent.wire.documents import (
    EnrolmentPending,
    EnrolmentRequest,
    EnrolmentResponse,
    EnrolmentToken,
)
from agent.wire.signed import key_id, parse, verify
from consortium.folder import Folder, Settings
from consortium.roots import published_roots
from consortium.store import Store, newest
from consortium.tables import ApplicationRow, MemberRow, RotationRow, TokenRow

_logger = logging.getLogger(__name__)


def issue_token(session: Session, token: EnrolmentToken, legal_entity: str, now: datetime) -> None:
    """Remembers a token that is about to be handed over.

    Raises:
        Refused: `already_enrolled`, or `already_waits` (for its admission).
    """
    if session.get(MemberRow, token.silo) is not None:
        raise Refused(
            "already_enrolled",
            f"Silo {token.silo} is in the roster; give the new one its own name.",
        )
    if session.get(ApplicationRow, token.silo) is not None:
        raise Refused(
            "already_waits",
            f"Silo {token.silo} waits for admission; admit it, or reject it first.",
        )
    session.add(
        TokenRow(
            nonce=token.nonce,
            silo=token.silo,
            legal_entity=legal_entity,
            issued=to_text(now),
            expires=token.expires,
            request_keys=None,
            response=None,
        )
    )


def make_token(
    silo: str, settings: Settings, root_sha256: str, tls_sha256: str, expires: datetime
) -> EnrolmentToken:
    """Writes a token with a fresh nonce.

    Raises:
        Refused: `malformed`: the silo's name is not one that the protocol allows.
    """
    return EnrolmentToken.parse(
        strict_json.dumps(
            {
                "silo": silo,
                "url": settings.url,
                "expires": to_text(expires),
                "tls_sha256": tls_sha256,
                "root_sha256": root_sha256,
                "nonce": secrets.token_hex(32),
            }
        )
    )


@dataclass(frozen=True, slots=True)
class Reply:
    """What a silo is told.

    Attributes:
        admitted: Whether it is in the roster.
        content: An `EnrolmentResponse` as JSON if it is, else an `EnrolmentPending`.
    """

    admitted: bool
    content: bytes


class Enrolment:
    """Turns tokens into applications, and repeats the answer once the silo is a member.

    Args:
        store: The database.
        settings: Names the consortium, and its reference set where `init` was told.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self.consortium = settings.consortium
        self._store = store
        self._settings = settings

    def enrol(self, content: bytes, now: datetime) -> Reply:
        """Answers an enrolment request; asked again with the same keys, in the same words.

        Args:
            content: The signed request.
            now: The time.

        Raises:
            Refused: `bad_signature`, `malformed`, `unknown_token`, `token_used`,
                `token_expired`, `wrong_reference`, `already_enrolled`, `rejected`, or a code of
                `signed.verify`.
            TryLater: The database is busy.
        """
        request = _believe(content)
        keys = _keys_sha256(request)
        with self._store.writing() as session:
            token = session.get(TokenRow, request.nonce)
            if token is None or token.silo != request.silo:
                raise Refused("unknown_token", "This token is not known here; ask for a new one.")
            if token.request_keys is not None:
                return _again(session, token, keys)
            self._check(session, token, request, now)
            waiting = _apply(session, token, request, now)
            token.request_keys = keys
        log.event(_logger, "silo_asks_for_admission", silo=request.silo)
        return waiting

    def _check(
        self, session: Session, token: TokenRow, request: EnrolmentRequest, now: datetime
    ) -> None:
        if from_text(token.expires) <= now:
            raise Refused(
                "token_expired", f"The token expired at {token.expires}; ask for another."
            )
        wanted = reference(session, self._settings)
        if wanted is not None and request.reference_sha256 != wanted:
            raise Refused(
                "wrong_reference",
                "Your software computes other features for the reference set than the consortium's;"
                " install the RDKit build that it uses, then enrol with the same token.",
            )
        check_fresh(session, (request.sign_key, request.seal_key, request.courier_key))
        if session.get(MemberRow, request.silo) or session.get(ApplicationRow, request.silo):
            raise _taken()


def admit(session: Session, nonce: str, folder: Folder) -> None:
    """Writes down the answer for a silo that the newest roster names, in the caller's transaction.

    From then on the silo gets this answer to its request, byte for byte.
    """
    token = session.get_one(TokenRow, nonce)
    first, *later = published_roots(session, folder)
    token.response = EnrolmentResponse(
        root=_b64(first),
        roster=_b64(newest(session, "roster").document),
        catalogue=_b64(newest(session, "catalogue").document),
        chain=tuple(_b64(one) for one in later),
        certificate=folder.certificate.read_text() if folder.certificate.exists() else "",
    ).to_bytes()
    log.event(_logger, "silo_enrolled", silo=token.silo)


def reject(session: Session, silo: str) -> None:
    """Sends a silo that waits for admission away; its token is used up.

    Raises:
        Refused: `not_waiting`.
    """
    row = session.get(ApplicationRow, silo)
    if row is None:
        raise Refused("not_waiting", f"Silo {silo!r} does not wait; see `roster pending`.")
    session.delete(row)
    log.trouble(_logger, "silo_rejected", silo=silo)


def reference(session: Session, settings: Settings) -> str | None:
    """Returns the consortium's feature reference hash.

    It is the one that `init` was told, or the first member's, or that of the first silo that waits.
    """
    if settings.reference_sha256 is not None:
        return settings.reference_sha256
    member = select(MemberRow.reference_sha256).order_by(MemberRow.not_before, MemberRow.silo)
    waiting = select(ApplicationRow.reference_sha256).order_by(ApplicationRow.asked)
    return session.scalars(member.limit(1)).first() or session.scalars(waiting.limit(1)).first()


def check_fresh(session: Session, keys: Sequence[str]) -> None:
    """Checks that nobody has one of these keys for anything, and that they are all different.

    Raises:
        Refused: `already_enrolled`.
    """
    for table in (MemberRow, ApplicationRow):
        columns = (table.sign_key, table.seal_key, table.courier_key)
        if session.scalars(select(table).where(or_(*(one.in_(keys) for one in columns)))).first():
            raise _taken()
    if session.scalars(select(RotationRow).where(RotationRow.new_key.in_(keys))).first():
        raise _taken()
    if len(set(keys)) != len(keys):
        raise _taken()


def _taken() -> Refused:
    return Refused("already_enrolled", "This name or one of these keys is taken; make fresh keys.")


def _believe(content: bytes) -> EnrolmentRequest:
    # The key is in the request itself: its signature proves possession, the token proves the rest.
    claimed = EnrolmentRequest.parse(parse(content).payload)
    verify(content, "enrolment", {key_id(claimed.sign_key): claimed.sign_key})
    return claimed


def _again(session: Session, token: TokenRow, keys: str) -> Reply:
    if token.request_keys != keys:
        raise Refused("token_used", "This token was used by other keys; ask for a new one.")
    if token.response is not None:
        return Reply(True, token.response)
    row = session.get(ApplicationRow, token.silo)
    if row is None or row.nonce != token.nonce:
        raise Refused("rejected", "The consortium has rejected this silo's request; ask it why.")
    return _waiting(row)


def _waiting(row: ApplicationRow) -> Reply:
    return Reply(False, EnrolmentPending(silo=row.silo, asked=row.asked).to_bytes())


def _apply(session: Session, token: TokenRow, request: EnrolmentRequest, now: datetime) -> Reply:
    row = ApplicationRow(
        silo=request.silo,
        nonce=request.nonce,
        legal_entity=token.legal_entity or request.legal_entity,
        sign_key=request.sign_key,
        seal_key=request.seal_key,
        courier_key=request.courier_key,
        pq_sign_key=request.pq_sign_key,
        reference_sha256=request.reference_sha256,
        asked=to_text(now),
    )
    session.add(row)
    session.flush()
    return _waiting(row)


def _keys_sha256(request: EnrolmentRequest) -> str:
    return sha256_bytes(
        "\n".join((request.sign_key, request.seal_key, request.courier_key)).encode()
    )


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
