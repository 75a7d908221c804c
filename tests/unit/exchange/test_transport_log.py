"""The transport log: chained, durable, mended after a power cut, never after tampering."""

import json
import os
import resource
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.audit.transport import Totals
from agent.errors import Refused, Stop, TryLater
from agent.exchange.transport_log import TransportLog, Trip, verify
from agent.files import sha256_bytes
from agent.wire import strict_json

_NOW = datetime(2026, 6, 1, tzinfo=UTC)


def _filled(path: Path, lines: int = 3) -> bytes:
    with TransportLog(path) as log:
        for number in range(lines):
            log.record(Trip("GET", f"/v1/feed?after={number}", 200, number, 10), _NOW)
    return path.read_bytes()


def _code(path: Path) -> str:
    with pytest.raises(Refused) as caught:
        verify(path)
    return caught.value.code


def test_lines_add_up_over_restarts(tmp_path: Path) -> None:
    path = tmp_path / "log"
    _filled(path)
    _filled(path)
    assert verify(path) == Totals(6, 6, 60)
    with TransportLog(path) as log:
        assert log.totals == Totals(6, 6, 60)


def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    TransportLog(tmp_path / "log").close()
    assert verify(tmp_path / "log") == Totals()


@pytest.mark.parametrize("tail", [b"{", b'{"n":4,"t":"2026', bytes(4096), b"x" * 20000])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "log"
    whole = _filled(path)
    path.write_bytes(whole + tail)
    assert _code(path) == "torn_log"
    TransportLog(path).close()
    assert path.read_bytes() == whole
    _filled(path, 1)
    assert verify(path).requests == 4


def test_a_log_that_is_only_a_torn_line_starts_afresh(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b'{"n":1')
    _filled(path, 1)
    assert verify(path).requests == 1


