"""The commands as an operator types them, their sentences and exit codes."""

import json
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from agent.clock import now
from agent.errors import EXIT_FAILED, EXIT_STOP
from agent.files import sha256_bytes
from agent.wire.network import initial_weights
from agent.wire.token import decode_token
from agent.wire.update import encode
from consortium.certificate import public_key_sha256
from consortium.cli import main
from consortium.folder import Folder
from consortium.founding import root_sha256
from consortium.plans import Draft
from tests.kit.consortium import FEATURES, NETWORK

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _officers(house: "House") -> list[str | Path]:
    return [part for path in house.officer_keys[:2] for part in ("--key", path)]


def test_init_then_token(tmp_path: Path) -> None:
    root = tmp_path / "new" / "aggregator"
    assert _run("init", root, "--consortium", "demo", "--port", "9443").exit_code == 0
    result = _run("token", "silo-a", "--folder", root)
    token = decode_token(result.output)
    assert token.url == "https://127.0.0.1:9443"
    assert token.tls_sha256 == public_key_sha256(Folder(root).certificate)
    assert token.root_sha256 == root_sha256(Folder(root))
    modes = {path.stat().st_mode & 0o777 for path in Folder(root).keys.iterdir()}
    assert modes == {0o400}


@pytest.mark.parametrize(
    "arguments",
    [
        ["init", "{root}", "--consortium", "demo"],
        ["init", "{root}x", "--consortium", "demo", "--no-tls", "--host", "10.0.0.1"],
        ["plan", "none.json", "--folder", "{root}"],
        ["status", "--folder", "{root}x"],
        ["serve", "--folder", "{root}x"],
        ["roster", "list", "--folder", "{root}x"],
    ],
)
def test_a_person_must_change_something(house: "House", arguments: list[str]) -> None:
    result = _run(*(one.format(root=house.folder.root) for one in arguments))
    assert result.exit_code == EXIT_STOP
    assert result.output.strip()
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["init", "{root}x", "--consortium", "Not A Name"],
        ["token", "Not A Name", "--folder", "{root}"],
        ["fingerprint", "stranger", "--folder", "{root}"],
    ],
)
def test_a_refusal_is_a_sentence(house: "House", arguments: list[str]) -> None:
    result = _run(*(one.format(root=house.folder.root) for one in arguments))
    assert result.exit_code == EXIT_FAILED
    assert "[" in result.output


def test_plan_status_roster_and_fingerprint(house: "House", tmp_path: Path) -> None:
    house.now = now()  # the commands read the clock
    house.enrol("a", "b")
    draft = tmp_path / "plan.toml"
    draft.write_text('plan_id = "first"\nendpoints = ["logd"]\n')
    folder = house.folder.root
    adjusted = ("--rounds", "3", "--quorum", "1", "--folder", folder)
    published = _run("plan", draft, *adjusted, *_officers(house))
    assert "first: 2 silos, quorum 1, 3 rounds" in published.output
    house.later(1)
    house.tick()
    status = json.loads(_run("status", "--json", "--folder", folder).output)
    assert [one["round_id"] for one in status["rounds"]] == ["first.r1.a1"]
    assert "round first.r1.a1 collecting" in _run("status", "--folder", folder).output
    assert "a\tCompany\tuntil" in _run("roster", "list", "--folder", folder).output
    roster = json.loads(_run("roster", "list", "--json", "--folder", folder).output)
    assert [member["silo"] for member in roster["members"]] == ["a", "b"]
    printed = _run("fingerprint", "a", "--folder", folder).output.split()
    assert [len(group) for group in printed] == [4] * 8


def test_a_plan_begins_with_the_weights_of_a_file(house: "House", tmp_path: Path) -> None:
    house.now = now()
    house.enrol("a", "b")
    draft, start = tmp_path / "plan.json", tmp_path / "weights.safetensors"
    whole = Draft(plan_id="p1", endpoints=("logd",), features=FEATURES, network=NETWORK)
    draft.write_bytes(whole.to_bytes())
    start.write_bytes(b"none")
    given = ("plan", draft, "--start", start, "--folder", house.folder.root, *_officers(house))
    refused = _run(*given)
    assert (refused.exit_code, "[bad_tensors]" in refused.output) == (EXIT_FAILED, True)
    start.write_bytes(encode(initial_weights(NETWORK, FEATURES, ["logd"])))
    assert "Plan p1: 2 silos" in _run(*given).output
    house.later(1)
    house.tick()
    assert house.round().base_sha256 == sha256_bytes(start.read_bytes())


def test_a_damaged_database_is_said(house: "House") -> None:
    house.store.close()
    house.folder.database.write_bytes(b"no database" * 1000)
    result = _run("status", "--folder", house.folder.root)
    assert result.exit_code == EXIT_STOP
    assert "restore" in result.output


def test_an_empty_database_is_said(house: "House") -> None:
    house.store.close()
    for path in house.folder.root.glob("aggregator.sqlite3*"):
        path.unlink()
    sqlite3.connect(house.folder.database).close()
    result = _run("roster", "list", "--folder", house.folder.root)
    assert result.exit_code == EXIT_STOP


def test_a_missing_key_is_said(house: "House", tmp_path: Path) -> None:
    house.officer_keys[0].unlink()
    draft = tmp_path / "plan.json"
    draft.write_text('{"plan_id": "p"}')
    folder = ("--folder", house.folder.root)
    assert _run("plan", draft, *folder, *_officers(house)).exit_code == EXIT_STOP
    said = _run("plan", draft, *folder)
    assert (said.exit_code, "--key" in said.output) == (EXIT_STOP, True)


def test_an_enrolled_name_gets_no_token(house: "House") -> None:
    house.enrol("a")
    result = _run("token", "a", "--folder", house.folder.root)
    assert "already_enrolled" in result.output


def test_renew_and_revoke(house: "House") -> None:
    house.now = now()  # the commands read the clock
    house.tick()  # signs the release repository's own files again, which are from March
    house.enrol("a", "b")
    folder = house.folder.root
    keys = ("--folder", folder, *_officers(house))
    assert _run("roster", "renew", *keys).output.strip() == "Published: Roster 4."
    assert _run("roster", "revoke", "b", *keys).output.strip() == "Published: Roster 5."
    assert "b\tCompany\trevoked" in _run("roster", "list", "--folder", folder).output
    status = json.loads(_run("status", "--json", "--folder", folder).output)
    assert (status["members"], status["roster"]["version"], status["warnings"]) == (["a"], 5, [])
    for silo, code in (("b", "already_revoked"), ("stranger", "unknown_silo")):
        result = _run("roster", "revoke", silo, *keys)
        assert (result.exit_code, code in result.output) == (EXIT_FAILED, True)


def test_a_roster_that_ends_soon_is_said(house: "House") -> None:
    house.now = now() - timedelta(days=340)
    house.enrol("a")
    house.now += timedelta(days=300)
    house.enrol("b")  # signs a new roster, which outlives a's membership
    folder = house.folder.root
    output = _run("status", "--folder", folder).output
    assert "warning: Silo a's membership ends at" in output
    assert "warning: The roster" not in output
    _run("roster", "renew", "--folder", folder, *_officers(house))
    house.now = now()
    house.tick()
    assert "warning" not in _run("status", "--folder", folder).output
