"""What silos say in a masked round outside of envelopes: believed, kept in order, answered.

A message is kept in the transaction in which its receipt is signed. After the row that closes its
step no message of that step is kept any more, so the rows tell the whole story again after a kill.
"""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent.clock import to_text
from agent.errors import Refused, Stop
from agent.files import sha256_bytes
from agent.wire.documents import Plan, Roster, RoundManifest
from agent.wire.masking.carriage import MAX_MESSAGE_BYTES
from agent.wire.masking.documents import Ack, RoundKeys, Unmask
from agent.wire.masking.sets import check_keys
from agent.wire.masking.setting import Setting, check_open
from agent.wire.signed import parse, payload_type
from consortium.tables import MaskedRow, PlanRow, PublishedRow, RoundRow

_MODELS: dict[str, type[RoundKeys | Ack | Unmask]] = {
    payload_type("masked_keys"): RoundKeys,
    payload_type("masked_ack"): Ack,
    payload_type("masked_unmask"): Unmask,
}


def is_message(content: bytes) -> bool:
    """Tells whether a signed container is a message of a masked round.

    Raises:
        Refused: A code of `signed.parse`.
    """
    return parse(content).payload_type in _MODELS


def setting_of(session: Session, row: RoundRow) -> Setting:
    """Returns what a round is held against, with the roster that its terms name.

    Raises:
        Stop: That roster is not in the database.
        Refused: `not_masked`.
    """
    manifest = RoundManifest.parse(row.payload)
    plan = Plan.parse(session.get_one(PlanRow, row.plan_id).payload)
    if manifest.masking is None:
        raise Refused("not_masked", f"Round {row.round_id} is not masked.")
    sha256 = manifest.masking.roster_sha256
    found = session.scalars(
        select(PublishedRow).where(
            PublishedRow.kind == "roster", PublishedRow.payload_sha256 == sha256
        )
    ).first()
    if found is None:
        raise Stop("The database lost the roster of a round; restore it from backup.")
    roster = Roster.parse(parse(found.document).payload)
    return Setting(manifest, sha256_bytes(row.payload), plan, roster, sha256)


def judge_message(session: Session, content: bytes, silo: str, now: datetime) -> str:
    """Believes a message and keeps it; the caller answers.

    Args:
        session: The caller's transaction.
        content: The signed container.
        silo: Who brought it, authenticated by its courier key.
        now: The time.

    Returns:
        The round's id.

    Raises:
        Refused: `too_large`, `unknown_round`, `round_closed`, `wrong_silo`, `equivocation`,
            `too_late`, `out_of_order`, `wrong_upload_set`, or a code of `Setting.read` or
            `check_keys`.
    """
    if len(content) > MAX_MESSAGE_BYTES:
        raise Refused("too_large", f"A message has at most {MAX_MESSAGE_BYTES} bytes.")
    container = parse(content)
    model = _MODELS[container.payload_type]
    row = session.get(RoundRow, model.parse(container.payload).round_id)
    if row is None:
        raise Refused("unknown_round", "This consortium has no round of that id.")
    if row.state != "collecting":
        raise Refused("round_closed", f"Round {row.round_id} is {row.state}.")
    setting = setting_of(session, row)
    message = setting.read(model, content)
    if message.silo != silo:
        raise Refused("wrong_silo", f"The courier of {silo} brought a message of {message.silo}.")
    earlier = kept(session, row.round_id, message.kind, silo)
    if earlier is not None and earlier.content != content:
        raise Refused("equivocation", f"Silo {silo} has sent another message for this step.")
    if earlier is None:
        _check_step(session, setting, message, now)
        session.add(made(row.round_id, message.kind, silo, content, now))
    return row.round_id


def kept(session: Session, round_id: str, step: str, silo: str = "") -> MaskedRow | None:
    """Returns a silo's message, or what closed a step."""
    return session.scalars(
        select(MaskedRow).where(
            MaskedRow.round_id == round_id, MaskedRow.step == step, MaskedRow.silo == silo
        )
    ).first()


def made(
    round_id: str, step: str, silo: str, content: bytes, now: datetime, vector_sha256: str = ""
) -> MaskedRow:
    """Makes a row; the database numbers it."""
    return MaskedRow(
        round_id=round_id,
        step=step,
        silo=silo,
        content=content,
        vector_sha256=vector_sha256,
        taken=to_text(now),
    )


def _check_step(
    session: Session, setting: Setting, message: RoundKeys | Ack | Unmask, now: datetime
) -> None:
    terms, round_id = setting.terms, setting.manifest.round_id
    before, closed, ends = {
        "masked_keys": ("", "keys", terms.keys_by),
        "masked_ack": ("uploads", "acks", terms.acks_by),
        "masked_unmask": ("acks", "sum", terms.unmask_by),
    }[message.kind]
    check_open(ends, now, message.kind)
    if kept(session, round_id, closed) is not None:
        raise Refused("too_late", "This step of the round is over; wait for the next round.")
    handed_out = kept(session, round_id, before) if before else None
    if before and handed_out is None:
        raise Refused("out_of_order", "The round has not come to this step yet.")
    if isinstance(message, RoundKeys):
        check_keys(setting, message)
    u2 = sha256_bytes(handed_out.content) if handed_out is not None else ""
    if isinstance(message, Ack) and message.upload_set_sha256 != u2:
        raise Refused("wrong_upload_set", "This acknowledges another set of uploads.")
