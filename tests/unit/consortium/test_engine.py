"""Rounds from opening to release, with a kill between any two steps."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sqlalchemy import select
from tuf.api.metadata import Targets

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.keys import SealingIdentity, load_sealing
from agent.records import Json
from agent.wire.adaptive import TAU
from agent.wire.documents import LocalNoise, PaidNoise, Plan, Privacy, ReleaseManifest
from agent.wire.envelope import open_blob, verify_header
from agent.wire.network import expected_shapes, round_shapes
from agent.wire.repository import MANIFEST
from agent.wire.signed import parse
from agent.wire.trusted import Trusted
from agent.wire.update import Weights, decode, group_of, pack
from consortium import closing as closing_module
from consortium import engine as engine_module
from consortium import metadata
from consortium.admission import admit
from consortium.closing import NewWeights
from consortium.feed import read_feed
from consortium.founding import root_sha256
from consortium.objects import get_object
from consortium.repository import current
from consortium.rosters import Changes
from consortium.status import describe, read_status
from consortium.store import roster
from consortium.tables import AnswerRow, PlanRow, PublishedRow, RoundRow
from tests.kit.consortium import FEATURES, NETWORK

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House


def _weights(house: "House", sha256: str) -> Weights:
    return decode(get_object(house.folder.objects, sha256), house.shapes())


def _rounds(house: "House") -> list[tuple[int, int, str]]:
    with house.store.reading() as session:
        rows = session.scalars(select(RoundRow).order_by(RoundRow.number, RoundRow.attempt)).all()
        return [(row.number, row.attempt, row.state) for row in rows]


def _status(house: "House") -> dict[str, Json]:
    with house.store.reading() as session:
        return read_status(session, house.folder, "demo", house.now)


def _releases(house: "House") -> list[ReleaseManifest]:
    with house.store.reading() as session:
        listed = metadata.read(current(session, "stable"))
    assert isinstance(listed, Targets)
    hashes = [file.hashes["sha256"] for path, file in listed.targets.items() if "manifest" in path]
    return [ReleaseManifest.parse(get_object(house.folder.objects, one)) for one in hashes]


def test_a_round_closes_early_and_averages_by_weight(running: "House") -> None:
    base = _weights(running, running.round().base_sha256)
    for name, value, weight in (("a", 1.0, 1.0), ("b", 3.0, 3.0), ("c", -1.0, 4.0)):
        running.deliver(name, running.seal(name, running.update(value, weight)))
    running.settle()
    assert _rounds(running) == [(1, 1, "aggregated"), (2, 1, "collecting")]
    new = _weights(running, running.round().base_sha256)
    mean = (1.0 * 1 + 3.0 * 3 - 1.0 * 4) / 8
    for name, before in base.items():
        moved = 0.0 if name.startswith("head.solubility") else mean
        np.testing.assert_allclose(new[name], before + np.float32(moved), atol=1e-6)
    assert _releases(running)[0].contributors == 3


def _moved(house: "House", shapes: "dict[str, tuple[int, ...]]") -> Weights:
    """Lets all silos move the logd head of the round's network by 1; returns the new weights."""
    network = NETWORK.model_copy(update={"members": 2})
    own = round_shapes(network, FEATURES, ("logd", "solubility"), house.round().number)
    delta = {
        name: np.full(shape, 1.0, np.float32) for name, shape in own.items() if "head.logd" in name
    }
    (group,) = {group_of(name) for name in delta}
    for name in "abc":
        house.deliver(name, house.seal(name, pack(delta, {group: 1.0})))
    house.settle()
    return decode(get_object(house.folder.objects, _latest(house)), shapes)


def _latest(house: "House") -> str:
    releases = _releases(house)
    return releases[-1].weights_sha256 if releases else house.round().base_sha256


