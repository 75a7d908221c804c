import json

import pytest

from agent.serving import tokens
from tests.unit.cli.conftest import Home


def test_a_token_is_shown_once_on_its_own_line(home: Home) -> None:
    result = home.run(
        "token", "add", "kim", "--scope", "predict", "--scope", "data", "--rate", "60"
    )
    assert result.exit_code == 0
    (secret,) = result.stdout.splitlines()
    assert "kim (predict, data) counts until it is revoked" in result.stderr
    known = tokens.parse((home.paths.predict / "tokens.json").read_bytes())
    token = known.find(secret.encode())
    assert token is not None
    assert (token.name, token.rate_per_minute) == ("kim", 60)
    listed = home.said("token", "list")
    assert listed.split() == ["kim", "in", "force", "predict,data", "60/min", "-"]
    assert secret not in listed


def test_machines_get_json(home: Home) -> None:
    made = home.json("token", "add", "kim", "--scope", "predict", "--expires", "30")
    assert made["token"].startswith("ong_")
    assert made["expires"]
    (row,) = home.json("token", "list")
    assert (row["name"], row["state"], row["scopes"]) == ("kim", "in force", ["predict"])
    assert "sha256" not in row
    assert made["token"] not in json.dumps(row)


def test_a_revoked_token_stays_in_the_list(home: Home) -> None:
    assert "No token was made yet" in home.said("token", "list")
    home.said("token", "add", "kim", "--scope", "predict")
    assert home.said("token", "revoke", "kim") == "Token kim is revoked.\n"
    assert "revoked" in home.said("token", "list")
    assert "see `onggi token list`" in str(home.error("token", "revoke", "kim"))


@pytest.mark.parametrize(
    "arguments", [["kim"], ["kim", "--scope", "all"], ["kim", "--scope", "data", "--expires", "0"]]
)
def test_bad_usage_is_said(home: Home, arguments: list[str]) -> None:
    result = home.run("token", "add", *arguments)
    assert result.exit_code == 2
    assert not (home.paths.predict / "tokens.json").exists()


def test_a_bad_name_is_refused(home: Home) -> None:
    assert "choose another" in str(home.error("token", "add", "Kim", "--scope", "predict"))
