from typing import TYPE_CHECKING

from agent.errors import Stop
from agent.keys import load_identity

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home


def test_a_right_configuration(home: "Home") -> None:
    assert "is right: 1 store(s)." in home.said("check-config")
    assert home.json("check-config")["store"][0]["name"] == "files"


def test_a_fault_in_a_profile_is_found_before_it_matters(home: "Home") -> None:
    home.profile.write_text("version = 0\n")
    error = home.error("check-config")
    assert isinstance(error, Stop)
    assert str(home.profile) in str(error)


def test_keys_are_made_once_and_only_their_public_halves_are_shown(home: "Home") -> None:
    first, second = home.said("keygen"), home.said("keygen")
    identity = load_identity(home.paths.keys, home.paths.courier)
    assert first == second
    assert [line.split() for line in first.splitlines()] == [
        [key.purpose, key.public_hex] for key in (identity.sign, identity.seal, identity.courier)
    ]


def test_a_token_that_is_none(home: "Home") -> None:
    assert home.run("enroll").exit_code == 2
    assert home.error("enroll", "--token", "nonsense").exit_code in {1, 78}
