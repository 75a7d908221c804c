"""What predict may show of the silo's own compounds: made anew with each snapshot, as allowed."""

import hashlib
import logging
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from agent import log
from agent.keeper.jobs import Workers
from agent.keeper.orders import REFERENCE, ReferenceOrder
from agent.keeper.training import Ready
from agent.ledger.book import Ledger
from agent.releases import shelf
from agent.wire.documents import Catalogue, Endpoint, FeatureSpec

_log = logging.getLogger(__name__)
_OPEN = frozenset({"queued", "started"})


class References:
    """Orders the file and lays it where predict finds it.

    Args:
        ledger: Where jobs are rows.
        workers: Who writes the file.
        folder: `reference/`.
        share: See `config.ReferenceSection`.
        private: This silo's own endpoints.
    """

    def __init__(
        self,
        ledger: Ledger,
        workers: Workers,
        folder: Path,
        share: Literal["values", "similarity", "nothing"],
        private: tuple[Endpoint, ...],
    ) -> None:
        self._ledger = ledger
        self._workers = workers
        self._folder = folder
        self._share = share
        self._private = private
        self._known: tuple[object, str] = (None, "")
        if share == "nothing":
            shelf.clear(folder)

    def order(
        self, ready: Ready, features: FeatureSpec, catalogue: Catalogue, now: datetime
    ) -> None:
        """Orders the reference of a snapshot, unless it is there, under way or was given up.

        Args:
            ready: The snapshot.
            features: What its features are.
            catalogue: Which unit each endpoint has.
            now: For the ledger.
        """
        if self._share == "nothing":
            return
        name = self._name(ready, features, catalogue)
        if shelf.current(self._folder) == name and shelf.path_of(self._folder, name).exists():
            return
        job_id = self._next_job(name)
        if not job_id:
            return
        order = ReferenceOrder(
            name=name,
            snapshot=ready.snapshot,
            folder=str(ready.folder),
            features=features,
            catalogue=catalogue,
            private=self._private,
            share=self._share,
        )
        self._workers.submit(job_id, order, now)

    def book(self, order: ReferenceOrder, folder: Path) -> None:
        """Lays the written file out; call it in the job's transaction.

        Raises:
            OSError: The disk is full or not writable; the one before stays.
        """
        if self._share != order.share:
            return  # the site changed its mind meanwhile
        shelf.put(self._folder, folder / REFERENCE, order.name)
        log.event(_log, "reference laid out", snapshot=order.snapshot, share=order.share)

    def _next_job(self, name: str) -> str:
        """Returns the id of the job to be, or an empty text where one is open or has failed."""
        number = 1
        while (job := self._ledger.get("job", f"reference-{name[:16]}-{number}")) is not None:
            if job.state in _OPEN or job.state == "failed":
                return ""
            number += 1  # it was laid out, and was cleared away since
        return f"reference-{name[:16]}-{number}"

    def _name(self, ready: Ready, features: FeatureSpec, catalogue: Catalogue) -> str:
        """Names the file by all that it depends on."""
        known = (ready.snapshot, features, catalogue)
        if self._known[0] != known:
            parts = [f"{shelf.FORMAT} rdkit-{version('rdkit')} {self._share} {ready.snapshot}"]
            parts += [features.model_dump_json(), catalogue.model_dump_json()]
            parts += [endpoint.model_dump_json() for endpoint in self._private]
            self._known = (known, hashlib.sha256("\n".join(parts).encode()).hexdigest())
        return self._known[1]
