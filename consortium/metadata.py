"""TUF metadata as the consortium writes it: built and signed here, pure.

DSSE envelopes (python-tuf's `SimpleEnvelope`), so that a reader checks the bytes it received and
canonicalizes nothing. Which file follows from which is `consortium.repository`'s business.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from securesystemslib.signer import Key, Signature, Signer, SSlibKey
from tuf.api.dsse import SimpleEnvelope
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    MetaFile,
    Role,
    Root,
    Signed,
    Snapshot,
    T,
    TargetFile,
    Targets,
    Timestamp,
)

from agent.files import sha256_bytes
from agent.wire.documents import ObjectRef, RoleKeys
from agent.wire.repository import CHANNELS, MANIFEST, TARGET_PATHS, Channel
from agent.wire.signed import Signer as Ed25519
from agent.wire.signed import key_id

TOP_ROLES = ("root", "targets", "snapshot", "timestamp")


@dataclass(frozen=True, slots=True)
class Edition:
    """What every file of the repository says of itself; `expires` to the second."""

    version: int
    expires: datetime


class _TufSigner(Signer):
    """Lends one of our keys to python-tuf; its id is what ours is everywhere."""

    def __init__(self, signer: Ed25519) -> None:
        self._signer = signer

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: object = None
    ) -> Signer:
        raise NotImplementedError("keys come from files, never from a URI")

    @property
    def public_key(self) -> Key:
        return _key(self._signer.public_hex)

    def sign(self, payload: bytes) -> Signature:
        return Signature(key_id(self._signer.public_hex), self._signer.sign(payload).hex())


def role_of(threshold: int, public: Iterable[str]) -> RoleKeys:
    """Returns a role's keys (hexadecimal) by their ids."""
    return RoleKeys(threshold=threshold, keys={key_id(one): one for one in public})


def root(edition: Edition, roles: Mapping[str, RoleKeys]) -> Root:
    """Returns a root with the keys of the four top roles."""
    return Root(
        version=edition.version,
        expires=_utc(edition.expires),
        keys={name: _key(public) for one in roles.values() for name, public in one.keys.items()},
        roles={name: Role(sorted(one.keys), one.threshold) for name, one in roles.items()},
        consistent_snapshot=True,
    )


def targets(edition: Edition, channels: Mapping[Channel, RoleKeys]) -> Targets:
    """Returns the top targets, which list nothing and delegate releases to the channels."""
    roles = {
        name: DelegatedRole(
            name,
            sorted(channels[name].keys),
            channels[name].threshold,
            terminating=False,
            paths=[TARGET_PATHS],
        )
        for name in CHANNELS
    }
    keys: dict[str, Key] = {
        name: _key(public) for one in channels.values() for name, public in one.keys.items()
    }
    return Targets(
        version=edition.version,
        expires=_utc(edition.expires),
        delegations=Delegations(keys, {str(name): role for name, role in roles.items()}),
    )


def listing(edition: Edition, files: Mapping[str, TargetFile]) -> Targets:
    """Returns a channel's own targets."""
    return Targets(version=edition.version, expires=_utc(edition.expires), targets=dict(files))


def release_files(
    release_id: str, version: int, objects: Mapping[str, ObjectRef]
) -> dict[str, TargetFile]:
    """Returns a release's files by their paths; the manifest's entry carries the version."""
    files = {}
    for name, reference in objects.items():
        path = f"releases/{release_id}/{name}"
        custom = {"custom": {"version": version}} if name == MANIFEST else None
        files[path] = TargetFile(reference.bytes, {"sha256": reference.sha256}, path, custom)
    return files


def snapshot(edition: Edition, files: Mapping[str, bytes]) -> Snapshot:
    """Returns a snapshot of the targets' files, given by role, as they are now."""
    meta = {f"{role}.json": meta_file(content) for role, content in files.items()}
    return Snapshot(version=edition.version, expires=_utc(edition.expires), meta=meta)


def timestamp(edition: Edition, snapshot_file: bytes) -> Timestamp:
    """Returns a timestamp that names the snapshot."""
    return Timestamp(
        version=edition.version,
        expires=_utc(edition.expires),
        snapshot_meta=meta_file(snapshot_file),
    )


def meta_file(content: bytes) -> MetaFile:
    """Names a file by version, length and hash: none of another time can take its place."""
    version = read(content).version
    return MetaFile(version, len(content), {"sha256": sha256_bytes(content)})


def sign(signed: T, signers: Iterable[Ed25519]) -> bytes:
    """Returns the file: the envelope with a signature of each signer."""
    envelope = SimpleEnvelope.from_signed(signed)
    for signer in signers:
        envelope.sign(_TufSigner(signer))
    return envelope.to_bytes()


def read(content: bytes) -> Signed:
    """Reads a file that this aggregator wrote itself; nothing is verified."""
    return cast("Signed", SimpleEnvelope[Targets].from_bytes(content).get_signed())


def _key(public_hex: str) -> SSlibKey:
    return SSlibKey(key_id(public_hex), "ed25519", "ed25519", {"public": public_hex})


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)
