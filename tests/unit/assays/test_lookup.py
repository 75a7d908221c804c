from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.assays import lookup, reference
from agent.assays.lookup import Counts, Measured, Reference, counted
from agent.assays.reference import Fingerprints, write_reference
from agent.assays.skeleton import composition_of_text, graphs
from agent.assays.structures import identified
from agent.errors import Refused
from agent.features.fast import Featurizer
from agent.records import Compound
from tests.kit.references import KNOWN, SPEC, contents, lay_out

PARACETAMOL = "CC(=O)Nc1ccc(O)cc1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return lay_out(tmp_path / "refer#ence?")


@pytest.fixture
def opened(path: Path) -> Iterator[Reference]:
    found = Reference(path)
    yield found
    found.close()


def _key(smiles: str) -> str:
    compound = identified(smiles, "smiles")
    assert isinstance(compound, Compound)
    return compound.key


def _counts(smiles: str) -> Counts:
    features, _ = Featurizer(SPEC).featurize_smiles([smiles])
    return counted(features.indices, features.values)


def test_what_was_measured_is_found_with_its_qualifier(opened: Reference) -> None:
    assert opened.measured(_key(PARACETAMOL)) == {
        "logd": Measured(0.46, "", "=", 3, "2024-05-06"),
        "solubility": Measured(100.0, "uM", ">", 1, "2023-01-02"),
    }
    assert opened.measured(_key("CC(=O)Nc1ccccc1O"))["solubility"].qualifier == "<"
    assert opened.measured(_key("CCO")) == {}


def test_the_cheap_tests_know_every_compound(opened: Reference) -> None:
    for smiles, *_ in KNOWN:
        composition = composition_of_text(smiles)
        assert composition is not None
        assert opened.may_know(composition)
        assert opened.has_skeleton(graphs(smiles, "smiles")[0].skeleton)
    assert not opened.may_know(composition_of_text("CCCCCCCCCC") or 0)
    assert not opened.has_skeleton(graphs("CC(C)(C)C(=O)O", "smiles")[0].skeleton)


def test_the_newest_come_first_and_those_without_a_date_last(opened: Reference) -> None:
    dates = {identified(smiles, "smiles").smiles: "" for smiles, *_ in KNOWN}  # type: ignore[union-attr]
    for smiles, *_, date in KNOWN:
        parent = identified(smiles, "smiles").smiles  # type: ignore[union-attr]
        dates[parent] = max(dates[parent], date)
    assert opened.newest() == sorted(dates, key=dates.__getitem__, reverse=True)


def test_neighbours_come_with_their_values(opened: Reference) -> None:
    found = opened.neighbours(_counts(PARACETAMOL), 2)
    assert [one.smiles for one in found] == [PARACETAMOL, "CC(=O)Nc1ccccc1O"]
    assert found[0].similarity == 1.0
    assert 0.3 < found[1].similarity < 1.0
    assert found[1].measured == {"solubility": Measured(0.5, "uM", "<", 2, "")}


def test_neighbours_of_an_endpoint_were_measured_for_it(opened: Reference) -> None:
    found = opened.neighbours(_counts(PARACETAMOL), 50, "logd")
    assert all("logd" in one.measured for one in found)
    assert len(found) == 3
    with pytest.raises(Refused, match="unknown_endpoint"):
        opened.neighbours(_counts(PARACETAMOL), 50, "herg")


Row = dict[int, int]
rows = st.lists(
    st.dictionaries(st.integers(0, 30), st.integers(1, 15), min_size=1, max_size=12),
    min_size=1,
    max_size=40,
)


@settings(max_examples=30)
@given(rows, st.dictionaries(st.integers(0, 30), st.integers(1, 15), max_size=12))
def test_bounds_leave_out_no_neighbour(
    tmp_path_factory: pytest.TempPathFactory, known: list[Row], asked: Row
) -> None:
    """Read in chunks of three and cut short by bounds, they are those of a look at each row."""
    whole = contents()
    count = len(known)
    sizes = [len(row) for row in known]
    prints = Fingerprints(
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.array([column for row in known for column in sorted(row)], np.int32),
        np.array([row[column] for row in known for column in sorted(row)], np.uint8),
    )
    nothing = np.zeros(0, np.int64)
    content = replace(
        whole,
        keys=[f"{number:064x}" for number in range(count)],
        smiles=["C" * (1 + number) for number in range(count)],
        endpoints=(),
        rows=nothing,
        cols=nothing,
        values=nothing,
        qualifiers=nothing,
        counts=nothing,
        dates=np.zeros(0, "<U10"),
        fingerprints=prints,
    )
    path = tmp_path_factory.mktemp("r") / "r"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "CHUNK", 3)
        list(write_reference(path, content, "values"))
    opened = Reference(path)
    query = (
        np.array(sorted(asked), np.int32),
        np.array([asked[column] for column in sorted(asked)], np.uint8),
    )
    found = [one.similarity for one in opened.neighbours(query, 5)]
    opened.close()
    expected = sorted((_tanimoto(asked, row) for row in known), reverse=True)[:5]
    assert found == pytest.approx(expected)


def _tanimoto(one: Row, other: Row) -> float:
    columns = one.keys() | other.keys()
    common = sum(min(one.get(column, 0), other.get(column, 0)) for column in columns)
    return common / (sum(one.values()) + sum(other.values()) - common)


def test_it_is_opened_without_writing_anything(path: Path) -> None:
    path.chmod(0o400)
    opened = Reference(path)
    assert opened.measured(_key(PARACETAMOL))
    assert {one.name for one in path.parent.iterdir()} == {path.name, "current"}
    opened.close()


def test_an_open_one_outlives_its_file(path: Path) -> None:
    opened = Reference(path)
    path.unlink()
    assert opened.measured(_key(PARACETAMOL))
    opened.close()


def test_what_cannot_be_read_is_named(path: Path, tmp_path: Path) -> None:
    for name, content in {
        "empty": b"",
        "text": b"no database" * 500,
        "cut": path.read_bytes()[:5000],
        "other": path.read_bytes().replace(b"ONGR", b"XXXX"),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Refused, match="damaged_reference"):
            Reference(tmp_path / name)
    with pytest.raises(Refused, match="damaged_reference"):
        Reference(tmp_path / "nowhere")


def test_damage_behind_the_head_is_named_when_it_is_met(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3 * 16384 :] = b"\xff" * (len(content) - 3 * 16384)
    path.chmod(0o600)
    path.write_bytes(bytes(content))
    with pytest.raises(Refused, match="damaged_reference"):  # noqa: PT012 - wherever it is met
        opened = Reference(path)
        opened.measured(_key(PARACETAMOL))
        opened.neighbours(_counts(PARACETAMOL), 5)


def test_columns_beyond_any_fingerprint_are_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lay_out(tmp_path / "r")
    opened = Reference(path)
    monkeypatch.setattr(lookup, "_COLUMNS", 8)
    with pytest.raises(Refused, match="damaged_reference"):
        opened.neighbours((np.array([1], np.int32), np.array([1], np.uint8)), 5)
    opened.close()
