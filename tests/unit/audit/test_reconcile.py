"""What the courier carried against what was let out: every way in which they may differ."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.audit.reconcile import Booked, Comparison, Progress, _joined
from agent.audit.transport import Mark, read
from agent.exchange.transport_log import TransportLog, Trip

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ONE, TWO = "1" * 64, "2" * 64
BOOKED = {ONE: Booked(100, 2500, delivered=True), TWO: Booked(80, 0, delivered=True)}
PIECE = 1000

TripSpec = tuple[str, str, int]


def _put_header(envelope_id: str = ONE, up: int = 100) -> TripSpec:
    return "PUT", f"/v1/envelopes/{envelope_id}/header", up


def _put_piece(offset: int, up: int, envelope_id: str = ONE) -> TripSpec:
    return "PUT", f"/v1/envelopes/{envelope_id}/blob?offset={offset}", up


WHOLE = [_put_header(), _put_piece(0, 1000), _put_piece(1000, 1000), _put_piece(2000, 500)]


def _compare(
    tmp_path: Path,
    trips: Sequence[TripSpec],
    booked: Mapping[str, Booked] = BOOKED,
    progress: Progress | None = None,
) -> Comparison:
    path = tmp_path / "transport.ndjson"
    with TransportLog(path) as log:
        for method, target, up in trips:
            log.record(Trip(method, target, 200, up, 1), NOW)
    comparison = Comparison(progress or Progress())
    comparison.read(read(path, comparison.progress.mark))
    comparison.judge(booked)
    return comparison


def _codes(tmp_path: Path, *trips: TripSpec, booked: Mapping[str, Booked] = BOOKED) -> list[str]:
    return [one.code for one in _compare(tmp_path, trips, booked).differences]


def test_what_was_let_out_and_no_byte_more(tmp_path: Path) -> None:
    found = _compare(
        tmp_path,
        [
            ("POST", "/v1/enrol", 1200),
            ("GET", "/v1/feed?after=0&wait_s=20", 0),
            *WHOLE,
            _put_header(TWO, 80),
            ("HEAD", f"/v1/envelopes/{ONE}", 0),
            ("GET", "/v1/repository/" + "a" * 64, 0),
        ],
    )
    assert found.differences == []
    assert found.progress.sent == {ONE: ((0, 2500),), TWO: ()}
    assert found.progress.mark.requests == 9


def test_a_carried_folder_is_accounted_for_as_well(tmp_path: Path) -> None:
    base = f"/v1/envelopes/{ONE}"
    trips: list[TripSpec] = [
        ("WRITE", "/v1/feed", 900),
        ("WRITE", f"{base}/blob", 2500),
        ("WRITE", f"{base}/header", 100),
        ("READ", "/v1/repository/" + "a" * 64, 0),
        ("READ", f"{base}/header", 0),
    ]
    assert _codes(tmp_path, *trips) == []
    beyond = tmp_path / "beyond"
    beyond.mkdir()
    assert "bytes_beyond" in _codes(beyond, ("WRITE", f"{base}/blob", 9_999))
    strange = tmp_path / "strange"
    strange.mkdir()
    assert _codes(strange, ("WRITE", "/v1/feed", 1 << 20)) == ["strange_request"]


def test_what_is_sent_again_is_no_difference(tmp_path: Path) -> None:
    again = [*WHOLE[:2], _put_header(), _put_piece(0, 1000), _put_piece(700, 1000), *WHOLE[2:]]
    assert _codes(tmp_path, *again) == []


def test_a_forged_extra_request(tmp_path: Path) -> None:
    assert _codes(tmp_path, *WHOLE, _put_header("3" * 64)) == ["unknown_envelope"]
    assert _codes(tmp_path, _put_piece(0, 5, "4" * 64))[-1] == "unknown_envelope"


@pytest.mark.parametrize(
    "trip",
    [
        ("POST", "/v1/elsewhere", 5),
        ("POST", "/v1/enrol", 1 << 20),
        ("GET", "/v1/feed?after=0&wait_s=1", 7),
        ("GET", "/v1/feed?after=secret", 0),
        ("GET", "/elsewhere", 0),
        ("GET", "/v1/" + "a" * 200, 0),
        ("DELETE", "/v1/roster", 0),
        ("PUT", f"/v1/envelopes/{ONE}/other", 10),
        ("PUT", f"/v1/envelopes/{ONE}/blob?offset=-1", 10),
    ],
)
def test_a_strange_request(tmp_path: Path, trip: TripSpec) -> None:
    assert _codes(tmp_path, *WHOLE, trip) == ["strange_request"]


@pytest.mark.parametrize(
    "trip", [_put_header(up=101), _put_header(up=99), _put_piece(2000, 501), _put_piece(9999, 1)]
)
def test_more_bytes_than_booked(tmp_path: Path, trip: TripSpec) -> None:
    assert "bytes_beyond" in _codes(tmp_path, *WHOLE, trip)


def test_a_blob_for_a_statement_that_has_none(tmp_path: Path) -> None:
    assert _codes(tmp_path, _put_header(TWO, 80), _put_piece(0, 1, TWO)) == [
        "bytes_beyond",
        "bytes_missing",
    ]


def test_a_log_that_lacks_a_part_of_what_arrived(tmp_path: Path) -> None:
    """Somebody removed a line and chained the rest anew."""
    for missing in (1, 2, 3):
        folder = tmp_path / str(missing)
        folder.mkdir()
        assert _codes(folder, *WHOLE[:missing], *WHOLE[missing + 1 :]) == ["bytes_missing"]


def test_what_has_not_arrived_yet_may_be_incomplete(tmp_path: Path) -> None:
    booked = {ONE: Booked(100, 2500, delivered=False)}
    assert _codes(tmp_path, *WHOLE[:2], booked=booked) == []


def test_a_line_from_before_the_tree_is_held_to_its_whole_length_only(tmp_path: Path) -> None:
    booked = {ONE: Booked(None, 2600, delivered=True)}
    assert _codes(tmp_path, *WHOLE, booked=booked) == []
    assert _codes(tmp_path, _put_piece(2000, 700), booked=booked)[-1] == "bytes_beyond"


def test_another_carrier_leaves_no_trace_here(tmp_path: Path) -> None:
    assert _codes(tmp_path, ("GET", "/v1/roster", 0)) == []


def test_one_kind_of_difference_is_not_told_for_ever(tmp_path: Path) -> None:
    trips = [_put_header(f"{number:064x}") for number in range(50)]
    found = _codes(tmp_path, *trips, _put_piece(0, 9999))
    assert found.count("unknown_envelope") == 20
    assert "bytes_beyond" in found


def test_a_comparison_goes_on_another_day(tmp_path: Path) -> None:
    booked = {ONE: Booked(100, 2500, delivered=False)}
    first = _compare(tmp_path, WHOLE[:2], booked)
    again = Progress.parse(first.progress.to_bytes())
    second = _compare(tmp_path, WHOLE[2:], BOOKED, again)
    assert second.differences == []
    assert second.progress.sent == {ONE: ((0, 2500),)}
    assert second.progress.mark.requests == 4


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=12))
def test_parts_are_joined_like_sets_of_bytes(parts: list[tuple[int, int]]) -> None:
    expected = {place for start, size in parts for place in range(start, start + size)}
    found = list(_joined([(start, start + size) for start, size in parts]))
    assert {place for start, end in found for place in range(start, end)} == expected
    assert all(end < start for (_, end), (start, _) in pairwise(found))
    assert Mark() == Progress().mark
