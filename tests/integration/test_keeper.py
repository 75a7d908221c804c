"""A keeper as a process of its own with real workers; the test is the courier."""

import io
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from agent.boxes import Outbox
from agent.errors import EXIT_STOP, EXIT_TRY_LATER
from agent.ledger import egress
from agent.releases import folder
from agent.wire.documents import Roster
from agent.wire.envelope import open_blob, verify_header
from agent.wire.signed import parse
from agent.wire.update import unpack
from tests.kit import measurements
from tests.kit.consortium import SILO
from tests.kit.silo import Silo

ROUND, CHAINS = "p1.r1.a1", range(1, 9)


@pytest.fixture
def silo(tmp_path: Path) -> Iterator[Silo]:
    silo = Silo(tmp_path)
    yield silo
    silo.end()


def _fill(silo: Silo) -> None:
    """Puts measurements into each of the four stores."""
    rows = list(measurements.compounds(CHAINS))
    books = [measurements.logbb(*row) for row in rows[:40]]
    measurements.workbook(silo.store("book") / "a.xlsx", books)
    measurements.wide_csv(
        silo.store("wide") / "b.csv", [(n, s, 10.0 + abs(v)) for n, s, v in rows[:30]]
    )
    measurements.sdf(silo.store("mols") / "c.sdf", [(n, s, 20.0 + v) for n, s, v in rows[30:40]])
    measurements.database(silo.root / "lims.sqlite3", rows[40:])


def _publish(silo: Silo) -> None:
    silo.courier.bring("roster", silo.consortium.roster(2))
    silo.courier.bring("plan", silo.consortium.plan())
    silo.courier.bring("round", silo.consortium.round(), silo.consortium.base)


def _check_account(silo: Silo) -> dict[str, int]:
    totals = dict.fromkeys(("read", "used", "blank", "set_aside"), 0)
    for account in silo.accounts().values():
        aside = len(account["set_aside"])
        assert account["read"] == account["used"] + aside + account["blank"]
        for name in ("read", "used", "blank"):
            totals[name] += account[name]
        totals["set_aside"] += aside
    return totals


def _open(silo: Silo) -> dict[str, float]:
    """Opens the one envelope in the outbox as the aggregator would; returns its weights."""
    (parcel,) = Outbox(silo.paths.outbox).parcels()
    roster = Roster.parse(parse(silo.consortium.roster(2)).payload)
    header = verify_header(parcel.header_path.read_bytes(), roster)
    assert (header.core.silo, header.core.round_id) == (SILO, ROUND)
    blob = parcel.blob_path.read_bytes()
    payload = open_blob(header, io.BytesIO(blob), silo.consortium.round_key)
    _, weights = unpack(payload, silo.consortium.shapes)
    return weights


@pytest.mark.slow
def test_from_files_to_a_sealed_update_and_a_release(silo: Silo) -> None:
    _fill(silo)
    keeper = silo.start("keeper")
    silo.wait("the keeper's ledger", silo.paths.ledger.exists)
    assert silo.run("reader", "lims", "--once").returncode == 0
    _publish(silo)
    silo.wait_for("update", ROUND, "sealed")
    silo.wait("its parcel", lambda: len(silo.parcels()) == 1)

    assert set(silo.states("file").values()) == {"ingested"}
    assert _check_account(silo) == {"read": 96, "used": 96, "blank": 0, "set_aside": 0}
    weights = _open(silo)
    assert set(weights) == {"trunk", "head.logbb", "head.solubility"}
    assert all(weight >= 5 for weight in weights.values())

    (envelope_id,) = silo.parcels()
    silo.courier.inbox.put_answer(envelope_id, "receipt", silo.consortium.receipt(envelope_id))
    silo.wait_for("update", ROUND, "acknowledged")
    silo.wait("an empty outbox", lambda: not silo.parcels())

    silo.courier.bring_release(silo.consortium.release(), silo.consortium.base)
    silo.wait_for("release", "r1", "trial")
    assert folder.active_id(silo.paths.releases) == "r1"
    assert not silo.items("letter")
    shown = silo.run("egress", "--verify", "--json")
    assert shown.returncode == 0
    assert envelope_id in shown.stdout
    assert silo.run("status", "--json").returncode == 0

    keeper.send_signal(signal.SIGTERM)
    started_s = time.monotonic()
    assert keeper.wait(120) == 0
    assert time.monotonic() - started_s < 10


