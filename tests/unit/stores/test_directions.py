import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import Refused
from agent.stores.directions import Directions, count_given, directions, efflux_ratio


@pytest.mark.parametrize(
    ("cell", "count"), [("[6,2]", 2), ("[6,]", 1), ("[,2]", 1), ("[,]", 0), ("6", 1), ("", 0)]
)
def test_filled_parts_are_counted(cell: str, count: int) -> None:
    assert count_given(cell) == count


@pytest.mark.parametrize(
    ("both", "qualifier", "ratio"),
    [
        (("2", "6"), "", "3"),
        (("2", "6"), "＝", "3"),
        (("2", "6"), ">", ""),
        (("<2", "6"), "", ""),
        (("0", "6"), "", ""),
        (("2", ""), "", ""),
        (("nan", "inf"), "", ""),
        (("1e-300", "1e300"), "", ""),
    ],
)
def test_ratio_only_of_two_exact_numbers(both: tuple[str, str], qualifier: str, ratio: str) -> None:
    assert efflux_ratio(Directions(*both), qualifier) == ratio


_CELLS = st.text(alphabet="[],0123456789.<- e", max_size=12)


@given(_CELLS, _CELLS)
def test_single_directions_are_never_lost(a_to_b: str, b_to_a: str) -> None:
    try:
        found = directions("", a_to_b, b_to_a)
    except Refused:
        return  # said aloud; the caller sets the row aside
    assert any(found) == bool(count_given(a_to_b) or count_given(b_to_a))


def test_contradiction_is_named() -> None:
    with pytest.raises(Refused) as caught:
        directions("[6,2]", "7", "")
    assert caught.value.code == "conflicting_directions"
