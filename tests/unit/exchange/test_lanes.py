"""The courier's loop: what one direction does never stops the other, but for what is fatal."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.audit.transport import Totals
from agent.errors import Stop, TryLater
from agent.exchange.lanes import Courier, Lane, Pace, Pulse
from agent.exchange.status import StatusFile, read_status
from agent.notify import Notify

_NOW = datetime(2026, 6, 1, tzinfo=UTC)
_PACE = Pace(retry_first_s=0.01, retry_cap_s=0.01)


class _Quiet:
    last_contact = None
    totals = Totals()


def _courier(tmp_path: Path, up: object, down: object) -> Courier:
    lanes = (
        Lane("up", up, _Quiet(), lambda: 3, 0.01),  # type: ignore[arg-type]
        Lane("down", down, _Quiet(), lambda: None, 0.01),  # type: ignore[arg-type]
    )
    return Courier(lanes, StatusFile(tmp_path / "status.json"), lambda: _NOW, _PACE)


def _idle(now: datetime) -> int:
    return 0


def test_an_unforeseen_error_ends_the_process_with_its_cause(tmp_path: Path) -> None:
    def breaks(now: datetime) -> int:
        raise KeyError("unforeseen")

    with pytest.raises(KeyError, match="unforeseen"):
        _courier(tmp_path, _idle, breaks).run(threading.Event())


def test_what_only_a_person_can_change_is_told_and_ends_it(tmp_path: Path) -> None:
    def stops(now: datetime) -> int:
        raise Stop("The disk is gone; mount it.")

    with pytest.raises(Stop, match="mount it"):
        _courier(tmp_path, stops, _idle).run(threading.Event())
    assert read_status(tmp_path / "status.json").up_error == "The disk is gone; mount it."


def test_a_passing_trouble_of_one_way_leaves_the_other_at_work(tmp_path: Path) -> None:
    stop, calls = threading.Event(), [0]

    def away(now: datetime) -> int:
        raise TryLater("Away.")

    def works(now: datetime) -> int:
        calls[0] += 1
        if calls[0] > 20:
            stop.set()
        return 0

    _courier(tmp_path, away, works).run(stop)
    assert calls[0] > 20


def test_an_error_after_the_end_was_told_is_nobodys_concern(tmp_path: Path) -> None:
    stop, ready = threading.Event(), threading.Event()

    def late(now: datetime) -> int:
        ready.set()
        stop.wait()
        threading.Event().wait(0.5)
        raise KeyError("late")

    def end() -> None:
        ready.wait()
        stop.set()

    courier = _courier(tmp_path, late, _idle)
    threading.Thread(target=end).start()
    courier.run(stop)


def test_a_status_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    status = StatusFile(tmp_path / "nowhere" / "status.json")
    status.note("up", "", 0, _Quiet(), _NOW)
    assert read_status(tmp_path / "nowhere" / "status.json").updated == ""


class _Answered(_Quiet):
    last_contact: datetime | None = None  # type: ignore[assignment]


def test_a_lane_that_hangs_keeps_the_sign_of_life_back() -> None:
    traffic = _Answered()
    up = Lane("up", _idle, traffic, lambda: 0, 0.0)
    pulse = Pulse((up, Lane("down", _idle, _Quiet(), lambda: 0, 0.0)))
    pulse.all_moved()
    for _ in range(3):
        pulse.beat("down")
        assert not pulse.all_moved()
    traffic.last_contact = _NOW  # a piece of a long upload was answered
    assert pulse.all_moved()
    assert not pulse.all_moved()


def test_a_lane_that_rests_for_long_is_alive(tmp_path: Path) -> None:
    told: list[str] = []
    stop = threading.Event()

    class Listening(Notify):
        def alive(self, at_s: float, status: str = "") -> None:  # noqa: ARG002
            told.append(status)
            if len(told) > 3:
                stop.set()

    quick = "agent.exchange.lanes._BEAT_S"
    lanes = tuple(Lane(way, _idle, _Quiet(), lambda: 3, 3600.0) for way in ("up", "down"))
    status = StatusFile(tmp_path / "status.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quick, 0.05)
        Courier(lanes, status, lambda: _NOW, _PACE, Listening()).run(stop)
    assert told[-1] == "3 wait for an answer, 0 requests so far"
