"""A test in the place of the workers, and of a kill."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from agent.keeper.orders import FileResult, IngestOrder, Result, SnapshotOrder
from agent.ledger.book import Ledger

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House


class Killed(BaseException):
    """Stands for SIGKILL."""


@dataclass
class Reaper:
    """Kills at the n-th moment: each outermost transaction has one before and one after COMMIT."""

    at: int
    seen: int = 0

    def look(self) -> None:
        self.seen += 1
        if self.seen == self.at:
            raise Killed

    def follow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Looks at every transaction from now on."""
        transaction = Ledger.transaction

        @contextmanager
        def watched(ledger: Ledger) -> Iterator[None]:
            outermost = not ledger.connection.in_transaction
            with transaction(ledger):
                yield
                if outermost:
                    self.look()
            if outermost:
                self.look()

        monkeypatch.setattr(Ledger, "transaction", watched)


class Run:
    """Advances the pipeline and stands for the workers."""

    def __init__(self, house: "House", monkeypatch: pytest.MonkeyPatch) -> None:
        self.house = house
        self.at_s = 0.0
        monkeypatch.setattr("agent.keeper.jobs.subprocess.Popen", self._no_process)

    def _no_process(self, *_: object, **__: object) -> "Ended":
        return Ended()

    def advance(self) -> None:
        self.house.later(3)
        self.at_s += 3
        self.house.intake.look(self.house.now, self.at_s)
        self.house.pipeline.advance(self.house.now, self.at_s)

    def started(self) -> str:
        (job,) = self.house.ledger.find("job", "started")
        return job.id

    def finish(self, result: Result) -> None:
        """Leaves a result for the job that was started, and lets it be booked."""
        folder = self.house.workers.path(self.started())
        (folder / "result.json").write_text(result.model_dump_json())
        self.advance()

    def ingest(self) -> None:
        (self.house.store / "a.csv").write_text("a\n")
        self.advance()
        self.advance()
        order = self.house.workers.order(self.house.item("job", self.started()))
        assert isinstance(order, IngestOrder)
        part = self.house.workers.path(self.started()) / "parts" / "p1"
        part.mkdir(parents=True)
        self.finish(Result(files=(FileResult(item="files/a.csv", part="p1", read=1, used=1),)))

    def freeze(self) -> None:
        order = self.house.workers.order(self.house.item("job", self.started()))
        assert isinstance(order, SnapshotOrder)
        staged = self.house.workers.path(self.started()) / "snapshot"
        staged.mkdir()
        (staged / "labels.npz").write_bytes(b"x")
        self.finish(Result(compounds=1))


class Ended:
    """A process that ended well at once."""

    pid, returncode = 0, 0

    def poll(self) -> int:
        return 0

    def wait(self) -> int:
        return 0

    def kill(self) -> None:
        """It is dead already."""
