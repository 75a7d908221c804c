"""The release repository: TUF metadata verified from files, offline and without I/O.

The rules are those of the TUF specification's client workflow (section 5), over python-tuf's own
metadata, thresholds and hashes; a test holds them to its `TrustedMetadataSet`. That class itself
comes with a network client, whose import alone opens a socket, and the keeper opens none.

What python-tuf's client keeps on disk is a cache that is not fsynced: with its files zeroed by a
power cut, or with the clock set back, it takes an old repository. So here every state is verified
from the pinned first root, and the caller brings what must not be forgotten: a floor under each
role's version, and a time that never falls. Both live in the ledger.

Files are DSSE envelopes, as everything that is signed here: signatures cover the bytes as received
(python-tuf: `EnvelopeType.SIMPLE`).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, TypeVar

from pydantic import Field
from tuf.api.dsse import SimpleEnvelope
from tuf.api.exceptions import LengthOrHashMismatchError, UnsignedMetadataError
from tuf.api.metadata import (
    DelegatedRole,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    Targets,
    Timestamp,
)

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.wire import strict_json
from agent.wire.document import Document
from agent.wire.documents import ObjectRef
from agent.wire.signed import parse

Channel = Literal["canary", "stable"]
CHANNELS: tuple[Channel, ...] = ("stable", "canary")
MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
GOLDEN = "golden.json"
TUF_TYPE = "application/vnd.tuf+json"
# One folder deep: a delegation covers the files of releases, and nothing else of the repository.
TARGET_PATHS = "releases/*/*"

_TARGET = re.compile(r"releases/([a-z0-9][a-z0-9._-]{0,62})/([a-z0-9][a-z0-9._-]{0,62})")
# A silo of the canary channel takes what is stable, too.
_SEEN: Mapping[Channel, tuple[Channel, ...]] = {
    "stable": ("stable",),
    "canary": ("canary", "stable"),
}

Floor = Callable[[str], int]
_File = TypeVar("_File", bound=Signed)


class RepositoryFiles(Document):
    """One state of the repository's metadata, as one letter: each file's text as it was signed.

    Attributes:
        roots: Every root from version 1 on, so that a silo can walk from the one it pinned.
        channels: The delegated targets by channel.
    """

    kind: Literal["repository"] = "repository"
    roots: Annotated[tuple[str, ...], Field(min_length=1)]
    timestamp: str
    snapshot: str
    targets: str
    channels: dict[Channel, str]


@dataclass(frozen=True, slots=True)
class Offer:
    """A release that a channel lists.

    Attributes:
        release_id: Its name.
        version: Of the release; silos take rising ones only.
        files: By name, e.g. `manifest.json`; each by content hash and length.
    """

    release_id: str
    version: int
    files: Mapping[str, ObjectRef]


@dataclass(frozen=True, slots=True)
class Repository:
    """A state of the repository that was verified as a whole.

    Attributes:
        floors: By name: what the ledger's floors are to be raised to.
        offers: The releases of the silo's channel, oldest version first.
        fresh_until: When this state must have been followed by another (the timestamp's expiry).
    """

    floors: Mapping[str, int]
    offers: tuple[Offer, ...]
    fresh_until: datetime


def verify_repository(
    files: RepositoryFiles, pinned_sha256: str, channel: Channel, now: datetime, floor: Floor
) -> Repository:
    """Verifies a state of the repository from its first root to the channel's targets.

    Args:
        files: The metadata as a carrier brought it.
        pinned_sha256: SHA-256 of the first root's file, which the trust root names.
        channel: The silo's own.
        now: The latest time that this host has ever shown, so that no clock set back makes an
            expired file good.
        floor: Returns the version under a name below which a file is old; 0 where none is known.

    Raises:
        Refused: `wrong_root`, `too_few_signatures`, `expired`, `rolled_back`, `mixed_metadata` (a
            file is not the one that the file before it names), `missing_channel`,
            `outside_delegation`, `malformed`, or a code of `signed.parse`.
    """
    walk = _Walk(now, floor)
    root = _walk_roots(files.roots, pinned_sha256)
    walk.accept("root", root, [pinned_sha256])
    timestamp = walk.take("timestamp", files.timestamp, Timestamp, root, None)
    snapshot = walk.take("snapshot", files.snapshot, Snapshot, root, timestamp.snapshot_meta)
    targets = walk.take("targets", files.targets, Targets, root, _named_file(snapshot, "targets"))
    offers: dict[str, Offer] = {}
    for name in _SEEN[channel]:
        role = _delegation(targets, name)
        text = files.channels.get(name)
        if text is None:
            raise Refused("missing_channel", f"The repository's {name} channel did not come along.")
        listed = walk.take(name, text, Targets, targets, _named_file(snapshot, name))
        offers.update(_offers(listed, role))  # where both list a release, stable has the last word
    ordered = tuple(sorted(offers.values(), key=lambda offer: offer.version))
    return Repository(walk.floors, ordered, timestamp.expires)


def newest_files(files: RepositoryFiles, channel: Channel) -> tuple[ObjectRef, ...]:
    """Lists what the newest release of each channel that a silo follows consists of.

    For carriers, which must know what to bring: nothing is verified here.

    Raises:
        Refused: A file cannot be read.
    """
    wanted: list[ObjectRef] = []
    for name in _SEEN[channel]:
        with _named(name):
            payload = parse(_strict(files.channels[name])).payload
            listed = Targets.from_dict(_fields(payload))
            everything = DelegatedRole(name, [], 1, terminating=False, paths=[TARGET_PATHS])
            offers = _offers(listed, everything).values()
        if newest := max(offers, key=lambda offer: offer.version, default=None):
            wanted.extend(newest.files.values())
    return tuple(wanted)


class _Walk:
    """From one file to the next, each above its floor and not expired."""

    def __init__(self, now: datetime, floor: Floor) -> None:
        self.floors: dict[str, int] = {}
        self._now = now
        self._floor = floor

    def take(
        self,
        role: str,
        text: str,
        kind: type[_File],
        delegator: Root | Targets,
        meta: MetaFile | None,
    ) -> _File:
        signed = _read(role, text, kind, delegator, meta)
        if isinstance(delegator, Root):
            self.accept(role, signed, delegator.roles[role].keyids)
        else:
            self.accept(role, signed, _delegation(delegator, role).keyids)
        return signed

    def accept(self, role: str, signed: Signed, key_ids: list[str]) -> None:
        # A new key begins a new floor: else whoever once stole an online key could sign the
        # highest version of all, and no rotation would ever help (TUF 5.3.11, fast-forward).
        # The root's floor belongs to the first root: to a repository that is founded anew, too.
        name = f"tuf {role} {_fingerprint(key_ids)}"
        if signed.version < self._floor(name):
            reason = f"Version {signed.version} of {role} is older than {self._floor(name)}."
            raise Refused("rolled_back", reason)
        self.floors[name] = signed.version
        if signed.is_expired(self._now):
            raise Refused(
                "expired",
                f"The repository's {role} expired at {signed.expires.isoformat()}: somebody holds "
                "back what came since, or the consortium has not signed it again.",
            )


def _walk_roots(roots: tuple[str, ...], pinned_sha256: str) -> Root:
    if sha256_bytes(roots[0].encode()) != pinned_sha256:
        raise Refused("wrong_root", "The repository's first root is not the one that was pinned.")
    trusted = _read("root", roots[0], Root, None, None)
    for text in roots[1:]:
        following = _read("root", text, Root, trusted, None)
        if following.version != trusted.version + 1:
            raise Refused("mixed_metadata", "A root is not the one after the root before it.")
        trusted = following
    return trusted


def _read(
    role: str, text: str, kind: type[_File], delegator: Root | Targets | None, meta: MetaFile | None
) -> _File:
    """Verifies one file against the file that delegates to it and the one that names it."""
    content = _strict(text)
    with _named(role):
        if meta is not None:
            meta.verify_length_and_hashes(content)
        envelope = SimpleEnvelope[Root].from_bytes(content)
        if delegator is not None:  # before anything of the payload is read
            delegator.verify_delegate(role, envelope.pae(), envelope.signatures)
        signed: Signed = envelope.get_signed()
        if not isinstance(signed, kind):
            raise Refused("malformed", f"The {role} metadata is that of another role.")
        if isinstance(signed, Root):  # each root by its own keys, too
            signed.verify_delegate(role, envelope.pae(), envelope.signatures)
    if meta is not None and signed.version != meta.version:
        raise _mixed(role)
    return signed


def _named_file(snapshot: Snapshot, role: str) -> MetaFile:
    if (meta := snapshot.meta.get(f"{role}.json")) is None:
        raise Refused("mixed_metadata", f"The snapshot does not name {role}.")
    return meta


def _mixed(role: str) -> Refused:
    return Refused(
        "mixed_metadata", f"The {role} is not the one that the metadata before it names."
    )


def _delegation(targets: Targets, name: str) -> DelegatedRole:
    roles = targets.delegations.roles if targets.delegations is not None else None
    if roles is None or name not in roles:
        raise Refused("missing_channel", f"The offline keys name no keys for the channel {name}.")
    return roles[name]


def _offers(listed: Targets, role: DelegatedRole) -> dict[str, Offer]:
    files: dict[str, dict[str, ObjectRef]] = {}
    versions: dict[str, int] = {}
    for path, target in listed.targets.items():
        place = _TARGET.fullmatch(path)
        if place is None or not role.is_delegated_path(path):
            raise Refused("outside_delegation", f"The {role.name} keys may not sign {path[:80]!r}.")
        with _named(role.name):
            fields = {"sha256": target.hashes["sha256"], "bytes": target.length}
            files.setdefault(place[1], {})[place[2]] = ObjectRef.model_validate(fields)
            if place[2] == MANIFEST:
                versions[place[1]] = int((target.custom or {})["version"])
    return {name: Offer(name, version, files[name]) for name, version in versions.items()}


def _fingerprint(key_ids: list[str]) -> str:
    return sha256_bytes(" ".join(sorted(key_ids)).encode())[:16]


def _strict(text: str) -> bytes:
    # python-tuf parses with `json.loads`, which takes the last of two equal keys and NaN; and it
    # reads an envelope's payload before it has checked a signature.
    content = text.encode()
    container = parse(content)
    if container.payload_type != TUF_TYPE:
        raise Refused("wrong_type", f"This is {container.payload_type[:80]!r}, no TUF metadata.")
    strict_json.loads(container.payload)
    return content


def _fields(payload: bytes) -> dict[str, object]:
    value = strict_json.loads(payload)
    if not isinstance(value, dict):
        raise Refused("malformed", "The metadata is no JSON object.")
    return dict(value.items())


@contextmanager
def _named(role: str) -> Iterator[None]:
    """Gives python-tuf's refusals the names that they have here."""
    try:
        yield
    except Refused:
        raise
    except UnsignedMetadataError as error:
        reason = f"Too few of the keys that may sign {role} have signed it."
        raise Refused("too_few_signatures", reason) from error
    except LengthOrHashMismatchError as error:
        raise _mixed(role) from error
    except Exception as error:
        # Whatever python-tuf's readers meet in a field of the wrong type comes through.
        raise Refused("malformed", f"The {role} metadata is malformed.") from error
