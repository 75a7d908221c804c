"""Files through the real predict: jobs that outlive it, rows that keep their order."""

import io
import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import polars as pl
import pytest
from rdkit import Chem

from agent import clock
from agent.releases import folder
from agent.serving import tokens
from agent.serving.batch.folder import SAID
from agent.serving.callers import Scope
from tests.kit.batches import Caller, as_csv, as_xlsx, read_csv, zip_bomb
from tests.kit.predicting import TASK, Load, Predict, build, prepared, running, until
from tests.kit.references import lay_out

LEVEL = 1.5
HOSTILE = "CC" + ".*" * 990  # within every limit, and a third of a second of RDKit's time


@pytest.fixture(scope="module")
def predict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predict]:
    with running(tmp_path_factory.mktemp("predict"), LEVEL) as made:
        yield made


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Predict]:
    """Predict that one test starts, and may harm."""
    with prepared(tmp_path, LEVEL) as made:
        yield made


@pytest.fixture
def caller(predict: Predict) -> Caller:
    return Caller(predict.status()["port"], {})


def _rows(count: int) -> list[list[str]]:
    """Returns structures of which each seventh is none."""
    bad = "no structure"
    rows = ([f"C{at}", bad if at % 7 == 3 else "C" * (1 + at % 11) + "O"] for at in range(count))
    return [["id", "SMILES"], *rows]


def test_ten_thousand_rows_keep_their_order_bad_ones_included(caller: Caller) -> None:
    given = _rows(10_000)
    found = read_csv(caller.through(as_csv(given)))
    assert [[row["id"], row["SMILES"]] for row in found] == given[1:]
    for at, row in enumerate(found):
        bad = at % 7 == 3
        assert row["onggi_error"].startswith("parse: ") is bad
        assert row[TASK] == ("" if bad else str(LEVEL))
    job = caller.look(json.loads(caller.ask("GET", "/v1/batch")[1])["jobs"][-1]["job"])
    assert (job["total"], job["done"], job["bad"]) == (10_000, 10_000, 1429)
    assert job["release"] == "r1"


@pytest.mark.parametrize("kind", ["csv", "smi", "sdf", "xlsx"])
def test_each_format_in_becomes_each_format_out(caller: Caller, tmp_path: Path, kind: str) -> None:
    texts = {
        "csv": as_csv([["SMILES", "name"], ["CCO", "a"], ["bad", "b"], ["CCN", "c"]]),
        "smi": b"CCO a\nbad b\nCCN c\n",
        "sdf": "".join(_record(smiles, name) for smiles, name in _NAMED).encode(),
        "xlsx": as_xlsx(tmp_path / "x.xlsx", [["name", "smiles"], *((n, s) for s, n in _NAMED)]),
    }
    job = caller.ended(caller.send(texts[kind])["job"])
    assert (job["state"], job["total"], job["bad"]) == ("done", 3, 1)
    found = {
        name: caller.ask("GET", f"{job['links']['result']}?format={name}")[1]
        for name in ("csv", "sdf", "parquet", "ndjson")
    }
    name = "title" if kind == "sdf" else "name"
    assert [(row[name], row[TASK]) for row in read_csv(found["csv"])] == _WANTED
    table = pl.read_parquet(io.BytesIO(found["parquet"]))
    assert list(zip(table[name], table[TASK], strict=True)) == [
        (text, float(value) if value else None) for text, value in _WANTED
    ]
    lines = [json.loads(line) for line in found["ndjson"].splitlines()]
    assert [line["row"] for line in lines] == [1, 2, 3]
    assert [line["columns"][name] for line in lines] == ["a", "b", "c"]
    assert lines[0]["predictions"][TASK]["value"] == LEVEL
    assert lines[1]["predictions"] is None
    assert lines[1]["error"]["step"] == "parse"
    _check_sdf(found["sdf"], name, records=kind == "sdf")