BAD_ROWS = [
    measurements.logbb("x1", "this is no SMILES", 0.1),
    measurements.solubility("x2", "CCO", 5, unit="furlongs"),
    measurements.solubility("x3", "CCCO", -5),
    measurements.solubility("x4", "CCCCO", "about five"),
]


@pytest.mark.slow
def test_bad_input_gets_a_clear_line_and_everything_else_goes_on(silo: Silo) -> None:
    book, wide = silo.store("book"), silo.store("wide")
    rows = list(measurements.compounds(CHAINS))
    good = [measurements.logbb(*row) for row in rows[:20]]
    measurements.workbook(book / "good.xlsx", [*good, *BAD_ROWS])
    whole = (book / "good.xlsx").read_bytes()
    (book / "cut.xlsx").write_bytes(whole[: len(whole) // 2])
    (book / "empty.xlsx").write_bytes(b"")
    measurements.wide_csv(wide / "same.csv", [("c", "CCO", 12.5)] * 10_000)
    measurements.wide_csv(wide / "good.csv", [(n, s, 10.0 + abs(v)) for n, s, v in rows[:25]])
    silo.start("keeper")
    read = {"book/good.xlsx", "wide/good.csv", "wide/same.csv"}
    silo.wait(
        "all files read or refused",
        lambda: (
            {f for f, s in silo.states("file").items() if s == "ingested"} >= read
            and {f for f, s in silo.states("file").items() if s == "refused"}
            >= {"book/cut.xlsx", "book/empty.xlsx"}
        ),
    )
    accounts = silo.accounts()
    assert "cut short" in accounts["book/cut.xlsx"]["why"]
    assert "empty" in accounts["book/empty.xlsx"]["why"]
    aside = {entry["row"]: entry for entry in accounts["book/good.xlsx"]["set_aside"]}
    assert accounts["book/good.xlsx"]["used"] == 20
    assert set(aside) == {23, 24, 25, 26}  # as a person who opens the workbook counts
    assert "furlongs" in aside[24]["reason"]
    assert all(entry["reason"].endswith(".") for entry in aside.values())
    same = accounts["wide/same.csv"]
    assert (same["read"], same["used"], len(same["set_aside"])) == (10_000, 1, 9_999)
    assert same["set_aside"][0]["code"] == "duplicate_row"
    _check_account(silo)

    report = silo.run("ingest", "--report")
    assert "cut.xlsx" in report.stdout
    shown = silo.run("status")
    assert "cut short" in shown.stdout


@pytest.mark.slow
def test_a_renamed_file_and_a_store_that_vanishes_and_returns(silo: Silo) -> None:
    book, wide = silo.store("book"), silo.store("wide")
    measurements.wide_csv(wide / "good.csv", [("a", "CCO", 3.0), ("b", "CCCO", 4.0)])
    silo.start("keeper")
    silo.wait_for("file", "wide/good.csv", "ingested")

    # Renamed in place: the same content counts once.
    (wide / "good.csv").rename(wide / "renamed.csv")
    silo.wait_for("file", "wide/renamed.csv", "ingested")
    items = silo.items("file")
    assert items["wide/renamed.csv"].detail["part"] == items["wide/good.csv"].detail["part"]

    # The store vanishes with a file that nobody has read, and returns.
    away = silo.root / "away"
    book.rename(away)
    silo.wait_for("store", "book", "lost")
    assert "is gone" in silo.items("store")["book"].why
    measurements.wide_csv(wide / "more.csv", [("m", "CCCCCCO", 3.0)])
    silo.wait_for("file", "wide/more.csv", "ingested")  # the others go on
    measurements.workbook(away / "late.xlsx", [measurements.logbb("l", "CCCCCCCO", 0.5)])
    away.rename(book)
    silo.wait_for("file", "book/late.xlsx", "ingested")
    assert silo.states("store")["book"] == "reached"


@pytest.mark.slow
def test_a_file_that_is_still_being_written_is_read_when_it_is_whole(silo: Silo) -> None:
    text = silo.config_path.read_text()
    assert "settle_s = 0.6" in text
    # Longer than a busy machine lets the writer wait.
    silo.config_path.write_text(text.replace("settle_s = 0.6", "settle_s = 6.0"))
    silo.start("keeper")
    path = silo.store("wide") / "growing.csv"
    with path.open("w", encoding="utf-8") as handle:
        handle.write("ID,SMILES,sol\n")
        for number in range(1, 21):
            handle.write(f"c{number},{'C' * number}O,{number}\n")
            handle.flush()
            time.sleep(0.2)
            assert silo.states("file").get("wide/growing.csv") != "ingested"
    silo.wait_for("file", "wide/growing.csv", "ingested")
    assert silo.accounts()["wide/growing.csv"]["read"] == 20


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_kills_at_any_moment_lose_nothing_and_repeat_nothing(silo: Silo, seed: int) -> None:
    chance = random.Random(seed)
    _fill(silo)
    keeper = silo.start("keeper")
    silo.wait("the keeper's ledger", silo.paths.ledger.exists)
    assert silo.run("reader", "lims", "--once").returncode == 0
    _publish(silo)
    kills = 0
    for _ in range(6):
        time.sleep(chance.uniform(0.3, 6.0))
        if chance.random() < 0.3:
            kills += silo.kill_worker(keeper)
        else:
            keeper.kill()
            keeper.wait()
            keeper = silo.start("keeper")
            kills += 1
    assert kills >= 2
    silo.wait_for("update", ROUND, "sealed")
    silo.wait("its parcel", lambda: len(silo.parcels()) == 1)
    assert _check_account(silo) == {"read": 96, "used": 96, "blank": 0, "set_aside": 0}
    assert set(silo.states("file").values()) == {"ingested"}
    weights = _open(silo)
    assert set(weights) == {"trunk", "head.logbb", "head.solubility"}
    assert "failed" not in silo.states("job").values()
    with silo.ledger() as ledger:
        (line,) = egress.lines(ledger)
        assert egress.verify(ledger) == 1
        snapshots = ledger.find("snapshot", "frozen", "scored")
        assert line.leaf.envelope_id == silo.parcels()[0]
    assert snapshots[-1].detail["compounds"] == len(measurements.RINGS) * len(CHAINS)


def test_what_stops_a_keeper(silo: Silo) -> None:
    first = silo.start("keeper")
    silo.wait("the first keeper", (silo.paths.status / "keeper.json").exists)
    second = silo.run("keeper")
    assert second.returncode == EXIT_TRY_LATER
    assert "Another process holds" in second.stderr
    first.terminate()
    assert first.wait(120) == 0
    (silo.paths.trust / "enrolment.json").unlink()
    third = silo.run("keeper")
    assert third.returncode == EXIT_STOP
    assert "not enrolled" in third.stderr


def _pss_mb(process: subprocess.Popen[bytes]) -> float:
    return float(psutil.Process(process.pid).memory_full_info().pss) / 1e6


def _libraries(process: subprocess.Popen[bytes]) -> str:
    return Path(f"/proc/{process.pid}/maps").read_text().lower()


@pytest.mark.slow
def test_idle_services_are_small_and_load_no_more_than_they_need(silo: Silo) -> None:
    _fill(silo)
    keeper = silo.start("keeper")
    _publish(silo)
    silo.courier.bring_release(silo.consortium.release(), silo.consortium.base)
    silo.wait_for("release", "r1", "trial")
    predict, courier = silo.start("serve"), silo.start("courier")
    silo.wait_for("release", "r1", "active")  # predict has loaded it
    silo.wait("a keeper at rest", lambda: silo.worker(keeper) is None)
    time.sleep(3)
    for process, limit_mb in ((keeper, 120), (courier, 120), (predict, 250)):
        assert process.poll() is None
        assert _pss_mb(process) < limit_mb
        assert "libtorch" not in _libraries(process)
    for strange in ("rdkit", "onnxruntime", "polars", "calamine"):
        assert strange not in _libraries(keeper)
        assert strange not in _libraries(courier)
    children = psutil.Process(predict.pid).children(recursive=True)
    workers = [child for child in children if "predict-worker" in " ".join(child.cmdline())]
    assert workers
    assert "onnxruntime" not in _libraries(predict)
    for worker in workers:
        maps = Path(f"/proc/{worker.pid}/maps").read_text().lower()
        assert "onnxruntime" in maps  # or this test would look in the wrong place
        assert "libtorch" not in maps
        assert worker.memory_full_info().pss / 1e6 < 250
    for process in (keeper, courier, predict):
        process.terminate()
    assert [process.wait(120) for process in (keeper, courier, predict)] == [0, 0, 0]
