from hypothesis import given
from hypothesis import strategies as st

from agent.serving.batch.pieces import cut, read_piece, write_piece

STRUCTURES = st.lists(
    st.tuples(st.text(st.characters(codec="utf-8")), st.sampled_from(("smiles", "molblock"))),
    min_size=2,
    max_size=9,
)


@given(STRUCTURES)
def test_a_piece_is_one_line_and_comes_out_again(structures: list[tuple[str, str]]) -> None:
    piece = write_piece(structures)  # type: ignore[arg-type]  # hypothesis knows texts alone
    assert piece.splitlines() == [piece]
    assert read_piece(piece) == structures
    first, second = cut(piece)
    assert read_piece(first) + read_piece(second) == structures
    assert read_piece(first)
