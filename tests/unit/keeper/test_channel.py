"""The release channel at the keeper: what the ledger remembers when everything else forgets."""

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from agent.files import sha256_bytes
from agent.keeper.channel import release_objects
from agent.keeper.mail import Mail
from agent.wire.documents import ObjectRef
from agent.wire.repository import MANIFEST, WEIGHTS
from tests.kit.releases import reference

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House


@pytest.fixture
def planned(house: "House") -> "House":
    house.bring("plan", house.consortium.plan())
    return house


def _advance(house: "House") -> None:
    house.pipeline.advance(house.now, 1.0)


def _releases(house: "House") -> dict[str, str]:
    return {item.id: item.state for item in house.ledger.find("release")}


def test_a_release_is_announced_with_what_it_consists_of(planned: "House") -> None:
    planned.bring_release()
    item = planned.item("release", "r1")
    assert item.state == "announced"
    assert release_objects(item) == [sha256_bytes(planned.consortium.base)]
    assert planned.ledger.floor("release") == 1
    assert planned.ledger.document("repository", "fresh until") == b"2026-03-31T12:00:00.000000Z"


def test_an_old_repository_is_refused_by_name(planned: "House") -> None:
    old = planned.consortium.release(1)
    planned.bring_release(2)
    planned.courier.bring_release(old, planned.consortium.base)
    planned.mail.take_all(planned.now)
    assert planned.refusals() == ["rolled_back"]
    assert _releases(planned) == {"r2": "announced"}


@pytest.mark.parametrize("damage", ["zeroed", "truncated", "gone"])
def test_an_old_repository_after_a_power_cut_that_zeroed_the_metadata(
    planned: "House", damage: str
) -> None:
    """python-tuf alone accepts it: its own copy of the metadata is not fsynced. Ours is a row."""
    old = planned.consortium.release(1)
    planned.bring_release(2)
    planned.courier.bring_release(planned.consortium.release(2), planned.consortium.base)
    for path in planned.paths.inbox.rglob("*"):
        if path.is_file():
            size = path.stat().st_size
            path.write_bytes(b"\0" * size if damage == "zeroed" else b"")
            if damage == "gone":
                path.unlink()
    planned.reopen()
    planned.mail.take_all(planned.now)
    assert planned.refusals() == ([] if damage == "gone" else ["not_json"])
    planned.courier.bring_release(old, planned.consortium.base)
    planned.mail.take_all(planned.now)
    assert planned.refusals()[-1] == "rolled_back"
    assert _releases(planned) == {"r2": "announced"}


def test_a_clock_set_back_400_days_makes_no_expired_repository_good(planned: "House") -> None:
    """The repository of then, which nobody has seen yet, with the clock of then."""
    old = planned.consortium.release(1)
    planned.now += timedelta(days=400)
    _advance(planned)
    planned.reopen()
    planned.now -= timedelta(days=400)
    planned.courier.bring_release(old, planned.consortium.base)
    _advance(planned)
    assert planned.refusals() == ["expired"]
    assert not _releases(planned)
    assert planned.state("clock", "host") == "doubted"


def test_a_frozen_repository_expires(planned: "House") -> None:
    frozen = planned.consortium.release(1)
    planned.courier.bring_release(frozen, planned.consortium.base)
    planned.now += timedelta(days=31)
    planned.mail.take_all(planned.now)
    assert planned.refusals() == ["expired"]


def test_what_was_refused_leaves_no_floor_behind(planned: "House") -> None:
    repository = planned.consortium.repository
    repository.versions["timestamp"] = 1000
    planned.consortium.release(1)
    repository.sign_snapshot(planned.consortium.aggregator)
    repository.sign_timestamp()
    planned.bring("stable", repository.gathered().to_bytes())
    assert planned.refusals() == ["too_few_signatures"]
    repository.versions["timestamp"] = 1
    planned.bring_release(2)
    assert _releases(planned) == {"r2": "announced"}


def test_a_kill_between_any_two_steps_ends_the_same(
    planned: "House", monkeypatch: pytest.MonkeyPatch
) -> None:
    release = planned.consortium.release(1)

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    for name in ("raise_floor", "put_document", "add"):
        planned.courier.bring_release(release, planned.consortium.base)
        with monkeypatch.context() as patch:
            patch.setattr(planned.ledger, name, killed)
            with pytest.raises(Killed):
                planned.mail.take_all(planned.now)
        planned.reopen()
        assert not _releases(planned)
        assert planned.ledger.floor("release") == 0
    with monkeypatch.context() as patch:  # committed, and the letter is still there
        patch.setattr(planned.inbox, "done", killed)
        with pytest.raises(Killed):
            planned.mail.take_all(planned.now)
    planned.reopen()
    planned.mail.take_all(planned.now)
    assert _releases(planned) == {"r1": "announced"}
    assert planned.refusals() == []


