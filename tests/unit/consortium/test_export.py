"""An exported repository: for our own silo, and for python-tuf's client as it stands."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig
from tuf.ngclient.config import EnvelopeType

from agent.boxes import Inbox
from agent.clock import now
from agent.errors import Refused, Stop
from agent.exchange.stick import bring_repository
from agent.wire.repository import MANIFEST, WEIGHTS
from agent.wire.trusted import Trusted
from consortium.export import export
from consortium.folder import Folder, Settings
from consortium.founding import found, root_sha256
from consortium.objects import put_object
from consortium.repository import Listed, open_repository
from consortium.store import Store


class _Files(FetcherInterface):
    """Fetches from a folder."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = Path(url.removeprefix("file:"))
        if not path.exists():
            raise DownloadHTTPError("not found", 404)
        yield path.read_bytes()


class Publisher:
    """A consortium that was founded today: python-tuf's client reads the clock."""

    def __init__(self, root: Path) -> None:
        self.folder = Folder(root / "aggregator")
        self.now = now()
        settings = Settings(consortium="c", host="127.0.0.1", port=8443, tls=False)
        found(self.folder.root, settings, self.now)
        self.store = Store(self.folder.database)

    def publish(self, version: int) -> None:
        objects = {
            MANIFEST: put_object(self.folder.objects, f"manifest {version}".encode()),
            WEIGHTS: put_object(self.folder.objects, f"weights {version}".encode()),
        }
        listed = Listed(f"release-{version}", version, "stable")
        with self.store.writing() as session:
            open_repository(self.folder).publish(session, listed, objects, self.now)

    def export(self, out: Path) -> int:
        with self.store.reading() as session:
            return export(session, self.folder.objects, out)


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    made = Publisher(tmp_path)
    yield made
    made.store.close()


def test_an_export_comes_in_at_a_silo(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish(1)
    publisher.publish(2)
    assert publisher.export(tmp_path / "out") == 2
    inbox = Inbox(tmp_path / "inbox")
    (tmp_path / "inbox" / "objects").mkdir(parents=True)
    assert bring_repository(tmp_path / "out", inbox, "stable") == 2
    (letter,) = inbox.letters()
    folder = publisher.folder
    trusted = Trusted(folder.trust_root.read_bytes(), root_sha256(folder), publisher.now)
    found = trusted.take_repository(letter.content, "stable", publisher.now, lambda _: 0)
    assert [offer.release_id for offer in found.offers] == ["release-1", "release-2"]
    weights = found.offers[-1].files[WEIGHTS]
    assert inbox.object_path(weights.sha256).read_bytes() == b"weights 2"


def _client(out: Path, cache: Path) -> Updater:
    cache.mkdir(exist_ok=True)
    return Updater(
        str(cache),
        f"file:{out}/metadata/",
        str(cache),
        f"file:{out}/targets/",
        _Files(),
        UpdaterConfig(envelope_type=EnvelopeType.SIMPLE),
        bootstrap=(out / "metadata" / "1.root.json").read_bytes(),
    )


def test_python_tufs_own_client_reads_an_export(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish(1)
    publisher.export(tmp_path / "out")
    client = _client(tmp_path / "out", tmp_path / "cache")
    info = client.get_targetinfo("releases/release-1/weights.safetensors")
    assert info is not None
    assert Path(client.download_target(info)).read_bytes() == b"weights 1"


def test_why_floors_python_tuf_alone_takes_an_old_repository_after_a_power_cut(
    publisher: Publisher, tmp_path: Path
) -> None:
    """The row of the attack table that the ledger's floors are for."""
    publisher.publish(1)
    publisher.export(tmp_path / "old")
    publisher.publish(2)
    publisher.export(tmp_path / "new")
    cache = tmp_path / "cache"
    new = _client(tmp_path / "new", cache)
    assert new.get_targetinfo("releases/release-2/weights.safetensors") is not None
    for path in cache.rglob("*.json"):
        path.write_bytes(b"\0" * path.stat().st_size)
    old = _client(tmp_path / "old", cache)
    assert old.get_targetinfo("releases/release-1/weights.safetensors") is not None
    assert old.get_targetinfo("releases/release-2/weights.safetensors") is None


def test_an_export_never_replaces_a_folder(publisher: Publisher, tmp_path: Path) -> None:
    publisher.export(tmp_path / "out")
    with pytest.raises(Stop, match="exists"):
        publisher.export(tmp_path / "out")


def test_an_export_that_breaks_off_leaves_nothing(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish(1)
    shutil.rmtree(publisher.folder.objects)
    publisher.folder.objects.mkdir()
    with pytest.raises(Refused, match="unknown_object"):
        publisher.export(tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"aggregator"}
