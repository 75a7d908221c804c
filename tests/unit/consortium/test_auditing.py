"""An audit from end to end: announced, shown into a folder, answered, and checked from files."""

import base64
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agent.errors import EXIT_FAILED, EXIT_STOP, Refused, Stop
from agent.wire.documents import Plan, RoundManifest
from agent.wire.masking.audit import KIND, Announcement, Answer, Answers, Challenge
from agent.wire.signed import parse, sign
from agent.wire.update import Weights
from consortium.auditing import (
    CHALLENGE,
    OBJECTS,
    ROUNDS,
    TRUST,
    Finding,
    Record,
    announce,
    check,
    show,
)
from consortium.cli import main
from consortium.closing import NewWeights, move
from consortium.folder import Folder, load_settings
from consortium.founding import root_sha256
from consortium.tables import PublishedRow
from tests.unit.consortium.test_masked import Masked
from tests.unit.consortium.test_masked import masked as masked

COIN = "c0" * 32
ROUND = "p1.r1.a1"


def _done(masked: Masked) -> list[Answers]:
    """Runs the plan's first round with one silo missing; returns what the others answer."""
    house = masked.house
    masked.keys("d")
    house.later(100.1)
    house.settle()
    masked.upload("d")
    house.settle()
    masked.ack("d")
    house.settle()
    masked.unmask("d")
    house.settle()
    return [
        Answers(silo=silo, answers=(_answer(masked, silo),)) for silo in masked.rows if silo != "d"
    ]


def _answer(masked: Masked, silo: str) -> Answer:
    said = {
        row.step: base64.b64encode(row.message).decode("ascii")
        for row in masked.rows[silo]
        if row.step != "unmask"
    }
    return Answer.model_validate({"silo": silo, "round_id": ROUND, **said})


class Audit:
    """A folder of an audit, and the answers to it."""

    def __init__(self, masked: Masked, folder: Path) -> None:
        self.masked, self.folder = masked, folder
        self.answers = _done(masked)
        house = masked.house
        with house.store.reading() as session:
            signed = announce(session, house.folder, "demo", house.signers.aggregator, house.now)
            announcement = base64.b64encode(signed).decode("ascii")
            self.challenge = Challenge(announcement=announcement, coin=COIN, count=3)
            self.rounds = show(session, house.folder, self.challenge, folder)

    def check(self) -> list[Finding]:
        house = self.masked.house
        return check(self.folder, root_sha256(house.folder), self.answers, house.now)

    def change(self, **changes: object) -> None:
        path = self.folder / ROUNDS / f"{ROUND}.json"
        record = Record.parse(path.read_bytes()).model_copy(update=changes)
        path.write_bytes(record.to_bytes())

    def record(self) -> Record:
        return Record.parse((self.folder / ROUNDS / f"{ROUND}.json").read_bytes())


@pytest.fixture
def audit(masked: Masked, tmp_path: Path) -> Audit:
    return Audit(masked, tmp_path / "audit")


def test_an_honest_round_is_followed_from_the_silos_to_the_weights(audit: Audit) -> None:
    assert audit.rounds == (ROUND,)
    assert audit.check() == [Finding(ROUND, ("a", "b", "c"), moved=True)]


def test_the_folder_holds_vectors_and_the_base_and_nothing_else(audit: Audit) -> None:
    record = audit.record()
    assert set(record.vectors) == {"a", "b", "c"}
    found = {path.name for path in (audit.folder / OBJECTS).iterdir()}
    manifest = RoundManifest.parse(parse(base64.b64decode(record.manifest)).payload)
    assert found == {*record.vectors.values(), manifest.base_sha256}


def _broken(audit: Audit, what: str) -> None:
    record = audit.record()
    changes: dict[str, dict[str, object]] = {
        "another vector": {"vectors": {**record.vectors, "a": record.vectors["b"]}},
        "no base64": {"key_set": "?"},
        "following": {"following": record.manifest},
    }
    match what:
        case "vector":
            (audit.folder / OBJECTS / record.vectors["a"]).write_bytes(b"other")
        case "no record":
            (audit.folder / ROUNDS / f"{ROUND}.json").unlink()
        case "no trust":
            (audit.folder / TRUST).write_bytes(b'{"roots":[]}')
        case "silent silo":
            audit.answers.pop()
        case "announced":
            (audit.folder / CHALLENGE).write_bytes(_unsigned(audit.challenge).to_bytes())
        case _:
            audit.change(**changes[what])


def _unsigned(challenge: Challenge) -> Challenge:
    payload = parse(base64.b64decode(challenge.announcement)).payload
    bare = base64.b64encode(sign(KIND, payload)).decode("ascii")
    return challenge.model_copy(update={"announcement": bare})


@pytest.mark.parametrize(
    ("what", "code"),
    [
        ("vector", "damaged_object"),
        ("another vector", "wrong_vector"),
        ("no record", "missing_record"),
        ("no trust", "wrong_root"),
        ("silent silo", "missing_answer"),
        ("no base64", "malformed"),
        ("following", "wrong_round"),
        ("announced", "unknown_signer"),
    ],
)
def test_what_is_false_is_refused_by_name(audit: Audit, what: str, code: str) -> None:
    _broken(audit, what)
    with pytest.raises(Refused) as caught:
        audit.check()
    assert caught.value.code == code


def test_a_trust_root_that_was_not_pinned_is_refused(audit: Audit) -> None:
    with pytest.raises(Refused) as caught:
        check(audit.folder, "00" * 32, audit.answers, audit.masked.house.now)
    assert caught.value.code == "wrong_root"


