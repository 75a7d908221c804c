"""The release repository: its files are rows, and each change of it is one transaction.

A change of a channel writes the channel's file, a snapshot, a timestamp and an item of the feed
together, so that no silo ever sees half of it. Snapshot, timestamp and channels are signed here,
by keys that are at hand; root and targets only in a ceremony (`consortium.ceremony`).
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

from sqlalchemy import select
from sqlalchemy.orm import Session
from tuf.api.metadata import DelegatedRole, Delegations, Role, Root, T, TargetFile, Targets

from agent.clock import to_text
from agent.errors import Refused, Stop
from agent.files import sha256_bytes
from agent.keys import Purpose, SigningIdentity, load_signing
from agent.wire.documents import ObjectRef
from agent.wire.repository import CHANNELS, Channel, RepositoryFiles, newest_files
from agent.wire.signed import key_id
from consortium import metadata
from consortium.folder import Folder, load_settings
from consortium.metadata import Edition
from consortium.tables import MetadataRow, PublishedRow

# How long a file holds. The timestamp's is how long the channel can be frozen unnoticed, and how
# long a stick may be on its way.
VALID_FOR = {
    "root": timedelta(days=3 * 365),
    "targets": timedelta(days=3 * 365),
    "stable": timedelta(days=365),
    "canary": timedelta(days=365),
    "snapshot": timedelta(days=30),
    "timestamp": timedelta(days=7),
}
_METADATA = re.compile(r"([1-9][0-9]{0,9})\.([a-z]{1,20})\.json")
_RENEW_BEFORE = {
    "stable": timedelta(days=60),
    "canary": timedelta(days=60),
    "snapshot": timedelta(days=10),
    "timestamp": timedelta(days=6),
}
_ALARM_BEFORE = {
    "root": timedelta(days=90),
    "targets": timedelta(days=90),
    **{role: before / 2 for role, before in _RENEW_BEFORE.items()},
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A release as the repository offers it."""

    release_id: str
    version: int
    channel: Channel


