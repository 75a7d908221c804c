"""The ingest report from real parts: accounts, quorum, what is shown and what is not."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from agent.assays.curate import Curated, curate
from agent.assays.endpoints import EndpointIndex
from agent.assays.parts import Source, write_part
from agent.assays.report import About, FileRow, StoreRow, build_report
from agent.assays.report_tasks import Needs
from agent.records import Assay, Place, Reading
from agent.wire.documents import AssayRule, Catalogue, Endpoint
from tests.kit.measurements import compounds

SOLUBILITY = Endpoint(
    id="solubility", name="Solubility", group="A", kind="regression", unit="uM",
    transform="neg_log10_molar", low=1e-6, high=1e7, max_replicate_sd=0.6,
    rules=(AssayRule(test="Solubility"),),
)  # fmt: skip
HERG = Endpoint(
    id="herg", name="hERG", group="T", kind="classification", rules=(AssayRule(test="hERG"),)
)
INDEX = EndpointIndex(
    Catalogue(consortium="kit", version=1, endpoints=(SOLUBILITY, HERG)),
    (Endpoint(id="own", name="Own <b>", group="P", kind="regression", low=-1e6, high=1e6),),
)
MOLECULES = [smiles for _, smiles, _ in compounds(range(1, 20))]


def reading(
    number: int, value: str, test: str = "Solubility", unit: str = "uM", **more: str | bool
) -> Reading:
    fields: dict[str, Any] = {
        "compound_id": f"SECRET-{number}",
        "structure": MOLECULES[number % len(MOLECULES)],
        "structure_format": "smiles",
        "assay": Assay(test),
        "endpoint": "",
        "qualifier": "",
        "value": value,
        "unit": unit,
        "date": "",
        "measurement_id": "",
        "place": Place(number + 2, "시트", "Value"),
    }
    return Reading(**{**fields, **more})


class Silo:
    """Parts of several stores, in the order in which they were read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files: list[FileRow] = []

    def take(self, readings: Sequence[Reading], store: str = "lab", name: str = "a.csv") -> Curated:
        curated = curate(readings, INDEX)
        part = self.root / f"part{len(self.files)}"
        s = write_part(part, curated, Source(store, f"{store}/{name}", "0" * 64))
        self.files.append(
            FileRow(store, name, "ingested", "", s.read, s.used, s.set_aside, s.blank, part)
        )
        return curated

    def report(self, *, detailed: bool = False, min_labels: int = 0) -> dict[str, Any]:
        stores = [StoreRow(name, "table") for name in sorted({f.store for f in self.files})]
        about = About(
            "silo-a", "2026-11-23T09:00:00.000000Z", Needs(min_labels=min_labels), detailed=detailed
        )
        report = build_report(about, stores, self.files, INDEX)
        assert json.loads(json.dumps(report, allow_nan=False)) == report
        return report

    def task(
        self, name: str = "solubility", *, detailed: bool = False, min_labels: int = 0
    ) -> dict[str, Any]:
        report = self.report(detailed=detailed, min_labels=min_labels)
        (found,) = [task for task in report["tasks"] if task["task"] == name]
        return dict(found)


@pytest.fixture
def silo(tmp_path: Path) -> Silo:
    return Silo(tmp_path)


def test_the_account_balances_and_one_content_counts_once(silo: Silo) -> None:
    silo.take([reading(n, str(n + 1)) for n in range(12)] + [reading(12, "x"), reading(13, "")])
    first = silo.files[0]
    silo.files.append(FileRow("lab", "copy.csv", "ingested", "", 14, 12, 2, 0, first.part))
    silo.files.append(FileRow("lab", "bad.csv", "refused", "It is empty."))
    report = silo.report()
    totals = report["totals"]
    assert (totals["read"], totals["used"], totals["set_aside"], totals["files"]) == (14, 12, 2, 3)
    assert totals["read"] == totals["used"] + totals["set_aside"] + totals["blank"]
    assert [file["same_as"] for file in report["files"]] == ["", "lab/a.csv", ""]
    assert report["sources"][0]["files"] == {"ingested": 2, "refused": 1}
    assert report["sources"][0]["read"] == 14


def test_a_later_measurement_replaces_an_earlier_one_of_its_store(silo: Silo) -> None:
    silo.take([reading(1, "1", measurement_id="m1"), reading(2, "2")])
    silo.take([reading(1, "5", measurement_id="m1")], name="b.csv")
    silo.take([reading(3, "7", measurement_id="m1")], store="other")
    report = silo.report()
    assert (report["totals"]["replaced"], report["totals"]["current"]) == (1, 3)
    assert [source["replaced"] for source in report["sources"]] == [1, 0]
    assert silo.task()["measurements"] == 3


