"""The release repository from the publisher's side, read as a silo reads it."""

import base64
import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from agent.errors import Refused, Stop
from agent.wire.documents import Feed, FeedItem
from agent.wire.repository import CHANNELS, MANIFEST, WEIGHTS, Channel, Repository, RepositoryFiles
from agent.wire.trusted import Trusted
from consortium import metadata
from consortium.feed import read_feed
from consortium.founding import root_sha256
from consortium.objects import put_object
from consortium.repository import (
    Listed,
    ReleaseRepository,
    current,
    metadata_file,
    next_edition,
    open_repository,
    put,
)
from consortium.status import read_status
from consortium.tables import MetadataRow, PublishedRow

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House


def _last(session: Session) -> int:
    return session.scalar(select(func.max(PublishedRow.number))) or 0


class Publisher:
    """The repository, and a silo's floors."""

    def __init__(self, house: "House") -> None:
        self.house = house
        self.repository = open_repository(house.folder)
        self.floors: dict[str, int] = {}

    def publish(self, version: int, channel: Channel = "stable") -> None:
        house, name = self.house, f"release-{version}"
        objects = {
            MANIFEST: put_object(house.folder.objects, f"manifest {version}".encode()),
            WEIGHTS: put_object(house.folder.objects, f"weights {version}".encode()),
        }
        with house.store.writing() as session:
            self.repository.publish(session, Listed(name, version, channel), objects, house.now)

    def change(self, what: str, release_id: str) -> None:
        with self.house.store.writing() as session:
            getattr(self.repository, what)(session, release_id, self.house.now)

    def listed(self) -> list[tuple[str, str]]:
        with self.house.store.reading() as session:
            return [(one.channel, one.release_id) for one in self.repository.listed(session)]

    def feed(self) -> Feed:
        with self.house.store.reading() as session:
            items: list[FeedItem] = []
            page = read_feed(session, "a", 0)
            while page.items or page.last < _last(session):
                items += page.items
                page = read_feed(session, "a", page.last)
            return Feed(items=tuple(items), last=page.last)

    def take(self, channel: Channel = "stable") -> Repository:
        """Believes the newest state that concerns a channel, as a silo does."""
        kinds = {"stable"} if channel == "stable" else {"stable", "canary"}
        letters = [item for item in self.feed().items if item.kind in kinds]
        trusted = Trusted(
            self.house.folder.trust_root.read_bytes(),
            root_sha256(self.house.folder),
            self.house.now,
        )
        content = base64.b64decode(letters[-1].document)
        found = trusted.take_repository(
            content, channel, self.house.now, lambda name: self.floors.get(name, 0)
        )
        self.floors |= found.floors
        return found

    def offers(self, channel: Channel = "stable") -> list[str]:
        return [offer.release_id for offer in self.take(channel).offers]


@pytest.fixture
def publisher(house: "House") -> Publisher:
    return Publisher(house)


def test_a_new_repository_is_believed_and_empty(publisher: Publisher) -> None:
    assert publisher.offers() == publisher.offers("canary") == []


def test_a_release_shows_in_its_channel_only(publisher: Publisher) -> None:
    publisher.publish(1)
    publisher.publish(2, "canary")
    assert publisher.offers() == ["release-1"]
    assert publisher.offers("canary") == ["release-1", "release-2"]
    assert publisher.listed() == [("stable", "release-1"), ("canary", "release-2")]


def test_the_feed_names_what_the_newest_release_consists_of(publisher: Publisher) -> None:
    for version in (1, 2):
        publisher.publish(version)
    publisher.publish(3, "canary")
    items = {item.kind: item for item in publisher.feed().items}
    contents = {
        kind: [
            (publisher.house.folder.objects / one.sha256).read_bytes()
            for one in items[kind].objects
        ]
        for kind in CHANNELS
    }
    assert contents["stable"] == [b"manifest 2", b"weights 2"]
    assert contents["canary"] == [b"manifest 3", b"weights 3"]


def test_a_promoted_release_moves_from_canary_to_stable(publisher: Publisher) -> None:
    publisher.publish(1, "canary")
    publisher.change("promote", "release-1")
    assert publisher.listed() == [("stable", "release-1")]
    assert publisher.offers() == publisher.offers("canary") == ["release-1"]
    with pytest.raises(Refused, match="unknown_release"):
        publisher.change("promote", "release-1")


def test_a_release_older_than_the_stable_one_is_not_promoted(publisher: Publisher) -> None:
    publisher.publish(1, "canary")
    publisher.publish(2)
    with pytest.raises(Refused, match="older_release"):
        publisher.change("promote", "release-1")


