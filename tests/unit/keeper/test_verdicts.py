from pathlib import Path

import pytest

from agent.boxes import Outbox
from agent.keeper.orders import Result
from agent.keeper.verdicts import Tell, Verdicts
from agent.keys import load_signing
from agent.ledger import egress
from agent.ledger.book import Ledger
from agent.releases.attempts import MAX_ATTEMPTS
from agent.wire.verdict import HeadWord, Verdict, verify_verdict
from tests.kit.consortium import SILO
from tests.unit.keeper.conftest import House
from tests.unit.keeper.stand_in import Killed, Reaper
from tests.unit.keeper.test_rollout import Stage, scored


@pytest.fixture
def stage(house: House) -> Stage:
    return Stage(house)


def _verdicts(house: House, tell: Tell = "class") -> Verdicts:
    signer = load_signing(house.paths.keys / "sign.key", "sign")
    return Verdicts(house.ledger, house.outbox, signer, SILO, tell)


def _posted(house: House) -> list[Verdict]:
    """What the courier finds, in the order in which it was signed."""
    house.dispatch.settle(house.now)
    public = house.consortium.members[0].sign_key
    waiting = {parcel.envelope_id: parcel for parcel in Outbox(house.paths.outbox).parcels()}
    found = [waiting[item.id] for item in house.ledger.find("statement", "signed")]
    assert len(found) == len(waiting)
    assert all(parcel.blob_path.read_bytes() == b"" for parcel in found)
    return [verify_verdict(parcel.header_path.read_bytes(), public) for parcel in found]


def test_what_became_of_a_release_is_told_once(stage: Stage) -> None:
    house, verdicts = stage.house, _verdicts(stage.house)
    stage.announce(1)
    assert verdicts.send(house.now) == 0  # nothing is decided
    stage.book(1)
    stage.settle()
    assert verdicts.send(house.now) == 0
    stage.load(1)
    assert verdicts.send(house.now) == 1
    assert verdicts.send(house.now) == 0
    (verdict,) = _posted(house)
    assert (verdict.release_id, verdict.outcome, verdict.reason) == ("r1", "taken", None)
    assert verdict.weights_sha256 == house.consortium.release_document().weights_sha256


def test_the_class_of_a_refusal_and_no_more(stage: Stage) -> None:
    house = stage.house
    stage.activate(1)
    stage.announce(2)
    stage.book(2, score=0.9, active=0.5)
    _verdicts(house).send(house.now)
    _, refused = _posted(house)
    assert (refused.outcome, refused.reason, refused.heads) == ("refused", "worse", ())


def test_outcomes_of_shared_heads_where_the_site_tells_them(stage: Stage) -> None:
    house = stage.house
    stage.announce(1)
    bad = Result(refused_code="not_finite", refused="Not finite.")
    house.rollout.give_up(stage.order(1), bad, house.now)
    _verdicts(house, "heads").send(house.now)
    (unjudged,) = _posted(house)
    assert (unjudged.reason, unjudged.heads) == ("bad_weights", ())
    item = house.item("release", "r1")
    assert item.detail["reason"] == "bad_weights"


def test_a_private_head_is_never_told(stage: Stage) -> None:
    house = stage.house
    stage.activate(1)
    stage.announce(2)
    order = stage.order(2)
    names = ("logbb", "private:own")
    scores = tuple(scored(0.5).model_copy(update={"task": name}) for name in names)
    with house.ledger.transaction():
        house.rollout.book(order, Result(scores=scores), stage.staged(2), house.now)
    stage.settle()
    stage.load(2)
    _verdicts(house, "heads").send(house.now)
    told = {verdict.release_id: verdict for verdict in _posted(house)}
    assert told["r2"].heads == (HeadWord(task="logbb", outcome="new"),)


def test_nothing_is_told_where_the_site_says_so(stage: Stage) -> None:
    stage.activate(1)
    assert _verdicts(stage.house, "nothing").send(stage.house.now) == 0
    assert _posted(stage.house) == []


