"""The officers' commands as people type them: propose, sign where the key is, publish."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from agent.clock import now
from agent.errors import EXIT_FAILED, EXIT_STOP, EXIT_TRY_LATER
from agent.keys import load_signing
from agent.wire.documents import EnrolmentResponse
from agent.wire.network import initial_weights
from agent.wire.update import encode
from consortium.catalogue import default_catalogue
from consortium.cli import main
from consortium.folder import Folder
from consortium.founding import root_sha256
from consortium.plans import Draft, default_features
from consortium.roots import root_in_force
from consortium.store import catalogue, roster
from tests.unit.consortium.test_rotation import _asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.consortium.conftest import House, Silo

    MakeSilo = Callable[[str], Silo]


_KEPT_AWAY = ("officer", "tuf-root", "tuf-targets")


def _run(*arguments: str | Path, answer: str = "") -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments], input=answer)


def _keys(house: "House", *numbers: int) -> list[str | Path]:
    return [part for n in numbers for part in ("--key", house.officer_keys[n])]


def _ask(house: "House", silo: "Silo") -> None:
    house.now = now()  # the commands read the clock
    house.enrolment.enrol(house.request(silo, house.token(silo.name)), house.now)


def _members(house: "House") -> list[str]:
    with house.store.reading() as session:
        return [one.silo for one in roster(session).members]


def test_init_says_that_the_keys_are_carried_away(tmp_path: Path) -> None:
    root = tmp_path / "aggregator"
    told = ("--consortium", "c", "--officers", "5", "--threshold", "3")
    said = _run("init", root, *told).output
    assert "5 officers, of whom 3 sign. Carry" in said
    keys = sorted((root / "offline").iterdir())
    held = [path.name for path in keys]
    assert held == [f"{who}-{n}.key" for who in _KEPT_AWAY for n in range(1, 6)]
    assert {path.stat().st_mode & 0o777 for path in keys} == {0o400}
    refused = _run(
        "init", tmp_path / "x", "--consortium", "c", "--officers", "2", "--threshold", "3"
    )
    assert refused.exit_code == EXIT_STOP


def test_a_ceremony_with_the_keys_elsewhere(
    house: "House", new_silo: "MakeSilo", tmp_path: Path
) -> None:
    _ask(house, new_silo("a"))
    folder = ("--folder", house.folder.root)
    shown = _run("roster", "pending", *folder).output
    mark = _run("fingerprint", "a", *folder).output.strip()
    assert mark in shown
    away = tmp_path / "away"
    shutil.move(house.folder.offline, away)
    file = tmp_path / "roster.json"
    proposed = _run("roster", "propose", "--out", file, *folder)
    assert "has 0 of 2 signatures" in proposed.output
    assert _run("publish", file, *folder).exit_code == EXIT_FAILED
    first = ("sign", file, "--key", away / "officer-1.key")
    refused = _run("roster", *first, answer="n\n")
    assert refused.exit_code == EXIT_FAILED
    assert "a (Company): is admitted" in refused.output
    assert mark in refused.output, "each officer sees what the silo reads out"
    assert "has 1 of 2" in _run("roster", *first, answer="y\n").output
    too_few = _run("publish", file, *folder)
    assert (too_few.exit_code, "too_few_signatures" in too_few.output) == (EXIT_FAILED, True)
    assert _members(house) == []
    second = _run("sign", file, "--key", away / "officer-3.key", "--yes")
    assert "Signed by enough officers" in second.output
    assert "is admitted" in _run("roster", "show", file).output
    assert _run("publish", file, *folder).output == "Published: Roster 2.\n"
    assert _members(house) == ["a"]
    again = _run("publish", file, *folder)
    assert again.output == "Published: Roster 2.\n", "a second time changes nothing"


def test_the_wrong_key_signs_nothing(house: "House", tmp_path: Path) -> None:
    file, folder = tmp_path / "p.json", ("--folder", house.folder.root)
    _run("roster", "renew", "--out", file, *folder)
    before = file.read_bytes()
    wrong = _run("sign", file, "--key", house.folder.keys / "aggregator.key", "--yes")
    assert (wrong.exit_code, "key to aggregator" in wrong.output) == (EXIT_STOP, True)
    stranger = tmp_path / "stranger.key"
    public = _run("officer-key", stranger).output.strip()
    assert load_signing(stranger, "officer").public_hex == public
    refused = _run("sign", file, "--key", stranger, "--yes")
    assert (refused.exit_code, "not_officer" in refused.output) == (EXIT_FAILED, True)
    assert file.read_bytes() == before


@pytest.mark.parametrize("command", ["propose", "admit"])
def test_with_keys_at_hand_all_is_done_at_once(
    house: "House", new_silo: "MakeSilo", command: str
) -> None:
    _ask(house, new_silo("a"))
    folder = ("--folder", house.folder.root)
    one = _run("roster", command, *_keys(house, 0), *folder)
    assert (one.exit_code, "too_few_signatures" in one.output) == (EXIT_FAILED, True)
    assert _run("roster", command, *_keys(house, 0, 2), *folder).exit_code == 0
    assert _members(house) == ["a"]


def test_a_silo_is_rejected(house: "House", new_silo: "MakeSilo") -> None:
    silo = new_silo("a")
    house.now = now()
    request = house.request(silo, house.token("a"))
    house.enrolment.enrol(request, house.now)
    folder = ("--folder", house.folder.root)
    assert "already_waits" in _run("token", "a", *folder).output
    status = json.loads(_run("status", "--json", *folder).output)
    assert status["pending"] == ["a"]
    assert "waits for admission" in status["warnings"][0]
    assert "Rejected a" in _run("roster", "reject", "a", *folder).output
    assert "not_waiting" in _run("roster", "reject", "a", *folder).output
    assert "Nothing waits." in _run("roster", "pending", *folder).output


def test_a_new_key_waits_and_is_taken_in(house: "House", tmp_path: Path) -> None:
    house.now = now()
    house.enrol("a")
    folder = ("--folder", house.folder.root)
    request = tmp_path / "rotation.json"
    request.write_bytes(_asked(house))
    assert "pending" in _run("rotation", request, *folder).output
    assert "a\tnew key to sign" in _run("roster", "pending", *folder).output
    waiting = json.loads(_run("roster", "pending", "--json", *folder).output)
    assert [one["purpose"] for one in waiting["rotations"]] == ["sign"]
    assert "has a new key to sign" in _run("status", *folder).output
    file = tmp_path / "p.json"
    _run("roster", "rotate", "--out", file, *folder)
    assert "a: new key to sign; fingerprint" in _run("roster", "show", file).output
    assert _run("roster", "rotate", "a", *_keys(house, 1, 2), *folder).exit_code == 0
    assert "done" in _run("rotation", request, *folder).output
    assert _run("rotation", tmp_path / "none", *folder).exit_code == EXIT_STOP


def test_an_enrolment_by_files(house: "House", new_silo: "MakeSilo", tmp_path: Path) -> None:
    house.now = now()
    silo, request, response = new_silo("a"), tmp_path / "request.json", tmp_path / "r.json"
    request.write_bytes(house.request(silo, house.token("a")))
    command = ("enrol", request, "--folder", house.folder.root)
    assert _run(*command).exit_code == EXIT_STOP, "it needs a file for the response"
    waits = _run(*command, "--out", response)
    assert (waits.exit_code, response.exists()) == (EXIT_TRY_LATER, False)
    done = _run(*command, "--out", response, *_keys(house, 0, 1))
    assert "Wrote" in done.output
    first = response.read_bytes()
    assert EnrolmentResponse.parse(first).chain == ()
    assert _run(*command, "--out", response).exit_code == 0
    assert response.read_bytes() == first


def test_a_root_rotation_as_typed(house: "House", tmp_path: Path) -> None:
    folder = ("--folder", house.folder.root)
    key = tmp_path / "officer-4.key"
    public = _run("officer-key", key).output.strip()
    shown = _run("root", "show", *folder).output
    assert "roster\t2 of 3" in shown
    leaver = shown.split("roster\t2 of 3\t")[1].split(", ")[0]
    old = (house.folder.aggregator_key).read_bytes()
    file = tmp_path / "root.json"
    change = ("--add", public, "--remove", leaver, "--aggregator")
    _run("root", "rotate", *change, "--out", file, *folder)
    said = _run("root", "show", *folder).output
    assert "version 1" in said, "nothing is published yet"
    for number in range(3):
        _run("root", "sign", file, "--key", house.officer_keys[number], "--yes")
    _run("root", "sign", file, "--key", key, "--yes")
    done = _run("root", "publish", file, *folder)
    assert done.output == "Published: Trust root 2, Roster 1, Catalogue.\n"
    assert house.folder.aggregator_key.read_bytes() != old
    with house.store.reading() as session:
        assert root_in_force(session, house.folder).version == 2
        assert root_sha256(Folder(house.folder.root), session) != root_sha256(house.folder)
    assert house.signers.aggregator.sign(b"x")


def test_a_new_catalogue(house: "House", tmp_path: Path) -> None:
    file = tmp_path / "catalogue.json"
    file.write_bytes(default_catalogue("demo").to_bytes())
    folder = ("--folder", house.folder.root)
    done = _run("catalogue", file, *_keys(house, 0, 1), *folder)
    assert done.output == "Published: Catalogue.\n"
    with house.store.reading() as session:
        assert catalogue(session).version == 2
    missing = _run("catalogue", tmp_path / "none", *_keys(house, 0, 1), *folder)
    assert missing.exit_code == EXIT_STOP


def test_a_folder_that_cannot_be_written_is_said(house: "House", tmp_path: Path) -> None:
    out = tmp_path / "none" / "p.json"
    result = _run("roster", "renew", "--out", out, "--folder", house.folder.root)
    assert (result.exit_code, "No such file" in result.output) == (EXIT_FAILED, True)


def test_a_plan_is_signed_elsewhere(house: "House", tmp_path: Path) -> None:
    house.now = now()
    house.enrol("a", "b")
    draft, file = tmp_path / "plan.toml", tmp_path / "proposal.json"
    draft.write_text('plan_id = "p"\nendpoints = ["logd"]\n')
    folder = ("--folder", house.folder.root)
    start = tmp_path / "start"
    start.write_bytes(encode(initial_weights(Draft(plan_id="p").network, default_features(), [])))
    begun = _run("plan", draft, "--start", start, "--out", file, *folder)
    assert "Plan p: 2 silos" in begun.output
    for number in (0, 1):
        signed = _run("sign", file, *_keys(house, number), "--yes")
        assert "Plan p version 1" in signed.output
        assert "starts from the weights with SHA-256" in signed.output
    assert _run("publish", file, *folder).output == "Published: Plan p.\n"
    other = tmp_path / "other.json"
    _run("plan", draft, "--out", other, *folder)
    assert "plan_exists" in _run("plan", draft, "--out", other, *folder).output
