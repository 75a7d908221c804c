import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.assays.snapshot import Snapshot
from agent.assays.summary import SUMMARY, SnapshotSummary
from agent.errors import Refused
from agent.keeper.orders import QuorumRule
from agent.keeper.work import snapshot as freezing
from agent.keeper.work.ingest import ingest
from agent.keeper.work.snapshot import freeze, load_features

if TYPE_CHECKING:
    from tests.unit.keeper.work.conftest import Bench


def test_labels_and_features_have_the_same_rows(bench: "Bench") -> None:
    folder = bench.frozen()
    snapshot, features = Snapshot.load(folder), load_features(folder)
    assert snapshot.tasks == ("private:own", "solubility")
    assert len(snapshot.compounds) == 49
    assert len(features.indptr) == 50
    assert features.dense.shape == (49, 1)


def test_the_counts_are_told(bench: "Bench") -> None:
    job = bench.folder("reading")
    ingest(bench.ingest_order(bench.table()), job, bench.report)
    (part,) = (job / "parts").iterdir()
    result = freeze(bench.snapshot_order(part), bench.folder("frozen"), bench.report)
    assert result.compounds == 49
    assert result.labels == {"private:own": 49, "solubility": 49}


def test_the_summary_stands_beside_the_snapshot_and_is_told(bench: "Bench") -> None:
    job = bench.folder("reading")
    ingest(bench.ingest_order(bench.table()), job, bench.report)
    (part,) = (job / "parts").iterdir()
    order = bench.snapshot_order(part).model_copy(
        update={
            "quorum": QuorumRule(labels=60, uncensored=25, each_class=25),
            "replicate_limits": {"solubility": 0.3},
        }
    )
    result = freeze(order, bench.folder("frozen"), bench.report)
    assert [(task.task, task.met) for task in result.tasks] == [
        ("private:own", False),
        ("solubility", False),
    ]
    assert result.tasks[1].waits == "waits for 11 more labelled compounds"
    assert result.changes["added"] == 98
    summary = SnapshotSummary.load(bench.root / "frozen" / "snapshot")
    assert summary.tasks["solubility"].replicate_limit == 0.3


def test_nothing_to_freeze(bench: "Bench") -> None:
    with pytest.raises(Refused, match="no_labels"):
        freeze(bench.snapshot_order(), bench.folder("frozen"), bench.report)


def _parts(bench: "Bench") -> list[Path]:
    """Two parts: the second corrects nothing, and adds a compound and a replicate."""
    more = bench.root / "more.csv"
    more.write_text("ID,SMILES,sol,own\nx1,CCCCCCCCCCCCO,5,1\nx2,CCCCCCO,7,2\n")
    job = bench.folder("reading")
    found = ingest(bench.ingest_order(bench.table(), more), job, bench.report).files
    return [job / "parts" / file.part for file in found]


def _files(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.*")}
    return {name: path.read_bytes() for name, path in found.items() if name != SUMMARY}


def test_a_grown_snapshot_is_that_of_all_parts(
    bench: "Bench", monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = _parts(bench)
    freeze(bench.snapshot_order(first), bench.folder("old"), bench.report)
    both = bench.snapshot_order(first, second)
    freeze(both, bench.folder("anew"), bench.report)
    grow = both.model_copy(update={"previous": str(bench.root / "old" / "snapshot")})
    monkeypatch.setattr(freezing, "build_snapshot", None)
    result = freeze(grow, bench.folder("grown"), bench.report)
    grown, anew = (_files(bench.root / name / "snapshot") for name in ("grown", "anew"))
    assert grown == anew
    assert len(grown) >= 7
    assert (result.compounds, result.changes["added"]) == (51, 4)


@pytest.mark.parametrize("damage", ["basis.json", "index.json", "features/values.npy"])
def test_what_cannot_grow_is_joined_anew(bench: "Bench", damage: str) -> None:
    first, second = _parts(bench)
    freeze(bench.snapshot_order(first), bench.folder("old"), bench.report)
    previous = bench.root / "old" / "snapshot"
    (previous / damage).write_text("{}")
    order = bench.snapshot_order(first, second).model_copy(update={"previous": str(previous)})
    assert freeze(order, bench.folder("anew"), bench.report).compounds == 51
    other = order.plan.model_copy(update={"fold_key": "cd" * 32})
    again = freeze(order.model_copy(update={"plan": other}), bench.folder("other"), bench.report)
    assert again.compounds == 51


def test_a_damaged_snapshot_is_named(bench: "Bench") -> None:
    folder = bench.frozen()
    (folder / "features" / "values.npy").write_bytes(b"half")
    with pytest.raises(Refused, match="damaged_snapshot"):
        load_features(folder)
    (folder / "features" / "values.npy").unlink()
    with pytest.raises(Refused, match="damaged_snapshot"):
        load_features(folder)


def test_features_are_mapped_and_not_read(bench: "Bench") -> None:
    features = load_features(bench.frozen())
    assert not features.values.flags.owndata
    assert not features.values.flags.writeable


def test_a_snapshot_of_the_older_layout_is_read(bench: "Bench") -> None:
    folder = bench.frozen()
    features = load_features(folder)
    arrays = {name: getattr(features, name) for name in ("indptr", "indices", "values", "dense")}
    np.savez(folder / "features.npz", **arrays)
    shutil.rmtree(folder / "features")
    older = load_features(folder)
    assert all(np.array_equal(getattr(older, name), array) for name, array in arrays.items())


def test_coverage_counts_by_year(bench: "Bench") -> None:
    table = bench.root / "dated.csv"
    table.write_text(
        "ID,SMILES,sol,own,when\n"
        "1,CCCCO,5,1,2023-02-03\n1,CCCCO,7,,2024-05-06\n2,CCCCCO,8,2,2023-07-08\n3,CCCCCCO,9,3,\n"
    )
    order = bench.ingest_order(table)
    profile = Path(order.profile)
    profile.write_text(profile.read_text().replace("[columns]", '[columns]\ndate = "when"'))
    job = bench.folder("reading")
    ingest(order, job, bench.report)
    (part,) = (job / "parts").iterdir()
    result = freeze(bench.snapshot_order(part), bench.folder("frozen"), bench.report)
    said = result.coverage["solubility"]
    assert (said.compounds, said.measurements, said.newest) == (3, 4, "2024-05-06")
    assert said.by_year == {"2023": 1, "2024": 1}
    assert result.coverage["private:own"].by_year == {"2023": 2}