def test_rounds_move_networks_in_turn_and_a_release_has_both(house: "House") -> None:
    house.enrol("a", "b", "c")
    plan = house.plan(rounds=2, release_every=2, members=2)
    house.tick()
    shapes = expected_shapes(plan.network, FEATURES, plan.endpoints)
    start = decode(get_object(house.folder.objects, house.round().base_sha256), shapes)
    after = start
    for prefix in ("", "1/"):
        before = decode(get_object(house.folder.objects, house.round().base_sha256), shapes)
        after = _moved(house, shapes)
        moved = {name for name in shapes if not np.array_equal(before[name], after[name])}
        assert moved == {f"{prefix}head.logd.weight", f"{prefix}head.logd.bias"}
    (release,) = _releases(house)
    assert release.weights_sha256 == _latest(house)
    assert set(after) == set(start)


def test_an_update_of_another_network_than_the_round_trains_is_refused(house: "House") -> None:
    house.enrol("a", "b", "c")
    house.plan(release_every=2, members=2)
    house.tick()
    delta = {f"1/{name}": tensor for name, tensor in house.delta(1.0).items()}
    foreign = pack(delta, {"1/trunk": 1.0, "1/head.logd": 1.0})
    first = house.round()
    for name in "abc":
        house.deliver(name, house.seal(name, foreign))
    house.settle()
    assert house.round().attempt == 2
    assert set(house.states().values()) == {"refused"}
    assert house.round().base_sha256 == first.base_sha256


def test_a_release_before_each_network_was_trained_is_no_plan(house: "House") -> None:
    house.enrol("a", "b", "c")
    with pytest.raises(Refused, match="nobody trained") as refused:
        house.plan(release_every=1, members=2)
    assert refused.value.code == "untrained_member"


def test_a_silo_believes_everything_that_is_published(running: "House") -> None:
    for name in "abc":
        running.deliver(name, running.seal(name))
    running.settle()
    trusted = Trusted(
        running.folder.trust_root.read_bytes(), root_sha256(running.folder), running.now
    )
    with running.store.reading() as session:
        rows = session.scalars(select(PublishedRow).order_by(PublishedRow.number)).all()
    for row in rows:
        match row.kind:
            case "roster":
                trusted.take_roster(row.document, running.now)
            case "catalogue":
                trusted.take_catalogue(row.document)
            case "plan":
                trusted.take_plan(row.document, running.now)
            case "round":
                trusted.take_round(row.document, running.now)
            case _:
                found = trusted.take_repository(row.document, "stable", running.now, lambda _: 0)
                for offer in found.offers:
                    manifest = get_object(running.folder.objects, offer.files[MANIFEST].sha256)
                    trusted.take_release(offer, manifest, running.now)
    kinds = [row.kind for row in rows]
    assert kinds == [
        "catalogue",
        "roster",
        "stable",
        *["roster"] * 3,
        "plan",
        "round",
        "stable",
        "round",
    ]


def test_waits_for_the_deadline_then_goes_on_with_the_quorum(running: "House") -> None:
    for name in "ab":
        running.deliver(name, running.seal(name))
    assert not running.tick()
    running.later(99.9)
    assert not running.tick()
    running.later(0.2)
    running.settle()
    assert _rounds(running) == [(1, 1, "aggregated"), (2, 1, "collecting")]
    assert _releases(running)[0].contributors == 2


def test_below_the_quorum_the_round_starts_anew_with_another_key(running: "House") -> None:
    first = running.round()
    running.deliver("a", running.seal("a"))
    running.later(101)
    running.settle()
    again = running.round()
    assert _rounds(running) == [(1, 1, "aborted"), (1, 2, "collecting")]
    assert again.round_id != first.round_id
    assert again.seal_key != first.seal_key
    assert again.base_sha256 == first.base_sha256
    assert running.states() == {f"a {first.round_id}": "discarded"}
    assert [path.name for path in running.folder.round_keys.iterdir()] == [f"{again.round_id}.key"]
    assert list(running.folder.blobs.iterdir()) == []


