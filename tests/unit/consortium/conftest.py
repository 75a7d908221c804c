"""A consortium on disk with silos that seal real envelopes, at a time that tests set."""

import io
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from sqlalchemy import select

from agent.clock import to_text
from agent.files import sha256_bytes
from agent.keys import (
    PostQuantumIdentity,
    SealingIdentity,
    SigningIdentity,
    new_post_quantum,
    new_sealing,
    new_signing,
)
from agent.wire.documents import (
    EnrolmentRequest,
    FeatureSpec,
    NetworkSpec,
    Plan,
    Privacy,
    RoundManifest,
    Scaling,
    UpdateCore,
)
from agent.wire.envelope import seal
from agent.wire.hybrid import Hybrid
from agent.wire.network import expected_shapes
from agent.wire.recipe import Aggregation
from agent.wire.signed import key_id, sign
from agent.wire.update import Weights, group_of, pack
from consortium.answers import Answer, Registrar
from consortium.engine import Engine
from consortium.enrol import Enrolment, issue_token, make_token
from consortium.envelopes import Desk
from consortium.folder import Folder, Settings, Signers, load_officers, load_signers
from consortium.founding import found, root_sha256
from consortium.issuing import propose_plan, propose_roster, sign_and_publish
from consortium.plans import Draft, complete
from consortium.rosters import Changes
from consortium.store import Store, latest_round
from consortium.tables import EnvelopeRow
from tests.kit.recipes import recipe

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


@dataclass
class Silo:
    """A silo's keys."""

    name: str
    sign: SigningIdentity = field(default_factory=lambda: new_signing("sign"))
    seal: SealingIdentity = field(default_factory=lambda: new_sealing("seal"))
    courier: SigningIdentity = field(default_factory=lambda: new_signing("courier"))
    post_quantum: PostQuantumIdentity | None = field(default_factory=new_post_quantum)


@dataclass(frozen=True)
class Sealed:
    """A sealed envelope."""

    envelope_id: str
    header: bytes
    blob: bytes


