"""Masked rounds at a real aggregator: five steps, a kill between any two, and one sum."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire.documents import MaskRules, Privacy, Refusal
from agent.wire.masking.carriage import Handout, SealedShares, pack_upload
from agent.wire.masking.documents import KeySet, Publication
from agent.wire.masking.layout import Update
from agent.wire.masking.setting import Setting, Site
from agent.wire.masking.silo import Row, SiloRound
from agent.wire.masking.sums import replay
from agent.wire.signed import Signer, parse
from agent.wire.trusted import Trusted
from agent.wire.update import Weights, decode
from consortium.answers import Answer, Registrar
from consortium.feed import read_feed
from consortium.founding import root_sha256
from consortium.masked import MaskedRounds
from consortium.masked_messages import setting_of
from consortium.objects import get_object
from consortium.opening import key_path
from consortium.plans import Draft
from consortium.store import latest_round
from consortium.tables import AnswerRow, EnvelopeRow, MaskedRow, RoundRow
from tests.kit.recipes import recipe
from tests.unit.consortium.conftest import FEATURES, NETWORK, House, Sealed

_RULES = MaskRules(n_min=3, clip=4.0, bias_clip=4.0, step_s=50.0)
GROUPS = ("trunk", "head.logd")


class Masked:
    """Silos of a house that follow the protocol by what the feed shows them."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.rows: dict[str, list[Row]] = {name: [] for name in house.silos}
        self.values = {name: 1.0 + place for place, name in enumerate(sorted(house.silos))}

    @property
    def setting(self) -> Setting:
        with self.house.store.reading() as session:
            row = latest_round(session, "p1")
            assert row is not None
            return setting_of(session, row)

    def machine(self, name: str) -> SiloRound:
        signer = self.house.silos[name].sign
        return SiloRound(self.setting, name, Site(3), signer, self.rows[name])

    def keep(self, name: str, row: Row) -> Row:
        self.rows[name].append(row)
        return row

    def handout(self, name: str, part: str) -> Handout:
        """Believes what the feed shows this silo, as a keeper does."""
        folder = self.house.folder
        trusted = Trusted(folder.trust_root.read_bytes(), root_sha256(folder), self.house.now)
        with self.house.store.reading() as session:
            rows = read_feed(session, name, 0).items
        documents = [_bytes(item.document) for item in rows if item.kind == "handout"]
        return next(one for one in map(trusted.handout, documents) if one.part == part)

    def say(self, name: str, content: bytes) -> Answer:
        known = self.house.desk.put_header(sha256_bytes(content), name, content, self.house.now)
        assert isinstance(known, Answer)
        return known

    def round(self, *away: str) -> None:
        """Runs a whole round; who is away drops out after the keys."""
        self.keys()
        self.house.settle()
        self.upload(*away)
        self.house.settle()
        if away:
            self.house.later(150.1)
            self.house.settle()
        self.ack(*away)
        self.house.settle()
        self.unmask(*away)
        self.house.settle()

    def keys(self, *away: str) -> None:
        for name in self.house.silos:
            if name not in away:
                row = self.keep(name, self.machine(name).keys(GROUPS, self.house.now))
                assert self.say(name, row.message).kind == "receipt"

    def upload(self, *away: str) -> None:
        for name in self.house.silos:
            if name not in away:
                assert self.house.deliver(name, self.sealed(name)).kind == "receipt"

    def made(self, name: str) -> tuple[bytes, Mapping[str, bytes], bytes]:
        """Returns the signed upload, the sealed shares and the masked vector of a silo."""
        delta = self.house.delta(self.values[name], GROUPS)
        update = Update({t: 2 * v for t, v in delta.items()}, dict.fromkeys(GROUPS, 2.0))
        key_set = self.handout(name, "keys").set_bytes
        row, masked = self.machine(name).upload(key_set, update, self.house.now)
        self.keep(name, row)
        return row.message, masked.sealed, masked.vector.tobytes()

    def sealed(self, name: str) -> Sealed:
        return self.seal(name, pack_upload(*self.made(name)))

    def seal(self, name: str, payload: bytes) -> Sealed:
        return self.house.seal(name, payload, changes={"privacy": self.setting.plan.privacy})

    def ack(self, *away: str) -> None:
        for name in self.house.silos:
            if name not in away:
                handout = self.handout(name, "uploads")
                shares = get_object(self.house.folder.objects, handout.shares[name])
                sealed = SealedShares.parse(shares).opened()
                row = self.machine(name).ack(handout.set_bytes, sealed, [], self.house.now)
                self.keep(name, row)
                assert self.say(name, row.message).kind == "receipt"

    def unmask(self, *away: str) -> None:
        for name in self.house.silos:
            if name not in away:
                acks = self.handout(name, "acks").set_bytes
                row = self.keep(name, self.machine(name).unmask(acks, [], self.house.now))
                assert self.say(name, row.message).kind == "receipt"