def test_a_whole_plan_ends_with_its_last_release(running: "House") -> None:
    for _ in range(2):
        for name in "abc":
            running.deliver(name, running.seal(name))
        running.settle()
    assert _rounds(running) == [(1, 1, "aggregated"), (2, 1, "aggregated")]
    assert [release.version for release in _releases(running)] == [1, 2]
    assert list(running.folder.round_keys.iterdir()) == []
    assert list(running.folder.blobs.iterdir()) == []
    status = _status(running)
    assert status["plans"] == [{"plan_id": "p1", "state": "finished", "why": ""}]
    assert "release release-2 p1.r2.a1" in describe(status)
    running.later(1e6)
    assert not running.tick()


def test_releases_come_as_often_as_the_recipe_says_and_at_the_end(house: "House") -> None:
    house.enrol("a", "b")
    house.plan(rounds=3, release_every=2)
    house.settle()
    for _ in range(3):
        for name in "ab":
            house.deliver(name, house.seal(name))
        house.settle()
    assert [release.round_id for release in _releases(house)] == ["p1.r2.a1", "p1.r3.a1"]


def test_momentum_carries_over(house: "House") -> None:
    house.enrol("a", "b")
    house.plan(rounds=3, momentum=0.5)
    house.settle()
    start = _weights(house, house.round().base_sha256)
    for _ in range(2):
        for name in "ab":
            house.deliver(name, house.seal(name))
        house.settle()
    end = _weights(house, house.round().base_sha256)
    np.testing.assert_allclose(end["trunk.dense.bias"], start["trunk.dense.bias"] + 2.5, atol=1e-6)
    np.testing.assert_array_equal(end["head.solubility.bias"], start["head.solubility.bias"])
    assert len(list(house.folder.momenta.iterdir())) == 1


@pytest.mark.parametrize("fault", ["garbage", "nan", "weight", "heavy", "huge", "other_key"])
def test_a_bad_update_is_refused_and_the_others_go_on(running: "House", fault: str) -> None:
    delta = running.delta(1.0)
    payload = running.update(1.0, 1.0)
    recipient = None
    if fault == "garbage":
        payload = b"no tensors"
    elif fault == "nan":
        payload = running.update(float("nan"), 1.0)
    elif fault == "weight":
        payload = running.update(1.0, 0.0)
    elif fault == "heavy":
        payload = pack(delta, {"trunk": 101.0, "head.logd": 1.0}, cap=1e6)
    elif fault == "huge":
        payload = running.update(1e30, 1.0)
    else:
        recipient = running.silos["c"].seal.public_hex
    bad = running.seal("a", payload, sealed_for=recipient)
    assert running.deliver("a", bad).kind == "receipt"
    for name in "bc":
        running.deliver(name, running.seal(name, running.update(2.0, 1.0)))
    base = _weights(running, running.round().base_sha256)
    running.settle()
    assert running.states()["a p1.r1.a1"] == "refused"
    new = _weights(running, running.round().base_sha256)
    for name in delta:
        np.testing.assert_allclose(new[name], base[name] + 2.0, atol=1e-6)
    with running.store.reading() as session:
        codes = session.scalars(
            select(AnswerRow.code).where(AnswerRow.envelope_id == bad.envelope_id)
        ).all()
        status = read_status(session, running.folder, "demo", running.now)
    assert sorted(codes) == ["", "bad_update"]
    assert "bad_update" in str(status["rounds"])


def test_too_many_bad_updates_start_the_round_anew(running: "House") -> None:
    for name in "ab":
        running.deliver(name, running.seal(name, b"no tensors"))
    running.deliver("c", running.seal("c"))
    running.settle()
    assert _rounds(running) == [(1, 1, "aborted"), (1, 2, "collecting")]
    assert sorted(running.states().values()) == ["discarded", "refused", "refused"]


def test_the_silo_of_a_bad_update_sits_out_the_next_attempt(running: "House") -> None:
    running.deliver("a", running.seal("a", b"no tensors"))
    running.deliver("b", running.seal("b"))
    running.later(101)
    running.settle()
    assert running.round().participants == ("b", "c")
    for name in "bc":
        running.deliver(name, running.seal(name))
    running.settle()
    assert _rounds(running) == [(1, 1, "aborted"), (1, 2, "aggregated"), (2, 1, "collecting")]
    assert running.round().participants == ("a", "b", "c"), "the next round takes it in again"


