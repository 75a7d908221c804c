from agent.features.fast import Featurizer
from agent.features.reference import REFERENCE_SMILES
from agent.features.spec import default_spec, spec_sha256
from agent.wire.documents import FeatureSpec


def test_the_default_survives_the_wire_under_the_same_name() -> None:
    spec = default_spec()
    assert spec_sha256(FeatureSpec.parse(spec.to_bytes())) == spec_sha256(spec)


def test_any_change_changes_the_name() -> None:
    spec = default_spec()
    changes = ({"radius": 3}, {"clip": 4.0}, {"descriptors": spec.descriptors[::-1]})
    names = {spec_sha256(spec.model_copy(update=change)) for change in changes}
    assert len(names | {spec_sha256(spec)}) == 4


def test_drugs_lie_within_the_scaling() -> None:
    dense = Featurizer(default_spec()).featurize_smiles(REFERENCE_SMILES)[0].dense
    assert abs(dense.mean(axis=0)).max() < 1.5
    assert (abs(dense) >= default_spec().clip).mean() < 0.01
