"""Masked rounds from end to end but for the network: real aggregator, real ledgers and boxes."""

import base64
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sqlalchemy import select

from agent.boxes import Inbox, Outbox
from agent.errors import Refused
from agent.files import sha256_bytes, write_atomic
from agent.keeper.dispatch import Dispatch
from agent.keeper.mail import Mail
from agent.keeper.masking import Masking, Own, kept_message, kept_upload, site_of
from agent.keeper.orders import Result, RoundOrder
from agent.keeper.statements import Statements
from agent.keeper.training import Rounds
from agent.ledger import egress
from agent.ledger.book import Ledger
from agent.policy.rules import PeersSection, Policy, PrivacySection
from agent.privacy.account import read_chain
from agent.wire.documents import (
    MaskRules,
    PaidShare,
    Privacy,
    RoundManifest,
    SharedNoise,
    UpdateCore,
)
from agent.wire.envelope import read_core
from agent.wire.signed import parse, payload_type
from agent.wire.statements import header_of
from agent.wire.trusted import Trusted
from agent.wire.update import Weights, decode, pack
from consortium.answers import Answer
from consortium.feed import read_feed
from consortium.founding import root_sha256
from consortium.objects import get_object
from consortium.plans import Draft
from consortium.tables import RoundRow
from tests.kit.recipes import recipe
from tests.unit.consortium.conftest import FEATURES, NETWORK, REFERENCE
from tests.unit.consortium.conftest import House as Consortium
from tests.unit.keeper.stand_in import Killed

pytestmark = pytest.mark.slow
_GROUPS = ("trunk", "head.logd")
_POLICY = Policy(privacy=PrivacySection(n_min=4))
_NAMES = tuple("abcdef")
_RULES = MaskRules(n_min=4, clip=2.0, bias_clip=2.0, step_s=50.0)
# Of one compound a change of 0.01 / 8, so that t silos have a deviation of 0.25 together.
_NOISE = SharedNoise(
    masking=_RULES, epsilon=1.0, delta=1e-5, noise=20.0, clip=10.0, sampling_rate=0.1
)


class Silo:
    """A keeper's stages around masked rounds; what it trains is made up."""

    def __init__(self, name: str, house: Consortium, root: Path, value: float) -> None:
        self.name, self.house, self.value = name, house, value
        self.root = root / name
        for folder in ("inbox/objects", "outbox", "models"):
            (self.root / folder).mkdir(parents=True)
        self.after, self.policy = 0, _POLICY
        self.open()

    def open(self) -> None:
        folder, keys = self.house.folder, self.house.silos[self.name].sign
        self.ledger = Ledger(self.root / "ledger.sqlite3")
        trusted = Trusted(folder.trust_root.read_bytes(), root_sha256(folder), self.house.now)
        for _, content in self.ledger.documents("roster"):
            trusted.take_roster(content, self.house.now)
        for _, content in self.ledger.documents("catalogue"):
            trusted.take_catalogue(content)
        for _, content in self.ledger.documents("plan"):
            trusted.take_plan(content, self.house.now)
        self.inbox, self.outbox = Inbox(self.root / "inbox"), Outbox(self.root / "outbox")
        self.mail = Mail(self.inbox, self.ledger, trusted, self.name)
        anything = None
        site = SimpleNamespace(privacy_head=self.root / "models" / "privacy.head")
        rounds = Rounds(
            self.ledger,
            anything,  # type: ignore[arg-type]
            self.inbox,
            self.outbox,
            trusted,
            keys,  # type: ignore[arg-type]
            self.name,
            site,  # type: ignore[arg-type] # all that paying for noise looks at
        )
        self.paying = rounds._paying
        statements = Statements(self.ledger, self.outbox, keys, self.name, "demo")
        own = Own(self.name, keys, self.root / "models")
        self.masking = Masking(self.ledger, trusted, rounds, statements, self.inbox, own)
        self.dispatch = Dispatch(self.ledger, self.outbox)

    def reopen(self) -> None:
        """What a kill leaves is on the disk."""
        self.ledger.close()
        self.open()

    def step(self) -> None:
        """What keeper and courier do in one turn."""
        self._fetch()
        now = self.house.now
        self.mail.take_all(now)
        self._train()
        self.masking.advance(self.policy, now, approval=False)
        self.dispatch.settle(now)
        self._send()
        self.mail.take_all(now)
        self.dispatch.settle(now)

    def _fetch(self) -> None:
        with self.house.store.reading() as session:
            feed = read_feed(session, self.name, self.after)
        for item in feed.items:
            if item.kind in {"root", "stable"}:
                continue
            for one in item.objects:
                content = get_object(self.house.folder.objects, one.sha256)
                write_atomic(self.inbox.object_path(one.sha256), content)
            self.inbox.put_published(item.number, item.kind, base64.b64decode(item.document))
        self.after = feed.last

    def _train(self) -> None:
        for item in self.ledger.find("round", "announced"):
            manifest = RoundManifest.model_validate_json(str(item.detail["manifest"]))
            plan = self.masking._trusted.plans[manifest.plan_id][0]
            order = RoundOrder.model_construct(  # type: ignore[call-arg] # what masking looks at
                manifest=manifest, plan=plan
            )
            result = Result(
                groups=_GROUPS,
                reference_sha256=REFERENCE,
                feature_sha256=sha256_bytes(FEATURES.to_bytes()),
            )
            update = pack(self.house.delta(self.value, _GROUPS), dict.fromkeys(_GROUPS, 1.0))
            self.paying.reserve(plan, manifest, self.house.now)
            with self.ledger.transaction():
                self.masking.begin(order, result, update, self.policy, self.house.now)

    def _send(self) -> None:
        desk, now = self.house.desk, self.house.now
        for parcel in self.outbox.parcels():
            header = parcel.header_path.read_bytes()
            known = desk.put_header(parcel.envelope_id, self.name, header, now)
            if isinstance(known, Answer):
                answer = known
            else:
                blob = parcel.blob_path.read_bytes()[known.offset :]
                whole = desk.put_piece(parcel.envelope_id, self.name, known.offset, blob, now)
                assert isinstance(whole, Answer)
                answer = whole
            self.inbox.put_answer(parcel.envelope_id, answer.kind, answer.document)

    def states(self, kind: str) -> dict[str, str]:
        return {item.id: item.state for item in self.ledger.find(kind)}  # type: ignore[arg-type]