def test_a_plan_whose_quorum_needs_a_bad_silo_stalls(house: "House") -> None:
    house.enrol("a", "b")
    house.plan(quorum=2)
    house.settle()
    for attempt in (1, 2, 3):
        assert house.round().attempt == attempt
        house.deliver("a", house.seal("a", b"no tensors"))
        house.deliver("b", house.seal("b"))
        house.settle()
    assert _rounds(house) == [(1, number, "aborted") for number in (1, 2, 3)]
    assert "p1 stalled: Bad updates spoilt 3 attempts" in describe(_status(house))
    assert list(house.folder.round_keys.iterdir()) == []
    house.later(1e6)
    assert not house.tick()


def test_missing_updates_never_stall_a_plan(house: "House") -> None:
    house.enrol("a", "b")
    house.plan(quorum=2)
    house.settle()
    for _ in range(5):
        house.later(101)
        house.settle()
    assert _rounds(house)[-1] == (1, 6, "collecting")


def test_with_uniform_weighting_every_silo_counts_one(house: "House") -> None:
    house.enrol("a", "b", "c")
    house.plan(weighting="uniform")
    house.settle()
    for name, weight in (("a", 1.0), ("b", 1.0), ("c", 1.5)):
        house.deliver(name, house.seal(name, house.update(1.0, weight)))
    first = house.round().round_id
    house.settle()
    states = {name: house.states()[f"{name} {first}"] for name in "abc"}
    assert states == {"a": "counted", "b": "counted", "c": "refused"}


def test_under_the_median_one_silo_moves_nothing(house: "House") -> None:
    house.enrol("a", "b", "c")
    house.plan(aggregate="median")
    house.settle()
    start = _weights(house, house.round().base_sha256)
    for name, step in (("a", 1.0), ("b", 2.0), ("c", -9.0)):
        house.deliver(name, house.seal(name, house.update(step, 100.0)))
    house.settle()
    end = _weights(house, house.round().base_sha256)
    np.testing.assert_allclose(end["trunk.dense.bias"], start["trunk.dense.bias"] + 1.0, atol=1e-6)


def test_an_envelope_that_is_still_arriving_is_not_waited_for(running: "House") -> None:
    late = running.seal("c")
    running.desk.put_header(late.envelope_id, "c", late.header, running.now)
    running.desk.put_piece(late.envelope_id, "c", 0, late.blob[:100], running.now)
    for name in "ab":
        running.deliver(name, running.seal(name))
    running.later(101)
    running.settle()
    answer = running.desk.put_piece(late.envelope_id, "c", 100, late.blob[100:], running.now)
    assert getattr(answer, "code", None) == "round_closed"
    assert list(running.folder.blobs.iterdir()) == []
    assert _releases(running)[0].contributors == 2


def test_a_revoked_silo_is_left_out_of_the_sum(running: "House") -> None:
    for name in "abc":
        running.deliver(name, running.seal(name))
    _revoke(running, "b")
    running.settle()
    assert running.states()["b p1.r1.a1"] == "refused"
    assert _releases(running)[0].contributors == 2
    assert running.round().participants == ("a", "c"), "and is not waited for any more"


def test_a_revoked_silo_does_not_make_the_quorum(running: "House") -> None:
    for name in "ab":
        running.deliver(name, running.seal(name))
    _revoke(running, "b")
    running.later(101)
    running.settle()
    assert _rounds(running) == [(1, 1, "aborted"), (1, 2, "collecting")]


def test_a_plan_that_revocations_leave_below_its_quorum_stalls(running: "House") -> None:
    _revoke(running, "b")
    _revoke(running, "c")
    running.later(101)
    running.settle()
    assert "p1 stalled: 1 silos are left of its quorum of 2" in describe(_status(running))