_NAMED = [("CCO", "a"), ("bad", "b"), ("CCN", "c")]
_WANTED = [("a", str(LEVEL)), ("b", ""), ("c", str(LEVEL))]


def _record(smiles: str, name: str) -> str:
    mol = Chem.MolFromSmiles(smiles) if smiles != "bad" else None
    block = Chem.MolToMolBlock(mol) if mol else "\n\n\nno counts\nM  END\n"
    return f"{name}{block[block.index(chr(10)) :]}>  <batch>\n7\n\n$$$$\n"


def _check_sdf(content: bytes, name: str, *, records: bool) -> None:
    supplier = Chem.SDMolSupplier()
    supplier.SetData(content.decode())
    mols = list(supplier)
    assert len(mols) == 3
    for place in (0, 2):
        assert mols[place].GetNumHeavyAtoms() == 3
        assert mols[place].GetProp(TASK) == str(LEVEL)
    if records:
        assert mols[0].GetProp("_Name") == "a"
        assert mols[0].GetProp("batch") == "7"
    else:
        assert mols[0].GetProp(name) == "a"


def test_the_callers_cells_come_back_as_they_were(caller: Caller) -> None:
    cells = ["=1+2", "-5", "+7", "@x", " a, b ", 'say "x"', "two\nlines", "", "007", "한글"]
    given = [["SMILES", TASK, "note"], *(["CCO", f"{at}", text] for at, text in enumerate(cells))]
    found = caller.through(as_csv(given))
    rows = read_csv(found)
    assert [row["note"] for row in rows] == cells
    assert [row[TASK] for row in rows] == [f"{at}" for at in range(len(cells))]
    assert {row[f"onggi_{TASK}"] for row in rows} == {str(LEVEL)}  # beside a column of that name


def test_a_wrong_column_is_told_with_those_that_are_there(caller: Caller) -> None:
    job = caller.ended(caller.send(as_csv(_rows(3)), "structure=mol")["job"])
    assert job["state"] == "failed"
    assert job["problem"] == {
        "code": "missing_column",
        "detail": "The file has no column 'mol'; it has 'id', 'SMILES'.",
    }
    status, answer = caller.ask("GET", job["links"]["result"])
    assert (status, json.loads(answer)["code"]) == (409, "not_done")


def test_a_workbook_that_would_fill_the_memory_is_refused(caller: Caller, tmp_path: Path) -> None:
    bomb = zip_bomb(tmp_path / "bomb.xlsx")
    assert len(bomb) < 1 << 20
    job = caller.ended(caller.send(bomb)["job"])
    assert (job["state"], job["problem"]["code"]) == ("failed", "too_large")


def test_hostile_structures_end_workers_and_nobody_elses_row(caller: Caller) -> None:
    deadly = "C" * 400 + "1" + "(" * 20  # unreadable, and quickly so
    given = [["SMILES"], ["CCO"], [HOSTILE], [deadly], ["CCN"]]
    rows = read_csv(caller.through(as_csv(given)))
    assert [row[TASK] for row in (rows[0], rows[3])] == [str(LEVEL)] * 2
    assert rows[2]["onggi_error"]


def test_lines_are_streamed_as_they_are_answered(caller: Caller) -> None:
    given = _rows(2_000)
    connection = HTTPConnection("127.0.0.1", caller.port, timeout=120)
    connection.request("POST", "/v1/batch?id=id", as_csv(given), {"Accept": "application/x-ndjson"})
    response = connection.getresponse()
    assert response.status == 200
    lines = [json.loads(line) for line in response]
    connection.close()
    assert [line["id"] for line in lines] == [row[0] for row in given[1:]]
    assert [line["row"] for line in lines] == list(range(1, 2_001))


