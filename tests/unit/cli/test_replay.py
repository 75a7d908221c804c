"""`onggi replay`: the sum of a round that this silo was in, and what it says when it is another."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from agent import clock
from agent.cli.main import onggi
from agent.clock import to_text
from agent.errors import Refused, Stop, TryLater
from agent.files import write_atomic
from agent.wire.documents import Enrolment
from consortium.founding import root_sha256
from consortium.record import write_record
from consortium.store import newest
from tests.kit.served import served
from tests.unit.keeper.test_masking import World, _draft

pytestmark = pytest.mark.slow
_ROUND = "p1.r1.a1"


class Replayed:
    """Six silos after a masked round, its record in a folder, and silo a's configuration."""

    def __init__(self, root: Path) -> None:
        self.world = World(root, _draft())
        for _ in range(5):
            self.world.turn()
        house, state = self.world.house, root / "a"
        self.record, self.config = root / "record", root / "onggi.toml"
        with house.store.reading() as session:
            write_record(session, _ROUND, house.folder.objects, self.record)
            documents = {kind: newest(session, kind).document for kind in ("roster", "catalogue")}
        (state / "trust").mkdir()
        (state / "trust" / "root.json").write_bytes(house.folder.trust_root.read_bytes())
        for kind, content in documents.items():
            (state / "trust" / f"{kind}.json").write_bytes(content)
        self.enrol("http://127.0.0.1:1")
        self.config.write_text(f'[site]\nstate = "{state}"\n')

    def enrol(self, url: str) -> None:
        """Notes where silo a's aggregator is."""
        house = self.world.house
        note = Enrolment(
            silo="a",
            consortium="demo",
            url=url,
            root_sha256=root_sha256(house.folder),
            enrolled=to_text(house.now),
        )
        path = self.config.parent / "a" / "trust" / "enrolment.json"
        path.write_bytes(note.to_bytes())

    def run(self, *words: str) -> Result:
        asked = ("--config", str(self.config), "replay", *words)
        return CliRunner().invoke(onggi, asked, standalone_mode=False)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replayed]:
    found = Replayed(tmp_path_factory.mktemp("replay"))
    yield found
    found.world.close()


@pytest.fixture(autouse=True)
def _then(replayed: Replayed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: replayed.world.house.now)


def test_it_says_that_the_sum_is_right_and_whose_it_is(replayed: Replayed) -> None:
    done = replayed.run(_ROUND, "--from", str(replayed.record))
    assert done.exception is None, done.exception
    assert f"The sum of {_ROUND} is what its vectors and seeds come to, bit by bit" in done.stdout
    assert "In it: a, b, c, d, e, f. Nobody dropped out." in done.stdout
    assert "This silo's own upload is in it as it was sent (a)." in done.stdout
    told = json.loads(replayed.run(_ROUND, "--from", str(replayed.record), "--json").stdout)
    assert (told["own"], told["dropped"]) == ("a", [])
    assert told["groups"] == {"head.logd": 6, "trunk": 6}


def test_without_an_upload_of_its_own_it_says_so(replayed: Replayed) -> None:
    ledger = replayed.world.silos["a"].ledger
    kept = ledger.document("masked", f"{_ROUND}/upload") or b""
    ledger.drop_document("masked", f"{_ROUND}/upload")
    try:
        done = replayed.run(_ROUND, "--from", str(replayed.record))
        assert "This silo has no upload in it." in done.stdout
    finally:
        ledger.put_document("masked", f"{_ROUND}/upload", kept, replayed.world.house.now)


def test_other_documents_than_this_silo_was_handed_are_equivocation(replayed: Replayed) -> None:
    ledger = replayed.world.silos["a"].ledger
    kept = ledger.document("handout", f"{_ROUND}/keys") or b""
    ledger.drop_document("handout", f"{_ROUND}/keys")
    ledger.put_document("handout", f"{_ROUND}/keys", b"another", replayed.world.house.now)
    try:
        done = replayed.run(_ROUND, "--from", str(replayed.record))
        assert isinstance(done.exception, Refused)
        assert done.exception.code == "equivocation"
    finally:
        ledger.drop_document("handout", f"{_ROUND}/keys")
        ledger.put_document("handout", f"{_ROUND}/keys", kept, replayed.world.house.now)


def test_an_altered_vector_is_refused(replayed: Replayed, tmp_path: Path) -> None:
    for path in replayed.record.iterdir():
        write_atomic(tmp_path / path.name, path.read_bytes())
    victim = next(path for path in tmp_path.iterdir() if not path.suffix)
    victim.write_bytes(victim.read_bytes()[:-1] + b"\7")
    done = replayed.run(_ROUND, "--from", str(tmp_path))
    assert isinstance(done.exception, Refused)
    assert done.exception.code == "damaged_object"


def test_a_folder_without_a_record_and_a_strange_id_are_said(
    replayed: Replayed, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert isinstance(replayed.run(_ROUND, "--from", str(empty)).exception, Stop)
    assert isinstance(replayed.run("../x").exception, click.BadParameter)


def test_it_asks_the_aggregator_where_no_folder_is_named(replayed: Replayed) -> None:
    courier = replayed.config.parent / "a" / "courier"
    courier.mkdir(exist_ok=True)
    replayed.world.house.silos["a"].courier.save(courier / "courier.key")
    try:
        with served(replayed.record) as url:
            replayed.enrol(url)
            done = replayed.run(_ROUND)
        assert done.exception is None, done.exception
        assert "This silo's own upload is in it as it was sent (a)." in done.stdout
        assert isinstance(replayed.run(_ROUND).exception, TryLater)  # it is away again
    finally:
        (courier / "courier.key").unlink()


def test_without_a_couriers_key_nothing_is_asked(replayed: Replayed) -> None:
    (replayed.config.parent / "a" / "courier").mkdir(exist_ok=True)
    done = replayed.run(_ROUND)
    assert isinstance(done.exception, Stop)  # this silo's courier has no key
    assert "courier" in str(done.exception)
