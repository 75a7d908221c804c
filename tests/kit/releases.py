"""A release repository in memory, with its keys in reach: it signs what a test wants to forge."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from agent.files import sha256_bytes
from agent.keys import SigningIdentity, new_signing
from agent.wire.documents import ObjectRef
from agent.wire.repository import CHANNELS, Channel, RepositoryFiles
from consortium import metadata
from consortium.metadata import TOP_ROLES, Edition, role_of

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile

OFFLINE = ("root", "targets")


def reference(content: bytes) -> ObjectRef:
    return ObjectRef(sha256=sha256_bytes(content), bytes=len(content))


class Releases:
    """The repository: root and targets 2 of 3, the rest one key each.

    Args:
        now: What is signed holds from here.
        days: For so long.
    """

    def __init__(self, now: datetime, days: float = 30) -> None:
        self.now = now
        self.days = days
        self.keys: dict[str, list[SigningIdentity]] = {}
        for role in (*TOP_ROLES, *CHANNELS):
            count = 3 if role in OFFLINE else 1
            self.keys[role] = [new_signing("tuf-root") for _ in range(count)]
        self.versions = dict.fromkeys(self.keys, 0)
        self.listed: dict[Channel, dict[str, TargetFile]] = {name: {} for name in CHANNELS}
        self.files: dict[str, bytes] = {}
        self.roots: list[bytes] = []
        self.sign_root()
        self.root_sha256 = sha256_bytes(self.roots[0])
        self.sign_targets()

    def edition(self, role: str) -> Edition:
        self.versions[role] += 1
        return Edition(self.versions[role], self.now + timedelta(days=self.days))

    def signers(self, role: str) -> list[SigningIdentity]:
        return self.keys[role][: 2 if role in OFFLINE else 1]

    def sign_root(self, *signers: SigningIdentity) -> bytes:
        roles = {
            name: role_of(len(self.signers(name)), [key.public_hex for key in self.keys[name]])
            for name in TOP_ROLES
        }
        root = metadata.root(self.edition("root"), roles)
        self.roots.append(metadata.sign(root, signers or self.signers("root")))
        return self.roots[-1]

    def sign_targets(self, *signers: SigningIdentity) -> None:
        channels = {
            name: role_of(1, [key.public_hex for key in self.keys[name]]) for name in CHANNELS
        }
        made = metadata.targets(self.edition("targets"), channels)
        self.files["targets"] = metadata.sign(made, signers or self.signers("targets"))

    def list(
        self, release_id: str, version: int, objects: Mapping[str, ObjectRef], *channels: Channel
    ) -> None:
        for name in channels or ("stable",):
            self.listed[name] |= metadata.release_files(release_id, version, objects)

    def sign_channel(self, name: Channel, *signers: SigningIdentity) -> None:
        made = metadata.listing(self.edition(name), self.listed[name])
        self.files[name] = metadata.sign(made, signers or self.signers(name))

    def sign_snapshot(self, *signers: SigningIdentity) -> None:
        named = {role: self.files[role] for role in ("targets", *CHANNELS)}
        made = metadata.snapshot(self.edition("snapshot"), named)
        self.files["snapshot"] = metadata.sign(made, signers or self.signers("snapshot"))

    def sign_timestamp(self, *signers: SigningIdentity) -> None:
        made = metadata.timestamp(self.edition("timestamp"), self.files["snapshot"])
        self.files["timestamp"] = metadata.sign(made, signers or self.signers("timestamp"))

    def state(self) -> RepositoryFiles:
        """Signs everything below the targets anew and returns all of it."""
        for name in CHANNELS:
            self.sign_channel(name)
        return self.sealed()

    def sealed(self) -> RepositoryFiles:
        """Signs snapshot and timestamp of what there is and returns all of it."""
        self.sign_snapshot()
        self.sign_timestamp()
        return self.gathered()

    def gathered(self) -> RepositoryFiles:
        """Returns the files as they are."""
        return RepositoryFiles(
            roots=tuple(root.decode() for root in self.roots),
            timestamp=self.files["timestamp"].decode(),
            snapshot=self.files["snapshot"].decode(),
            targets=self.files["targets"].decode(),
            channels={name: self.files[name].decode() for name in CHANNELS},
        )
