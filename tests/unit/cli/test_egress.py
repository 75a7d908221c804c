import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.boxes import Outbox
from agent.clock import to_text
from agent.errors import Refused, Stop, TryLater
from agent.exchange.transport_log import TransportLog, Trip
from agent.keeper.requests import take_all
from agent.keeper.statements import Statements
from agent.keys import load_signing
from agent.ledger import egress
from agent.ledger.book import Ledger
from agent.wire.masking.audit import KIND, Announcement, Answers, Challenge
from agent.wire.signed import sign
from tests.kit.consortium import NAME, SILO, START, Consortium
from tests.kit.departures import BLOB, leaf

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home


class Silo:
    """An enrolled silo with two updates that left, and whoever signs its statements."""

    def __init__(self, home: "Home") -> None:
        self.home = home
        self.consortium = Consortium()
        self.consortium.enrol(home.paths)
        with Ledger(home.paths.ledger) as ledger:
            for number in (1, 2):
                egress.book(ledger, leaf(number, START))
        self.first = leaf(1, START).envelope_id

    def statements(self, ledger: Ledger) -> Statements:
        signer = load_signing(self.home.paths.keys / "sign.key", "sign")
        return Statements(ledger, Outbox(self.home.paths.outbox), signer, SILO, NAME)

    def say_root(self, *, countersigned: bool = False) -> None:
        with Ledger(self.home.paths.ledger) as ledger:
            assert self.statements(ledger).say_root(START, at_once=True)
            item = ledger.find("statement")[-1]
            if countersigned:
                ledger.move(item, "acknowledged", START)
                receipt = self.consortium.receipt(item.id)
                ledger.put_document("receipt", item.id, receipt, START)

    def prove(self, tmp_path: Path, envelope: str = "") -> Path:
        path = tmp_path / "proof.json"
        said = self.home.said("egress", "prove", envelope or self.first, "--output", str(path))
        assert "onggi egress verify" in said
        return path


@pytest.fixture
def silo(home: "Home") -> Silo:
    return Silo(home)


def test_every_decision_is_listed(silo: Silo) -> None:
    said = silo.home.said("egress", "--verify")
    assert "All 2 line(s) of the log are whole" in " ".join(said.split())
    with Ledger(silo.home.paths.ledger) as ledger:
        egress.decide(ledger, silo.first, "held", "Kim [IT]", START, 0)
    said = silo.home.said("egress")
    assert "whole" not in said
    assert "held by Kim [IT]" in " ".join(said.split())
    listed = silo.home.json("egress")
    assert listed["verified"] is None
    assert listed["lines"][0]["envelope_id"] == silo.first
    assert listed["lines"][0]["decision"] == "released"
    assert silo.home.json("egress", "list")["lines"] == listed["lines"]
    assert silo.home.json("egress", "verify")["verified"] == 3


def test_an_altered_line_is_told(silo: Silo) -> None:
    with Ledger(silo.home.paths.ledger) as ledger:
        ledger.connection.execute("UPDATE egress SET hash = x'00'")
    error = silo.home.error("egress", "--verify")
    assert isinstance(error, Refused)
    assert error.code == "broken_tree"


def _carry(silo: Silo, *trips: tuple[str, int]) -> None:
    with TransportLog(silo.home.paths.courier / "transport.ndjson") as log:
        for target, up in trips:
            log.record(Trip("PUT", f"/v1/envelopes/{target}", 200, up, 1), START)


def test_the_couriers_log_is_checked_with_it(silo: Silo) -> None:
    _carry(silo, (f"{silo.first}/header", 8))
    said = " ".join(silo.home.said("egress", "--verify").split())
    assert "The courier's own log is whole, too: 1 requests, 8 bytes of bodies up" in said


def test_a_proof_needs_a_signed_root(silo: Silo) -> None:
    error = silo.home.error("egress", "prove", silo.first)
    assert isinstance(error, Refused)
    assert error.code == "no_root"
    assert "egress root --now" in str(error)


@pytest.mark.parametrize("start", ["zz", ""])
def test_a_proof_of_nothing(silo: Silo, start: str) -> None:
    assert "unknown_envelope" in str(silo.home.error("egress", "prove", start))


def test_a_proof_is_checked_offline(silo: Silo, tmp_path: Path) -> None:
    silo.say_root()
    path = silo.prove(tmp_path)
    said = silo.home.said("egress", "verify", str(path))
    assert f"It is true: {SILO}'s log has leaf 1 of 2" in said
    assert "countersigned" not in said
    found = silo.home.json("egress", "verify", str(path))
    assert (found["envelope_id"], found["countersigned"]) == (silo.first, False)
    key = load_signing(silo.home.paths.keys / "sign.key", "sign").public_hex
    assert "It is true" in silo.home.said("egress", "verify", str(path), "--key", key)
    assert "unknown_signer" in str(
        silo.home.error("egress", "verify", str(path), "--key", "ab" * 32)
    )


def test_a_proof_on_the_screen(silo: Silo) -> None:
    silo.say_root()
    proof = json.loads(silo.home.said("egress", "prove", silo.first[:12]))
    assert (proof["index"], len(proof["path"])) == (0, 1)


def test_a_countersigned_root_is_taken_before_a_newer_one(silo: Silo, tmp_path: Path) -> None:
    silo.say_root(countersigned=True)
    silo.say_root()
    path = silo.prove(tmp_path)
    said = silo.home.said("egress", "verify", str(path))
    assert "leaf 1 of 2" in said
    assert "The aggregator countersigned that root." in said


