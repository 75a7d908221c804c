import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from agent.features.graph import Drawer, Graph
from agent.features.lipinski import acceptors, rotatable
from tests.unit.features.molecules import molecules


def _graph(mols: list[Chem.Mol]) -> Graph:
    drawn = [Drawer().draw(mol) for mol in mols]
    return Graph.join([one for one in drawn if one is not None])


def test_they_are_counted_as_rdkit_does() -> None:
    mols = [mol for mol in molecules() if Drawer().draw(mol) is not None]
    graph = _graph(mols)
    hba = np.array([rdMolDescriptors.CalcNumHBA(mol) for mol in mols])
    turning = np.array([rdMolDescriptors.CalcNumRotatableBonds(mol) for mol in mols])
    assert acceptors(graph)[graph.usual].tolist() == hba[graph.usual].tolist()
    assert rotatable(graph)[graph.usual].tolist() == turning[graph.usual].tolist()


@pytest.mark.parametrize(
    ("smiles", "turning"),
    [
        ("CCCC", 1),
        ("CCC(F)(F)F", 0),
        ("CCC(C)(C)C", 0),
        ("CC(=O)NCC", 1),
        ("CC#CC", 0),
        ("c1ccccc1-c1ccccc1", 1),
        ("C1CCC2(CC1)CCCCC2", 0),
    ],
)
def test_bonds_that_turn(smiles: str, turning: int) -> None:
    mol = Chem.MolFromSmiles(smiles)
    assert rotatable(_graph([mol])).tolist() == [turning]
    assert rdMolDescriptors.CalcNumRotatableBonds(mol) == turning


@pytest.mark.parametrize(
    ("smiles", "accepting"),
    [("CO", 1), ("CC(=O)O", 1), ("CC(=O)N", 1), ("CN", 1), ("c1ccncc1", 1), ("Cn1cccc1", 0)],
)
def test_atoms_that_accept(smiles: str, accepting: int) -> None:
    mol = Chem.MolFromSmiles(smiles)
    assert acceptors(_graph([mol])).tolist() == [accepting]
    assert rdMolDescriptors.CalcNumHBA(mol) == accepting
