from typing import TYPE_CHECKING

import numpy as np
import pytest

from agent.assays.endpoints import EndpointIndex, transform
from agent.assays.identity_cache import origin
from agent.assays.lookup import Reference
from agent.assays.snapshot import Snapshot
from agent.errors import Refused
from agent.keeper.orders import REFERENCE, ReferenceOrder
from agent.keeper.work.reference import make_reference
from agent.wire.documents import FeatureSpec
from tests.unit.keeper.work.conftest import OWN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.keeper.work.conftest import Bench


def _order(bench: "Bench", snapshot: "Path", **changes: object) -> ReferenceOrder:
    plan = bench.consortium.plan_document()
    order = ReferenceOrder(
        name="a" * 64,
        snapshot="s1",
        folder=str(snapshot),
        features=plan.features,
        catalogue=bench.consortium.catalogue,
        private=(OWN,),
        share="values",
    )
    return order.model_copy(update=changes)


@pytest.fixture
def snapshot(bench: "Bench") -> "Path":
    return bench.frozen()


@pytest.fixture
def made(bench: "Bench", snapshot: "Path") -> "Iterator[Reference]":
    result = make_reference(_order(bench, snapshot), bench.folder("job"), bench.report)
    assert result.compounds == 49
    opened = Reference(bench.root / "job" / REFERENCE)
    yield opened
    opened.close()


def test_every_label_stands_in_its_unit(bench: "Bench", snapshot: "Path", made: Reference) -> None:
    frozen = Snapshot.load(snapshot)
    index = EndpointIndex(bench.consortium.catalogue, (OWN,))
    assert len(frozen.rows) == 98
    for row, col, value, n in zip(
        frozen.rows, frozen.cols, frozen.values, frozen.counts, strict=True
    ):
        task = frozen.tasks[col]
        endpoint = index.endpoint(task)
        said = made.measured(frozen.compounds[row])[task]
        assert transform(said.value, endpoint) == pytest.approx(float(value), abs=1e-4)
        assert (said.unit, said.n, said.qualifier) == (endpoint.unit, n, "=")
        assert said.value == float(f"{said.value:.5g}")


def test_qualifiers_are_turned_with_the_scale(bench: "Bench", snapshot: "Path") -> None:
    frozen = Snapshot.load(snapshot)
    frozen.qualifiers[:] = 1
    again = bench.root / "again"
    frozen.save(again)
    (again / "features").symlink_to(snapshot / "features")
    make_reference(_order(bench, again), bench.folder("job"), bench.report)
    opened = Reference(bench.root / "job" / REFERENCE)
    said = opened.measured(frozen.compounds[0])
    # Solubility is learned as the negative logarithm of a concentration.
    turned = {"private:own": ">", "solubility": "<"}
    assert {task: one.qualifier for task, one in said.items()} == turned
    opened.close()


def test_what_an_endpoint_dropped_from_the_catalogue_had_is_left_out(
    bench: "Bench", snapshot: "Path"
) -> None:
    make_reference(_order(bench, snapshot, private=()), bench.folder("job"), bench.report)
    opened = Reference(bench.root / "job" / REFERENCE)
    frozen = Snapshot.load(snapshot)
    assert all(set(opened.measured(key)) == {"solubility"} for key in frozen.compounds)
    opened.close()


def test_it_notes_what_it_depends_on(bench: "Bench", made: Reference) -> None:
    plan = bench.consortium.plan_document()
    assert FeatureSpec.model_validate_json(made.about("features")) == plan.features
    assert (made.about("identity"), made.about("snapshot")) == (origin(), "s1")
    assert made.about("share") == "values"


def test_neighbours_are_those_of_the_snapshots_features(snapshot: "Path", made: Reference) -> None:
    frozen = Snapshot.load(snapshot)
    assert set(made.newest()) == set(frozen.smiles)
    counts = (np.array([1], np.int32), np.array([1], np.uint8))
    assert len(made.neighbours(counts, 50)) == 49


def test_similarity_alone_has_no_structure(bench: "Bench", snapshot: "Path") -> None:
    order = _order(bench, snapshot, share="similarity")
    make_reference(order, bench.folder("job"), bench.report)
    content = (bench.root / "job" / REFERENCE).read_bytes()
    assert not any(smiles.encode() in content for smiles in Snapshot.load(snapshot).smiles)


def test_features_of_other_compounds_are_damage(bench: "Bench", snapshot: "Path") -> None:
    frozen = Snapshot.load(snapshot)
    fewer = bench.root / "fewer"
    type(frozen)(
        **{
            **{name: getattr(frozen, name) for name in frozen.__dataclass_fields__},
            "compounds": frozen.compounds[:-1],
        }
    ).save(fewer)
    (fewer / "features").symlink_to(snapshot / "features")
    with pytest.raises(Refused, match="damaged_snapshot"):
        make_reference(_order(bench, fewer), bench.folder("job"), bench.report)


def test_a_snapshot_that_was_cleared_away_is_named(bench: "Bench") -> None:
    with pytest.raises(Refused, match="damaged_snapshot"):
        make_reference(_order(bench, bench.root / "no"), bench.folder("job"), bench.report)
