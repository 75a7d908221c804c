import math

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors

from agent.errors import Refused
from agent.features.fast import Featurizer
from agent.features.spec import default_spec
from agent.records import InvalidStructure
from agent.wire.documents import Scaling

_SPEC = default_spec()
_ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"


def _with(*descriptors: Scaling) -> Featurizer:
    return Featurizer(_SPEC.model_copy(update={"descriptors": descriptors}))


def test_counts_are_log1p_of_the_folded_morgan_counts() -> None:
    features, _ = Featurizer(_SPEC).featurize_smiles([_ASPIRIN])
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    expected = morgan.GetCountFingerprintAsNumPy(Chem.MolFromSmiles(_ASPIRIN))
    assert np.allclose(features.dense_counts(2048)[0], np.log1p(expected.astype(float)))


def test_each_descriptor_stands_in_its_column_scaled_by_the_spec() -> None:
    features, _ = Featurizer(_SPEC).featurize_smiles([_ASPIRIN])
    mol = Chem.MolFromSmiles(_ASPIRIN)
    for column, scaling in enumerate(_SPEC.descriptors):
        raw = rdMolDescriptors.Properties([scaling.name]).ComputeProperties(mol)[0]
        expected = (raw - scaling.centre) / scaling.spread
        assert features.dense[0, column] == pytest.approx(expected, abs=1e-5), scaling.name


def test_crippen_and_plain_descriptors_keep_the_order_of_the_spec() -> None:
    names = ("CrippenMR", "NumHeavyAtoms", "CrippenClogP")
    featurizer = _with(*(Scaling(name=name, centre=0.0, spread=100.0) for name in names))
    dense = featurizer.featurize_smiles([_ASPIRIN])[0].dense[0]
    logp, refractivity = rdMolDescriptors.CalcCrippenDescriptors(Chem.MolFromSmiles(_ASPIRIN))
    assert dense == pytest.approx([refractivity / 100, 0.13, logp / 100])


def test_a_far_value_is_clipped_on_either_side() -> None:
    high = Scaling(name="exactmw", centre=0.0, spread=1.0)
    low = Scaling(name="exactmw", centre=1000.0, spread=1.0)
    assert _with(high, low).featurize_smiles(["CCO"])[0].dense.tolist() == [[5.0, -5.0]]


def test_a_number_that_is_not_finite_becomes_the_centre() -> None:
    huge = Scaling(name="exactmw", centre=-1.7e308, spread=1e-300)
    with np.errstate(over="ignore"):
        assert _with(huge).featurize_smiles(["CCO"])[0].dense.tolist() == [[0.0]]


def test_bad_structures_are_empty_rows_in_their_places() -> None:
    smiles = ["C1CC", "CCO", "", "CCN", "x"]
    features, reasons = Featurizer(_SPEC).featurize_smiles(smiles)
    assert [isinstance(reason, InvalidStructure) for reason in reasons] == [True, False] * 2 + [
        True
    ]
    assert features.usable.tolist() == [False, True, False, True, False]
    assert not features.dense[0].any()
    alone, _ = Featurizer(_SPEC).featurize_smiles(["CCN"])
    assert np.array_equal(features.take(np.array([3])).dense, alone.dense)
    assert np.array_equal(features.take(np.array([3])).indices, alone.indices)


def test_nothing_gives_no_rows() -> None:
    features, reasons = Featurizer(_SPEC).featurize_smiles([])
    assert (len(features), reasons) == (0, [])
    assert features.dense.shape == (0, len(_SPEC.descriptors))


def test_order_survives_the_batches() -> None:
    smiles = ["C" * (1 + i % 40) for i in range(2_100)]
    features, _ = Featurizer(_SPEC).featurize_smiles(smiles)
    atoms = [scaling.name for scaling in _SPEC.descriptors].index("NumHeavyAtoms")
    expected = [(1 + i % 40 - 27.0) / 7.4 for i in range(2_100)]
    assert features.dense[:, atoms] == pytest.approx(expected, abs=1e-5)


def test_the_way_a_molecule_is_written_does_not_matter() -> None:
    features, _ = Featurizer(_SPEC).featurize_smiles(["OC(=O)c1ccccc1OC(C)=O", _ASPIRIN])
    assert np.array_equal(features.dense_counts(2048)[0], features.dense_counts(2048)[1])
    assert features.dense[0] == pytest.approx(features.dense[1], abs=1e-5)


def test_an_unknown_descriptor_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="Horoscope") as caught:
        _with(Scaling(name="Horoscope", centre=0.0, spread=1.0))
    assert caught.value.code == "unknown_descriptor"


def test_values_are_finite_float32() -> None:
    features, _ = Featurizer(_SPEC).featurize_smiles(["CCO", "C[Si](C)(C)C"])
    assert features.values.dtype == features.dense.dtype == np.float32
    assert all(math.isfinite(value) for value in features.dense.ravel())
