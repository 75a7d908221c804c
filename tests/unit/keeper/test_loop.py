import errno
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import pytest

from agent.keeper.loop import STOP, WORKER, Keeper, Rhythm, StatusFile, stop_on_signals
from agent.keeper.upkeep import tidy

if TYPE_CHECKING:
    from datetime import datetime

    from agent.records import Json
    from tests.unit.keeper.conftest import House


@pytest.fixture
def queue() -> "SimpleQueue[str]":
    return SimpleQueue()


def _keeper(house: "House", queue: "SimpleQueue[str]", sweep_s: float = 60.0) -> Keeper:
    return Keeper(
        house.pipeline,
        house.intake,
        {"files": house.store},
        queue,
        Rhythm(sweep_s, 0.0),
        StatusFile(house.paths.status / "keeper.json", lambda: house.ledger.revision),
        partial(tidy, house.ledger, house.inbox, house.paths.snapshots),
        lambda: house.now,
    )


@pytest.mark.slow
def test_it_works_until_it_is_told_to_stop(house: "House", queue: "SimpleQueue[str]") -> None:
    (house.store / "a.csv").write_text("a\n")
    keeper = _keeper(house, queue)

    def clock() -> "datetime":
        if house.ledger.find("file"):
            queue.put(STOP)
        return house.now

    keeper._clock = clock
    keeper.run()
    assert house.state("file", "files/a.csv") in {"queued", "refused"}
    assert (house.paths.status / "keeper.json").exists()


def test_letters_are_taken_before_anything_is_tidied(
    house: "House", queue: "SimpleQueue[str]"
) -> None:
    """A keeper that was away for hours finds letters whose objects are hours old."""
    house.courier.bring("plan", house.consortium.plan())
    house.courier.bring("round", house.consortium.round(), house.consortium.base)
    base = house.inbox.object_path(house.consortium.round_document().base_sha256)
    os.utime(base, (0, 0))
    _keeper(house, queue).step(frozenset())
    assert house.state("round", "p1.r1.a1") == "announced"
    assert base.exists()


def test_a_worker_that_ended_is_no_reason_to_sweep(
    house: "House", queue: "SimpleQueue[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = _keeper(house, queue)
    keeper.step(frozenset())
    looks = []
    monkeypatch.setattr(house.intake, "look", lambda *_: looks.append(1))
    keeper.step(frozenset({WORKER}))
    assert not looks


def test_the_status_is_written_when_it_changed_and_as_a_sign_of_life(
    tmp_path: Path, house: "House"
) -> None:
    content: list[Json] = ["one"]
    file = StatusFile(tmp_path / "keeper.json", lambda: content[0])

    def write(at_s: float) -> bool:
        (tmp_path / "keeper.json").unlink(missing_ok=True)
        now: datetime = house.now
        file.write(now, at_s)
        return (tmp_path / "keeper.json").exists()

    assert write(0.0)
    assert not write(1.0)
    content[0] = "two"
    assert write(2.0)
    assert not write(31.0)
    assert write(32.1)


FULL = OSError(errno.ENOSPC, "No space left on device")


def test_without_room_for_the_status_the_keeper_lives(
    tmp_path: Path,
    house: "House",
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = StatusFile(tmp_path / "keeper.json", lambda: "one")

    def full(*_: object) -> None:
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr("agent.keeper.loop.write_atomic", full)
        for at_s in (0.0, 1.0, 2.0):
            file.write(house.now, at_s)
    assert [record.message for record in caplog.records] == ["status not written"]  # once
    file.write(house.now, 3.0)
    assert (tmp_path / "keeper.json").exists()


@pytest.mark.parametrize(("error", "lives"), [(FULL, True), (OSError(errno.EACCES, "no"), False)])
def test_a_disk_that_fails_for_a_while_ends_no_keeper(
    house: "House",
    queue: "SimpleQueue[str]",
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    lives: bool,
) -> None:
    keeper = _keeper(house, queue)

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(house.mail, "take_all", fail)
    if lives:
        keeper.step(frozenset())
        assert (house.paths.status / "keeper.json").exists()
    else:
        with pytest.raises(OSError, match="no"):
            keeper.step(frozenset())


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_only_post(queue: "SimpleQueue[str]", number: signal.Signals) -> None:
    stop_on_signals(queue)
    signal.raise_signal(number)
    assert queue.get(timeout=5) == STOP
