"""The folder at the aggregator: taken as if uploaded, and answered only for whom it knows."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.clock import to_text
from agent.files import sha256_bytes
from agent.keys import SigningIdentity, new_signing
from agent.wire.carrying import FeedRequest
from agent.wire.documents import Feed
from agent.wire.signed import parse, sign
from consortium.carrying import Carried, FolderDesk, describe
from consortium.tables import PublishedRow

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House, Sealed


class Trip:
    """A stick, and the aggregator at which it is plugged in."""

    def __init__(self, house: "House", root: Path) -> None:
        self.house = house
        self.root = root
        root.mkdir()

    def carry(self, target: Path | None = None) -> Carried:
        desk = FolderDesk(self.house.store, self.house.folder, self.house.desk, "demo")
        return desk.carry(self.root, target or self.root, self.house.now)

    def put(self, silo: str, sealed: "Sealed") -> None:
        folder = self.root / "up" / silo
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{sealed.envelope_id}.header").write_bytes(sealed.header)
        (folder / f"{sealed.envelope_id}.blob").write_bytes(sealed.blob)

    def ask(
        self,
        silo: str,
        /,
        after: int = 0,
        signer: SigningIdentity | None = None,
        changes: dict[str, str] | None = None,
    ) -> None:
        request = FeedRequest(
            consortium="demo", silo=silo, after=after, created=to_text(self.house.now)
        ).model_copy(update=changes or {})
        key = signer or self.house.silos[silo].courier
        folder = self.root / "up" / silo
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "request").write_bytes(sign("feed_request", request.to_bytes(), key))

    def down(self, silo: str, start: str) -> list[Path]:
        folder = self.root / "down" / silo
        return sorted(p for p in folder.glob(f"{start}*")) if folder.is_dir() else []

    def reasons(self) -> str:
        return "\n".join(aside.reason for aside in self.carry().asides)


@pytest.fixture
def trip(running: "House", tmp_path: Path) -> Trip:
    return Trip(running, tmp_path / "stick")


def test_an_envelope_from_a_folder_gets_the_same_receipt_for_ever(trip: Trip) -> None:
    sealed = trip.house.seal("a")
    trip.put("a", sealed)
    assert trip.carry().received == 1
    (answer,) = trip.down("a", "answer-")
    assert answer.name == f"answer-{sealed.envelope_id}-receipt-{sha256_bytes(answer.read_bytes())}"
    assert trip.house.states() == {"a p1.r1.a1": "held"}
    before = answer.read_bytes()
    answer.unlink()
    assert trip.carry().received == 1
    assert answer.read_bytes() == before
    assert trip.house.deliver("a", sealed).document == before  # nor another over HTTPS


def test_an_envelope_that_began_over_https_ends_by_folder(trip: Trip) -> None:
    sealed = trip.house.seal("a", payload=trip.house.update(1.0, 1.0))
    trip.house.desk.put_header(sealed.envelope_id, "a", sealed.header, trip.house.now)
    trip.house.desk.put_piece(sealed.envelope_id, "a", 0, sealed.blob[:50], trip.house.now)
    trip.put("a", sealed)
    assert trip.carry().received == 1


def test_a_round_goes_by_folder_alone(trip: Trip) -> None:
    for silo in ("a", "b", "c"):
        trip.put(silo, trip.house.seal(silo))
        trip.ask(silo)
    assert trip.carry().received == 3
    trip.house.settle()
    assert trip.carry().silos == ["a", "b", "c"]
    (page,) = trip.down("b", "feed-")
    kinds = [item.kind for item in Feed.parse(page.read_bytes()).items]
    assert {"roster", "catalogue", "plan", "round", "stable"} <= set(kinds)


def test_a_refusal_is_signed_and_written(trip: Trip) -> None:
    trip.put("a", trip.house.seal("a", changes={"base_sha256": "11" * 32}))
    assert trip.carry().refused == 1
    (answer,) = trip.down("a", "answer-")
    assert b"wrong_base" in parse(answer.read_bytes()).payload


def test_the_feed_starts_behind_what_a_silo_has_and_old_pages_go(trip: Trip) -> None:
    trip.ask("a")
    trip.carry()
    (page,) = trip.down("a", "feed-0000000000-")
    items = Feed.parse(page.read_bytes()).items
    assert (trip.root / "objects" / items[-1].objects[0].sha256).is_file()
    trip.ask("a", after=items[-1].number)
    trip.carry()
    assert trip.down("a", "feed-") == []
    assert list((trip.root / "objects").iterdir()) == []


def test_objects_stay_while_a_silo_that_did_not_come_may_need_them(trip: Trip) -> None:
    trip.ask("a")
    trip.ask("b")
    trip.carry()
    (trip.root / "up" / "b" / "request").unlink()
    trip.ask("a", after=1000)
    trip.carry()
    assert len(list((trip.root / "objects").iterdir())) == 1


@pytest.mark.parametrize("part", ["header", "blob"])
def test_a_damaged_file_is_set_aside_and_may_come_again(trip: Trip, part: str) -> None:
    sealed = trip.house.seal("a")
    trip.put("a", sealed)
    path = trip.root / "up" / "a" / f"{sealed.envelope_id}.{part}"
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    assert "not those" in trip.reasons()
    assert not path.exists()
    assert trip.down("a", "answer-") == []
    trip.put("a", sealed)
    assert trip.carry().received == 1


def test_a_half_written_blob_is_set_aside_and_not_refused_for_good(trip: Trip) -> None:
    sealed = trip.house.seal("a")
    trip.put("a", sealed)
    (trip.root / "up" / "a" / f"{sealed.envelope_id}.blob").write_bytes(sealed.blob[:-1])
    assert "another length" in trip.reasons()
    trip.put("a", sealed)
    assert trip.carry().received == 1


def test_a_header_without_its_blob_waits(trip: Trip) -> None:
    sealed = trip.house.seal("a")
    trip.put("a", sealed)
    (trip.root / "up" / "a" / f"{sealed.envelope_id}.blob").unlink()
    assert "not on the stick" in trip.reasons()
    assert trip.down("a", "answer-") == []


def test_an_envelope_that_a_stranger_signed_is_never_answered(trip: Trip) -> None:
    trip.put("a", trip.house.seal("a", signer=new_signing("sign")))
    assert "No silo in the roster" in trip.reasons()
    assert trip.down("a", "answer-") == []
    assert trip.house.states() == {}


def test_an_envelope_in_another_silos_folder_is_set_aside(trip: Trip) -> None:
    trip.put("b", trip.house.seal("a"))
    assert "in another silo's folder" in trip.reasons()
    assert trip.house.states() == {}


def test_a_linked_blob_is_not_read(trip: Trip) -> None:
    sealed = trip.house.seal("a")
    trip.put("a", sealed)
    path = trip.root / "up" / "a" / f"{sealed.envelope_id}.blob"
    path.rename(trip.root / "elsewhere")
    path.symlink_to(trip.root / "elsewhere")
    assert "is a link" in trip.reasons()
    assert trip.house.states() == {"a p1.r1.a1": "arriving"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"silo": "b"}, "another silo's"),
        ({"consortium": "other"}, "or consortium's"),
    ],
)
def test_a_request_in_anothers_name_is_not_answered(
    trip: Trip, changes: dict[str, str], said: str
) -> None:
    trip.ask("a", changes=changes)
    assert said in trip.reasons()
    assert trip.down("a", "feed-") == []


def test_nobody_but_the_silos_courier_is_given_the_feed(trip: Trip) -> None:
    trip.ask("a", signer=trip.house.silos["b"].courier)
    assert "No key that may sign" in trip.reasons()
    trip.house.silos["d"] = trip.house.silos["b"]
    trip.ask("d")
    assert "No silo 'd' is enrolled" in trip.reasons()
    assert trip.down("a", "feed-") + trip.down("d", "feed-") == []


def test_foreign_files_stay_where_they_are(trip: Trip) -> None:
    (trip.root / "up").mkdir()
    (trip.root / "up" / "Holiday.JPG").write_bytes(b"x")
    done = trip.carry()
    assert "set aside up/Holiday.JPG: It is nothing of Onggi's" in describe(done)
    assert (trip.root / "up" / "Holiday.JPG").exists()


def test_two_sticks_and_a_stick_that_only_comes(trip: Trip, tmp_path: Path) -> None:
    trip.ask("a")
    trip.put("a", trip.house.seal("a"))
    desk = FolderDesk(trip.house.store, trip.house.folder, trip.house.desk, "demo")
    assert desk.carry(trip.root, None, trip.house.now).received == 1
    assert not (trip.root / "down").exists()
    back = tmp_path / "back"
    back.mkdir()
    assert trip.carry(back).silos == ["a"]
    assert len(list((back / "down" / "a").iterdir())) == 2


def test_a_feed_of_several_pages_joins(trip: Trip) -> None:
    with trip.house.store.writing() as session:
        for number in range(101):
            session.add(
                PublishedRow(
                    kind="plan",
                    document=b"%d" % number,
                    payload_sha256="0",
                    round_id=None,
                    objects="[]",
                )
            )
    trip.ask("a")
    trip.carry()
    first, second = (Feed.parse(path.read_bytes()) for path in trip.down("a", "feed-"))
    names = [path.name.split("-")[1] for path in trip.down("a", "feed-")]
    assert int(names[1]) == first.items[-1].number < second.items[0].number
