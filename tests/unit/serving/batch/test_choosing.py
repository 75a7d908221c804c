import pytest

from agent.errors import Refused
from agent.serving.batch.choosing import column_named, structure_column
from agent.serving.batch.tables import Line, Sheet


def _column(header: list[str], *rows: list[str], name: str = "") -> int | None:
    lines = [Line(row) for row in rows]
    return structure_column(Sheet(header, iter(())), lines, name)


def test_a_column_is_found_by_its_name() -> None:
    assert _column(["id", "SMILES"], ["1", "CCO"]) == 1
    assert _column(["id", "구조"], ["1", "CCO"]) == 1
    assert _column(["id", "parent smiles"], ["1", "CCO"]) == 1
    assert _column(["Structure", "canonical_smiles", "smiles"]) == 2


def test_the_named_column_counts_whatever_the_others_are_called() -> None:
    assert _column(["smiles", "Mol "], name="mol") == 1
    assert _column(["smiles", "SMILES"], name="SMILES") == 1
    with pytest.raises(Refused, match="no column 'x'; it has 'smiles', 'mol'"):
        _column(["smiles", "mol"], name="x")


def test_a_column_is_found_by_what_stands_in_it() -> None:
    rows = [["12345", "c1ccccc1O", "CMPD-1"], ["7", "CC(=O)NC", "CMPD-2"], ["8", "", "CMPD-3"]]
    assert _column(["a", "b", "c"], *rows) == 1
    with pytest.raises(Refused, match="name one of 'a', 'c'"):
        _column(["a", "c"], *([row[0], row[2]] for row in rows))


def test_a_file_without_a_header_is_not_taken_for_one_row_less() -> None:
    with pytest.raises(Refused) as refused:
        _column(["x1", "CCOCC"], ["x2", "CCN"], ["x3", "CCCC"])
    assert refused.value.code == "no_header"


def test_molblocks_in_cells_are_structures() -> None:
    assert _column(["id", "m"], ["1", "x\n\n\n  0  0\nM  END\n"]) == 1


def test_records_have_no_column() -> None:
    assert structure_column(Sheet(["title"], iter(()), records=True), [], "") is None


def test_a_column_named_twice_is_the_first() -> None:
    assert column_named(["a", "b", "a"], "a") == 0