def test_retracted_and_withdrawn_measurements_are_told_apart(silo: Silo) -> None:
    silo.take([reading(n, f"{n}", measurement_id=f"m{n}") for n in range(1, 7)])
    later = [
        reading(1, "9", measurement_id="m1"),
        reading(2, "2", measurement_id="m2", retracted=True),
        reading(3, "what", measurement_id="m3"),
        reading(4, "", measurement_id="m4"),
    ]
    silo.take(later, name="b.csv")
    report = silo.report()
    fates = {"replaced": 1, "retracted": 1, "withdrawn": 2, "current": 3}
    assert {name: report["totals"][name] for name in fates} == fates
    assert report["totals"]["used"] == sum(fates.values())
    assert {name: report["sources"][0][name] for name in fates} == fates
    assert silo.task()["measurements"] == 3


def test_reasons_are_counted_with_the_first_places(silo: Silo) -> None:
    silo.take([reading(n, "1", unit="furlong") for n in range(6)] + [reading(7, "what")])
    unit, number = silo.report()["reasons"]
    assert (unit["code"], unit["count"], unit["files"]) == ("unknown_unit", 6, {"lab/a.csv": 6})
    assert [example["row"] for example in unit["examples"]] == [2, 3, 4]
    assert unit["examples"][0]["sheet"] == "시트"
    assert (number["code"], number["count"]) == ("not_a_number", 1)


def test_the_words_that_would_unlock_rows_are_named(silo: Silo) -> None:
    silo.take([reading(n, "1", test="CYP1A1") for n in range(7)])
    silo.take([reading(n, "1", unit="furlong") for n in range(5)], name="b.csv")
    unlock = silo.report()["unlock"]
    assert unlock["unmapped"] == [{"word": "CYP1A1", "rows": 7}]
    assert unlock["units"] == [{"word": "furlong", "rows": 5}]


def test_nothing_secret_is_in_it_unless_asked_for(silo: Silo) -> None:
    value = "123.4567"
    rows = [reading(n, value) for n in range(30)]
    rows += [reading(n, "1", unit=MOLECULES[50]) for n in range(9)]  # a shifted column
    rows += [reading(n, "1", test="98765.4321") for n in range(9)]
    rows += [reading(n, "1", unit="O=C(O)c1ccccc1OC(C)=O.CCN(CC)CC.CCCCCC") for n in range(9)]
    silo.take(rows)
    plain, full = json.dumps(silo.report()), json.dumps(silo.report(detailed=True))
    for secret in ("SECRET", "98765", MOLECULES[3], MOLECULES[50], "OC(C)=O", "123.4"):
        assert secret not in plain
        assert secret in full
    assert not re.search(r'"(smiles|compound_id|native|details|value)"', plain)


def test_quorum_of_a_regression_counts_compounds_and_uncensored_ones(silo: Silo) -> None:
    silo.take(
        [reading(n, f"{n + 1}") for n in range(20)] + [reading(n, f">{n}") for n in range(20, 40)]
    )
    assert silo.task()["quorum"] == {
        "met": False,
        "missing": "10 more labelled compounds and 5 more uncensored values",
    }
    silo.take([reading(n, f"{n + 1}") for n in range(40, 50)], name="b.csv")
    assert silo.task()["quorum"]["met"]
    assert silo.task(min_labels=60)["quorum"]["missing"].startswith("10 more labelled compounds")
    assert silo.report()["totals"]["ready"] == 1


def test_quorum_of_a_class_needs_both(silo: Silo) -> None:
    rows = [reading(n, "positive" if n < 30 else "negative", "hERG", "") for n in range(50)]
    rows.append(reading(0, "negative", "hERG", ""))  # one compound, both classes
    silo.take(rows)
    task = silo.task("herg")
    assert task["classes"] == {"positive": 29, "negative": 20, "undecided": 1}
    assert task["quorum"] == {"met": False, "missing": "5 more inactives"}
    assert task["conflicts"] == 1
    assert task["units"] == {}
    assert task["histogram"] is None


def test_censoring_is_told_as_it_was_written(silo: Silo) -> None:
    silo.take([reading(0, "> 100"), reading(1, "> 100"), reading(2, "<1"), reading(3, "5")])
    assert silo.task()["censored"] == {"below": 1, "above": 2}