class House:
    """One aggregator, its silos, and the time."""

    def __init__(self, root: Path) -> None:
        self.now = START
        self.settings = Settings(consortium="demo", host="127.0.0.1", port=8443, tls=False)
        self.folder = Folder(root)
        if not root.exists():
            found(root, self.settings, self.now)
        self.signers: Signers = load_signers(self.folder)
        self.officer_keys = sorted(self.folder.offline.glob("officer-*.key"))
        self.officers = load_officers(self.officer_keys)
        self.silos: dict[str, Silo] = {}
        self.start()

    def start(self) -> None:
        registrar = Registrar("demo", self.signers.aggregator)
        self.store = Store(self.folder.database)
        self.desk = Desk(self.store, self.folder.blobs, "demo", registrar)
        self.engine = Engine(self.store, self.folder, self.signers, registrar)
        self.enrolment = Enrolment(self.store, self.settings)

    def restart(self) -> None:
        """What a kill leaves: the disk, and nothing else."""
        self.store.close()
        self.start()

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def tick(self) -> bool:
        return self.engine.tick(self.now)

    def settle(self) -> None:
        while self.tick():
            self.restart()

    def token(self, name: str, hours: float = 1.0) -> str:
        expires = self.now + timedelta(hours=hours)
        token = make_token(name, self.settings, root_sha256(self.folder), "", expires)
        with self.store.writing() as session:
            issue_token(session, token, "", self.now)
        return token.nonce

    def request(self, silo: Silo, nonce: str, reference: str = REFERENCE) -> bytes:
        request = EnrolmentRequest(
            silo=silo.name,
            legal_entity="Company",
            nonce=nonce,
            sign_key=silo.sign.public_hex,
            seal_key=silo.seal.public_hex,
            courier_key=silo.courier.public_hex,
            pq_sign_key=silo.post_quantum.public_hex if silo.post_quantum else None,
            reference_sha256=reference,
            agent_version="0",
            created=to_text(self.now),
        )
        return sign("enrolment", request.to_bytes(), silo.sign)

    def resign(self, payload: bytes, signer: SigningIdentity) -> bytes:
        return sign("enrolment", payload, signer)

    def change(self, changes: Changes) -> None:
        """Lets two of the three officers sign the next roster, and publishes it."""
        with self.store.writing() as session:
            proposal = propose_roster(session, self.folder, changes, self.now)
            sign_and_publish(session, self.folder, proposal, self.officers[:2], self.now)

    def enrol(self, *names: str) -> None:
        for name in names:
            silo = Silo(name)
            self.enrolment.enrol(self.request(silo, self.token(name)), self.now)
            self.change(Changes(admit=(name,)))
            self.silos[name] = silo

    def plan(
        self,
        rounds: int = 2,
        quorum: int = 2,
        release_every: int = 1,
        momentum: float = 0.0,
        weighting: Literal["uniform", "sqrt_n", "n"] = "n",
        optimizer: Literal["momentum", "adam"] = "momentum",
        profile: Literal["classic", "hybrid"] = "classic",
        members: int = 1,
        aggregate: Aggregation = "mean",
    ) -> Plan:
        asked = recipe(
            rounds=rounds,
            weighting=weighting,
            weight_cap=100.0,
            server_momentum=momentum,
            optimizer=optimizer,
            aggregate=aggregate,
            release_every=release_every,
        )
        draft = Draft(
            plan_id="p1",
            endpoints=("logd", "solubility"),
            features=FEATURES,
            network=NETWORK.model_copy(update={"members": members}),
            recipe=asked,
            quorum=quorum,
            round_deadline_s=100.0,
            seal_profile=profile,
        )
        return self.publish_plan(draft)

    def publish_plan(self, draft: Draft) -> Plan:
        with self.store.writing() as session:
            plan = complete(session, draft, self.settings, self.now)
            proposal = propose_plan(session, self.folder, plan)
            sign_and_publish(session, self.folder, proposal, self.officers[1:], self.now)
        return plan

    def round(self) -> RoundManifest:
        with self.store.reading() as session:
            row = latest_round(session, "p1")
        assert row is not None
        return RoundManifest.parse(row.payload)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return expected_shapes(NETWORK, FEATURES, ("logd", "solubility"))

    def delta(self, value: float, groups: tuple[str, ...] = ("trunk", "head.logd")) -> Weights:
        return {
            name: np.full(shape, value, dtype=np.float32)
            for name, shape in self.shapes().items()
            if group_of(name) in groups
        }

    def seal(
        self,
        name: str,
        payload: bytes | None = None,
        signer: SigningIdentity | None = None,
        sealed_for: str | None = None,
        changes: Mapping[str, object] | None = None,
    ) -> Sealed:
        """Seals an update for the round in progress; `changes` alter the core."""
        manifest = self.round()
        core = UpdateCore(
            consortium="demo",
            silo=name,
            sequence=1,
            roster_version=1,
            roster_sha256="00" * 32,
            plan_id=manifest.plan_id,
            round_id=manifest.round_id,
            attempt=manifest.attempt,
            base_sha256=manifest.base_sha256,
            feature_sha256=sha256_bytes(FEATURES.to_bytes()),
            reference_sha256=REFERENCE,
            agent_version="0",
            created=to_text(self.now),
            expires=to_text(self.now + timedelta(days=1)),
            recipient=key_id(manifest.seal_key),
            commitment="00" * 32,
            privacy=Privacy(),
            egress_head="00" * 32,
        ).model_copy(update=changes or {})
        if payload is None:
            payload = self.update(1.0, 1.0)
        sink = io.BytesIO()
        silo = self.silos[name]
        second = silo.post_quantum
        hybrid = Hybrid(manifest.kem_key, second) if manifest.kem_key and second else None
        header = seal(
            payload, core, sealed_for or manifest.seal_key, signer or silo.sign, sink, hybrid
        )
        return Sealed(sha256_bytes(header), header, sink.getvalue())

    def update(self, value: float, weight: float) -> bytes:
        return pack(self.delta(value), {"trunk": weight, "head.logd": weight})

    def deliver(self, name: str, sealed: Sealed) -> Answer:
        answer = self.desk.put_header(sealed.envelope_id, name, sealed.header, self.now)
        if isinstance(answer, Answer):
            return answer
        whole = self.desk.put_piece(
            sealed.envelope_id, name, answer.offset, sealed.blob[answer.offset :], self.now
        )
        assert isinstance(whole, Answer)
        return whole

    def states(self) -> dict[str, str]:
        """Envelope states by silo and round."""
        with self.store.reading() as session:
            rows = session.scalars(select(EnvelopeRow)).all()
        return {f"{row.silo} {row.round_id}": row.state for row in rows}


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A new consortium, which stays as it is: to found one syncs some fifty files to the disk."""
    house = House(tmp_path_factory.mktemp("founded") / "aggregator")
    house.store.close()
    return house


@pytest.fixture(scope="session")
def begun(founded: House, tmp_path_factory: pytest.TempPathFactory) -> House:
    """The same with three silos and the first round of a plan open; it stays as it is, too."""
    root = tmp_path_factory.mktemp("begun") / "aggregator"
    shutil.copytree(founded.folder.root, root)
    house = House(root)
    house.enrol("a", "b", "c")
    house.plan()
    house.tick()
    house.store.close()
    return house


@pytest.fixture
def house(founded: House, tmp_path: Path) -> Iterator[House]:
    root = tmp_path / "aggregator"
    shutil.copytree(founded.folder.root, root)
    house = House(root)
    yield house
    house.store.close()


@pytest.fixture
def new_silo() -> Callable[[str], Silo]:
    return Silo


@pytest.fixture
def running(house: House, begun: House) -> House:
    """Three silos, and the first round of a plan open."""
    house.store.close()
    shutil.rmtree(house.folder.root)
    shutil.copytree(begun.folder.root, house.folder.root)
    house.silos = {name: replace(silo) for name, silo in begun.silos.items()}
    house.start()
    return house