def test_a_withdrawn_release_is_offered_no_more(publisher: Publisher) -> None:
    publisher.publish(1)
    publisher.publish(10)
    publisher.publish(11, "canary")
    publisher.change("withdraw", "release-1")
    publisher.change("withdraw", "release-11")
    assert publisher.offers("canary") == ["release-10"]
    with pytest.raises(Refused, match="unknown_release"):
        publisher.change("withdraw", "release-1")


def test_each_state_is_one_transaction(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = publisher.feed()
    with monkeypatch.context() as patch:
        patch.setattr("consortium.repository.announce", killed)
        with pytest.raises(KeyboardInterrupt):
            publisher.publish(1)
    assert publisher.feed() == before
    publisher.publish(1)
    assert publisher.offers() == ["release-1"]


def test_serve_signs_a_new_timestamp_before_the_old_one_expires(publisher: Publisher) -> None:
    house = publisher.house
    publisher.publish(1)
    publisher.publish(2, "canary")
    until = publisher.take().fresh_until
    house.tick()
    assert publisher.take().fresh_until == until  # it is fresh
    for days in (4, *[30] * 13):  # more than a year: channels and snapshot are signed anew, too
        house.later(days * 86_400)
        house.tick()
        assert publisher.take().fresh_until > house.now + timedelta(days=5)
    assert publisher.offers("canary") == ["release-1", "release-2"]


def test_it_looks_every_few_minutes_only(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []

    def due(*_: object) -> bool:
        looked.append(1)
        return False

    monkeypatch.setattr(ReleaseRepository, "due", due)
    for _ in range(3):
        publisher.house.tick()
    assert len(looked) == 1
    publisher.house.later(301)
    publisher.house.tick()
    assert len(looked) == 2


def test_what_expires_soon_is_in_the_status(publisher: Publisher) -> None:
    house = publisher.house

    def warned() -> list[str]:
        with house.store.reading() as session:
            said = read_status(session, house.folder, "demo", house.now)["warnings"]
        assert isinstance(said, list)
        return [str(one).split()[3] for one in said if "release repository" in str(one)]

    assert warned() == []
    house.later(4.5 * 86_400)  # and nobody serves
    assert warned() == ["timestamp"]
    house.later(2.8 * 365 * 86_400)
    house.tick()
    assert warned() == ["root", "targets"]


def test_rounds_go_on_while_a_key_is_away(publisher: Publisher) -> None:
    house = publisher.house
    key = house.folder.keys / "tuf-timestamp.key"
    away = key.rename(house.folder.root / "away.key")
    house.later(2 * 86_400)
    house.tick()
    with pytest.raises(Stop, match="no key in force for timestamp"):
        publisher.publish(1)
    away.rename(key)
    publisher.publish(1)
    assert publisher.offers() == ["release-1"]


def test_metadata_by_its_name(publisher: Publisher) -> None:
    with publisher.house.store.reading() as session:
        assert metadata_file(session, "timestamp.json") == current(session, "timestamp")
        assert metadata_file(session, "1.root.json") == current(session, "root")
        for strange in ("2.root.json", "root.json", "0.root.json", "1.keys.json", "../1.root.json"):
            with pytest.raises(Refused, match="unknown_object"):
                metadata_file(session, strange)


def test_a_database_without_a_repository_is_said(publisher: Publisher) -> None:
    with publisher.house.store.writing() as session:
        session.execute(delete(MetadataRow))
    with publisher.house.store.reading() as session, pytest.raises(Stop, match="restore it"):
        current(session, "root")


def test_targets_that_delegate_nothing_are_said(publisher: Publisher) -> None:
    with publisher.house.store.writing() as session:
        edition = next_edition(session, "targets", publisher.house.now)
        put(session, metadata.listing(edition, {}), "targets", [])
    with pytest.raises(Stop, match="delegate nothing"):
        publisher.publish(1)


def test_every_published_state_stays_in_the_feed_as_it_was(publisher: Publisher) -> None:
    publisher.publish(1)
    with publisher.house.store.reading() as session:
        rows = session.scalars(select(PublishedRow).where(PublishedRow.kind == "stable")).all()
    files = [RepositoryFiles.parse(row.document) for row in rows]
    assert [json.loads(row.objects) == [] for row in rows] == [True, False]
    assert files[0].roots == files[1].roots
    assert [item.kind for item in publisher.feed().items].count("stable") == 1
