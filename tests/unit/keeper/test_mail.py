import errno
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused
from agent.files import sha256_bytes
from agent.keeper.mail import update_of
from agent.keeper.trust import open_trust
from agent.keys import new_signing
from agent.wire import strict_json
from agent.wire.documents import RoundManifest
from agent.wire.signed import parse, sign
from agent.wire.trusted import Trusted

if TYPE_CHECKING:
    from agent.records import Json
    from tests.kit.consortium import Consortium
    from tests.unit.keeper.conftest import House

STRANGER = new_signing("root")
Letter = Callable[["Consortium"], bytes]


@pytest.mark.parametrize(
    ("kind", "letter", "code"),
    [
        ("roster", lambda c: c.roster(2, signer=STRANGER), "unknown_signer"),
        ("roster", lambda c: c.roster(2, consortium="other"), "wrong_consortium"),
        ("roster", lambda c: c.roster(2, expires=c.at(-1)), "expired"),
        ("roster", lambda c: c.plan(), "wrong_type"),
        ("catalogue", lambda c: c.signed_catalogue(2, consortium="other"), "wrong_consortium"),
        ("plan", lambda c: c.plan(signer=c.aggregator), "unknown_signer"),
        ("plan", lambda c: c.plan("p2", consortium="other"), "wrong_consortium"),
        ("plan", lambda c: c.plan("p2", expires=c.at(-1)), "expired"),
        ("plan", lambda c: c.plan("p2", catalogue_sha256="00" * 32), "wrong_catalogue"),
        ("plan", lambda c: c.plan("p2", endpoints=("other",)), "unknown_endpoint"),
        ("plan", lambda c: c.plan(version=1), "rolled_back"),
        ("round", lambda c: c.round(signer=c.offline), "unknown_signer"),
        ("round", lambda c: c.round(consortium="other"), "wrong_consortium"),
        ("round", lambda c: c.round(deadline=c.at(-1)), "expired"),
        ("round", lambda c: c.round(plan_id="p9"), "unknown_plan"),
        ("round", lambda c: c.round(plan_sha256="00" * 32), "wrong_plan"),
        ("round", lambda c: c.round(participants=("silo-b",)), "not_participant"),
        ("round", lambda c: c.round(participants=("silo-x",)), "strange_participant"),
        ("release", lambda c: c.release()[0], "unknown_kind"),
        ("stable", lambda c: c.release_document().to_bytes(), "malformed"),
        ("receipt", lambda c: c.receipt("e" * 64), "unknown_envelope"),
        ("receipt", lambda c: c.receipt("e" * 64, signer=STRANGER), "unknown_signer"),
        ("refusal", lambda c: c.refusal("e" * 64), "unknown_envelope"),
        ("stranger", lambda c: c.root, "unknown_kind"),
        ("root", lambda c: c.next_root(signer=STRANGER), "unknown_signer"),
        ("root", lambda c: c.next_root(version=3), "skipped_root"),
        ("plan", lambda c: c.plan()[:-1], "not_json"),
    ],
)
def test_a_letter_that_is_not_believed(
    house: "House", kind: str, letter: Letter, code: str
) -> None:
    house.bring("plan", house.consortium.plan())
    house.bring(kind, letter(house.consortium))
    assert house.refusals() == [code]
    (line,) = house.ledger.find("letter")
    assert line.detail["reason"]
    assert line.detail["kind"] == kind
    assert list(house.inbox.letters()) == []  # set aside once, not again and again
    assert not house.ledger.find("round")
    assert not house.ledger.find("release")
    assert [(plan.id, plan.state) for plan in house.ledger.find("plan")] == [("p1", "accepted")]


def test_a_refused_letter_leaves_the_others_alone(house: "House") -> None:
    house.courier.bring("plan", house.consortium.plan("bad", signer=STRANGER))
    house.courier.bring("plan", house.consortium.plan())
    house.courier.bring("round", house.consortium.round())
    assert house.mail.take_all(house.now) == 3
    assert house.state("plan", "p1") == "accepted"
    assert house.state("round", "p1.r1.a1") == "announced"
    assert house.refusals() == ["unknown_signer"]


def test_older_editions_in_the_feed_are_passed_over(house: "House") -> None:
    house.bring("roster", house.consortium.roster(3))
    house.bring("roster", house.consortium.roster(2))
    house.bring("catalogue", house.consortium.signed_catalogue(2))
    house.bring("catalogue", house.consortium.signed_catalogue(1))
    assert not house.refusals()
    assert (house.ledger.floor("roster"), house.ledger.floor("catalogue")) == (3, 2)
    assert house.trusted.roster is not None
    assert house.trusted.roster.version == 3


