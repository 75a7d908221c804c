import numpy as np
import pytest
from rdkit import Chem

from agent.features.graph import DOUBLE, KINDS, SINGLE, Drawer, Graph


def test_atoms_and_bonds_stand_behind_each_other() -> None:
    drawn = [Drawer().draw(Chem.MolFromSmiles(text)) for text in ("CC=O", "c1ccccc1", "CN")]
    graph = Graph.join([one for one in drawn if one is not None])
    assert [KINDS[kind] for kind in graph.kind] == [*"CCO", *"cccccc", *"CN"]
    assert graph.molecule.tolist() == [0] * 3 + [1] * 6 + [2] * 2
    assert graph.hydrogens.tolist() == [3, 1, 0, *[1] * 6, 3, 2]
    bonds = {*zip(graph.source.tolist(), graph.target.tolist(), graph.order.tolist(), strict=True)}
    assert {(0, 1, SINGLE), (1, 2, DOUBLE), (2, 1, DOUBLE), (9, 10, SINGLE)} < bonds
    assert len(bonds) == 2 * (2 + 6 + 1)
    assert graph.neighbours[DOUBLE, KINDS.index("O")].tolist() == [0, 1, *[0] * 9]
    assert np.all(graph.usual)


@pytest.mark.parametrize("smiles", ["CB(O)O", "[13CH4]", "*C", "C[O+](C)C", "C" * 121, "[H][H]"])
def test_an_unusual_molecule_is_not_drawn(smiles: str) -> None:
    assert Drawer().draw(Chem.MolFromSmiles(smiles)) is None


@pytest.mark.parametrize("smiles", ["[CH3]", "CN(C)(C)->O", "C[S](C)C"])
def test_bonds_that_do_not_fit_the_atoms_are_told(smiles: str) -> None:
    drawn = [Drawer().draw(Chem.MolFromSmiles(text)) for text in ("CC", smiles)]
    graph = Graph.join([one for one in drawn if one is not None])
    assert graph.usual.tolist() == [True, False]
