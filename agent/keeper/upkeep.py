"""What is no longer needed goes: objects of ended rounds, snapshots that were replaced."""

import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

from agent.boxes import Inbox
from agent.keeper.channel import newest_objects, release_objects
from agent.ledger.book import Item, Ledger
from agent.wire.documents import RoundManifest

_SNAPSHOTS_KEPT = 3
_GRACE = timedelta(hours=1)  # the courier stores an object before the letter that names it


def tidy(ledger: Ledger, inbox: Inbox, snapshots: Path, now: datetime) -> None:
    """Removes files that no row in the ledger can still ask for; harmless when repeated."""
    wanted = (*ledger.find("round", "announced"), *ledger.find("release", "announced", "fetched"))
    named = frozenset(sha256 for item in wanted for sha256 in _objects(item))
    # Each new state of the repository names the newest release again: without its files here, the
    # courier would fetch them every day.
    inbox.prune_objects(named | newest_objects(ledger), now - _GRACE)
    # The last frozen, which need not be the last added: the files may be again as they were once.
    last = ledger.last_moved("snapshot", ("frozen", "scored"), _SNAPSHOTS_KEPT)
    kept = {item.id for item in (*last, *ledger.find("snapshot", "wanted"))} | _ordered(ledger)
    for folder in snapshots.iterdir():
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def _ordered(ledger: Ledger) -> set[str]:
    """Returns the snapshots that jobs which are still to be done are about."""
    jobs = ledger.find("job", "queued", "started")
    orders = (json.loads(str(job.detail["order"])) for job in jobs)
    return {str(order["snapshot"]) for order in orders if "snapshot" in order}


def _objects(item: Item) -> list[str]:
    if item.kind == "round":
        text = str(item.detail["manifest"])
        return [RoundManifest.model_validate_json(text).base_sha256]
    return release_objects(item)
