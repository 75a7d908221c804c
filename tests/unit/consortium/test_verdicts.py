"""What silos say of releases: every refusal by its name, and what the operator sees."""

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from agent.clock import to_text
from agent.files import sha256_bytes
from agent.keys import SigningIdentity, new_signing
from agent.wire.documents import Receipt, Refusal
from agent.wire.signed import parse, sign
from agent.wire.verdict import HeadWord, Verdict
from consortium.answers import Answer
from consortium.cli import main
from consortium.rosters import Changes
from consortium.status import read_status

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House


@pytest.fixture
def released(running: "House") -> "House":
    for name in "abc":
        running.deliver(name, running.seal(name))
    running.settle()
    return running


def _verdict(house: "House", **changes: object) -> Verdict:
    with house.store.reading() as session:
        releases = read_status(session, house.folder, "demo", house.now)["releases"]
    assert isinstance(releases, list)
    assert isinstance(releases[0], dict)
    verdict = Verdict(
        consortium="demo",
        silo="a",
        release_id="release-1",
        weights_sha256=str(releases[0]["weights_sha256"]),
        outcome="taken",
        created=to_text(house.now),
    )
    return verdict.model_copy(update=changes)


def _say(house: "House", verdict: Verdict, signer: SigningIdentity | None = None) -> Answer:
    content = sign("verdict", verdict.to_bytes(), signer or house.silos["a"].sign)
    answer = house.desk.put_header(sha256_bytes(content), "a", content, house.now)
    assert isinstance(answer, Answer)
    return answer


def _shown(house: "House") -> list[dict[str, object]]:
    result = CliRunner().invoke(main, ["status", "--json", "--folder", str(house.folder.root)])
    shown: list[dict[str, object]] = json.loads(result.output)["releases"][0]["verdicts"]
    return shown


def test_a_verdict_gets_a_receipt_and_shows(released: "House") -> None:
    first = _say(released, _verdict(released))
    receipt = Receipt.parse(parse(first.document).payload)
    assert (receipt.silo, receipt.round_id) == ("a", "release-1")
    assert _say(released, _verdict(released)).document == first.document  # asked again
    (shown,) = _shown(released)
    assert (shown["silo"], shown["outcome"], shown["reason"]) == ("a", "taken", None)
    printed = CliRunner().invoke(main, ["status", "--folder", str(released.folder.root)]).output
    assert "release release-1 p1.r1.a1: a taken" in printed


def test_the_newest_word_of_a_silo_counts(released: "House") -> None:
    _say(released, _verdict(released))
    released.later(60)
    heads = (HeadWord(task="logd", outcome="worse"),)
    later = _verdict(released, outcome="refused", reason="does_not_load", heads=heads)
    _say(released, later)
    (shown,) = _shown(released)
    assert (shown["outcome"], shown["heads"]) == ("refused", {"logd": "worse"})
    printed = CliRunner().invoke(main, ["status", "--folder", str(released.folder.root)]).output
    assert "a refused (does_not_load)" in printed


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"silo": "b"}, "wrong_silo"),
        ({"consortium": "other"}, "wrong_consortium"),
        ({"release_id": "release-9"}, "unknown_release"),
        ({"weights_sha256": "0" * 64}, "unknown_release"),
        ({"reason": "worse"}, "malformed"),
    ],
)
def test_a_verdict_that_is_not_believed(
    released: "House", changes: dict[str, object], code: str
) -> None:
    answer = _say(released, _verdict(released, **changes))
    assert (answer.kind, answer.code) == ("refusal", code)
    assert Refusal.parse(parse(answer.document).payload).code == code
    assert _shown(released) == []


def test_a_stranger_and_a_revoked_silo_have_no_say(released: "House") -> None:
    assert _say(released, _verdict(released), new_signing("sign")).code == "unknown_signer"
    content = sign("verdict", _verdict(released).to_bytes(), released.silos["a"].sign)
    unknown = released.desk.put_header(sha256_bytes(content), "z", content, released.now)
    assert isinstance(unknown, Answer)
    assert unknown.code == "unknown_signer"
    released.change(Changes(revoke=frozenset({"a"})))
    assert _say(released, _verdict(released)).code == "revoked"
