"""Where the aggregator keeps what: one folder, and the few settings it was founded with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from agent.errors import Refused, Stop
from agent.keys import Purpose, SigningIdentity, load_signing
from agent.wire.documents import Document, Name, Sha256
from agent.wire.repository import Channel
from agent.wire.signed import Signer


class Settings(Document):
    """What `init` was told; it never changes afterwards.

    Attributes:
        consortium: Name of the consortium, in every document.
        host: Address that `serve` binds and that silos are told.
        port: TCP port, the same for both.
        tls: False only for plain HTTP on a loopback host.
        reference_sha256: Hash of the feature reference set that every silo must reproduce, or
            empty: then the first silo that enrols sets it.
        channel: Where the release of a plan's round goes by itself.
        audit_rounds: Of how many of a plan's last masked rounds the vectors are kept, for whoever
            replays or audits them.
    """

    consortium: Name
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    tls: bool = True
    reference_sha256: Sha256 | None = None
    channel: Channel = "stable"
    audit_rounds: Annotated[int, Field(ge=1, le=500)] = 1

    @property
    def url(self) -> str:
        """The base address that goes into enrolment tokens."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Folder:
    """Names of everything in the aggregator's folder."""

    root: Path

    @property
    def settings_file(self) -> Path:
        """The settings, as JSON."""
        return self.root / "aggregator.json"

    @property
    def database(self) -> Path:
        """The SQLite database: every state is a row in it."""
        return self.root / "aggregator.sqlite3"

    @property
    def keys(self) -> Path:
        """Long-lived private keys, one file a key."""
        return self.root / "keys"

    @property
    def offline(self) -> Path:
        """Where `init` writes keys to be carried away; `serve` never looks here."""
        return self.root / "offline"

    @property
    def aggregator_key(self) -> Path:
        """The online key of rounds, receipts and refusals."""
        return self.keys / "aggregator.key"

    @property
    def trust_root(self) -> Path:
        """The first signed trust root; those after it are in the database, as published."""
        return self.root / "root.json"

    @property
    def certificate(self) -> Path:
        """The TLS certificate, PEM."""
        return self.root / "certificate.pem"

    @property
    def tls_key(self) -> Path:
        """The TLS private key, PEM, mode 0400."""
        return self.keys / "tls.pem"

    @property
    def objects(self) -> Path:
        """Published weights by content hash."""
        return self.root / "objects"

    @property
    def blobs(self) -> Path:
        """Sealed blobs of rounds that are not aggregated yet, by envelope id."""
        return self.root / "blobs"

    @property
    def round_keys(self) -> Path:
        """Sealing keys of rounds that are not aggregated yet, by round id."""
        return self.root / "round_keys"

    @property
    def momenta(self) -> Path:
        """Server momentum of running plans, by content hash; never served."""
        return self.root / "momenta"

    @property
    def lock(self) -> Path:
        """Held by the one serving process."""
        return self.root / "serve.lock"

    def folders(self) -> tuple[Path, ...]:
        """Lists the folders that must exist."""
        return (
            self.keys,
            self.offline,
            self.objects,
            self.blobs,
            self.round_keys,
            self.momenta,
        )


class LiveSigner:
    """A signing key that is read for each signature, so that a rotation needs no restart.

    Args:
        path: The key's file.
        purpose: What it is for.

    Raises:
        Stop: It is missing, open to others, or damaged.
    """

    def __init__(self, path: Path, purpose: Purpose) -> None:
        self._path = path
        self._purpose: Purpose = purpose
        self._load()

    def _load(self) -> SigningIdentity:
        return load_signing(self._path, self._purpose)

    @property
    def public_hex(self) -> str:
        """The public half, 32 bytes in hexadecimal."""
        return self._load().public_hex

    def sign(self, message: bytes) -> bytes:
        """Returns the 64-byte Ed25519 signature of the message."""
        return self._load().sign(message)


@dataclass(frozen=True, slots=True)
class Signers:
    """The consortium's online signing keys, one for each purpose.

    The officers' keys, which sign roots, rosters, plans and catalogues, are not among them.

    Attributes:
        aggregator: Signs rounds, receipts and refusals.

    Releases have keys of their own (`consortium.repository`).
    """

    aggregator: Signer


def load_settings(folder: Folder) -> Settings:
    """Reads the settings.

    Raises:
        Stop: The folder is not an aggregator's, or the file is damaged.
    """
    try:
        return Settings.parse(folder.settings_file.read_bytes())
    except OSError as error:
        raise Stop(
            f"{folder.root} is no aggregator's folder; run `onggi-aggregator init {folder.root}`."
        ) from error
    except Refused as error:
        raise Stop(f"{folder.settings_file} is damaged; restore it: {error.reason}") from error


def load_signers(folder: Folder) -> Signers:
    """Reads the online signing keys.

    Raises:
        Stop: A key is missing, open to others, or damaged.
    """
    return Signers(
        aggregator=LiveSigner(folder.aggregator_key, "aggregator"),
    )


def load_officers(paths: Sequence[Path]) -> tuple[SigningIdentity, ...]:
    """Reads officers' keys where they are at hand.

    Raises:
        Stop: A key is missing, open to others, damaged, or no officer's.
    """
    return tuple(load_signing(path, "officer") for path in paths)