def _bytes(text: str) -> bytes:
    import base64

    return base64.b64decode(text)


@pytest.fixture
def masked(house: House) -> Masked:
    return opened(house)


def begun(root: Path) -> Masked:
    """Returns four silos of a new consortium at the start of a masked plan."""
    return opened(House(root / "aggregator"))


def opened(house: House) -> Masked:
    """Returns four silos of a house at the start of a masked plan."""
    house.enrol("a", "b", "c", "d")
    house.publish_plan(
        Draft(
            plan_id="p1",
            endpoints=("logd", "solubility"),
            features=FEATURES,
            network=NETWORK,
            recipe=recipe(weight_cap=4.0),
            quorum=3,
            round_deadline_s=100.0,
            privacy=Privacy(masking=_RULES),
        )
    )
    house.settle()
    return Masked(house)


def _states(house: House) -> list[tuple[int, int, str]]:
    with house.store.reading() as session:
        rows = session.scalars(select(RoundRow).order_by(RoundRow.number, RoundRow.attempt)).all()
        return [(row.number, row.attempt, row.state) for row in rows]


def _weights(house: House, sha256: str) -> Weights:
    return decode(get_object(house.folder.objects, sha256), house.shapes())


def test_a_round_ends_in_the_mean_of_what_nobody_saw(masked: Masked) -> None:
    house = masked.house
    base = _weights(house, house.round().base_sha256)
    masked.keys()
    house.settle()
    masked.upload()
    house.settle()
    masked.ack()
    house.settle()
    masked.unmask()
    house.settle()
    assert _states(house) == [(1, 1, "aggregated"), (2, 1, "collecting")]
    new = _weights(house, house.round().base_sha256)
    for name, before in base.items():
        moved = 0.0 if name.startswith("head.solubility") else 2.5
        np.testing.assert_allclose(new[name], before + np.float32(moved), atol=1e-5)


def test_a_silo_may_drop_out_at_any_step_and_the_rest_go_on_at_the_deadline(masked: Masked) -> None:
    house = masked.house
    base = _weights(house, house.round().base_sha256)
    masked.keys()
    house.settle()
    masked.upload("d")
    assert not house.tick()
    house.later(150.1)
    house.settle()
    for name in "abc":
        masked.rows[name] = list(masked.rows[name])
    masked.ack("d")
    house.settle()
    masked.unmask("d")
    house.settle()
    assert _states(house)[0] == (1, 1, "aggregated")
    new = _weights(house, house.round().base_sha256)
    moved = new["trunk.dense.bias"] - base["trunk.dense.bias"]
    np.testing.assert_allclose(moved, 2.0, atol=1e-5)


def test_too_few_keys_and_the_round_is_tried_anew_with_other_keys(masked: Masked) -> None:
    house = masked.house
    masked.keys("c", "d")
    assert not house.tick()
    house.later(100.1)
    house.settle()
    assert _states(house) == [(1, 1, "aborted"), (1, 2, "collecting")]
    assert house.round().masking is not None


def test_a_round_whose_key_is_lost_is_tried_anew_with_another(
    masked: Masked, caplog: pytest.LogCaptureFixture
) -> None:
    house = masked.house
    masked.keys()
    house.settle()
    masked.upload()
    key_path(house.folder.round_keys, house.round().round_id).unlink()
    house.settle()
    assert _states(house) == [(1, 1, "aborted"), (1, 2, "collecting")]
    (record,) = [record for record in caplog.records if record.msg == "masked_round_given_up"]
    assert vars(record)["onggi_fields"]["code"] == "round_key_lost"