def test_the_floors_survive_a_restart(house: "House") -> None:
    house.bring("roster", house.consortium.roster(3))
    house.reopen()
    assert house.trusted.roster is not None
    assert house.trusted.roster.version == 3
    house.ledger.connection.execute("DELETE FROM document WHERE kind = 'roster'")
    house.ledger.close()
    with pytest.raises(Refused, match="rolled_back"):
        house.open()


def test_every_letter_read_twice_has_its_effect_once(house: "House") -> None:
    """A kill between the commit and the removal of the letter."""
    letters = [
        ("roster", house.consortium.roster(2)),
        ("catalogue", house.consortium.signed_catalogue(1)),
        ("plan", house.consortium.plan()),
        ("round", house.consortium.round()),
    ]
    release = house.consortium.release()
    for _ in range(2):
        for kind, content in letters:
            house.bring(kind, content)
        house.courier.bring_release(release)
        house.mail.take_all(house.now)
        house.reopen()
    assert not house.refusals()
    changes = house.ledger.connection.execute("SELECT kind, after FROM transition").fetchall()
    assert sorted(changes) == [
        ("plan", "accepted"),
        ("release", "announced"),
        ("round", "announced"),
    ]


def test_an_old_release_is_not_taken_for_a_repeated_one(house: "House") -> None:
    house.bring("plan", house.consortium.plan())
    house.bring_release(2)
    house.bring_release(1)  # listed late, below what came before
    assert house.refusals() == []
    assert [item.id for item in house.ledger.find("release")] == ["r2"]


def test_a_newer_plan_replaces_the_older_and_never_the_other_way(house: "House") -> None:
    first, second = house.consortium.plan("p1"), house.consortium.plan("p2")
    house.bring("plan", first)
    house.bring("plan", second)
    assert (house.state("plan", "p1"), house.state("plan", "p2")) == ("replaced", "accepted")
    house.bring("plan", first)  # a carrier that tells the story anew
    assert (house.state("plan", "p1"), house.state("plan", "p2")) == ("replaced", "accepted")


def test_a_newer_round_closes_the_older_and_never_the_other_way(house: "House") -> None:
    house.bring("plan", house.consortium.plan())
    for number in (1, 2, 1):
        house.bring("round", house.consortium.round(number))
    assert house.state("round", "p1.r1.a1") == "closed"
    assert house.state("round", "p1.r2.a1") == "announced"
    manifest = str(house.item("round", "p1.r2.a1").detail["manifest"])
    assert RoundManifest.model_validate_json(manifest).number == 2


def test_a_stray_signature_entry_is_harmless(house: "House") -> None:
    """Anybody may add an entry to a container; its key id may be any text."""
    house.bring("plan", house.consortium.plan())
    container = strict_json.loads(house.consortium.round())
    assert isinstance(container, dict)
    signatures = container["signatures"]
    assert isinstance(signatures, list)
    stray: Json = {"keyid": "온기", "sig": "A" * 86 + "=="}
    house.bring("round", strict_json.dumps({**container, "signatures": [*signatures, stray]}))
    assert house.state("round", "p1.r1.a1") == "announced"


def _advance(house: "House") -> None:
    house.intake.look(house.now, 1.0)
    house.pipeline.advance(house.now, 1.0)


@pytest.mark.parametrize("restart", [False, True])
def test_a_clock_that_jumps_ahead_shuts_nobody_out_for_good(house: "House", restart: bool) -> None:
    house.bring("plan", house.consortium.plan())
    house.bring("round", house.consortium.round(deadline=house.consortium.at(90)))
    house.now += timedelta(days=31)
    if restart:
        house.reopen()
    _advance(house)
    plan = house.item("plan", "p1")
    assert (plan.state, plan.why[:14]) == ("accepted", "It expired at ")
    house.order_rounds(house.ready())
    assert "no longer in force" in house.item("round", "p1.r1.a1").why
    assert house.ledger.get("job", "round-p1.r1.a1") is None
    house.now -= timedelta(days=31)
    if restart:
        house.reopen()
    _advance(house)
    assert house.item("plan", "p1").why == ""
    house.order_rounds(house.ready())
    assert "base weights" in house.item("round", "p1.r1.a1").why
    assert house.state("clock", "host") == "doubted"  # it shows less than it did


def test_a_replaced_plan_gets_no_more_rounds(house: "House") -> None:
    house.bring("plan", house.consortium.plan())
    house.bring("round", house.consortium.round())
    house.bring("plan", house.consortium.plan("p2"))
    house.reopen()
    house.bring("round", house.consortium.round())  # an old one, brought again
    assert not house.refusals()
    house.bring("round", house.consortium.round(2))
    assert house.refusals() == ["plan_replaced"]
    assert house.state("round", "p1.r1.a1") == "announced"


