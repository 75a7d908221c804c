"""The aggregator's rows. Every state is a row, every change a conditional update.

Moments are RFC 3339 texts in UTC (`agent.clock.to_text`), which sort as text.
"""

from sqlalchemy import ForeignKey, LargeBinary, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Collects the tables."""


class TokenRow(Base):
    """An enrolment token; used once a request with its nonce was answered.

    `request_keys` names the keys that used it and `response` is the answer, byte for byte: the
    same silo asking again after a lost answer gets it again.
    """

    __tablename__ = "tokens"
    nonce: Mapped[str] = mapped_column(primary_key=True)
    silo: Mapped[str]
    legal_entity: Mapped[str]
    issued: Mapped[str]
    expires: Mapped[str]
    request_keys: Mapped[str | None]
    response: Mapped[bytes | None] = mapped_column(LargeBinary)


class ApplicationRow(Base):
    """A silo that has used its token and waits until the officers sign a roster with it.

    It goes when a roster admits it, or when the operator rejects it.
    """

    __tablename__ = "applications"
    silo: Mapped[str] = mapped_column(primary_key=True)
    nonce: Mapped[str] = mapped_column(unique=True)
    legal_entity: Mapped[str]
    sign_key: Mapped[str] = mapped_column(unique=True)
    seal_key: Mapped[str] = mapped_column(unique=True)
    courier_key: Mapped[str] = mapped_column(unique=True)
    pq_sign_key: Mapped[str | None]
    reference_sha256: Mapped[str]
    asked: Mapped[str]


class RotationRow(Base):
    """A new key that a silo has asked for and that the officers have not put into a roster yet.

    `created` is the silo's own time: an older request that is brought again must not win.
    """

    __tablename__ = "rotations"
    silo: Mapped[str] = mapped_column(ForeignKey("members.silo"), primary_key=True)
    purpose: Mapped[str] = mapped_column(primary_key=True)
    new_key: Mapped[str] = mapped_column(unique=True)
    created: Mapped[str]


class MemberRow(Base):
    """A silo of the roster in force, as that roster says it."""

    __tablename__ = "members"
    silo: Mapped[str] = mapped_column(primary_key=True)
    legal_entity: Mapped[str]
    sign_key: Mapped[str] = mapped_column(unique=True)
    seal_key: Mapped[str] = mapped_column(unique=True)
    courier_key: Mapped[str] = mapped_column(unique=True)
    reference_sha256: Mapped[str]
    not_before: Mapped[str]
    expires: Mapped[str]
    revoked: Mapped[bool] = mapped_column(default=False)


class PublishedRow(Base):
    """One item of the feed, in order of publication.

    `round_id` is set for rounds: only their participants see them. `objects` is a JSON list of
    `{"sha256", "bytes"}`.
    """

    __tablename__ = "published"
    __table_args__ = ({"sqlite_autoincrement": True},)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(index=True)
    document: Mapped[bytes] = mapped_column(LargeBinary)
    payload_sha256: Mapped[str]
    round_id: Mapped[str | None]
    objects: Mapped[str]


class PlanRow(Base):
    """A signed plan.

    States: `running`, `finished` (all rounds done), `expired`, `stalled` (its quorum cannot be met
    any more, or bad updates spoilt a round too often).
    """

    __tablename__ = "plans"
    plan_id: Mapped[str] = mapped_column(primary_key=True)
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    payload_sha256: Mapped[str]
    state: Mapped[str]
    momentum_sha256: Mapped[str | None]


class RoundRow(Base):
    """One attempt at one round. States: `collecting`, `closed`, `aggregated`, `aborted`.

    `payload` is the signed manifest's. `destroyed` is when the sealing key and the blobs went.
    """

    __tablename__ = "rounds"
    __table_args__ = (UniqueConstraint("plan_id", "number", "attempt"),)
    round_id: Mapped[str] = mapped_column(primary_key=True)
    plan_id: Mapped[str] = mapped_column(ForeignKey("plans.plan_id"))
    number: Mapped[int]
    attempt: Mapped[int]
    state: Mapped[str]
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    result_sha256: Mapped[str | None]
    closed: Mapped[str | None]
    destroyed: Mapped[str | None]


class EnvelopeRow(Base):
    """An admitted envelope.

    States: `arriving`, `held` (whole, with a receipt), `counted`, `refused`, `discarded` (its
    round was aborted, or closed before all of it came). `held_bytes` is what was made durable and
    acknowledged; the file may be longer after a power cut and is cut back to it.
    """

    __tablename__ = "envelopes"
    # One update a silo, round, type and attempt: what makes double counting impossible.
    __table_args__ = (UniqueConstraint("round_id", "silo", "type", "attempt"),)
    envelope_id: Mapped[str] = mapped_column(primary_key=True)
    silo: Mapped[str]
    round_id: Mapped[str] = mapped_column(ForeignKey("rounds.round_id"), index=True)
    type: Mapped[str]
    attempt: Mapped[int]
    header: Mapped[bytes] = mapped_column(LargeBinary)
    blob_sha256: Mapped[str]
    blob_bytes: Mapped[int]
    held_bytes: Mapped[int]
    state: Mapped[str]


class MaskedRow(Base):
    """A message or a set of a masked round, in the order in which they were taken.

    `step` is `masked_keys`, `masked_upload` (the signed upload and its sealed shares, whose vector
    is an object by hash), `masked_ack` or `masked_unmask` of a silo; or `keys`, `uploads`, `acks`
    or `sum`, which closed a step and have no silo.
    """

    __tablename__ = "masked"
    __table_args__ = (
        UniqueConstraint("round_id", "step", "silo"),
        {"sqlite_autoincrement": True},
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    round_id: Mapped[str] = mapped_column(ForeignKey("rounds.round_id"), index=True)
    step: Mapped[str]
    silo: Mapped[str]
    content: Mapped[bytes] = mapped_column(LargeBinary)
    vector_sha256: Mapped[str]
    taken: Mapped[str]


class AnswerRow(Base):
    """The aggregator's log of signed receipts and refusals, in order.

    `silo` is who asked, authenticated by its courier key. `header` keeps a refused header as
    evidence: two signed headers for one slot prove equivocation.
    """

    __tablename__ = "answers"
    __table_args__ = (UniqueConstraint("envelope_id", "silo", "kind"),)
    log_index: Mapped[int] = mapped_column(primary_key=True)
    envelope_id: Mapped[str]
    silo: Mapped[str]
    round_id: Mapped[str | None] = mapped_column(index=True)
    kind: Mapped[str]
    code: Mapped[str]
    document: Mapped[bytes] = mapped_column(LargeBinary)
    header: Mapped[bytes | None] = mapped_column(LargeBinary)
    answered: Mapped[str]


class StatementRow(Base):
    """A statement of a silo: that it declines, or a root of its egress log.

    A row of kind `egress_restart` is the operator's: the next root may go on from any other.

    `document` is the signed container. `round_id` is empty where a whole plan is declined; `codes`
    is a JSON list. `size` and `root` are those of an egress log, and None for the others.
    """

    __tablename__ = "statements"
    statement_id: Mapped[str] = mapped_column(primary_key=True)
    log_index: Mapped[int] = mapped_column(unique=True)
    silo: Mapped[str] = mapped_column(index=True)
    kind: Mapped[str]
    document: Mapped[bytes] = mapped_column(LargeBinary)
    plan_id: Mapped[str | None]
    round_id: Mapped[str | None]
    codes: Mapped[str | None]
    size: Mapped[int | None]
    root: Mapped[str | None]
    received: Mapped[str]


class ReleaseRow(Base):
    """A published release; `round_id` is the last round before it.

    A round's own result is published in the transaction that ends the round, so never twice; an
    operator may publish more weights after it.
    """

    __tablename__ = "releases"
    version: Mapped[int] = mapped_column(primary_key=True)
    release_id: Mapped[str] = mapped_column(unique=True)
    round_id: Mapped[str] = mapped_column(ForeignKey("rounds.round_id"))
    weights_sha256: Mapped[str]


class MetadataRow(Base):
    """A file of the release repository; a role's newest version is the one in force."""

    __tablename__ = "repository"
    role: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class VerdictRow(Base):
    """A silo's signed word on a release; the newest of a silo counts.

    `heads` is a JSON object of outcomes by task, empty where the silo tells none.
    """

    __tablename__ = "verdicts"
    envelope_id: Mapped[str] = mapped_column(primary_key=True)
    silo: Mapped[str]
    release_id: Mapped[str] = mapped_column(index=True)
    outcome: Mapped[str]
    reason: Mapped[str | None]
    heads: Mapped[str]
    created: Mapped[str]
    document: Mapped[bytes] = mapped_column(LargeBinary)


class NonceRow(Base):
    """A request's nonce, kept for as long as the request's time would be accepted."""

    __tablename__ = "nonces"
    silo: Mapped[str] = mapped_column(primary_key=True)
    nonce: Mapped[str] = mapped_column(primary_key=True)
    seen: Mapped[str] = mapped_column(index=True)
