"""The policy's file and what it does to plans and rounds."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from agent.keeper.policing import Standing, holds_back, last_known
from agent.keys import new_signing
from agent.policy.rules import DEFAULT, AskSection, Policy
from agent.policy.signing import sign_off, signature_path
from agent.wire.signed import parse
from agent.wire.statements import Declined
from tests.kit.consortium import HEADS

if TYPE_CHECKING:
    from tests.unit.keeper.conftest import House

SMALL = "[ask]\nmax_parameters = 10\n"
NEVER = "[ask]\nendpoints = []\nmax_parameters = 10\n"


def _enforce(house: "House") -> Standing:
    return house.policing.enforce(house.now)


def _said(house: "House") -> list[Declined]:
    """What is on its way to the consortium, as it reads it."""
    found = []
    for item in house.ledger.find("statement"):
        content = house.ledger.document("statement", item.id)
        assert content is not None
        found.append(Declined.parse(parse(content).payload))
    return found


def test_without_a_file_the_default_policy_is_in_force(house: "House") -> None:
    assert _enforce(house) == Standing(DEFAULT)
    assert house.state("policy", "site") == "default"
    assert _enforce(house) == Standing(DEFAULT)


def test_a_signed_policy_is_in_force_and_booked(house: "House") -> None:
    house.sign_off(SMALL)
    assert _enforce(house).policy == Policy(ask=AskSection(max_parameters=10))
    item = house.item("policy", "site")
    assert item.state == "signed"
    assert item.detail["signer"] == "Kim"
    assert item.detail["officer"] == house.officer.public_hex
    assert item.detail["signed"] == "2026-03-01T12:00:00.000000Z"
    assert len(str(item.detail["sha256"])) == 64


def _unsigned(house: "House") -> None:
    signature_path(house.policy).unlink()


def _altered(house: "House") -> None:
    house.policy.write_bytes(house.policy.read_bytes() + b"# looser\n")


def _removed(house: "House") -> None:
    house.policy.unlink()
    signature_path(house.policy).unlink()


def _by_another(house: "House") -> None:
    content = house.policy.read_bytes()
    signed = sign_off(content, 1, new_signing("officer"), "Eve", "2026-03-02T12:00:00Z")
    signature_path(house.policy).write_bytes(signed)


def _malformed(house: "House") -> None:
    content = b"version = 2\nother = 1\n"
    house.policy.write_bytes(content)
    signed = sign_off(content, 2, house.officer, "Kim", "2026-03-02T12:00:00Z")
    signature_path(house.policy).write_bytes(signed)


def _other_version(house: "House") -> None:
    content = b"version = 2\n"
    house.policy.write_bytes(content)
    signed = sign_off(content, 3, house.officer, "Kim", "2026-03-02T12:00:00Z")
    signature_path(house.policy).write_bytes(signed)


def _same_version(house: "House") -> None:
    house.sign_off("[ask]\nmax_parameters = 99\n")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_unsigned, "policy_unsigned"),
        (_altered, "policy_altered"),
        (_removed, "policy_missing"),
        (_by_another, "unknown_signer"),
        (_malformed, "policy_malformed"),
        (_other_version, "policy_altered"),
        (_same_version, "rolled_back"),
    ],
)
def test_a_policy_that_is_not_signed_off_shuts_the_door(
    house: "House", spoil: object, code: str
) -> None:
    house.sign_off(SMALL)
    known = _enforce(house).policy
    assert callable(spoil)
    spoil(house)
    standing = _enforce(house)
    assert standing.policy == known, "the last one that was signed off stays known"
    assert "onggi policy sign" in standing.shut
    item = house.item("policy", "site")
    assert item.state == "unsigned"
    assert f"[{code}]" in item.why
    house.reopen()
    assert _enforce(house).shut
    assert _enforce(house).policy == known


def test_an_unsigned_file_on_a_new_site(house: "House") -> None:
    house.policy.write_text("")
    assert _enforce(house).shut
    house.policy.write_text("# another\n")
    assert "no signature" in _enforce(house).shut
    signed = sign_off(b"", 1, house.officer, "Kim", "2026-03-02T12:00:00Z")
    signature_path(house.policy).write_bytes(signed)
    assert "was changed" in _enforce(house).shut
    assert "[policy_altered]" in house.item("policy", "site").why
    signature_path(house.policy).unlink()
    house.policy.unlink()
    assert _enforce(house) == Standing(DEFAULT)
    assert house.state("policy", "site") == "default"


def test_an_old_policy_cannot_be_put_back(house: "House") -> None:
    house.sign_off("")
    looser = house.policy.read_bytes(), signature_path(house.policy).read_bytes()
    _enforce(house)
    house.sign_off(SMALL, 2)
    assert _enforce(house).policy.ask.max_parameters == 10
    house.policy.write_bytes(looser[0])
    signature_path(house.policy).write_bytes(looser[1])
    standing = _enforce(house)
    assert "not above 2" in standing.shut
    assert standing.policy.ask.max_parameters == 10


def test_a_policy_that_is_signed_off_again_opens_the_door(house: "House") -> None:
    house.sign_off(SMALL)
    _enforce(house)
    _altered(house)
    assert _enforce(house).shut
    house.sign_off(SMALL)
    assert not _enforce(house).shut
    assert house.state("policy", "site") == "signed"
    house.reopen()
    assert not _enforce(house).shut
    assert last_known(house.ledger).ask.max_parameters == 10


OBJECTIONS: Mapping[str, str] = {
    "endpoint_not_allowed": "[ask]\nendpoints = ['logbb']",
    "network_too_large": SMALL,
    "too_many_rounds": "[ask]\nmax_rounds_per_week = 1",
    "too_few_participants": "[peers]\nmin_participants = 5",
    "privacy_required": "[privacy]\nnone_allowed = false",
    "masking_required": "[privacy]\nunmasked_allowed = false",
}


@pytest.mark.parametrize("code", OBJECTIONS)
def test_a_plan_that_asks_for_more_is_declined_by_name_at_both_ends(
    house: "House", code: str
) -> None:
    house.sign_off(OBJECTIONS[code])
    recipe = house.consortium.plan_document().recipe.model_copy(update={"rounds": 9})
    house.bring("plan", house.consortium.plan(recipe=recipe))
    for _ in range(2):
        _enforce(house)
    plan = house.item("plan", "p1")
    assert (plan.state, plan.detail["codes"]) == ("declined", [code])
    assert f"[{code}]" in plan.why
    (said,) = _said(house)
    assert (said.plan_id, said.round_id, said.codes) == ("p1", "", (code,))
    assert said.silo == "silo-a"


def test_all_codes_are_told_at_once(house: "House") -> None:
    house.sign_off(NEVER)
    house.bring("plan", house.consortium.plan())
    _enforce(house)
    (said,) = _said(house)
    assert said.codes == ("endpoint_not_allowed", "network_too_large")
    assert all(name in house.item("plan", "p1").why for name in HEADS)


def test_a_declined_plan_has_no_rounds(house: "House") -> None:
    house.sign_off(SMALL)
    house.bring("plan", house.consortium.plan())
    house.bring("round", house.consortium.round(), house.consortium.base)
    _enforce(house)
    house.order_rounds(house.ready())
    skipped = house.item("round", "p1.r1.a1")
    assert (skipped.state, skipped.why) == ("skipped", "Its plan p1 is declined.")
    assert not house.ledger.find("job")
    assert len(_said(house)) == 1


def test_a_policy_that_changes_lets_the_plan_in(house: "House") -> None:
    house.sign_off(NEVER)
    house.bring("plan", house.consortium.plan())
    _enforce(house)
    house.sign_off(SMALL, 2)
    _enforce(house)
    assert [one.codes for one in _said(house)] == [
        ("endpoint_not_allowed", "network_too_large"),
        ("network_too_large",),
    ]
    house.sign_off("", 3)
    _enforce(house)
    assert house.state("plan", "p1") == "accepted"
    house.bring("round", house.consortium.round(), house.consortium.base)
    _enforce(house)
    house.order_rounds(house.ready())
    assert len(house.ledger.find("job")) == 1


def test_a_declined_plan_is_replaced_by_a_newer_one(house: "House") -> None:
    house.sign_off(SMALL)
    house.bring("plan", house.consortium.plan())
    _enforce(house)
    house.bring("plan", house.consortium.plan("p2"))
    assert house.state("plan", "p1") == "replaced"


def test_an_expired_plan_is_nobodys_business(house: "House") -> None:
    house.bring("plan", house.consortium.plan())
    house.now += timedelta(days=40)
    house.sign_off(SMALL)
    _enforce(house)
    assert house.state("plan", "p1") == "accepted"
    assert not _said(house)


def test_nothing_is_judged_while_the_policy_or_the_roster_is_not_in_order(house: "House") -> None:
    house.sign_off(SMALL)
    roster, house.trusted.roster = house.trusted.roster, None
    house.bring("plan", house.consortium.plan())
    _enforce(house)
    assert house.state("plan", "p1") == "accepted"
    house.trusted.roster = roster
    _altered(house)
    _enforce(house)
    assert house.state("plan", "p1") == "accepted"


def test_a_plan_that_is_not_believed_after_a_restart_is_left(house: "House") -> None:
    house.bring("plan", house.consortium.plan())
    house.trusted.plans.clear()
    house.sign_off(SMALL)
    _enforce(house)
    assert house.state("plan", "p1") == "accepted"


def test_one_round_too_many_is_declined(house: "House") -> None:
    house.sign_off("[ask]\nmax_rounds_per_week = 1")
    house.bring("plan", house.consortium.plan())
    house.ledger.add("update", "p0.r1.a1", "drafted", house.now, {"envelope_id": "e"})
    house.bring("round", house.consortium.round(), house.consortium.base)
    _enforce(house)
    skipped = house.item("round", "p1.r1.a1")
    assert skipped.state == "skipped"
    assert "[too_many_rounds]" in skipped.why
    (said,) = _said(house)
    assert (said.plan_id, said.round_id, said.codes) == ("p1", "p1.r1.a1", ("too_many_rounds",))
    house.now += timedelta(days=8)
    house.bring("round", house.consortium.round(2, deadline=house.consortium.at(20)))
    _enforce(house)
    assert house.state("round", "p1.r2.a1") == "announced"


@pytest.mark.parametrize(
    ("tell", "codes"), [("codes", ("network_too_large",)), ("refused", ()), ("nothing", None)]
)
def test_what_the_consortium_learns_is_the_policys_choice(
    house: "House", tell: str, codes: tuple[str, ...] | None
) -> None:
    house.sign_off(f"{SMALL}[leave]\ntell = '{tell}'")
    house.bring("plan", house.consortium.plan())
    _enforce(house)
    house.dispatch.settle(house.now)
    assert house.state("plan", "p1") == "declined"
    (statement,) = house.ledger.find("statement")
    if codes is None:
        assert statement.state == "kept"
        assert house.outbox.parcels() == []
    else:
        assert _said(house)[0].codes == codes
        (parcel,) = house.outbox.parcels()
        assert parcel.header_path.read_bytes() == house.ledger.document("statement", statement.id)
        assert parcel.blob_path.read_bytes() == b""


def test_an_update_that_nobody_approved_is_told(house: "House") -> None:
    house.bring("plan", house.consortium.plan())
    house.bring("round", house.consortium.round(), house.consortium.base)
    house.policing.not_approved("p1.r1.a1", DEFAULT, house.now)
    house.policing.not_approved("p1.r9.a1", DEFAULT, house.now)
    (said,) = _said(house)
    assert (said.round_id, said.codes) == ("p1.r1.a1", ("not_approved",))


def test_outside_hours(house: "House") -> None:
    local = house.now.astimezone().hour
    outside = f"{(local + 2) % 24:02}-{(local + 3) % 24:02}"
    within = f"{local:02}-{(local + 1) % 24:02}"
    for hours, waits in ((outside, True), (within, False), ("", False)):
        policy = Policy(ask=AskSection(hours=hours))
        assert ("[outside_hours]" in holds_back(Standing(policy), house.now)) is waits
    assert holds_back(Standing(DEFAULT, "Sign it."), house.now) == "Sign it."


def test_a_round_waits_for_the_policys_hour(house: "House") -> None:
    house.bring("plan", house.consortium.plan())
    house.bring("round", house.consortium.round(), house.consortium.base)
    plan = house.trusted.plans["p1"][0]
    house.rounds.order(plan, house.ready(), house.now, "It waits.")
    assert house.item("round", "p1.r1.a1").why == "It waits."
    assert not house.ledger.find("job")
