"""The keeper is killed at every commit of its ledger, before and after it, and ends the same.

A test stands for the workers, for predict and for the courier, which all answer whatever they find
asked: what nobody asks for again after a kill is never done.
"""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.keeper.orders import (
    FileResult,
    IngestOrder,
    ReferenceOrder,
    ReleaseOrder,
    Result,
    RoundOrder,
    SnapshotOrder,
    TaskScore,
)
from agent.ledger import egress
from agent.releases import folder
from tests.unit.keeper.conftest import House
from tests.unit.keeper.stand_in import Killed, Reaper, Run

if TYPE_CHECKING:
    from agent.keeper.orders import Order
    from agent.ledger.states import Kind

pytestmark = pytest.mark.slow

SCORE = TaskScore(task="logbb", metric="MAE", value=0.5, n_train=50, n_test=30)
KINDS: "tuple[Kind, ...]" = ("file", "snapshot", "round", "update", "release", "plan", "letter")
ENOUGH = 20


class Life:
    """One keeper's life from the first file to an active release."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        root.mkdir()
        self.house = House(root)
        self.run = Run(self.house, monkeypatch)
        self.answered: set[str] = set()
        house = self.house
        (house.store / "a.csv").write_text("a\n")
        house.courier.bring("plan", house.consortium.plan())
        house.courier.bring("round", house.consortium.round(), house.consortium.base)
        house.courier.bring_release(house.consortium.release(), house.consortium.base)

    def step(self) -> None:
        """One round of the loop, and what the others do meanwhile."""
        self.run.advance()
        self._work()
        self._load()
        self._acknowledge()

    def restart(self) -> None:
        self.house.reopen()
        self.house.pipeline.recover(self.house.now)

    def _work(self) -> None:
        for job in self.house.ledger.find("job", "started"):
            place = self.house.workers.path(job.id)
            result = _result(self.house.workers.order(job), place, self.house.trained())
            (place / "result.json").write_text(result.model_dump_json())

    def _load(self) -> None:
        """Predict loads what it is shown."""
        house, shown = self.house, folder.active_id(self.house.paths.releases)
        if shown is not None and not house.attempts.account(shown).loaded:
            house.attempts.begin(shown)
            house.attempts.succeeded(shown)

    def _acknowledge(self) -> None:
        """The courier brings a receipt for each parcel that it sees."""
        for parcel in self.house.outbox.parcels():
            if parcel.envelope_id not in self.answered:
                self.answered.add(parcel.envelope_id)
                receipt = self.house.consortium.receipt(parcel.envelope_id)
                self.house.inbox.put_answer(parcel.envelope_id, "receipt", receipt)

    def end(self) -> dict[str, object]:
        """What it has come to, without the times and the random ids."""
        ledger, paths = self.house.ledger, self.house.paths
        states: dict[str, object] = {
            kind: Counter(item.state for item in ledger.find(kind)) for kind in KINDS
        }
        open_jobs = [item.id for item in ledger.find("job", "queued", "started", "failed")]
        leaves = egress.lines(ledger)
        return {
            **states,
            "open jobs": open_jobs,
            "left": len(leaves),
            "waiting to leave": len(self.house.outbox.parcels()),
            "active": folder.active_id(paths.releases),
            "parts": sorted(part.name for part in paths.parts.iterdir()),
            "snapshots": len(list(paths.snapshots.iterdir())),
            "references": len(list(paths.reference.glob("*.sqlite3"))),
            "heads": (paths.models / "private.safetensors").exists(),
            "jobs' folders": [one.name for one in paths.jobs.iterdir()],
        }

    def close(self) -> None:
        self.house.workers.stop()
        self.house.ledger.close()


def _result(order: "Order", place: Path, trained: Result) -> Result:
    """Leaves what a worker would."""
    result = Result(scores=(SCORE,))
    match order:
        case IngestOrder():
            (place / "parts" / "p1").mkdir(parents=True, exist_ok=True)
            result = Result(files=(FileResult(item="files/a.csv", part="p1", read=1, used=1),))
        case SnapshotOrder():
            (place / "snapshot").mkdir(exist_ok=True)
            (place / "snapshot" / "labels.npz").write_bytes(b"x")
            result = Result(compounds=1)
        case RoundOrder():
            (place / "update.safetensors").write_bytes(b"update")
            (place / "private.safetensors").write_bytes(b"own")
            result = trained
        case ReferenceOrder():
            (place / "reference.sqlite3").write_bytes(b"known")
            result = Result(compounds=1)
        case ReleaseOrder():
            (place / "release").mkdir(exist_ok=True)
            for name in folder.REQUIRED:
                (place / "release" / name).write_bytes(name.encode())
    return result


def test_killed_at_any_commit_it_ends_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reaper: Reaper
) -> None:
    calm = Life(tmp_path / "calm", monkeypatch)
    for _ in range(ENOUGH):
        calm.step()
    wanted, moments = calm.end(), reaper.seen
    calm.close()
    assert wanted["active"] == "r1"
    assert wanted["left"] == 1
    assert moments > 60
    for moment in range(1, moments + 1):
        reaper.at, reaper.seen = moment, 0
        life = Life(tmp_path / str(moment), monkeypatch)
        kills = 0
        for _ in range(ENOUGH):
            try:
                life.step()
            except Killed:
                kills += 1
                life.restart()
        assert (kills, life.end()) == (1, wanted), f"killed at moment {moment}"
        life.close()
