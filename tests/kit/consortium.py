"""A consortium in memory with real keys: it signs whatever a test wants a silo to read."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.boxes import Inbox
from agent.clock import to_text
from agent.config import Paths
from agent.files import sha256_bytes
from agent.keys import SigningIdentity, make_identity, new_sealing, new_signing
from agent.wire.documents import (
    AssayRule,
    Catalogue,
    Document,
    Endpoint,
    Enrolment,
    FeatureSpec,
    Member,
    NetworkSpec,
    ObjectRef,
    Plan,
    Privacy,
    Receipt,
    Refusal,
    ReleaseManifest,
    RoleKeys,
    Roster,
    RoundManifest,
    Scaling,
    TrustRoot,
)
from agent.wire.network import expected_shapes, initial_weights
from agent.wire.repository import GOLDEN, MANIFEST, WEIGHTS
from agent.wire.signed import key_id, sign
from agent.wire.update import encode
from tests.kit.recipes import recipe
from tests.kit.releases import Releases, reference

NAME, SILO = "kit", "silo-a"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
REFERENCE = "ab" * 32
FEATURES = FeatureSpec(
    version="onggi-fast-1",
    radius=2,
    hash_size=256,
    descriptors=(Scaling(name="exactmw", centre=370.0, spread=110.0),),
    clip=5.0,
)
NETWORK = NetworkSpec(hidden=(8,), dropout=0.0, seed=7)
HEADS = ("logbb", "solubility")
RECIPE = recipe(batch_size=16, finetune_epochs=1)
ENDPOINTS = (
    Endpoint(
        id="logbb",
        name="logBB",
        group="D",
        kind="regression",
        low=-5.0,
        high=5.0,
        rules=(AssayRule(test_type="logBB", subject="*"),),
    ),
    Endpoint(
        id="solubility",
        name="Solubility",
        group="A",
        kind="regression",
        unit="uM",
        transform="neg_log10_molar",
        low=1e-7,
        high=1e8,
        rules=(AssayRule(test="Solubility"),),
    ),
)

Changes = Mapping[str, object]


class Consortium:
    """Signs the documents of one consortium.

    Args:
        now: Everything is valid from here for some days.
        reference: What plans say that the reference molecules' features hash to.
    """

    def __init__(self, now: datetime = START, reference: str = REFERENCE) -> None:
        self.now = now
        self.reference = reference
        self.offline = new_signing("root")
        self.repository = Releases(now)
        self.aggregator = new_signing("aggregator")
        self.round_key = new_sealing("round")
        self.root = self._sign("root", self._root(), self.offline)
        self.root_sha256 = sha256_bytes(self._root().to_bytes())
        self.members: tuple[Member, ...] = ()
        self.catalogue = Catalogue(consortium=NAME, version=1, endpoints=ENDPOINTS)
        self.base = encode(initial_weights(NETWORK, FEATURES, HEADS))
        self.shapes = expected_shapes(NETWORK, FEATURES, HEADS)

    def _root(self) -> TrustRoot:
        roles = dict.fromkeys(("root", "roster", "plan"), self.offline)
        roles |= {"aggregator": self.aggregator}
        return TrustRoot(
            consortium=NAME,
            version=1,
            roles={
                role: RoleKeys(threshold=1, keys={key_id(key.public_hex): key.public_hex})
                for role, key in roles.items()
            },
            release_root_sha256=self.repository.root_sha256,
            expires=self.at(days=3650),
        )

    def next_root(self, signer: SigningIdentity | None = None, **changes: object) -> bytes:
        """Returns the root after the first one, signed by the same key."""
        root = self._root().model_copy(update={"version": 2, **changes})
        return self._sign("root", root, signer or self.offline)

    def at(self, days: float) -> str:
        return to_text(self.now + timedelta(days=days))

    def _sign(self, kind: str, document: Document, signer: SigningIdentity) -> bytes:
        return sign(kind, document.to_bytes(), signer)

    def roster(
        self, version: int = 1, signer: SigningIdentity | None = None, **changes: object
    ) -> bytes:
        roster = Roster(
            consortium=NAME,
            version=version,
            issued=self.at(0),
            expires=self.at(365),
            members=self.members,
        )
        return self._sign("roster", roster.model_copy(update=changes), signer or self.offline)

    def signed_catalogue(self, version: int = 1, **changes: object) -> bytes:
        catalogue = self.catalogue.model_copy(update={"version": version, **changes})
        return self._sign("catalogue", catalogue, self.offline)

    def plan_document(self, plan_id: str = "p1", **changes: object) -> Plan:
        plan = Plan(
            consortium=NAME,
            plan_id=plan_id,
            version=2,
            catalogue_sha256=sha256_bytes(self.catalogue.to_bytes()),
            endpoints=HEADS,
            features=FEATURES,
            reference_sha256=self.reference,
            network=NETWORK,
            recipe=RECIPE,
            privacy=Privacy(),
            participants=(SILO, "silo-b"),
            quorum=1,
            round_deadline_s=900.0,
            fold_key="00" * 32,
            not_before=self.at(0),
            expires=self.at(30),
        )
        return plan.model_copy(update=changes)

    def plan(
        self, plan_id: str = "p1", signer: SigningIdentity | None = None, **changes: object
    ) -> bytes:
        return self._sign("plan", self.plan_document(plan_id, **changes), signer or self.offline)

    def round_document(self, number: int = 1, **changes: object) -> RoundManifest:
        manifest = RoundManifest(
            consortium=NAME,
            round_id=f"p1.r{number}.a1",
            plan_id="p1",
            plan_sha256=sha256_bytes(self.plan_document().to_bytes()),
            number=number,
            attempt=1,
            base_sha256=sha256_bytes(self.base),
            base_bytes=len(self.base),
            seal_key=self.round_key.public_hex,
            participants=(SILO,),
            opens=self.at(0),
            deadline=self.at(1),
        )
        return manifest.model_copy(update=changes)

    def round(
        self, number: int = 1, signer: SigningIdentity | None = None, **changes: object
    ) -> bytes:
        return self._sign(
            "round", self.round_document(number, **changes), signer or self.aggregator
        )

    def release_document(self, version: int = 1, **changes: object) -> ReleaseManifest:
        manifest = ReleaseManifest(
            consortium=NAME,
            release_id=f"r{version}",
            version=version,
            plan_id="p1",
            plan_sha256=sha256_bytes(self.plan_document().to_bytes()),
            round_id=f"p1.r{version}.a1",
            weights_sha256=sha256_bytes(self.base),
            weights_bytes=len(self.base),
            heads=HEADS,
            contributors=1,
            created=self.at(0),
            expires=self.at(30),
        )
        return manifest.model_copy(update=changes)

    def release(self, version: int = 1, **changes: object) -> tuple[bytes, bytes]:
        """Lists a release as stable; returns the repository's state and the manifest."""
        document = self.release_document(version, **changes)
        manifest = document.to_bytes()
        weights = ObjectRef(sha256=document.weights_sha256, bytes=document.weights_bytes)
        files = {MANIFEST: reference(manifest), WEIGHTS: weights}
        if document.golden_sha256 is not None:
            named = ObjectRef(sha256=document.golden_sha256, bytes=document.golden_bytes)
            files[GOLDEN] = named
        self.repository.list(document.release_id, document.version, files)
        return self.repository.state().to_bytes(), manifest

    def receipt(self, envelope_id: str, signer: SigningIdentity | None = None) -> bytes:
        receipt = Receipt(
            consortium=NAME,
            silo=SILO,
            envelope_id=envelope_id,
            round_id="p1.r1.a1",
            log_index=1,
            received=self.at(0),
        )
        return self._sign("receipt", receipt, signer or self.aggregator)

    def refusal(self, envelope_id: str, reason: str = "The round is closed.") -> bytes:
        refusal = Refusal(
            consortium=NAME,
            silo=SILO,
            envelope_id=envelope_id,
            code="round_closed",
            reason=reason,
            refused=self.at(0),
        )
        return self._sign("refusal", refusal, self.aggregator)

    def enrol(self, paths: Paths) -> None:
        """Writes what an enrolment leaves in a silo's state."""
        paths.create()
        identity = make_identity(paths.keys, paths.courier)
        self.members = (
            Member(
                silo=SILO,
                legal_entity="Company",
                sign_key=identity.sign.public_hex,
                seal_key=identity.seal.public_hex,
                courier_key=identity.courier.public_hex,
                pq_sign_key=identity.post_quantum.public_hex if identity.post_quantum else None,
                not_before=self.at(-1),
                expires=self.at(365),
            ),
        )
        (paths.trust / "root.json").write_bytes(self.root)
        (paths.trust / "roster.json").write_bytes(self.roster())
        (paths.trust / "catalogue.json").write_bytes(self.signed_catalogue())
        note = Enrolment(
            silo=SILO,
            consortium=NAME,
            url="http://127.0.0.1:1",
            root_sha256=self.root_sha256,
            enrolled=self.at(0),
        )
        (paths.trust / "enrolment.json").write_bytes(note.to_bytes())


class Courier:
    """A test as the courier: it puts letters and objects into a silo's inbox."""

    def __init__(self, folder: Path) -> None:
        self.inbox = Inbox(folder)
        self.number = 0

    def bring(self, kind: str, content: bytes, *objects: bytes) -> None:
        for item in objects:
            self.inbox.object_path(sha256_bytes(item)).write_bytes(item)
        self.number += 1
        self.inbox.put_published(self.number, kind, content)

    def bring_release(self, release: tuple[bytes, bytes], *objects: bytes) -> None:
        """Brings what `Consortium.release` returned."""
        state, manifest = release
        self.bring("stable", state, manifest, *objects)
