from rdkit.Chem import rdMolDescriptors

from agent.features.crippen import _PLACE, classified, crippen
from agent.features.graph import Drawer, Graph
from tests.unit.features.molecules import molecules


def test_every_bit_is_rdkits() -> None:
    drawer = Drawer()
    both = [(mol, one) for mol in molecules() if (one := drawer.draw(mol)) is not None]
    graph = Graph.join([one for _, one in both])
    expected = [list(rdMolDescriptors.CalcCrippenDescriptors(mol)) for mol, _ in both]
    pairs = zip(graph.usual, crippen(graph).tolist(), expected, strict=True)
    assert [found for usual, found, _ in pairs if usual] == [
        wanted for usual, wanted in zip(graph.usual, expected, strict=True) if usual
    ]


def test_the_molecules_here_have_atoms_of_every_class() -> None:
    drawn = [Drawer().draw(mol) for mol in molecules()]
    graph = Graph.join([one for one in drawn if one is not None])
    atoms, hydrogens = classified(graph)
    found = {*atoms.tolist(), *hydrogens[graph.hydrogens > 0].tolist()}
    assert [name for name, place in _PLACE.items() if place not in found] == []
