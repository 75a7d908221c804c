import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.features.rows import Features

_COLUMNS = 8


@st.composite
def _matrices(draw: st.DrawFn) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rows = draw(
        st.lists(st.lists(st.integers(0, 3), min_size=_COLUMNS, max_size=_COLUMNS), max_size=6)
    )
    return np.array(rows, dtype=np.float32).reshape(-1, _COLUMNS)


def _features(matrix: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> Features:
    counts = [(np.nonzero(row)[0].astype(np.int32), row[np.nonzero(row)]) for row in matrix]
    return Features.from_rows(counts, matrix[:, :2] * 10)


@given(_matrices(), st.data())
def test_taking_rows_is_indexing_the_dense_matrix(
    matrix: np.ndarray[tuple[int, int], np.dtype[np.float32]], data: st.DataObject
) -> None:
    features = _features(matrix)
    some = st.lists(st.integers(0, len(matrix) - 1), max_size=9) if len(matrix) else st.just([])
    rows = np.array(data.draw(some), dtype=np.int64)
    taken = features.take(rows)
    assert len(taken) == len(rows)
    assert np.array_equal(taken.dense_counts(_COLUMNS), matrix[rows])
    assert np.array_equal(taken.dense, matrix[rows][:, :2] * 10)


@given(_matrices(), _matrices())
def test_concatenating_is_stacking_the_dense_matrices(
    first: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    second: np.ndarray[tuple[int, int], np.dtype[np.float32]],
) -> None:
    joined = Features.concat([_features(first), _features(second)])
    assert np.array_equal(joined.dense_counts(_COLUMNS), np.concatenate([first, second]))
    assert joined.indptr.dtype == np.int64
    assert joined.indices.dtype == np.int32


def test_rows_without_counts_are_not_usable() -> None:
    matrix = np.array([[0] * _COLUMNS, [1] + [0] * (_COLUMNS - 1)], dtype=np.float32)
    assert _features(matrix).usable.tolist() == [False, True]


@pytest.mark.parametrize("row", [-1, 1])
def test_a_row_that_is_not_there_is_an_error_and_not_another_row(row: int) -> None:
    with pytest.raises(IndexError):
        _features(np.ones((1, _COLUMNS), dtype=np.float32)).take(np.array([row]))
