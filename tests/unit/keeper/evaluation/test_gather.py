from pathlib import Path

import numpy as np
import polars as pl
import pytest

from agent.features.cache import FeatureCache
from agent.features.spec import default_spec
from agent.keeper.evaluation.gather import FEWEST_LABELS, gathered, without
from tests.unit.keeper.evaluation.conftest import structures

N = FEWEST_LABELS + 5


def _frame(dates: bool = True) -> pl.DataFrame:
    smiles = structures()[:N]
    rows = [
        (f"k{at:03d}", one, "r", "a", "regression", "=", float(at)) for at, one in enumerate(smiles)
    ]
    rows += [
        (f"k{at:03d}", one, "r", "b", "regression", "<", 1.0) for at, one in enumerate(smiles[:3])
    ]
    rows.append(("k000", smiles[0], "r", "a", "regression", "=", 10.0))
    frame = pl.DataFrame(
        rows,
        schema=["compound_key", "smiles", "fold_group", "task", "kind", "qualifier", "value"],
        orient="row",
    )
    date = pl.col("compound_key") if dates else pl.lit("")
    return frame.with_columns(date.alias("date"))


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "features.sqlite3", default_spec())


def test_replicates_are_joined_and_small_tasks_left_out(cache: FeatureCache) -> None:
    found = gathered(_frame(), ("b", "a"), "x", cache)
    assert found is not None
    assert [task.name for task in found.silo.tasks] == ["a"]
    values = found.silo.labels.values
    assert values[0] == 5.0
    task = found.silo.tasks[0]
    assert task.centre == pytest.approx(values.mean(), rel=1e-6)
    assert task.spread == pytest.approx(values.std(), rel=1e-6)
    assert len(found.silo.features) == len(found.compounds) == N


def test_newer_labels_are_younger(cache: FeatureCache) -> None:
    found = gathered(_frame(), ("a",), "x", cache)
    assert found is not None
    assert found.silo.age is not None
    np.testing.assert_allclose(found.silo.age[found.silo.labels.rows == N - 1], 0.0)
    assert found.silo.age.max() == pytest.approx((N - 1) / N)
    timeless = gathered(_frame(dates=False), ("a",), "x", cache)
    assert timeless is not None
    assert timeless.silo.age is None


def test_labels_are_found_by_compound(cache: FeatureCache) -> None:
    found = gathered(_frame(), ("a",), "x", cache)
    assert found is not None
    assert found.labels_of({"k001", "k007", "other"}).sum() == 2


def test_without_enough_labels_there_is_nothing(cache: FeatureCache) -> None:
    assert gathered(_frame(), ("b",), "x", cache) is None
    assert gathered(_frame().clear(), ("a",), "x", cache) is None


def test_compounds_leave_with_all_their_measurements() -> None:
    assert set(without(_frame(), {"k000"})["compound_key"]) == {f"k{at:03d}" for at in range(1, N)}
