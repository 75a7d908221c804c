"""The courier's log, read by somebody who does not believe it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.audit.transport import GENESIS, Carried, Mark, read
from agent.errors import Refused
from agent.exchange.transport_log import TransportLog, Trip
from agent.files import sha256_bytes
from agent.wire import strict_json

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TRIPS = [Trip("GET", "/v1/feed?after=0&wait_s=1", 200, number, 10 * number) for number in range(5)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "transport.ndjson"
    with TransportLog(path) as log:
        for trip in TRIPS:
            log.record(trip, NOW)
    return path


def _read(path: Path, mark: Mark | None = None) -> list[Carried]:
    return list(read(path, mark or Mark()))


def test_every_line_is_read_with_its_place(path: Path) -> None:
    found = _read(path)
    assert [(one.method, one.target, one.bytes_up) for one in found] == [
        (trip.method, trip.target, trip.bytes_up) for trip in TRIPS
    ]
    assert found[-1].mark.offset == path.stat().st_size
    assert found[-1].mark.totals.bytes_down == 100


def test_reading_goes_on_from_any_line(path: Path) -> None:
    found = _read(path)
    for number, one in enumerate(found, start=1):
        assert _read(path, one.mark) == found[number:]


def test_a_line_that_is_still_being_written_is_left(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    assert len(_read(path)) == 4


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize("number", range(4))
def test_a_deleted_line_is_found(path: Path, number: int) -> None:
    lines = _lines(path)
    path.write_bytes(b"".join(lines[:number] + lines[number + 1 :]))
    with pytest.raises(Refused, match=f"Line {number + 1}") as refused:
        _read(path)
    assert refused.value.code == "broken_log"


@pytest.mark.parametrize("name", ["up", "target", "n", "total_up", "prev", "hash", "t"])
def test_an_altered_line_is_found(path: Path, name: str) -> None:
    lines = _lines(path)
    fields = json.loads(lines[2])
    fields[name] = 7
    lines[2] = json.dumps(fields).encode() + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(Refused, match="broken_log"):
        _read(path)


@pytest.mark.parametrize("line", [b"[]\n", b"{}\n", b"\n", b"\xff\n"])
def test_a_line_that_is_none_is_found(path: Path, line: bytes) -> None:
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(Refused, match="broken_log"):
        _read(path)


def _rechained(path: Path, trips: list[Trip]) -> None:
    """Whoever owns the log writes another one, whole in itself."""
    path.unlink()
    with TransportLog(path) as log:
        for trip in trips:
            log.record(trip, NOW)


def test_a_log_that_was_rewritten_as_a_whole_is_found_by_its_mark(path: Path) -> None:
    mark = _read(path)[-1].mark
    _rechained(path, [*TRIPS[:2], *TRIPS[3:], TRIPS[0]])
    with pytest.raises(Refused) as refused:
        _read(path, mark)
    assert refused.value.code == "cut_log"


@pytest.mark.parametrize("keep", [0, 3])
def test_a_log_whose_end_was_cut_off_is_found_by_its_mark(path: Path, keep: int) -> None:
    mark = _read(path)[-1].mark
    path.write_bytes(b"".join(_lines(path)[:keep]))
    with pytest.raises(Refused, match="cut_log"):
        _read(path, mark)


def test_a_mark_in_a_log_that_is_longer_than_one_look_back(tmp_path: Path) -> None:
    path = tmp_path / "long.ndjson"
    with TransportLog(path) as log:
        for _ in range(80):
            log.record(Trip("GET", "/v1/roster", 200, 0, 1), NOW)
    found = _read(path)
    assert path.stat().st_size > 16 << 10
    assert _read(path, found[-1].mark) == []
    assert Mark().head == GENESIS


def test_a_negative_number_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "negative.ndjson"
    with TransportLog(path) as log:
        log.record(Trip("PUT", "/v1/x", 200, -5, 0), NOW)
    with pytest.raises(Refused, match="broken_log"):
        _read(path)


def test_totals_that_do_not_add_up_are_found(path: Path) -> None:
    """Chained rightly, and counting one request less than were made."""
    lines = _lines(path)
    fields = json.loads(lines[4])
    del fields["hash"]
    fields["n"] = 4
    hashed = sha256_bytes(strict_json.dumps(fields))
    lines[4] = strict_json.dumps({**fields, "hash": hashed}) + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(Refused, match="broken_log"):
        _read(path)
