"""From watched folders to queued files: the sweep is the truth, events only hasten it."""

import hashlib
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from agent import log
from agent.clock import from_text
from agent.errors import TryLater
from agent.keeper import passing
from agent.keeper.jobs import WORKER_DIED, Workers
from agent.keeper.orders import FileOrder, FileResult, IngestOrder, Result
from agent.ledger.book import Detail, Item, Ledger
from agent.stores.kinds import StoreKind, patterns
from agent.stores.watch import Seen, sweep
from agent.wire.documents import Catalogue, Endpoint

_log = logging.getLogger(__name__)
_FILES_A_JOB = 50
_PATIENCE_S = 600.0
_CHANGED = "It changed while it was read; it will be read once it rests."
_PASSING = frozenset({"gone", "changed"})  # refusals that end when the file is seen at rest
_RETRY = timedelta(seconds=60)  # after a full disk or a share that failed


@dataclass(frozen=True, slots=True)
class Source:
    """A folder that is watched, and how its files are read."""

    name: str
    reader: StoreKind
    folder: Path
    profile: str


class Intake:
    """Finds files that are new, changed and stable, and orders their reading.

    Args:
        sources: The folders.
        ledger: Where every file is a row.
        workers: Who reads them.
        parts: Where curated files go.
        settle_s: How long a file must rest before it is read.
        identities: The cache of what structures are; `None` for none.
        processes: How many processes may standardize structures; 0 means one a core.
    """

    def __init__(  # noqa: PLR0913 - what it passes on to the worker has no other way there
        self,
        sources: Sequence[Source],
        ledger: Ledger,
        workers: Workers,
        parts: Path,
        settle_s: float,
        *,
        identities: Path | None = None,
        processes: int = 1,
    ) -> None:
        self._identities = str(identities or "")
        self._processes = processes
        self._sources = {source.name: source for source in sources}
        self._ledger = ledger
        self._workers = workers
        self._parts = parts
        self._settle_s = settle_s
        self._seen: dict[str, dict[str, Seen]] = {name: {} for name in self._sources}
        self._settling = True  # until the first look says otherwise
        self._restless_since_s: float | None = None
        self._meanings: dict[str, str] = {}

    def look(self, now: datetime, at_s: float) -> bool:
        """Sweeps every folder once.

        Args:
            now: For the ledger.
            at_s: The same moment on a clock that never steps back.

        Returns:
            True when some file is not at rest yet, so that another look is due soon.
        """
        waiting = any([*(self._look_at(source, now, at_s) for source in self._sources.values())])
        if not waiting:
            self._restless_since_s = None
        elif self._restless_since_s is None:
            self._restless_since_s = at_s
        # A file that is written all day must not keep the silo from learning.
        since_s = at_s if self._restless_since_s is None else self._restless_since_s
        self._settling = waiting and at_s - since_s < _PATIENCE_S
        return waiting

    def _look_at(self, source: Source, now: datetime, at_s: float) -> bool:
        try:
            found = sweep(
                source.folder,
                self._seen[source.name],
                at_s,
                self._settle_s,
                patterns(source.reader),
            )
        except TryLater as error:
            self._mark_store(source.name, "lost", str(error), now)
            return False
        self._seen[source.name] = found.seen()
        self._mark_store(source.name, "reached", "", now)
        with self._ledger.transaction():
            for seen in found.stable:
                self._book(source.name, seen, now)
            for path, reason in found.refused:
                self._refuse(f"{source.name}/{path}", reason, now)
        return bool(found.waiting)

    def _mark_store(self, name: str, state: str, why: str, now: datetime) -> None:
        item = self._ledger.get("store", name)
        if item is None:
            self._ledger.add("store", name, state, now, {})
            item = self._ledger.get("store", name)
        if item is not None and item.state != state:
            log.event(_log, "store changed", store=name, state=state)
            self._ledger.move(item, state, now, why)
        elif item is not None:
            self._ledger.explain(item, why)

    def _book(self, store: str, seen: Seen, now: datetime) -> None:
        item_id = f"{store}/{seen.path}"
        item = self._ledger.get("file", item_id)
        stamp: Detail = {"store": store, "size": seen.size, "mtime_ns": seen.mtime_ns}
        if item is None:
            self._ledger.add("file", item_id, "found", now, stamp)
        elif item.state in {"ingested", "refused"} and _stamp(item) != (seen.size, seen.mtime_ns):
            self._ledger.move(item, "found", now, "it changed", stamp)
        elif item.state in {"ingested", "refused"} and self._may_pass_now(item, store, now):
            self._ledger.move(item, "found", now, "it is there again", {**stamp, "code": ""})

    def _may_pass_now(self, item: Item, store: str, now: datetime) -> bool:
        code = item.detail.get("code")
        if code == passing.CODE:  # a clock that was set back must not make it wait for ever
            return not timedelta(0) <= now - from_text(item.changed) < _RETRY
        path = self._sources[store].folder / item.id.removeprefix(f"{store}/")
        return code in _PASSING or (code == "no_permission" and os.access(path, os.R_OK))

    def _refuse(self, item_id: str, reason: str, now: datetime) -> None:
        self._ledger.add("file", item_id, "found", now, {})
        item = self._ledger.get("file", item_id)
        if item is not None and item.state == "found":
            self._ledger.move(item, "refused", now, reason, {"code": "refused_path"})

    def order(self, catalogue: Catalogue, private: tuple[Endpoint, ...], now: datetime) -> None:
        """Orders the reading of every file that was found, some files to a job."""
        for source in self._sources.values():
            self._reconsider(source, _meaning(source, catalogue, private), now)
            found = [
                item
                for item in self._ledger.find("file", "found")
                if item.detail.get("store") == source.name
            ]
            suspects = [[item] for item in found if item.detail.get("suspect")]
            others = [item for item in found if not item.detail.get("suspect")]
            packs = [others[i : i + _FILES_A_JOB] for i in range(0, len(others), _FILES_A_JOB)]
            for pack in packs + suspects:
                self._order(source, pack, catalogue, private, now)

    def _reconsider(self, source: Source, meaning: str, now: datetime) -> None:
        """Finds files again that were read under another profile or catalogue."""
        if self._meanings.get(source.name) == meaning:
            return
        self._meanings[source.name] = meaning
        for item in self._ledger.find("file", "ingested", "refused"):
            read_as = item.detail.get("meaning", meaning)
            if item.detail.get("store") == source.name and read_as != meaning:
                self._ledger.move(item, "found", now, "its profile or the catalogue changed")

    def _order(
        self,
        source: Source,
        items: list[Item],
        catalogue: Catalogue,
        private: tuple[Endpoint, ...],
        now: datetime,
    ) -> None:
        files = tuple(_file_order(source, item) for item in items)
        order = IngestOrder(
            store=source.name,
            reader=source.reader,
            profile=source.profile,
            catalogue=catalogue,
            private=private,
            parts=str(self._parts),
            files=files,
            identities=self._identities,
            processes=self._processes,
        )
        # The time makes it another job when the very same file is to be read again.
        text = now.isoformat() + "".join(f.item for f in files)
        job_id = f"ingest-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        with self._ledger.transaction():
            self._workers.submit(job_id, order, now)
            for item in items:
                meaning: Detail = {"meaning": self._meanings[source.name]}
                self._ledger.move(item, "queued", now, "", meaning)

    def book(self, results: Sequence[FileResult], now: datetime) -> None:
        """Books what became of the files of a job; call it in the job's transaction."""
        for result in results:
            item = self._ledger.get("file", result.item)
            if item is None or item.state != "queued":
                continue
            if result.changed:
                # Not found again at once: what is known of it is old. The next sweep that sees it
                # at rest finds it with its new size and time.
                self._ledger.move(item, "refused", now, _CHANGED, {"code": "changed"})
                continue
            if result.code in {"gone", passing.CODE} and item.detail.get("part"):
                why = f"{result.refused} What was read of it before stays."
                self._ledger.move(item, "ingested", now, why, {"code": result.code})
                continue
            counts = result.model_dump(exclude={"item", "changed", "refused"})
            if not result.refused:
                counts["first_read"] = self._place(result.sha256 or result.part, now)
            state = "refused" if result.refused else "ingested"
            self._ledger.move(item, state, now, result.refused, counts)

    def _place(self, content: str, now: datetime) -> int:
        """Returns the content's place among all that was ever read, by its first reading.

        Later rows replace earlier ones: an old file that is dropped again, under whatever name and
        catalogue, must not undo the correction that came after it.
        """
        self._ledger.add("content", content, "read", now, {})
        item = self._ledger.get("content", content)
        return item.number if item is not None else 0

    def give_up(self, order: IngestOrder, result: Result, now: datetime) -> None:
        """Refuses the file that killed its worker; of several, each is tried by itself first.

        Where the worker lived to say why it cannot read any of them, all are refused at once.
        """
        if len(order.files) == 1 or result.refused_code != WORKER_DIED:
            code, reason = result.refused_code, result.refused
            self.book(
                [FileResult(item=f.item, code=code, refused=reason) for f in order.files], now
            )
            return
        for file in order.files:
            item = self._ledger.get("file", file.item)
            if item is not None and item.state == "queued":
                self._ledger.move(item, "found", now, "tried by itself", {"suspect": True})

    @property
    def busy(self) -> bool:
        """Some file is still settling, or was found or queued and is not read yet.

        A store that is no longer configured is waited for by nobody.
        """
        unread = self._ledger.find("file", "found", "queued")
        return self._settling or any(item.detail.get("store") in self._sources for item in unread)


def _meaning(source: Source, catalogue: Catalogue, private: tuple[Endpoint, ...]) -> str:
    # What the same bytes would mean: the profile as it is now, the catalogue, the silo's own.
    digest = hashlib.sha256(catalogue.to_bytes())
    for endpoint in private:
        digest.update(endpoint.to_bytes())
    if source.profile:
        with suppress(OSError):  # a profile that cannot be read is refused by the worker, by name
            digest.update(Path(source.profile).read_bytes())
    return digest.hexdigest()


def _stamp(item: Item) -> tuple[object, object]:
    return item.detail.get("size"), item.detail.get("mtime_ns")


def _file_order(source: Source, item: Item) -> FileOrder:
    relative = item.id.removeprefix(f"{source.name}/")
    return FileOrder(
        item=item.id,
        path=str(source.folder / relative),
        size=int(str(item.detail["size"])),
        mtime_ns=int(str(item.detail["mtime_ns"])),
    )
