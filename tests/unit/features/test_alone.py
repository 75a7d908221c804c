import pytest
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from agent.features import alone
from agent.features.alone import Remembering
from agent.features.graph import Drawer
from tests.unit.features.molecules import molecules


def test_every_bit_is_rdkits_when_it_is_learned_and_when_it_is_known() -> None:
    drawer, remembering = Drawer(), Remembering()
    found = 0
    for _ in range(2):
        for mol in molecules():
            drawn = drawer.draw(mol)
            sums = None if drawn is None else remembering.crippen(drawn)
            assert sums is None or sums == tuple(rdMolDescriptors.CalcCrippenDescriptors(mol))
            found += sums is not None
    assert found > len(molecules())


@pytest.mark.parametrize("smiles", ["C$C", "C[N](C)(C)(C)C", "[CH3]"])
def test_an_unusual_molecule_is_left_to_rdkit(smiles: str) -> None:
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    mol.UpdatePropertyCache(strict=False)
    Chem.FastFindRings(mol)
    drawn = Drawer().draw(mol)
    assert drawn is not None
    assert Remembering().crippen(drawn) is None


def test_what_it_knows_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alone, "_MOST_KNOWN", 20)
    drawer, remembering = Drawer(), Remembering()
    for mol in molecules():
        drawn = drawer.draw(mol)
        if drawn is not None and (sums := remembering.crippen(drawn)) is not None:
            assert sums == tuple(rdMolDescriptors.CalcCrippenDescriptors(mol))
    assert len(remembering._known) < 20 + 120