def test_noise_is_the_spread_of_replicates_against_the_catalogue_s_limit(silo: Silo) -> None:
    rows = [reading(0, "1"), reading(0, "10"), reading(1, "5"), reading(1, "5.0"), reading(2, "3")]
    silo.take([*rows, reading(3, ">1"), reading(3, ">1000")])
    noise = silo.task()["noise"]
    assert (noise["replicated"], noise["limit"], noise["over_limit"]) == (2, 0.6, 1)
    assert noise["median_sd"] == pytest.approx(0.5**0.5 / 2)
    assert noise["pooled_sd"] == pytest.approx(0.5)
    assert not noise["noisy"]
    silo.take([reading(1, "50")], name="b.csv")
    assert silo.task()["noise"]["noisy"]


def test_units_are_told_as_they_were_written(silo: Silo) -> None:
    silo.take(
        [reading(1, "1", unit="µM"), reading(2, "1"), reading(3, "1"), reading(4, "2", unit="nM")]
    )
    assert silo.task()["units"] == {"uM": 2, "nM": 1, "µM": 1}


def test_every_value_is_in_the_histogram(silo: Silo) -> None:
    rows = [reading(n, f"{'>' * (n % 5 == 0)}{10 ** (n % 7 - 3)}") for n in range(60)]
    silo.take(rows)
    plot = silo.task()["histogram"]
    assert sum(plot["exact"]) + sum(plot["censored"]) == 60
    assert sum(plot["censored"]) == 12
    assert len(plot["edges"]) == len(plot["labels"]) == len(plot["exact"]) + 1 <= 40
    assert plot["scale"] == "−log10 M"


@pytest.mark.parametrize("values", [["5"] * 12, ["-1000000", "1000000"] * 6, ["0"] * 12])
def test_histograms_of_strange_values(silo: Silo, values: list[str]) -> None:
    rows = [reading(n, v, endpoint="private:own", unit="") for n, v in enumerate(values)]
    silo.take(rows)
    plot = silo.task("private:own")["histogram"]
    assert sum(plot["exact"]) == 12
    assert not silo.task("private:own")["shared"]


def test_a_few_compounds_have_no_plot_that_would_tell_their_values(silo: Silo) -> None:
    silo.take([reading(n, str(n + 1)) for n in range(9)])
    assert silo.task()["histogram"] is None
    assert silo.task(detailed=True)["histogram"]


def test_limits_are_proposed_until_somebody_decides(silo: Silo) -> None:
    rows = [reading(n, f"{n + 3.5}") for n in range(40)] + [reading(n, "3") for n in range(40, 60)]
    rows += [reading(n, f"> {100 * (1 + n % 2)}") for n in range(60, 90)]
    silo.take(rows)
    proposed, decided = silo.task()["limits"]
    where = {"store": "lab", "of": 90}
    assert proposed == where | {"side": "floor", "decided": False, "numbers": 1, "count": 20}
    assert decided == where | {"side": "ceiling", "decided": True, "numbers": 2, "count": 30}
    assert [entry["values"] for entry in silo.task(detailed=True)["limits"]] == [
        [3.0],
        [100.0, 200.0],
    ]


def test_limits_of_parts_without_the_written_qualifier(silo: Silo) -> None:
    silo.take([reading(n, "> 100") for n in range(12)])
    path = silo.root / "part0" / "measurements.parquet"
    pl.read_parquet(path).drop("native_qualifier", "unit").write_parquet(path)
    task = silo.task()
    assert [(entry["side"], entry["decided"]) for entry in task["limits"]] == [("ceiling", True)]
    assert task["units"] == {"": 12}


def test_what_two_stores_share_is_counted(silo: Silo) -> None:
    silo.take([reading(n, str(n + 1)) for n in range(10)], store="a")
    silo.take([reading(n, str(n + 1 + (n == 6))) for n in range(5, 8)], store="b")
    silo.take([reading(0, "positive", "hERG", "")], store="c")
    ab, ac = silo.report()["duplicates"]
    assert ab == {"stores": ["a", "b"], "compounds": 3, "measured": 3, "equal": 2}
    assert ac == {"stores": ["a", "c"], "compounds": 1, "measured": 0, "equal": 0}


def test_a_damaged_part_is_told_of_and_the_others_count(silo: Silo) -> None:
    silo.take([reading(1, "1")])
    silo.take([reading(2, "2")], name="b.csv")
    part = silo.files[0].part
    assert part is not None
    (part / "measurements.parquet").write_bytes(b"PAR1")
    (part / "set_aside.ndjson").write_bytes(b"\xff")
    report = silo.report()
    assert len(report["faults"]) == 1
    assert "ingest its file again" in report["faults"][0]
    assert report["tasks"][0]["measurements"] == 1


def test_an_empty_silo_has_a_report(silo: Silo) -> None:
    report = silo.report()
    assert report["tasks"] == report["files"] == report["duplicates"] == []
    assert report["totals"]["read"] == 0