def test_the_disk_holds_masked_vectors_and_any_silo_replays_the_sum(masked: Masked) -> None:
    house = masked.house
    masked.keys()
    house.settle()
    masked.upload()
    house.settle()
    masked.ack()
    house.settle()
    masked.unmask()
    setting = masked.setting
    house.settle()
    with house.store.reading() as session:
        rows = session.scalars(select(MaskedRow).where(MaskedRow.step == "masked_upload")).all()
        vectors = {row.silo: row.vector_sha256 for row in rows}
        items = read_feed(session, "a", 0).items
    published = next(_bytes(item.document) for item in items if item.kind == "sum")
    publication = Publication.parse(parse(published).payload)
    machine = SiloRound(setting, "a", Site(3), house.silos["a"].sign, masked.rows["a"])
    upload, ack = machine.row("upload"), machine.row("ack")
    assert upload is not None
    assert ack is not None
    from agent.wire.masking.sets import read_key_set, read_upload_set

    keys = read_key_set(setting, upload.seen)
    uploads = read_upload_set(keys, ack.seen)
    objects = house.folder.objects
    sums = replay(publication, keys, uploads, lambda silo: get_object(objects, vectors[silo]))
    assert sums.weights == pytest.approx({"trunk": 8.0, "head.logd": 8.0})
    content = np.frombuffer(get_object(objects, vectors["a"]), dtype=np.uint8)
    counts = np.bincount(content, minlength=256)
    expected = content.size / 256
    assert ((counts - expected) ** 2 / expected).sum() < 255 + 6 * np.sqrt(510)


def test_messages_are_refused_by_name(masked: Masked) -> None:
    house = masked.house
    row = masked.machine("a").keys(GROUPS, house.now)
    assert masked.say("b", row.message).code == "wrong_silo"
    other = masked.machine("a").keys(GROUPS, house.now)
    assert masked.say("a", row.message).kind == "receipt"
    assert masked.say("a", row.message).kind == "receipt"
    assert masked.say("a", other.message).code == "equivocation"
    masked.keep("a", row)
    house.later(100.1)
    late = masked.machine("b")
    with pytest.raises(Refused, match="too_late"):
        late.keys(GROUPS, house.now)


def test_a_message_after_its_step_was_closed_is_too_late(masked: Masked) -> None:
    house = masked.house
    early = {name: masked.machine(name).keys(GROUPS, house.now) for name in "abcd"}
    for name in "abc":
        masked.say(name, early[name].message)
    house.later(100.1)
    house.settle()
    assert masked.say("d", early["d"].message).code == "too_late"
    assert len(masked.handout("a", "keys").set_bytes) > 0


def test_what_is_no_upload_is_refused_and_the_others_go_on(masked: Masked) -> None:
    house = masked.house
    masked.keys()
    house.settle()
    masked.upload("d")
    house.deliver("d", masked.seal("d", b"no"))
    house.settle()
    house.later(150.1)
    house.settle()
    assert masked.handout("a", "uploads").shares.keys() == set("abc")


def test_a_roster_that_changes_before_the_uploads_are_closed_ends_the_attempt(
    masked: Masked,
) -> None:
    from consortium.rosters import Changes

    house = masked.house
    masked.keys()
    house.settle()
    masked.upload("d")
    house.change(Changes(renew=True))
    house.settle()
    assert _states(house) == [(1, 1, "aborted"), (1, 2, "collecting")]


@pytest.mark.parametrize("whose", ["another vector", "of another silo"])
def test_an_envelope_with_another_vector_is_refused_and_the_others_go_on(
    masked: Masked, whose: str
) -> None:
    house = masked.house
    masked.keys()
    house.settle()
    masked.upload("c", "d")
    of_c = pack_upload(*masked.made("c"))
    house.deliver("c", masked.seal("c", of_c))
    message, shares, vector = masked.made("d")
    altered = vector[:-1] + bytes([vector[-1] ^ 1])
    payload = of_c if whose == "of another silo" else pack_upload(message, shares, altered)
    sent = masked.seal("d", payload)
    house.deliver("d", sent)
    house.settle()
    assert "another, vector" in _why(house, sent)
    house.later(150.1)
    house.settle()
    assert masked.handout("a", "uploads").shares.keys() == set("abc")