@pytest.mark.parametrize("tail", [b"{}\n", b"[]\n", b"junk\n", b"x" * 50000])
def test_an_altered_end_stops_the_courier(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(_filled(path) + tail)
    with pytest.raises(Stop, match="altered"):
        TransportLog(path)


def test_a_line_removed_moved_or_rewritten_is_found(tmp_path: Path) -> None:
    path = tmp_path / "log"
    one, two, three = _filled(path).splitlines(keepends=True)
    for lines in ((one, three), (two, three), (two, one, three), (one, two, two, three)):
        path.write_bytes(b"".join(lines))
        assert _code(path) == "broken_log"


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_any_altered_byte_is_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    content = bytearray(_filled(path))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert _code(path) in {"broken_log", "torn_log"}


def test_false_totals_under_a_true_hash_are_found(tmp_path: Path) -> None:
    path = tmp_path / "log"
    _filled(path, 1)
    fields = json.loads(path.read_bytes())
    assert fields["total_up"] == 0
    other = tmp_path / "other"
    with TransportLog(other) as log:
        log.record(Trip("GET", "/", 200, 5, 5), _NOW)
    second = _filled(path, 1).splitlines(keepends=True)[1]
    path.write_bytes(other.read_bytes() + second)
    assert _code(path) == "broken_log"


def test_without_a_log_nothing_is_sent(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="Cannot write the transport log"):
        TransportLog(tmp_path / "nowhere" / "log")
    log = TransportLog(tmp_path / "log")
    log.close()
    log.close()
    with pytest.raises(Stop, match="closed"):
        log.record(Trip("GET", "/", 200, 0, 0), _NOW)
    with pytest.raises(Stop, match="closed"):
        log.settle()


def test_a_line_that_found_the_disk_full_is_owed_until_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with TransportLog(path) as log:
        log.record(Trip("GET", "/one", 200, 1, 0), _NOW)
        full, log._descriptor = log._descriptor, os.open("/dev/full", os.O_RDWR)
        with pytest.raises(TryLater, match="Free disk space"):
            log.record(Trip("GET", "/two", 200, 2, 0), _NOW)
        with pytest.raises(TryLater, match="Free disk space"):
            log.settle()
        os.close(log._descriptor)
        log._descriptor = full
        log.settle()
        log.record(Trip("GET", "/three", 200, 3, 0), _NOW)
    assert verify(path) == Totals(3, 6, 0)


def _resealed(path: Path, number: int, **changes: object) -> None:
    """Rewrites a line with a hash that fits it."""
    lines = path.read_bytes().splitlines(keepends=True)
    fields = json.loads(lines[number]) | changes
    fields.pop("hash")
    fields["hash"] = sha256_bytes(strict_json.dumps(fields))
    lines[number] = strict_json.dumps(fields) + b"\n"
    path.write_bytes(b"".join(lines))


def test_totals_that_do_not_add_up_are_found(tmp_path: Path) -> None:
    path = tmp_path / "log"
    _filled(path, 2)
    _resealed(path, 0, total_up=999)
    assert _code(path) == "broken_log"


def test_a_line_without_a_number_is_found(tmp_path: Path) -> None:
    path = tmp_path / "log"
    _filled(path, 1)
    _resealed(path, 0, up="many")
    assert _code(path) == "broken_log"


def test_a_line_that_the_disk_took_in_part_is_owed(tmp_path: Path) -> None:
    """A limit on the file's size makes the kernel take a part, as a disk that fills up does."""
    path = tmp_path / "log"
    with TransportLog(path) as log:
        log.record(Trip("GET", "/one", 200, 1, 0), _NOW)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
        try:
            with pytest.raises(TryLater, match="Free disk space"):
                log.record(Trip("GET", "/two", 200, 1, 0), _NOW)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert path.read_bytes().endswith(b"\n"), "no line follows half a one"
        log.settle()
    assert verify(path) == Totals(2, 2, 0)


def _lines(path: Path) -> list[tuple[str, int, int]]:
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [(line["target"], line["status"], line["up"]) for line in lines]


_PIECE = Trip("PUT", "/v1/envelopes/e/blob?offset=0", 0, 9, 0)
_OTHER = Trip("POST", "/v1/rotations", 0, 4, 0)


def test_what_a_killed_process_had_begun_gets_its_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = TransportLog(path)
    log.begin(_PIECE, _NOW)
    log.begin(_OTHER, _NOW)
    log.record(replace(_OTHER, status=200), _NOW)
    os.close(log._descriptor)  # a kill: nothing more is written
    TransportLog(path).close()
    assert _lines(path) == [(_OTHER.target, 200, 4), (_PIECE.target, 0, 9)]
    TransportLog(path).close()
    assert verify(path).requests == 2
    assert [file.name for file in tmp_path.iterdir()] == ["log"]


def test_what_has_its_line_is_begun_no_more(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with TransportLog(path) as log:
        log.begin(_PIECE, _NOW)
        assert (tmp_path / "log.begun").exists()
        log.record(replace(_PIECE, status=200), _NOW)
        assert not (tmp_path / "log.begun").exists()
    TransportLog(path).close()
    assert _lines(path) == [(_PIECE.target, 200, 9)]


def test_nothing_leaves_where_it_cannot_be_noted(tmp_path: Path) -> None:
    with TransportLog(tmp_path / "log") as log:
        (tmp_path / "log.begun").mkdir()
        with pytest.raises(TryLater, match="nothing is sent without its account"):
            log.begin(_PIECE, _NOW)
    assert _lines(tmp_path / "log") == []


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_a_damaged_note_of_what_was_begun_is_no_line(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "log"
        path.with_name("log.begun").write_bytes(content)
        TransportLog(path).close()
        verify(path)
        assert not path.with_name("log.begun").exists()


def test_a_note_that_cannot_be_read_stops_the_courier(tmp_path: Path) -> None:
    (tmp_path / "log.begun").mkdir()
    with pytest.raises(Stop, match="transport log"):
        TransportLog(tmp_path / "log")


def test_a_note_that_somebody_else_wrote_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "log.begun").write_bytes(b"no list")
    TransportLog(tmp_path / "log").close()
    assert "what_was_begun_is_unreadable" in caplog.text
