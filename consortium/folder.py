"""Where the aggregator keeps what: one folder, and the few settings it was founded with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from agent.errors import Refused, Stop
from agent.keys import SigningIdentity, load_signing
from agent.wire.documents import Document, Name, Sha256
from agent.wire.repository import Channel


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
    """

    consortium: Name
    host: str
    port: Annotated[int, Field(ge=1, le=65535)]
    tls: bool = True
    reference_sha256: Sha256 | None = None
    channel: Channel = "stable"

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
        """Keys that `init` made to be carried away; `serve` needs none of them."""
        return self.root / "offline"

    @property
    def trust_root(self) -> Path:
        """The signed trust root."""
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


@dataclass(frozen=True, slots=True)
class Signers:
    """The consortium's signing keys, one for each purpose.

    Attributes:
        offline: Signs rosters, plans and catalogues. The reference aggregator keeps it at hand,
            because it enrols by itself; a consortium with an offline ceremony keeps it away.
        aggregator: Signs rounds, receipts and refusals.

    Releases have keys of their own (`consortium.repository`).
    """

    offline: SigningIdentity
    aggregator: SigningIdentity


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
    """Reads the signing keys.

    Raises:
        Stop: A key is missing, open to others, or damaged.
    """
    return Signers(
        offline=load_signing(folder.keys / "offline.key", "root"),
        aggregator=load_signing(folder.keys / "aggregator.key", "aggregator"),
    )