def _why(house: House, sent: Sealed) -> str:
    """Returns why an envelope that had its receipt was refused all the same."""
    with house.store.reading() as session:
        row = session.get_one(EnvelopeRow, sent.envelope_id)
        answers = session.scalars(
            select(AnswerRow).where(
                AnswerRow.envelope_id == sent.envelope_id, AnswerRow.kind == "refusal"
            )
        ).all()
    (said,) = (Refusal.parse(parse(one.document).payload) for one in answers)
    assert (row.state, said.code) == ("refused", "bad_update")
    return said.reason


def test_an_upload_whose_blob_is_lost_is_refused_and_the_others_go_on(masked: Masked) -> None:
    house = masked.house
    masked.keys()
    house.settle()
    masked.upload("d")
    sent = masked.sealed("d")
    house.deliver("d", sent)
    (house.folder.blobs / sent.envelope_id).unlink()
    house.settle()
    assert "lost this update's blob" in _why(house, sent)  # `lost_blob`
    house.later(150.1)
    house.settle()
    assert masked.handout("a", "uploads").shares.keys() == set("abc")


def test_an_upload_without_a_share_for_everybody_is_left_out(masked: Masked) -> None:
    """Its vector is what it signed, so it was kept; only the round itself can tell the fault."""
    house = masked.house
    masked.keys()
    house.settle()
    masked.upload("d")
    message, shares, vector = masked.made("d")
    short = {silo: share for silo, share in shares.items() if silo != "a"}
    house.deliver("d", masked.seal("d", pack_upload(message, short, vector)))
    house.settle()
    house.later(150.1)
    house.settle()
    assert masked.handout("a", "uploads").shares.keys() == set("abc")
    masked.ack("d")
    house.settle()
    masked.unmask("d")
    house.settle()
    assert _states(house)[0] == (1, 1, "aggregated")


class _Interrupted:
    """Signs as the aggregator does; but before the first time something else happens."""

    def __init__(self, signer: Signer, meanwhile: Callable[[], object]) -> None:
        self._signer = signer
        self._meanwhile = [meanwhile]

    @property
    def public_hex(self) -> str:
        return self._signer.public_hex

    def sign(self, message: bytes) -> bytes:
        if self._meanwhile:
            self._meanwhile.pop()()
        return self._signer.sign(message)


def _rounds(house: House, signer: Signer) -> MaskedRounds:
    registrar = Registrar("demo", house.signers.aggregator)
    return MaskedRounds(house.store, house.folder, signer, registrar)


def _handed_out(house: House) -> int:
    with house.store.reading() as session:
        return len([one for one in read_feed(session, "a", 0).items if one.kind == "handout"])


def test_a_message_that_comes_while_its_step_is_closed_is_in_the_set(masked: Masked) -> None:
    house, in_time = masked.house, masked.house.now
    masked.keys("d")
    late = masked.machine("d").keys(GROUPS, in_time).message

    def brought() -> None:
        answer = house.desk.put_header(sha256_bytes(late), "d", late, in_time)
        assert isinstance(answer, Answer)
        assert answer.kind == "receipt"

    rounds = _rounds(house, _Interrupted(house.signers.aggregator, brought))
    house.later(100.1)
    assert (rounds.advance(house.round(), house.now), _handed_out(house)) == ("moved", 0)
    assert (rounds.advance(house.round(), house.now), _handed_out(house)) == ("moved", 1)
    assert len(KeySet.parse(masked.handout("a", "keys").set_bytes).keys) == 4


def test_there_is_no_sum_while_shares_are_still_awaited(masked: Masked) -> None:
    house = masked.house
    for step in (masked.keys, masked.upload, masked.ack):
        step()
        house.settle()
    masked.unmask("d")
    rounds = _rounds(house, house.signers.aggregator)
    with pytest.raises(Refused, match="out_of_order"):
        rounds.outcome(house.round(), masked.setting.plan, house.now)
