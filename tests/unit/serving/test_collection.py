import json
import logging
from collections.abc import Iterable
from pathlib import Path

import pytest
from rdkit import Chem

from agent.assays import lookup
from agent.errors import Refused
from agent.records import InvalidStructure, Structure
from agent.releases import shelf
from agent.serving import collection
from agent.serving.bodies import Asked
from agent.serving.collection import Collection, Similar, Written
from agent.serving.predictor import Given
from tests.kit.references import NAME, lay_out

PARACETAMOL = "CC(=O)Nc1ccc(O)cc1"
LOGD = {"value": 0.46, "unit": "", "qualifier": "=", "n": 3}
PLAIN = '"logd": {"value": 1.0, "unit": ""}, "clint": {"value": 2.0, "unit": "uL/min/mg"}'


class Watched:
    """What a collection read, in order, with each structure's number."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, str]] = []

    def __call__(self, structures: Iterable[Given], start: int) -> Iterable[Given]:
        for number, given in enumerate(structures, start):
            self.seen.append((number, given[0]))
            yield given


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "reference"
    lay_out(path)
    return path


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def known(folder: Path, watched: Watched) -> Collection:
    return Collection(folder, watched)


def _said(answer: Written) -> object:
    """Returns what was measured of the one endpoint; the other is as it was."""
    assert isinstance(answer, str)
    predictions = json.loads(f"{{{answer}}}")
    assert predictions["clint"] == {"value": 2.0, "unit": "uL/min/mg"}
    assert list(predictions) == ["logd", "clint"]
    found: object = predictions["logd"].pop("measured", None)
    assert predictions["logd"] == {"value": 1.0, "unit": ""}
    return found


def _measured(known: Collection, text: str, fmt: Structure = "smiles") -> object:
    (answer,) = known.with_measured(NAME, [Asked(text, fmt)], [PLAIN])
    return _said(answer)


@pytest.mark.parametrize(
    "spelling",
    [
        PARACETAMOL,
        " CC(=O)Nc1ccc(O)cc1 paracetamol",
        "CC(O)=Nc1ccc(O)cc1",  # a tautomer
        "CC(=O)Nc1ccc([O-])cc1.[Na+]",
        "CC(=O)Nc1ccc(O[Na])cc1",
        "CC(=O)Nc1ccc(O)cc1.Cl",
        "[2H]C([2H])([2H])C(=O)Nc1ccc(O)cc1",
        # Its counter-ion is the largest fragment, which the model reads and the silo does not.
        "CC(=O)Nc1ccc(O)cc1.OC(=O)c1cc2ccccc2c(Cc2c(O)c(C(=O)O)cc3ccccc23)c1O",
    ],
)
def test_whatever_is_the_same_compound_has_its_value(known: Collection, spelling: str) -> None:
    assert _measured(known, spelling) == LOGD


def test_a_molblock_has_its_value(known: Collection) -> None:
    mol = Chem.MolFromSmiles(PARACETAMOL)
    assert _measured(known, Chem.MolToMolBlock(mol), "molblock") == LOGD
    assert _measured(known, Chem.MolToMolBlock(Chem.AddHs(mol)), "molblock") == LOGD


@pytest.mark.parametrize(
    "other",
    [
        "C[C@@H](N)C(=O)O",  # the mirror image of the one that was measured
        "CC(N)C(=O)O",
        "CC(=O)Nc1cccc(O)c1",
        "CCO",
        "CC(=O)Nc1ccc(O)cc1.CCOC(=O)c1ccc(N)cc1",  # a mixture
    ],
)
def test_another_compound_has_none(known: Collection, other: str) -> None:
    assert _measured(known, other) is None


def test_a_stranger_costs_no_standardization(known: Collection, watched: Watched) -> None:
    for smiles in ("CCO", "CCCCCC", "c1ccccc1", "CC(=O)Nc1cccc(O)c1", "CCN.CCN"):
        _measured(known, smiles)
    assert watched.seen == []


def test_what_was_looked_up_is_remembered(known: Collection, watched: Watched) -> None:
    asked = [Asked("CCO", "smiles"), Asked(PARACETAMOL, "smiles")]
    answers: list[Written] = [PLAIN, PLAIN]
    first = known.with_measured(NAME, asked, answers)
    assert known.with_measured(NAME, asked, answers) == first
    assert watched.seen == [(1, PARACETAMOL)]


def test_memory_of_what_was_looked_up_is_bounded(
    known: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "_REMEMBERED", 2)
    for charge in ("O", "[O-]", "[OH]", "O[Na]"):
        assert _measured(known, f"CC(=O)Nc1ccc({charge})cc1") == LOGD
    assert len(known._found) <= 2


def test_an_error_keeps_its_place(known: Collection) -> None:
    error = InvalidStructure("parse", "No.")
    asked = [Asked("no", "smiles"), Asked(PARACETAMOL, "smiles")]
    invalid, answer = known.with_measured(NAME, asked, [error, PLAIN])
    assert invalid == error
    assert _said(answer) == LOGD


def test_who_may_see_none_is_shown_none(known: Collection) -> None:
    asked = [Asked(PARACETAMOL, "smiles")]
    assert known.with_measured("", asked, [PLAIN]) == [PLAIN]
    assert known.measured("", [(PARACETAMOL, "smiles")], [0]) is None


def test_of_many_only_what_was_measured_is_told(known: Collection, watched: Watched) -> None:
    given: list[Given] = [("CCO", "smiles"), (PARACETAMOL, "smiles"), (PARACETAMOL, "smiles")]
    found = known.measured(NAME, given, [0, 2])
    assert found is not None
    assert list(found) == [2]
    assert found[2]["logd"] == lookup.Measured(0.46, "", "=", 3, "2024-05-06")
    assert watched.seen == [(2, PARACETAMOL)]


def test_fingerprints_alone_tell_nothing(tmp_path: Path) -> None:
    lay_out(tmp_path / "reference", "similarity")
    known = Collection(tmp_path / "reference", Watched())
    assert known.measured(NAME, [(PARACETAMOL, "smiles")], [0]) is None


def test_fingerprints_alone_show_no_value_and_no_neighbour(tmp_path: Path) -> None:
    lay_out(tmp_path / "reference", "similarity")
    known = Collection(tmp_path / "reference", Watched())
    assert _measured(known, PARACETAMOL) is None
    with pytest.raises(Refused, match="no_reference"):
        known.neighbours(NAME, Asked(PARACETAMOL, "smiles"), None, 5)
    with pytest.raises(Refused, match="no_reference"):
        known.newest(NAME)


def test_neighbours_are_found(known: Collection, watched: Watched) -> None:
    found = known.neighbours(NAME, Asked("CC(=O)Nc1ccc(O)cc1.Cl", "smiles"), None, 2)
    assert isinstance(found, Similar)
    assert found.smiles == PARACETAMOL
    assert [one.smiles for one in found.neighbours] == [PARACETAMOL, "CC(=O)Nc1ccccc1O"]
    assert found.neighbours[0].measured["logd"] == lookup.Measured(0.46, "", "=", 3, "2024-05-06")
    assert watched.seen == [(0, "CC(=O)Nc1ccc(O)cc1.Cl")]


def test_a_bad_structure_has_no_neighbours(known: Collection) -> None:
    found = known.neighbours(NAME, Asked("no", "smiles"), None, 2)
    assert isinstance(found, InvalidStructure)
    with pytest.raises(Refused, match="unknown_endpoint"):
        known.neighbours(NAME, Asked("CCO", "smiles"), "herg", 2)


def test_a_new_reference_is_used_and_the_one_before_too(folder: Path, known: Collection) -> None:
    assert _measured(known, PARACETAMOL) == LOGD
    for letter in "bcd":
        lay_out(folder, name=letter * 64)
        asked = [Asked(PARACETAMOL, "smiles")]
        (answer,) = known.with_measured(letter * 64, asked, [PLAIN])
        assert _said(answer) == LOGD
    assert len(known._references) == 2
    assert len(known.newest("c" * 64)) == 5


def test_one_that_is_missing_costs_what_was_measured_and_nothing_else(
    folder: Path, known: Collection, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.path_of(folder, NAME).unlink()
    with caplog.at_level(logging.INFO):
        assert _measured(known, PARACETAMOL) is None
        assert _measured(known, PARACETAMOL) is None
    assert caplog.text.count("reference_not_opened") == 1


def test_damage_that_shows_late_gives_the_reference_up(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = shelf.path_of(folder, NAME)
    content = bytearray(path.read_bytes())
    known = Collection(folder, Watched())
    known.opened(NAME)
    content[16384:] = b"\xff" * (len(content) - 16384)
    path.chmod(0o600)
    path.write_bytes(bytes(content))
    with caplog.at_level(logging.INFO):
        assert _measured(known, PARACETAMOL) is None
        with pytest.raises(Refused, match="no_reference"):
            known.neighbours(NAME, Asked(PARACETAMOL, "smiles"), None, 2)
    assert "reference_given_up" in caplog.text
    assert PARACETAMOL not in caplog.text


def test_one_of_another_rdkit_is_not_used(tmp_path: Path) -> None:
    lay_out(tmp_path / "reference", identity="identity-1 rdkit-1999.1")
    assert _measured(Collection(tmp_path / "reference", Watched()), PARACETAMOL) is None


def test_no_name_leads_out_of_the_folder(known: Collection) -> None:
    asked = [Asked(PARACETAMOL, "smiles")]
    with pytest.raises(ValueError, match="hexadecimal"):
        known.with_measured("../../etc/passwd", asked, [PLAIN])
