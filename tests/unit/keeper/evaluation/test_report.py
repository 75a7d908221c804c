import numpy as np
import polars as pl
import pytest

from agent.keeper.evaluation.report import Predicted, Training, judgement
from agent.learning.ensemble import Answer
from agent.learning.learner import Judged
from agent.learning.tasks import Labels, TaskSpec

_TASKS = (TaskSpec("a", "regression"), TaskSpec("class", "classification"))
_KEYS = tuple(f"k{at}" for at in range(40))
_RANDOM = np.random.default_rng(2)
_TRUTH = _RANDOM.normal(size=40)


def _test() -> pl.DataFrame:
    rows = [(key, "a", float(value)) for key, value in zip(_KEYS, _TRUTH, strict=True)]
    rows.append((_KEYS[0], "a", 3.0))  # measured twice: judged twice
    rows += [(key, "class", float(value > 0)) for key, value in zip(_KEYS, _TRUTH, strict=True)]
    rows += [(_KEYS[0], "untrained", 1.0)]
    return pl.DataFrame(rows, schema=["compound_key", "task", "value"], orient="row")


def _training() -> Training:
    labels = Labels(
        np.array([0, 1, 1]),
        np.array([0, 0, 1]),
        np.zeros(3, np.float32),
        np.zeros(3, np.int8),
    )
    nothing = np.zeros((0, 2), np.float32)
    errors = {"personal": np.array([0.5, np.nan]), "federated": np.array([0.4, np.nan])}
    judged = Judged(("federated", "averaged"), errors, Answer(nothing, nothing), labels)  # type: ignore[arg-type]
    return Training(labels, judged, 12.34)


def test_every_measurement_is_judged_in_the_profile_s_order() -> None:
    said = np.stack([_TRUTH + 0.1, 1 / (1 + np.exp(-_TRUTH))], axis=1).astype(np.float32)
    half = np.array([0.2, np.nan], np.float32)
    predicted = Predicted(_KEYS, _TASKS, said, said - half, said + half, None)
    found = judgement("test", ("class", "a", "untrained", "gone"), _test(), predicted, _training())
    assert list(found.endpoints) == ["class", "a"]
    one = found.endpoints["a"]
    measured = np.append(_TRUTH, 3.0)
    off = np.abs(np.append(_TRUTH, _TRUTH[0]) + 0.1 - measured)
    assert one.n == 41
    assert one.mae == pytest.approx(off.mean(), rel=1e-5)
    assert one.rae == pytest.approx(off.sum() / np.abs(measured - measured.mean()).sum(), rel=1e-5)
    assert one.coverage_90 == pytest.approx(40 / 41)
    assert found.details["class"].auroc == 1.0
    assert found.details["class"].half_width_90 is None
    assert found.endpoints["class"].coverage_90 is None
    assert found.details["a"].half_width_90 == pytest.approx(0.2)
    assert found.details["a"].choice == "federated"
    assert found.details["a"].validation == {"personal": 0.5, "federated": 0.4}
    assert found.details["a"].n_train == 2
    assert found.train_seconds == 12.3
    assert found.compounds == (2, 40)
    raes = [entry.rae for entry in found.endpoints.values() if entry.rae is not None]
    assert found.mean_rae == pytest.approx(sum(raes) / 2)
    assert found.baseline_mean_rae is None


def test_the_baseline_is_compared_on_the_same_compounds() -> None:
    said = np.stack([_TRUTH + 0.1, _TRUTH], axis=1).astype(np.float32)
    trees = np.stack([_TRUTH + 0.3, _TRUTH], axis=1).astype(np.float32)
    predicted = Predicted(_KEYS, _TASKS, said, said - 0.2, said + 0.2, trees)
    found = judgement("time", ("a",), _test(), predicted, _training())
    detail = found.details["a"]
    assert detail.baseline_rae is not None
    assert detail.against_baseline_95 is not None
    assert detail.against_baseline_95[1] is not None
    assert detail.against_baseline_95[1] < 0
    assert found.baseline_mean_rae == detail.baseline_rae
