from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator as Generators

from agent.features.cache import FeatureCache
from agent.features.fast import Featurizer
from agent.features.rows import Features
from agent.features.views import ViewFeaturizer, default_views

_SPEC = default_views()
_SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "no structure", "CCO", "C"]


@pytest.fixture(scope="module")
def features() -> Features:
    found, _ = ViewFeaturizer(_SPEC).featurize_smiles(_SMILES)
    return found


def _same(one: Features, other: Features) -> bool:
    parts = ("indptr", "indices", "values", "dense")
    return all(np.array_equal(getattr(one, part), getattr(other, part)) for part in parts)


def test_views_lie_side_by_side() -> None:
    size = _SPEC.plain.hash_size
    assert _SPEC.wide == (0, size)
    assert _SPEC.rich == (0, 2 * size)
    assert _SPEC.narrow == (2 * size, 3 * size)
    assert _SPEC.hash_size == 3 * size


def test_the_wide_view_is_what_a_plan_counts(features: Features) -> None:
    plain, _ = Featurizer(_SPEC.plain).featurize_smiles(_SMILES)
    assert _same(features.columns(*_SPEC.wide), plain)


def test_the_narrow_view_is_what_a_plan_of_radius_1_counts(features: Features) -> None:
    narrow = _SPEC.plain.model_copy(update={"radius": 1})
    expected, _ = Featurizer(narrow).featurize_smiles(_SMILES)
    assert _same(features.columns(*_SPEC.narrow), expected)


def test_the_rich_view_has_pairs_and_torsions_too(features: Features) -> None:
    size = _SPEC.plain.hash_size
    mol = Chem.MolFromSmiles(_SMILES[0])
    makers = (Generators.GetAtomPairGenerator, Generators.GetTopologicalTorsionGenerator)
    counts = [make(fpSize=size // 2).GetCountFingerprintAsNumPy(mol) for make in makers]
    found = features.columns(size, 2 * size).dense_counts(size)[0]
    np.testing.assert_allclose(found, np.log1p(np.concatenate(counts).astype(float)), rtol=1e-6)


def test_a_structure_that_is_none_has_no_counts_in_any_view(features: Features) -> None:
    assert features.usable.tolist() == [True, False, True, True]
    assert not features.dense[1].any()


def test_columns_ascend_within_a_row(features: Features) -> None:
    for row in range(len(features)):
        own = features.indices[features.indptr[row] : features.indptr[row + 1]]
        assert (np.diff(own) > 0).all()


def test_a_cache_keeps_all_views(tmp_path: Path, features: Features) -> None:
    path, keys = tmp_path / "features.sqlite3", list("abcd")
    for _ in range(2):
        assert _same(FeatureCache(path, _SPEC).get_or_compute(keys, _SMILES), features)
    plain = FeatureCache(path, _SPEC.plain).get_or_compute(keys, _SMILES)
    assert _same(plain, features.columns(*_SPEC.wide))
