import json
from typing import TYPE_CHECKING

import pytest

from agent.doctor import engine, sandbox, telemetry

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Home


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "_LOAD", "")
    monkeypatch.setattr(engine, "_TRY", "raise SystemExit(1)")
    monkeypatch.setattr(sandbox, "can_run", lambda: False)


def test_a_process_without_walls_is_found_out(home: "Home") -> None:
    home.paths.create()
    result = home.run("doctor", "--service", "predict", "--json")
    assert result.exit_code == 1
    (findings,) = json.loads(result.stdout)["services"].values()
    outcomes = {one["name"]: one["outcome"] for one in findings}
    # Nothing holds this test back: the doctor must see each hole.
    for wall in ("no_assays", "no_state", "no_exec", "releases_closed"):
        assert outcomes[wall] == "failed", wall


@pytest.mark.parametrize("service", ["keeper", "courier", "reader@lims"])
def test_each_service_has_its_checks(home: "Home", service: str) -> None:
    home.paths.create()
    (home.paths.spool / "lims").mkdir()
    findings = json.loads(home.run("doctor", "--service", service, "--json").stdout)
    assert len(findings["services"][service]) > 5
    assert all(one["said"].endswith((".", ")")) for one in findings["services"][service])


def test_without_systemd_the_host_is_looked_at(home: "Home") -> None:
    home.paths.create()
    result = home.run("doctor")
    assert "The walls were not tried" in result.stdout
    assert "fsync" in result.stdout


def test_a_service_that_does_not_exist(home: "Home") -> None:
    assert "reader@STORE" in str(home.error("doctor", "--service", "reader"))
