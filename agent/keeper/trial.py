"""Accounts of files: one that is only tried, and all that were read."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from agent.config import Paths, Store, TrainingSection
from agent.errors import Refused, Stop
from agent.files import fsync_folder
from agent.ledger.book import Ledger
from agent.stores.kinds import StoreKind
from agent.wire import strict_json
from agent.wire.documents import Catalogue, Endpoint
from agent.wire.signed import parse

if TYPE_CHECKING:
    from agent.assays.quorum import Quorum

Account = dict[str, Any]

_ASIDE = ("row", "sheet", "column", "code", "reason")


@dataclass(frozen=True, slots=True)
class Way:
    """How a file is read: the kind of store, and the profile, which the standard needs not."""

    kind: StoreKind
    profile: Path | None = None


def way_of(store: Store) -> Way:
    """Returns how a store's files are read.

    Raises:
        Stop: It is a database: its reader fills it.
    """
    if store.kind == "database":
        raise Stop(f"Store {store.name} is a database; its reader fills it, not a file.")
    return Way(store.kind, store.profile)


def try_file(
    file: Path,
    way: Way,
    catalogue: Catalogue,
    private: tuple[Endpoint, ...],
    section: TrainingSection,
) -> Account:
    """Reads and curates a file as a store would, and keeps nothing.

    Args:
        file: The file.
        way: How it is read.
        catalogue: The endpoints.
        private: This silo's own.
        section: What a task needs.

    Returns:
        `read`, `used`, `blank`, `set_aside` (row, sheet, column, code, reason) and `tasks`:
        measurements (`n`, `censored`), and whether this file alone would meet the quorum.

    Raises:
        Refused: The file as a whole cannot be used.
        Stop: The profile is wrong.
    """
    from agent.assays.curate import curate_in_batches
    from agent.assays.endpoints import EndpointIndex, together
    from agent.assays.parts import Source, write_part_in_batches
    from agent.stores.profile import KMELLODDY, load_profile
    from agent.stores.readers import read

    profile = load_profile(way.profile) if way.profile else KMELLODDY
    index = EndpointIndex(catalogue, together(private, profile.own_endpoints))
    batches = curate_in_batches(read(file, way.kind, profile), index)
    # As the keeper does, on disk: a file of millions of rows would not fit into memory. The folder
    # is closed to others and goes with the account.
    with TemporaryDirectory(prefix="onggi-trial-") as folder:
        part = Path(folder) / "part"
        summary = write_part_in_batches(part, batches, Source("", file.name, ""))
        met = _met(part, section)
        return {
            "read": summary.read,
            "used": summary.used,
            "blank": summary.blank,
            "set_aside": _set_aside(part),
            "tasks": {
                task: {"n": n, "censored": summary.censored[task], "quorum": task in met}
                for task, n in summary.tasks.items()
            },
        }


def _met(part: Path, section: TrainingSection) -> frozenset[str]:
    """Returns the tasks of which a part alone meets the quorum, counted as a snapshot counts."""
    from agent.assays.merge import current, decided, labels
    from agent.assays.quorum import standing

    quorum = quorum_of(section)
    groups = decided(labels(current([("", part)]))).group_by("task", "kind")
    return frozenset(
        str(task)
        for (task, kind), rows in groups
        if standing(str(kind), rows["value"].to_numpy(), rows["sign"].to_numpy(), quorum).met
    )


def quorum_of(section: TrainingSection) -> "Quorum":
    """Returns what a task needs, as the configuration says."""
    from agent.assays.quorum import Quorum

    return Quorum(section.quorum_labels, section.quorum_uncensored, section.quorum_each_class)


def named_catalogue(path: Path) -> Catalogue:
    """Reads a catalogue that a person names: signed, plain, or only the list of its endpoints.

    A signature is not checked here: nothing that is read with this catalogue is kept.

    Raises:
        Stop: It is none.
    """
    try:
        content = strict_json.loads(path.read_bytes())
        if isinstance(content, list):
            content = {"consortium": "none", "version": 1, "endpoints": content}
        elif isinstance(content, dict) and "payload" in content:
            return Catalogue.parse(parse(path.read_bytes()).payload)
        return Catalogue.parse(strict_json.dumps(content))
    except (OSError, ValueError, RecursionError, Refused) as error:
        raise Stop(f"{path} is no catalogue of endpoints: {error}.") from error


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
