"""This silo's own keys: they change through the roster, and a kill changes nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from agent.boxes import rotation_path
from agent.clock import to_text
from agent.errors import Refused, Stop
from agent.keeper.identity import (
    KeyFiles,
    OwnKeys,
    alarms,
    key_lines,
    key_publics,
    rotate,
)
from agent.key_ring import RingKey, Rings
from agent.keys import Identity, load_identity, make_identity, new_signing, next_key
from agent.wire.documents import Member, Roster
from agent.wire.roster import verify_rotation
from agent.wire.trusted import Trusted
from consortium.certificate import make_certificate
from tests.kit.consortium import Consortium

_NOW = datetime(2026, 6, 1, tzinfo=UTC)
_AHEAD = "2027-06-01T00:00:00Z"


def _member(identity: Identity, **changes: object) -> Member:
    return Member(
        silo="a",
        legal_entity="",
        sign_key=identity.sign.public_hex,
        seal_key=identity.seal.public_hex,
        courier_key=identity.courier.public_hex,
        not_before="2026-01-01T00:00:00Z",
        expires=_AHEAD,
    ).model_copy(update=changes)


def _roster(*members: Member) -> Roster:
    return Roster(consortium="c", version=1, issued=to_text(_NOW), expires=_AHEAD, members=members)


@pytest.fixture(params=[Rings(), Rings(RingKey(bytes(32)), RingKey(bytes(range(32))))])
def files(tmp_path: Path, request: pytest.FixtureRequest) -> KeyFiles:
    """Keys that rest plain, and keys that rest sealed: nothing else may differ."""
    rings: Rings = request.param
    files = KeyFiles(tmp_path / "keys", tmp_path / "courier", tmp_path / "outbox", rings)
    files.outbox.mkdir()
    make_identity(files.keys, files.courier, _NOW, rings)
    return files


def _identity(files: KeyFiles) -> Identity:
    return load_identity(files.keys, files.courier, files.rings)


def _own(files: KeyFiles) -> OwnKeys:
    return OwnKeys(files.keys, files.outbox, "a", files.rings.keeper)


@pytest.mark.parametrize("purpose", ["sign", "seal"])
def test_the_old_key_works_until_the_roster_names_the_new_one(
    files: KeyFiles, purpose: Literal["sign", "seal"]
) -> None:
    member = _member(_identity(files))
    content = rotate(files, purpose, member, "c", _NOW)
    request = verify_rotation(content, member, "c")
    own = _own(files)
    own.follow(_roster(member))
    assert own.public_hex == member.sign_key
    assert rotation_path(files.outbox, purpose).exists()
    named = member.model_copy(update={f"{purpose}_key": request.new_key})
    for _ in range(2):
        own.follow(_roster(named))
    found = _identity(files)
    assert getattr(found, purpose).public_hex == request.new_key
    assert not rotation_path(files.outbox, purpose).exists()
    assert own.public_hex == named.sign_key
    retired = [path.name for path in files.keys.glob("retired/*")]
    assert retired == (["seal-1.key"] if purpose == "seal" else []), "what opens is kept"


@pytest.mark.parametrize("killed", ["before the rename", "after the link", "after the rename"])
def test_a_kill_while_a_key_is_replaced_ends_the_same(files: KeyFiles, killed: str) -> None:
    member = _member(_identity(files))
    old = files.path("seal").read_bytes()
    request = verify_rotation(rotate(files, "seal", member, "c", _NOW), member, "c")
    named = member.model_copy(update={"seal_key": request.new_key})
    retired = files.keys / "retired"
    if killed != "before the rename":
        retired.mkdir()
        (retired / "seal-1.key").hardlink_to(files.path("seal"))
    if killed == "after the rename":
        next_key(files.path("seal")).replace(files.path("seal"))
    _own(files).follow(_roster(named))
    assert files.load("seal").public_hex == request.new_key
    assert [path.read_bytes() for path in retired.iterdir()] == [old]
    assert not rotation_path(files.outbox, "seal").exists()


def test_two_rotations_keep_both_old_keys(files: KeyFiles) -> None:
    for _ in range(2):
        member = _member(_identity(files))
        request = verify_rotation(rotate(files, "seal", member, "c", _NOW), member, "c")
        _own(files).follow(_roster(member.model_copy(update={"seal_key": request.new_key})))
    assert sorted(path.name for path in (files.keys / "retired").iterdir()) == [
        "seal-1.key",
        "seal-2.key",
    ]


def test_the_courier_replaces_its_own_key_and_the_keeper_only_its_request(files: KeyFiles) -> None:
    member = _member(_identity(files))
    request = verify_rotation(rotate(files, "courier", member, "c", _NOW), member, "c")
    _own(files).follow(_roster(member.model_copy(update={"courier_key": request.new_key})))
    assert _identity(files).courier.public_hex == member.courier_key
    assert files.load_next("courier").public_hex == request.new_key
    assert not rotation_path(files.outbox, "courier").exists()


def test_asking_again_is_the_same_request(files: KeyFiles) -> None:
    member = _member(_identity(files))
    first = rotate(files, "courier", member, "c", _NOW)
    assert rotate(files, "courier", member, "c", _NOW + timedelta(hours=1)) == first
    rotation_path(files.outbox, "courier").write_bytes(b"cut short")
    again = rotate(files, "courier", member, "c", _NOW + timedelta(hours=1))
    new = verify_rotation(again, member, "c").new_key
    assert new == verify_rotation(first, member, "c").new_key


def test_a_request_by_a_former_key_is_made_anew(files: KeyFiles) -> None:
    member = _member(_identity(files))
    asked = rotate(files, "courier", member, "c", _NOW)
    signing = verify_rotation(rotate(files, "sign", member, "c", _NOW), member, "c")
    named = member.model_copy(update={"sign_key": signing.new_key})
    _own(files).follow(_roster(named))
    again = rotate(files, "courier", named, "c", _NOW)
    assert again != asked
    assert verify_rotation(again, named, "c").new_key == verify_rotation(asked, member, "c").new_key


def test_a_signing_key_that_the_roster_does_not_name_asks_for_nothing(files: KeyFiles) -> None:
    other = _member(_identity(files), sign_key="00" * 32)
    with pytest.raises(Stop, match="another signing key"):
        rotate(files, "seal", other, "c", _NOW)
    (files.outbox).rmdir()
    with pytest.raises(Stop, match="Cannot write"):
        rotate(files, "seal", _member(_identity(files)), "c", _NOW)


def test_a_roster_without_this_silo_changes_nothing(files: KeyFiles) -> None:
    own = _own(files)
    own.follow(_roster())
    assert own.sign(b"x") == _identity(files).sign.sign(b"x")


def _lines(files: KeyFiles, member: Member | None, now: datetime = _NOW) -> list[tuple[str, ...]]:
    return [(one.purpose, one.state, one.alarm) for one in key_lines(files, member, now)]


def test_keys_are_listed_with_what_is_wrong(files: KeyFiles) -> None:
    member = _member(_identity(files))
    assert _lines(files, member) == [(one, "in use", "") for one in ("sign", "seal", "courier")]
    first = key_lines(files, member, _NOW)[0]
    assert (first.since, first.expires) == (to_text(_NOW), _AHEAD)
    rotate(files, "seal", member, "c", _NOW)
    assert ("seal", "next", "It waits for a roster that names it.") in _lines(files, member)
    assert all("ends at" in line[2] for line in _lines(files, member, _later(340))[:1])
    strange = _member(_identity(files), seal_key="00" * 32)
    assert "names another key" in _lines(files, strange)[1][2]
    assert "No roster" in _lines(files, None)[0][2]
    assert key_publics(files) == (member.sign_key, member.seal_key, member.courier_key)


def test_a_key_of_the_first_format_does_not_say_since_when(files: KeyFiles) -> None:
    path = files.path("sign")
    path.unlink()
    new_signing("sign").save(path, ring=files.rings.keeper)  # without a date: the first format
    assert key_lines(files, None, _NOW)[0].since == ""


def _later(days: float) -> datetime:
    return _NOW + timedelta(days=days)


def _trusted(consortium: Consortium, roster: bytes | None) -> Trusted:
    trusted = Trusted(consortium.root, consortium.root_sha256, consortium.now)
    if roster is not None:
        trusted.take_roster(roster, consortium.now)
    return trusted


def test_what_ends_within_a_month_is_an_alarm(tmp_path: Path) -> None:
    consortium, ca_file = Consortium(_NOW), tmp_path / "ca.pem"
    member = _member(make_identity(tmp_path / "k", tmp_path / "c"), expires=to_text(_later(40)))
    consortium.members = (member,)
    trusted = _trusted(consortium, consortium.roster())
    assert alarms(trusted, "a", ca_file, _NOW) == []
    (soon,) = alarms(trusted, "a", ca_file, _later(20))
    assert soon.startswith("This silo's membership ends at")
    assert alarms(trusted, "a", ca_file, _later(50))[0].startswith("This silo's membership ended")
    ca_file.write_bytes(make_certificate("127.0.0.1", _NOW)[1])
    said = alarms(trusted, "a", ca_file, _later(3640))
    assert [line.split(" end")[0] for line in said] == [
        "The trust root",
        "The roster",
        "This silo's membership",
        "The aggregator's certificate",
    ]
    ca_file.write_bytes(b"none")
    with pytest.raises(Stop, match="no certificate"):
        alarms(trusted, "a", ca_file, _NOW)


def test_who_is_not_in_the_roster_is_told(tmp_path: Path) -> None:
    consortium = Consortium(_NOW)
    assert alarms(_trusted(consortium, None), "a", tmp_path / "none", _NOW) == []
    trusted = _trusted(consortium, consortium.roster())
    assert "does not name a" in alarms(trusted, "a", tmp_path / "none", _NOW)[0]
    member = _member(make_identity(tmp_path / "k", tmp_path / "c"), revoked=True)
    consortium.members = (member,)
    trusted = _trusted(consortium, consortium.roster(version=2))
    assert "does not name a" in alarms(trusted, "a", tmp_path / "none", _NOW)[0]


def test_a_silo_of_before_has_no_post_quantum_key(files: KeyFiles) -> None:
    held = _identity(files).post_quantum
    assert held is not None
    assert _own(files).post_quantum().public_hex == held.public_hex
    (files.keys / "pq-sign.key").unlink()
    with pytest.raises(Refused, match="no_post_quantum_key"):
        _own(files).post_quantum()