def test_a_canary_is_not_taken_by_a_stable_silo(planned: "House") -> None:
    consortium = planned.consortium
    manifest = consortium.release_document(2).to_bytes()
    weights = ObjectRef(sha256=sha256_bytes(consortium.base), bytes=len(consortium.base))
    files = {MANIFEST: reference(manifest), WEIGHTS: weights}
    consortium.repository.list("r2", 2, files, "canary")
    letter = consortium.repository.state().to_bytes()
    planned.courier.bring("canary", letter, manifest, consortium.base)
    planned.mail.take_all(planned.now)
    assert not _releases(planned)
    canary = Mail(planned.inbox, planned.ledger, planned.trusted, "silo-a", channel="canary")
    planned.courier.bring("canary", letter, manifest, consortium.base)
    canary.take_all(planned.now)
    assert _releases(planned) == {"r2": "announced"}
    assert planned.refusals() == []


def test_only_the_newest_release_is_taken(planned: "House") -> None:
    planned.consortium.release(1)
    planned.consortium.release(2)
    planned.bring_release(3)
    assert _releases(planned) == {"r3": "announced"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"expires": "2026-02-01T00:00:00Z"}, "expired"),
        ({"plan_id": "p9"}, "unknown_plan"),
        ({"plan_sha256": "00" * 32}, "wrong_plan"),
        ({"consortium": "other"}, "wrong_consortium"),
    ],
)
def test_a_release_that_is_not_believed_is_set_aside_once(
    planned: "House", changes: dict[str, object], code: str
) -> None:
    """The state that it came with stands, and each state after it tells of it again."""
    planned.courier.bring_release(planned.consortium.release(1, **changes))
    planned.mail.take_all(planned.now)
    planned.courier.bring("stable", planned.consortium.repository.state().to_bytes())
    planned.mail.take_all(planned.now)
    assert planned.refusals() == [code]
    (line,) = planned.ledger.find("letter")
    assert line.detail["kind"] == "release"
    assert not _releases(planned)
    assert planned.ledger.floor("release") == 0
    planned.bring_release(2)
    assert _releases(planned) == {"r2": "announced"}


def test_a_manifest_that_did_not_arrive_is_asked_for_again(planned: "House") -> None:
    letter, manifest = planned.consortium.release(1)
    planned.bring("stable", letter)
    assert planned.refusals() == ["wrong_object"]
    planned.courier.bring_release((letter, manifest), planned.consortium.base)
    planned.mail.take_all(planned.now)
    assert _releases(planned) == {"r1": "announced"}


def test_a_withdrawn_release_is_refused_before_it_is_checked(planned: "House") -> None:
    planned.bring_release(1)
    planned.consortium.repository.listed["stable"].clear()
    planned.bring("stable", planned.consortium.repository.state().to_bytes())
    assert _releases(planned) == {"r1": "refused"}
    assert "withdrew" in planned.item("release", "r1").why


def test_a_release_waits_for_every_file_that_it_lists(planned: "House") -> None:
    consortium, notes = planned.consortium, b"notes"
    manifest = consortium.release_document(1).to_bytes()
    weights = ObjectRef(sha256=sha256_bytes(consortium.base), bytes=len(consortium.base))
    files = {MANIFEST: reference(manifest), WEIGHTS: weights, "notes.json": reference(notes)}
    consortium.repository.list("r1", 1, files)
    state = consortium.repository.state().to_bytes()
    planned.courier.bring_release((state, manifest), consortium.base)
    planned.mail.take_all(planned.now)
    planned.order_release(None)
    assert _releases(planned) == {"r1": "announced"}
    planned.inbox.object_path(sha256_bytes(notes)).write_bytes(notes)
    planned.order_release(None)
    assert _releases(planned) == {"r1": "fetched"}


def test_a_release_that_an_older_program_booked_has_its_weights_alone(planned: "House") -> None:
    manifest = planned.consortium.release_document(1)
    detail = {"manifest": manifest.model_dump_json()}
    planned.ledger.add("release", "r1", "announced", planned.now, {**detail})
    assert release_objects(planned.item("release", "r1")) == [manifest.weights_sha256]