def test_whoever_hangs_up_while_lines_come_leaves_no_job_running(caller: Caller) -> None:
    connection = HTTPConnection("127.0.0.1", caller.port, timeout=120)
    headers = {"Accept": "application/x-ndjson"}
    connection.request("POST", "/v1/batch", as_csv(_rows(60_000)), headers)
    response = connection.getresponse()
    name = (response.getheader("Location") or "").rpartition("/")[2]
    response.readline()
    connection.close()
    response.close()
    assert caller.ended(name)["state"] == "cancelled"


def test_a_job_is_cancelled_and_then_forgotten(caller: Caller, predict: Predict) -> None:
    name = caller.send(as_csv(_rows(60_000)))["job"]
    until(lambda: caller.look(name)["done"] > 0)
    assert caller.ask("DELETE", f"/v1/batch/{name}")[0] == 204
    assert caller.look(name)["state"] == "cancelled"
    assert not list((predict.state / "jobs" / name).glob("[0-9]*"))
    assert caller.ask("DELETE", f"/v1/batch/{name}")[0] == 204
    assert caller.ask("GET", f"/v1/batch/{name}")[0] == 404
    assert not (predict.state / "jobs" / name).exists()


def test_a_job_delays_no_single_molecule_for_ever(caller: Caller) -> None:
    name = caller.send(as_csv(_rows(30_000)))["job"]
    load = Load(caller.port)
    chemist = threading.Thread(target=load.ask, args=(1,))
    chemist.start()
    until(lambda: caller.look(name)["done"] > 0)
    load.wait_for(50)
    before = caller.look(name)["state"]
    load.stop.set()
    chemist.join()
    assert load.faults == []
    assert before in ("running", "done")
    caller.ask("DELETE", f"/v1/batch/{name}")


def _begun(parts: Path) -> bool:
    """Tells whether two parts of a job are answered, and one is booked."""
    if len(list(parts.glob(f"*.{SAID}"))) < 2:
        return False
    booked: int = json.loads((parts / "state.json").read_bytes())["parts"]
    return booked >= 1


@pytest.mark.slow
def test_a_job_goes_on_after_predict_was_killed(own: Predict) -> None:
    process = own.start()
    own.wait("r1")
    given = _rows(40_000)
    name = Caller(own.status()["port"], {}).send(as_csv(given))["job"]
    parts = own.state / "jobs" / name
    until(lambda: _begun(parts) and (parts / "table.json").exists())
    process.kill()
    process.communicate()
    kept = {path.name: path.stat().st_mtime_ns for path in parts.glob(f"*.{SAID}")}
    state = json.loads((parts / "state.json").read_bytes())
    assert state["state"] == "running"
    own.start()
    own.wait("r1")
    caller = Caller(own.status()["port"], {})
    job = caller.ended(name)
    assert (job["state"], job["done"], job["total"]) == ("done", 40_000, 40_000)
    again = {path.name: path.stat().st_mtime_ns for path in parts.glob(f"*.{SAID}")}
    whole = sorted(kept)[: state["parts"]]
    assert whole
    assert {name: again[name] for name in whole} == {name: kept[name] for name in whole}
    found = read_csv(caller.ask("GET", job["links"]["result"])[1])
    assert [row["id"] for row in found] == [row[0] for row in given[1:]]
    assert {row["onggi_release"] for row in found} == {"r1"}


@pytest.mark.slow
def test_a_job_whose_release_has_gone_begins_anew_and_says_so(own: Predict) -> None:
    build(own.root, "r2", 2, 2.0)
    process = own.start()
    own.wait("r1")
    name = Caller(own.status()["port"], {}).send(as_csv(_rows(40_000)))["job"]
    parts = own.state / "jobs" / name
    until(lambda: _begun(parts))
    os.kill(process.pid, signal.SIGTERM)
    process.communicate()
    folder.activate(own.releases, "r2")
    own.start()
    own.wait("r2")
    caller = Caller(own.status()["port"], {})
    job = caller.ended(name)
    assert (job["release"], job["done"]) == ("r2", 40_000)
    assert re.search("began with r1.*began anew", job["note"])
    found = read_csv(caller.ask("GET", job["links"]["result"])[1])
    assert {row[TASK] for row in found} == {"2.0", ""}
    assert {row["onggi_release"] for row in found} == {"r2"}