class World:
    """An aggregator and six silos."""

    def __init__(self, root: Path, draft: Draft) -> None:
        self.house = Consortium(root / "aggregator")
        self.house.enrol(*_NAMES)
        self.house.publish_plan(draft)
        self.silos = {
            name: Silo(name, self.house, root, 0.1 * (place + 1))
            for place, name in enumerate(_NAMES)
        }

    def turn(self, *away: str) -> None:
        self.house.settle()
        for name, silo in self.silos.items():
            if name not in away:
                silo.reopen()
                silo.step()

    def rounds(self) -> list[tuple[int, int, str]]:
        with self.house.store.reading() as session:
            rows = session.scalars(select(RoundRow).order_by(RoundRow.number, RoundRow.attempt))
            return [(row.number, row.attempt, row.state) for row in rows]

    def weights(self) -> Weights:
        sha256 = self.house.round().base_sha256
        return decode(get_object(self.house.folder.objects, sha256), self.house.shapes())

    def close(self) -> None:
        for silo in self.silos.values():
            silo.ledger.close()
        self.house.store.close()


def _draft(privacy: Privacy | SharedNoise | None = None) -> Draft:
    return Draft(
        plan_id="p1",
        endpoints=("logd", "solubility"),
        features=FEATURES,
        network=NETWORK,
        recipe=recipe(weighting="uniform"),
        quorum=4,
        round_deadline_s=100.0,
        privacy=privacy or Privacy(masking=_RULES),
    )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, _draft())
    world.house.settle()
    yield world
    world.close()


def _moved(world: World, before: Weights, by: float) -> None:
    after = world.weights()
    for name, weights in before.items():
        step = 0.0 if name.startswith("head.solubility") else by
        np.testing.assert_allclose(after[name], weights + np.float32(step), atol=1e-5)


