from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from agent.boxes import Inbox, Outbox
from agent.clock import to_text
from agent.config import Paths
from agent.keeper.auditing import Auditing
from agent.keeper.dispatch import Dispatch
from agent.keeper.identity import OwnKeys
from agent.keeper.intake import Intake, Source
from agent.keeper.jobs import Workers
from agent.keeper.leaving import Leaving
from agent.keeper.mail import Mail
from agent.keeper.masking import Masking, Own
from agent.keeper.orders import Result, RoundOrder, Settings
from agent.keeper.pipeline import Pipeline
from agent.keeper.plans import plan_in_force
from agent.keeper.policing import Policing, PolicyFile
from agent.keeper.reference import References
from agent.keeper.rollout import Rollout
from agent.keeper.site import Site
from agent.keeper.snapshots import Snapshots
from agent.keeper.statements import Statements
from agent.keeper.training import Ready, Rounds
from agent.keeper.trust import open_trust
from agent.keys import new_signing
from agent.ledger.book import Item, Ledger
from agent.ledger.states import Kind
from agent.policy.signing import sign_off, signature_path
from agent.releases.attempts import Attempts
from agent.releases.gate import GateRules
from tests.kit.consortium import NAME, SILO, START, Consortium, Courier
from tests.unit.keeper.stand_in import Reaper

SETTINGS = Settings(device="cpu", threads=1, min_labels=2)


class House:
    """A keeper's parts on a real ledger and real folders, at a time that the test sets."""

    def __init__(self, root: Path) -> None:
        self.consortium = Consortium()
        self.paths = Paths(root / "state")
        self.consortium.enrol(self.paths)
        self.courier = Courier(self.paths.inbox)
        self.store = root / "store"
        self.store.mkdir()
        self.now: datetime = START
        self.site = Site((), SETTINGS, self.paths.models / "private.safetensors")
        self.woken = 0
        self.policy = root / "policy.toml"
        self.officer = new_signing("officer")
        self.transport = self.paths.courier / "transport.ndjson"
        self.let_pass: frozenset[str] = frozenset()
        self.share: Literal["values", "similarity", "nothing"] = "values"
        self.open()

    def open(self) -> None:
        """What a start of the keeper builds from the disk alone."""
        paths, silo = self.paths, SILO
        self.ledger = Ledger(paths.ledger)
        self.workers = Workers(self.ledger, paths.jobs, 3, self._wake)
        root = self.consortium.root_sha256
        self.trusted = open_trust(paths.trust, root, self.ledger, self.now)
        self.inbox, self.outbox = Inbox(paths.inbox), Outbox(paths.outbox)
        self.mail = Mail(self.inbox, self.ledger, self.trusted, silo)
        source = Source("files", "table", self.store, "")
        self.intake = Intake([source], self.ledger, self.workers, paths.parts, 2.0)
        cache = paths.models / "features.sqlite3"
        self.snapshots = Snapshots(
            self.ledger, self.workers, paths.parts, paths.snapshots, cache, self.site
        )
        signer = OwnKeys(paths.keys, paths.outbox, SILO)
        self.rounds = Rounds(
            self.ledger,
            self.workers,
            self.inbox,
            self.outbox,
            self.trusted,
            signer,
            silo,
            self.site,
        )
        self.dispatch = Dispatch(self.ledger, self.outbox)
        self.statements = Statements(self.ledger, self.outbox, signer, silo, NAME)
        self.file = PolicyFile(self.ledger, self.policy, "")
        self.policing = Policing(self.ledger, self.trusted, self.statements, silo, self.file)
        self.auditing = Auditing(self.ledger, self.transport)
        self.leaving = Leaving(
            self.ledger,
            paths.requests,
            self.policing,
            self.dispatch,
            self.statements,
            self.auditing,
        )
        own = Own(silo, signer, paths.models)
        self.masking = Masking(
            self.ledger, self.trusted, self.rounds, self.statements, self.inbox, own
        )
        self.attempts = Attempts(paths.predict)
        self.rollout = Rollout(
            self.ledger,
            self.workers,
            self.inbox,
            self.trusted,
            paths.releases,
            self.attempts,
            GateRules(max_worsening=0.25, min_n=2),
            self.site,
            self.let_pass,
        )
        self.references = References(
            self.ledger, self.workers, paths.reference, self.share, self.site.private
        )
        self.pipeline = Pipeline(
            self.ledger,
            self.workers,
            self.trusted,
            self.mail,
            self.intake,
            self.snapshots,
            self.rounds,
            self.rollout,
            self.site,
            self.leaving,
            self.references,
            self.masking,
        )

    def _wake(self) -> None:
        self.woken += 1

    def reopen(self) -> None:
        """What a kill leaves is on the disk; everything in memory is gone."""
        self.workers.stop()
        self.ledger.close()
        self.open()

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def sign_off(self, text: str, version: int = 1) -> None:
        """Writes a policy file, and the officer's signature beside it."""
        content = f"version = {version}\n{text}".encode()
        self.policy.write_bytes(content)
        signed = sign_off(content, version, self.officer, "Kim", to_text(self.now))
        signature_path(self.policy).write_bytes(signed)

    def bring(self, kind: str, content: bytes, *objects: bytes) -> None:
        self.courier.bring(kind, content, *objects)
        self.mail.take_all(self.now)

    def bring_release(self, version: int = 1, *, weights: bool = True, **changes: object) -> None:
        objects = (self.consortium.base,) if weights else ()
        self.courier.bring_release(self.consortium.release(version, **changes), *objects)
        self.mail.take_all(self.now)

    def state(self, kind: Kind, item_id: str) -> str:
        return self.item(kind, item_id).state

    def item(self, kind: Kind, item_id: str) -> Item:
        item = self.ledger.get(kind, item_id)
        assert item is not None
        return item

    def refusals(self) -> list[str]:
        """The codes of the letters that were not believed."""
        return [str(item.detail["code"]) for item in self.ledger.find("letter")]

    def ready(self) -> Ready:
        return Ready("5" * 64, self.paths.snapshots / ("5" * 64))

    def order_rounds(self, ready: Ready | None) -> None:
        """What the pipeline does for rounds once it knows the snapshot."""
        self.rounds.close_late(self.now)
        plan = plan_in_force(self.ledger, self.trusted, self.now)
        self.rounds.order(plan, ready, self.now)

    def order_release(self, ready: Ready | None) -> None:
        self.rollout.order(lambda _: ready, self.now)

    def round_order(self, number: int = 1) -> RoundOrder:
        """Brings a plan and a round, and returns the order that the round makes."""
        self.bring("plan", self.consortium.plan())
        self.bring("round", self.consortium.round(number), self.consortium.base)
        self.order_rounds(self.ready())
        order = self.workers.order(self.item("job", f"round-p1.r{number}.a1"))
        assert isinstance(order, RoundOrder)
        return order

    def trained(self) -> Result:
        return Result(
            groups=("trunk",),
            reference_sha256=self.consortium.reference,
            feature_sha256="cd" * 32,
        )


@pytest.fixture
def reaper(monkeypatch: pytest.MonkeyPatch) -> Reaper:
    reaper = Reaper(0)
    reaper.follow(monkeypatch)
    return reaper


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.workers.stop()
    house.ledger.close()
