import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem

from agent.assays.skeleton import composition_of_text, graph_of_text, graphs
from agent.assays.structures import identified
from agent.features.reference import REFERENCE_SMILES
from agent.records import Compound
from tests.kit import measurements

SMILES = [*REFERENCE_SMILES, *(smiles for _, smiles, _ in measurements.compounds(range(1, 8)))]


def _marks(smiles: str) -> tuple[int, int]:
    (graph,) = graphs(smiles, "smiles")
    return graph.composition, graph.skeleton


def _parent(smiles: str) -> str:
    compound = identified(smiles, "smiles")
    assert isinstance(compound, Compound)
    return compound.smiles


@pytest.mark.parametrize(
    "spelling",
    [
        "CC(=O)Nc1ccc(O)cc1",
        "CC(=O)NC1=CC=C(O)C=C1",  # without aromatic atoms
        "CC(O)=Nc1ccc(O)cc1",  # another tautomer
        "CC(=O)Nc1ccc([O-])cc1",
        "CC(=O)Nc1ccc(O)c([2H])c1",
        "[13CH3]C(=O)Nc1ccc(O)cc1",
        "c1cc(ccc1NC(C)=O)O",
        "C%12=CC(O)=CC=C%12NC(C)=O",
    ],
)
def test_spellings_of_a_compound_share_both_marks(spelling: str) -> None:
    expected = _marks("CC(=O)Nc1ccc(O)cc1")
    assert _marks(spelling) == expected
    assert composition_of_text(spelling) == expected[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CCO", "CCN"),
        ("CCCO", "CC(C)O"),  # the same composition
        ("c1ccccc1", "C1CCCC1"),
        ("Clc1ccccc1C", "Clc1cccc(C)c1"),
        ("C1CC1CC", "C1CCC1C"),
    ],
)
def test_other_compounds_differ_in_the_skeleton(one: str, other: str) -> None:
    assert _marks(one)[1] != _marks(other)[1]


@pytest.mark.parametrize("smiles", SMILES)
def test_it_misses_no_compound(smiles: str) -> None:
    """Whatever the full standardization makes of a structure, it finds it again."""
    (parent,) = graphs(_parent(smiles), "smiles")
    found = graphs(smiles, "smiles")
    assert any(
        not graph.usual
        or (graph.composition, graph.skeleton) == (parent.composition, parent.skeleton)
        for graph in found
    )


@pytest.mark.parametrize("smiles", SMILES)
def test_the_text_says_the_same_as_the_molecule_or_nothing(smiles: str) -> None:
    said = composition_of_text(smiles)
    if said is None:
        assert "." in smiles or not all(graph.usual for graph in graphs(smiles, "smiles"))
    else:
        assert said == _marks(smiles)[0]
        graph = graph_of_text(smiles)
        assert graph is not None
        assert (graph.composition, graph.skeleton) == _marks(smiles)


@given(st.sampled_from(SMILES), st.randoms(use_true_random=False))
def test_any_order_of_the_atoms_says_the_same(smiles: str, random: object) -> None:
    mol = Chem.MolFromSmiles(smiles)
    order = list(range(mol.GetNumAtoms()))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False)
    assert {(g.composition, g.skeleton) for g in graphs(shuffled, "smiles")} == {
        (g.composition, g.skeleton) for g in graphs(smiles, "smiles")
    }
    assert composition_of_text(shuffled) == composition_of_text(smiles)
    graph = graph_of_text(shuffled)
    if graph is not None:
        assert (graph.composition, graph.skeleton) == _marks(smiles)


def test_each_fragment_of_a_salt_is_looked_at() -> None:
    found = graphs("CC(=O)[O-].[Na+].C[NH3+]", "smiles")
    assert [graph.usual for graph in found] == [True, True]
    assert {graph.skeleton for graph in found} == {_marks("CC(=O)O")[1], _marks("CN")[1]}
    assert composition_of_text("CC(=O)[O-].[Na+]") is None


def test_what_holds_a_metal_is_never_ruled_out() -> None:
    (graph,) = graphs("CC(=O)O[Na]", "smiles")
    assert not graph.usual
    assert composition_of_text("CC(=O)O[Na]") is None


@pytest.mark.parametrize("text", ["C1CC1 |$;;$|", "C*", "C~C", "C>>C", "C%(100)CC%(100)", "[Q]C"])
def test_an_odd_text_says_nothing(text: str) -> None:
    assert composition_of_text(text) is None
    assert graph_of_text(text) is None


@given(st.text(max_size=30) | st.text(alphabet="CNcn()[]12%0=#-+@H", max_size=30))
def test_any_text_is_read_or_said_nothing_of(text: str) -> None:
    composition_of_text(text)
    graph_of_text(text)
    graphs(text, "smiles")
    graphs(text, "molblock")


def test_a_molblock_is_read_with_its_hydrogens() -> None:
    block = Chem.MolToMolBlock(Chem.AddHs(Chem.MolFromSmiles("CCO")))
    (graph,) = graphs(block, "molblock")
    assert (graph.composition, graph.skeleton) == _marks("CCO")