def test_two_masked_rounds_with_a_kill_after_every_step(world: World) -> None:
    base = world.weights()
    for _ in range(5):  # keys, upload, acknowledgement, shares, and the next round's manifest
        world.turn()
    assert world.rounds()[:2] == [(1, 1, "aggregated"), (2, 1, "collecting")]
    _moved(world, base, 0.35)
    for _ in range(4):
        world.turn()
    assert world.rounds() == [(1, 1, "aggregated"), (2, 1, "aggregated")]
    silo = world.silos["a"]
    assert set(silo.states("update").values()) == {"acknowledged"}
    assert set(silo.states("statement").values()) == {"acknowledged"}
    assert len(silo.states("statement")) == 6  # keys, acknowledgement and shares, twice
    assert {line.leaf.kind for line in egress.lines(silo.ledger)} == {
        "masked_keys",
        "update",
        "masked_ack",
        "masked_unmask",
    }


def test_a_silo_that_drops_out_after_its_keys_is_left_out_at_the_deadline(world: World) -> None:
    base = world.weights()
    world.turn()
    world.turn("f")
    world.house.later(150.1)
    world.turn("f")
    world.turn("f")
    world.house.settle()
    assert world.rounds()[0] == (1, 1, "aggregated")
    _moved(world, base, 0.3)
    world.turn()
    assert world.silos["f"].states("round")["p1.r1.a1"] == "closed"


def test_what_was_signed_of_a_step_stays(world: World) -> None:
    ledger = world.silos["a"].ledger
    assert (kept_message(ledger, "p1.r1.a1", "upload"), kept_upload(ledger, "p1.r1.a1")) == (
        "",
        None,
    )
    world.turn()
    world.turn()
    ledger = world.silos["a"].ledger
    upload = kept_upload(ledger, "p1.r1.a1")
    assert upload is not None
    assert parse(upload).payload_type == payload_type("masked_upload")
    assert base64.b64decode(kept_message(ledger, "p1.r1.a1", "upload")) == upload
    assert kept_message(ledger, "p1.r1.a1", "ack") == ""


def test_secrets_go_when_their_round_is_over(world: World) -> None:
    for _ in range(2):
        world.turn()
    silo = world.silos["a"]
    assert [name for name, _ in silo.ledger.documents("masked secret")] == [
        "p1.r1.a1/keys",
        "p1.r1.a1/upload",
    ]
    assert list((silo.root / "models").glob("masked-*")) == []
    for _ in range(3):
        world.turn()
    names = [name for name, _ in silo.ledger.documents("masked secret")]
    assert names == ["p1.r2.a1/keys"]
    assert [name for name, _ in silo.ledger.documents("masked past")] == ["p1.r1.a1"]
    assert silo.ledger.document("sum", "p1.r1.a1") is not None


def test_what_a_kill_left_of_an_unmasked_update_goes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    silo = world.silos["a"]
    silo._fetch()
    silo.mail.take_all(world.house.now)

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        with pytest.raises(Killed):
            silo._train()
    models = silo.root / "models"
    (draft,) = models.glob(".masked-*.tmp")
    assert len(draft.read_bytes()) > 1_000
    silo.reopen()
    silo.masking.advance(silo.policy, world.house.now, approval=False)
    assert [path.name for path in models.iterdir() if "masked" in path.name] == []


def test_a_site_that_wants_more_silos_leaves_by_name(world: World) -> None:
    world.silos["a"].policy = Policy(privacy=PrivacySection(n_min=7))
    world.turn()
    world.turn()
    item = world.silos["a"].ledger.get("round", "p1.r1.a1")
    assert item is not None
    assert item.state == "closed"
    assert "too_few_participants" in item.why
    assert world.silos["a"].states("update") == {}


def test_without_a_roster_nothing_is_said(world: World) -> None:
    """After a restart at a time when the roster in the ledger has expired."""
    silo = world.silos["a"]
    silo._fetch()
    silo.mail.take_all(world.house.now)
    roster, silo.masking._trusted.roster = silo.masking._trusted.roster, None
    with pytest.raises(Refused, match="no_roster"):
        silo._train()
    assert (silo.states("statement"), silo.ledger.document("masked", "p1.r1.a1/keys")) == ({}, None)
    silo.masking._trusted.roster = roster
    silo._train()
    assert len(silo.states("statement")) == 1


def test_without_a_roster_a_round_waits(world: World) -> None:
    world.turn()
    world.house.settle()
    silo = world.silos["a"]
    silo._fetch()
    silo.mail.take_all(world.house.now)
    roster, silo.masking._trusted.roster = silo.masking._trusted.roster, None
    silo.masking.advance(silo.policy, world.house.now, approval=False)
    assert (silo.states("round")["p1.r1.a1"], silo.states("update")) == ("trained", {})
    silo.masking._trusted.roster = roster
    silo.masking.advance(silo.policy, world.house.now, approval=False)
    assert len(silo.states("update")) == 1


