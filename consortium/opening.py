"""Opens a round: a fresh sealing key on disk, then the manifest that names it in the feed."""

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy.orm import Session

from agent import log
from agent.clock import from_text
from agent.files import sha256_bytes
from agent.keys import new_hybrid, new_sealing
from agent.wire.documents import ObjectRef, Plan
from agent.wire.signed import Signer
from consortium.publish import publish_round
from consortium.rounds import Attempt, Start, invited, make_manifest, round_id
from consortium.store import newest, spoilt, standing
from consortium.tables import PlanRow

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Running:
    """A plan and the hash of its signed payload."""

    plan: Plan
    sha256: str

    @classmethod
    def of(cls, row: PlanRow) -> "Running":
        """Reads a plan from its row."""
        return cls(Plan.parse(row.payload), sha256_bytes(row.payload))


def key_path(folder: Path, identifier: str) -> Path:
    """Returns where a round's sealing key is."""
    return folder / f"{identifier}.key"


class Opener:
    """Opens rounds.

    Args:
        round_keys: Folder of the sealing keys.
        aggregator: The key that signs rounds.
    """

    def __init__(self, round_keys: Path, aggregator: Signer) -> None:
        self._round_keys = round_keys
        self._aggregator = aggregator

    def open(
        self, session: Session, running: Running, attempt: Attempt, base: ObjectRef, now: datetime
    ) -> None:
        """Opens an attempt in the caller's transaction, or ends the plan.

        It ends as `expired` when its time is over, and as `stalled` when its quorum cannot be met
        any more or bad updates spoilt this round too often.
        """
        plan = running.plan
        if now >= from_text(plan.expires):
            session.get_one(PlanRow, plan.plan_id).state = "expired"
            return
        failed = spoilt(session, plan.plan_id, attempt.number)
        participants = invited(plan, standing(session), failed)
        if participants is None:
            session.get_one(PlanRow, plan.plan_id).state = "stalled"
            log.trouble(_logger, "plan_stalled", plan=plan.plan_id, round=attempt.number)
            return
        in_force = newest(session, "roster").payload_sha256
        path = key_path(self._round_keys, round_id(plan.plan_id, attempt))
        # Left by a kill before the commit: no manifest names it, so nothing was sealed for it.
        path.unlink(missing_ok=True)
        if plan.seal_profile == "hybrid":
            pair = new_hybrid("round")
            pair.save(path)
            start = Start(participants, base, pair.public_hex, pair.kem_hex, in_force)
        else:
            key = new_sealing("round")
            key.save(path)
            start = Start(participants, base, key.public_hex, roster_sha256=in_force)
        manifest = make_manifest(plan, running.sha256, attempt, start, now)
        publish_round(session, manifest, self._aggregator)
