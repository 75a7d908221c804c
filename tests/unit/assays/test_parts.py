import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from agent.assays import parts
from agent.assays.censoring import Limit
from agent.assays.curate import Curated
from agent.assays.parts import (
    SCHEMA,
    SET_ASIDE,
    SUMMARY,
    Source,
    load_parts,
    load_withdrawn,
    write_part,
    write_part_in_batches,
)
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


def test_the_summary_tells_units_censoring_and_limits(tmp_path: Path) -> None:
    values = [3.0] * 30 + [3.0 + 0.37 * n for n in range(1, 300)]
    entries = [
        Measurement(
            *(_COMPOUND, "C1", "clint", "=", v, v, Assay(), "", "", Place(at)), unit="uL/min/mg"
        )
        for at, v in enumerate(values)
    ]
    above = entries[0]._replace(qualifier=">", native_qualifier=">", native=150.0, unit="")
    curated = Curated([*entries, *[above] * 12], [], 341, 0, {"clint": "regression"})
    summary = write_part(tmp_path / "p", curated, _SOURCE)
    assert (summary.tasks, summary.censored) == ({"clint": 341}, {"clint": 12})
    assert summary.units == {"clint": {"": 12, "uL/min/mg": 329}}
    assert summary.limits == (
        Limit("clint", 3.0, 30, "floor", decided=False),
        Limit("clint", 150.0, 12, "ceiling", decided=True),
    )
    stored = json.loads((tmp_path / "p" / SUMMARY).read_text())
    assert stored["limits"][0] == {
        "task": "clint",
        "value": 3.0,
        "count": 30,
        "side": "floor",
        "decided": False,
    }


def test_batches_make_the_same_part_as_the_whole(tmp_path: Path) -> None:
    whole = write_part(tmp_path / "p", _curated(5), _SOURCE)
    pieces = [_curated(2), Curated(), _curated(3)]
    pieces[0].set_aside, pieces[0].read = [], 3
    assert write_part_in_batches(tmp_path / "q", pieces, _SOURCE) == replace(whole, blank=2, read=8)
    one, other = (load_parts([tmp_path / name]) for name in "pq")
    assert one.equals(other)


def test_a_large_part_is_written_in_pieces_and_read_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_SPILL_ROWS", 5)
    write_part_in_batches(tmp_path / "p", (_curated(3) for _ in range(6)), _SOURCE)
    assert len(load_parts([tmp_path / "p"])) == 18
    names = {path.name for path in (tmp_path / "p").iterdir()}
    assert names == {parts.MEASUREMENTS, SET_ASIDE, SUMMARY, parts.WITHDRAWN}


def test_a_file_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def batches() -> Iterator[Curated]:
        yield _curated()
        raise Refused("unreadable_file", "It is cut short.")

    with pytest.raises(Refused):
        write_part_in_batches(tmp_path / "p", batches(), _SOURCE)
    assert list(tmp_path.iterdir()) == []


def test_parts_of_the_first_version_are_still_read(tmp_path: Path) -> None:
    write_part(tmp_path / "p", _curated(), _SOURCE)
    path = tmp_path / "p" / parts.MEASUREMENTS
    pl.read_parquet(path).drop("unit", "native_qualifier", "item").write_parquet(path)
    (tmp_path / "p" / parts.WITHDRAWN).unlink()
    assert load_parts([tmp_path / "p"])["item"].to_list() == [0, 1]
    assert load_withdrawn(tmp_path / "p").is_empty()


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
