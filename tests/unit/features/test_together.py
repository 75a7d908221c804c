import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from agent.features.alone import Remembering
from agent.features.graph import Drawer
from agent.features.together import NAMES, Pending
from tests.unit.features.molecules import molecules


def _said(mols: list[Chem.Mol]) -> list[list[float]]:
    pending = Pending(Drawer(), Remembering())
    for mol in mols:
        pending.add(mol)
    found: list[list[float]] = pending.values().tolist()
    return found


def test_every_bit_is_rdkits() -> None:
    properties = rdMolDescriptors.Properties(NAMES)
    assert _said(molecules()) == [list(properties.ComputeProperties(mol)) for mol in molecules()]


@pytest.mark.parametrize("count", [0, 1, 7])
def test_company_changes_nothing(count: int) -> None:
    assert _said(molecules()[:count]) == _said(molecules())[:count]


def test_a_large_molecule_keeps_its_place() -> None:
    mols = [Chem.MolFromSmiles("C" * size) for size in (3, 200, 4)]
    assert np.argmax(_said(mols), axis=0).tolist() == [1, 1, 0, 1]


def test_a_quadruple_bond_in_company() -> None:
    mols = [Chem.MolFromSmiles(smiles) for smiles in ("C$C", *["CCO"] * 7)]
    assert _said(mols)[:1] == _said(mols[:1])