def test_a_round_whose_plan_is_not_believed_again_is_left_by_name(world: World) -> None:
    """It would else end the keeper after every start."""
    world.turn()
    silo = world.silos["a"]
    del silo.masking._trusted.plans["p1"]
    silo.masking.advance(silo.policy, world.house.now, approval=False)
    item = silo.ledger.get("round", "p1.r1.a1")
    assert item is not None
    assert (item.state, "unknown_plan" in item.why) == ("closed", True)


def test_another_set_after_the_first_is_refused(world: World) -> None:
    world.turn()
    world.house.settle()
    silo = world.silos["a"]
    silo._fetch()
    silo.mail.take_all(world.house.now)
    name = "p1.r1.a1/keys"
    assert silo.ledger.document("handout", name) is not None
    silo.ledger.put_document("handout", name, b"another", world.house.now)
    silo.after = 0
    silo._fetch()
    silo.mail.take_all(world.house.now)
    codes = {str(item.detail["code"]) for item in silo.ledger.find("letter")}
    assert "second_handout" in codes


def test_lost_or_altered_shares_end_this_silos_part_only(world: World) -> None:
    world.turn()
    world.turn()
    world.house.settle()
    for name, change in (("a", b""), ("b", b"altered")):
        silo = world.silos[name]
        silo._fetch()
        silo.mail.take_all(world.house.now)
        handout = silo.masking._handout("p1.r1.a1", "uploads")
        assert handout is not None
        path = silo.inbox.object_path(handout.shares[name])
        path.unlink()
        if change:
            path.write_bytes(change)
        silo.masking.advance(silo.policy, world.house.now, approval=False)
        item = silo.ledger.get("round", "p1.r1.a1")
        assert item is not None
        assert ("lost_shares" if name == "a" else "bad_shares") in item.why


def test_a_policy_says_who_counts() -> None:
    assert site_of(Policy()).n_min == 5
    key = "ab" * 32
    policy = Policy(peers=PeersSection(min_participants=6, count=(key,)))
    assert (site_of(policy).n_min, site_of(policy).pinned) == (6, frozenset({key}))


def test_a_plan_without_masking_still_reads() -> None:
    assert Privacy.model_validate({"mode": "none"}) == Privacy()
    assert Privacy().masking is None


def test_under_shared_noise_the_sum_has_it_and_each_silo_books_it(tmp_path: Path) -> None:
    world = World(tmp_path, _draft(_NOISE))
    world.house.settle()
    base = world.weights()
    for _ in range(5):
        world.turn()
    assert world.rounds()[0] == (1, 1, "aggregated")
    after, trained = world.weights(), 0.35
    off = np.concatenate(
        [
            (after[name] - base[name]).ravel() - (0.0 if "solubility" in name else trained)
            for name in sorted(base)
        ]
    )
    silo = world.silos["a"]
    charges = read_chain(silo.ledger, silo.root / "models" / "privacy.head").entries
    world.close()
    # The mean of six, whose sum has the noise of t = 5 and that of one more.
    expected = 20.0 * 10.0 * 0.01 / 8 * np.sqrt(6 / 5) / 6
    moved = off[np.abs(off) > 0]
    assert moved.size > 1_000
    assert float(moved.std()) == pytest.approx(expected, rel=4 / np.sqrt(2 * moved.size))
    assert [(one.what, one.charge.shared) for one in charges[:2]] == [
        ("reserved", True),
        ("committed", True),
    ]
    assert charges[0].epsilon_after < 1.0


def test_an_update_with_a_share_of_noise_says_so_in_its_header(tmp_path: Path) -> None:
    world = World(tmp_path, _draft(_NOISE))
    for _ in range(3):
        world.turn()
    silo = world.silos["a"]
    (line,) = (one for one in egress.lines(silo.ledger) if one.leaf.kind == "update")
    said = UpdateCore.parse(read_core(header_of(line.leaf))).privacy
    world.close()
    assert isinstance(said, PaidShare)
    assert said.asked() == _NOISE
