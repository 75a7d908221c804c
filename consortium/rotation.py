"""Key rotation of silos: a request that the silo's own key has signed waits for the officers."""

import logging

from sqlalchemy.orm import Session

from agent import log
from agent.errors import Refused
from agent.wire import strict_json
from agent.wire.documents import RotationRequest
from agent.wire.roster import key_of, member_of, verify_rotation
from agent.wire.signed import parse
from consortium.enrol import check_fresh
from consortium.store import Store, roster
from consortium.tables import RotationRow

_logger = logging.getLogger(__name__)


class Rotations:
    """Takes requests for new keys.

    Args:
        store: The database.
        consortium: This consortium.
    """

    def __init__(self, store: Store, consortium: str) -> None:
        self._store = store
        self._consortium = consortium

    def take(self, content: bytes, sender: str = "") -> bytes:
        """Keeps a request until a roster names the new key; asked again, answers the same.

        Args:
            content: The signed request.
            sender: The silo whose courier brought it; empty for a file that a person brought.

        Returns:
            `{"state": "pending"}`, or `"done"` where the roster names the key already, as JSON.

        Raises:
            Refused: `unknown_silo`, `wrong_silo`, `already_enrolled` (the key is in use),
                `older_request`, or a code of `verify_rotation`.
            TryLater: The database is busy.
        """
        claimed = RotationRequest.parse(parse(content).payload)
        if sender and claimed.silo != sender:
            raise Refused("wrong_silo", f"The courier of {sender} asks for {claimed.silo}'s key.")
        with self._store.writing() as session:
            state = self._take(session, content, claimed)
        log.event(_logger, "rotation_asked", silo=claimed.silo, purpose=claimed.purpose)
        return strict_json.dumps({"state": state})

    def _take(self, session: Session, content: bytes, claimed: RotationRequest) -> str:
        member = member_of(roster(session), claimed.silo)
        if member is None:
            raise Refused("unknown_silo", f"No silo {claimed.silo!r} is enrolled here.")
        if key_of(member, claimed.purpose) == claimed.new_key:
            return "done"
        request = verify_rotation(content, member, self._consortium)
        row = session.get(RotationRow, (request.silo, request.purpose))
        if row is not None and row.new_key == request.new_key:
            return "pending"
        # The courier, or whoever holds an old file, must not bring back a key that was given up.
        if row is not None and request.created <= row.created:
            raise Refused("older_request", "A newer request for this key is here already.")
        check_fresh(session, (request.new_key,))
        if row is not None:
            session.delete(row)
            session.flush()
        session.add(
            RotationRow(
                silo=request.silo,
                purpose=request.purpose,
                new_key=request.new_key,
                created=request.created,
            )
        )
        return "pending"
