"""Offline keys: who must sign what, and what silos make of new ones."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused, Stop
from agent.keys import SigningIdentity
from consortium import metadata
from consortium.ceremony import OFFLINE, ROLES, load_any, new_keys, rotate
from consortium.repository import current, root_in_force
from tests.unit.consortium.test_repository import Publisher

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House


class Ceremony(Publisher):
    """The officers' keys, where `init` left them."""

    def officers(self, role: str, count: int = 2) -> list[SigningIdentity]:
        paths = sorted(self.house.folder.offline.glob(f"tuf-{role}-*.key"))
        return [load_any(path) for path in paths[-count:]]

    def rotate(self, role: str, at_hand: list[SigningIdentity]) -> None:
        offline = role in OFFLINE
        place = self.house.folder.offline if offline else self.house.folder.keys
        fresh = list(new_keys(place, role, 3 if offline else 1).values())
        with self.house.store.writing() as session:
            rotate(session, self.repository, role, fresh, at_hand, self.house.now)

    def renew(self, role: str, at_hand: list[SigningIdentity]) -> None:
        with self.house.store.writing() as session:
            rotate(session, self.repository, role, (), at_hand, self.house.now)

    def needed(self, role: str) -> str:
        return "targets" if role in ("canary", "stable") else "root"


@pytest.fixture
def ceremony(house: "House") -> Ceremony:
    return Ceremony(house)


@pytest.mark.parametrize("role", ROLES)
def test_a_rotated_role_is_believed_and_its_old_key_is_not(ceremony: Ceremony, role: str) -> None:
    ceremony.publish(1)
    before = ceremony.take()
    ceremony.rotate(role, ceremony.officers(ceremony.needed(role)))
    after = ceremony.take("canary")
    assert after.offers == before.offers
    ceremony.publish(2)
    assert ceremony.offers() == ["release-1", "release-2"]
    if role not in OFFLINE:
        newest = sorted(ceremony.house.folder.keys.glob(f"tuf-{role}-*.key"))[-1]
        newest.unlink()
        if role != "canary":
            with pytest.raises(Stop, match="no key in force"):
                ceremony.publish(3)


@pytest.mark.parametrize("role", ROLES)
def test_too_few_officers_change_nothing(ceremony: Ceremony, role: str) -> None:
    before = ceremony.take()
    with pytest.raises(Refused, match="too_few_keys"):
        ceremony.rotate(role, ceremony.officers(ceremony.needed(role), 1))
    with pytest.raises(Refused, match="too_few_keys"):
        ceremony.rotate(role, [])
    wrong = {"root": "targets", "targets": "root"}[ceremony.needed(role)]
    with pytest.raises(Refused, match="too_few_keys"):
        ceremony.rotate(role, ceremony.officers(wrong))
    assert ceremony.take() == before


def test_a_root_is_rotated_again_and_again(ceremony: Ceremony) -> None:
    for _ in range(3):
        ceremony.rotate("root", ceremony.officers("root"))
    floors = ceremony.take().floors
    assert [n for name, n in floors.items() if name.startswith("tuf root ")] == [4]
    first = [
        load_any(ceremony.house.folder.offline / f"tuf-root-{number}.key") for number in (1, 2)
    ]
    with pytest.raises(Refused, match="too_few_keys"):
        ceremony.rotate("root", first)  # the keys of the first root count no more


def test_fewer_new_keys_than_must_sign_are_refused(ceremony: Ceremony) -> None:
    """Or a rotation would quietly let one officer do alone what took two."""
    one = list(new_keys(ceremony.house.folder.offline, "root", 1).values())
    at_hand = ceremony.officers("root", 4)
    with (
        ceremony.house.store.writing() as session,
        pytest.raises(Refused, match="too_few_keys"),
    ):
        rotate(session, ceremony.repository, "root", one, at_hand, ceremony.house.now)


@pytest.mark.parametrize("role", OFFLINE)
def test_root_and_targets_are_renewed_with_the_same_keys(ceremony: Ceremony, role: str) -> None:
    ceremony.take()
    with ceremony.house.store.reading() as session:
        keys, before = root_in_force(session).keys, metadata.read(current(session, role))
    ceremony.house.later(86_400.0 * 1000)
    ceremony.renew(role, ceremony.officers(role))
    with ceremony.house.store.reading() as session:
        after = metadata.read(current(session, role))
        assert root_in_force(session).keys == keys
    assert after.version == before.version + 1
    assert after.expires > before.expires


def test_new_keys_never_take_the_place_of_old_ones(tmp_path: Path) -> None:
    first, second = new_keys(tmp_path, "root", 2), new_keys(tmp_path, "root", 2)
    names = [path.name for path in (*first, *second)]
    assert names == [f"tuf-root-{number}.key" for number in (1, 2, 3, 4)]
    assert len({key.public_hex for key in (*first.values(), *second.values())}) == 4


def test_a_key_of_something_else_is_no_key_of_the_ceremony(ceremony: Ceremony) -> None:
    with pytest.raises(Stop, match="is a key to aggregator"):
        load_any(ceremony.house.folder.keys / "aggregator.key")
