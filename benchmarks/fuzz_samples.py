"""Sound samples of everything that the protocol parses, and who signs each."""

from datetime import UTC, datetime
from io import BytesIO

import numpy as np

from agent.clock import to_text
from agent.files import sha256_bytes
from agent.keys import SigningIdentity, new_sealing, new_signing
from agent.wire.carrying import FeedRequest
from agent.wire.documents import (
    Catalogue,
    Document,
    Endpoint,
    EnrolmentRequest,
    EnrolmentResponse,
    EnrolmentToken,
    FeatureSpec,
    Feed,
    FeedItem,
    Member,
    NetworkSpec,
    ObjectRef,
    Plan,
    Privacy,
    Receipt,
    Recipe,
    Refusal,
    ReleaseManifest,
    RoleKeys,
    Roster,
    RoundManifest,
    Scaling,
    TrustRoot,
    UpdateCore,
)
from agent.wire.envelope import seal
from agent.wire.signed import key_id, sign
from agent.wire.statements import Declined, EgressRoot
from agent.wire.update import pack

NOW = datetime(2026, 6, 1, tzinfo=UTC)
_LATER, _AT = "2027-01-01T00:00:00Z", to_text(NOW)
_HASH, _NAME = "ab" * 32, "fuzz"
SHAPES = {"trunk.a": (4, 8), "head.logd.bias": (1,)}


