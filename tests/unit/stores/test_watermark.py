from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Stop
from agent.stores.watermark import State, to_json

_CELLS = st.one_of(
    st.integers(),
    st.text(),
    st.datetimes(),
    st.dates(),
    st.decimals(allow_nan=False),
    st.floats(allow_nan=False),
)


@given(watermark=_CELLS, keys=st.lists(_CELLS, min_size=1, max_size=5))
def test_state_survives_the_round_trip(watermark: object, keys: list[object]) -> None:
    state = State().advanced([(watermark, key) for key in keys], "w", "k")
    assert State.from_document(state.to_document(), Path("state")) == state


def test_keys_gather_at_one_watermark_and_go_with_it() -> None:
    state = State().advanced([(1, "a"), (2, "b")]).advanced([(2, "c")])
    assert state.has(2, "b")
    assert state.has(2, "c")
    assert not state.has(1, "a")
    assert not state.advanced([(3, "d")]).has(2, "b")


def test_missing_file_is_a_new_start_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert State.load(path) == State()
    for text in ("{", "[]", '{"sequence": 1}', '{"sequence":1,"keys":[1],"columns":[]}'):
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
