"""Accounts of files: one that is only tried, and all that were read."""

import json
import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.config import Config, Paths, Store, TrainingSection
from agent.errors import Refused, Stop
from agent.files import fsync_folder
from agent.keeper.assemble import private_endpoints
from agent.ledger.book import Ledger
from agent.wire.documents import Catalogue
from agent.wire.signed import parse

if TYPE_CHECKING:
    from agent.assays.curate import Curated

Account = dict[str, Any]

_ASIDE = ("row", "sheet", "column", "code", "reason")


def try_file(config: Config, store: Store, file: Path) -> Account:
    """Reads and curates a file as the store would, and keeps nothing.

    Returns:
        `read`, `used`, `blank`, `set_aside` (row, sheet, column, code, reason) and `tasks`.

    Raises:
        Refused: The file as a whole cannot be used.
        Stop: The silo is not enrolled (there is no catalogue), or the profile is wrong.
    """
    from agent.assays.curate import curate
    from agent.assays.endpoints import EndpointIndex
    from agent.stores.profile import KMELLODDY, load_profile
    from agent.stores.readers import read

    if store.kind == "database":
        raise Stop(f"Store {store.name} is a database; its reader fills it, not a file.")
    profile = load_profile(store.profile) if store.profile else KMELLODDY
    index = EndpointIndex(current_catalogue(Paths(config.site.state)), private_endpoints(config))
    curated = curate(read(file, store.kind, profile), index)
    return {
        "read": curated.read,
        "used": len(curated.measurements),
        "blank": curated.blank,
        "set_aside": [
            {**asdict(entry.place), "code": entry.code, "reason": entry.reason}
            for entry in curated.set_aside
        ],
        "tasks": _tasks(curated, config.training),
    }


def _tasks(curated: "Curated", section: TrainingSection) -> Account:
    """Counts each task, and says whether this file alone would meet its quorum."""
    import numpy as np

    from agent.assays.quorum import Quorum, standing

    quorum = Quorum(section.quorum_labels, section.quorum_uncensored, section.quorum_each_class)
    counts = Counter(entry.task for entry in curated.measurements)
    censored = Counter(entry.task for entry in curated.measurements if entry.qualifier != "=")
    # A compound counts once for the quorum, however often it was measured.
    last = {(entry.task, entry.compound.key): entry for entry in curated.measurements}
    found = {}
    for task, count in counts.items():
        entries = [entry for (name, _), entry in last.items() if name == task]
        values = np.array([entry.value for entry in entries])
        signs = np.array([entry.qualifier != "=" for entry in entries])
        met = standing(curated.kinds[task], values, signs, quorum).met
        found[task] = {"n": count, "censored": censored[task], "quorum": met}
    return found


def current_catalogue(paths: Paths) -> Catalogue:
    """Returns the newest catalogue that was believed, or the one that enrolment left.

    Raises:
        Stop: There is none: the silo is not enrolled.
    """
    try:
        with Ledger(paths.ledger, read_only=True) as ledger:
            content = ledger.document("catalogue", "current")
    except Stop:  # the keeper has never run; enrolment has left the first catalogue
        content = None
    try:
        content = content or (paths.trust / "catalogue.json").read_bytes()
    except OSError as error:
        raise Stop("There is no endpoint catalogue yet; run `onggi enroll` first.") from error
    return Catalogue.parse(parse(content).payload)  # its signature was checked when it was taken


def drop_into(store: Store, file: Path) -> Path:
    """Copies a file into a store's folder under a hidden name, then shows it by rename.

    Raises:
        Refused: `exists`: a file of this name is there already.
        Stop: The store has no folder, or it cannot be written.
    """
    if store.path is None:
        raise Stop(f"Store {store.name} has no folder.")
    final = store.path / file.name
    if final.exists():
        raise Refused("exists", f"{final} is there already; rename the file, or replace it there.")
    hidden = final.with_name(f".{final.name}.tmp")
    try:
        shutil.copyfile(file, hidden)
        hidden.rename(final)
        fsync_folder(store.path)
    except OSError as error:
        raise Stop(f"Cannot write into {store.path}: {error.strerror}.") from error
    return final


def file_accounts(ledger: Ledger, parts: Path) -> list[Account]:
    """Returns the account of every file that was found, oldest first."""
    return [
        {
            "file": item.id,
            "state": item.state,
            "why": item.why,
            "sha256": item.detail.get("sha256", ""),
            **{name: item.detail.get(name, 0) for name in ("read", "used", "blank")},
            "set_aside": _set_aside(parts / str(item.detail.get("part", ""))),
        }
        for item in ledger.find("file")
    ]


def _set_aside(part: Path) -> list[Account]:
    try:
        with (part / "set_aside.ndjson").open(encoding="utf-8") as lines:
            entries = [json.loads(line) for line in lines]
            return [{name: entry[name] for name in _ASIDE} for entry in entries]
    except OSError:
        return []
