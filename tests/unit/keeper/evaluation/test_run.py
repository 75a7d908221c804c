from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from agent.errors import Refused
from agent.features.cache import FeatureCache
from agent.keeper.evaluation import judge
from agent.keeper.evaluation.gather import Gathered, gathered
from agent.keeper.evaluation.order import EvaluateOrder, SiloFiles, SourceFile
from agent.keeper.evaluation.run import evaluate
from agent.learning.recipes import FederatedRecipe, LocalRecipe
from tests.unit.keeper.evaluation.conftest import PROFILE, structures

if TYPE_CHECKING:
    from tests.unit.keeper.evaluation.conftest import Series


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipes' shape, at a size that a test can wait for."""
    local = partial(
        LocalRecipe, members=2, hidden=(32,), hidden_too=(16,), epochs=20, batch_size=32
    )
    together = partial(
        FederatedRecipe,
        rounds=3,
        local_rows=0,
        hidden=(32, 16),
        finetune_epochs=5,
        members=1,
        batch_size=32,
    )
    monkeypatch.setattr("agent.keeper.evaluation.run.LocalRecipe", local)
    monkeypatch.setattr("agent.keeper.evaluation.run.FederatedRecipe", together)


def _order(series: "Series", data: Path, **more: object) -> EvaluateOrder:
    source = SourceFile(path=str(data), profile=str(series.profile))
    fields = {"data": source, "cache": str(series.folder), "threads": 1, "device": "cpu", **more}
    return EvaluateOrder.model_validate(fields)


def _job(series: "Series") -> Path:
    folder = series.folder / "job"
    folder.mkdir()
    return folder


@pytest.mark.slow
def test_later_compounds_are_judged_and_trained_on_nowhere(
    series: "Series", monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = structures()
    data = series.write("data.csv", everything[:110])
    test = series.write("test.csv", everything[100:], first=100)  # ten of them in the data, too
    other = series.write("other.csv", everything[60:])
    trained: list[tuple[str, set[str]]] = []

    def watched(
        frame: pl.DataFrame, tasks: Sequence[str], name: str, cache: FeatureCache
    ) -> Gathered | None:
        trained.append((name, set(frame["smiles"])))
        return gathered(frame, tasks, name, cache)

    monkeypatch.setattr(judge, "gathered", watched)
    silo = SiloFiles(
        name="other", files=(SourceFile(path=str(other), profile=str(series.profile)),)
    )
    found = evaluate(
        _order(series, data, test=str(test), silos=(silo,)), _job(series), lambda *_: None
    )
    (one,) = found.judgements
    assert one.split == "test"
    assert list(one.endpoints) == ["LogD", "Sol, uM"]
    assert one.endpoints["LogD"].n == len(everything) - 100
    assert one.compounds == (100, len(everything) - 100)
    assert one.mean_rae is not None
    error = one.endpoints["LogD"].rae
    assert error is not None
    assert error < 1.0
    assert [file.file for file in found.files] == ["data.csv", "test.csv", "other.csv"]
    assert {name for name, _ in trained} == {"own", "other"}
    assert all(len(smiles) <= 100 for _, smiles in trained)
    later = {smiles for name, some in trained if name == "other" for smiles in some}
    assert len(later) == 40


@pytest.mark.slow
def test_without_a_test_time_comes_first_and_scaffolds_second(series: "Series") -> None:
    data = series.write("data.csv", structures())
    found = evaluate(_order(series, data), _job(series), lambda *_: None)
    assert [one.split for one in found.judgements] == ["time", "scaffold"]
    known, held = found.judgements[0].compounds
    assert held == round(0.18 * (known + held))
    assert found.notes == ()


@pytest.mark.slow
def test_without_time_a_note_says_what_that_means(series: "Series") -> None:
    series.profile.write_text(PROFILE.replace('order = "ID"\n', ""))
    data = series.write("data.csv", structures())
    found = evaluate(_order(series, data), _job(series), lambda *_: None)
    assert [one.split for one in found.judgements] == ["scaffold"]
    assert "no dates" in found.notes[0]


def test_too_little_data_is_refused(series: "Series") -> None:
    data, test = series.write("data.csv", structures()[:5]), series.write("t.csv", ["CCCO"])
    with pytest.raises(Refused, match="enough labels"):
        evaluate(_order(series, data, test=str(test)), _job(series), lambda *_: None)
