"""The order of stages, with results that a test leaves as a worker would."""

from functools import partial
from typing import TYPE_CHECKING

import pytest

from agent.keeper.orders import Result
from agent.ledger import egress
from tests.unit.keeper.stand_in import Killed, Run

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.keeper.conftest import House


@pytest.fixture
def run(house: "House", monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(house, monkeypatch)


def _train(run: Run) -> None:
    folder = run.house.workers.path(run.started())
    (folder / "update.safetensors").write_bytes(b"update")
    (folder / "private.safetensors").write_bytes(b"own")
    run.finish(run.house.trained())


def _publish(house: "House") -> None:
    house.courier.bring("plan", house.consortium.plan())
    house.courier.bring("round", house.consortium.round(), house.consortium.base)


def test_files_then_snapshot_then_round_then_baseline(run: Run) -> None:
    house = run.house
    _publish(house)
    run.ingest()
    assert (house.paths.parts / "p1").is_dir()
    assert run.started().startswith("snapshot-")
    run.freeze()
    (snapshot,) = house.ledger.find("snapshot", "frozen")
    assert (house.paths.snapshots / snapshot.id / "labels.npz").exists()
    assert run.started() == "round-p1.r1.a1"  # before the baseline: others wait for it
    _train(run)
    assert len(house.outbox.parcels()) == 1
    assert (house.paths.models / "private.safetensors").read_bytes() == b"own"
    assert run.started().startswith("reference-")  # chemists wait for it
    (house.workers.path(run.started()) / "reference.sqlite3").write_bytes(b"known")
    run.finish(Result(compounds=1))
    assert len(list(house.paths.reference.glob("*.sqlite3"))) == 1
    assert run.started().startswith("baseline-")
    run.finish(Result())
    assert house.state("snapshot", snapshot.id) == "scored"
    assert not house.ledger.find("job", "queued", "started", "failed")
    assert list(house.paths.jobs.iterdir()) == []


def test_without_a_plan_files_are_read_and_nothing_is_learned(run: Run) -> None:
    run.ingest()
    run.advance()
    assert run.house.state("file", "files/a.csv") == "ingested"
    assert not run.house.ledger.find("snapshot")


def test_nothing_is_frozen_while_a_file_is_being_written(run: Run) -> None:
    _publish(run.house)
    run.ingest()
    run.house.workers.finish(run.house.item("job", run.started()), Result(), run.house.now)
    (run.house.store / "b.csv").write_text("b\n")
    before = len(run.house.ledger.find("snapshot"))
    run.advance()
    assert run.house.intake.busy
    assert len(run.house.ledger.find("snapshot")) == before


def test_a_round_that_is_refused_fails_its_job_and_books_nothing(run: Run) -> None:
    house = run.house
    _publish(house)
    run.ingest()
    run.freeze()
    folder = house.workers.path(run.started())
    (folder / "update.safetensors").write_bytes(b"update")
    run.finish(house.trained().model_copy(update={"reference_sha256": "00" * 32}))
    assert house.state("round", "p1.r1.a1") == "skipped"
    assert "Nothing was sent" in house.item("round", "p1.r1.a1").why
    assert house.state("job", "round-p1.r1.a1") == "failed"
    assert egress.lines(house.ledger) == []
    assert list(house.paths.outbox.iterdir()) == []
    assert not (house.paths.models / "private.safetensors").exists()


@pytest.mark.parametrize("kind", ["snapshot", "round"])
def test_what_a_worker_refuses_is_given_up_by_name(run: Run, kind: str) -> None:
    house = run.house
    _publish(house)
    run.ingest()
    if kind == "round":
        run.freeze()
    run.finish(Result(refused_code="no_labels", refused="No measurement could be used."))
    (item,) = house.ledger.find("snapshot") if kind == "snapshot" else house.ledger.find("round")
    assert item.state == ("failed" if kind == "snapshot" else "skipped")
    assert item.why == "No measurement could be used."
    (failed,) = house.ledger.find("job", "failed")
    assert failed.id.startswith(kind)


def test_a_release_of_an_expired_plan_gets_its_snapshot_and_its_rival(run: Run) -> None:
    """A plan ends with a release: what is still to be checked needs no plan in force."""
    house = run.house
    house.courier.bring("plan", house.consortium.plan())
    release = house.consortium.release(expires=house.consortium.at(90))
    house.courier.bring_release(release, house.consortium.base)
    run.advance()
    house.later(31 * 86400)
    run.ingest()
    run.freeze()
    assert run.started().startswith("baseline-")
    run.finish(Result())
    assert run.started() == "gate-r1"


@pytest.mark.parametrize("name", ["finish", "clear"])
@pytest.mark.parametrize("stage", ["ingest", "snapshot", "round"])
def test_a_kill_while_a_result_is_booked(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, stage: str
) -> None:
    house = run.house
    _publish(house)

    def deadly(*_: object) -> None:
        raise Killed

    def work(until: str) -> None:
        for step, act in (("ingest", run.ingest), ("snapshot", run.freeze)):
            if step == until:
                return
            act()

    work(stage)
    acts: dict[str, Callable[[], None]] = {
        "ingest": run.ingest,
        "snapshot": run.freeze,
        "round": partial(_train, run),
    }
    with monkeypatch.context() as patch:
        patch.setattr(house.workers, name, deadly)
        with pytest.raises(Killed):
            acts[stage]()
    house.reopen()
    house.pipeline.recover(house.now)
    for _ in range(2):
        run.advance()
    if stage == "ingest":
        run.freeze()
    if stage != "round":
        _train(run)
    assert house.state("file", "files/a.csv") == "ingested"
    assert len(house.ledger.find("snapshot")) == 1
    (line,) = egress.lines(house.ledger)
    assert [p.envelope_id for p in house.outbox.parcels()] == [line.leaf.envelope_id]
    open_jobs = {item.id for item in house.ledger.find("job", "queued", "started")}
    assert {folder.name for folder in house.paths.jobs.iterdir()} <= open_jobs
