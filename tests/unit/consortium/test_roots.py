"""Root rotation: old officers hand over, new ones take over, and silos walk the chain."""

import base64
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused, Stop
from agent.keys import SigningIdentity, load_signing, new_signing, next_key, promote
from agent.wire.documents import EnrolmentResponse, TrustRoot
from agent.wire.signed import key_id, parse, sign
from agent.wire.trusted import Trusted
from consortium import roots
from consortium.feed import read_feed
from consortium.founding import Council, found, root_sha256
from consortium.issuing import believed, propose_root, publish_signed
from consortium.membership import root_warnings
from consortium.proposals import Proposal, missing, propose, sign_proposal
from consortium.roots import (
    Handover,
    first_root,
    next_root,
    prepare_aggregator_key,
    published_roots,
    root_in_force,
    settle_keys,
)
from consortium.rosters import Changes
from consortium.wording import describe_proposal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.consortium.conftest import House, Silo

    MakeSilo = Callable[[str], Silo]


def _proposal(house: "House", handover: Handover) -> Proposal:
    with house.store.reading() as session:
        return propose_root(session, house.folder, handover, house.now)


def _publish(house: "House", proposal: Proposal, *officers: SigningIdentity) -> list[str]:
    for officer in officers:
        proposal = sign_proposal(proposal, officer)
    with house.store.writing() as session:
        return publish_signed(session, house.folder, proposal, house.now)


def _code(house: "House", proposal: Proposal, *officers: SigningIdentity) -> str:
    with pytest.raises(Refused) as caught:
        _publish(house, proposal, *officers)
    with house.store.reading() as session:
        assert root_in_force(session, house.folder).version == 1
    return caught.value.code


def _swap(house: "House", new: SigningIdentity) -> Handover:
    """The third officer leaves, and another comes in."""
    return Handover(add=(new.public_hex,), remove=(key_id(house.officers[2].public_hex)[:12],))


def test_a_handover_is_believed_by_old_and_new_silos(house: "House", new_silo: "MakeSilo") -> None:
    house.enrol("a", "b")
    house.plan()
    old = believed_by(house)
    new = new_signing("officer")
    done = _publish(house, _proposal(house, _swap(house, new)), *house.officers[:2], new)
    assert done == ["Trust root 2", "Roster 3", "Catalogue", "Plan p1"]
    with house.store.reading() as session:
        feed = read_feed(session, "a", 0)
    for item in feed.items:
        content = base64.b64decode(item.document)
        if item.kind == "root":
            old.take_root(content)
        elif item.kind == "roster":
            old.take_roster(content, house.now)
        elif item.kind == "plan" and old.root.version == 2:
            old.take_plan(content, house.now)
    assert old.root.version == 2
    house.officers = (new, house.officers[0], house.officers[1])
    silo = new_silo("c")
    request = house.request(silo, house.token("c"))
    house.enrolment.enrol(request, house.now)
    house.change(Changes(admit=None))
    answer = EnrolmentResponse.parse(house.enrolment.enrol(request, house.now).content)
    chain = [base64.b64decode(one) for one in answer.chain]
    fresh = Trusted(base64.b64decode(answer.root), root_sha256(house.folder), house.now, chain)
    assert fresh.root.version == 2
    fresh.take_catalogue(base64.b64decode(answer.catalogue))
    assert len(fresh.take_roster(base64.b64decode(answer.roster), house.now).members) == 3


def believed_by(house: "House") -> Trusted:
    with house.store.reading() as session:
        return believed(session, house.folder, house.now)


def test_the_new_officers_alone_cannot_take_over(house: "House") -> None:
    new = [new_signing("officer") for _ in range(2)]
    handover = Handover(
        add=tuple(one.public_hex for one in new),
        remove=tuple(key_id(one.public_hex) for one in house.officers[:2]),
    )
    proposal = _proposal(house, handover)
    assert _code(house, proposal, *new) == "unknown_signer"
    assert _code(house, proposal, house.officers[0], *new) == "too_few_signatures"


def test_the_old_officers_alone_cannot_hand_over(house: "House") -> None:
    new = [new_signing("officer") for _ in range(2)]
    handover = Handover(
        add=tuple(one.public_hex for one in new),
        remove=tuple(key_id(one.public_hex) for one in house.officers),
    )
    assert _code(house, _proposal(house, handover), *house.officers) == "unknown_signer"


