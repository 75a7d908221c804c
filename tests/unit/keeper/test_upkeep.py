import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from agent.files import sha256_bytes
from agent.keeper.upkeep import tidy

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House


def _tidy(house: "House", hours: float) -> None:
    house.now += timedelta(hours=hours)
    tidy(house.ledger, house.inbox, house.paths.snapshots, house.now)


def _base(house: "House") -> Path:
    return house.inbox.object_path(house.consortium.round_document().base_sha256)


def _arrived(house: "House") -> None:
    moment_s = house.now.timestamp()
    os.utime(_base(house), (moment_s, moment_s))


def test_base_weights_stay_as_long_as_their_round_is_open(house: "House") -> None:
    order = house.round_order()
    _arrived(house)
    _tidy(house, 5)
    assert _base(house).exists()
    house.rounds.give_up(order, "no", house.now)
    for _ in range(2):  # harmless when repeated
        _tidy(house, 0)
        assert not _base(house).exists()


def test_an_object_that_has_just_come_waits_for_its_letter(house: "House") -> None:
    _base(house).write_bytes(house.consortium.base)
    _arrived(house)
    _tidy(house, 0.5)
    assert _base(house).exists()
    _tidy(house, 1)
    assert not _base(house).exists()


def test_an_object_that_another_item_needs_stays(house: "House") -> None:
    """A release may publish the very weights that a round started from."""
    order = house.round_order()
    house.bring_release(weights=False)
    _arrived(house)
    house.rounds.give_up(order, "no", house.now)
    _tidy(house, 5)
    assert _base(house).exists()


def test_the_newest_release_stays_for_the_states_to_come(house: "House") -> None:
    """Or the courier would fetch it again with each new timestamp."""
    house.bring("plan", house.consortium.plan())
    first = house.consortium.release_document(1)
    house.bring_release(1)
    house.ledger.move(house.item("release", "r1"), "refused", house.now)
    manifest = house.inbox.object_path(sha256_bytes(first.to_bytes()))
    _arrived(house)
    os.utime(manifest, (house.now.timestamp(), house.now.timestamp()))
    _tidy(house, 5)
    assert _base(house).exists()
    assert manifest.exists()
    other = b"other weights"
    changes = {"weights_sha256": sha256_bytes(other), "weights_bytes": len(other)}
    house.courier.bring_release(house.consortium.release(2, **changes))
    house.mail.take_all(house.now)
    _tidy(house, 5)
    assert not _base(house).exists()
    assert not manifest.exists()


def test_old_snapshots_go_and_what_the_ledger_does_not_know(house: "House") -> None:
    for number in range(5):
        name = f"s{number}"
        (house.paths.snapshots / name).mkdir()
        house.ledger.add("snapshot", name, "wanted", house.now, {})
        if number < 4:
            house.ledger.move(house.item("snapshot", name), "frozen", house.now)
    (house.paths.snapshots / "orphan").mkdir()
    _tidy(house, 0)
    assert sorted(path.name for path in house.paths.snapshots.iterdir()) == ["s1", "s2", "s3", "s4"]


def _freeze(house: "House", name: str) -> None:
    (house.paths.snapshots / name).mkdir(exist_ok=True)
    house.ledger.add("snapshot", name, "wanted", house.now, {"times": 1})
    house.ledger.move(house.item("snapshot", name), "frozen", house.now)


def _left(house: "House") -> list[str]:
    return sorted(path.name for path in house.paths.snapshots.iterdir())


def test_an_old_snapshot_that_was_frozen_again_stays(house: "House") -> None:
    """Else it would be frozen, cleared away and wanted again without end."""
    for number in range(5):
        _freeze(house, f"s{number}")
    _tidy(house, 0)
    assert _left(house) == ["s2", "s3", "s4"]
    house.ledger.move(house.item("snapshot", "s0"), "wanted", house.now, "it was cleared away")
    _tidy(house, -24)  # the clock is set back: what counts is what was done last
    _freeze(house, "s0")
    _tidy(house, 0)
    assert _left(house) == ["s0", "s3", "s4"]
    house.ledger.move(house.item("snapshot", "s0"), "scored", house.now)
    _tidy(house, 0)
    assert _left(house) == ["s0", "s3", "s4"]


def test_a_snapshot_that_a_job_waits_for_stays_until_it_is_done(house: "House") -> None:
    order = house.round_order()
    _freeze(house, order.snapshot)
    for number in range(3):
        _freeze(house, f"s{number}")
    _tidy(house, 0)
    assert _left(house) == [order.snapshot, "s0", "s1", "s2"]
    (job,) = house.ledger.find("job", "queued")
    house.ledger.move(job, "started", house.now)
    _tidy(house, 0)
    assert order.snapshot in _left(house)
    house.workers.finish(house.item("job", job.id), house.trained(), house.now)
    _tidy(house, 0)
    assert _left(house) == ["s0", "s1", "s2"]