def test_a_receipt_for_another_root_is_told(silo: Silo, tmp_path: Path) -> None:
    silo.say_root(countersigned=True)
    with Ledger(silo.home.paths.ledger) as ledger:
        item = ledger.find("statement")[0]
        ledger.put_document("receipt", item.id, silo.consortium.receipt("e" * 64), START)
    path = silo.prove(tmp_path)
    assert "wrong_receipt" in str(silo.home.error("egress", "verify", str(path)))


def test_what_a_check_needs_is_named(silo: Silo, tmp_path: Path) -> None:
    silo.say_root(countersigned=True)
    path = silo.prove(tmp_path)
    assert "Cannot read" in str(silo.home.error("egress", "verify", str(tmp_path / "none")))
    trust = silo.home.paths.trust
    root = (trust / "root.json").read_bytes()
    (trust / "root.json").unlink()
    assert "trust root" in str(silo.home.error("egress", "verify", str(path)))
    (trust / "root.json").write_bytes(root)
    silo.consortium.members = ()
    (trust / "roster.json").write_bytes(silo.consortium.roster())
    assert "lacks this silo" in str(silo.home.error("egress", "verify", str(path)))
    (trust / "roster.json").unlink()
    error = silo.home.error("egress", "verify", str(path))
    assert isinstance(error, Stop)
    assert "--key" in str(error)


def test_the_roots_are_shown(silo: Silo) -> None:
    silo.say_root(countersigned=True)
    silo.say_root()
    shown = silo.home.json("egress", "root")
    assert [one["state"] for one in shown["signed"]] == ["countersigned", "signed"]
    assert [one["size"] for one in shown["signed"]] == [2, 3]
    assert shown["size"] == 4
    said = silo.home.said("egress", "root")
    assert f"{shown['root']}  4 leaves, now" in said
    assert "2 leaves, 2026-03-01, countersigned" in said


def test_a_root_is_asked_of_the_keeper(silo: Silo, monkeypatch: pytest.MonkeyPatch) -> None:
    def keeper(_path: Path) -> bool:
        taken: list[str] = []
        take_all(silo.home.paths.requests, lambda request, _: taken.append(request.action))
        assert taken == ["root"]
        silo.say_root()
        return True

    monkeypatch.setattr("agent.cli.asking._taken", keeper)
    assert len(silo.home.json("egress", "root", "--now")["signed"]) == 1


def test_a_keeper_that_does_not_run(silo: Silo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.cli.asking._WAIT_S", 0.05)
    assert isinstance(silo.home.error("egress", "root", "--now"), TryLater)
    assert len(list(silo.home.paths.requests.iterdir())) == 1
    silo.home.paths.requests.rename(silo.home.root / "away")
    assert isinstance(silo.home.error("egress", "root", "--now"), Stop)


def test_the_reconciliation_by_hand(silo: Silo) -> None:
    first = silo.first
    _carry(silo, (f"{first}/header", 8), (f"{first}/blob?offset=0", len(BLOB)))
    assert "They agree: 2 requests" in silo.home.said("egress", "reconcile")
    assert silo.home.json("egress", "reconcile")["faults"] == []
    _carry(silo, ("f" * 64 + "/header", 10))
    error = silo.home.error("egress", "reconcile")
    assert isinstance(error, Refused)
    assert error.code == "egress_differs"
    result = silo.home.run("egress", "reconcile", "--json")
    assert result.exit_code != 0
    assert "unknown_envelope" in json.loads(result.stdout)["faults"][0]


def test_an_alarm_is_settled_by_the_keeper(silo: Silo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.cli.asking._taken", lambda _path: True)
    said = silo.home.said("egress", "reconcile", "--settle", "--by", "Kim")
    assert "The alarm has ended" in said
    (request,) = silo.home.paths.requests.iterdir()
    fields = json.loads(request.read_bytes())
    assert (fields["action"], fields["by"]) == ("settle", "Kim")


def test_an_auditors_challenge_is_answered_into_a_file(silo: Silo, tmp_path: Path) -> None:
    said = Announcement(consortium=NAME, rounds={"p.r1.a1": "0" * 64}, created=to_text(START))
    signed = sign(KIND, said.to_bytes(), silo.consortium.aggregator)
    asked, out = tmp_path / "challenge.json", tmp_path / "answer.json"
    announcement = base64.b64encode(signed).decode("ascii")
    asked.write_bytes(Challenge(announcement=announcement, coin="ab" * 32, count=1).to_bytes())
    refused = silo.home.error("egress", "answer", str(asked), "--out", str(out))
    assert "nothing_to_answer" in str(refused)
    with Ledger(silo.home.paths.ledger) as ledger:
        for step in ("keys", "upload"):
            row = {"manifest_sha256": "0" * 64, "message": f"{step}00", "seen": ""}
            ledger.put_document("masked", f"p.r1.a1/{step}", json.dumps(row).encode(), START)
    assert "1 round(s)" in silo.home.said("egress", "answer", str(asked), "--out", str(out))
    (found,) = Answers.parse(out.read_bytes()).answers
    assert (found.silo, found.keys, found.upload, found.ack) == (SILO, "keys00", "upload00", "")
    missing = silo.home.error("egress", "answer", str(tmp_path / "none"), "--out", str(out))
    assert isinstance(missing, Stop)