class Samples:
    """One of each, with the keys that signed them.

    Attributes:
        signer: Signs for every role, and for the one silo.
        recipient: The round's sealing key.
        documents: Payloads by kind.
        header, blob: An envelope.
    """

    def __init__(self) -> None:
        self.signer: SigningIdentity = new_signing("sign")
        self.recipient = new_sealing("round")
        public = self.signer.public_hex
        self.keys = {key_id(public): public}
        self.catalogue = Catalogue(
            consortium=_NAME,
            version=1,
            endpoints=(Endpoint(id="logd", name="logD", group="P", kind="regression"),),
        )
        self.plan = self._plan()
        self.roster = self._roster()
        self.documents: dict[str, Document] = {**self._published(), **self._said()}
        sink = BytesIO()
        update = {"trunk.a": np.ones((4, 8), np.float32), "head.logd.bias": np.ones(1, np.float32)}
        self.update = pack(update, {"trunk": 2.0, "head.logd": 1.0})
        self.core = self._core()
        key = self.recipient.public_hex
        self.header = seal(self.update, self.core, key, self.signer, sink)
        self.blob = sink.getvalue()

    def _published(self) -> dict[str, Document]:
        return {
            "root": self._root(),
            "roster": self.roster,
            "catalogue": self.catalogue,
            "plan": self.plan,
            "round": self._round(),
            "release": self._release(),
            "receipt": Receipt(
                consortium=_NAME,
                silo="a",
                envelope_id=_HASH,
                round_id="p.r1.a1",
                log_index=1,
                received=_AT,
            ),
            "refusal": Refusal(
                consortium=_NAME,
                silo="a",
                envelope_id=_HASH,
                code="round_closed",
                reason="It is closed.",
                refused=_AT,
            ),
        }

    def _said(self) -> dict[str, Document]:
        return {
            "declined": Declined(
                consortium=_NAME,
                silo="a",
                plan_id="p",
                plan_sha256=_HASH,
                codes=("network_too_large",),
                created=_AT,
            ),
            "egress_root": EgressRoot(
                consortium=_NAME,
                silo="a",
                size=1,
                root=_HASH,
                after_size=0,
                after_root=_HASH,
                consistency=(_HASH,),
                created=_AT,
            ),
            "enrolment": self._enrolment(),
            "feed_request": FeedRequest(consortium=_NAME, silo="a", after=3, created=_AT),
        }

    def signed(self, kind: str) -> bytes:
        """Returns a sound container of this kind."""
        return sign(kind, self.documents[kind].to_bytes(), self.signer)

    def token(self) -> EnrolmentToken:
        """Returns an enrolment token."""
        return EnrolmentToken(
            silo="a",
            url="https://aggregator.example:8443",
            expires=_LATER,
            tls_sha256=_HASH,
            root_sha256=_HASH,
            nonce=_HASH,
        )

    def feed(self) -> Feed:
        """Returns an answer of the feed."""
        objects = (ObjectRef(sha256=_HASH, bytes=9),)
        item = FeedItem(number=1, kind="plan", document="c2lnbmVk", objects=objects)
        return Feed(items=(item,), last=2)

    def response(self) -> EnrolmentResponse:
        """Returns what a silo is answered to its enrolment."""
        return EnrolmentResponse(root="cg==", roster="cg==", catalogue="cg==")

    def _root(self) -> TrustRoot:
        roles = {
            role: RoleKeys(threshold=1, keys=self.keys)
            for role in ("root", "roster", "plan", "release", "aggregator")
        }
        return TrustRoot(consortium=_NAME, version=1, roles=roles, expires=_LATER)

    def _roster(self) -> Roster:
        member = Member(
            silo="a",
            legal_entity="Company",
            sign_key=self.signer.public_hex,
            seal_key=_HASH,
            courier_key=self.signer.public_hex,
            not_before="2026-01-01T00:00:00Z",
            expires=_LATER,
        )
        return Roster(consortium=_NAME, version=3, issued=_AT, expires=_LATER, members=(member,))

    def _plan(self) -> Plan:
        recipe = Recipe(
            rounds=2,
            local_epochs=1,
            batch_size=16,
            learning_rate=0.01,
            weight_decay=0.0,
            weighting="n",
            server_momentum=0.0,
            release_every=1,
            finetune_epochs=1,
        )
        scaling = Scaling(name="exactmw", centre=370.0, spread=110.0)
        return Plan(
            consortium=_NAME,
            plan_id="p",
            version=2,
            catalogue_sha256=sha256_bytes(self.catalogue.to_bytes()),
            endpoints=("logd",),
            features=FeatureSpec(
                version="onggi-fast-1", radius=2, hash_size=256, descriptors=(scaling,), clip=5.0
            ),
            reference_sha256=_HASH,
            network=NetworkSpec(hidden=(8,), dropout=0.0, seed=7),
            recipe=recipe,
            privacy=Privacy(),
            participants=("a",),
            quorum=1,
            round_deadline_s=900.0,
            fold_key=_HASH,
            not_before="2026-01-01T00:00:00Z",
            expires=_LATER,
        )

    def _round(self) -> RoundManifest:
        return RoundManifest(
            consortium=_NAME,
            round_id="p.r1.a1",
            plan_id="p",
            plan_sha256=sha256_bytes(self.plan.to_bytes()),
            number=1,
            attempt=1,
            base_sha256=_HASH,
            base_bytes=9,
            seal_key=self.recipient.public_hex,
            participants=("a",),
            opens=_AT,
            deadline=_LATER,
        )

    def _release(self) -> ReleaseManifest:
        return ReleaseManifest(
            consortium=_NAME,
            release_id="r1",
            version=4,
            plan_id="p",
            plan_sha256=sha256_bytes(self.plan.to_bytes()),
            round_id="p.r1.a1",
            weights_sha256=_HASH,
            weights_bytes=9,
            heads=("logd",),
            contributors=1,
            created=_AT,
            expires=_LATER,
        )

    def _enrolment(self) -> EnrolmentRequest:
        return EnrolmentRequest(
            silo="a",
            legal_entity="Company",
            nonce=_HASH,
            sign_key=self.signer.public_hex,
            seal_key=_HASH,
            courier_key=_HASH,
            reference_sha256=_HASH,
            agent_version="0",
            created=_AT,
        )

    def _core(self) -> UpdateCore:
        return UpdateCore(
            consortium=_NAME,
            silo="a",
            sequence=1,
            roster_version=3,
            roster_sha256=_HASH,
            plan_id="p",
            round_id="p.r1.a1",
            attempt=1,
            base_sha256=_HASH,
            feature_sha256=_HASH,
            reference_sha256=_HASH,
            agent_version="0",
            created=_AT,
            expires=_LATER,
            recipient=key_id(self.recipient.public_hex),
            commitment=_HASH,
            privacy=Privacy(),
            egress_head=_HASH,
        )