@pytest.mark.slow
def test_a_job_is_its_owners_alone(own: Predict) -> None:
    secrets = [_token(own.state, name) for name in ("anna", "bela")]
    own.start()
    own.wait("r1")
    port = own.status()["port"]
    anna, bela = (Caller(port, _bearer(one)) for one in secrets)
    job = anna.ended(anna.send(as_csv(_rows(10)))["job"])
    for method, path in (
        ("GET", job["links"]["self"]),
        ("GET", job["links"]["result"]),
        ("DELETE", job["links"]["cancel"]),
    ):
        status, answer = bela.ask(method, path)
        assert (status, json.loads(answer)["code"]) == (404, "no_such_job")
    assert json.loads(bela.ask("GET", "/v1/batch")[1]) == {"jobs": []}
    assert anna.ask("GET", job["links"]["result"])[0] == 200
    (log,) = (own.state / "audit").iterdir()
    until(lambda: b"structures" in log.read_bytes())  # written behind the answer
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    told = [line for line in lines if line.get("structures")]
    assert [(line["structures"], line["bad"], line["job"]) for line in told] == [
        (10, 1, job["job"])
    ]
    assert b"CCO" not in log.read_bytes()


@pytest.mark.slow
def test_what_was_measured_is_in_the_answers_of_those_who_may_see_it(own: Predict) -> None:
    lay_out(own.root / "reference")
    anna = _token(own.state, "anna", "predict", "data")
    bela = _token(own.state, "bela", "predict")
    own.start()
    own.wait("r1")
    port = own.status()["port"]
    knowing, other = (Caller(port, _bearer(one)) for one in (anna, bela))
    given = as_csv([["SMILES"], *([smiles] for smiles, _ in _KNOWN)])
    job = knowing.ended(knowing.send(given)["job"])
    _check_measured(knowing, job["links"]["result"])
    assert b"measured" not in other.through(given)
    line = json.loads(_streamed(knowing, given).splitlines()[1])
    said = {"value": 0.46, "unit": "", "qualifier": "=", "n": 3}
    assert line["predictions"][TASK]["measured"] == said
    assert b"measured" not in _streamed(other, given)
    # The same name, by another token.
    tokens.revoke(own.state, "anna", clock.now())
    less = Caller(port, _bearer(_token(own.state, "anna", "predict")))
    status, table = less.ask("GET", job["links"]["result"])
    assert (status, b"measured" in table) == (200, False)


_KNOWN = [("CCO", None), ("CC(=O)Nc1ccc(O)cc1.Cl", "0.46"), ("nonsense", None)]


def _check_measured(caller: Caller, result: str) -> None:
    """Wants the same in each format."""
    wanted = [text for _, text in _KNOWN]
    found = {
        kind: caller.ask("GET", f"{result}?format={kind}")[1] for kind in ("csv", "sdf", "parquet")
    }
    name = f"{TASK}_measured"
    assert [row[name] or None for row in read_csv(found["csv"])] == wanted
    assert pl.read_parquet(io.BytesIO(found["parquet"]))[name].to_list() == wanted
    supplier = Chem.SDMolSupplier()
    supplier.SetData(found["sdf"].decode())
    shown = [mol.GetPropsAsDict(autoConvertStrings=False).get(name) for mol in supplier]
    assert shown == wanted


def _streamed(caller: Caller, given: bytes) -> bytes:
    status, lines = caller.ask("POST", "/v1/batch", given, Accept="application/x-ndjson")
    assert status == 200
    return lines


def _bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def _token(state: Path, name: str, *scopes: Scope) -> str:
    now = clock.now()
    return tokens.add(state, tokens.drafted(name, scopes or ("predict",), 0, None, now), now)
