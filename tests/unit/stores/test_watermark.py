from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Stop
from agent.stores.watermark import Mark, State, before, to_json

_CELLS = st.one_of(
    st.integers(),
    st.text(),
    st.datetimes(),
    st.dates(),
    st.decimals(allow_nan=False),
    st.floats(allow_nan=False),
)
_JANUARY = st.timedeltas(timedelta(), timedelta(days=2)).map(
    lambda passed: datetime(2026, 1, 1, tzinfo=UTC) + passed
)
_FIRST = datetime.min.replace(tzinfo=UTC)


@given(watermark=_CELLS, keys=st.lists(_CELLS, min_size=1, max_size=5))
def test_state_survives_the_round_trip(watermark: object, keys: list[object]) -> None:
    state = State().advanced([(watermark, key) for key in keys], "w", "k")
    assert State.from_document(state.to_document(), Path("state")) == state


def test_keys_gather_at_one_watermark_and_go_with_it() -> None:
    state = State().advanced([(1, "a"), (2, "b")]).advanced([(2, "c")])
    assert state.keys == {(2, "b"), (2, "c")}
    assert state.advanced([(3, "d")]).keys == {(3, "d")}


def test_the_window_moves_with_the_watermark_and_keeps_what_is_in_it() -> None:
    times = [datetime(2026, 1, 1, 10, minute, tzinfo=UTC) for minute in (0, 10, 20, 30)]
    state = State()
    for number, moment in enumerate(times):
        state = state.advanced([(moment, number)], overlap_s=900.0)
    assert state.keys == {(times[2], 2), (times[3], 3)}
    assert state.since == datetime(2026, 1, 1, 10, 15, tzinfo=UTC)
    late = state.advanced([(times[2], 9)], overlap_s=900.0)
    assert late.watermark == times[3]
    assert late.keys == state.keys | {(times[2], 9)}


@given(
    times=st.lists(_JANUARY, min_size=1),
    overlap_s=st.floats(0, 1e5),
)
def test_steps_lead_to_the_same_state(times: list[datetime], overlap_s: float) -> None:
    whole = stepped = State()
    for number, moment in enumerate(times):
        marks: list[Mark] = [(moment, number)]
        whole = whole.advanced(marks, "w", "k", overlap_s=overlap_s)
        stepped = stepped.after_step(whole.step(marks), Path("batch"))
    assert stepped == whole


@pytest.mark.parametrize(
    ("watermark", "expected"),
    [
        (datetime(2026, 1, 1, 0, 30, tzinfo=UTC), datetime(2025, 12, 31, 23, 30, tzinfo=UTC)),
        (date(2026, 1, 1), date(2025, 12, 31)),
        ("2026-01-01", "2025-12-31"),
        ("2026-01-01 00:30:15.25+09:00", "2025-12-31 23:30"),
        ("2026-01-01T10:30Z", "2026-01-01T09:30"),
        ("2026-13-01", "2026-13-01"),
        ("2026-01-011", "2026-01-011"),
        ("v17", "v17"),
        (17, 17),
        (Decimal("1.5"), Decimal("1.5")),
        (_FIRST, _FIRST),
        (date.min, date.min),
    ],
)
def test_only_times_have_a_before(watermark: object, expected: object) -> None:
    assert before(watermark, 3600.0) == expected
    assert before(watermark, 0.0) == watermark


def test_missing_file_is_a_new_start_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert State.load(path) == State()
    damaged = '{"sequence":1,"watermark":["",1],"keys":[1],"columns":[]}'
    for text in ("{", "[]", '{"sequence": 1}', damaged, damaged.replace("keys", "since")):
        path.write_text(text)
        with pytest.raises(Stop, match="damaged"):
            State.load(path)


def test_bytes_cannot_be_a_watermark() -> None:
    with pytest.raises(Stop, match="bytes"):
        State().advanced([(b"x", 1)]).to_document()


def test_cells_become_json() -> None:
    moment = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    cells = [to_json(cell) for cell in (None, True, 1.5, Decimal("1.50"), moment, date(2026, 1, 2))]
    assert cells == [None, True, 1.5, "1.50", "2026-01-02T03:04:00+00:00", "2026-01-02"]
    assert to_json(float("nan")) == "nan"
