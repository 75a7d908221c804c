"""Masked rounds at a silo: what `agent.wire.masking.silo` decides, kept, sent and looked after.

    trained                        keys are said
    handout of keys                the update is masked, and sealed like any other
    handout of uploads             they are acknowledged
    handout of acknowledgements    shares are released

Each step is one transaction: its row, its secret, and the statement or envelope that may leave once
it is committed. Secrets go when their round is over. A refusal ends this silo's part in the round.
"""

import base64
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent import log
from agent.boxes import Inbox, read_regular
from agent.errors import Refused
from agent.files import clear_drafts, sha256_bytes, write_atomic
from agent.keeper.orders import Result, RoundOrder
from agent.keeper.statements import Statements
from agent.keeper.training import Rounds
from agent.key_file import Held
from agent.ledger.book import Ledger
from agent.policy.rules import Policy
from agent.wire.document import Document, Sha256
from agent.wire.documents import Plan, RoundManifest
from agent.wire.masking.carriage import Handout, Part, SealedShares, pack_upload
from agent.wire.masking.history import Past
from agent.wire.masking.layout import Update
from agent.wire.masking.setting import Setting, Site
from agent.wire.masking.silo import Row, SiloRound, Step
from agent.wire.masking.terms import LEAST_N_MIN
from agent.wire.network import round_shapes
from agent.wire.signed import Signer, parse
from agent.wire.trusted import Trusted
from agent.wire.update import unpack

_log = logging.getLogger(__name__)
_ROW, _SECRET, _RESULT, _PAST = "masked", "masked secret", "masked result", "masked past"
_STEPS: tuple[Step, ...] = ("keys", "upload", "ack", "unmask")
# Which step answers which set.
_ANSWERED: tuple[tuple[Part, Step], ...] = (
    ("keys", "upload"),
    ("uploads", "ack"),
    ("acks", "unmask"),
)
_SHARES_BYTES = 4 << 20


class _KeptRow(Document):
    """A `Row` without its secret."""

    manifest_sha256: Sha256
    message: str
    seen: str


@dataclass(frozen=True, slots=True)
class Own:
    """What is this silo's own.

    Attributes:
        silo: Its name.
        signer: Its signing key.
        folder: Where an update waits, unmasked, between its training and the set of keys.
    """

    silo: str
    signer: Signer
    folder: Path


