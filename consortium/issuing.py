"""Publishing what the officers have signed: checked once more, by the very rules of the silos."""

import logging
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent import log
from agent.clock import from_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.documents import Catalogue, Plan, Roster, TrustRoot
from agent.wire.signed import Signer, parse, sign
from agent.wire.trusted import Trusted
from consortium.enrol import admit
from consortium.folder import Folder
from consortium.founding import root_sha256
from consortium.proposals import Proposal, contents, propose, sign_proposal, take
from consortium.publish import append, publish_plan
from consortium.roots import Handover, next_root, published_roots, root_in_force
from consortium.rosters import Changes, adopt, next_roster
from consortium.store import catalogue, newest, roster
from consortium.tables import PlanRow

_logger = logging.getLogger(__name__)


def propose_roster(session: Session, folder: Folder, changes: Changes, now: datetime) -> Proposal:
    """Puts the next roster before the officers.

    Raises:
        Refused: A code of `next_roster`.
    """
    unsigned = sign("roster", next_roster(session, changes, now).to_bytes())
    return propose(
        published_roots(session, folder)[-1], [unsigned], newest(session, "roster").document
    )


def propose_plan(session: Session, folder: Folder, plan: Plan) -> Proposal:
    """Puts a completed plan before the officers."""
    return propose(published_roots(session, folder)[-1], [sign("plan", plan.to_bytes())])


def propose_catalogue(session: Session, folder: Folder, new: Catalogue) -> Proposal:
    """Puts a catalogue before the officers, with the version after the present one's."""
    numbered = new.model_copy(update={"version": catalogue(session).version + 1})
    return propose(published_roots(session, folder)[-1], [sign("catalogue", numbered.to_bytes())])


def propose_root(session: Session, folder: Folder, handover: Handover, now: datetime) -> Proposal:
    """Puts the next root before the officers, old and new.

    With it the roster, the catalogue and the plans that run are put before the new officers, byte
    for byte as they are: a silo that enrols later knows no other officers than the newest root's.

    Raises:
        Refused: A code of `next_root`.
    """
    root = next_root(root_in_force(session, folder), handover, now)
    rows = session.scalars(
        select(PlanRow).where(PlanRow.state == "running").order_by(PlanRow.plan_id)
    )
    running = [row.payload for row in rows if from_text(Plan.parse(row.payload).expires) > now]
    documents = [
        sign("root", root.to_bytes()),
        sign("roster", parse(newest(session, "roster").document).payload),
        sign("catalogue", parse(newest(session, "catalogue").document).payload),
        *(sign("plan", payload) for payload in running),
    ]
    return propose(
        published_roots(session, folder)[-1], documents, newest(session, "roster").document
    )


def publish_signed(
    session: Session, folder: Folder, proposal: Proposal, now: datetime
) -> list[str]:
    """Checks a signed proposal and publishes it whole, in the caller's transaction.

    Args:
        session: The writing transaction.
        folder: The aggregator's folder, for its own roots: those in the file are not believed.
        proposal: What officers have signed.
        now: The time.

    Returns:
        What was published, in words.

    Raises:
        Refused: `too_few_signatures` or another code of `Trusted`, or of `adopt`; `plan_exists`.
    """
    trusted = believed(session, folder, now)
    done = [_publish(session, folder, trusted, one, now) for one in contents(proposal)]
    log.event(_logger, "published", documents=len(done))
    return done


def sign_and_publish(
    session: Session, folder: Folder, proposal: Proposal, officers: Sequence[Signer], now: datetime
) -> list[str]:
    """Does all steps at once where the officers' keys are at hand.

    Raises:
        Refused: `not_officer`, or a code of `publish_signed`.
    """
    for officer in officers:
        proposal = sign_proposal(proposal, officer)
    return publish_signed(session, folder, proposal, now)


def believed(session: Session, folder: Folder, now: datetime) -> Trusted:
    """Returns what a silo believes that has taken all that was published."""
    first, *later = published_roots(session, folder)
    trusted = Trusted(first, root_sha256(folder), now, later)
    trusted.take_catalogue(newest(session, "catalogue").document, remembered=True)
    return trusted


def _publish(
    session: Session, folder: Folder, trusted: Trusted, content: bytes, now: datetime
) -> str:
    payload = parse(content).payload
    match take(trusted, content, now):
        case "root":
            append(session, "root", content)
            return f"Trust root {TrustRoot.parse(payload).version}"
        case "roster":
            return _publish_roster(session, folder, content)
        case "catalogue":
            append(session, "catalogue", content)
            return "Catalogue"
        case _:
            return _publish_plan(session, content)


def _publish_roster(session: Session, folder: Folder, content: bytes) -> str:
    new = Roster.parse(parse(content).payload)
    old = newest(session, "roster")
    # The very same roster under the signatures of a new root's officers changes no member.
    again = old.payload_sha256 == sha256_bytes(parse(content).payload)
    nonces = [] if again else adopt(session, roster(session), new)
    append(session, "roster", content)
    for nonce in nonces:
        admit(session, nonce, folder)
    return f"Roster {new.version}"


def _publish_plan(session: Session, content: bytes) -> str:
    payload = parse(content).payload
    plan = Plan.parse(payload)
    known = session.get(PlanRow, plan.plan_id)
    if known is None:
        publish_plan(session, content)
    elif known.payload == payload:
        append(session, "plan", content)
    else:
        raise Refused("plan_exists", f"There is a plan {plan.plan_id}; choose another id.")
    return f"Plan {plan.plan_id}"
