import numpy as np
import pytest
from rdkit import Chem

from agent.features.fast import Featurizer
from agent.features.reference import REFERENCE_SMILES
from agent.features.spec import default_spec


@pytest.fixture(scope="module")
def featurizer() -> Featurizer:
    return Featurizer(default_spec())


def test_without_its_only_atom_nothing_is_left(featurizer: Featurizer) -> None:
    whole, none = featurizer.without_each_atom(Chem.MolFromSmiles("C")).dense_counts(2048)
    assert whole.any()
    assert not none.any()


def test_an_atom_takes_every_environment_along_that_it_is_in(featurizer: Featurizer) -> None:
    """Of C-C-O with radius 2: three single atoms and the environments around each of them."""
    mol = Chem.MolFromSmiles("CCO")
    counts = np.expm1(featurizer.without_each_atom(mol).dense_counts(2048)).round().astype(int)
    # Three of radius 0, three of radius 1; the one of radius 2 covers what another does already.
    assert counts[0].sum() == 6
    # Without an end: the other two atoms, and the one environment of radius 1 that is not theirs.
    assert counts[1:].sum(axis=1).tolist() == [3, 2, 3]


@pytest.mark.parametrize("smiles", REFERENCE_SMILES[:20])
def test_less_is_left_and_the_rest_stays(featurizer: Featurizer, smiles: str) -> None:
    mol = Chem.MolFromSmiles(smiles)
    found = featurizer.without_each_atom(mol)
    counts = found.dense_counts(2048)
    assert len(found) == mol.GetNumAtoms() + 1
    assert counts[0].tolist() == featurizer.featurize([mol]).dense_counts(2048)[0].tolist()
    assert (counts[1:] <= counts[0]).all()
    assert (counts[1:].sum(axis=1) < counts[0].sum()).all()
    assert (found.dense == found.dense[0]).all()
