"""The benchmarks of learning and federation: their exams, silos and figures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from agent.features.cache import FeatureCache
from agent.features.spec import default_spec
from agent.keeper.evaluation.gather import Gathered, gathered
from benchmarks.joining import Five, Said, difference, errors, worse
from benchmarks.learning_peers import write_problem
from benchmarks.measured import part
from benchmarks.models import Doubles, Exam, Recipes, train

ATOMS = [f"{'C' * n}{end}" for n in range(1, 13) for end in ("O", "N", "Cl")]


def _frame() -> pl.DataFrame:
    rows = [
        {
            "compound_key": f"k{number:02}",
            "smiles": smiles,
            "fold_group": f"k{number:02}",
            "task": task,
            "kind": "regression",
            "qualifier": "=",
            "value": scale * len(smiles),
            "date": f"{number:04}",
        }
        for number, smiles in enumerate(ATOMS)
        for task, scale in (("a", 1.0), ("b", -2.0))
    ]
    return pl.DataFrame(rows)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "features.sqlite3", default_spec())


@pytest.fixture
def whole(cache: FeatureCache) -> Gathered:
    found = gathered(_frame(), ("a", "b"), "whole", cache)
    assert found
    return found


@pytest.fixture
def exam(whole: Gathered, cache: FeatureCache) -> Exam:
    return Exam.of(_frame(), whole.silo.tasks, cache)


def test_an_exam_knows_each_measurement(exam: Exam) -> None:
    said = exam.said(np.tile([[7.0, 9.0]], (len(exam.compounds), 1)).astype(np.float32))
    assert sorted(set(said[exam.of_task(1)])) == [9.0]
    lengths = [len(ATOMS[int(key[1:])]) for key in exam.compounds]
    assert exam.values[exam.of_task(0)].tolist() == pytest.approx(
        [lengths[row] for row in exam.rows[exam.of_task(0)]]
    )


def test_relative_errors_are_averaged_over_the_tasks(exam: Exam) -> None:
    said = exam.values.copy()
    own = exam.of_task(1)
    said[own] = exam.values[own].mean()
    assert exam.mean_rae(said)(np.arange(len(said))) == pytest.approx(0.5)


def test_a_part_keeps_the_labels_of_its_compounds(whole: Gathered) -> None:
    keys = set(whole.compounds[5:20:3])
    mine = part(whole, keys, "some")
    assert set(mine.compounds) == keys
    assert len(mine.silo.features) == len(keys)
    assert len(mine.silo.labels) == 2 * len(keys)
    for row, col, value in zip(
        mine.silo.labels.rows, mine.silo.labels.cols, mine.silo.labels.values, strict=True
    ):
        length = len(ATOMS[int(mine.compounds[row][1:])])
        assert value == pytest.approx(length if col == 0 else -2 * length)
    assert mine.silo.age is not None
    assert len(mine.silo.age) == len(mine.silo.labels)


def _off(exam: Exam, by: tuple[float, float]) -> Doubles:
    sign = np.where(np.arange(len(exam.values)) % 2, 1.0, -1.0)
    said: Doubles = exam.values + sign * np.array(by)[exam.cols]
    return said


def test_the_share_of_the_gap_is_counted_where_there_is_one(exam: Exam) -> None:
    alone, together = _off(exam, (1.0, 0.1)), _off(exam, (0.6, 0.1))
    silos = [Said([alone, alone], [together, together]) for _ in range(2)]
    five = Five(exam, silos, [_off(exam, (0.5, 0.1))] * 2)
    assert {task: np.round(shares, 3).tolist() for task, shares in five.closed()} == {
        "a": [0.8, 0.8]
    }


def test_a_head_is_worse_only_beyond_its_interval(exam: Exam) -> None:
    alone = _off(exam, (0.5, 0.5))
    noisy = _off(exam, (0.6, 0.5))
    noisy[exam.of_task(1)[0]] += 5.0  # one compound alone proves nothing
    assert worse(exam, Said([alone, alone], [noisy, noisy])) == ["a"]
    sure = difference(exam, 0, errors(exam, [noisy]), errors(exam, [alone]))
    assert sure.value == pytest.approx(0.1)


def test_a_silo_alone_needs_no_choice_and_joins_with_one(whole: Gathered, exam: Exam) -> None:
    tiny = Recipes.of(quick=True)
    recipes = replace(tiny, local=replace(tiny.local, members=1))
    first, second = part(whole, set(whole.compounds[::2]), "x"), whole
    alone = train(recipes.learner(0), first, [], (), exam.features)
    joined = train(
        recipes.learner(0, together=True), first, [second], first.compounds[:4], exam.features
    )
    assert alone.judged is None
    assert joined.judged is not None
    assert len(joined.judged.labels) == 8
    assert alone.answer.mean.shape == joined.answer.mean.shape == (len(exam.compounds), 2)


def test_a_peer_gets_what_this_program_learns_from(
    whole: Gathered, exam: Exam, tmp_path: Path
) -> None:
    smiles = [ATOMS[int(key[1:])] for key in whole.compounds]
    folder = tmp_path / "problem"
    write_problem(folder, whole, exam, (smiles, smiles[:3]), 1.5)
    with np.load(folder / "problem.npz") as held:
        assert held["weights"].max() > held["weights"].min() > 0
        assert len(held["values"]) == len(whole.silo.labels)
        assert held["known_dense"].shape == whole.silo.features.dense.shape
    assert (folder / "known.smi").read_text().split("\n") == smiles
    assert len((folder / "asked.smi").read_text().split("\n")) == 3