class Masking:
    """Takes part in masked rounds.

    Args:
        ledger: Where each step is a row.
        trusted: The plans and the roster that are believed.
        rounds: Seals and books what leaves in an envelope.
        statements: Signs and books what leaves without one.
        inbox: Where sealed shares arrive as objects.
        own: This silo's.
    """

    def __init__(
        self,
        ledger: Ledger,
        trusted: Trusted,
        rounds: Rounds,
        statements: Statements,
        inbox: Inbox,
        own: Own,
    ) -> None:
        self._ledger = ledger
        self._trusted = trusted
        self._rounds = rounds
        self._statements = statements
        self._inbox = inbox
        self._own = own

    def begin(
        self, order: RoundOrder, result: Result, payload: bytes, policy: Policy, now: datetime
    ) -> None:
        """Says this silo's keys, now that it knows what it has; call it in the job's transaction.

        Raises:
            Refused: As `Rounds.check`, `SiloRound` and `SiloRound.keys`.
        """
        manifest, plan = order.manifest, order.plan
        item = self._rounds.check(order, result)
        write_atomic(self._waiting(manifest.round_id), payload, mode=0o600)
        update = _update(payload, plan, manifest.number)
        row = self._machine(manifest, plan, policy).keys(update.weight, now)
        self._ledger.put_document(
            _RESULT, manifest.round_id, result.model_dump_json().encode(), now
        )
        self._keep(row, now)
        self._statements.say_message(row.message, "masked_keys", manifest.round_id, now)
        self._ledger.move(item, "trained", now)

    def advance(self, policy: Policy, now: datetime, *, approval: bool) -> None:
        """Does the next step of every masked round for which its set has come.

        Args:
            policy: The site's.
            now: The time.
            approval: A person must approve an upload before it leaves.
        """
        for item in self._ledger.find("round", "trained"):
            manifest = RoundManifest.model_validate_json(str(item.detail["manifest"]))
            if manifest.masking is None or self._trusted.roster is None:
                continue
            try:
                with self._ledger.transaction():
                    self._step(manifest, policy, now, approval=approval)
            except Refused as refusal:
                log.trouble(_log, "masked round left", round=item.id, code=refusal.code)
                self._ledger.move(item, "closed", now, str(refusal))
        self._forget()

    def _step(
        self, manifest: RoundManifest, policy: Policy, now: datetime, *, approval: bool
    ) -> None:
        plan = self._plan(manifest)
        machine = self._machine(manifest, plan, policy)
        part = next((part for part, step in _ANSWERED if machine.row(step) is None), None)
        handout = self._handout(manifest.round_id, part) if part is not None else None
        if handout is None:
            return
        match part:
            case "keys":
                self._upload(machine, manifest, handout, now, approval=approval)
            case "uploads":
                row = machine.ack(handout.set_bytes, self._sealed(handout), self._past(), now)
                self._say(row, "masked_ack", now)
            case _:
                row = machine.unmask(handout.set_bytes, self._past(), now)
                self._ledger.put_document(_PAST, row.round_id, row.seen, now)
                self._say(row, "masked_unmask", now)

    def _upload(
        self,
        machine: SiloRound,
        manifest: RoundManifest,
        handout: Handout,
        now: datetime,
        *,
        approval: bool,
    ) -> None:
        plan = self._plan(manifest)
        payload = self._waiting(manifest.round_id).read_bytes()
        update = _update(payload, plan, manifest.number)
        row, masked = machine.upload(handout.set_bytes, update, now)
        payload = pack_upload(row.message, masked.sealed, masked.vector.tobytes())
        kept = self._ledger.document(_RESULT, manifest.round_id) or b""
        result = Result.model_validate_json(kept)
        self._keep(row, now)
        self._rounds.send(manifest, plan, result, payload, now, approval=approval)
        log.event(_log, "update masked", round=manifest.round_id, cut=masked.cut)

    def _plan(self, manifest: RoundManifest) -> Plan:
        # One that was not believed again at the start ends its round, and never the keeper.
        if manifest.plan_id not in self._trusted.plans:
            raise Refused("unknown_plan", f"Plan {manifest.plan_id} is not believed any more.")
        return self._trusted.plans[manifest.plan_id][0]

    def _machine(self, manifest: RoundManifest, plan: Plan, policy: Policy) -> SiloRound:
        roster = self._trusted.roster
        if roster is None:
            raise Refused("no_roster", "No roster is trusted; enrol again.")
        signed = self._ledger.document("round", manifest.round_id) or b""
        sha256 = sha256_bytes(parse(signed).payload)
        setting = Setting(manifest, sha256, plan, roster, self._trusted.roster_sha256)
        site = site_of(policy)
        rows = self._rows(manifest.round_id)
        return SiloRound(setting, self._own.silo, site, self._own.signer, rows)

    def _rows(self, round_id: str) -> Iterable[Row]:
        for step in _STEPS:
            content = self._ledger.document(_ROW, f"{round_id}/{step}")
            if content is not None:
                kept = _KeptRow.parse(content)
                secret = self._ledger.document(_SECRET, f"{round_id}/{step}") or b""
                yield Row(
                    round_id,
                    step,
                    kept.manifest_sha256,
                    base64.b64decode(kept.message),
                    base64.b64decode(kept.seen),
                    Held("masking", secret),
                )

    def _say(self, row: Row, kind: str, now: datetime) -> None:
        self._keep(row, now)
        self._statements.say_message(row.message, kind, row.round_id, now)

    def _keep(self, row: Row, now: datetime) -> None:
        kept = _KeptRow(
            manifest_sha256=row.manifest_sha256,
            message=base64.b64encode(row.message).decode("ascii"),
            seen=base64.b64encode(row.seen).decode("ascii"),
        )
        name = f"{row.round_id}/{row.step}"
        self._ledger.put_document(_ROW, name, kept.to_bytes(), now)
        self._ledger.put_document(_SECRET, name, row.secret.raw, now)

    def _past(self) -> list[Past]:
        return [Past.parse(content) for _, content in self._ledger.documents(_PAST)]

    def _handout(self, round_id: str, part: Part) -> Handout | None:
        content = self._ledger.document("handout", f"{round_id}/{part}")
        return None if content is None else Handout.parse(parse(content).payload)

    def _sealed(self, handout: Handout) -> dict[str, bytes]:
        sha256 = handout.shares.get(self._own.silo, "")
        try:
            content = read_regular(self._inbox.object_path(sha256), _SHARES_BYTES)
        except OSError as error:
            raise Refused("lost_shares", "The shares for this silo did not arrive.") from error
        if sha256_bytes(content) != sha256:
            raise Refused("bad_shares", "The shares for this silo arrived altered.")
        return SealedShares.parse(content).opened()

    def _waiting(self, round_id: str) -> Path:
        return self._own.folder / f"masked-{round_id}.safetensors"

    def _forget(self) -> None:
        """Destroys the secrets of rounds that are over, and updates that were masked."""
        running = {item.id for item in self._ledger.find("round", "trained")}
        for name, _ in self._ledger.documents(_SECRET):
            if name.partition("/")[0] not in running:
                self._ledger.drop_document(_SECRET, name)
        # The keeper alone writes here, and not now: each draft is of one that was killed.
        clear_drafts(self._own.folder, "masked-*.safetensors")
        for path in self._own.folder.glob("masked-*.safetensors"):
            round_id = path.name.removeprefix("masked-").removesuffix(".safetensors")
            masked = self._ledger.document(_ROW, f"{round_id}/upload") is not None
            if masked or round_id not in running:
                path.unlink(missing_ok=True)


def kept_message(ledger: Ledger, round_id: str, step: Step) -> str:
    """Returns what this silo signed for a step, in base64; empty where it never came to it."""
    content = ledger.document(_ROW, f"{round_id}/{step}")
    return "" if content is None else _KeptRow.parse(content).message


def kept_upload(ledger: Ledger, round_id: str) -> bytes | None:
    """Returns the signed upload that this silo made for a round, or None."""
    message = kept_message(ledger, round_id, "upload")
    return base64.b64decode(message) if message else None


def site_of(policy: Policy) -> Site:
    """Returns what a policy says of sums: how many silos must be in one, and who counts."""
    counted = policy.peers.count
    n_min = max(policy.peers.min_participants, policy.privacy.n_min, LEAST_N_MIN)
    return Site(n_min, None if counted == "roster" else frozenset(counted))


def _update(payload: bytes, plan: Plan, number: int) -> Update:
    shapes = round_shapes(plan.network, plan.features, plan.endpoints, number)
    products, weight = unpack(payload, shapes, plan.recipe.weight_cap)
    return Update(products, weight)
