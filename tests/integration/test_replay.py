"""A masked round's record, fetched over HTTP from a real server, and replayed."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from agent.clock import to_text
from agent.errors import Refused
from agent.exchange.places import Places
from agent.exchange.records import LOG, fetched
from agent.exchange.transport_log import verify
from agent.wire.documents import Enrolment
from agent.wire.masking.record import replay_record
from agent.wire.trusted import Trusted
from consortium.founding import root_sha256
from consortium.serve import build
from tests.unit.consortium.conftest import House
from tests.unit.consortium.test_masked import Masked, begun

_ROUND = "p1.r1.a1"


@contextmanager
def _served(house: House) -> Iterator[str]:
    service = build(house.folder, lambda: house.now)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(service.app, log_config=None, lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            service.store.close()


def _places(masked: Masked, root: Path, url: str) -> Places:
    places, house = Places.under(root), masked.house
    for folder in (places.trust, places.courier):
        folder.mkdir(parents=True)
    house.silos["b"].courier.save(places.courier_key)
    note = Enrolment(
        silo="b",
        consortium="demo",
        url=url,
        root_sha256=root_sha256(house.folder),
        enrolled=to_text(house.now),
    )
    places.enrolment.write_bytes(note.to_bytes())
    return places


@pytest.fixture
def masked(tmp_path: Path) -> Iterator[Masked]:
    found = begun(tmp_path)
    found.round("d")
    yield found
    found.house.store.close()


def test_a_silo_fetches_the_record_and_replays_the_sum(masked: Masked, tmp_path: Path) -> None:
    house = masked.house
    trusted = Trusted(house.folder.trust_root.read_bytes(), root_sha256(house.folder), house.now)
    with _served(house) as url:
        places = _places(masked, tmp_path / "b", url)
        with fetched(places, _ROUND, clock=lambda: house.now) as found:
            done = replay_record(found.record, _ROUND, trusted, found.vector_of)
        assert list(done.uploads.uploads) == ["a", "b", "c"]
        with pytest.raises(Refused) as caught, fetched(places, "p1.r2.a1", clock=lambda: house.now):
            pass
        assert caught.value.code == "no_sum"
        for vector in house.folder.objects.iterdir():
            if vector.name in {one.vector_sha256 for one in done.uploads.uploads.values()}:
                vector.unlink()
        with (
            pytest.raises(Refused, match="vectors_gone"),
            fetched(places, _ROUND, clock=lambda: house.now) as found,
        ):
            replay_record(found.record, _ROUND, trusted, found.vector_of)
    # Every request is accounted for, in a log of their own.
    assert verify(places.courier / LOG).requests == 6 + 3 + 1 + 6 + 1