def test_weights_that_the_sum_did_not_make_are_found(masked: Masked, tmp_path: Path) -> None:
    """An aggregator that publishes an honest sum and goes on from something else."""

    def crooked(
        folder: Folder, plan: Plan, manifest: RoundManifest, delta: Weights, momentum: str | None
    ) -> NewWeights:
        delta["trunk.dense.bias"] += 1.0
        return move(folder, plan, manifest, delta, momentum)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("consortium.engine.move", crooked)
        audit = Audit(masked, tmp_path / "audit")
    with pytest.raises(Refused) as caught:
        audit.check()
    assert caught.value.code == "wrong_step"


def test_a_sum_that_nothing_followed_is_not_said_to_have_moved_the_weights(audit: Audit) -> None:
    audit.change(following="")
    assert audit.check() == [Finding(ROUND, ("a", "b", "c"), moved=False)]


def test_a_plan_that_the_database_lost_stops_the_audit(audit: Audit, tmp_path: Path) -> None:
    house = audit.masked.house
    with house.store.writing() as session:
        session.query(PublishedRow).filter(PublishedRow.kind == "plan").delete()
    with house.store.reading() as session, pytest.raises(Stop, match="lost the plan"):
        show(session, house.folder, audit.challenge, tmp_path / "again")


def test_nothing_is_announced_before_a_round_is_over(masked: Masked) -> None:
    house = masked.house
    with house.store.reading() as session, pytest.raises(Refused) as caught:
        announce(session, house.folder, "demo", house.signers.aggregator, house.now)
    assert caught.value.code == "nothing_to_audit"


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_the_commands_do_the_same(masked: Masked, tmp_path: Path) -> None:
    folder, out, shown = masked.house.folder, tmp_path / "announced.json", tmp_path / "audit"
    root = ("--folder", folder.root)
    nothing = _run("audit", "announce", "--out", out, *root)
    assert (nothing.exit_code, "nothing_to_audit" in nothing.output) == (EXIT_FAILED, True)
    answers = _done(masked)
    assert "Announced 1 round(s)" in _run("audit", "announce", "--out", out, *root).output
    weak = _run("audit", "show", out, "--coin", "abcd", "--out", shown, *root)
    assert (weak.exit_code, "coin" in weak.output) == (EXIT_FAILED, True)
    told = _run("audit", "show", out, "--coin", COIN, "--out", shown, *root).output
    assert f"The coin chose {ROUND}" in told
    files = []
    for one in answers:
        files.append(tmp_path / f"{one.silo}.json")
        files[-1].write_bytes(one.to_bytes())
    pinned = ("--root-sha256", root_sha256(folder))
    checked = _run("audit", "check", shown, *files, *pinned)
    assert f"{ROUND}: 3 silos sent what they say" in checked.output
    assert "is what moved the weights" in checked.output
    found = json.loads(_run("audit", "check", shown, *files, *pinned, "--json").output)
    assert found == [{"round_id": ROUND, "silos": ["a", "b", "c"], "moved": True}]
    missing = _run("audit", "check", shown, tmp_path / "none", *pinned)
    assert missing.exit_code == EXIT_STOP
    silent = _run("audit", "check", shown, files[0], *pinned)
    assert (silent.exit_code, "missing_answer" in silent.output) == (EXIT_FAILED, True)


@pytest.mark.parametrize("round_id", ["p1.r2.a1", "p9.r1.a1"])  # not over, and never begun
def test_a_round_that_was_not_announced_is_not_shown(
    masked: Masked, tmp_path: Path, round_id: str
) -> None:
    house = masked.house
    _done(masked)
    said = Announcement(
        consortium="demo", rounds={round_id: "0" * 64}, created="2026-01-01T00:00:00Z"
    )
    signed = base64.b64encode(sign(KIND, said.to_bytes())).decode("ascii")
    for announcement, code in ((signed, "not_announced"), ("?", "malformed")):
        asked = Challenge(announcement=announcement, coin=COIN, count=1)
        with house.store.reading() as session, pytest.raises(Refused) as caught:
            show(session, house.folder, asked, tmp_path / "audit")
        assert caught.value.code == code


def test_a_record_under_another_rounds_name_is_refused(audit: Audit) -> None:
    house = audit.masked.house
    said = Announcement(
        consortium="demo", rounds={"p1.r9.a1": "0" * 64}, created="2026-01-01T00:00:00Z"
    )
    signed = sign(KIND, said.to_bytes(), house.signers.aggregator)
    announcement = base64.b64encode(signed).decode("ascii")
    changed = audit.challenge.model_copy(update={"announcement": announcement})
    (audit.folder / CHALLENGE).write_bytes(changed.to_bytes())
    (audit.folder / ROUNDS / f"{ROUND}.json").rename(audit.folder / ROUNDS / "p1.r9.a1.json")
    with pytest.raises(Refused) as caught:
        audit.check()
    assert caught.value.code == "wrong_round"


@pytest.mark.slow
def test_vectors_are_kept_for_as_many_rounds_as_was_founded(masked: Masked) -> None:
    house = masked.house
    settings = load_settings(house.folder).model_copy(update={"audit_rounds": 2})
    house.folder.settings_file.write_bytes(settings.to_bytes())
    _done(masked)
    for name in masked.rows:
        masked.rows[name] = []
    for step in ("keys", "upload", "ack", "unmask"):
        getattr(masked, step)()
        house.settle()
    with house.store.reading() as session:
        signed = announce(session, house.folder, "demo", house.signers.aggregator, house.now)
    assert set(json.loads(parse(signed).payload)["rounds"]) == {ROUND, "p1.r2.a1"}
