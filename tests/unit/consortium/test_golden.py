from pathlib import Path

import numpy as np
import pytest

from agent.errors import Refused
from agent.features.fast import Featurizer
from agent.features.golden import GOLDEN_SMILES
from agent.features.reference import smiles_sha256
from agent.features.spec import default_spec, spec_sha256
from agent.keeper.work.problem import task_spec
from agent.learning.score import predict
from agent.wire.documents import FeatureSpec, Plan, Scaling
from agent.wire.golden import Golden
from agent.wire.network import initial_weights
from agent.wire.update import encode
from consortium.catalogue import default_catalogue
from consortium.golden import golden_of, put_golden
from consortium.objects import put_object
from tests.kit.consortium import Consortium

CATALOGUE = default_catalogue("kit")
SPEC = default_spec()
NARROW = FeatureSpec(
    version="onggi-fast-1",
    radius=0,
    hash_size=256,
    descriptors=(Scaling(name="tpsa", centre=70.0, spread=1.0),),
    clip=2.0,
)
WIDE = NARROW.model_copy(update={"radius": 4, "hash_size": 4096, "descriptors": ()})


def _plan(spec: FeatureSpec) -> Plan:
    endpoints = tuple(endpoint.id for endpoint in CATALOGUE.endpoints)
    network = Consortium().plan_document().network.model_copy(update={"hidden": (16, 8)})
    return Consortium().plan_document(features=spec, endpoints=endpoints, network=network)


@pytest.mark.parametrize("spec", [SPEC, NARROW, WIDE], ids=["default", "narrow", "wide"])
def test_it_says_without_torch_and_rdkit_what_a_silo_computes(spec: FeatureSpec) -> None:
    plan = _plan(spec)
    weights = initial_weights(plan.network, spec, plan.endpoints)
    golden = golden_of(weights, plan, CATALOGUE)
    assert golden.rows_sha256 == smiles_sha256(spec, GOLDEN_SMILES)
    assert golden.feature_sha256 == spec_sha256(spec)
    tasks = [task_spec(endpoint.id, endpoint) for endpoint in CATALOGUE.endpoints]
    features, _ = Featurizer(spec).featurize_smiles(golden.smiles)
    said = predict(weights, plan.network, features, tasks, "cpu")
    spread = np.array([task.spread for task in tasks])
    assert np.abs((np.array(golden.expected) - said) / spread).max() < golden.tolerance / 50
    assert Golden.parse(golden.to_bytes()) == golden


def test_weights_that_answer_no_number_have_no_golden_answers() -> None:
    plan = _plan(NARROW)
    weights = initial_weights(plan.network, NARROW, plan.endpoints)
    weights["trunk.dense.bias"][0] = np.nan
    with pytest.raises(Refused, match="no finite number"):
        golden_of(weights, plan, CATALOGUE)


def test_a_descriptor_that_is_not_shipped_gives_none(tmp_path: Path) -> None:
    spec = NARROW.model_copy(
        update={"descriptors": (Scaling(name="nonesuch", centre=0.0, spread=1.0),)}
    )
    plan = _plan(spec)
    weights = encode(initial_weights(plan.network, spec, plan.endpoints))
    assert put_golden(tmp_path, put_object(tmp_path, weights), plan, CATALOGUE) is None


def test_published_weights_get_theirs_as_an_object(tmp_path: Path) -> None:
    plan = _plan(SPEC)
    weights = initial_weights(plan.network, SPEC, plan.endpoints)
    found = put_golden(tmp_path, put_object(tmp_path, encode(weights)), plan, CATALOGUE)
    assert found is not None
    content = (tmp_path / found.sha256).read_bytes()
    assert (len(content), Golden.parse(content)) == (
        found.bytes,
        golden_of(weights, plan, CATALOGUE),
    )
