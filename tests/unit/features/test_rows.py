from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.features.rows import Features, write_features

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


def test_what_is_written_in_parts_is_mapped_as_a_whole(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    matrices = [random.integers(0, 3, (rows, _COLUMNS)).astype(np.float32) for rows in (3, 0, 700)]
    parts = [_features(matrix) for matrix in matrices]
    write_features(tmp_path, iter(parts))
    mapped, joined = Features.load(tmp_path), Features.concat(parts)
    for name in ("indptr", "indices", "values", "dense"):
        found, expected = getattr(mapped, name), getattr(joined, name)
        assert np.array_equal(found, expected)
        assert found.dtype == expected.dtype
        assert not found.flags.owndata
    rows = np.array([702, 0, 5])
    taken = mapped.take(rows)
    assert np.array_equal(taken.dense_counts(_COLUMNS), np.concatenate(matrices)[rows])
    assert taken.values.flags.writeable


def test_features_of_nothing_are_written_and_read(tmp_path: Path) -> None:
    nothing = Features.from_rows([], np.zeros((0, 2), np.float32))
    write_features(tmp_path, [nothing])
    assert len(Features.load(tmp_path)) == 0
    with pytest.raises(ValueError, match="no part"):
        write_features(tmp_path, [])
    other = Features.from_rows([], np.zeros((0, 3), np.float32))
    with pytest.raises(ValueError, match="number of descriptors"):
        write_features(tmp_path, [nothing, other])


@pytest.mark.parametrize("name", ["indptr", "indices", "values", "dense"])
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, name: str) -> None:
    write_features(tmp_path, [_features(np.ones((4, _COLUMNS), np.float32))])
    path = tmp_path / f"{name}.npy"
    array = np.load(path)
    for wrong in (array[:-1], array.astype(np.float64), array[None]):
        np.save(path, wrong)
        with pytest.raises(ValueError, match=r"fit together|another kind"):
            Features.load(tmp_path)
    path.unlink()
    with pytest.raises(OSError, match=name):
        Features.load(tmp_path)


@given(_matrices(), st.integers(0, _COLUMNS), st.integers(0, _COLUMNS))
def test_columns_are_those_of_the_dense_matrix(
    matrix: np.ndarray[tuple[int, int], np.dtype[np.float32]], start: int, more: int
) -> None:
    stop = min(start + more, _COLUMNS)
    found = _features(matrix).columns(start, stop)
    assert np.array_equal(found.dense_counts(stop - start), matrix[:, start:stop])
    assert np.array_equal(found.dense, matrix[:, :2] * 10)


@given(_matrices())
def test_counts_beside_counts_are_columns_beside_columns(
    matrix: np.ndarray[tuple[int, int], np.dtype[np.float32]],
) -> None:
    other = np.flip(matrix, axis=1).copy()
    found = _features(matrix).beside(_features(other), _COLUMNS)
    assert np.array_equal(found.dense_counts(2 * _COLUMNS), np.hstack([matrix, other]))
    assert np.array_equal(found.dense, matrix[:, :2] * 10)
    for row in range(len(found)):
        assert (np.diff(found.indices[found.indptr[row] : found.indptr[row + 1]]) > 0).all()