def test_a_revocation_during_the_sum_is_minded(
    running: "House", monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        running.deliver(name, running.seal(name))
    running.tick()  # closes the round
    move = closing_module.move

    def revoke_first(*arguments: Any) -> NewWeights:  # noqa: ANN401 - as `move`
        _revoke(running, "b")
        return move(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(engine_module, "move", revoke_first)
        assert running.tick()
    assert _releases(running) == []
    running.settle()
    assert running.states()["b p1.r1.a1"] == "refused"
    assert _releases(running)[0].contributors == 2


def _revoke(house: "House", silo: str) -> None:
    house.change(Changes(revoke=(silo,)))


@pytest.mark.parametrize("where", ["put_object", "move", "publish_release", "_count", "_change"])
def test_a_kill_inside_a_step_counts_nothing_twice(
    running: "House", monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    for name in "abc":
        running.deliver(name, running.seal(name))

    class Killed(BaseException):
        pass

    def killed(*_args: object) -> None:
        raise Killed

    module: object = engine_module
    if where == "put_object":
        module = closing_module
    running.tick()  # closes the round
    with monkeypatch.context() as patch:
        patch.setattr(module, where, killed)
        with pytest.raises(Killed):
            running.tick()
    running.restart()
    running.settle()
    assert _rounds(running) == [(1, 1, "aggregated"), (2, 1, "collecting")]
    assert [release.version for release in _releases(running)] == [1]
    assert set(running.states().values()) == {"counted"}
    keys = [path.name for path in running.folder.round_keys.iterdir()]
    assert keys == ["p1.r2.a1.key"]


def test_a_lost_round_key_starts_the_round_anew(running: "House") -> None:
    for name in "abc":
        running.deliver(name, running.seal(name))
    running.tick()
    (running.folder.round_keys / "p1.r1.a1.key").unlink()
    running.settle()
    assert _rounds(running) == [(1, 1, "aborted"), (1, 2, "collecting")]


def test_a_lost_blob_is_a_bad_update(running: "House") -> None:
    for name in "abc":
        running.deliver(name, running.seal(name))
    running.tick()
    next(running.folder.blobs.iterdir()).unlink()
    running.settle()
    assert sorted(running.states().values()) == ["counted", "counted", "refused"]


def test_a_lost_base_stops_its_plan_only(running: "House") -> None:
    for name in "abc":
        running.deliver(name, running.seal(name))
    running.tick()
    base = running.folder.objects / running.round().base_sha256
    content = base.read_bytes()
    base.unlink()
    assert not running.tick()
    base.write_bytes(content)
    running.settle()
    assert _rounds(running)[0] == (1, 1, "aggregated")


def test_an_expired_plan_opens_no_more_rounds(running: "House") -> None:
    running.later(91 * 86400)
    running.settle()
    assert _rounds(running) == [(1, 1, "aborted")]
    plans = _status(running)["plans"]
    assert plans == [{"plan_id": "p1", "state": "expired", "why": ""}]


def test_the_round_key_is_readable_by_its_owner_only(running: "House") -> None:
    path = running.folder.round_keys / f"{running.round().round_id}.key"
    assert path.stat().st_mode & 0o777 == 0o400


def test_only_open_rounds_show_in_the_feed_and_only_to_participants(running: "House") -> None:
    with running.store.reading() as session:
        assert [item.kind for item in read_feed(session, "a", 0).items][-1] == "round"
        assert "round" not in {item.kind for item in read_feed(session, "stranger", 0).items}
    for name in "abc":
        running.deliver(name, running.seal(name))
    running.settle()
    with running.store.reading() as session:
        feed = read_feed(session, "a", 0)
        assert [item.kind for item in feed.items][-3:] == ["plan", "stable", "round"]
        assert read_feed(session, "a", feed.last).items == ()
        hidden = read_feed(session, "stranger", feed.last - 1)
        assert (hidden.items, hidden.last) == ((), feed.last)


def test_a_new_silo_sees_the_newest_roster_only(running: "House") -> None:
    with running.store.reading() as session:
        kinds = [item.kind for item in read_feed(session, "c", 0).items]
    assert kinds == ["catalogue", "stable", "roster", "plan", "round"]


def test_plans_are_stored_as_signed(running: "House") -> None:
    with running.store.reading() as session:
        row = session.scalars(select(PublishedRow).where(PublishedRow.kind == "plan")).one()
    payload = parse(row.document).payload
    assert Plan.parse(payload).participants == ("a", "b", "c")
    assert running.round().plan_sha256 == sha256_bytes(payload)


def test_adam_keeps_both_of_its_moments(house: "House") -> None:
    house.enrol("a", "b")
    house.plan(rounds=3, optimizer="adam", momentum=0.9)
    house.settle()
    start = _weights(house, house.round().base_sha256)
    for _ in range(2):
        for name in "ab":
            house.deliver(name, house.seal(name))
        house.settle()
    end = _weights(house, house.round().base_sha256)
    first, second = 0.1, 0.01  # of deltas of 1.0
    moved = 0.01 * first / (second**0.5 + TAU)
    first, second = 0.9 * first + 0.1, 0.99 * second + 0.01
    moved += 0.01 * first / (second**0.5 + TAU)
    name = "trunk.dense.bias"
    np.testing.assert_allclose(end[name], start[name] + moved, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(end["head.solubility.bias"], start["head.solubility.bias"])
    assert len(list(house.folder.momenta.iterdir())) == 1


def test_nothing_opens_an_update_once_its_round_is_over(running: "House") -> None:
    """Forward secrecy: who takes the aggregator's whole folder later finds no key to old blobs."""
    recorded = [running.seal(name) for name in ("a", "b", "c")]
    manifest = running.round()
    (key_file,) = running.folder.round_keys.iterdir()
    old_key = load_sealing(key_file, "round")
    for name, sealed in zip(("a", "b", "c"), recorded, strict=True):
        running.deliver(name, sealed)
    running.settle()
    assert not key_file.exists()
    assert list(running.folder.blobs.iterdir()) == []
    secret = bytes.fromhex(_raw(old_key))
    for path in running.folder.root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert secret not in content, path
            assert secret.hex().encode() not in content, path
    with running.store.reading() as session:
        known = roster(session)
    keys = [load_sealing(path, "round") for path in running.folder.round_keys.iterdir()]
    assert keys, "the next round has a key of its own"
    for sealed in recorded:
        header = verify_header(sealed.header, known)
        assert header.core.round_id == manifest.round_id
        for key in keys:
            with pytest.raises(Refused, match="not_for_us"):
                open_blob(header, io.BytesIO(sealed.blob), key)


_MASKED: dict[str, Any] = {"mode": "masked"}


def _raw(key: SealingIdentity) -> str:
    raw: bytes = key._raw
    return raw.hex()


def test_an_update_protected_otherwise_than_the_plan_asks_is_refused(running: "House") -> None:
    manifest = running.round()
    with running.store.reading() as session:
        plan = Plan.parse(session.get_one(PlanRow, "p1").payload)
        header = verify_header(running.seal("a").header, roster(session))
    asked = plan.model_copy(update={"privacy": Privacy.model_construct(**_MASKED)})
    with pytest.raises(Refused, match="wrong_privacy"):
        admit(header, "a", "demo", asked, manifest, running.now)


def test_an_update_with_the_noise_that_was_asked_is_admitted(running: "House") -> None:
    asked = LocalNoise(epsilon=8.0, delta=1e-5, clip=1.0, sampling_rate=0.1)
    said = PaidNoise(
        **asked.model_dump(),
        noise=1.1,
        epsilon_after=2.0,
        after_delta=1e-5,
        account_head="00" * 32,
    )
    manifest = running.round()
    with running.store.reading() as session:
        plan = Plan.parse(session.get_one(PlanRow, "p1").payload)
        sealed = running.seal("a", changes={"privacy": said})
        header = verify_header(sealed.header, roster(session))
    plan = plan.model_copy(update={"privacy": asked})
    admit(header, "a", "demo", plan, manifest, running.now)
    less = plan.model_copy(update={"privacy": asked.model_copy(update={"epsilon": 1.0})})
    with pytest.raises(Refused, match="wrong_privacy"):
        admit(header, "a", "demo", less, manifest, running.now)
