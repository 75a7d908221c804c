"""What silos say of their own accord: each refusal by its name, and the countersigned roots."""

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from agent.clock import to_text
from agent.errors import Refused
from agent.files import sha256_bytes
from agent.keys import SigningIdentity, new_signing
from agent.wire import merkle
from agent.wire.documents import Plan, Receipt, Refusal
from agent.wire.signed import parse, sign
from agent.wire.statements import Declined, EgressRoot, Proof, prove
from consortium.answers import Answer
from consortium.cli import main
from consortium.rosters import Changes
from consortium.statements import check_proof
from consortium.status import describe, read_status
from consortium.store import Store
from consortium.tables import PlanRow
from tests.kit.departures import leaf

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.consortium.conftest import House


def _declined(house: "House", **changes: object) -> Declined:
    with house.store.reading() as session:
        plan = session.get_one(PlanRow, "p1")
    assert Plan.parse(plan.payload).plan_id == "p1"
    return Declined(
        consortium="demo",
        silo="a",
        plan_id="p1",
        plan_sha256=plan.payload_sha256,
        codes=("network_too_large", "peer_not_pinned"),
        created=to_text(house.now),
    ).model_copy(update=changes)


def _bring(
    house: "House",
    document: Declined | EgressRoot,
    silo: str = "a",
    signer: SigningIdentity | None = None,
) -> Answer:
    content = sign(document.kind, document.to_bytes(), signer or house.silos[silo].sign)
    answer = house.desk.put_header(sha256_bytes(content), silo, content, house.now)
    assert isinstance(answer, Answer)
    again = house.desk.put_header(sha256_bytes(content), silo, content, house.now)
    assert again == answer, "the same question gets the same bytes"
    return answer


def _status(house: "House", key: str) -> Any:  # noqa: ANN401 - whatever JSON it is
    with house.store.reading() as session:
        return read_status(session, house.folder, "demo", house.now)[key]


class Log:
    """A silo's egress log."""

    def __init__(self, house: "House") -> None:
        self.house = house
        self.contents: list[bytes] = []
        self.after: EgressRoot | None = None

    def grow(self, count: int) -> None:
        start = len(self.contents)
        self.contents += [leaf(n, self.house.now).to_bytes() for n in range(start, start + count)]

    def root(self) -> EgressRoot:
        hashes = [merkle.leaf_hash(content) for content in self.contents]
        after = self.after.size if self.after else 0
        return EgressRoot(
            consortium="demo",
            silo="a",
            size=len(hashes),
            root=merkle.root(hashes).hex(),
            after_size=after,
            after_root=self.after.root if self.after else merkle.EMPTY_ROOT.hex(),
            consistency=tuple(step.hex() for step in merkle.consistency_proof(hashes, after)),
            created=to_text(self.house.now),
        )


def test_a_declined_plan_is_acknowledged_and_shown(running: "House") -> None:
    answer = _bring(running, _declined(running))
    receipt = Receipt.parse(parse(answer.document).payload)
    assert (receipt.silo, receipt.round_id, receipt.log_index) == ("a", "", 1)
    _bring(running, _declined(running, silo="b", round_id="p1.r1.a1", codes=()), "b")
    first, second = _status(running, "declined")
    assert (first["silo"], first["plan_id"]) == ("a", "p1")
    assert first["codes"] == ["network_too_large", "peer_not_pinned"]
    assert second["round_id"] == "p1.r1.a1"
    with running.store.reading() as session:
        said = describe(read_status(session, running.folder, "demo", running.now))
    assert "declined p1 by a: network_too_large, peer_not_pinned" in said
    assert "declined p1.r1.a1 by b: without a reason" in said


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("wrong_consortium", {"consortium": "other"}),
        ("wrong_silo", {"silo": "b"}),
        ("unknown_plan", {"plan_id": "p9"}),
        ("wrong_plan", {"plan_sha256": "11" * 32}),
    ],
)
def test_a_statement_refused_by_what_it_says(
    running: "House", code: str, changes: dict[str, object]
) -> None:
    answer = _bring(running, _declined(running, **changes))
    assert Refusal.parse(parse(answer.document).payload).code == answer.code == code
    assert _status(running, "declined") == []


def test_a_statement_that_a_stranger_signed(running: "House") -> None:
    assert _bring(running, _declined(running), signer=new_signing("sign")).code == "unknown_signer"


def test_another_silos_courier_cannot_bring_it(running: "House") -> None:
    assert _bring(running, _declined(running), "b", running.silos["a"].sign).code == (
        "unknown_signer"
    )