def test_a_root_that_skips_a_version_is_refused(house: "House") -> None:
    with house.store.reading() as session:
        root = next_root(root_in_force(session, house.folder), Handover(threshold=1), house.now)
    third = root.model_copy(update={"version": 3})
    signed = sign("root", third.to_bytes(), *house.officers)
    assert _code(house, propose(first_root(house.folder), [signed])) == "skipped_root"
    again = root.model_copy(update={"version": 1})
    signed = sign("root", again.to_bytes(), *house.officers)
    assert _code(house, propose(first_root(house.folder), [signed])) == "rolled_back"
    other = root.model_copy(update={"consortium": "other"})
    signed = sign("root", other.to_bytes(), *house.officers)
    assert _code(house, propose(first_root(house.folder), [signed])) == "wrong_consortium"


def test_what_comes_with_a_root_needs_the_new_officers(house: "House") -> None:
    new = [new_signing("officer") for _ in range(2)]
    handover = Handover(
        add=tuple(one.public_hex for one in new),
        remove=tuple(key_id(one.public_hex) for one in house.officers[1:]),
    )
    proposal = _proposal(house, handover)
    assert [line.split(" has ")[0] for line in missing(proposal)] == [
        "The root",
        "The root",
        "The roster",
        "The catalogue",
    ]
    assert _publish(house, proposal, house.officers[0], house.officers[1], *new)


def test_the_online_key_changes_at_once_and_after_a_kill(house: "House") -> None:
    old = house.signers.aggregator.public_hex
    public = prepare_aggregator_key(house.folder, house.now)
    assert prepare_aggregator_key(house.folder, house.now) == public
    with house.store.reading() as session:
        settle_keys(house.folder, root_in_force(session, house.folder))
    assert house.signers.aggregator.public_hex == old, "not before the root names it"
    _publish(house, _proposal(house, Handover(aggregator=public)), *house.officers[:2])
    assert next_key(house.folder.aggregator_key).exists(), "killed here"
    for _ in range(2):
        with house.store.reading() as session:
            settle_keys(house.folder, root_in_force(session, house.folder))
    assert house.signers.aggregator.public_hex == public
    assert load_signing(house.folder.aggregator_key, "aggregator").public_hex == public
    assert not next_key(house.folder.aggregator_key).exists()


