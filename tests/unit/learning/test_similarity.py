from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from agent.errors import Refused
from agent.learning.similarity import Index, Nearest
from agent.learning.tasks import Labels
from tests.unit.learning.conftest import Matrix

Counts = npt.NDArray[np.int64]


def rows_of(counts: Counts) -> Matrix:
    return Matrix(np.log1p(counts).astype(np.float32), np.zeros((len(counts), 1), np.float32))


def labels_of(pairs: list[tuple[int, int]]) -> Labels:
    rows, cols = np.array(pairs, np.int64).T
    return Labels(rows, cols, np.zeros(len(rows), np.float32), np.zeros(len(rows), np.int8))


def plain(a: Counts, b: Counts) -> npt.NDArray[np.float64]:
    """Tanimoto's coefficient on counts, from its definition."""
    smaller = np.minimum(a[:, None], b[None]).sum(axis=2)
    larger = np.maximum(a[:, None], b[None]).sum(axis=2)
    return np.asarray(smaller / np.maximum(larger, 1), np.float64)


@pytest.fixture
def counts() -> Counts:
    random = np.random.default_rng(1)
    # A few columns that most have and many that few have, as in a fingerprint.
    often = np.linspace(0.9, 0.002, 120)
    return np.where(random.random((400, 120)) < often, random.integers(1, 6, (400, 120)), 0)


def test_it_is_tanimotos_coefficient_to_the_nearest_of_each_task(counts: Counts) -> None:
    known, asked = counts[:300], counts[300:]
    pairs = [(row, 0) for row in range(300)] + [(row, 1) for row in range(0, 300, 7)]
    index = Index.build(rows_of(known), labels_of(pairs), ["a", "b", "c"])
    found = Nearest(index).similarity(rows_of(asked))
    expected = plain(asked, known)
    np.testing.assert_allclose(found[:, 0], expected.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(found[:, 1], expected[:, ::7].max(axis=1), atol=1e-6)
    assert not found[:, 2].any()


def test_tasks_of_few_or_of_far_compounds_find_their_nearest_too(counts: Counts) -> None:
    known, asked = counts[:300], counts[300:]
    expected = plain(asked, known)
    far = np.argsort(expected.max(axis=0))[:60].tolist()  # a large task, and none of it is near
    few = [3, 77, 299]
    pairs = [
        *((row, 0) for row in range(300)),
        *((row, 1) for row in far),
        *((row, 2) for row in few),
    ]
    found = Nearest(
        Index.build(rows_of(known), labels_of(pairs), ["all", "far", "few"])
    ).similarity(rows_of(asked))
    for column, rows in enumerate((list(range(300)), far, few)):
        np.testing.assert_allclose(found[:, column], expected[:, rows].max(axis=1), atol=1e-6)
    assert (found[:, 1] < 0.8 * found[:, 0]).any()


def test_a_compound_is_like_itself_and_answers_do_not_depend_on_company(counts: Counts) -> None:
    index = Index.build(rows_of(counts), labels_of([(r, 0) for r in range(400)]), ["a"])
    nearest = Nearest(index)
    assert nearest.similarity(rows_of(counts)).min() == pytest.approx(1)
    together = nearest.similarity(rows_of(counts // 2))
    alone = [nearest.similarity(rows_of(counts[[row]] // 2))[0] for row in range(20)]
    np.testing.assert_array_equal(together[:20], alone)


def test_columns_that_no_known_compound_has_and_empty_rows() -> None:
    known = np.array([[1, 2, 0, 0]])
    index = Index.build(rows_of(known), labels_of([(0, 0)]), ["a"])
    asked = np.array([[0, 0, 3, 9], [0, 0, 0, 0], [1, 2, 0, 3]])
    found = Nearest(index).similarity(rows_of(asked))[:, 0]
    np.testing.assert_allclose(found, [0, 0, 0.5])


def test_only_labelled_compounds_are_kept(counts: Counts) -> None:
    index = Index.build(rows_of(counts), labels_of([(5, 0), (9, 0), (9, 1)]), ["a", "b"])
    assert len(index.indptr) == 3
    assert index.task_rows.tolist() == [0, 1, 1]


def test_an_index_comes_back_from_disk(counts: Counts, tmp_path: Path) -> None:
    index = Index.build(rows_of(counts), labels_of([(5, 0), (9, 1)]), ["a", "private:é"])
    index.save(tmp_path / "i.npz")
    again = Index.load(tmp_path / "i.npz")
    assert again.tasks == ("a", "private:é")
    asked = rows_of(counts[:10])
    np.testing.assert_array_equal(
        Nearest(index).similarity(asked), Nearest(again).similarity(asked)
    )


@pytest.mark.parametrize("fault", ["missing", "cut", "row"])
def test_a_damaged_index_is_refused(counts: Counts, tmp_path: Path, fault: str) -> None:
    path = tmp_path / "i.npz"
    index = Index.build(rows_of(counts), labels_of([(5, 0), (9, 0)]), ["a"])
    if fault == "row":
        index.task_rows[0] = 7
    if fault != "missing":
        index.save(path)
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(Refused, match="damaged_index"):
        Index.load(path)


def test_an_index_without_any_compound() -> None:
    nothing = np.zeros(0, np.int64)
    empty = Labels(nothing, nothing, np.zeros(0, np.float32), np.zeros(0, np.int8))
    index = Index.build(rows_of(np.ones((3, 4), np.int64)), empty, ["a"])
    assert Nearest(index).similarity(rows_of(np.ones((2, 4), np.int64))).tolist() == [[0], [0]]
