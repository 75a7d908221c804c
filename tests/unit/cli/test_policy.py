import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agent.errors import Stop
from agent.keeper.policing import PolicyFile
from agent.keys import load_signing, new_signing
from agent.ledger.book import Ledger
from agent.policy.signing import check, look
from tests.kit.consortium import START

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home

TEXT = "version = 4\n[ask]\nmax_parameters = 10\n[privacy]\nunmasked_allowed = false\n"


@pytest.fixture
def policy(home: "Home", tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(TEXT)
    with home.config.open("a") as config:
        config.write(f'[policy]\nfile = "{path}"\n')
    return path


@pytest.fixture
def officer(home: "Home", tmp_path: Path) -> Path:
    path = tmp_path / "officer.key"
    said = home.said("policy", "key", "new", str(path))
    public = load_signing(path, "officer").public_hex
    assert f'officer = "{public}"' in said
    return path


def test_a_policy_file_is_checked(home: "Home", policy: Path) -> None:
    assert f"{policy} is right: version 4" in home.said("policy", "check", str(policy))
    found = json.loads(home.said("policy", "check", str(policy), "--json"))
    assert found["policy"]["ask"]["max_parameters"] == 10
    policy.write_text("version = 0\nother = 1\n")
    error = home.error("policy", "check", str(policy))
    assert isinstance(error, Stop)
    assert "2 fault(s)" in str(error)


def test_an_officer_signs_it_off(home: "Home", policy: Path, officer: Path) -> None:
    said = home.said("policy", "sign", str(policy), "--key", str(officer), "--name", "Kim")
    assert "version 4 is signed off" in said
    signed = check(look(policy), load_signing(officer, "officer").public_hex)
    assert (signed.signer, signed.version) == ("Kim", 4)


def test_another_key_does_not_sign_a_policy_off(home: "Home", policy: Path, tmp_path: Path) -> None:
    key = tmp_path / "sign.key"
    new_signing("sign").save(key)
    assert "a key to sign" in str(home.error("policy", "sign", str(policy), "--key", str(key)))


def test_a_signature_that_cannot_be_written(home: "Home", policy: Path, officer: Path) -> None:
    policy.with_name("policy.toml.sig").mkdir()
    error = home.error("policy", "sign", str(policy), "--key", str(officer))
    assert "Cannot write" in str(error)


def test_what_is_in_force_is_shown(home: "Home", policy: Path, officer: Path) -> None:
    shown = home.json("policy", "show")
    assert "policy_unsigned" in shown["file"]["says"]
    assert shown["keeper"] == {}
    assert shown["policy"]["ask"]["max_parameters"] == 1_000_000_000
    home.said("policy", "sign", str(policy), "--key", str(officer), "--name", "Kim")
    home.enrol()
    with Ledger(home.paths.ledger) as ledger:
        PolicyFile(ledger, policy, "").look(START)
    shown = home.json("policy", "show")
    assert shown["file"]["signer"] == "Kim"
    assert shown["keeper"]["state"] == "signed"
    assert shown["policy"]["ask"]["max_parameters"] == 10
    assert shown["policy"]["privacy"]["unmasked_allowed"] is False
    said = home.said("policy", "show")
    assert "version 4, signed off by Kim" in said
    assert "The keeper: signed, last signed off" in said
    assert "Policy: signed. Version 4 (" in " ".join(home.said("status").split())


def test_without_a_file_the_default_is_shown(home: "Home", policy: Path) -> None:
    policy.unlink()
    assert "there is no file" in home.said("policy", "show")
    home.enrol()
    with Ledger(home.paths.ledger) as ledger:
        PolicyFile(ledger, policy, "").look(START)
    assert "The keeper: default." in home.said("policy", "show")


def test_the_status_tells_of_a_policy_that_is_not_signed_off(home: "Home", policy: Path) -> None:
    home.enrol()
    with Ledger(home.paths.ledger) as ledger:
        PolicyFile(ledger, policy, "").look(START)
    said = " ".join(home.said("status").split())
    assert "Nothing leaves until it is signed off: `onggi policy sign" in said
    assert home.json("status")["policy"]["state"] == "unsigned"
    assert "Policy: unsigned, and none was signed off before." in said