def test_a_letter_that_breaks_its_reader_is_set_aside(
    house: "House", monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a version that no database holds: the keeper would die of it at every start."""
    house.courier.bring("roster", house.consortium.roster(2))
    house.courier.bring("plan", house.consortium.plan())

    def overflow(*_: object) -> None:
        raise OverflowError("Python int too large to convert to SQLite INTEGER")

    with monkeypatch.context() as patch:
        patch.setattr(house.trusted, "take_roster", overflow)
        assert house.mail.take_all(house.now) == 2
    assert house.refusals() == ["unreadable"]
    assert house.state("plan", "p1") == "accepted"
    assert list(house.inbox.letters()) == []


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), sqlite3.OperationalError("disk is full")]
)
def test_no_letter_is_lost_to_a_full_disk(
    house: "House", monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    house.courier.bring("plan", house.consortium.plan())

    def full(*_: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(house.ledger, "put_document", full)
        with pytest.raises(type(error)):
            house.mail.take_all(house.now)
    assert not house.refusals()
    house.mail.take_all(house.now)
    assert house.state("plan", "p1") == "accepted"


def test_a_huge_version_is_refused_by_name(house: "House") -> None:
    payload = parse(house.consortium.roster(2)).payload
    payload = payload.replace(b'"version":2', b'"version":%d' % 2**63)
    house.bring("roster", sign("roster", payload, house.consortium.offline))
    assert house.refusals() == ["malformed"]
    house.reopen()
    house.bring("roster", house.consortium.roster(2))
    assert house.trusted.roster is not None
    assert house.trusted.roster.version == 2


def test_a_round_that_comes_before_its_plan_begins_waits(house: "House") -> None:
    """A silo whose clock lags by seconds must not lose the first round."""
    late = house.consortium.plan_document(not_before=house.consortium.at(0.5))
    house.bring("plan", house.consortium.plan(not_before=late.not_before))
    house.bring("round", house.consortium.round(plan_sha256=sha256_bytes(late.to_bytes())))
    assert not house.refusals()
    assert not house.ledger.find("round")
    house.now += timedelta(hours=12)
    house.mail.take_all(house.now)
    assert house.state("round", "p1.r1.a1") == "announced"
    assert list(house.inbox.letters()) == []


def test_trust_that_was_exchanged_on_disk(house: "House") -> None:
    (house.paths.trust / "root.json").write_bytes(type(house.consortium)().root)
    with pytest.raises(Refused, match="wrong_root"):
        open_trust(house.paths.trust, house.consortium.root_sha256, house.ledger, house.now)


def test_an_update_is_found_by_its_envelope(house: "House") -> None:
    order = house.round_order()
    envelope_id = house.rounds.seal(order, house.trained(), b"payload", house.now)
    found = update_of(house.ledger, envelope_id)
    assert found is not None
    assert found.id == "p1.r1.a1"
    assert update_of(house.ledger, "0" * 64) is None


def test_the_next_root_is_kept_and_walked_to_after_a_start(house: "House") -> None:
    house.bring("root", house.consortium.next_root())
    assert house.trusted.root.version == 2
    assert house.ledger.floor("root") == 2
    assert _opened(house).root.version == 2
    house.bring("root", house.consortium.next_root())
    house.bring("root", house.consortium.root)
    assert house.refusals() == [], "old news"
    house.bring("root", house.consortium.next_root(version=3))
    assert _opened(house).root.version == 3
    house.bring("root", house.consortium.next_root())
    assert house.refusals() == []


def _opened(house: "House") -> Trusted:
    root = house.consortium.root_sha256
    return open_trust(house.paths.trust, root, house.ledger, house.now)


def test_a_root_is_not_lost_where_the_disk_was_full(
    house: "House", monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was believed in memory and not committed: the letter stays, and is taken again."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    house.courier.bring("root", house.consortium.next_root())
    with monkeypatch.context() as patched:
        patched.setattr(type(house.ledger), "put_document", full)
        with pytest.raises(OSError, match="No space"):
            house.mail.take_all(house.now)
    assert house.ledger.documents("root") == []
    house.mail.take_all(house.now)
    assert house.ledger.floor("root") == 2
    assert _opened(house).root.version == 2


def test_a_root_without_its_signatures_does_not_take_its_place(house: "House") -> None:
    house.bring("root", house.consortium.next_root())
    kept = house.ledger.documents("root")
    house.bring("root", house.consortium.next_root(signer=STRANGER))
    assert house.refusals() == ["unknown_signer"]
    assert house.ledger.documents("root") == kept


def test_the_root_in_force_is_not_kept_as_a_later_one(house: "House") -> None:
    house.bring("root", house.consortium.root)
    assert _opened(house).root.version == 1
