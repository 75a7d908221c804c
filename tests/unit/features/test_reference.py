import pytest
from rdkit import Chem

from agent.features import reference
from agent.features.light import light_mol
from agent.features.reference import REFERENCE_SMILES, reference_sha256
from agent.features.spec import default_spec
from agent.records import InvalidStructure


def test_every_reference_molecule_is_one_of_a_kind() -> None:
    made = [light_mol(smiles, "smiles") for smiles in REFERENCE_SMILES]
    assert not [mol for mol in made if isinstance(mol, InvalidStructure)]
    assert len({Chem.MolToSmiles(mol) for mol in made}) == len(REFERENCE_SMILES) >= 60


def test_the_hash_is_repeatable_and_follows_the_spec() -> None:
    spec = default_spec()
    assert reference_sha256(spec) == reference_sha256(spec)
    assert reference_sha256(spec.model_copy(update={"radius": 1})) != reference_sha256(spec)


def test_a_change_in_one_molecule_changes_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    before = reference_sha256(default_spec())
    monkeypatch.setattr(reference, "REFERENCE_SMILES", (*REFERENCE_SMILES[:-1], "CCN"))
    assert reference_sha256(default_spec()) != before