def test_one_that_is_rolled_back_later_is_told_again(stage: Stage) -> None:
    house, verdicts = stage.house, _verdicts(stage.house)
    stage.activate(1)
    stage.activate(2)
    verdicts.send(house.now)
    for _ in range(MAX_ATTEMPTS):
        house.attempts.begin("r2")
    house.attempts.settle()
    stage.settle()
    assert verdicts.send(house.now) == 2  # r1 serves again, too
    words = [(v.release_id, v.outcome, v.reason) for v in _posted(house)]
    assert words[0] == ("r2", "taken", None)
    assert set(words[1:]) == {("r1", "taken", None), ("r2", "refused", "does_not_load")}


def _judged(root: Path, reaper: Reaper, kill_at: int, *, loads: bool) -> list[tuple[str, str]]:
    """One that was taken, one on trial, one that waits behind it; returns what was told of them."""
    root.mkdir()
    house = House(root)
    stage = Stage(house)
    stage.activate(1)
    for version in (2, 3):
        stage.announce(version)
        stage.book(version)
        stage.settle()
    _verdicts(house).send(house.now)
    for _ in range(1 if loads else MAX_ATTEMPTS):
        house.attempts.begin("r2")
    if loads:
        house.attempts.succeeded("r2")
    house.attempts.settle()
    reaper.at, reaper.seen = kill_at, 0
    for _ in range(4):
        house.rollout._verdicts = _verdicts(house)
        try:
            stage.settle()
        except Killed:
            house.reopen()
            house.pipeline.recover(house.now)
    house.ledger.close()
    with Ledger(house.paths.ledger) as ledger:
        found = ledger.find("statement")
    return [(str(item.detail["about"]), str(item.detail["outcome"])) for item in found]


@pytest.mark.slow
@pytest.mark.parametrize("loads", [True, False])
def test_no_verdict_is_lost_by_a_kill_at_any_commit(
    tmp_path: Path, reaper: Reaper, loads: bool
) -> None:
    """The next on trial replaces what serves, of which nothing would be said afterwards."""
    wanted = sorted(_judged(tmp_path / "calm", reaper, 0, loads=loads))
    moments = reaper.seen
    assert ("r2", "taken" if loads else "refused") in wanted
    for moment in range(1, moments + 1):
        told = sorted(_judged(tmp_path / str(moment), reaper, moment, loads=loads))
        assert (told, moment) == (wanted, moment)


def test_it_is_booked_as_what_left_and_goes_when_it_is_answered(stage: Stage) -> None:
    house = stage.house
    stage.activate(1)
    _verdicts(house).send(house.now)
    (line,) = egress.lines(house.ledger)
    assert (line.leaf.kind, line.leaf.about) == ("verdict", "r1")
    assert _posted(house)
    receipt = house.consortium.receipt(line.leaf.envelope_id)
    house.inbox.put_answer(line.leaf.envelope_id, "delivered", b"{}")
    house.inbox.put_answer(line.leaf.envelope_id, "receipt", receipt)
    house.mail.take_all(house.now)
    assert house.state("statement", line.leaf.envelope_id) == "acknowledged"
    assert _posted(house) == []
    assert house.refusals() == []


def test_one_that_was_booked_before_a_kill_is_shown_after_it(stage: Stage) -> None:
    house = stage.house
    stage.activate(1)
    _verdicts(house).send(house.now)
    house.reopen()
    house.dispatch.recover()
    house.dispatch.settle(house.now)
    assert len(Outbox(house.paths.outbox).parcels()) == 1


def test_a_refused_verdict_says_why(stage: Stage) -> None:
    house = stage.house
    stage.activate(1)
    _verdicts(house).send(house.now)
    (line,) = egress.lines(house.ledger)
    refusal = house.consortium.refusal(line.leaf.envelope_id, "This release is unknown.")
    house.inbox.put_answer(line.leaf.envelope_id, "refusal", refusal)
    house.mail.take_all(house.now)
    assert house.item("statement", line.leaf.envelope_id).why == "This release is unknown."
