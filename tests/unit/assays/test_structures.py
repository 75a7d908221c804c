import pytest
from rdkit import Chem
from rdkit.Chem import RegistrationHash
from rdkit.Chem.RegistrationHash import HashLayer

from agent.assays.structures import (
    MAX_HEAVY_ATOMS,
    MAX_SMILES_CHARS,
    identify,
    registration_keys,
    scaffold,
)
from agent.files import sha256_bytes
from agent.records import Compound, InvalidStructure


def _compound(smiles: str) -> Compound:
    found = identify(smiles, "smiles")
    assert isinstance(found, Compound), found
    return found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("OCC", "CCO"),
        ("CC(=O)Oc1ccccc1C(=O)[O-].[Na+]", "CC(=O)Oc1ccccc1C(=O)O"),
        ("CCN.Cl", "CC[NH3+]"),
        ("Oc1ccccn1", "O=c1cccc[nH]1"),
        ("CC(=O)CC(C)=O", "CC(O)=CC(C)=O"),
        ("[2H]OCC", "CCO"),
        (" CCO ", "CCO"),
        ("OC(=O)CN.OC(=O)CN", "NCC(=O)O"),
    ],
)
def test_the_same_compound_has_one_key_and_one_fold_group(one: str, other: str) -> None:
    first, second = _compound(one), _compound(other)
    assert first.key == second.key
    assert first.flat_key == second.flat_key
    assert scaffold(first.smiles) == scaffold(second.smiles)


def test_stereo_tells_keys_apart_but_not_flat_keys() -> None:
    right, left, flat = (_compound(smi) for smi in ("C[C@H](O)F", "C[C@@H](O)F", "CC(O)F"))
    assert len({right.key, left.key, flat.key}) == 3
    assert len({right.flat_key, left.flat_key, flat.flat_key}) == 1


def test_compound_carries_its_parent_and_weight() -> None:
    assert len(_compound("CCO").key) == 64
    assert _compound("CCO").weight_g_mol == pytest.approx(46.069, abs=1e-3)
    assert _compound("OCC").smiles == "CCO"


@pytest.mark.parametrize(
    ("smiles", "step"),
    [
        ("", "missing"),
        ("   ", "missing"),
        ("C" * (MAX_SMILES_CHARS + 1), "length"),
        ("C" * (MAX_HEAVY_ATOMS + 1), "size"),
        ("not a structure", "parse"),
        ("C(C)(C)(C)(C)C", "parse"),
        ("=cmd()", "parse"),
        ("*CC", "query"),
        ("C[Pt](C)(N)N", "metal"),
        ("[Na+].[Cl-]", "carbon"),
        ("O", "carbon"),
        ("c1ccccc1CCN.c1ccncc1CCO", "mixture"),
    ],
)
def test_refused_structure_names_its_step(smiles: str, step: str) -> None:
    found = identify(smiles, "smiles")
    assert isinstance(found, InvalidStructure)
    assert found.step == step


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    identify("c1cc(secret", "smiles")
    assert capfd.readouterr() == ("", "")


def test_molblock_is_read() -> None:
    atom = "    {:.4f}    0.0000    0.0000 {}   0  0\n"
    block = (
        "\n  x\n\n  3  2  0  0  0  0  0  0  0  0999 V2000\n"
        + "".join(atom.format(at, name) for at, name in enumerate("CCO"))
        + "  1  2  1  0\n  2  3  1  0\nM  END\n"
    )
    found = identify(block, "molblock")
    assert isinstance(found, Compound)
    assert found.key == _compound("CCO").key
    damaged = identify(block.replace("V2000", "V9000"), "molblock")
    assert isinstance(damaged, InvalidStructure)


def test_scaffold_joins_what_differs_outside_the_rings() -> None:
    assert scaffold("Cc1ccc(CCN)cc1") == scaffold("Oc1ccccc1")
    assert scaffold("c1ccncc1") != scaffold("c1ccccc1")
    assert scaffold("CCO") == ""


def test_scaffold_reads_spiro_ammonium() -> None:
    assert scaffold("C1CC[N+]2(C1)CCCC2")


@pytest.mark.parametrize(
    "smiles",
    [
        *("CCO", "C[C@H](N)C(=O)O", "C/C=C/C(=O)O", "CC(=O)CC(C)=O", "c1ccc2[nH]ccc2c1"),
        *("C[C@@H]1CC[C@H](O)CC1", "O=c1cc[nH]cc1", "[2H]C([2H])([2H])O", "CC(N)=N"),
        *("C[C@H](O)[C@@H](C)O |&1:1,3|", "[CH3:1][OH:2]", "N[C@@H](Cc1c[nH]cn1)C(O)=O"),
    ],
)
def test_keys_are_made_of_the_layers_of_the_registration_hash(smiles: str) -> None:
    molecule = Chem.MolFromSmiles(smiles)
    layers = RegistrationHash.GetMolLayers(molecule, enable_tautomer_hash_v2=True)
    formula = layers[HashLayer.FORMULA]
    for key, layer in zip(
        registration_keys(molecule),
        (HashLayer.TAUTOMER_HASH, HashLayer.NO_STEREO_TAUTOMER_HASH),
        strict=True,
    ):
        assert key == sha256_bytes(f"{formula}\n{layers[layer]}".encode())
