"""The release repository: TUF metadata verified from files, offline and without I/O.

The rules are those of the TUF specification's client workflow, and python-tuf's own
`TrustedMetadataSet` applies them. What it keeps on disk is a cache that is not fsynced: with its
files zeroed by a power cut, or with the clock set back, it takes an old repository. So here it
starts from the pinned first root each time, and the caller brings what must not be forgotten: a
floor under each role's version, and a time that never falls. Both live in the ledger.

Files are DSSE envelopes, as everything that is signed here: signatures cover the bytes as received
(python-tuf: `EnvelopeType.SIMPLE`).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field
from tuf.api.exceptions import (
    BadVersionNumberError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    UnsignedMetadataError,
)
from tuf.api.metadata import DelegatedRole, Delegations, Targets
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

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
    trusted = _walk_roots(files.roots, pinned_sha256, now)
    floors: dict[str, int] = {}

    def rise(role: str, version: int, key_ids: list[str]) -> None:
        # A new key begins a new floor: else whoever once stole an online key could sign the
        # highest version of all, and no rotation would ever help (TUF 5.3.11, fast-forward).
        name = "tuf root" if role == "root" else f"tuf {role} {_fingerprint(key_ids)}"
        if version < floor(name):
            reason = f"Version {version} of {role} is older than {floor(name)}, seen before."
            raise Refused("rolled_back", reason)
        floors[name] = version

    root = trusted.root
    rise("root", root.version, [])
    with _named("timestamp"):
        timestamp = trusted.update_timestamp(_strict(files.timestamp))
    rise("timestamp", timestamp.version, root.roles["timestamp"].keyids)
    with _named("snapshot"):
        snapshot = trusted.update_snapshot(_strict(files.snapshot))
    rise("snapshot", snapshot.version, root.roles["snapshot"].keyids)
    with _named("targets"):
        targets = trusted.update_targets(_strict(files.targets))
    rise("targets", targets.version, root.roles["targets"].keyids)
    offers: dict[str, Offer] = {}
    for name in _SEEN[channel]:
        role = _delegation(targets.delegations, name)
        text = files.channels.get(name)
        if text is None:
            raise Refused("missing_channel", f"The repository's {name} channel did not come along.")
        with _named(name):
            listed = trusted.update_delegated_targets(_strict(text), name, "targets")
        rise(name, listed.version, role.keyids)
        offers.update(_offers(listed, role))  # where both list a release, stable has the last word
    ordered = tuple(sorted(offers.values(), key=lambda offer: offer.version))
    return Repository(floors, ordered, timestamp.expires)


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


def _walk_roots(roots: tuple[str, ...], pinned_sha256: str, now: datetime) -> TrustedMetadataSet:
    first = _strict(roots[0])
    if sha256_bytes(first) != pinned_sha256:
        raise Refused("wrong_root", "The repository's first root is not the one that was pinned.")
    with _named("root"):
        trusted = TrustedMetadataSet(first, EnvelopeType.SIMPLE)
        trusted.reference_time = now  # it has read the clock itself, and nothing was judged yet
        for following in roots[1:]:
            trusted.update_root(_strict(following))
    return trusted


def _delegation(delegations: Delegations | None, name: str) -> DelegatedRole:
    roles = delegations.roles if delegations is not None else None
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
    except ExpiredMetadataError as error:
        reason = f"The repository is older than it may be: {error}."
        raise Refused("expired", reason) from error
    except (BadVersionNumberError, LengthOrHashMismatchError) as error:
        reason = f"The {role} is not the one that the metadata before it names."
        raise Refused("mixed_metadata", reason) from error
    except Exception as error:
        # Whatever python-tuf's readers meet in a field of the wrong type comes through.
        raise Refused("malformed", f"The {role} metadata is malformed.") from error
