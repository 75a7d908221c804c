import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from agent.features import crippen
from agent.features.crippen import Pending
from agent.features.graph import Drawer, Graph
from agent.features.reference import REFERENCE_SMILES

# What the reference molecules leave out of Crippen's classes, and what only RDKit can tell.
OTHERS = (
    "C CC CC(C)(C)C CO C=C CC=C=C CC#C C=N CC(=N)C C=CC=C CI Ic1ccccc1 Brc1ccccc1 c1ccccc1C=C",
    "c1ccccc1C(C)=C O=c1cc[nH]cc1 CC(C)N=O NO CNO OC=C OC=O OO OS(C)(=O)=O CONC c1ccccc1O",
    "c1cccn1O OC=N CN CNC CN(C)C Nc1ccccc1 CNc1ccccc1 CN(C)c1ccccc1 CC#N C[N+]#[C-] C[NH+]=C",
    "C[N+](C)(C)C CC=[N+](C)C C[n+]1ccccc1 CN=[N+]=[N-] C[N+](=O)[O-] [O-][n+]1ccccc1 CS(C)=O",
    "CS(=O)(=O)C CS(C)(=O)=NC c1ccsc1 CSC CS C=O CC=O O=CO O=C=O O=Cc1ccccc1 O=C(C)c1ccccc1",
    "O=C(c1ccccc1)c1ccccc1 O=C(N)N O=C(F)Cl O=C(Br)c1ccccc1 COc1ccccc1 COC c1ccoc1",
    "CO[N+](=O)[O-] CP(=O)(O)O CB(O)O C[Si](C)(C)C [13CH4] [2H]C [CH3] O N [Na+]",
    "C[N+](C)(C)[O-] CC(=O)[O-] C1=CC(=O)C=CC1=O C[S+](C)C CN(C)->O *C [C-]#[O+] C[NH3+]",
    "N#[N+]c1ccccc1 C[O-] C=C=O C[NH2+]C OF C[N+](C)=NC OC#C On1cccc1",
)


def _molecules() -> list[Chem.Mol]:
    # As they are written: what is charged stays so.
    others = [text for line in OTHERS for text in line.split()]
    return [Chem.MolFromSmiles(text) for text in (*REFERENCE_SMILES, *others)]


def _said(mols: list[Chem.Mol]) -> list[list[float]]:
    pending = Pending(Drawer())
    for mol in mols:
        pending.add(mol)
    found: list[list[float]] = pending.values().tolist()
    return found


def test_every_bit_is_rdkits() -> None:
    mols = _molecules()
    assert _said(mols) == [list(rdMolDescriptors.CalcCrippenDescriptors(mol)) for mol in mols]


@pytest.mark.parametrize("count", [0, 1, 7])
def test_company_changes_nothing(count: int) -> None:
    mols = _molecules()
    assert _said(mols[:count]) == _said(mols)[:count]


def test_the_molecules_here_have_atoms_of_every_class() -> None:
    drawn = [Drawer().draw(mol) for mol in _molecules()]
    graph = Graph.join([one for one in drawn if one is not None])
    atoms, hydrogens = crippen._classes(graph)
    found = {*atoms.tolist(), *hydrogens[graph.hydrogens > 0].tolist()}
    missing = [name for name, place in crippen._PLACE.items() if place not in found]
    assert missing == []


def test_a_large_molecule_keeps_its_place() -> None:
    mols = [Chem.MolFromSmiles("C" * size) for size in (3, 200, 4)]
    assert np.argmax(_said(mols), axis=0).tolist() == [1, 1]
