import numpy as np
import numpy.typing as npt
import pytest

from agent.learning.choosing import FEWEST, compare
from agent.learning.tasks import Labels, TaskSpec

Floats = npt.NDArray[np.float32]
NUMBER, CLASS = TaskSpec("x", "regression"), TaskSpec("y", "classification")


def _labels(values: Floats, qualifiers: int = 0) -> Labels:
    n = len(values)
    return Labels(np.arange(n), np.zeros(n, np.int64), values, np.full(n, qualifiers, np.int8))


def _answers(truth: Floats, **errors: float) -> dict[str, Floats]:
    random = np.random.default_rng(1)
    noise = random.normal(size=len(truth))
    return {
        name: (truth + size * noise).astype(np.float32)[:, None] for name, size in errors.items()
    }


@pytest.fixture
def truth() -> Floats:
    return np.random.default_rng(0).normal(size=80).astype(np.float32)


def test_one_that_is_better_for_sure_is_chosen(truth: Floats) -> None:
    answers = _answers(truth, average=0.5, personal=0.45, federated=0.2)
    found = compare(answers, "average", _labels(truth), [NUMBER])["x"]
    assert (found.chosen, found.n) == ("federated", 80)
    assert found.gain is not None
    assert 0 < found.gain[0] < found.errors["average"] - found.errors["federated"] < found.gain[1]
    assert compare(answers, "average", _labels(truth), [NUMBER])["x"] == found


def test_a_gain_within_its_interval_changes_nothing(truth: Floats) -> None:
    random = np.random.default_rng(2)
    answers = {
        name: (truth + random.normal(size=80) * size).astype(np.float32)[:, None]
        for name, size in (("average", 0.5), ("personal", 0.49))
    }
    found = compare(answers, "average", _labels(truth), [NUMBER])["x"]
    assert (found.chosen, found.gain) == ("average", None)


def test_equal_models_leave_it_as_it_is(truth: Floats) -> None:
    answers = _answers(truth, average=0.5, personal=0.5)
    assert compare(answers, "average", _labels(truth), [NUMBER])["x"].chosen == "average"


def test_a_limit_is_no_error_on_its_right_side(truth: Floats) -> None:
    answers = {"average": (truth + 1)[:, None], "personal": (truth - 1)[:, None]}
    found = compare(answers, "average", _labels(truth, qualifiers=-1), [NUMBER])["x"]
    assert (found.chosen, found.errors["personal"]) == ("personal", 0.0)


def test_classes_are_compared_by_their_order(truth: Floats) -> None:
    labels = _labels((truth > 0).astype(np.float32))
    answers = _answers(truth, average=3.0, personal=0.1)
    found = compare(answers, "average", labels, [CLASS])["y"]
    assert found.chosen == "personal"
    assert found.errors["personal"] < 0.1 < found.errors["average"]


def test_too_few_labels_or_one_class_are_not_compared(truth: Floats) -> None:
    answers = _answers(truth, average=0.5, personal=0.1)
    few = _labels(truth).select(np.arange(80) < FEWEST - 1)
    assert compare(answers, "average", few, [NUMBER]) == {}
    assert compare(answers, "average", _labels(np.ones(80, np.float32)), [CLASS]) == {}
