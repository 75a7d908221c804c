"""Records from a folder and over HTTP; what lacks, or came with other bytes, is said by name."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent import clock
from agent.errors import Refused, Stop
from agent.exchange.places import Places
from agent.exchange.records import LOG, Fetched, fetched, from_folder
from agent.exchange.transport_log import verify
from agent.files import sha256_bytes
from agent.keys import new_signing
from agent.wire.documents import Enrolment
from agent.wire.masking.record import PARTS
from tests.kit.served import served

_VECTOR = b"\1\2\3\4" * 9


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in PARTS:
        (tmp_path / f"{part}.json").write_text(part)
    (tmp_path / sha256_bytes(_VECTOR)).write_bytes(_VECTOR)
    return tmp_path


def test_a_record_is_read_from_a_folder(folder: Path) -> None:
    found = from_folder(folder)
    assert found.record == {part: part.encode() for part in PARTS}
    assert found.vector_of(sha256_bytes(_VECTOR)) == _VECTOR


def test_what_is_missing_or_no_file_is_said(folder: Path) -> None:
    (folder / "sum.json").unlink()
    with pytest.raises(Stop, match=r"sum\.json.*onggi-aggregator record"):
        from_folder(folder)
    (folder / "sum.json").symlink_to(folder / "plan.json")
    with pytest.raises(Stop, match=r"sum\.json"):
        from_folder(folder)


def test_a_vector_with_other_bytes_is_refused(folder: Path) -> None:
    (folder / sha256_bytes(_VECTOR)).write_bytes(b"other")
    with pytest.raises(Refused, match="damaged_object"):
        from_folder(folder).vector_of(sha256_bytes(_VECTOR))


@pytest.fixture
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    places = Places.under(tmp_path_factory.mktemp("silo"))
    for path in (places.trust, places.courier):
        path.mkdir()
    new_signing("courier").save(places.courier_key)
    return places


@contextmanager
def _asked(places: Places, folder: Path) -> Iterator[Fetched]:
    with served(folder) as url:
        note = Enrolment(
            silo="a",
            consortium="demo",
            url=url,
            root_sha256="00" * 32,
            enrolled="2026-01-01T00:00:00Z",
        )
        places.enrolment.write_bytes(note.to_bytes())
        with fetched(places, "p1.r1.a1", clock=clock.now) as found:
            yield found


def test_a_record_is_fetched_and_every_request_of_it_is_logged(
    folder: Path, places: Places
) -> None:
    with _asked(places, folder) as found:
        assert found.record == {part: part.encode() for part in PARTS}
        assert found.vector_of(sha256_bytes(_VECTOR)) == _VECTOR
    assert verify(places.courier / LOG).requests == len(PARTS) + 1


def test_a_part_that_the_aggregator_has_not_is_refused_with_its_code(
    folder: Path, places: Places
) -> None:
    (folder / "sum.json").unlink()
    with pytest.raises(Refused, match="no_sum"), _asked(places, folder):
        pass
    assert verify(places.courier / LOG).requests == len(PARTS)


@pytest.mark.parametrize("code", ["vectors_gone", "damaged_object", "wrong_offset"])
def test_a_vector_that_does_not_come_is_said(folder: Path, places: Places, code: str) -> None:
    vector = folder / sha256_bytes(_VECTOR)
    match code:
        case "vectors_gone":
            vector.unlink()
        case "damaged_object":
            vector.write_bytes(b"other")
        case _:
            vector.with_name(f"{vector.name}.conflict").touch()
    with _asked(places, folder) as found, pytest.raises(Refused) as caught:
        found.vector_of(sha256_bytes(_VECTOR))
    assert caught.value.code == code
