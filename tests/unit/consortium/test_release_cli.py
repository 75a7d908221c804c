"""`release` and `tuf` as an operator types them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from agent.errors import EXIT_FAILED, EXIT_STOP
from consortium.ceremony import OFFLINE, ROLES
from consortium.cli import main
from tests.unit.consortium.test_repository import Publisher

if TYPE_CHECKING:
    from tests.unit.consortium.conftest import House


class Operator(Publisher):
    """Types commands."""

    def run(self, *arguments: str | Path) -> Result:
        words = [*map(str, arguments), "--folder", str(self.house.folder.root)]
        return CliRunner().invoke(main, words)

    def keys(self, role: str, *numbers: int) -> list[str | Path]:
        offline = self.house.folder.offline
        return [
            word for number in numbers for word in ("--key", offline / f"tuf-{role}-{number}.key")
        ]


@pytest.fixture
def operator(house: "House") -> Operator:
    return Operator(house)


def test_releases_are_listed_promoted_and_withdrawn(operator: Operator) -> None:
    operator.publish(1)
    operator.publish(2, "canary")
    shown = operator.run("release", "list").output.splitlines()
    assert shown == ["stable\trelease-1\tversion 1", "canary\trelease-2\tversion 2"]
    assert (
        operator.run("release", "promote", "release-2").output == "Release release-2 is stable.\n"
    )
    listed = json.loads(operator.run("release", "list", "--json").output)
    assert [one["channel"] for one in listed] == ["stable", "stable"]
    assert operator.run("release", "withdraw", "release-1").exit_code == 0
    assert operator.run("release", "list").output == "stable\trelease-2\tversion 2\n"
    assert operator.run("release", "withdraw", "release-9").exit_code == EXIT_FAILED


def test_an_export_says_how_long_it_holds(operator: Operator, tmp_path: Path) -> None:
    operator.publish(1)
    result = operator.run("release", "export", tmp_path / "out")
    assert result.output.startswith("Wrote 1 release(s) to ")
    assert "bring them before 2026-03-08" in result.output
    assert operator.run("release", "export", tmp_path / "out").exit_code == EXIT_STOP


def test_the_state_of_every_role_is_shown(operator: Operator) -> None:
    rows = json.loads(operator.run("tuf", "status", "--json").output)
    assert {row["role"]: (row["threshold"], len(row["keys"])) for row in rows} == {
        role: (2, 3) if role in OFFLINE else (1, 1) for role in ROLES
    }
    shown = operator.run("tuf", "status").output
    assert "timestamp\tversion 1\tuntil 2026-03-08T12:00:00.000000Z\t1 of " in shown


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_rotated(operator: Operator, role: str) -> None:
    officers = "targets" if role in ("canary", "stable") else "root"
    result = operator.run("tuf", "rotate", role, *operator.keys(officers, 1, 3))
    assert result.exit_code == 0, result.output
    assert ("Carry them away" in result.output) == (role in OFFLINE)


def test_a_rotation_that_is_refused_leaves_no_keys(operator: Operator) -> None:
    folder = operator.house.folder
    before = [*folder.keys.iterdir(), *folder.offline.iterdir()]
    result = operator.run("tuf", "rotate", "timestamp", *operator.keys("root", 1))
    assert result.exit_code == EXIT_FAILED
    assert "2 keys of root must sign, and 1 are here" in result.output
    assert [*folder.keys.iterdir(), *folder.offline.iterdir()] == before


def test_the_offline_roles_are_renewed(operator: Operator) -> None:
    for role in OFFLINE:
        result = operator.run("tuf", "renew", role, *operator.keys(role, 1, 2))
        assert result.exit_code == 0, result.output
        assert f"Signed {role} again" in result.output


def test_a_folder_that_is_no_aggregators_is_left_alone(tmp_path: Path) -> None:
    words = ["release", "list", "--folder", str(tmp_path)]
    assert CliRunner().invoke(main, words).exit_code == EXIT_STOP
    assert not list(tmp_path.iterdir())


def test_a_toy_has_one_key_and_a_channel_of_its_choice(tmp_path: Path) -> None:
    root = tmp_path / "toy"
    words = ["init", str(root), "--consortium", "toy", "--officers", "1", "--threshold", "1"]
    result = CliRunner().invoke(main, [*words, "--channel", "canary"])
    assert result.exit_code == 0, result.output
    assert {path.name for path in (root / "offline").iterdir()} == {
        "officer-1.key",
        "tuf-root-1.key",
        "tuf-targets-1.key",
    }
    assert json.loads((root / "aggregator.json").read_text())["channel"] == "canary"
    words[1], words[-1] = str(tmp_path / "again"), "2"
    assert CliRunner().invoke(main, words).exit_code == EXIT_STOP
