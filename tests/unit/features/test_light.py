import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from agent.features.fast import Featurizer
from agent.features.light import MAX_ATOMS, MAX_HEAVY_ATOMS, _standardize, light_mol
from agent.features.reference import REFERENCE_SMILES
from agent.features.spec import default_spec
from agent.records import InvalidStructure


def _smiles(structure: str) -> str:
    mol = light_mol(structure, "smiles")
    assert not isinstance(mol, InvalidStructure), mol
    return str(Chem.MolToSmiles(mol))


@pytest.mark.parametrize(
    ("given_smiles", "expected"),
    [
        ("CCN.Cl", "CCN"),
        ("CCCC(=O)[O-].[Na+]", "CCCC(=O)O"),
        ("[NH3+]CC(=O)[O-]", "NCC(=O)O"),
        ("C[N+](C)(C)C", "C[N+](C)(C)C"),
        ("C[N+](=O)[O-]", "C[N+](=O)[O-]"),
        ("  CCO\n", "CCO"),
    ],
)
def test_salts_go_and_charges_are_neutralized_where_they_can_be(
    given_smiles: str, expected: str
) -> None:
    assert _smiles(given_smiles) == expected


def test_leaving_out_what_has_nothing_to_do_changes_no_feature() -> None:
    featurizer = Featurizer(default_spec())
    plain = [text for text in REFERENCE_SMILES if not set(text) & set(".+-")]
    assert len(plain) > 20
    for text in plain:
        short, whole = light_mol(text, "smiles"), _standardize(Chem.MolFromSmiles(text))
        assert not isinstance(short, InvalidStructure)
        assert not isinstance(whole, InvalidStructure)
        ours, theirs = featurizer.featurize([short]), featurizer.featurize([whole])
        assert ours.indices.tolist() == theirs.indices.tolist()
        assert ours.values.tobytes() == theirs.values.tobytes()
        assert ours.dense.tobytes() == theirs.dense.tobytes()


def test_a_structure_of_hydrogens_and_dummies_has_its_limit_too() -> None:
    many = light_mol("C" + ".*" * MAX_ATOMS, "smiles")
    assert isinstance(many, InvalidStructure)
    assert many.step == "size"


def test_a_mol_block_gives_the_same_molecule_as_its_smiles() -> None:
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("CC(=O)[O-].[Na+]"))
    mol = light_mol(block, "molblock")
    assert not isinstance(mol, InvalidStructure)
    assert Chem.MolToSmiles(mol) == "CC(=O)O"


@pytest.mark.parametrize(
    ("structure", "step"),
    [
        ("C1CC", "parse"),
        ("C(C)(C)(C)(C)C", "parse"),
        ("not a molecule", "parse"),
        ("CC\0O", "parse"),
        ("\ud800", "parse"),
        ("", "size"),
        ("[H][H]", "size"),
        ("C" * (MAX_HEAVY_ATOMS + 1), "size"),
        ("C." * 2_000 + "C", "size"),
        ("C" * 5_001, "length"),
    ],
)
def test_a_bad_structure_keeps_the_step_that_refused_it(structure: str, step: str) -> None:
    refused = light_mol(structure, "smiles")
    assert isinstance(refused, InvalidStructure)
    assert refused.step == step
    assert refused.cause


def test_a_structure_at_the_limit_is_taken() -> None:
    assert not isinstance(light_mol("C" * MAX_HEAVY_ATOMS, "smiles"), InvalidStructure)


def test_a_long_text_of_few_atoms_is_taken() -> None:
    labelled = "[13CH3]" + "[13CH2]" * 60 + "[13CH3]"
    assert _smiles(labelled) == labelled


def test_an_overlong_or_broken_mol_block_is_refused() -> None:
    for block in ("x" * 100_001, "no counts line", ""):
        assert isinstance(light_mol(block, "molblock"), InvalidStructure)


def test_rdkit_says_nothing_about_a_structure_that_it_refuses(
    capfd: pytest.CaptureFixture[str],
) -> None:
    light_mol("C1CCsecret", "smiles")
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


@given(st.text(alphabet="CNOPSFclnos()[]=#+-@/\\.123456%Hr*: ", max_size=60))
def test_no_text_raises(text: str) -> None:
    mol = light_mol(text, "smiles")
    if not isinstance(mol, InvalidStructure):
        assert mol.GetNumHeavyAtoms() > 0
