import json
from pathlib import Path

import pytest

from agent.assays.curate import Curated
from agent.assays.parts import SCHEMA, SET_ASIDE, SUMMARY, Source, load_parts, write_part
from agent.errors import Refused
from agent.records import Assay, Compound, Measurement, Place, SetAside

_SOURCE = Source("lab", "sub/a.csv", "0" * 64)
_COMPOUND = Compound("k", "f", "Cc1ccccc1", 92.14)


def _curated(count: int = 2) -> Curated:
    place = Place(2, "데이터")
    assay = Assay("Toxicity", "hERG")
    entry = Measurement(_COMPOUND, "C1", "herg", "=", 5.0, 10.0, assay, "", "", place)
    aside = SetAside(Place(3, "데이터", "V"), "unknown_unit", "Correct it.")
    return Curated([entry] * count, [aside], count + 2, 1, {"herg": "regression"})


def test_part_holds_everything_and_its_account_balances(tmp_path: Path) -> None:
    summary = write_part(tmp_path / "p", _curated(), _SOURCE)
    assert (summary.tasks, summary.reasons) == ({"herg": 2}, {"unknown_unit": 1})
    assert summary.read == summary.used + summary.set_aside + summary.blank
    stored = json.loads((tmp_path / "p" / SUMMARY).read_text())
    assert stored["source"]["path"] == "sub/a.csv"
    aside = json.loads((tmp_path / "p" / SET_ASIDE).read_text())
    assert (aside["row"], aside["sheet"], aside["column"]) == (3, "데이터", "V")
    row = load_parts([tmp_path / "p"]).row(0, named=True)
    assert (row["task"], row["kind"], row["sheet"], row["value"]) == (
        "herg",
        "regression",
        "데이터",
        5.0,
    )
    assert row["fold_group"]


def test_nothing_but_the_part_is_left(tmp_path: Path) -> None:
    write_part(tmp_path / "p", _curated(), _SOURCE)
    write_part(tmp_path / "p", _curated(5), _SOURCE)
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
    assert len(load_parts([tmp_path / "p"])) == 2


def test_empty_parts_join(tmp_path: Path) -> None:
    write_part(tmp_path / "p", _curated(0), _SOURCE)
    write_part(tmp_path / "q", _curated(1), _SOURCE)
    assert len(load_parts([tmp_path / "p", tmp_path / "q"])) == 1
    assert load_parts([]).columns == list(SCHEMA)


def test_missing_or_damaged_part_is_refused(tmp_path: Path) -> None:
    write_part(tmp_path / "p", _curated(), _SOURCE)
    (tmp_path / "p" / "measurements.parquet").write_bytes(b"PAR1")
    for name in ("p", "nowhere"):
        with pytest.raises(Refused) as caught:
            load_parts([tmp_path / name])
        assert caught.value.code == "damaged_part"