class ReleaseRepository:
    """Lists releases in channels, and keeps the files that say so fresh.

    Keys are read when they are used: a rotation by another process counts at once.

    Args:
        keys: The folder of the keys at hand.
        channel: Where the release of a plan's round goes.
    """

    def __init__(self, keys: Path, channel: Channel) -> None:
        self._keys = keys
        self.channel = channel

    def publish(
        self,
        session: Session,
        release: Listed,
        objects: Mapping[str, ObjectRef],
        now: datetime,
    ) -> None:
        """Lists a release in a channel; its objects are durable already.

        Raises:
            Stop: A key is missing.
        """
        files = dict(self.files(session, release.channel))
        files |= metadata.release_files(release.release_id, release.version, objects)
        self._list(session, {release.channel: files}, now)

    def promote(self, session: Session, release_id: str, now: datetime) -> None:
        """Moves a release from canary to stable.

        Raises:
            Refused: `unknown_release`: canary does not list it; `older_release`: stable has a
                newer one, and silos take rising versions only.
            Stop: A key is missing.
        """
        canary, stable = (dict(self.files(session, name)) for name in ("canary", "stable"))
        moved = {path: canary.pop(path) for path in _of(canary, release_id)}
        if not moved:
            raise Refused("unknown_release", f"The canary channel does not list {release_id}.")
        version = max(_versions(moved).values())
        if version <= max(_versions(stable).values(), default=0):
            raise Refused(
                "older_release", f"The stable channel has a newer release than {release_id}."
            )
        self._list(session, {"canary": canary, "stable": stable | moved}, now)

    def withdraw(self, session: Session, release_id: str, now: datetime) -> None:
        """Takes a release off its channels: whoever has not taken it yet never will.

        Raises:
            Refused: `unknown_release`: no channel lists it.
            Stop: A key is missing.
        """
        changed: dict[Channel, Mapping[str, TargetFile]] = {}
        for name in CHANNELS:
            files = self.files(session, name)
            if gone := _of(files, release_id):
                changed[name] = {path: file for path, file in files.items() if path not in gone}
        if not changed:
            raise Refused("unknown_release", f"No channel lists {release_id}.")
        self._list(session, changed, now)

    def listed(self, session: Session) -> list[Listed]:
        """Returns every release that a channel lists, by channel and version."""
        return [
            Listed(release_id, version, name)
            for name in CHANNELS
            for release_id, version in sorted(
                _versions(self.files(session, name)).items(), key=lambda item: item[1]
            )
        ]

    def due(self, session: Session, now: datetime) -> bool:
        """Tells whether a file that is signed here is about to expire."""
        return any(_is_due(session, role, now) for role in _RENEW_BEFORE)

    def refresh(self, session: Session, now: datetime) -> None:
        """Signs anew what is about to expire, and tells the silos, so that none seems frozen.

        Raises:
            Stop: A key is missing.
        """
        old = [name for name in CHANNELS if _is_due(session, name, now)]
        for name in old:
            self.relist(session, name, self.files(session, name), now)
        self.seal(session, now, anew=bool(old) or _is_due(session, "snapshot", now))
        for name in reversed(CHANNELS):
            announce(session, name)

    def seal(self, session: Session, now: datetime, *, anew: bool = True) -> None:
        """Signs a timestamp and, unless told otherwise, a snapshot of what is in force.

        Raises:
            Stop: A key is missing.
        """
        trusted = root_in_force(session)
        if anew:
            files = {role: current(session, role) for role in ("targets", *CHANNELS)}
            content = metadata.snapshot(next_edition(session, "snapshot", now), files)
            put(session, content, "snapshot", self.signers("snapshot", trusted.roles["snapshot"]))
        stamp = metadata.timestamp(
            next_edition(session, "timestamp", now), current(session, "snapshot")
        )
        put(session, stamp, "timestamp", self.signers("timestamp", trusted.roles["timestamp"]))

    def relist(
        self, session: Session, name: Channel, files: Mapping[str, TargetFile], now: datetime
    ) -> None:
        """Signs a channel's next file; `seal` must follow in the same transaction.

        Raises:
            Stop: A key is missing.
        """
        signers = self.signers(name, delegated(session)[1][name])
        put(session, metadata.listing(next_edition(session, name, now), files), name, signers)

    def signers(self, name: str, role: Role) -> list[SigningIdentity]:
        """Returns as many of a role's keys as it takes.

        Raises:
            Stop: There are too few.
        """
        purpose = cast("Purpose", f"tuf-{name}")
        paths = sorted(self._keys.glob(f"tuf-{name}*.key"))
        found = {key_id(key.public_hex): key for key in (load_signing(p, purpose) for p in paths)}
        usable = [found[one] for one in role.keyids if one in found][: role.threshold]
        if len(usable) < role.threshold:
            raise Stop(
                f"{self._keys} has no key in force for {name}; restore it, or make a new one with "
                f"`onggi-aggregator tuf rotate {name}`."
            )
        return usable

    def files(self, session: Session, name: Channel) -> Mapping[str, TargetFile]:
        """Returns what a channel lists, by path."""
        return cast("Targets", metadata.read(current(session, name))).targets

    def _list(
        self, session: Session, changed: Mapping[Channel, Mapping[str, TargetFile]], now: datetime
    ) -> None:
        for name, files in changed.items():
            self.relist(session, name, files, now)
        self.seal(session, now)
        for name in changed:
            announce(session, name)


def open_repository(folder: Folder) -> ReleaseRepository:
    """Opens the repository of an aggregator's folder.

    Raises:
        Stop: The folder is no aggregator's.
    """
    return ReleaseRepository(folder.keys, load_settings(folder).channel)


def alarms(session: Session, now: datetime) -> list[str]:
    """Says in sentences what of the repository expires soon, and what to do."""
    said = []
    for role, before in _ALARM_BEFORE.items():
        expires = metadata.read(current(session, role)).expires
        if expires - now < before:
            what = (
                f"sign it again with `onggi-aggregator tuf renew {role}`"
                if role not in _RENEW_BEFORE
                else "`onggi-aggregator serve` signs it; see that it runs and has its key"
            )
            said.append(f"The release repository's {role} holds until {to_text(expires)}: {what}.")
    return said


