from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.keeper.orders import PairScore, ShadowRule
from agent.keeper.work.problem import Problem, load_problem
from agent.keeper.work.shadow import Answers, compare, newest, score_held_out
from agent.learning.tasks import Labels, TaskSpec

if TYPE_CHECKING:
    from tests.unit.keeper.work.conftest import Bench

N = 60
RULE = ShadowRule(min_labels=10)
TASKS = (TaskSpec("logd", "regression"), TaskSpec("ames", "classification"))


@pytest.fixture
def problem(bench: "Bench") -> Problem:
    """A held-out fold of 60 compounds, two tasks; half of the labels are of last year."""
    frozen = load_problem(bench.baseline_order(bench.frozen()))
    rows = np.arange(N)
    values = np.linspace(-3, 3, N).astype(np.float32)
    classes = (values > 0).astype(np.float32)
    held_out = Labels(
        rows=np.concatenate([rows, rows]),
        cols=np.repeat([0, 1], N),
        values=np.concatenate([values, classes]),
        qualifiers=np.zeros(2 * N, np.int8),
    )
    days = np.array([f"202{4 + number % 2}-01-{1 + number % 28:02}" for number in range(N)])
    fields = {name: getattr(frozen, name) for name in Problem.__dataclass_fields__}
    fields |= {"tasks": TASKS, "held_out": held_out}
    return Problem(**{**fields, "held_out_dates": np.concatenate([days, np.full(N, "")])})


def _answers(off: float, *names: str) -> Answers:
    """Answers that are wrong by about so much, alternately too high and too low."""
    values = np.linspace(-3, 3, N) + off * np.where(np.arange(N) % 2, 1, -1)
    classes = 1 / (1 + np.exp(-values))
    columns = {"logd": values, "ames": classes}
    tasks = [task for task in TASKS if task.name in names]
    return Answers(np.stack([columns[name] for name in names], axis=1).astype(np.float32), tasks)


def _found(pairs: tuple[PairScore, ...]) -> dict[str, PairScore]:
    return {pair.task: pair for pair in pairs}


def test_a_worse_model_is_worse_beyond_its_interval(problem: Problem) -> None:
    good, bad = _answers(0.1, "logd", "ames"), _answers(2.0, "logd", "ames")
    found = _found(compare(bad, good, problem, RULE))
    assert found["logd"].candidate == pytest.approx(2.0, rel=1e-3)
    assert found["logd"].active == pytest.approx(0.1, rel=1e-2)
    assert (found["logd"].low or 0) > 0
    assert found["ames"].metric == "1-AUROC"
    assert (found["ames"].low or 0) > 0
    better = _found(compare(good, bad, problem, RULE))
    assert (better["logd"].high or 0) < 0


def test_equal_models_differ_by_nothing(problem: Problem) -> None:
    same = _answers(0.3, "logd", "ames")
    for pair in compare(same, same, problem, RULE):
        assert pair.candidate == pair.active
        assert (pair.low, pair.high) == (0, 0)


def test_only_the_newest_measurements_count_where_there_are_dates(problem: Problem) -> None:
    found = _found(compare(_answers(1.0, "logd", "ames"), _answers(1.0, "logd"), problem, RULE))
    assert set(found) == {"logd"}  # a head that only one of them has is no pair
    assert (found["logd"].n, found["logd"].since[:4]) == (30, "2025")
    every = _answers(1.0, "ames")
    assert _found(compare(every, every, problem, RULE))["ames"].n == N


def test_a_task_of_one_class_has_no_figure(problem: Problem) -> None:
    problem.held_out.values[N:] = 1.0
    every = _answers(1.0, "ames")
    (pair,) = compare(every, every, problem, RULE)
    assert (pair.candidate, pair.active, pair.low, pair.high) == (None, None, None, None)


def test_a_task_without_held_out_labels_has_none_either(problem: Problem) -> None:
    problem.held_out.cols[:] = 1
    every = _answers(1.0, "logd")
    (pair,) = compare(every, every, problem, RULE)
    assert (pair.n, pair.candidate, pair.since) == (0, None, "")


def test_a_model_is_scored_on_what_it_shares_with_the_silo(problem: Problem) -> None:
    scores = score_held_out(_answers(0.5, "logd"), problem)
    assert scores["logd"].value == pytest.approx(0.5, rel=1e-3)
    assert set(scores) == {"logd"}


@pytest.mark.parametrize(
    ("days", "window", "least", "marked"),
    [
        (["2025-01-01", "2025-03-01", "2025-03-11"], 10, 1, "011"),
        (["2025-01-01", "2025-03-01", "2025-03-11"], 9, 1, "001"),
        (["2025-01-01", "2025-03-01", "2025-03-11"], 9, 2, "011"),
        (["2025-01-01", "2025-01-01", "2025-03-11"], 9, 2, "111"),  # a day is never parted
        (["2025-01-01", "", "2025-03-11"], 365, 2, "101"),
        (["2025-01-01", "", "2025-03-11"], 365, 3, "111"),  # too few have dates
        (["", "", ""], 365, 1, "111"),
        ([], 365, 1, ""),
    ],
)
def test_the_window_is_the_newest_days_and_wide_enough(
    days: list[str], window: int, least: int, marked: str
) -> None:
    found = newest(np.array(days, dtype="<U10"), window, least)
    assert "".join("1" if one else "0" for one in found) == marked