def test_a_revoked_silo_says_nothing_more(running: "House") -> None:
    running.change(Changes(revoke=frozenset({"a"})))
    assert _bring(running, _declined(running)).code == "revoked"


def test_a_silo_without_an_entry(running: "House") -> None:
    assert _bring(running, _declined(running), "x", running.silos["a"].sign).code == (
        "unknown_signer"
    )


def test_a_silo_that_says_too_much(running: "House", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consortium.statements.MAX_STATEMENTS", 1)
    _bring(running, _declined(running))
    other = _declined(running, codes=())
    assert _bring(running, other).code == "too_many_statements"


def test_roots_are_countersigned_one_after_the_other(running: "House") -> None:
    log = Log(running)
    for count in (1, 3, 2):
        log.grow(count)
        running.now += timedelta(days=1)
        log.after = log.root()
        assert _bring(running, log.after).kind == "receipt"
    root = log.after
    assert root is not None
    (shown,) = _status(running, "egress_roots")
    assert (shown["silo"], shown["size"], shown["root"]) == ("a", 6, root.root)
    with running.store.reading() as session:
        assert f"egress of a: 6 leaves, root {root.root}" in describe(
            read_status(session, running.folder, "demo", running.now)
        )


def test_a_root_over_an_altered_leaf_is_refused(running: "House") -> None:
    log = Log(running)
    log.grow(4)
    log.after = log.root()
    _bring(running, log.after)
    log.contents[1] = b"another"
    log.grow(1)
    assert _bring(running, log.root()).code == "inconsistent_log"


def test_a_root_of_a_log_that_was_wound_back_is_refused(running: "House") -> None:
    log = Log(running)
    log.grow(4)
    _bring(running, log.root())
    log.grow(1)
    assert _bring(running, log.root()).code == "root_gap"


def test_a_silo_that_was_restored_goes_on_when_the_operator_says_so(running: "House") -> None:
    command = ["restart-egress", "a", "--folder", str(running.folder.root)]
    assert "unknown_silo" in CliRunner().invoke(main, command).output
    log = Log(running)
    log.grow(4)
    log.after = log.root()
    _bring(running, log.after)
    restored = Log(running)
    restored.grow(2)
    assert _bring(running, restored.root()).code == "root_gap"
    assert "kept" in CliRunner().invoke(main, command).output
    restored.grow(1)
    restored.after = restored.root()
    assert _bring(running, restored.after).kind == "receipt"
    restored.contents[0] = b"altered"
    restored.grow(1)
    assert _bring(running, restored.root()).code == "inconsistent_log"
    (shown,) = _status(running, "egress_roots")
    assert shown["size"] == 3


def _proof(house: "House") -> Proof:
    log = Log(house)
    log.grow(3)
    root = log.root()
    return prove(log.contents, 1, sign("egress_root", root.to_bytes(), house.silos["a"].sign))


def test_a_proof_is_checked_against_the_roster(running: "House") -> None:
    proof = _proof(running)
    with running.store.reading() as session:
        found = check_proof(session, proof)
    assert (found["silo"], found["decision"], found["countersigned"]) == ("a", "released", False)
    log = Log(running)
    log.grow(3)
    _bring(running, log.root())
    with running.store.reading() as session:
        assert check_proof(session, proof)["countersigned"] is True
        with pytest.raises(Refused, match="not_included"):
            check_proof(session, proof.model_copy(update={"index": 0}))


def test_a_proof_of_a_stranger(running: "House") -> None:
    running.silos["a"].sign = new_signing("sign")
    with running.store.reading() as session, pytest.raises(Refused, match="unknown_signer"):
        check_proof(session, _proof(running))


def test_the_operator_checks_a_proof(running: "House", tmp_path: "Path") -> None:
    path = tmp_path / "proof.json"
    path.write_bytes(_proof(running).to_bytes())
    command = ["verify-egress", str(path), "--folder", str(running.folder.root)]
    said = CliRunner().invoke(main, command)
    assert said.exit_code == 0, said.output
    assert "countersigned  False" in said.output
    found = json.loads(CliRunner().invoke(main, [*command, "--json"]).output)
    assert (found["silo"], found["about"]) == ("a", "p1.r1.a1")


def test_the_tables_are_made_for_a_folder_of_before(running: "House") -> None:
    with running.store.writing() as session:
        session.connection().exec_driver_sql("DROP TABLE statements")
    running.store.close()
    running.store = Store(running.folder.database)
    assert _status(running, "declined") == []