@pytest.mark.parametrize("step", ["load_signing", "promote"])
def test_the_command_and_the_engine_may_settle_the_key_at_once(
    house: "House", monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    public = prepare_aggregator_key(house.folder, house.now)
    _publish(house, _proposal(house, Handover(aggregator=public)), *house.officers[:2])
    real = getattr(roots, step)

    def second(path: "Path", *rest: object, **options: object) -> object:
        promote(house.folder.aggregator_key, keep=False)  # the other process comes first
        return real(path, *rest, **options)

    monkeypatch.setattr(roots, step, second)
    with house.store.reading() as session:
        settle_keys(house.folder, root_in_force(session, house.folder))
    assert house.signers.aggregator.public_hex == public


def test_serve_takes_a_new_online_key_where_its_publication_was_killed(house: "House") -> None:
    """Silos would else refuse each round until somebody starts `serve` anew."""
    house.enrol("a", "b")
    house.tick()
    public = prepare_aggregator_key(house.folder, house.now)
    _publish(house, _proposal(house, Handover(aggregator=public)), *house.officers[:2])
    assert next_key(house.folder.aggregator_key).exists(), "killed here"
    house.plan()
    house.tick()
    assert house.signers.aggregator.public_hex == public
    assert not next_key(house.folder.aggregator_key).exists()
    trusted = Trusted(first_root(house.folder), root_sha256(house.folder), house.now)
    with house.store.reading() as session:
        for content in published_roots(session, house.folder)[1:]:
            trusted.take_root(content)
        feed = read_feed(session, "a", 0)
    items = {item.kind: base64.b64decode(item.document) for item in feed.items}
    trusted.take_catalogue(items["catalogue"])
    trusted.take_plan(items["plan"], house.now)
    assert trusted.take_round(items["round"], house.now).number == 1


def test_a_damaged_next_key_does_not_stop_the_engine(
    house: "House", caplog: pytest.LogCaptureFixture
) -> None:
    house.enrol("a", "b")
    public = prepare_aggregator_key(house.folder, house.now)
    _publish(house, _proposal(house, Handover(aggregator=public)), *house.officers[:2])
    path = next_key(house.folder.aggregator_key)
    path.chmod(0o600)
    path.write_bytes(b"damaged")
    house.plan()
    for _ in range(3):
        house.tick()
    assert house.round().number == 1
    assert [one.message for one in caplog.records].count("online_key_not_settled") == 1


def test_a_root_that_ends_soon_is_said(house: "House") -> None:
    with house.store.reading() as session:
        root = root_in_force(session, house.folder)
    assert root_warnings(root, house.now) == []
    house.later(3630 * 86400)
    assert "root rotate" in root_warnings(root, house.now)[0]


@pytest.mark.parametrize(
    ("handover", "code"),
    [
        (Handover(remove=("ffff",)), "unknown_officer"),
        (Handover(remove=("",)), "unknown_officer"),
        (Handover(add=("xyz",)), "malformed"),
        (Handover(add=("AB" * 32,)), "malformed"),
        (Handover(threshold=4), "bad_threshold"),
        (Handover(add=tuple(f"{n:02x}" * 32 for n in range(8))), "bad_threshold"),
    ],
)
def test_a_handover_that_cannot_be_is_refused(
    house: "House", handover: Handover, code: str
) -> None:
    with pytest.raises(Refused, match=code):
        _proposal(house, handover)


def test_an_officer_comes_in_once(house: "House") -> None:
    with pytest.raises(Refused, match="already_officer"):
        _proposal(house, Handover(add=(house.officers[0].public_hex,)))


def test_it_is_said_in_words_who_comes_and_goes(house: "House") -> None:
    house.enrol("a")
    house.plan(quorum=1)
    new = new_signing("officer")
    handover = Handover(add=(new.public_hex,), threshold=3)
    text = "\n".join(describe_proposal(_proposal(house, handover)))
    assert "Trust root 1 becomes 2" in text
    assert f"roster: key {key_id(new.public_hex)[:16]} comes in" in text
    assert "plan: 3 signatures instead of 2" in text
    assert "Plan p1 version 1" in text
    assert "Catalogue 1:" in text
    leaves = describe_proposal(_proposal(house, _swap(house, new)))
    assert any("leaves" in line for line in leaves)


def test_a_root_with_another_role_is_said(house: "House") -> None:
    with house.store.reading() as session:
        known = root_in_force(session, house.folder)
    keys = known.roles["aggregator"]
    fewer = {name: role for name, role in known.roles.items() if name != "aggregator"}
    changed = known.model_copy(update={"version": 2, "roles": {**fewer, "targets": keys}})
    proposal = propose(first_root(house.folder), [sign("root", changed.to_bytes())])
    text = "\n".join(describe_proposal(proposal))
    assert "aggregator: 0 signatures instead of 1" in text
    assert "targets: 1 signatures instead of 0" in text


@pytest.mark.parametrize(("officers", "threshold"), [(2, 3), (10, 2), (1, 0)])
def test_a_council_that_cannot_be_is_said(
    house: "House", tmp_path: "Path", officers: int, threshold: int
) -> None:
    with pytest.raises(Stop, match="cannot be"):
        found(tmp_path / "other", house.settings, house.now, Council(officers, threshold))
    assert not (tmp_path / "other").exists()


def test_a_toy_has_one_officer(house: "House", tmp_path: "Path") -> None:
    found(tmp_path / "toy", house.settings, house.now, Council(1, 1))
    held = sorted(path.name for path in (tmp_path / "toy" / "offline").iterdir())
    assert held == ["officer-1.key", "tuf-root-1.key", "tuf-targets-1.key"]


def test_a_missing_first_root_is_said(house: "House") -> None:
    house.folder.trust_root.unlink()
    with house.store.reading() as session, pytest.raises(Stop, match="restore it"):
        published_roots(session, house.folder)


def test_serving_needs_no_officer(house: "House") -> None:
    payload = TrustRoot.parse(parse(first_root(house.folder)).payload)
    officers = {key_id(one.public_hex) for one in house.officers}
    for role in ("root", "roster", "plan"):
        assert set(payload.roles[role].keys) == officers
        assert payload.roles[role].threshold == 2
    for path in house.folder.offline.iterdir():
        path.unlink()
    house.restart()
    assert not house.tick()
    held = {path.name for path in house.folder.keys.iterdir()}
    online = ("snapshot", "timestamp", "stable", "canary")
    assert held == {"aggregator.key", *(f"tuf-{role}.key" for role in online)}
