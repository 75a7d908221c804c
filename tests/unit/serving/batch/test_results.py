"""What a job's answer looks like, from figures of a release that knows how sure it is."""

import csv
import io
import json
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rdkit import Chem

from agent.errors import Refused
from agent.features.reference import REFERENCE_SMILES
from agent.releases.card import read_card
from agent.releases.folder import path_of
from agent.serving import bodies, frames
from agent.serving.batch import clerk, folder, split
from agent.serving.batch.clerk import Wanted
from agent.serving.batch.folder import Request, State
from agent.serving.batch.results import Result
from agent.serving.bodies import Asked
from agent.serving.worker import Desk
from benchmarks.serving_release import RELEASE, make_release
from tests.kit.references import NAME, lay_out
from tests.unit.serving.conftest import build

PARACETAMOL = "CC(=O)Nc1ccc(O)cc1"  # measured: 0.46 for logd, over 100 for solubility
SMILES = [*REFERENCE_SMILES[:20], "nonsense", "CCO"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    root = tmp_path_factory.mktemp("release")
    (root / "releases").mkdir()
    smiles = list(islice(cycle(REFERENCE_SMILES), 300))
    make_release(root / "releases", smiles, smiles)
    return Desk(root / "releases", lambda structures, _start: structures)


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A worker of a site that measured some compounds."""
    root = tmp_path_factory.mktemp("knowing")
    (root / "releases").mkdir()
    build(root / "releases", "r1", 1)
    lay_out(root / "reference")
    return Desk(root / "releases", lambda structures, _start: structures)


class Job:
    """A job that is answered, in its folder."""

    def __init__(
        self,
        path: Path,
        desk: Desk,
        content: bytes,
        release: str = RELEASE,
        reference: str = "",
    ) -> None:
        self.path = path
        self.path.mkdir()
        (path / folder.INPUT).write_bytes(content)
        request = Request(
            job="x",
            owner="o",
            created="t",
            fmt="",
            structure="",
            id="",
            size=0,
            rows_a_part=8,
        )
        folder.write(path / folder.REQUEST, request)
        counts = list(split.split(path))
        card = read_card(path_of(desk._releases, release))
        folder.write(path / folder.RELEASE, folder.release_of(card))
        for number in range(len(counts)):
            pieces = folder.part(path, number, folder.ASKED).read_bytes().splitlines()
            asks = {"do": "figures", "release": release, "reference": reference}
            said = b"".join(frames.pack(*desk.reply(asks, piece)) for piece in pieces)
            folder.part(path, number, folder.SAID).write_bytes(said)
        state = State(state="done", release=release, parts=len(counts), done=sum(counts))
        state.measured = bool(reference)
        folder.write(path / folder.STATE, state)

    def render(self, kind: Result, *endpoints: str, measured: bool = False) -> bytes:
        out = io.BytesIO()
        clerk.render(self.path, Wanted(kind, endpoints, measured=measured), out)
        return out.getvalue()


def _lines(smiles: Sequence[str], header: str = "smiles") -> bytes:
    return "\n".join([header, *smiles]).encode()


def _predicted(desk: Desk, smiles: Sequence[str]) -> list[dict[str, Any]]:
    (piece,) = bodies.chunks([Asked(text, "smiles") for text in smiles])
    _, rendered = desk.reply({"do": "predict", "release": RELEASE}, piece)
    results: list[dict[str, Any]] = json.loads(b"[" + rendered + b"]")
    return results


def test_a_file_is_answered_with_the_very_numbers_of_a_single_call(
    desk: Desk, tmp_path: Path
) -> None:
    job = Job(tmp_path / "job", desk, _lines(SMILES))
    lines = [json.loads(line) for line in job.render("ndjson").splitlines()]
    singles = _predicted(desk, SMILES)
    assert len(lines) == len(SMILES)
    for line, single in zip(lines, singles, strict=True):
        assert line["smiles"] == single["smiles"]
        assert line["error"] == single.get("error")
        for name, said in (single.get("predictions") or {}).items():
            ours = line["predictions"][name]
            assert [ours["lower"], ours["upper"]] == (said["interval"] or [None, None])
            for part in ("value", "model_value", "unit", "inside", "similarity", "spread"):
                assert ours[part] == said[part], (name, part)
    assert any(line["predictions"] and line["predictions"]["endpoint0"]["lower"] for line in lines)


def test_a_table_has_four_columns_an_endpoint_and_two_more(desk: Desk, tmp_path: Path) -> None:
    job = Job(tmp_path / "job", desk, _lines(SMILES))
    found = list(csv.DictReader(io.StringIO(job.render("csv", "endpoint3", "endpoint1").decode())))
    names = [f"{name}{end}" for name in ("endpoint3", "endpoint1") for end in _ENDS]
    assert list(found[0]) == ["smiles", *names, "onggi_error", "onggi_release"]
    table = pl.read_parquet(io.BytesIO(job.render("parquet", "endpoint3", "endpoint1")))
    assert table.columns == list(found[0])
    assert table.schema["endpoint1_inside"] == pl.Boolean
    for row, same in zip(found, table.iter_rows(named=True), strict=True):
        assert (row["endpoint1"] or None) == (str(same["endpoint1"]) if same["endpoint1"] else None)
    single = _predicted(desk, SMILES)[0]["predictions"]["endpoint1"]
    assert float(found[0]["endpoint1"]) == single["value"]
    assert found[0]["endpoint1_inside"] == str(single["inside"]).lower()


_ENDS = ("", "_lower", "_upper", "_inside")


def _answered(knowing: Desk, path: Path) -> Job:
    """Returns a job of two parts; what was measured is in the second."""
    smiles = ["CCO"] * 7 + ["nonsense", "CCN", f"{PARACETAMOL}.Cl"]
    return Job(path / "job", knowing, _lines(smiles), "r1", NAME)


def test_what_was_measured_stands_beside_what_was_predicted(knowing: Desk, tmp_path: Path) -> None:
    job = _answered(knowing, tmp_path)
    asked = ("solubility", "logd")
    rows = list(csv.DictReader(io.StringIO(job.render("csv", *asked, measured=True).decode())))
    names = [f"{name}{end}" for name in asked for end in (*_ENDS, "_measured")]
    assert list(rows[0]) == ["smiles", *names, "onggi_error", "onggi_release"]
    assert [(row["logd_measured"], row["solubility_measured"]) for row in rows] == [
        *([("", "")] * 9),
        ("0.46", ">100"),
    ]
    table = pl.read_parquet(io.BytesIO(job.render("parquet", *asked, measured=True)))
    assert table["solubility_measured"].to_list() == [*([None] * 9), ">100"]
    assert table.columns == list(rows[0])
    supplier = Chem.SDMolSupplier()
    supplier.SetData(job.render("sdf", *asked, measured=True).decode())
    last = list(supplier)[-1]
    assert last.GetProp("logd_measured") == "0.46"
    assert last.GetProp("solubility_measured").strip() == ">100"


def test_lines_say_what_was_measured_as_a_single_call_does(knowing: Desk, tmp_path: Path) -> None:
    job = _answered(knowing, tmp_path)
    lines = [json.loads(line) for line in job.render("ndjson", measured=True).splitlines()]
    (piece,) = bodies.chunks([Asked(f"{PARACETAMOL}.Cl", "smiles")])
    asks = {"do": "predict", "release": "r1", "reference": NAME}
    single = json.loads(knowing.reply(asks, piece)[1])["predictions"]
    found = {name: said["measured"] for name, said in lines[-1]["predictions"].items()}
    assert found == {name: said.get("measured") for name, said in single.items()}
    assert found["solubility"] == {"value": 100.0, "unit": "uM", "qualifier": ">", "n": 1}
    assert lines[7]["predictions"] is None
    assert {said["measured"] for said in lines[8]["predictions"].values()} == {None}


def test_who_may_not_see_what_was_measured_gets_the_table_without(
    knowing: Desk, tmp_path: Path
) -> None:
    job = _answered(knowing, tmp_path)
    for kind in ("csv", "sdf", "ndjson"):
        assert b"measured" not in job.render(kind)
    table = pl.read_parquet(io.BytesIO(job.render("parquet")))
    assert not [name for name in table.columns if name.endswith("_measured")]


def test_where_nobody_looked_there_is_no_column(desk: Desk, tmp_path: Path) -> None:
    job = Job(tmp_path / "job", desk, _lines(SMILES))
    assert b"measured" not in job.render("csv", measured=True)


def test_an_endpoint_that_is_none_is_refused(desk: Desk, tmp_path: Path) -> None:
    job = Job(tmp_path / "job", desk, _lines(SMILES))
    with pytest.raises(Refused, match="no endpoint 'x'"):
        job.render("csv", "x")


def test_a_file_without_rows_has_a_header_in_each_format(desk: Desk, tmp_path: Path) -> None:
    job = Job(tmp_path / "job", desk, b"id,smiles\n")
    assert job.render("csv", "endpoint0").count(b"\n") == 1
    assert pl.read_parquet(io.BytesIO(job.render("parquet"))).height == 0
    assert job.render("sdf") == job.render("ndjson") == b""


def test_records_keep_what_they_had_and_get_ours_behind(desk: Desk, tmp_path: Path) -> None:
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO"))
    records = [f"a{block}>  <endpoint0>\nmine\n\n", f"b{block}", "c\ncut short\n"]
    content = "".join(f"{record}$$$$\n" for record in records).encode()
    job = Job(tmp_path / "job", desk, content)
    found = job.render("sdf", "endpoint0").decode().split("$$$$\n")
    assert len(found) == 4
    for record, ours in zip(records, found, strict=False):
        assert ours.startswith(record.rstrip("\n"))
    assert ">  <onggi_endpoint0>\n" in found[0]
    assert ">  <onggi_error>\nrow: The record has no end" in found[2]
    (wide,) = csv.reader(io.StringIO(job.render("csv", "endpoint0").decode().partition("\n")[0]))
    assert wide[:3] == ["title", "endpoint0", "onggi_endpoint0"]


def test_cells_cannot_break_an_sd_file(desk: Desk, tmp_path: Path) -> None:
    rows = [["smiles", "a<b>", "n"], ["CCO", "$$$$", "x\n\n$$$$\ny"], ["CCN", "> <z>", "w"]]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    job = Job(tmp_path / "job", desk, text.getvalue().encode())
    supplier = Chem.SDMolSupplier()
    supplier.SetData(job.render("sdf", "endpoint0").decode())
    assert [mol.GetNumHeavyAtoms() for mol in supplier] == [3, 3]
    assert [mol.GetProp("n") for mol in supplier] == ["x $$$$ y", "w"]
    assert [mol.GetProp("a(b)").strip() for mol in supplier] == ["$$$$", "> <z>"]


def test_two_columns_of_one_name_stay_two(desk: Desk, tmp_path: Path) -> None:
    job = Job(tmp_path / "job", desk, b"smiles,x,x\nCCO,1,2\n")
    header, row = csv.reader(io.StringIO(job.render("csv", "endpoint0").decode()))
    assert header[:3] == ["smiles", "x", "x"]
    assert row[:3] == ["CCO", "1", "2"]
    table = pl.read_parquet(io.BytesIO(job.render("parquet")))
    assert (table["x"][0], table["x_2"][0]) == ("1", "2")


def test_a_job_that_failed_says_why_in_its_stream(desk: Desk, tmp_path: Path) -> None:
    job = Job(tmp_path / "job", desk, _lines(SMILES))
    problem = ("disk_full", "The disk is full.")
    state = State(state="failed", release=RELEASE, parts=1, problem=problem)
    folder.write(job.path / folder.STATE, state)
    out = io.BytesIO()
    clerk.render(job.path, Wanted("ndjson", (), follow=True), out)
    *rows, last = out.getvalue().splitlines()
    assert len(rows) == 8
    assert json.loads(last) == {"problem": {"code": "disk_full", "detail": "The disk is full."}}


def test_a_stream_never_goes_on_with_another_release(desk: Desk, tmp_path: Path) -> None:
    job = Job(tmp_path / "job", desk, _lines(SMILES))
    folder.write(job.path / folder.STATE, State(state="running", release="other", parts=2))
    with pytest.raises(Refused) as refused:
        clerk.render(job.path, Wanted("ndjson", (), follow=True), io.BytesIO())
    assert refused.value.code == "gone"