def current(session: Session, role: str) -> bytes:
    """Returns a role's newest file.

    Raises:
        Stop: There is none: the database is not the one that `init` made.
    """
    content = session.scalars(
        select(MetadataRow.content)
        .where(MetadataRow.role == role)
        .order_by(MetadataRow.version.desc())
        .limit(1)
    ).first()
    if content is None:
        raise Stop("The database holds no release repository; restore it, or run `init` anew.")
    return content


def root_in_force(session: Session) -> Root:
    """Returns the newest root."""
    return cast("Root", metadata.read(current(session, "root")))


def delegated(session: Session) -> tuple[Delegations, Mapping[str, DelegatedRole]]:
    """Returns the newest delegations, and their roles.

    Raises:
        Stop: There are none.
    """
    found = cast("Targets", metadata.read(current(session, "targets"))).delegations
    if found is None or found.roles is None:
        raise Stop("The targets of the release repository delegate nothing; restore a backup.")
    return found, found.roles


def put(session: Session, signed: T, role: str, signers: Iterable[SigningIdentity]) -> bytes:
    """Signs the next file of a role and keeps it."""
    content = metadata.sign(signed, signers)
    put_file(session, role, content)
    return content


def put_file(session: Session, role: str, content: bytes) -> None:
    """Keeps a signed file as the newest of its role."""
    version = metadata.read(content).version
    session.add(MetadataRow(role=role, version=version, content=content))
    session.flush()


def metadata_file(session: Session, name: str) -> bytes:
    """Returns a file by its name on the wire: `timestamp.json`, or e.g. `3.root.json`.

    Raises:
        Refused: `unknown_object`.
    """
    if name == "timestamp.json":
        return current(session, "timestamp")
    place = _METADATA.fullmatch(name)
    row = session.get(MetadataRow, (place[2], int(place[1]))) if place else None
    if row is None:
        raise Refused("unknown_object", "The repository holds no such metadata.")
    return row.content


def files_in_force(session: Session) -> RepositoryFiles:
    """Returns the whole state of the metadata, every root included."""
    roots = session.scalars(
        select(MetadataRow.content).where(MetadataRow.role == "root").order_by(MetadataRow.version)
    ).all()
    return RepositoryFiles(
        roots=tuple(content.decode() for content in roots),
        timestamp=current(session, "timestamp").decode(),
        snapshot=current(session, "snapshot").decode(),
        targets=current(session, "targets").decode(),
        channels={name: current(session, name).decode() for name in CHANNELS},
    )


def announce(session: Session, name: Channel) -> None:
    """Appends the state in force to the feed, with what a channel's newest release consists of."""
    files = files_in_force(session)
    content = files.to_bytes()
    wanted = newest_files(files, "stable") if name == "stable" else _canary_files(files)
    objects = json.dumps([reference.model_dump() for reference in wanted])
    session.add(
        PublishedRow(
            kind=name,
            document=content,
            payload_sha256=sha256_bytes(content),
            round_id=None,
            objects=objects,
        )
    )
    session.flush()


def _canary_files(files: RepositoryFiles) -> tuple[ObjectRef, ...]:
    stable = set(newest_files(files, "stable"))
    return tuple(one for one in newest_files(files, "canary") if one not in stable)


def next_edition(session: Session, role: str, now: datetime) -> Edition:
    """Returns the version and the expiry of a role's next file."""
    newest = session.scalars(
        select(MetadataRow.version)
        .where(MetadataRow.role == role)
        .order_by(MetadataRow.version.desc())
        .limit(1)
    ).first()
    return Edition((newest or 0) + 1, now + VALID_FOR[role])


def _is_due(session: Session, role: str, now: datetime) -> bool:
    return metadata.read(current(session, role)).expires - now < _RENEW_BEFORE[role]


def _of(files: Mapping[str, TargetFile], release_id: str) -> list[str]:
    return [path for path in files if path.startswith(f"releases/{release_id}/")]


def _versions(files: Mapping[str, TargetFile]) -> dict[str, int]:
    return {
        path.split("/")[1]: int(file.custom["version"])
        for path, file in files.items()
        if file.custom
    }
