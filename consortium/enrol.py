"""Enrolment: a one-time token, handed over by a person, becomes a line in the roster."""

import base64
import logging
import secrets
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from agent import log
from agent.clock import from_text, to_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire import strict_json
from agent.wire.documents import EnrolmentRequest, EnrolmentResponse, EnrolmentToken
from agent.wire.signed import Signer, key_id, parse, verify
from consortium.folder import Settings
from consortium.publish import VALID_FOR, publish_roster
from consortium.store import Store, newest
from consortium.tables import MemberRow, TokenRow

_logger = logging.getLogger(__name__)


def issue_token(session: Session, token: EnrolmentToken, legal_entity: str, now: datetime) -> None:
    """Remembers a token that is about to be handed over.

    Raises:
        Refused: `already_enrolled`.
    """
    if session.get(MemberRow, token.silo) is not None:
        raise Refused(
            "already_enrolled",
            f"Silo {token.silo} is in the roster; give the new one its own name.",
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


class Enrolment:
    """Turns tokens into members.

    Args:
        store: The database.
        settings: Names the consortium, and its reference set where `init` was told.
        root: The signed trust root's bytes, for the answer.
        offline: The key that signs the roster.
    """

    def __init__(self, store: Store, settings: Settings, root: bytes, offline: Signer) -> None:
        self.consortium = settings.consortium
        self._store = store
        self._settings = settings
        self._root = root
        self._offline = offline

    def enrol(self, content: bytes, now: datetime) -> bytes:
        """Answers an enrolment request; asked again with the same keys, in the same words.

        Args:
            content: The signed request.
            now: The time.

        Returns:
            An `EnrolmentResponse` as JSON.

        Raises:
            Refused: `bad_signature`, `malformed`, `unknown_token`, `token_used`,
                `token_expired`, `wrong_reference`, `already_enrolled`, or a code of
                `signed.verify`.
            TryLater: The database is busy.
        """
        request = _believe(content)
        keys = _keys_sha256(request)
        with self._store.writing() as session:
            token = session.get(TokenRow, request.nonce)
            if token is None or token.silo != request.silo:
                raise Refused("unknown_token", "This token is not known here; ask for a new one.")
            if token.response is not None:
                return _again(token, keys)
            self._check(session, token, request, now)
            _add(session, token, request, now)
            publish_roster(session, self._settings.consortium, self._offline, now)
            token.request_keys = keys
            token.response = self._response(session)
        log.event(_logger, "silo_enrolled", silo=request.silo)
        return token.response

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
        _check_new(session, request)

    def _response(self, session: Session) -> bytes:
        return EnrolmentResponse(
            root=_b64(self._root),
            roster=_b64(newest(session, "roster").document),
            catalogue=_b64(newest(session, "catalogue").document),
        ).to_bytes()


def reference(session: Session, settings: Settings) -> str | None:
    """Returns the consortium's feature reference hash: as founded, or the first member's."""
    if settings.reference_sha256 is not None:
        return settings.reference_sha256
    return session.scalars(
        select(MemberRow.reference_sha256).order_by(MemberRow.not_before, MemberRow.silo).limit(1)
    ).first()


def _believe(content: bytes) -> EnrolmentRequest:
    # The key is in the request itself: its signature proves possession, the token proves the rest.
    claimed = EnrolmentRequest.parse(parse(content).payload)
    verify(content, "enrolment", {key_id(claimed.sign_key): claimed.sign_key})
    return claimed


def _again(token: TokenRow, keys: str) -> bytes:
    if token.request_keys != keys or token.response is None:
        raise Refused("token_used", "This token was used by other keys; ask for a new one.")
    return token.response


def _check_new(session: Session, request: EnrolmentRequest) -> None:
    keys = (request.sign_key, request.seal_key, request.courier_key)
    taken = session.scalars(
        select(MemberRow.silo).where(
            or_(
                MemberRow.silo == request.silo,
                MemberRow.sign_key.in_(keys),
                MemberRow.seal_key.in_(keys),
                MemberRow.courier_key.in_(keys),
            )
        )
    ).first()
    if taken is not None or len(set(keys)) != len(keys):
        raise Refused(
            "already_enrolled", "This name or one of these keys is taken; make fresh keys."
        )


def _add(session: Session, token: TokenRow, request: EnrolmentRequest, now: datetime) -> None:
    session.add(
        MemberRow(
            silo=request.silo,
            legal_entity=token.legal_entity or request.legal_entity,
            sign_key=request.sign_key,
            seal_key=request.seal_key,
            courier_key=request.courier_key,
            reference_sha256=request.reference_sha256,
            not_before=to_text(now - timedelta(minutes=5)),  # clocks differ
            expires=to_text(now + VALID_FOR),
            revoked=False,
        )
    )
    session.flush()


def _keys_sha256(request: EnrolmentRequest) -> str:
    return sha256_bytes(
        "\n".join((request.sign_key, request.seal_key, request.courier_key)).encode()
    )


def _b64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
