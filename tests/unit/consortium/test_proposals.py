"""What officers sign: nothing counts without enough of them, and nobody else counts."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import Refused, Stop
from agent.keys import new_signing
from agent.wire.documents import Roster
from agent.wire.signed import parse, sign
from consortium.issuing import propose_roster, publish_signed
from consortium.proposals import (
    Proposal,
    base_roster,
    contents,
    kind_of,
    missing,
    propose,
    read_proposal,
    sign_proposal,
    write_proposal,
)
from consortium.rosters import Changes
from consortium.store import roster
from consortium.wording import describe_proposal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.consortium.conftest import House, Silo

    MakeSilo = Callable[[str], Silo]


def _proposal(house: "House", changes: Changes | None = None) -> Proposal:
    with house.store.reading() as session:
        return propose_roster(session, house.folder, changes or Changes(renew=True), house.now)


def _publish(house: "House", proposal: Proposal) -> list[str]:
    with house.store.writing() as session:
        return publish_signed(session, house.folder, proposal, house.now)


def _code(house: "House", proposal: Proposal) -> str:
    with pytest.raises(Refused) as caught:
        _publish(house, proposal)
    return caught.value.code


def _version(house: "House") -> int:
    with house.store.reading() as session:
        return roster(session).version


def test_two_of_three_officers_publish_a_roster(house: "House", tmp_path: Path) -> None:
    house.enrol("a")
    proposal, path = _proposal(house), tmp_path / "roster.json"
    for officer, lacks in (
        (house.officers[0], ["The roster has 1 of 2 signatures."]),
        (house.officers[2], []),
    ):
        write_proposal(path, proposal)
        proposal = sign_proposal(read_proposal(path), officer)
        assert missing(proposal) == lacks
    assert _publish(house, proposal) == ["Roster 3"]
    assert _version(house) == 3


def test_one_officer_alone_is_too_few(house: "House") -> None:
    proposal = sign_proposal(_proposal(house), house.officers[0])
    assert _code(house, proposal) == "too_few_signatures"
    again = sign_proposal(proposal, house.officers[0])
    assert _code(house, again) == "too_few_signatures", "the same officer twice is one"
    assert _version(house) == 1


def test_nobodys_signature_is_refused(house: "House") -> None:
    assert _code(house, _proposal(house)) == "unknown_signer"


def test_the_online_key_signs_no_roster(house: "House") -> None:
    with pytest.raises(Refused, match="not_officer"):
        sign_proposal(_proposal(house), house.signers.aggregator)
    payload = parse(contents(_proposal(house))[0]).payload
    forged = sign("roster", payload, house.signers.aggregator)
    root = house.folder.trust_root.read_bytes()
    assert _code(house, propose(root, [forged])) == "unknown_signer"


def test_a_root_that_the_file_brings_is_not_believed(house: "House") -> None:
    """The file's own root names its author as officer; the aggregator's does not."""
    thief = new_signing("officer")
    proposal = _proposal(house)
    real = parse(base64.b64decode(proposal.root)).payload
    for officer in house.officers:
        real = real.replace(officer.public_hex.encode(), thief.public_hex.encode())
    forged = proposal.model_copy(
        update={"root": base64.b64encode(sign("root", real, thief)).decode()}
    )
    payload = parse(contents(proposal)[0]).payload
    forged = forged.model_copy(
        update={"documents": (base64.b64encode(sign("roster", payload, thief)).decode(),)}
    )
    assert _code(house, forged) == "unknown_signer"


def test_a_changed_payload_loses_its_signatures(house: "House") -> None:
    proposal = _proposal(house)
    for officer in house.officers:
        proposal = sign_proposal(proposal, officer)
    container = base64.b64decode(proposal.documents[0])
    payload = parse(container).payload
    altered = container.replace(
        base64.b64encode(payload), base64.b64encode(payload.replace(b"2027", b"2037"))
    )
    changed = proposal.model_copy(update={"documents": (base64.b64encode(altered).decode(),)})
    assert altered != container
    assert _code(house, changed) == "bad_signature"


def test_a_proposal_that_another_has_overtaken_is_stale(house: "House") -> None:
    late = _proposal(house)
    for officer in house.officers[:2]:
        late = sign_proposal(late, officer)
    house.later(1)
    house.change(Changes(renew=True))
    assert _code(house, late) == "stale_roster"
    assert _version(house) == 2


def test_the_same_roster_published_twice_is_the_same(house: "House") -> None:
    proposal = _proposal(house)
    for officer in house.officers[:2]:
        proposal = sign_proposal(proposal, officer)
    assert _publish(house, proposal) == _publish(house, proposal) == ["Roster 2"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda one: one.model_copy(update={"members": ()}), "lost_member"),
        (
            lambda one: one.model_copy(
                update={
                    "members": tuple(
                        each.model_copy(update={"revoked": False}) for each in one.members
                    )
                }
            ),
            "un_revoked",
        ),
        (
            lambda one: one.model_copy(
                update={
                    "members": tuple(
                        each.model_copy(update={"seal_key": "ee" * 32}) for each in one.members
                    )
                }
            ),
            "unknown_key",
        ),
        (
            lambda one: one.model_copy(
                update={
                    "members": (*one.members, one.members[0].model_copy(update={"silo": "puppet"}))
                }
            ),
            "unknown_key",
        ),
        (
            lambda one: one.model_copy(
                update={
                    "members": tuple(
                        each.model_copy(update={"pq_sign_key": "ee" * 1952}) for each in one.members
                    )
                }
            ),
            "unknown_key",
        ),
        (lambda one: one.model_copy(update={"version": 9}), "stale_roster"),
        (lambda one: one.model_copy(update={"consortium": "other"}), "wrong_consortium"),
        (lambda one: one.model_copy(update={"expires": "2020-01-01T00:00:00Z"}), "expired"),
    ],
    ids=[
        "lost",
        "un-revoked",
        "swapped-key",
        "puppet",
        "swapped-pq-key",
        "jump",
        "other",
        "expired",
    ],
)
def test_what_even_officers_cannot_publish(
    house: "House", change: "Callable[[Roster], Roster]", code: str
) -> None:
    house.enrol("a", "b")
    house.change(Changes(revoke=("b",)))
    new = Roster.parse(parse(contents(_proposal(house))[0]).payload)
    signed = sign("roster", change(new).to_bytes(), *house.officers)
    assert _code(house, propose(house.folder.trust_root.read_bytes(), [signed])) == code
    assert _version(house) == 4


def test_it_is_said_in_words_what_would_change(house: "House", new_silo: "MakeSilo") -> None:
    house.enrol("a", "b")
    house.enrolment.enrol(house.request(new_silo("c"), house.token("c")), house.now)
    words = describe_proposal(_proposal(house, Changes(admit=None, renew=True, revoke=("b",))))
    text = "\n".join(words)
    assert "Roster 3 becomes 4" in text
    assert "c (Company): is admitted until" in text
    assert "b: is REVOKED for good" in text
    assert "a: stays until" not in text, "the year has not changed within the same second"
    base = _proposal(house).model_copy(update={"base": ""})
    assert "A first roster" in "\n".join(describe_proposal(base))
    assert base_roster(base) is None


def test_a_base_that_officers_did_not_sign_is_refused(house: "House") -> None:
    forged = sign("roster", b"{}", house.signers.aggregator)
    proposal = _proposal(house).model_copy(update={"base": base64.b64encode(forged).decode()})
    with pytest.raises(Refused, match="unknown_signer"):
        describe_proposal(proposal)


def test_other_documents_are_not_signed(house: "House") -> None:
    with pytest.raises(Refused, match="wrong_type"):
        kind_of(sign("receipt", b"{}"))
    broken = _proposal(house).model_copy(update={"documents": ("?",)})
    with pytest.raises(Refused, match="malformed"):
        contents(broken)


def test_a_file_that_is_no_proposal_is_said(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="Cannot read"):
        read_proposal(tmp_path / "nothing")
    (tmp_path / "other").write_text("{}")
    with pytest.raises(Stop, match="no proposal"):
        read_proposal(tmp_path / "other")


def test_what_no_aggregator_publishes_is_said_loudly(house: "House") -> None:
    house.enrol("a", "b")
    house.change(Changes(revoke=("b",)))
    house.later(3600)
    proposal = _proposal(house)
    new = Roster.parse(parse(contents(proposal)[0]).payload)
    (first, second) = new.members
    forged = new.model_copy(
        update={
            "members": (
                second.model_copy(update={"revoked": False, "legal_entity": "Other Company"}),
            )
        }
    )
    document = base64.b64encode(sign("roster", forged.to_bytes())).decode()
    text = "\n".join(describe_proposal(proposal.model_copy(update={"documents": (document,)})))
    assert f"{first.silo}: is LEFT OUT" in text
    assert "b: its revocation is TAKEN BACK" in text
    assert "b: is called 'Other Company' instead of 'Company'" in text
    assert "a: stays until" in "\n".join(describe_proposal(proposal))


def test_another_plan_of_the_same_name_is_not_published(house: "House") -> None:
    house.enrol("a", "b")
    plan = house.plan()
    other = plan.model_copy(update={"quorum": 1})
    signed = sign("plan", other.to_bytes(), *house.officers)
    proposal = propose(house.folder.trust_root.read_bytes(), [signed])
    assert _code(house, proposal) == "plan_exists"
